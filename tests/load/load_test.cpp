// Load and exhaustion: memory within its bounds, nothing leaked, back from every limit. In a program of its own, whose memory is nobody else's.
//
// LUZIA_SOAK_SECONDS sets how long the soak runs: 30 unless it says otherwise.
#include "../support/client.hpp"
#include "../support/gate.hpp"
#include "../support/measure.hpp"
#include "../support/operations.hpp"
#include "../support/redis_server.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <poll.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

/// What operations came to, from any thread.
struct Tally {
    std::atomic<std::size_t> begun{0};
    std::atomic<std::size_t> ended{0};
    std::array<std::atomic<std::size_t>, 11> outcomes{};

    void end(Outcome outcome) {
        ++outcomes[static_cast<std::size_t>(outcome)];
        ++ended;
    }
    [[nodiscard]] std::size_t of(Outcome outcome) const { return outcomes[static_cast<std::size_t>(outcome)].load(); }
    [[nodiscard]] std::string text() const {
        std::string all = std::to_string(begun) + " begun, " + std::to_string(ended) + " ended:";
        for (std::size_t i = 0; i < outcomes.size(); ++i) {
            if (outcomes[i] != 0) {
                all += " " + std::to_string(outcomes[i]) + " " + std::string(to_string(static_cast<Outcome>(i))) + ",";
            }
        }
        all.back() = ' ';
        return all;
    }
};

/// Waits, for a limited time, for what other threads do.
template <class Condition>
bool wait_for(Condition condition, std::chrono::seconds limit = 60s) {
    for (const auto end = Clock::now() + limit; !condition();) {
        if (Clock::now() > end) { return false; }
        ::poll(nullptr, 0, 1);
    }
    return true;
}

void tell_memory(const std::string& what, std::size_t before, std::size_t limit) {
    std::printf("[ memory   ] %s: %.1f MiB before, %.1f at the most, so %.1f more; limit %.1f%s\n", what.c_str(),
                static_cast<double>(before) / mebibyte, static_cast<double>(peak_bytes()) / mebibyte,
                (static_cast<double>(peak_bytes()) - static_cast<double>(before)) / mebibyte, static_cast<double>(limit) / mebibyte,
                is_instrumented ? " (not judged under a sanitizer)" : "");
    std::fflush(stdout);
}

/// Four threads begin operations as fast as they can, at a server that is far slower. `most` is somewhat more than can be pending.
template <class Begin>
void expect_bounded(const std::string& what, const luzia::CacheOptions& options, std::size_t most, Begin begin) {
    asio::thread_pool pool(2);
    Tally tally;
    {
        Client cache{pool.get_executor(), options};
        ASSERT_TRUE(cache.ping(asio::use_future).get());
        const std::size_t before = resident_bytes();
        const bool is_known = begin_peak();
        std::vector<std::thread> callers;
        const auto end = Clock::now() + 1500ms;
        for (int caller = 0; caller < 4; ++caller) {
            callers.emplace_back([&, caller] {
                for (std::size_t serial = 0; Clock::now() < end; ++serial) {
                    const std::size_t behind = tally.begun - tally.ended;
                    ++tally.begun;
                    begin(cache, tally, caller, serial);
                    // What has ended and waits for its handler to run is not pending: a caller who is ahead of his own executor fills the
                    // memory himself.
                    if (behind > most) { ::poll(nullptr, 0, 1); }
                }
            });
        }
        for (std::thread& caller : callers) {
            caller.join();
        }
        const std::size_t limit = options.max_pending_bytes + 16 * mebibyte;
        tell_memory(what, before, limit);
        if (!is_instrumented && is_known) { EXPECT_LE(peak_bytes(), before + limit) << what; }
        EXPECT_TRUE(wait_for([&] { return tally.ended == tally.begun; })) << what;
        std::printf("[ load     ] %s: %s\n", what.c_str(), tally.text().c_str());
        EXPECT_GE(tally.of(Outcome::shed), 1U) << what;
        EXPECT_GE(cache.stats().shed, tally.of(Outcome::shed)) << what;
        cache.close();
    }
    pool.join();
}

/// As the caller of a cache would: on a pool, with nothing but the outcome kept.
void begin_get(Client& cache, Tally& tally, const std::string& key) {
    cache.lookup(key, [&tally](luzia::Lookup<std::string> found) { tally.end(found.outcome); });
}

TEST(Load, MemoryStaysWithinTheLimitWhenTheServerIsSlowerThanItsCallers) {
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    auto options = options_for(gate.url(), log);
    options.command_timeout = 3s;                                      // next to nothing ends by its time alone
    options.max_pending_bytes = (is_instrumented ? 1 : 16) * mebibyte; // as much as can be asked for, so slowed down
    gate.throttle(Way::to_server, is_instrumented ? 256 : 4096, 1ms);
    const std::string long_key(20'000, 'k');
    const std::string value(1000, 'v');
    const std::string large(500'000, 'v');
    const auto key_of = [](int caller, std::size_t serial) { return std::to_string(caller) + ':' + std::to_string(serial); };
    expect_bounded("get", options, 34'000,
                   [&](Client& cache, Tally& tally, int caller, std::size_t serial) { begin_get(cache, tally, key_of(caller, serial)); });
    expect_bounded("get, keys of 20 KB", options, 6'000, [&](Client& cache, Tally& tally, int caller, std::size_t serial) {
        begin_get(cache, tally, key_of(caller, serial) + long_key);
    });
    const auto set = [&](const std::string& what) {
        return [&](Client& cache, Tally& tally, int caller, std::size_t serial) {
            cache.set(key_of(caller, serial), what, [&tally](luzia::Effect effect) { tally.end(effect.outcome); });
        };
    };
    expect_bounded("set, 1 KB", options, 16'000, set(value));
    expect_bounded("set, 500 KB", options, 5'000, set(large));
    std::vector<std::string> keys(200);
    std::vector<std::pair<std::string, std::string>> entries(50);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        keys[i] = "a key of some forty bytes, number " + std::to_string(i);
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
        entries[i] = {keys[i], value};
    }
    expect_bounded("get_many, 200 keys", options, 700, [&](Client& cache, Tally& tally, int, std::size_t) {
        cache.get_many(keys, [&tally, shed = cache.stats().shed, &cache](auto) {
            tally.end(cache.stats().shed > shed ? Outcome::shed : Outcome::unavailable);
        });
    });
    expect_bounded("set_many, 50 entries of 1 KB", options, 400, [&](Client& cache, Tally& tally, int, std::size_t) {
        cache.set_many(entries, [&tally](luzia::Effect effect) { tally.end(effect.outcome); });
    });
}

TEST(Load, UnderALimitThatFitsItASlowServerGoesOnServingAndTheExcessMissesAtOnce) {
    // Commands are answered in the order in which they came: where more may wait than is answered in `command_timeout`, each waits that
    // long, and then nothing is in time any more. The limit is what keeps a slow server of use.
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    auto options = options_for(gate.url(), log);
    options.max_pending_bytes = mebibyte; // some 1,900 commands: a fifth of a second at the most
    asio::thread_pool pool(2);
    Tally tally;
    Client cache{pool.get_executor(), options};
    ASSERT_TRUE(cache.set("key", std::string("1"), asio::use_future).get().count == 1);
    gate.throttle(Way::to_server, 2048, 4ms); // some 20,000 short commands a second at the most
    const auto start = Clock::now();
    std::size_t early_hits = 0;
    while (Clock::now() - start < 5s) {
        for (int i = 0; i < 200; ++i) { // some 100,000
            ++tally.begun;
            begin_get(cache, tally, "key");
        }
        ::poll(nullptr, 0, 2);
        if (Clock::now() - start < 3s) { early_hits = tally.of(Outcome::hit); }
    }
    EXPECT_TRUE(wait_for([&] { return tally.ended == tally.begun; }));
    const std::size_t late_hits = tally.of(Outcome::hit) - early_hits;
    std::printf("[ load     ] overload: %s; %zu of the hits after 3 s\n", tally.text().c_str(), late_hits);
    if (!is_instrumented) { EXPECT_GE(tally.of(Outcome::shed), 1U); } // under a sanitizer the callers are as slow as the server
    EXPECT_GE(late_hits, 1000U);
    gate.heal();
    EXPECT_TRUE(wait_for([&] { return cache.ping(asio::use_future).get(); }, 20s));
    cache.close();
    pool.join();
}

TEST(Load, AThousandReconnectsLeakNoDescriptorAndNoMemory) {
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    asio::io_context io;
    auto options = options_for(gate.url(), log);
    options.command_timeout = 20s;
    options.connect_timeout = 20s;
    options.backoff = luzia::redis::Backoff(1ms, 1ms);
    Client cache{io, options};
    std::size_t descriptors = 0;
    std::size_t memory = 0;
    for (std::size_t round = 0; round <= 1000; ++round) {
        ASSERT_TRUE(run_until(io, [&] { return cache.stats().ready || (cache.ping([](bool) {}), false); }));
        if (round == 100) {
            descriptors = open_descriptors();
            memory = resident_bytes();
        }
        if (round % 2 == 0) {
            gate.cut();
        } else {
            gate.reset();
        }
        ASSERT_TRUE(run_until(io, [&] { return !cache.stats().ready; })) << round;
    }
    EXPECT_GE(cache.stats().reconnects, 1000U);
    EXPECT_TRUE(run_until(io, [&] { return cache.stats().ready; }));
    EXPECT_TRUE(wait_for([&] { return open_descriptors() <= descriptors + 2; }, 20s)) << open_descriptors() << " against " << descriptors;
    std::printf("[ leaks    ] 1000 reconnects: %zu descriptors, then %zu; %.1f MiB, then %.1f\n", descriptors, open_descriptors(),
                static_cast<double>(memory) / mebibyte, static_cast<double>(resident_bytes()) / mebibyte);
    if (!is_instrumented) { EXPECT_LE(resident_bytes(), memory + 8 * mebibyte); }
}

TEST(Load, AtTheLimitOfDescriptorsOperationsAreMissesAndThenServedAgain) {
    RedisServer server;
    LogLines log;
    asio::io_context io;
    auto options = options_for(server.url(), log);
    options.backoff = luzia::redis::Backoff(5ms, 50ms);
    Client cache{io, options};
    // Low descriptors are taken, so that the client's is above the limit that is set later, and not free again when it is lost.
    std::vector<int> taken;
    while (taken.empty() || taken.back() < 100) {
        taken.push_back(::dup(1));
        ASSERT_GE(taken.back(), 0);
    }
    const auto ask = [&] {
        bool answers = false;
        bool is_told = false;
        cache.ping([&](bool is_there) {
            answers = is_there;
            is_told = true;
        });
        EXPECT_TRUE(run_until(io, [&] { return is_told; }));
        return answers;
    };
    EXPECT_TRUE(ask());
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const std::unique_ptr<rlimit, void (*)(rlimit*)> as_it_was(&before, [](rlimit* limit) { ::setrlimit(RLIMIT_NOFILE, limit); });
    // No more descriptors from here on: neither for sockets nor for the look-up of a name.
    rlimit low = before;
    low.rlim_cur = 100;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    EXPECT_LT(::dup(1), 0);
    server.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    EXPECT_TRUE(run_until(io, [&] { return !ask(); }));
    int misses = 0;
    for (const auto end = Clock::now() + 300ms; Clock::now() < end; ++misses) {
        EXPECT_FALSE(ask());
    }
    EXPECT_GE(misses, 50);
    for (const std::string host : {"localhost", "127.0.0.1"}) {
        Client other{io, options_for("redis://" + host + ":" + std::to_string(server.port()), log)};
        bool is_told = false;
        other.ping([&](bool answers) {
            EXPECT_FALSE(answers);
            is_told = true;
        });
        EXPECT_TRUE(run_until(io, [&] { return is_told; }));
    }
    for (const int descriptor : taken) {
        ::close(descriptor);
    }
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(run_until(io, ask));
    EXPECT_GE(log.count("Too many open files"), 1U) << log.all();
    EXPECT_LE(log.lines().size(), 20U) << log.all();
}

TEST(Load, ASoakWithAKillEverySecondKeepsItsBoundsAndItsCounts) {
    const char* const setting = std::getenv("LUZIA_SOAK_SECONDS");
    const auto seconds = std::chrono::seconds(setting != nullptr ? std::atoi(setting) : 30);
    ASSERT_GE(seconds, 6s);
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    asio::thread_pool pool(2);
    auto options = options_for(gate.url(), log);
    options.connections = 2;
    options.command_timeout = 200ms;
    options.max_pending_bytes = 4 * mebibyte;
    Tally tally;
    std::atomic<bool> is_over = false;
    std::size_t warm_memory = 0;
    std::size_t warm_descriptors = 0;
    bool is_peak_known = false;
    std::size_t kills = 0;
    {
        Client cache{pool.get_executor(), options};
        std::vector<std::thread> callers;
        for (unsigned caller = 0; caller < 4; ++caller) {
            callers.emplace_back([&, caller] {
                std::mt19937 random(caller);
                const std::string value(2000, 'v');
                while (!is_over) {
                    for (int i = 0; i < 50; ++i) {
                        const std::string key = "key:" + std::to_string(random() % 1000);
                        ++tally.begun;
                        switch (random() % 8) {
                        case 0: cache.set(key, value, [&](luzia::Effect effect) { tally.end(effect.outcome); }); break;
                        case 1: cache.erase(key, [&](luzia::Effect effect) { tally.end(effect.outcome); }); break;
                        default: begin_get(cache, tally, key); break;
                        }
                    }
                    ::poll(nullptr, 0, 2);
                }
            });
        }
        const auto start = Clock::now();
        for (auto next = start + 1s; Clock::now() < start + seconds; next += 1s) {
            ::poll(nullptr, 0, static_cast<int>(std::max<std::int64_t>(0, (next - Clock::now()) / 1ms)));
            if (kills == 2) {
                warm_memory = resident_bytes();
                warm_descriptors = open_descriptors();
                is_peak_known = begin_peak();
            }
            if (kills % 4 == 3) {
                gate.throttle(Way::to_client, 1000, 5ms); // slower than the load: much of it is shed
                ::poll(nullptr, 0, 500);
                gate.heal();
            }
            server.kill();
            server.restart();
            ++kills;
        }
        is_over = true;
        for (std::thread& caller : callers) {
            caller.join();
        }
        EXPECT_TRUE(wait_for([&] { return tally.ended == tally.begun; }));
        EXPECT_TRUE(wait_for([&] { return cache.ping(asio::use_future).get(); }, 20s));
        const auto stats = cache.stats();
        EXPECT_EQ(stats.hits, tally.of(Outcome::hit));
        EXPECT_EQ(stats.timeouts, tally.of(Outcome::timed_out));
        EXPECT_EQ(stats.shed, tally.of(Outcome::shed));
        EXPECT_GE(stats.reconnects, kills / 2);
        std::printf("[ soak     ] %zu s, %zu kills, %llu reconnects, %zu log lines: %s\n", static_cast<std::size_t>(seconds.count()), kills,
                    static_cast<unsigned long long>(stats.reconnects), log.lines().size(), tally.text().c_str());
        std::printf("[ soak     ] descriptors %zu, then %zu; resident %.1f MiB, then %.1f, at the most %.1f\n", warm_descriptors,
                    open_descriptors(), static_cast<double>(warm_memory) / mebibyte, static_cast<double>(resident_bytes()) / mebibyte,
                    static_cast<double>(peak_bytes()) / mebibyte);
        if (!is_instrumented && is_peak_known) { EXPECT_LE(peak_bytes(), warm_memory + 2 * options.max_pending_bytes + 16 * mebibyte); }
        EXPECT_LE(open_descriptors(), warm_descriptors + 4);
        EXPECT_LE(log.lines().size(), 12U * static_cast<std::size_t>(seconds.count()));
        cache.close();
    }
    pool.join();
    EXPECT_GE(tally.of(Outcome::hit), 1000U);
    EXPECT_GE(tally.of(Outcome::unavailable), 100U);
}

} // namespace
} // namespace luzia_test
