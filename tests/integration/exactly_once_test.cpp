// Every operation ends once, whatever is done to the connection, the client or the context, and at whichever step.
#include "../support/client.hpp"
#include "../support/fake_server.hpp"
#include "../support/gate.hpp"
#include "../support/operations.hpp"
#include "../support/redis_server.hpp"
#include "../support/tls_server.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

/// Waits for no deadline: what ends here is ended by what is done to it. Comes back quickly.
luzia::CacheOptions patient(const std::string& url, const LogLines& log) {
    auto options = options_for(url, log);
    options.command_timeout = 60s; // beyond every limit here
    options.connect_timeout = 60s;
    options.backoff = luzia::redis::Backoff(1ms, 5ms);
    return options;
}

/// The whole conversation of a handshake and every operation, broken off after each of its bytes: at each step and inside each reply.
void expect_each_once_broken_anywhere(Way way, const luzia::CacheOptions& options, Gate& gate, std::size_t step) {
    bool is_whole = false;
    std::size_t rounds = 0;
    for (std::size_t bytes = 1; !is_whole && bytes < 20'000; bytes += step, ++rounds) {
        gate.reset_after(way, bytes);
        asio::io_context io;
        Client cache{io, options};
        EndCounts counts;
        begin_every_operation(cache, io.get_executor(), counts); // they wait for the connection
        ASSERT_TRUE(run_until(io, [&] { return counts.all_ended(); })) << "broken after " << bytes;
        is_whole = cache.stats().failures == 0;
        // The same client serves again as soon as it is let.
        gate.heal();
        bool answers = false;
        for (int attempt = 0; !answers && attempt < 1000; ++attempt) {
            bool is_told = false;
            cache.ping([&](bool is_there) {
                answers = is_there;
                is_told = true;
            });
            ASSERT_TRUE(run_until(io, [&] { return is_told; }));
            if (!answers) { io.run_one_for(5ms); }
        }
        EXPECT_TRUE(answers) << "broken after " << bytes;
        cache.close();
        io.restart();
        io.run_for(20s);
        EXPECT_TRUE(io.stopped()); // nothing is left
        counts.expect_each_once("broken after " + std::to_string(bytes));
    }
    EXPECT_TRUE(is_whole); // the sweep reached the end of the conversation
    EXPECT_GE(rounds, 20U);
}

TEST(ExactlyOnce, BrokenAfterEachByteOfTheConversation) {
    RedisServer server({"--requirepass", "secret"}, {"AUTH", "secret"});
    Gate gate(server.port());
    LogLines log;
    auto options = patient("redis://:secret@127.0.0.1:" + std::to_string(gate.port()) + "/3", log);
    options.client_name = "once";
    expect_each_once_broken_anywhere(Way::to_client, options, gate, 1);
    expect_each_once_broken_anywhere(Way::to_server, options, gate, 7);
}

TEST(ExactlyOnce, BrokenAtEachStepOfTls) {
    const TlsServer server;
    Gate gate(server.tls_port);
    LogLines log;
    auto options = patient("rediss://127.0.0.1:" + std::to_string(gate.port()), log);
    options.transport = luzia::tls_transport(trusting("ca"));
    expect_each_once_broken_anywhere(Way::to_client, options, gate, 61);
    expect_each_once_broken_anywhere(Way::to_server, options, gate, 43);
}

TEST(ExactlyOnce, AServerThatIsNoTlsServerEndsAllThatWaits) {
    luzia::TlsOptions tls;
    tls.verify = luzia::TlsOptions::Verify::nothing;
    const std::string alert("\x15\x03\x03\x00\x02\x02\x28", 7); // a fatal alert: handshake failure
    using Script = std::function<void(FakeServer&)>;
    for (const Script& script :
         {Script([](FakeServer& server) { server.hang_up(); }), Script([](FakeServer& server) { server.reset(); }),
          Script([](FakeServer& server) { server.take(50).hang_up(); }), Script([](FakeServer& server) { server.take(50).reset(); }),
          Script([](FakeServer& server) { server.take(50).say("HTTP/1.0 400 Bad Request\r\n\r\n").expect_close(); }),
          Script([&](FakeServer& server) { server.take(50).say(alert).expect_close(); }),
          Script([](FakeServer& server) { server.take(50).half_close().expect_close(); })}) {
        FakeServer server;
        script(server.next_connection());
        server.start();
        LogLines log;
        asio::io_context io;
        auto options = patient("rediss://127.0.0.1:" + std::to_string(server.port()), log);
        options.transport = luzia::tls_transport(tls);
        options.backoff = luzia::redis::Backoff(10s, 10s);
        Client cache{io, options};
        EndCounts counts;
        begin_every_operation(cache, io.get_executor(), counts);
        EXPECT_TRUE(run_until(io, [&] { return counts.all_ended(); }));
        EXPECT_EQ(cache.stats().failures, counts.expected() + 3) << log.all(); // three of them are about two keys
        cache.close();
        io.run_for(20s);
        EXPECT_TRUE(io.stopped());
        counts.expect_each_once("");
        EXPECT_EQ(log.count("no connection to 127.0.0.1"), 1U) << log.all();
    }
}

TEST(ExactlyOnce, LostWithACommandHalfWritten) {
    for (const bool is_reset : {true, false}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n").take(100'000);
        if (is_reset) {
            server.reset();
        } else {
            server.hang_up();
        }
        server.start();
        LogLines log;
        asio::io_context io;
        auto options = patient(server.url(), log);
        options.backoff = luzia::redis::Backoff(10s, 10s);
        Client cache{io, options};
        EndCounts counts;
        const std::string large(32'000'000, 'x'); // more than the kernel's buffers take
        std::vector<Outcome> outcomes;
        for (int i = 0; i < 3; ++i) {
            cache.set("large", large, [&, ended = counts.expect("set")](luzia::Effect effect) {
                outcomes.push_back(effect.outcome);
                ended();
            });
        }
        begin_every_operation(cache, io.get_executor(), counts);
        EXPECT_TRUE(run_until(io, [&] { return counts.all_ended(); }));
        EXPECT_EQ(outcomes, std::vector<Outcome>(3, Outcome::unavailable));
        cache.close();
        io.run_for(20s);
        EXPECT_TRUE(io.stopped());
        counts.expect_each_once("half written");
    }
}

// Closing and destroying at each step.

enum class Stage { idle, handshaking, ready, written, backing_off };

/// A client that has come to `stage`, with an operation of each kind pending wherever it can be.
struct Staged {
    explicit Staged(Stage stage) : gate(server.port()) {
        if (stage == Stage::handshaking) { gate.stall(Way::to_client); }
        if (stage == Stage::backing_off) { gate.shut(); }
        auto options = patient(gate.url(), log);
        options.connections = 2;
        if (stage == Stage::backing_off) { options.backoff = luzia::redis::Backoff(20s, 20s); }
        cache.emplace(*io, options);
        if (stage == Stage::idle) { return; }
        if (stage == Stage::ready || stage == Stage::written) {
            EXPECT_TRUE(run_until(*io, [&] {
                if (!cache->stats().ready) {
                    cache->set_many(spread(), [](luzia::Effect) {});
                }
                return cache->stats().ready;
            }));
            bool is_drained = false;
            cache->drain([&](bool) { is_drained = true; });
            EXPECT_TRUE(run_until(*io, [&] { return is_drained; }));
            gate.stall(Way::to_client);
        }
        begin_every_operation(*cache, io->get_executor(), counts);
        io->restart();
        if (stage == Stage::handshaking) {
            EXPECT_TRUE(run_until(*io, [&] { return gate.connections() >= 2; }));
        } else if (stage == Stage::written) {
            io->poll();
        } else if (stage == Stage::backing_off) {
            EXPECT_TRUE(run_until(*io, [&] { return counts.all_ended(); }));
        }
    }

    /// Keys enough to use both connections.
    static std::vector<std::pair<std::string, std::string>> spread() {
        std::vector<std::pair<std::string, std::string>> entries;
        for (int i = 0; i < 16; ++i) {
            entries.emplace_back("spread:" + std::to_string(i), "1");
        }
        return entries;
    }

    RedisServer server;
    Gate gate;
    LogLines log;
    std::unique_ptr<asio::io_context> io = std::make_unique<asio::io_context>();
    std::optional<Client> cache;
    EndCounts counts;
};

constexpr Stage every_stage[] = {Stage::idle, Stage::handshaking, Stage::ready, Stage::written, Stage::backing_off};

TEST(ExactlyOnce, ClosedOrDestroyedAtEachStage) {
    for (const Stage stage : every_stage) {
        for (const bool is_destroyed : {false, true}) {
            Staged staged(stage);
            begin_every_operation(*staged.cache, staged.io->get_executor(), staged.counts);
            if (is_destroyed) {
                staged.cache.reset();
            } else {
                staged.cache->close();
                begin_every_operation(*staged.cache, staged.io->get_executor(), staged.counts); // too late: closed as well
            }
            staged.io->restart();
            staged.io->run_for(20s);
            EXPECT_TRUE(staged.io->stopped()); // nothing is left
            EXPECT_TRUE(staged.counts.all_ended());
            staged.counts.expect_each_once("at stage " + std::to_string(static_cast<int>(stage)));
        }
    }
}

TEST(ExactlyOnce, ClosedFromAnotherThreadAtEachStage) {
    for (const Stage stage : every_stage) {
        Staged staged(stage);
        begin_every_operation(*staged.cache, staged.io->get_executor(), staged.counts);
        std::thread closer([&] { staged.cache.reset(); });
        staged.io->restart();
        staged.io->run_for(20s);
        closer.join();
        staged.io->restart();
        staged.io->run_for(20s);
        EXPECT_TRUE(staged.io->stopped());
        EXPECT_TRUE(staged.counts.all_ended());
        staged.counts.expect_each_once("at stage " + std::to_string(static_cast<int>(stage)));
    }
}

TEST(ExactlyOnce, ClosedBetweenTwoStepsAtEachStage) {
    for (const Stage stage : every_stage) {
        Staged staged(stage);
        asio::post(*staged.io, [&] { staged.cache.reset(); }); // between two steps of the connection, whatever it is at
        begin_every_operation(*staged.cache, staged.io->get_executor(), staged.counts);
        staged.io->restart();
        staged.io->run_for(20s);
        EXPECT_TRUE(staged.io->stopped());
        EXPECT_TRUE(staged.counts.all_ended());
        staged.counts.expect_each_once("at stage " + std::to_string(static_cast<int>(stage)));
    }
}

TEST(ExactlyOnce, WithTheContextGoneFirstHandlersAreDestroyedUninvoked) {
    for (const Stage stage : every_stage) {
        Staged staged(stage);
        const auto alive = std::make_shared<int>();
        int called = 0;
        for (const auto& operation : every_operation<Client>()) {
            operation.begin(*staged.cache, asio::cancellation_slot(), staged.io->get_executor(), [alive, &called] { ++called; });
        }
        bool is_drain_called = false;
        staged.cache->drain([alive, &is_drain_called](bool) { is_drain_called = true; });
        EXPECT_GE(alive.use_count(), 14);
        staged.io.reset();
        EXPECT_EQ(alive.use_count(), 1) << static_cast<int>(stage);
        EXPECT_EQ(called, 0);
        EXPECT_FALSE(is_drain_called);
        staged.cache.reset();
    }
}

TEST(ExactlyOnce, AClientOnAStrandMayOutliveItsContext) {
    LogLines log;
    for (const std::string& url : {shared_redis().url(), std::string("memory://"), std::string("disabled://")}) {
        for (const bool is_used : {false, true}) {
            auto io = std::make_unique<asio::io_context>();
            Client cache{asio::make_strand(*io), patient(url, log)}; // a strand is more than a pointer to its context
            const auto alive = std::make_shared<int>();
            if (is_used) {
                cache.get("key", [alive](std::optional<std::string>) {});
                io->poll();
                cache.get("key", [alive](std::optional<std::string>) {});
            }
            io.reset();
            EXPECT_EQ(alive.use_count(), 1);
            cache.close();
        }
    }
}

TEST(ExactlyOnce, ClosedOnOneThreadWhileTheContextGoesOnAnother) {
    LogLines log;
    for (int round = 0; round < 200; ++round) {
        auto io = std::make_unique<asio::io_context>();
        Client cache{asio::make_strand(*io), patient(shared_redis().url(), log)};
        const auto alive = std::make_shared<int>();
        for (int i = 0; i < 5; ++i) {
            cache.get("key", [alive](std::optional<std::string>) {});
        }
        if (round % 2 == 0) { io->run_one(); }
        std::atomic<bool> is_started = false;
        std::thread closer([&] {
            is_started = true;
            cache.close();
        });
        while (!is_started) {}
        io.reset();
        closer.join();
        EXPECT_EQ(alive.use_count(), 1);
    }
}

TEST(ExactlyOnce, CancelledWhenTheAnswerIsThereAndItsHandlerHasNotRun) {
    RedisServer server;
    LogLines log;
    asio::io_context io;
    asio::io_context elsewhere;
    Client cache{io, patient(server.url(), log)};
    for (const auto& [name, begin] : every_operation<Client>()) {
        for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
            asio::cancellation_signal signal;
            int ended = 0;
            begin(cache, signal.slot(), elsewhere.get_executor(), [&] { ++ended; });
            bool is_drained = false;
            // Replies come in order, and a pattern walk is as long as it is: what is begun behind it is answered behind it.
            for (int i = 0; i < 3; ++i) {
                is_drained = false;
                cache.ping([&](bool) { is_drained = true; });
                ASSERT_TRUE(run_until(io, [&] { return is_drained; }));
            }
            EXPECT_EQ(ended, 0);
            signal.emit(type);
            EXPECT_EQ(ended, 0);
            io.restart();
            io.poll();
            EXPECT_TRUE(run_until(elsewhere, [&] { return ended > 0; })) << name;
            elsewhere.restart();
            elsewhere.poll();
            EXPECT_EQ(ended, 1) << name;
        }
    }
    EXPECT_EQ(cache.stats().failures, 0U);
    EXPECT_EQ(cache.stats().reconnects, 0U);
}

TEST(ExactlyOnce, CancelledWhileTheConnectionIsMade) {
    for (const Stage stage : {Stage::handshaking, Stage::ready, Stage::written}) {
        for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
            Staged staged(stage);
            std::deque<asio::cancellation_signal> signals;
            EndCounts counts;
            for (const auto& operation : every_operation<Client>()) {
                operation.begin(*staged.cache, signals.emplace_back().slot(), staged.io->get_executor(), counts.expect(operation.name));
            }
            for (asio::cancellation_signal& signal : signals) {
                signal.emit(type);
                signal.emit(type); // once more is harmless
            }
            EXPECT_TRUE(run_until(*staged.io, [&] { return counts.all_ended(); })) << static_cast<int>(stage);
            staged.gate.heal();
            EXPECT_TRUE(run_until(*staged.io, [&] { return staged.counts.all_ended(); })); // those that nobody cancelled
            counts.expect_each_once("cancelled");
            staged.counts.expect_each_once("beside them");
            EXPECT_EQ(staged.cache->stats().reconnects, 0U);
        }
    }
}

} // namespace
} // namespace luzia_test
