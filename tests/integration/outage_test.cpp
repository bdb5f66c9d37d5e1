// How long callers wait while something is wrong, how soon they are served again, and how much is written about it meanwhile.
#include "../support/client.hpp"
#include "../support/fake_server.hpp"
#include "../support/gate.hpp"
#include "../support/redis_server.hpp"

#include <luzia/cache_client.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;

/// What the first callers pay.
enum class Price { nothing, one_timeout };

/// Something wrong with a server behind a gate.
struct Outage {
    std::string name;
    Price price;
    std::function<void(RedisServer&, Gate&)> begin;
    std::function<void(RedisServer&, Gate&)> end;
};

enum class When { once_ready, from_the_start };

const Outage stopped{"stopped", Price::one_timeout, [](auto& server, auto&) { server.pause(); },
                     [](auto& server, auto&) { server.resume(); }};
const Outage killed{"killed", Price::nothing, [](auto& server, auto&) { server.kill(); }, [](auto& server, auto&) { server.restart(); }};
const Outage mute{"accepts and never speaks", Price::one_timeout, [](auto&, auto& gate) { gate.stall(Way::to_client); },
                  [](auto&, auto& gate) { gate.flow(Way::to_client); }};
const Outage deaf{"hears nothing", Price::one_timeout, [](auto&, auto& gate) { gate.stall(Way::to_server); },
                  [](auto&, auto& gate) { gate.flow(Way::to_server); }};
const Outage refused{"refused", Price::nothing,
                     [](auto&, auto& gate) {
                         gate.shut();
                         gate.cut();
                     },
                     [](auto&, auto& gate) { gate.open(); }};
const Outage a_byte_a_second{"a byte a second", Price::one_timeout, [](auto&, auto& gate) { gate.throttle(Way::to_client, 1, 1000ms); },
                             [](auto&, auto& gate) {
                                 gate.heal();
                                 gate.cut(); // or what is on its way goes on as slowly
                             }};
const Outage a_byte_now_and_then{"a byte every 200 ms", Price::one_timeout,
                                 [](auto&, auto& gate) { gate.throttle(Way::to_client, 1, 200ms); },
                                 [](auto&, auto& gate) {
                                     gate.heal();
                                     gate.cut();
                                 }};
const Outage reset_inside_replies{"reset inside each reply", Price::nothing, [](auto&, auto& gate) { gate.reset_after(Way::to_client, 9); },
                                  [](auto&, auto& gate) { gate.heal(); }};
const Outage garbled{"garbled", Price::one_timeout, [](auto&, auto& gate) { gate.corrupt(Way::to_client, 2); },
                     [](auto&, auto& gate) { gate.heal(); }};

/// The first callers wait for `command_timeout`, the others for nothing, and all are served again soon after the end.
void expect_fast_misses(const Outage& outage, When when, bool is_unix = false) {
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto options = options_for(is_unix ? gate.socket_url() : gate.url(), log);
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        if (when == When::once_ready) {
            const bool answers = co_await serves_again(cache);
            EXPECT_TRUE(answers);
        }
        outage.begin(server, gate);
        const Waits waits = co_await call_for(cache, 1s);
        // Far from a timeout, or one of them and what a busy machine takes.
        EXPECT_LE(waits.worst(), outage.price == Price::nothing ? options.command_timeout * 4 / 5 : options.command_timeout + slack)
            << outage.name;
        EXPECT_GE(waits.count(), 200U) << outage.name; // at a timeout each it would be six
        EXPECT_LE(waits.percentile(0.99), options.command_timeout / 5) << outage.name;
        outage.end(server, gate);
        const auto end = Clock::now();
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back) << outage.name;
        const auto back = Clock::now() - end;
        EXPECT_LE(back, 3s + slack) << outage.name;
        EXPECT_LE(gate.connections(), 24U) << outage.name; // 50, 100, 200, 400, 800 ms apart, at least at half of that
        waits.tell(outage.name + (when == When::from_the_start ? " from the start" : "") + (is_unix ? ", Unix socket" : ""), back);
    });
    EXPECT_LE(log.lines().size(), 24U) << outage.name << '\n' << log.all(); // of some three seconds
}

TEST(Outage, AStoppedServerCostsTheFirstCallersOneTimeout) {
    expect_fast_misses(stopped, When::once_ready);
    expect_fast_misses(stopped, When::from_the_start);
    expect_fast_misses(stopped, When::once_ready, true);
}

TEST(Outage, AKilledServerCostsNothing) { expect_fast_misses(killed, When::once_ready); }

TEST(Outage, AServerThatNeverSpeaksOrHearsNothingCostsTheFirstCallersOneTimeout) {
    expect_fast_misses(mute, When::once_ready);
    expect_fast_misses(mute, When::from_the_start);
    expect_fast_misses(deaf, When::once_ready);
    expect_fast_misses(deaf, When::from_the_start);
}

TEST(Outage, ARefusedConnectionCostsNothing) {
    expect_fast_misses(refused, When::once_ready);
    expect_fast_misses(refused, When::from_the_start);
    expect_fast_misses(refused, When::once_ready, true);
}

TEST(Outage, AServerThatTricklesIsSilent) {
    expect_fast_misses(a_byte_a_second, When::once_ready);
    expect_fast_misses(a_byte_a_second, When::from_the_start);
    expect_fast_misses(a_byte_now_and_then, When::once_ready);
}

TEST(Outage, AConnectionThatIsResetInsideEachReplyIsAskedLessAndLess) {
    expect_fast_misses(reset_inside_replies, When::once_ready);
    expect_fast_misses(garbled, When::once_ready);
}

TEST(Outage, CallersAtTheSameTimeWaitNoLongerThanOne) {
    RedisServer server;
    LogLines log;
    for (const bool is_warm : {true, false}) {
        run([&]() -> asio::awaitable<void> {
            const auto executor = co_await asio::this_coro::executor;
            const auto options = options_for(server.url(), log);
            luzia::CacheClient cache{executor, options};
            if (is_warm) {
                const bool answers = co_await serves_again(cache);
                EXPECT_TRUE(answers);
            }
            server.pause();
            int running = 200;
            std::vector<Waits> all(static_cast<std::size_t>(running));
            for (Waits& waits : all) {
                asio::co_spawn(
                    executor, [&]() -> asio::awaitable<void> { waits = co_await call_for(cache, 1s); },
                    [&](std::exception_ptr) { --running; });
            }
            const bool have_ended = co_await eventually([&] { return running == 0; });
            EXPECT_TRUE(have_ended);
            for (const Waits& waits : all) {
                EXPECT_LE(waits.worst(), options.command_timeout + slack);
                EXPECT_GE(waits.count(), 20U);
            }
            server.resume();
            const bool is_back = co_await serves_again(cache);
            EXPECT_TRUE(is_back);
        });
    }
}

TEST(Outage, AnOperationThatOutwaitedItsTimeInTheFirstAttemptIsTheLastThatWaits) {
    // The first attempt takes longer than a command may: a name server, a far address, a TLS handshake.
    RedisServer server;
    Gate gate(server.port());
    gate.delay(Way::to_client, 600ms);
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(gate.url(), log);
        options.command_timeout = 100ms;
        options.connect_timeout = 20s;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const auto first = co_await cache.lookup("key");
        EXPECT_EQ(first.outcome, Outcome::timed_out);
        const auto second = co_await cache.lookup("key");
        EXPECT_EQ(second.outcome, Outcome::unavailable);
        EXPECT_EQ(second.error, luzia::make_error_code(luzia::Error::not_connected));
        const bool is_ready = co_await eventually([&] { return cache.stats().ready; });
        EXPECT_TRUE(is_ready);
        EXPECT_EQ(gate.connections(), 1U); // the attempt itself goes on
    });
}

// The log.

/// Ten operations every millisecond.
template <class Client>
asio::awaitable<std::size_t> ten_thousand_a_second(Client& cache, std::chrono::milliseconds time) {
    std::size_t ended = 0;
    std::size_t begun = 0;
    const std::string value(100, 'v');
    const auto start = Clock::now();
    while (Clock::now() - start < time) {
        const auto due = static_cast<std::size_t>((Clock::now() - start) / 100us);
        for (; begun < due; ++begun) {
            if (begun % 2 == 0) {
                cache.get("key", [&](auto) { ++ended; });
            } else {
                cache.set("key", value, [&](auto) { ++ended; });
            }
        }
        co_await pause_for(1ms);
    }
    const bool have_ended = co_await eventually([&] { return ended == begun; });
    EXPECT_TRUE(have_ended);
    co_return begun;
}

TEST(Outage, TenThousandOperationsASecondWriteAHandfulOfLinesASecond) {
    const Outage full{"full", Price::nothing,
                      [](auto& server, auto&) {
                          server.command({"CONFIG", "SET", "maxmemory", "1"});
                      },
                      [](auto& server, auto&) {
                          server.command({"CONFIG", "SET", "maxmemory", "0"});
                      }};
    const Outage not_json{"not JSON", Price::nothing,
                          [](auto& server, auto&) {
                              server.command({"SET", "key", "no json"});
                          },
                          [](auto&, auto&) {}};
    for (const Outage& outage : {stopped, killed, mute, refused, reset_inside_replies, garbled, full, not_json}) {
        RedisServer server;
        Gate gate(server.port());
        LogLines log;
        run([&]() -> asio::awaitable<void> {
            luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(gate.url(), log)};
            const bool answers = co_await serves_again(cache);
            EXPECT_TRUE(answers);
            outage.begin(server, gate);
            const std::size_t begun = co_await ten_thousand_a_second(cache, 1500ms);
            const std::size_t lines = log.lines().size();
            std::printf("[ log      ] %s: %zu operations, %zu lines\n", outage.name.c_str(), begun, lines);
            EXPECT_GE(begun, 1'000U);
            EXPECT_LE(lines, 16U) << outage.name << '\n' << log.all(); // in two to four seconds
            EXPECT_GE(lines, 1U) << outage.name;
            outage.end(server, gate);
        });
    }
}

TEST(Outage, ALineStandsForAsManyEventsAsItSays) {
    RedisServer server;
    server.command({"CONFIG", "SET", "maxmemory", "1"});
    LogLines log;
    std::size_t begun = 0;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        for (; begun < 500; ++begun) {
            const luzia::Effect stored = co_await cache.set("key", 1);
            EXPECT_EQ(stored.outcome, Outcome::refused);
        }
        co_await pause_for(1100ms);
        const bool is_told = co_await eventually([&] { return log.count("more like this") == 1; });
        EXPECT_TRUE(is_told) << log.all();
    });
    EXPECT_EQ(log.count("OOM"), 2U) << log.all();
    EXPECT_EQ(log.count("499 more like this"), 1U) << log.all();
}

TEST(Outage, NoSecretIsInAnyLineAtAnyLevelWhateverGoesWrong) {
    LogLines log; // takes every level
    const std::string value = "marked-value";
    const std::string user = "app";
    const std::string password = "marked-password";
    const std::vector<std::function<void(FakeServer&)>> scripts{
        [](FakeServer& server) { server.reply_error("WRONGPASS invalid pair app:marked-password").expect_close(); },
        [](FakeServer& server) { server.reply("+OK marked-password\r\n").expect_close(); },
        [](FakeServer& server) {
            server.reply_error("ERR unknown command 'AUTH', with args beginning with: 'app' 'marked-password' ").expect_close();
        },
        [](FakeServer& server) { server.reply("marked-password\r\n").expect_close(); },
        [](FakeServer& server) { server.reply("$15\r\nmarked-password\r\n").expect_close(); },
        [](FakeServer& server) { server.hang_up(); },
        [](FakeServer& server) { server.reply("+OK\r\n").reply("$12\r\nmarked-value\r\n").expect_close(); },
        [](FakeServer& server) { server.reply("+OK\r\n").take(40).reply("+marked-value\r\n").expect_close(); },
        [](FakeServer& server) {
            server.reply("+OK\r\n").take(40).reply_error("ERR unknown command 'SET', with args beginning with: 'key' '\"marked-value\"' ");
            server.expect_close();
        },
        [](FakeServer& server) { server.reply("+OK\r\n").take(40).reply("$12\r\nmarked-valueXX").expect_close(); },
        [](FakeServer& server) { server.reply("+OK\r\n").take(40).reset(); },
    };
    for (const auto& script : scripts) {
        FakeServer server;
        script(server.expect({"AUTH", "app", "marked-password"}));
        server.start();
        run([&]() -> asio::awaitable<void> {
            auto options = options_for("redis://app:marked-password@" + server.url().substr(8), log);
            options.backoff = luzia::redis::Backoff(10s, 10s);
            luzia::CacheClient cache{co_await asio::this_coro::executor, options};
            co_await cache.set("key", value);
            co_await cache.get<int>("key");
        });
    }
    run([&]() -> asio::awaitable<void> { // and what a real one holds
        shared_redis().command({"SET", "key", "marked-value"});
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(shared_redis().url(), log)};
        const auto found = co_await cache.lookup("key");
        EXPECT_EQ(found.outcome, Outcome::undecodable);
        const std::string no_utf8 = "\xff marked-value";
        const luzia::Effect stored = co_await cache.set("key", no_utf8);
        EXPECT_EQ(stored.outcome, Outcome::invalid);
    });
    EXPECT_GE(log.lines().size(), scripts.size()) << log.all();
    EXPECT_EQ(log.count("marked-"), 0U) << log.all();
}

} // namespace
} // namespace luzia_test
