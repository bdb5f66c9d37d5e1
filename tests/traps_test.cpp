// Each public call the way a user writes it, under AddressSanitizer with whatever compiler builds the tests. GCC 12 destroys aggregate
// temporaries beside co_await twice; none of the library's own types may be one.
#include "support/redis_server.hpp"
#include "support/run.hpp"

#include <luzia/cache_client.hpp>

#include <map>
#include <string>
#include <type_traits>
#include <vector>

namespace luzia_test {
namespace {

static_assert(!std::is_aggregate_v<luzia::CacheOptions> && !std::is_aggregate_v<luzia::BackendOptions>);
static_assert(!std::is_aggregate_v<luzia::SetOptions> && !std::is_aggregate_v<luzia::MemoryLimits>);
static_assert(!std::is_aggregate_v<luzia::redis::ConnectionOptions> && !std::is_aggregate_v<luzia::redis::Backoff>);
static_assert(!std::is_aggregate_v<luzia::Effect> && !std::is_aggregate_v<luzia::Lookup<int>> && !std::is_aggregate_v<luzia::Ttl>);

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

// Long enough to live on the heap, where a second destruction is seen.
const std::string long_text = "a text that is too long for the string's own buffer, by far";

luzia::CacheOptions named(std::string url) {
    luzia::CacheOptions options;
    options.url = std::move(url);
    options.key_prefix = "traps:" + long_text + ":";
    options.command_timeout = 20s;
    return options;
}

asio::awaitable<void> every_call(std::string url) {
    luzia::CacheClient cache{co_await asio::this_coro::executor, named(url)};
    Metrics acme{50, long_text};

    for (int i = 0; i < 3; ++i) {
        co_await cache.set("org:123:metrics", acme);
        co_await cache.set("org:123:metrics", acme, 600s);
        co_await cache.set("org:123:metrics", acme, luzia::SetOptions(600s));
        co_await cache.set("org:123:metrics", acme, luzia::no_expiry);
        co_await cache.set(std::string("org:") + long_text, std::string(long_text), 10min);
        co_await cache.set("text", "a literal that is longer than a small string is");
        if (co_await cache.set("org:123:metrics", acme, 600s)) { EXPECT_TRUE(true); }

        std::optional<Metrics> m = co_await cache.get<Metrics>("org:123:metrics");
        EXPECT_TRUE(m && m->org == long_text);
        std::optional<nlohmann::json> raw = co_await cache.get("org:123:metrics");
        EXPECT_EQ((*raw)["total"], 50);
        EXPECT_EQ((co_await cache.get<std::string>(std::string("org:") + long_text)).value_or(long_text + "?"), long_text);
        auto lookup = co_await cache.lookup<Metrics>("org:123:metrics");
        EXPECT_EQ(lookup.outcome, luzia::Outcome::hit);
        const std::string none = (co_await cache.get<std::string>("absent")).value_or(std::string(long_text));
        EXPECT_EQ(none, long_text);

        std::map<std::string, Metrics> entries{{"a:" + long_text, acme}, {"b", acme}};
        std::size_t stored = co_await cache.set_many(entries, 60s);
        EXPECT_EQ(stored, 2U);
        std::vector<std::string> keys{"a:" + long_text, "b", "absent"};
        auto many = co_await cache.get_many<Metrics>(keys);
        EXPECT_TRUE(many[0] && many[1] && !many[2]);
        std::size_t erased = co_await cache.erase_many(keys);
        EXPECT_EQ(erased, 2U);

        EXPECT_TRUE(co_await cache.contains("org:123:metrics"));
        EXPECT_TRUE(co_await cache.ping());
        co_await cache.touch("org:123:metrics", 1h);
        auto left = co_await cache.time_to_live("org:123:metrics");
        EXPECT_TRUE(left && *left > 30min);
        co_await cache.erase("org:123:metrics");
        std::size_t removed = co_await cache.invalidate_pattern("org:*");
        EXPECT_EQ(removed, 1U);
        bool drained = co_await cache.drain();
        EXPECT_TRUE(drained);
    }
    cache.close();
    Metrics again{1, long_text};
    luzia::Effect closed = co_await cache.set("key", again);
    EXPECT_EQ(closed.outcome, luzia::Outcome::closed);
}

TEST(Traps, EveryCallAsAUserWritesItOnRedis) {
    run([] { return every_call(shared_redis().url()); });
}

TEST(Traps, EveryCallAsAUserWritesItInMemory) {
    run([] { return every_call("memory://"); });
}

} // namespace
} // namespace luzia_test
