// The connection against scripts and clocks: order, splitting, deadlines, cancellation, limits, life and death.
#include "../support/fake_server.hpp"
#include "../support/operations.hpp"
#include "../support/redis_server.hpp"
#include "../support/run.hpp"

#include <luzia/backend/redis_backend.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Effect;
using luzia::Outcome;
using Client = luzia::CacheClient<luzia::RedisBackend, luzia::RawCodec>;
using Found = luzia::Lookup<std::string>;

luzia::CacheOptions options_for(const std::string& url, std::chrono::milliseconds command_timeout = 60s) {
    luzia::CacheOptions options;
    options.url = url;
    options.command_timeout = command_timeout;
    return options;
}

TEST(Connection, RepliesMatchCommandsHoweverTheBytesAreSplit) {
    FakeServer server;
    server.expect({"PING"}).dribble("+PONG\r\n");
    server.expect({"GET", "a"}).expect({"GET", "b"}).expect({"GET", "c"});
    server.dribble("$3\r\none\r\n$-1\r\n$0\r\n\r\n");
    server.expect({"EXISTS", "d"}).reply(":").reply("1\r").reply("\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        std::vector<std::string> got;
        const auto note = [&](std::optional<std::string> value) { got.push_back(value.value_or("(none)")); };
        cache.get("a", note);
        cache.get("b", note);
        cache.get("c", note);
        const bool all = co_await eventually([&] { return got.size() == 3; });
        EXPECT_TRUE(all);
        EXPECT_EQ(got, (std::vector<std::string>{"one", "(none)", ""}));
        const bool is_there = co_await cache.contains("d");
        EXPECT_TRUE(is_there);
    });
}

TEST(Connection, TheHandshakeGoesAheadOfEverything) {
    FakeServer server;
    server.expect({"AUTH", "user", "secret"}).expect({"SELECT", "3"}).expect({"CLIENT", "SETNAME", "me"});
    server.reply("+OK\r\n+OK\r\n+OK\r\n").expect({"GET", "a"}).reply("$1\r\n1\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        auto options = options_for("redis://user:secret@" + server.url().substr(8) + "/3");
        options.client_name = "me";
        Client cache{co_await asio::this_coro::executor, options};
        const auto found = co_await cache.get("a");
        EXPECT_EQ(found, "1");
    });
}

TEST(Connection, AnUnaskedReplyCostsTheConnectionAndNobodyGetsIt) {
    for (const std::string unasked :
         {"$5\r\nwrong\r\n", "-ERR max number of clients reached\r\n", "garbage\r\n", "*2\r\n$1\r\na\r\n:1\r\n"}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "a"}).reply("$1\r\n1\r\n" + unasked).expect_close();
        server.next_connection().expect({"PING"}).reply("+PONG\r\n").expect({"GET", "b"}).reply("$1\r\n2\r\n").expect_close();
        server.start();
        LogLines log;
        run([&]() -> asio::awaitable<void> {
            auto options = options_for(server.url());
            options.logger = log.logger();
            Client cache{co_await asio::this_coro::executor, options};
            const auto first = co_await cache.get("a");
            EXPECT_EQ(first, "1");
            const bool is_again = co_await eventually([&] { return cache.stats().reconnects == 1; });
            EXPECT_TRUE(is_again);
            const auto second = co_await cache.get("b");
            EXPECT_EQ(second, "2");
        });
        EXPECT_EQ(log.count("error luzia"), 1U) << log.all();
    }
}

TEST(Connection, AReplyRightBehindTheHandshakeIsNobodysReply) {
    for (const std::string unasked : {"$5\r\nwrong\r\n", "+OK\r\n", "$5\r\nwro"}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n" + unasked).expect_close();
        server.start();
        run([&]() -> asio::awaitable<void> {
            auto options = options_for(server.url(), unasked.back() == '\n' ? 20s : 300ms);
            options.backoff = luzia::redis::Backoff(20s, 20s);
            Client cache{co_await asio::this_coro::executor, options};
            const Found found = co_await cache.lookup("a");
            EXPECT_NE(found.outcome, Outcome::hit) << unasked;
            EXPECT_EQ(cache.stats().hits, 0U);
            cache.close();
        });
    }
}

TEST(Connection, AReplyThatTheCommandCannotHaveCostsTheConnection) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "a"}).expect({"GET", "b"}).reply(":7\r\n$1\r\n2\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        std::vector<Found> got;
        cache.lookup("a", [&](Found found) { got.push_back(found); });
        cache.lookup("b", [&](Found found) { got.push_back(found); });
        const bool all = co_await eventually([&] { return got.size() == 2; });
        EXPECT_TRUE(all);
        EXPECT_EQ(got[0].outcome, Outcome::unavailable);
        EXPECT_EQ(got[0].error, luzia::make_error_code(luzia::Error::protocol));
        EXPECT_EQ(got[1].outcome, Outcome::unavailable);
    });
}

TEST(Connection, LostInsideAReplyEverythingPendingIsAMissOnce) {
    for (const std::string begun : {"", "$", "$5\r\nab", "$5\r\nabcde", "*", "+P"}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "a"}).expect({"GET", "b"}).reply("$1\r\n1\r\n" + begun).reset();
        server.start();
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options_for(server.url())};
            std::vector<Outcome> got;
            cache.lookup("a", [&](Found found) { got.push_back(found.outcome); });
            cache.lookup("b", [&](Found found) { got.push_back(found.outcome); });
            const bool all = co_await eventually([&] { return got.size() == 2; });
            EXPECT_TRUE(all);
            const bool is_gone = co_await eventually([&] { return !cache.stats().ready; });
            EXPECT_TRUE(is_gone);
            EXPECT_EQ(got.size(), 2U);
            EXPECT_EQ(got[1], Outcome::unavailable);
        });
    }
}

TEST(Connection, HungUpOnAtEachStepOfTheHandshakeOperationsAreMisses) {
    for (const int step : {0, 1, 2}) {
        FakeServer server;
        if (step >= 1) { server.expect({"AUTH", "secret"}).expect({"SELECT", "1"}); }
        if (step == 2) { server.reply("+OK\r\n"); }
        server.hang_up();
        server.start();
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options_for("redis://:secret@" + server.url().substr(8) + "/1")};
            const Found found = co_await cache.lookup("a");
            EXPECT_EQ(found.outcome, Outcome::unavailable);
        });
    }
}

TEST(Connection, CancelledBeforeItIsWrittenACommandIsNeverSent) {
    for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "kept"}).reply("$1\r\n1\r\n").expect_close();
        server.start();
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options_for(server.url())};
            asio::cancellation_signal signal;
            std::vector<Outcome> got;
            cache.lookup("cancelled", asio::bind_cancellation_slot(signal.slot(), [&](Found found) { got.push_back(found.outcome); }));
            EXPECT_TRUE(got.empty());
            signal.emit(type);
            EXPECT_TRUE(got.empty()); // never inside the call
            const auto kept = co_await cache.get("kept");
            EXPECT_EQ(kept, "1");
            EXPECT_EQ(got, std::vector<Outcome>{Outcome::cancelled});
            signal.emit(type); // too late is harmless
        });
    }
}

TEST(Connection, CancelledAfterItIsWrittenItCompletesNowAndTheReplyIsSwallowed) {
    for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        FakeServer server;
        std::promise<void> is_cancelled;
        auto when_cancelled = is_cancelled.get_future();
        std::atomic<bool> has_arrived = false;
        server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "cancelled"}).then([&] {
            has_arrived = true;
            when_cancelled.wait();
        });
        server.reply("$4\r\nlate\r\n").expect({"GET", "kept"}).reply("$1\r\n1\r\n").expect_close();
        server.start();
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options_for(server.url())};
            asio::cancellation_signal signal;
            std::vector<Outcome> got;
            cache.lookup("cancelled", asio::bind_cancellation_slot(signal.slot(), [&](Found found) { got.push_back(found.outcome); }));
            const bool is_sent = co_await eventually([&] { return has_arrived.load(); });
            EXPECT_TRUE(is_sent);
            signal.emit(type);
            const bool is_told = co_await eventually([&] { return !got.empty(); });
            EXPECT_TRUE(is_told);
            EXPECT_EQ(got, std::vector<Outcome>{Outcome::cancelled});
            is_cancelled.set_value();
            const auto kept = co_await cache.get("kept");
            EXPECT_EQ(kept, "1");
            EXPECT_EQ(cache.stats().reconnects, 0U);
        });
    }
}

TEST(Connection, EveryOperationCanBeCancelledBeforeAndAfterTheWrite) {
    RedisServer server;
    asio::io_context io;
    Client cache{io, options_for(server.url())};
    bool is_warm = false;
    cache.ping([&](bool) { is_warm = true; });
    ASSERT_TRUE(run_until(io, [&] { return is_warm; }));

    for (const auto& [name, begin] : every_operation<Client>()) {
        for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
            for (const bool is_written : {false, true}) {
                server.pause();
                asio::cancellation_signal signal;
                int ended = 0;
                begin(cache, signal.slot(), io.get_executor(), [&] { ++ended; });
                if (is_written) { io.poll(); }
                EXPECT_EQ(ended, 0) << name;
                signal.emit(type);
                EXPECT_EQ(ended, 0) << name;
                // The server is stopped: only the cancellation can have ended it.
                EXPECT_TRUE(run_until(io, [&] { return ended > 0; })) << name << (is_written ? " after" : " before");
                server.resume();
                bool is_answered = false;
                cache.ping([&](bool answers) { is_answered = answers; });
                EXPECT_TRUE(run_until(io, [&] { return is_answered; })) << name;
                EXPECT_EQ(ended, 1) << name;
            }
        }
    }
    bool is_drained = false;
    cache.drain([&](bool drained) { is_drained = drained; });
    EXPECT_TRUE(run_until(io, [&] { return is_drained; }));
    EXPECT_EQ(cache.stats().reconnects, 0U);
}

TEST(Connection, ACoroutineIsCancelledThroughItsOperation) {
    RedisServer server;
    asio::io_context io;
    Client cache{io, options_for(server.url())};
    asio::cancellation_signal signal;
    bool has_ended = false;
    server.pause();
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            const Found found = co_await cache.lookup("a");
            EXPECT_EQ(found.outcome, Outcome::cancelled);
        },
        asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) {
            has_ended = true;
            io.stop();
        }));
    io.poll();
    signal.emit(asio::cancellation_type::terminal);
    io.restart();
    io.run_for(20s);
    EXPECT_TRUE(has_ended);
    server.resume();
}

TEST(Connection, PastTheLimitOperationsAreShedAtOnceAndCounted) {
    RedisServer server;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url());
        options.max_pending_bytes = 100'000;
        Client cache{co_await asio::this_coro::executor, options};
        const bool answers = co_await cache.ping();
        EXPECT_TRUE(answers);
        server.pause();
        std::map<Outcome, int> outcomes;
        int ended = 0;
        const std::string value(1000, 'v');
        for (int i = 0; i < 1000; ++i) {
            cache.set("key", value, [&](Effect effect) {
                ++outcomes[effect.outcome];
                ++ended;
            });
        }
        const bool is_shed = co_await eventually([&] { return outcomes[Outcome::shed] > 0; });
        EXPECT_TRUE(is_shed);
        server.resume();
        const bool all = co_await eventually([&] { return ended == 1000; });
        EXPECT_TRUE(all);
        EXPECT_GT(outcomes[Outcome::done], 50);
        EXPECT_LT(outcomes[Outcome::done], 100);
        EXPECT_EQ(outcomes[Outcome::shed], 1000 - outcomes[Outcome::done]);
        EXPECT_EQ(cache.stats().shed, static_cast<std::uint64_t>(outcomes[Outcome::shed]));
        const Effect stored = co_await cache.set("key", value);
        EXPECT_EQ(stored.outcome, Outcome::done);
    });
}

TEST(Connection, WhatIsLostOrCancelledIsPendingNoMore) {
    RedisServer server;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), 10s);
        options.max_pending_bytes = 100'000;
        Client cache{co_await asio::this_coro::executor, options};
        const std::string value(1000, 'v');
        // Sets that nobody answers, until no more are taken; returns their outcomes when all have ended, by what `act` does.
        const auto fill = [&](auto act) -> asio::awaitable<std::map<Outcome, int>> {
            struct Filling {
                std::map<Outcome, int> outcomes;
                int ended = 0;
                std::array<asio::cancellation_signal, 100> signals;
            };
            const auto filling = std::make_shared<Filling>();
            auto& [outcomes, ended, signals] = *filling;
            const bool answers = co_await cache.ping();
            EXPECT_TRUE(answers);
            server.pause();
            for (auto& signal : signals) {
                cache.set("key", value, asio::bind_cancellation_slot(signal.slot(), [filling](Effect effect) {
                              ++filling->outcomes[effect.outcome];
                              ++filling->ended;
                          }));
            }
            act(signals);
            const bool all = co_await eventually([&] { return filling->ended == 100; });
            EXPECT_TRUE(all);
            EXPECT_GT(outcomes[Outcome::shed], 0);
            EXPECT_GT(100 - outcomes[Outcome::shed], 50); // and so the ones before are forgotten
            co_return outcomes;
        };
        for (int i = 0; i < 2; ++i) {
            const auto lost = co_await fill([&](auto&) {
                server.kill();
                server.restart();
            });
            EXPECT_EQ(lost.count(Outcome::cancelled), 0U);
            const bool is_back = co_await eventually([&] { return cache.stats().ready; });
            EXPECT_TRUE(is_back);
        }
        for (int i = 0; i < 2; ++i) { // none of them is written yet
            const auto cancelled = co_await fill([&](auto& signals) {
                for (auto& signal : signals) {
                    signal.emit(asio::cancellation_type::terminal);
                }
                server.resume();
            });
            EXPECT_GT(cancelled.at(Outcome::cancelled), 50);
        }
        const Effect stored = co_await cache.set("key", value);
        EXPECT_EQ(stored.outcome, Outcome::done);
    });
}

TEST(Connection, ReadOnlyIsRefusedAndTheConnectionIsMadeAnew) {
    RedisServer server;
    server.command({"REPLICAOF", "127.0.0.1", std::to_string(free_port())});
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        const Effect stored = co_await cache.set("key", "1");
        EXPECT_EQ(stored.outcome, Outcome::refused);
        EXPECT_EQ(stored.error, luzia::make_error_code(luzia::ServerError::readonly));
        const bool is_again = co_await eventually([&] { return cache.stats().reconnects >= 1 && cache.stats().ready; });
        EXPECT_TRUE(is_again);
        server.command({"REPLICAOF", "NO", "ONE"});
        const Effect again = co_await cache.set("key", "1");
        EXPECT_EQ(again.outcome, Outcome::done);
    });
}

TEST(Connection, AnIdleConnectionIsProbedAndADeadOneReplaced) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "a"}).reply("$-1\r\n");
    server.expect({"PING"}).reply("+PONG\r\n").expect({"PING"}).expect_close(); // the second probe stays unanswered
    server.next_connection().expect({"PING"}).reply("+PONG\r\n").expect_close();
    server.start();
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), 100ms);
        options.health_check_interval = 30ms;
        options.logger = log.logger();
        Client cache{co_await asio::this_coro::executor, options};
        co_await cache.get("a");
        const bool is_again = co_await eventually([&] { return cache.stats().reconnects == 1; });
        EXPECT_TRUE(is_again);
    });
    EXPECT_EQ(log.count("silent for 100 ms while a reply was due"), 1U) << log.all();
}

TEST(Connection, ASlowButLivingLinkIsNotSilentAndItsLateReplyIsSwallowed) {
    FakeServer server;
    std::string reply = "$30000\r\n" + std::string(30000, 'x') + "\r\n";
    server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "slow"});
    for (std::size_t i = 0; i < reply.size(); i += 2000) {
        server.reply(reply.substr(i, 2000)).then([] { ::poll(nullptr, 0, 20); }); // the link is slow, not the test
    }
    std::atomic<bool> is_sent = false;
    server.then([&] { is_sent = true; }).expect({"GET", "next"}).reply("$1\r\n1\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url(), 150ms)};
        const Found slow = co_await cache.lookup("slow");
        EXPECT_EQ(slow.outcome, Outcome::timed_out); // it takes 300 ms
        const bool all = co_await eventually([&] { return is_sent.load(); });
        EXPECT_TRUE(all);
        const auto next = co_await cache.get("next");
        EXPECT_EQ(next, "1");
        EXPECT_EQ(cache.stats().reconnects, 0U);
    });
}

TEST(Connection, ABusyThreadTurnsNoArrivedReplyIntoATimeout) {
    run([]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(shared_redis().url(), 100ms)};
        const Effect stored = co_await cache.set("busy", "1");
        EXPECT_EQ(stored.count, 1U);
        std::vector<Outcome> outcomes;
        for (int i = 0; i < 100; ++i) {
            cache.lookup("busy", [&](Found found) { outcomes.push_back(found.outcome); });
        }
        asio::steady_timer timer(co_await asio::this_coro::executor);
        timer.expires_after(1ms);
        co_await timer.async_wait(asio::use_awaitable); // the commands are written
        ::poll(nullptr, 0, 400);                        // user code that blocks the only thread
        const bool all = co_await eventually([&] { return outcomes.size() == 100; });
        EXPECT_TRUE(all);
        EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), Outcome::hit), 100);
    });
}

TEST(Connection, DestroyedOrClosedWithThousandsPendingEachHandlerIsCalledOnce) {
    for (const bool is_closed_first : {false, true}) {
        RedisServer server;
        asio::io_context io;
        std::vector<int> calls(3000, 0);
        std::map<Outcome, int> outcomes;
        {
            auto options = options_for(server.url());
            options.connections = 2;
            Client cache{io, options};
            cache.ping(asio::detached);
            io.run_for(100ms);
            server.pause();
            for (std::size_t i = 0; i < calls.size(); ++i) {
                cache.lookup("key:" + std::to_string(i), [&, i](Found found) {
                    ++calls[i];
                    ++outcomes[found.outcome];
                });
                if (i == 1500) { io.poll(); } // half of them written
            }
            if (is_closed_first) { cache.close(); }
        }
        io.restart();
        io.run_for(20s);
        EXPECT_TRUE(io.stopped()); // nothing is left behind
        EXPECT_EQ(std::count(calls.begin(), calls.end(), 1), 3000);
        EXPECT_EQ(outcomes[Outcome::closed], 3000);
        server.resume();
    }
}

TEST(Connection, ClosedFromInsideAHandlerOrAnotherThreadNothingIsLost) {
    asio::thread_pool pool(2);
    for (int round = 0; round < 20; ++round) {
        auto cache = std::make_shared<Client>(pool.get_executor(), options_for(shared_redis().url()));
        std::atomic<int> ended = 0;
        std::promise<void> all;
        constexpr int operations = 500;
        for (int i = 0; i < operations; ++i) {
            cache->lookup("key", [&, i, cache](Found) {
                if (round % 2 == 0 && i == 250) { cache->close(); }
                if (++ended == operations) { all.set_value(); }
            });
        }
        std::thread other;
        if (round % 2 == 1) {
            other = std::thread([cache] { cache->close(); });
        }
        const bool has_ended = all.get_future().wait_for(20s) == std::future_status::ready;
        EXPECT_TRUE(has_ended);
        if (other.joinable()) { other.join(); }
        cache->close();
    }
    pool.join();
}

TEST(Connection, ManyThreadsShareAClientAndAKeyKeepsItsOrder) {
    asio::thread_pool pool(2);
    auto options = options_for(shared_redis().url());
    options.connections = 3;
    Client cache{pool.get_executor(), options};
    constexpr int threads = 4;
    constexpr int rounds = 500;
    std::atomic<int> wrong = 0;
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&, t] {
            const std::string key = "ordered:" + std::to_string(t);
            std::future<std::optional<std::string>> last;
            for (int i = 0; i < rounds; ++i) {
                const std::string value = std::to_string(i);
                cache.set(key, value, asio::detached);
                last = cache.get(key, asio::use_future);
                if (i % 50 == 0 && last.get() != value) { ++wrong; }
            }
        });
    }
    for (std::thread& worker : workers) {
        worker.join();
    }
    auto drained = cache.drain(asio::use_future);
    EXPECT_TRUE(drained.get());
    for (int t = 0; t < threads; ++t) {
        EXPECT_EQ(shared_redis().command({"GET", "ordered:" + std::to_string(t)}), std::to_string(rounds - 1));
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(cache.stats().failures, 0U);
    cache.close();
    pool.join();
}

TEST(Connection, AHandlerThatThrowsLeavesTheClientWhole) {
    asio::io_context io;
    Client cache{io, options_for(shared_redis().url())};
    cache.ping([](bool) { throw std::runtime_error("from a handler"); });
    bool answers = false;
    cache.ping([&](bool is_there) {
        answers = is_there;
        io.stop();
    });
    EXPECT_THROW(io.run_for(20s), std::runtime_error);
    io.restart();
    io.run_for(20s);
    EXPECT_TRUE(answers);
}

TEST(Connection, DrainWaitsForWhatWasBegunBeforeAndForNoLonger) {
    RedisServer server;
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        const bool answers = co_await cache.ping();
        EXPECT_TRUE(answers);
        server.pause();
        bool has_ended = false;
        cache.set("key", "1", [&](Effect) { has_ended = true; });
        bool is_forever_over = false;
        cache.drain(std::chrono::milliseconds::max(), [&](bool) { is_forever_over = true; });
        const bool is_early = co_await cache.drain(50ms);
        EXPECT_FALSE(is_forever_over);
        EXPECT_FALSE(is_early);
        EXPECT_FALSE(has_ended);
        server.resume();
        const bool is_drained = co_await cache.drain();
        EXPECT_TRUE(is_drained);
        EXPECT_EQ(server.command({"GET", "key"}), "1");
    });
}

TEST(Connection, AWalkThatIsCutShortSaysHowFarItCame) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n");
    server.expect({"SCAN", "0", "MATCH", "a*", "COUNT", "500"}).reply("*2\r\n$2\r\n17\r\n*2\r\n$2\r\na1\r\n$2\r\na2\r\n");
    server.expect({"UNLINK", "a1", "a2"}).expect({"SCAN", "17", "MATCH", "a*", "COUNT", "500"}).reply(":2\r\n").reset();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        const Effect removed = co_await cache.invalidate_pattern("a*");
        EXPECT_EQ(removed.count, 2U);
        EXPECT_EQ(removed.outcome, Outcome::unavailable);
        EXPECT_EQ(cache.stats().erased, 2U);
    });
}

TEST(Connection, ACancelledWalkEndsNowAndWhatItHasBegunEndsByItself) {
    FakeServer server;
    std::atomic<bool> has_arrived = false;
    std::promise<void> is_cancelled;
    auto when_cancelled = is_cancelled.get_future();
    server.expect({"PING"}).reply("+PONG\r\n");
    server.expect({"SCAN", "0", "MATCH", "a*", "COUNT", "500"}).reply("*2\r\n$2\r\n17\r\n*1\r\n$2\r\na1\r\n");
    server.expect({"UNLINK", "a1"}).expect({"SCAN", "17", "MATCH", "a*", "COUNT", "500"}).then([&] {
        has_arrived = true;
        when_cancelled.wait();
    });
    server.reply(":1\r\n*2\r\n$1\r\n0\r\n*0\r\n").expect({"GET", "kept"}).reply("$1\r\n1\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        asio::cancellation_signal signal;
        std::vector<Outcome> got;
        cache.invalidate_pattern("a*", asio::bind_cancellation_slot(signal.slot(), [&](Effect effect) { got.push_back(effect.outcome); }));
        const bool is_sent = co_await eventually([&] { return has_arrived.load(); });
        EXPECT_TRUE(is_sent);
        signal.emit(asio::cancellation_type::total);
        const bool is_told = co_await eventually([&] { return !got.empty(); }); // with both replies outstanding
        EXPECT_TRUE(is_told);
        is_cancelled.set_value();
        const auto kept = co_await cache.get("kept");
        EXPECT_EQ(kept, "1");
        EXPECT_EQ(got, std::vector<Outcome>{Outcome::cancelled});
        EXPECT_EQ(cache.stats().reconnects, 0U);
    });
}

TEST(Connection, AnOperationBehindACancelledOneHasADeadlineOfItsOwn) {
    FakeServer server; // which takes the connection and says nothing
    server.expect({"PING"}).expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), 150ms);
        options.connect_timeout = 20s;
        Client cache{co_await asio::this_coro::executor, options};
        asio::cancellation_signal signal;
        bool is_cancelled = false;
        cache.lookup("first", asio::bind_cancellation_slot(signal.slot(), [&](Found) { is_cancelled = true; }));
        asio::steady_timer timer(co_await asio::this_coro::executor, 50ms);
        co_await timer.async_wait(asio::use_awaitable);
        signal.emit(asio::cancellation_type::terminal);
        timer.expires_after(200ms);
        co_await timer.async_wait(asio::use_awaitable);
        EXPECT_TRUE(is_cancelled);
        const auto begin = std::chrono::steady_clock::now();
        const Found second = co_await cache.lookup("second");
        EXPECT_EQ(second.outcome, Outcome::timed_out);
        EXPECT_LE(std::chrono::steady_clock::now() - begin, 2s);
    });
}

TEST(Connection, AWalkThatStandsStillIsCutShort) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n");
    server.expect({"SCAN", "0", "MATCH", "a*", "COUNT", "500"}).reply("*2\r\n$1\r\n7\r\n*0\r\n");
    server.expect({"SCAN", "7", "MATCH", "a*", "COUNT", "500"}).reply("*2\r\n$1\r\n7\r\n*0\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        const Effect removed = co_await cache.invalidate_pattern("a*");
        EXPECT_EQ(removed.outcome, Outcome::unavailable);
        EXPECT_EQ(removed.error, luzia::make_error_code(luzia::Error::protocol));
    });
}

TEST(Connection, ACountThatCannotBeIsAProtocolError) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"UNLINK", "a"}).reply(":9000000000000000000\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        const Effect erased = co_await cache.erase("a");
        EXPECT_EQ(erased.count, 0U);
        EXPECT_EQ(erased.error, luzia::make_error_code(luzia::Error::protocol));
        EXPECT_EQ(cache.stats().erased, 0U);
    });
}

TEST(Connection, TouchForEverIsOneOperationOfTwoCommands) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"PERSIST", "a"}).expect({"EXISTS", "a"}).reply("-MISCONF no\r\n:1\r\n");
    server.expect({"GET", "kept"}).reply("$1\r\n1\r\n").expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url())};
        const Effect touched = co_await cache.touch("a", luzia::no_expiry);
        EXPECT_EQ(touched.outcome, Outcome::refused);
        EXPECT_EQ(touched.error, luzia::make_error_code(luzia::ServerError::misconf));
        asio::cancellation_signal signal;
        std::vector<Outcome> got;
        cache.touch("a", luzia::no_expiry,
                    asio::bind_cancellation_slot(signal.slot(), [&](Effect effect) { got.push_back(effect.outcome); }));
        signal.emit(asio::cancellation_type::terminal);
        const auto kept = co_await cache.get("kept"); // the script knows of no second PERSIST
        EXPECT_EQ(kept, "1");
        EXPECT_EQ(got, std::vector<Outcome>{Outcome::cancelled});
    });
}

TEST(Connection, AReplyThatNeverEndsPostponesNoDeadlineByMuch) {
    FakeServer server;
    std::atomic<bool> is_over = false;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "endless"}).reply("$500000000\r\n");
    const std::string piece(1'000'000, 'x');
    for (int i = 0; i < 400; ++i) {
        server.then([] { ::poll(nullptr, 0, 2); }).reply(piece);
    }
    server.start();
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url(), 200ms)};
        const auto start = std::chrono::steady_clock::now();
        const Found found = co_await cache.lookup("endless");
        EXPECT_EQ(found.outcome, Outcome::timed_out);
        EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
        is_over = true;
    });
    EXPECT_TRUE(is_over);
}

TEST(Connection, AHandlerElsewhereMayHaveEverythingTakenDown) {
    for (int round = 0; round < 50; ++round) {
        asio::thread_pool elsewhere(1);
        std::promise<void> is_done;
        {
            auto io = std::make_unique<asio::io_context>();
            std::optional<Client> cache;
            cache.emplace(*io, options_for(shared_redis().url()));
            cache->get("key", asio::bind_executor(elsewhere, [&](std::optional<std::string>) { is_done.set_value(); }));
            std::thread thread([&] { io->run(); });
            is_done.get_future().wait();
            cache.reset();
            thread.join();
            io.reset();
        }
        elsewhere.join();
    }
}

/// Takes nothing at once, then half when asked to wait, then the rest at once. What `meanwhile` says happens, once, before the half is taken.
class HalvingTransport final : public luzia::redis::Transport {
    using Callback = luzia::redis::TransportCallback;

public:
    HalvingTransport(const luzia::redis::StreamExecutor& executor, std::function<void()>& meanwhile)
        : plain_(executor), meanwhile_(meanwhile) {}

    void connect(const luzia::redis::Endpoint& endpoint, Callback callback) override { plain_.connect(endpoint, std::move(callback)); }
    void secure(Callback callback) override { plain_.secure(std::move(callback)); }
    void read_some(asio::mutable_buffer buffer, Callback callback) override { plain_.read_some(buffer, std::move(callback)); }
    void write_some(asio::const_buffer buffer, Callback callback) override {
        is_rest_ = true;
        if (const auto act = std::exchange(meanwhile_, nullptr)) { act(); }
        plain_.write_some(asio::buffer(buffer, (buffer.size() + 1) / 2), std::move(callback));
    }
    [[nodiscard]] std::size_t try_write(std::span<const asio::const_buffer> pieces) noexcept override {
        return std::exchange(is_rest_, false) ? plain_.try_write(pieces) : 0;
    }
    [[nodiscard]] bool has_unread() override { return plain_.has_unread(); }
    void close() noexcept override { plain_.close(); }

private:
    luzia::redis::PlainTransport plain_;
    std::function<void()>& meanwhile_;
    bool is_rest_ = false;
};

TEST(Connection, ACommandWhoseRestIsWrittenAtOnceHoldsUpNothingBehindIt) {
    asio::thread_pool pool(1);
    auto options = options_for(shared_redis().url(), 5s);
    std::function<void()> meanwhile;
    options.transport = [&](const luzia::redis::StreamExecutor& executor, const std::string&) {
        return std::make_unique<HalvingTransport>(executor, meanwhile);
    };
    Client cache{pool.get_executor(), options};
    auto connected = cache.ping(asio::use_future);
    ASSERT_TRUE(connected.get());
    std::future<Effect> second; // handlers elsewhere, so that none of their turns sends what others left
    meanwhile = [&] { second = cache.set("halved", "2", asio::use_future); };
    auto first = cache.set("halved", "1", asio::use_future);
    ASSERT_EQ(first.get().outcome, Outcome::done);
    ASSERT_EQ(second.get().outcome, Outcome::done);
    cache.close();
    pool.join();
}

/// Takes as many bytes as it is told, again and again from the front, wherever in the pieces that ends.
class NibblingTransport final : public luzia::redis::Transport {
    using Callback = luzia::redis::TransportCallback;

public:
    NibblingTransport(const luzia::redis::StreamExecutor& executor, bool gathers) : plain_(executor), gathers_(gathers) {}

    void connect(const luzia::redis::Endpoint& endpoint, Callback callback) override { plain_.connect(endpoint, std::move(callback)); }
    void secure(Callback callback) override { plain_.secure(std::move(callback)); }
    void read_some(asio::mutable_buffer buffer, Callback callback) override { plain_.read_some(buffer, std::move(callback)); }
    void write_some(asio::const_buffer buffer, Callback callback) override {
        plain_.write_some(asio::buffer(buffer, next_bite()), std::move(callback));
    }
    [[nodiscard]] std::size_t try_write(std::span<const asio::const_buffer> pieces) noexcept override {
        std::size_t left = next_bite();
        std::vector<asio::const_buffer> taken;
        for (const asio::const_buffer& piece : pieces) {
            taken.push_back(asio::buffer(piece, left));
            left -= taken.back().size();
            if (left == 0) { break; }
        }
        return plain_.try_write(taken);
    }
    [[nodiscard]] bool gathers() const noexcept override { return gathers_; }
    [[nodiscard]] bool has_unread() override { return plain_.has_unread(); }
    void close() noexcept override { plain_.close(); }

private:
    std::size_t next_bite() noexcept {
        constexpr std::array<std::size_t, 6> bites{1, 7, 30, 16'384, 3, 20'000};
        return bites[bite_++ % bites.size()];
    }

    luzia::redis::PlainTransport plain_;
    bool gathers_;
    std::size_t bite_ = 0;
};

class Nibbling : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Connection, Nibbling, testing::Bool(), [](const auto& gathers) { return gathers.param ? "Gathering" : "Joined"; });

TEST_P(Nibbling, WhatIsWrittenInPiecesArrivesWhole) {
    asio::io_context io;
    auto options = options_for(shared_redis().url(), 5s);
    options.transport = [&](const luzia::redis::StreamExecutor& executor, const std::string&) {
        return std::make_unique<NibblingTransport>(executor, GetParam());
    };
    luzia::CacheClient cache{io, options, luzia::RawCodec()};
    const std::array<std::size_t, 8> sizes{10, 20'000, 16'384, 5, 70'000, 16'383, 40'000, 1};
    const auto value_of = [&](std::size_t i) { return std::string(sizes[i], static_cast<char>('a' + i)) + std::to_string(i); };
    std::size_t right = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        cache.set("piece:" + std::to_string(i), value_of(i), asio::detached);
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        cache.get("piece:" + std::to_string(i), [&, i](const std::optional<std::string>& value) {
            right += value == value_of(i) ? 1 : 0;
            if (i + 1 == sizes.size()) { cache.close(); }
        });
    }
    io.run();
    EXPECT_EQ(right, sizes.size());
}

/// Notes how much is read at most.
class SizingTransport final : public luzia::redis::Transport {
    using Callback = luzia::redis::TransportCallback;

public:
    SizingTransport(const luzia::redis::StreamExecutor& executor, std::vector<std::size_t>& sizes) : plain_(executor), sizes_(sizes) {}

    void connect(const luzia::redis::Endpoint& endpoint, Callback callback) override { plain_.connect(endpoint, std::move(callback)); }
    void secure(Callback callback) override { plain_.secure(std::move(callback)); }
    void read_some(asio::mutable_buffer buffer, Callback callback) override {
        sizes_.push_back(buffer.size());
        plain_.read_some(buffer, std::move(callback));
    }
    void write_some(asio::const_buffer buffer, Callback callback) override { plain_.write_some(buffer, std::move(callback)); }
    [[nodiscard]] bool has_unread() override { return plain_.has_unread(); }
    void close() noexcept override { plain_.close(); }

private:
    luzia::redis::PlainTransport plain_;
    std::vector<std::size_t>& sizes_;
};

TEST(Connection, ReadsMuchAtOnceOnlyWhereMuchIsUnderWay) {
    run([]() -> asio::awaitable<void> {
        std::vector<std::size_t> sizes;
        auto options = options_for(shared_redis().url(), 5s);
        options.transport = [&](const luzia::redis::StreamExecutor& executor, const std::string&) {
            return std::make_unique<SizingTransport>(executor, sizes);
        };
        luzia::CacheClient cache{co_await asio::this_coro::executor, options, luzia::RawCodec()};
        const auto has_read_much = [&] { return std::find(sizes.begin(), sizes.end(), 64UL * 1024) != sizes.end(); };
        co_await cache.set("sized:large", std::string(1'000'000, 'v'));
        EXPECT_FALSE(has_read_much());
        const auto large = co_await cache.get("sized:large");
        EXPECT_TRUE(large.has_value());
        EXPECT_TRUE(has_read_much());
        // Behind a large one that is not the last the next read begins at once, behind the last when its handler has had its turn.
        std::vector<bool> is_read_on;
        for (int i = 0; i < 2; ++i) {
            cache.get("sized:large", [&](const std::optional<std::string>&) { is_read_on.push_back(sizes.back() == 64UL * 1024); });
        }
        const bool both = co_await eventually([&] { return is_read_on.size() == 2; });
        EXPECT_TRUE(both);
        EXPECT_EQ(is_read_on, (std::vector<bool>{true, false}));
        co_await cache.set("sized:small", std::string(1'000, 'v'));
        for (const std::size_t count : {50U, 1000U}) {
            sizes.clear();
            std::size_t left = count;
            for (std::size_t i = 0; i < count; ++i) {
                cache.get("sized:small", [&](const std::optional<std::string>& value) { left -= value ? 1 : 0; });
            }
            const bool all = co_await eventually([&] { return left == 0; });
            EXPECT_TRUE(all);
            EXPECT_EQ(has_read_much(), count == 1000) << count;
        }
    });
}

TEST(Connection, AMovedClientGoesOn) {
    run([]() -> asio::awaitable<void> {
        Client first{co_await asio::this_coro::executor, options_for(shared_redis().url())};
        co_await first.set("moved", "1");
        Client second = std::move(first);
        const auto found = co_await second.get("moved");
        EXPECT_EQ(found, "1");
        Client third{co_await asio::this_coro::executor, options_for(shared_redis().url())};
        third = std::move(second);
        const auto again = co_await third.get("moved");
        EXPECT_EQ(again, "1");
    });
}

} // namespace
} // namespace luzia_test
