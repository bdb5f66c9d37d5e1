// Side by side with a Python service that does json.dumps and json.loads on the same keys.
#include "../support/redis_server.hpp"
#include "../support/run.hpp"

#include <luzia/cache_client.hpp>

#include <fstream>
#include <limits>
#include <string>

namespace luzia_test {
namespace {

const std::string interop_directory = LUZIA_INTEROP_DIRECTORY;

int peer(const std::string& mode) {
    return Process({"/usr/bin/python3", interop_directory + "/peer.py", mode, std::to_string(shared_redis().port())}).wait();
}

nlohmann::json table() {
    std::ifstream file(interop_directory + "/values.json");
    return nlohmann::json::parse(file);
}

TEST(Python, WhatPythonStoresIsReadHere) {
    ASSERT_EQ(peer("write"), 0);
    run([]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = shared_redis().url();
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const nlohmann::json values = table();
        for (const auto& [name, value] : values.items()) {
            for (const std::string prefix : {"py:", "py-utf8:"}) {
                const auto found = co_await cache.get(prefix + name);
                EXPECT_TRUE(found && *found == value && found->type() == value.type()) << prefix << name;
            }
        }
        EXPECT_GT(values.size(), 20U);
        const auto text = co_await cache.get<std::string>("py:unicode");
        EXPECT_EQ(text, values["unicode"].get<std::string>());
        const auto largest = co_await cache.get<std::uint64_t>("py:uint64_max");
        EXPECT_EQ(largest, std::numeric_limits<std::uint64_t>::max());
    });
}

TEST(Python, WhatCannotBeSharedIsAMiss) {
    ASSERT_EQ(peer("write"), 0);
    run([]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = shared_redis().url();
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        for (const std::string name : {"nan", "infinity", "surrogate"}) {
            const auto lookup = co_await cache.lookup("py-only:" + name);
            EXPECT_EQ(lookup.outcome, luzia::Outcome::undecodable) << name;
        }
        // An integer beyond 64 bits: as a double where nothing else is asked for, and no integer.
        const auto rough = co_await cache.get("py-only:beyond_64_bits");
        EXPECT_TRUE(rough && rough->is_number_float() && *rough == 1180591620717411303424.0);
        const auto exact = co_await cache.lookup<std::uint64_t>("py-only:beyond_64_bits");
        EXPECT_EQ(exact.outcome, luzia::Outcome::undecodable);
    });
}

TEST(Python, WhatIsStoredHereIsReadByPython) {
    run([]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = shared_redis().url();
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const nlohmann::json values = table();
        for (const auto& [name, value] : values.items()) {
            const luzia::Effect stored = co_await cache.set("cpp:" + name, value);
            EXPECT_EQ(stored.count, 1U) << name;
        }
        const double nan = std::numeric_limits<double>::quiet_NaN();
        co_await cache.set("cpp:nan", nan);
    });
    EXPECT_EQ(peer("check"), 0);
}

} // namespace
} // namespace luzia_test
