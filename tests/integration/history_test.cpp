// Several clients at one server, random operations, random faults: what was read may have been read, and each operation ended once, in time.
#include "../support/client.hpp"
#include "../support/gate.hpp"
#include "../support/history.hpp"
#include "../support/redis_server.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <poll.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;
using Kind = HistoryEvent::Kind;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

// The check itself.

class HistoryCheck : public testing::Test {
protected:
    /// Times in milliseconds.
    void add(Kind kind, const std::string& value, int begin, int end, Outcome outcome) {
        const HistoryEvent::TimePoint zero{};
        history_.add({kind, kind == Kind::wipe ? "" : "key", value, zero + std::chrono::milliseconds(begin),
                      zero + std::chrono::milliseconds(end), outcome});
    }
    void barrier(int cut, int settled) {
        const HistoryEvent::TimePoint zero{};
        history_.barrier(zero + std::chrono::milliseconds(cut), zero + std::chrono::milliseconds(settled));
    }
    [[nodiscard]] std::string problem() {
        const auto found = history_.violations();
        return found.empty() ? "" : found.front();
    }

    History history_;
};

TEST_F(HistoryCheck, WhatIsWrittenMayBeRead) {
    add(Kind::get, "", 0, 1, Outcome::miss);
    add(Kind::set, "a", 2, 4, Outcome::done);
    add(Kind::get, "", 3, 5, Outcome::miss); // at the same time
    add(Kind::get, "a", 3, 5, Outcome::hit);
    add(Kind::get, "a", 6, 7, Outcome::hit);
    EXPECT_EQ(problem(), "");
}

TEST_F(HistoryCheck, WhatNobodyWroteMayNot) {
    add(Kind::set, "a", 0, 1, Outcome::done);
    add(Kind::get, "b", 2, 3, Outcome::hit);
    EXPECT_EQ(problem(), "key: read b, which nobody wrote to it");
}

TEST_F(HistoryCheck, NorWhatWasWrittenLaterOrNeverSent) {
    add(Kind::get, "a", 0, 1, Outcome::hit);
    add(Kind::set, "a", 2, 3, Outcome::done);
    EXPECT_EQ(problem(), "key: read a before it was written");
    add(Kind::set, "b", 0, 1, Outcome::shed);
    add(Kind::get, "b", 2, 3, Outcome::hit);
    EXPECT_EQ(history_.violations().size(), 2U);
}

TEST_F(HistoryCheck, NorWhatWasReplacedOrRemoved) {
    for (const Kind kind : {Kind::set, Kind::erase, Kind::wipe}) {
        history_.~History();
        new (&history_) History();
        add(Kind::set, "a", 0, 1, Outcome::done);
        add(kind, "b", 2, 4, Outcome::done);
        add(Kind::get, "a", 3, 9, Outcome::hit); // it may have been first
        EXPECT_EQ(problem(), "");
        add(Kind::get, "a", 5, 6, Outcome::hit);
        EXPECT_EQ(problem(), "key: read a after it was replaced or removed");
    }
}

TEST_F(HistoryCheck, WhatWasNotAnsweredMayBeAppliedLate) {
    add(Kind::set, "a", 0, 1, Outcome::timed_out);
    add(Kind::set, "b", 2, 3, Outcome::done);
    add(Kind::get, "b", 4, 5, Outcome::hit);
    add(Kind::get, "a", 6, 7, Outcome::hit);
    EXPECT_EQ(problem(), "");
    add(Kind::erase, "", 8, 9, Outcome::unavailable);
    add(Kind::set, "c", 10, 11, Outcome::done);
    add(Kind::get, "", 12, 13, Outcome::miss);
    EXPECT_EQ(problem(), "");
}

TEST_F(HistoryCheck, BehindABarrierNothingIsAppliedAnyMore) {
    add(Kind::set, "a", 0, 1, Outcome::done);
    add(Kind::erase, "", 2, 3, Outcome::unavailable);
    add(Kind::get, "", 4, 5, Outcome::miss);
    add(Kind::set, "b", 20, 21, Outcome::done);
    add(Kind::get, "", 22, 23, Outcome::miss); // the erase may have come late
    EXPECT_EQ(problem(), "");
    EXPECT_EQ(history_.misses_without_excuse(), 0U);
    barrier(2, 9); // it had not ended then
    EXPECT_EQ(problem(), "");
    barrier(10, 15);
    EXPECT_EQ(problem(), "key: a miss, and nothing can have removed the key");
    EXPECT_EQ(history_.misses_without_excuse(), 2U);
}

TEST_F(HistoryCheck, AMissNeedsAReason) {
    add(Kind::erase, "", 0, 1, Outcome::done);
    add(Kind::set, "a", 2, 3, Outcome::done);
    add(Kind::erase, "", 3, 4, Outcome::shed);
    add(Kind::get, "", 5, 6, Outcome::miss);
    EXPECT_EQ(problem(), "key: a miss, and nothing can have removed the key");
    add(Kind::wipe, "", 4, 5, Outcome::done);
    EXPECT_EQ(problem(), "");
}

// The real thing.

/// One client with callers of its own, on a strand of its own.
class Service {
public:
    Service(asio::thread_pool& pool, const luzia::CacheOptions& options, History& history, unsigned number)
        : strand_(asio::make_strand(pool)),
          cache_(strand_, options),
          timeout_(options.command_timeout),
          history_(history),
          number_(number) {}

    void start(unsigned callers) {
        for (unsigned caller = 0; caller < callers; ++caller) {
            ++callers_;
            asio::co_spawn(strand_, call(caller), [this](std::exception_ptr problem) {
                if (problem) { ++wrong_; }
                --callers_;
            });
        }
    }
    void stop() { is_over_ = true; }
    [[nodiscard]] bool has_stopped() const { return callers_ == 0; }
    [[nodiscard]] Client& cache() { return cache_; }
    [[nodiscard]] int wrong() const { return wrong_; }
    [[nodiscard]] std::size_t late() const { return late_; }

private:
    asio::awaitable<void> call(unsigned caller) {
        std::mt19937 random(number_ * 1000 + caller);
        const auto below = [&](unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random); };
        for (unsigned serial = 0; !is_over_; ++serial) {
            HistoryEvent event;
            event.key = "key:" + std::to_string(below(12));
            event.value = event.key + '/' + std::to_string(number_) + '.' + std::to_string(caller) + '.' + std::to_string(serial);
            event.begin = Clock::now();
            switch (below(10)) {
            case 0: {
                event.kind = Kind::erase;
                const luzia::Effect erased = co_await cache_.erase(event.key);
                event.outcome = erased.outcome;
                break;
            }
            case 1:
            case 2:
            case 3: {
                event.kind = Kind::set;
                const luzia::Effect stored = co_await cache_.set(event.key, event.value, luzia::no_expiry);
                event.outcome = stored.outcome;
                break;
            }
            case 4: {
                event.kind = Kind::erase;
                const luzia::Effect removed = co_await cache_.invalidate_pattern(event.key);
                event.outcome = removed.outcome;
                break;
            }
            default: {
                event.kind = Kind::get;
                const auto found = co_await cache_.lookup(event.key);
                event.outcome = found.outcome;
                event.value = found.value.value_or("");
                break;
            }
            }
            event.end = Clock::now();
            if (!strand_.running_in_this_thread()) { ++wrong_; }
            // A walk is several commands, each with a time of its own.
            if (event.end - event.begin > 4 * timeout_ + slack) { ++late_; }
            const bool is_a_miss_for_nothing = !luzia::is_answer(event.outcome);
            history_.add(std::move(event));
            if (is_a_miss_for_nothing) { co_await pause_for(std::chrono::milliseconds(1 + below(5))); } // as a database would take
        }
    }

    asio::strand<asio::thread_pool::executor_type> strand_;
    Client cache_;
    std::chrono::milliseconds timeout_;
    History& history_;
    unsigned number_;
    std::atomic<bool> is_over_{false};
    std::atomic<int> callers_{0};
    std::atomic<int> wrong_{0};
    std::atomic<std::size_t> late_{0};
};

TEST(HistoryOfFaults, WhatIsReadMayBeReadAndEveryOperationEndsOnceInTime) {
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    History history;
    asio::thread_pool pool(2);
    std::vector<std::unique_ptr<Service>> services;
    for (unsigned number = 0; number < 4; ++number) {
        auto options = options_for(number % 2 == 0 ? gate.url() : gate.socket_url(), log);
        options.command_timeout = 100ms;
        options.connect_timeout = 200ms;
        options.backoff = luzia::redis::Backoff(10ms, 100ms);
        options.connections = 1 + number % 3;
        services.push_back(std::make_unique<Service>(pool, options, history, number));
    }
    for (const auto& service : services) {
        service->start(6);
    }

    std::mt19937 random(20'26);
    const auto below = [&](int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random); };
    const auto let_pass = [](int milliseconds) { ::poll(nullptr, 0, milliseconds); }; // the fault lasts, nothing is waited for
    std::array<int, 9> faults{};
    for (const auto end = Clock::now() + 10s; Clock::now() < end;) {
        const int fault = below(9);
        ++faults[static_cast<std::size_t>(fault)];
        const Way way = below(2) == 0 ? Way::to_server : Way::to_client;
        switch (fault) {
        case 0: gate.cut(); break;
        case 1: gate.reset(); break;
        case 2: gate.stall(way); break;
        case 3: gate.delay(way, std::chrono::milliseconds(1 + below(150))); break;
        case 4: gate.throttle(way, static_cast<std::size_t>(1 + below(400)), std::chrono::milliseconds(1 + below(20))); break;
        case 5: gate.reset_after(way, static_cast<std::size_t>(1 + below(2000))); break;
        case 6:
            gate.shut();
            gate.cut();
            break;
        case 7: server.pause(); break;
        default: {
            HistoryEvent wipe;
            wipe.kind = Kind::wipe;
            wipe.begin = Clock::now();
            server.kill();
            let_pass(below(100));
            server.restart();
            wipe.end = Clock::now();
            history.add(wipe);
        }
        }
        let_pass(20 + below(180));
        server.resume();
        gate.heal();
        if (fault == 6) { gate.open(); }
        const auto cut = Clock::now();
        gate.reset();
        // Two answers, one behind the other: between them the server has looked at every connection that had brought it something.
        EXPECT_EQ(server.command({"PING"}) + server.command({"PING"}), "PONGPONG");
        history.barrier(cut, Clock::now());
        let_pass(below(250));
    }
    for (const auto& service : services) {
        service->stop();
    }
    const auto limit = Clock::now() + 20s;
    const auto is_over = [&] { return std::all_of(services.begin(), services.end(), [](const auto& one) { return one->has_stopped(); }); };
    while (!is_over() && Clock::now() < limit) {
        let_pass(1);
    }
    EXPECT_TRUE(is_over());
    for (const auto& service : services) {
        EXPECT_EQ(service->wrong(), 0);
        EXPECT_EQ(service->late(), 0U);
        auto answers = service->cache().ping(asio::use_future);
        static_cast<void>(answers.get());
        service->cache().close();
    }
    services.clear();
    pool.join();

    const auto violations = history.violations();
    EXPECT_TRUE(violations.empty()) << violations.size() << " of them: " << violations.front();
    std::printf("[ history  ] %zu operations: %zu hits, %zu misses (%zu without an excuse), %zu writes done, %zu unavailable, %zu timed "
                "out; faults:",
                history.size(), history.count(Kind::get, Outcome::hit), history.count(Kind::get, Outcome::miss),
                history.misses_without_excuse(), history.count(Kind::set, Outcome::done), history.count(Kind::get, Outcome::unavailable),
                history.count(Kind::get, Outcome::timed_out));
    for (const int count : faults) {
        std::printf(" %d", count);
    }
    std::printf("\n");
    EXPECT_GE(history.count(Kind::get, Outcome::hit), 1000U);
    EXPECT_GE(history.count(Kind::get, Outcome::miss), 100U);
    EXPECT_GE(history.misses_without_excuse(), 100U);
    EXPECT_GE(history.count(Kind::set, Outcome::done), 1000U);
    EXPECT_GE(history.count(Kind::get, Outcome::unavailable), 100U);
}

TEST(HistoryOfFaults, CorruptedBytesEndNoOperationTwiceOrNever) {
    RedisServer server;
    Gate gate(server.port());
    LogLines log;
    History history; // kept and not judged: what is corrupted inside a value can't be seen
    asio::thread_pool pool(2);
    auto options = options_for(gate.url(), log);
    options.command_timeout = 100ms;
    options.connect_timeout = 200ms;
    options.backoff = luzia::redis::Backoff(1ms, 20ms);
    Service service(pool, options, history, 1);
    service.start(8);
    std::mt19937 random(7);
    for (int round = 0; round < 60; ++round) {
        const auto way = round % 2 == 0 ? Way::to_client : Way::to_server;
        gate.corrupt(way, std::uniform_int_distribution<std::size_t>(3, 3000)(random));
        ::poll(nullptr, 0, 40);
        gate.heal();
        ::poll(nullptr, 0, 10);
    }
    service.stop();
    for (const auto limit = Clock::now() + 20s; !service.has_stopped() && Clock::now() < limit;) {
        ::poll(nullptr, 0, 1);
    }
    EXPECT_TRUE(service.has_stopped());
    EXPECT_EQ(service.wrong(), 0);
    EXPECT_EQ(service.late(), 0U);
    service.cache().close();
    pool.join();
    EXPECT_GE(history.count(Kind::get, Outcome::unavailable), 10U);
    EXPECT_LE(log.lines().size(), 2000U);
}

} // namespace
} // namespace luzia_test
