// Names and packets: a black hole, names that are not known, that change, that take their time, and that have several addresses.
// Run through tests/network/run, which gives it a network of its own.
#include "../support/client.hpp"
#include "../support/name_server.hpp"
#include "../support/operations.hpp"
#include "../support/redis_server.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

Place on_server(const std::string& address, std::uint16_t port = 0) { return {address, {"ip", "netns", "exec", "server"}, port}; }

void ip(const std::vector<std::string>& arguments) {
    std::vector<std::string> command{"ip"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    ASSERT_EQ(Process(command).wait(), 0) << arguments.back();
}

/// Packets to the server are dropped, without a word to anybody, and so are its own.
void drop_packets() { ip({"-n", "server", "address", "flush", "dev", "server0"}); }
void let_packets_through() {
    ip({"-n", "server", "address", "add", "10.77.0.2/24", "dev", "server0"});
    ip({"-n", "server", "address", "add", "10.77.0.3/24", "dev", "server0"});
}

/// The first callers wait for one timeout at most, the others for nothing.
void expect_fast(const Waits& waits, const luzia::CacheOptions& options) {
    EXPECT_LE(waits.worst(), options.command_timeout + slack);
    EXPECT_GE(waits.count(), 200U);
    EXPECT_LE(waits.percentile(0.99), options.command_timeout / 5);
}

template <class Cache>
asio::awaitable<void> expect_back(const std::string& what, Cache& cache, const Waits& waits) {
    const auto end = Clock::now();
    const bool is_back = co_await serves_again(cache);
    EXPECT_TRUE(is_back) << what;
    const auto back = Clock::now() - end;
    EXPECT_LE(back, 3s + slack) << what;
    waits.tell(what, back);
}

TEST(Network, ABlackHoleCostsTheFirstCallersOneTimeout) {
    RedisServer server({}, {}, on_server("10.77.0.2"));
    for (const bool is_warm : {true, false}) {
        LogLines log;
        run([&]() -> asio::awaitable<void> {
            const auto options = options_for(server.url(), log);
            luzia::CacheClient cache{co_await asio::this_coro::executor, options};
            if (is_warm) {
                const bool answers = co_await serves_again(cache);
                EXPECT_TRUE(answers);
            }
            drop_packets();
            const Waits waits = co_await call_for(cache, 4s);
            expect_fast(waits, options);
            let_packets_through();
            co_await expect_back(is_warm ? "black hole" : "black hole from the start", cache, waits);
        });
        EXPECT_LE(log.lines().size(), 8U) << log.all();
    }
}

TEST(Network, ANameThatIsNotKnownIsAskedForAgainAndServedFromWhenItIs) {
    RedisServer server({}, {}, on_server("10.77.0.2"));
    NameServer names;
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto options = options_for("redis://cache.test:" + std::to_string(server.port()), log);
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const Waits waits = co_await call_for(cache, 2s);
        expect_fast(waits, options);
        names.set("cache.test", {"10.77.0.2"});
        co_await expect_back("unknown name", cache, waits);
    });
    EXPECT_EQ(log.count("the name does not resolve"), 1U) << log.all();
}

TEST(Network, ANameServerThatIsSilentOrSlowCostsTheFirstCallersOneTimeout) {
    RedisServer server({}, {}, on_server("10.77.0.2"));
    NameServer names;
    names.set("cache.test", {"10.77.0.2"});
    names.be_silent_about("cache.test");
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto options = options_for("redis://cache.test:" + std::to_string(server.port()), log);
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const Waits waits = co_await call_for(cache, 4s);
        expect_fast(waits, options);
        names.be_silent_about("cache.test", false);
        co_await expect_back("silent name server", cache, waits);
    });
    // Slower than an attempt may be: what comes late is used by the next one.
    names.set("late.test", {"10.77.0.2"});
    names.be_slow_about("late.test", 600ms);
    run([&]() -> asio::awaitable<void> {
        auto options = options_for("redis://late.test:" + std::to_string(server.port()), log);
        options.connect_timeout = 300ms;
        options.command_timeout = 200ms;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const Waits waits = co_await call_for(cache, 400ms);
        co_await expect_back("slow name server", cache, waits);
    });
    EXPECT_EQ(names.questions("late.test"), 2); // one look-up, of both kinds
}

TEST(Network, OfSeveralAddressesTheOneThatAnswersIsFound) {
    RedisServer server({}, {}, on_server("10.77.0.2"));
    NameServer names;
    names.set("cache.test", {"10.77.0.5", "10.77.0.6", "10.77.0.2"}); // the first two are black holes, and come first by their numbers
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto options = options_for("redis://cache.test:" + std::to_string(server.port()), log);
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const Waits waits = co_await call_for(cache, 1500ms);
        expect_fast(waits, options);
        co_await expect_back("two dead addresses before the living one", cache, waits);
    });
    EXPECT_EQ(log.count("no connection"), 0U) << log.all(); // one attempt, three addresses
    EXPECT_EQ(log.count("connected to cache.test"), 1U) << log.all();
}

TEST(Network, ANameIsLookedUpAgainForEachConnection) {
    NameServer names;
    RedisServer first({}, {}, on_server("10.77.0.2"));
    names.set("cache.test", {"10.77.0.2"});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor,
                                 options_for("redis://cache.test:" + std::to_string(first.port()), log)};
        co_await cache.set("where", 1);
        // Another server takes its place, at another address.
        const RedisServer second({}, {}, on_server("10.77.0.3", first.port()));
        names.set("cache.test", {"10.77.0.3"});
        first.kill();
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
        const auto found = co_await cache.lookup<int>("where");
        EXPECT_EQ(found.outcome, Outcome::miss); // it is another one
    });
}

TEST(Network, ALookUpThatHangsStallsNeitherOtherLookUpsNorTheShutdown) {
    NameServer names;
    names.set("fast.test", {"10.77.0.2"});
    names.be_silent_about("hanging.test");
    LogLines log;
    EndCounts counts;
    auto io = std::make_unique<asio::io_context>();
    std::vector<std::unique_ptr<Client>> caches;
    for (int i = 0; i < 20; ++i) {
        auto options = options_for("redis://hanging.test", log);
        options.command_timeout = 20s;
        options.connect_timeout = 20s;
        caches.push_back(std::make_unique<Client>(*io, options));
        begin_every_operation(*caches.back(), io->get_executor(), counts);
    }
    io->poll();
    const auto begin = Clock::now();
    asio::ip::tcp::resolver resolver(*io);
    std::size_t addresses = 0;
    resolver.async_resolve("fast.test", "6379", [&](boost::system::error_code, const asio::ip::tcp::resolver::results_type& results) {
        addresses = results.size();
    });
    EXPECT_TRUE(run_until(*io, [&] { return addresses > 0; }));
    EXPECT_LE(Clock::now() - begin, 900ms); // the others give up after a second
    for (std::size_t i = 0; i < caches.size(); i += 2) {
        caches[i].reset();
    }
    const auto half = Clock::now();
    io.reset(); // with ten look-ups under way, and ten that nobody wants any more
    EXPECT_LE(Clock::now() - half, 900ms);
    caches.clear();
}

TEST(Network, ClosedOrDestroyedWhileResolvingOrConnectingEachOperationEndsOnce) {
    NameServer names;
    names.be_silent_about("hanging.test");
    LogLines log;
    for (const std::string host : {"hanging.test", "10.77.0.5"}) { // no name, and nobody who answers
        auto options = options_for("redis://" + host, log);
        options.command_timeout = 20s;
        options.connect_timeout = 20s;
        for (const bool is_destroyed : {false, true}) {
            asio::io_context io;
            std::optional<Client> cache;
            cache.emplace(io, options);
            EndCounts counts;
            begin_every_operation(*cache, io.get_executor(), counts);
            io.poll();
            EXPECT_FALSE(counts.all_ended());
            if (is_destroyed) {
                cache.reset();
            } else {
                cache->close();
            }
            const auto begin = Clock::now();
            io.restart();
            io.run_for(20s);
            EXPECT_LE(Clock::now() - begin, slack) << host;
            EXPECT_TRUE(counts.all_ended()) << host;
            counts.expect_each_once(host);
        }
        auto io = std::make_unique<asio::io_context>();
        Client cache{*io, options};
        const auto alive = std::make_shared<int>();
        for (const auto& operation : every_operation<Client>()) {
            operation.begin(cache, asio::cancellation_slot(), io->get_executor(), [alive] { ADD_FAILURE() << "called"; });
        }
        io->poll();
        io.reset();
        EXPECT_EQ(alive.use_count(), 1) << host;
    }
}

} // namespace
} // namespace luzia_test
