// Workers and servers that are killed at every step: each task is run at least once, and twice only where nobody could know better.
#include "../support/gate.hpp"
#include "../support/run.hpp"
#include "../support/running_worker.hpp"

#include <luzia/celery/client.hpp>

#include <boost/asio/as_tuple.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;
using luzia::error_code;

/// A worker in C++ that can be killed.
class CppWorker {
public:
    CppWorker(const std::string& broker, const std::string& backend, int concurrency = 1, const std::string& ack = "late")
        : process_({LUZIA_CELERY_WORKER, broker, backend, "1000", std::to_string(concurrency), ack, "cpp@crash"}) {}
    explicit CppWorker(const RedisServer& server, int concurrency = 1, const std::string& ack = "late")
        : CppWorker(server.url() + "/0", server.url() + "/1", concurrency, ack) {}

    void kill() { process_.kill(); }
    void stop() {
        process_.signal(SIGTERM);
        process_.wait();
    }

private:
    Process process_;
};

TEST(CeleryCrash, WhatAWorkerHadClaimedAndWhatItRanIsRunByAnother) {
    RedisServer server;
    Books books(server);
    for (const std::string id : {"runs", "waits-1", "waits-2", "waits-3"}) {
        books.push("cpp.hold", id, Json::array({"go"}));
    }
    CppWorker killed(server);
    ASSERT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "4" && books.results({"LLEN", "running"}) == "1"; }));
    killed.kill();
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "4");
    books.results({"SET", "go", "1"});
    CppWorker next(server);
    for (const std::string id : {"runs", "waits-1", "waits-2", "waits-3"}) {
        EXPECT_TRUE(holds_soon([&] { return books.has_result(id); })) << id;
        EXPECT_EQ(books.result(id).value, true) << id; // it is told that it may have been run before
    }
    EXPECT_EQ(books.results({"LLEN", "running"}), "5"); // one of the four twice
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    next.stop();
}

TEST(CeleryCrash, LetGoWhenItBeginsATaskIsLostWithItsWorkerAlone) {
    RedisServer server;
    Books books(server);
    books.push("cpp.hold", "runs", Json::array({"go"}));
    books.push("cpp.hold", "waits", Json::array({"go"}));
    CppWorker killed(server, 1, "early");
    ASSERT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "1" && books.results({"LLEN", "running"}) == "1"; }));
    killed.kill();
    books.results({"SET", "go", "1"});
    CppWorker next(server, 1, "early");
    EXPECT_TRUE(holds_soon([&] { return books.has_result("waits"); }));
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(books.has_result("runs"));
    EXPECT_EQ(books.results({"LLEN", "running"}), "2");
    next.stop();
}

TEST(CeleryCrash, ATaskWhoseResultWasStoredIsNotRunAgainWhereThatIsAskedFor) {
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    books.push("cpp.hold", "a", Json::array({"go"}));
    // Broker and results are two places here: there is a step between storing and letting go.
    CppWorker killed(gate.url() + "/0", server.url() + "/1");
    ASSERT_TRUE(holds_soon([&] { return books.results({"LLEN", "running"}) == "1"; }));
    gate.stall(Way::to_server);
    books.results({"SET", "go", "1"});
    ASSERT_TRUE(holds_soon([&] { return books.has_result("a"); }));
    killed.kill();
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "1");
    CppWorker next(server, 1, "once");
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_EQ(books.results({"LLEN", "running"}), "1");
    EXPECT_EQ(books.result("a").value, false);
    next.stop();
}

TEST(CeleryCrash, PythonRunsWhatADeadWorkerInCppHeldAndTheOtherWayRound) {
    RedisServer server;
    Books books(server);
    books.push("py.hold", "from-cpp", Json::array({"go"}));
    {
        CppWorker killed(server);
        ASSERT_TRUE(holds_soon([&] { return books.results({"LLEN", "running"}) == "1"; }));
        killed.kill();
    }
    // Python looks for what was left behind when it starts.
    ASSERT_TRUE(holds_soon([&, begin = Clock::now()] { return Clock::now() - begin > 2100ms; }));
    CelerySettings settings(server);
    settings.more = {"VISIBILITY=1", "ACKS_LATE=1", "PREFETCH=1"};
    auto python = std::make_unique<CeleryWorker>(settings, "cpp");
    ASSERT_TRUE(holds_soon([&] { return books.results({"LLEN", "running"}) == "2"; }));
    python->kill();
    books.results({"SET", "go", "1"});
    CppWorker next(server);
    EXPECT_TRUE(holds_soon([&] { return books.has_result("from-cpp"); }));
    EXPECT_EQ(books.result("from-cpp").value, true);
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    next.stop();
}

TEST(CeleryCrash, KilledAgainAndAgainTheWorkersRunEveryTask) {
    constexpr int count = is_sanitized ? 300 : 3000;
    RedisServer server;
    Books books(server);
    for (int i = 0; i < count; ++i) {
        books.push("cpp.count", "n-" + std::to_string(i), Json::array({i}));
    }
    std::vector<std::unique_ptr<CppWorker>> workers;
    for (int i = 0; i < 2; ++i) {
        workers.push_back(std::make_unique<CppWorker>(server, 4));
    }
    std::minstd_rand random(7);
    int kills = 0;
    int done_before = 0;
    while (std::stoi(books.results({"HLEN", "runs"})) < count && kills < 40) {
        // After so many more tasks, wherever that finds them.
        const int until = std::min(count, done_before + 20 + static_cast<int>(random() % static_cast<unsigned>(count / 10)));
        ASSERT_TRUE(holds_soon([&] {
            return (done_before = std::stoi(books.results({"HLEN", "runs"}))) >= until || books.left().empty();
        }));
        auto& victim = workers[random() % workers.size()];
        victim->kill();
        ++kills;
        victim = std::make_unique<CppWorker>(server, 4);
    }
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    int lost = 0;
    int twice = 0;
    for (int i = 0; i < count; ++i) {
        const std::string id = "n-" + std::to_string(i);
        const std::string runs = books.results({"HGET", "runs", id});
        lost += runs == "(nil)" || books.result(id).state != "SUCCESS" ? 1 : 0;
        twice += runs != "1" ? 1 : 0;
    }
    EXPECT_EQ(lost, 0);
    EXPECT_LE(twice, kills * 4); // no more than ran at the same time
    EXPECT_GT(kills, 2);
    std::printf("[ celery   ] %d tasks, %d kills, %d lost, %d run more than once\n", count, kills, lost, twice);
    for (auto& worker : workers) {
        worker->stop();
    }
}

TEST(CeleryCrash, WhatFollowsIsRunThoughWorkersAreKilled) {
    constexpr int count = is_sanitized ? 40 : 200;
    RedisServer server;
    Books books(server);
    for (int i = 0; i < count; ++i) {
        const std::string id = std::to_string(i);
        const Json embed = Json::object({{"callbacks", Json::array({signature_of("cpp.count", "follower-" + id, Json::array({i}))})},
                                         {"chain", Json::array({signature_of("cpp.count", "last-" + id, Json::array({i})),
                                                                signature_of("cpp.count", "next-" + id, Json::array({i}))})}});
        books.broker({"LPUSH", "cpp", envelope_with("cpp.count", "first-" + id, Json::array({i}), embed)});
        books.results({"SET", "celery-taskset-meta-g-" + id + ".s", "2"});
        for (const int member : {0, 1}) {
            const Json chord = Json::object({{"chord", signature_of("cpp.count", "body-" + id, Json::array({i}))}});
            books.broker({"LPUSH", "cpp",
                          envelope_with("cpp.count", "member-" + std::to_string(member) + "-" + id, Json::array({i}), chord,
                                        [&](celery::Message& made) {
                                            made.group = "g-" + id;
                                            made.group_index = member;
                                        })});
        }
    }
    std::vector<std::unique_ptr<CppWorker>> workers;
    for (int i = 0; i < 2; ++i) {
        workers.push_back(std::make_unique<CppWorker>(server, 4));
    }
    std::minstd_rand random(11);
    int kills = 0;
    while (std::stoi(books.results({"HLEN", "runs"})) < 7 * count && kills < 12) {
        const int until = std::stoi(books.results({"HLEN", "runs"})) + count / 4;
        ASSERT_TRUE(holds_soon([&] { return std::stoi(books.results({"HLEN", "runs"})) >= until || books.left().empty(); }));
        auto& victim = workers[random() % workers.size()];
        victim->kill();
        ++kills;
        victim = std::make_unique<CppWorker>(server, 4);
    }
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    int lost = 0;
    int more = 0;
    for (int i = 0; i < count; ++i) {
        for (const std::string what : {"first", "follower", "next", "last", "member-0", "member-1", "body"}) {
            const std::string id = what + "-" + std::to_string(i);
            const std::string runs = books.results({"HGET", "runs", id});
            lost += runs == "(nil)" || books.result(id).state != "SUCCESS" ? 1 : 0;
            more += runs == "(nil)" ? 0 : std::stoi(runs) - 1;
        }
    }
    EXPECT_EQ(lost, 0);
    EXPECT_LE(more, kills * 4 * 4); // what ran when its worker was killed, and at the most three that follow it
    EXPECT_GT(kills, 2);
    std::printf("[ celery   ] %d tasks of chains, callbacks and chords, %d kills, %d lost, %d runs too many\n", 7 * count, kills, lost,
                more);
    for (auto& worker : workers) {
        worker->stop();
    }
}

TEST(CeleryCrash, AServerThatKeepsWhatItWasToldMayBeKilledAsWell) {
    constexpr int count = is_sanitized ? 200 : 1000;
    RedisServer server({"--appendonly", "yes", "--appendfsync", "always"});
    const LogLines log;
    CppWorker worker(server, 4);
    std::vector<std::string> taken;
    int refused = 0;
    int kills = 0;
    run([&]() -> asio::awaitable<void> {
        celery::ClientOptions options;
        options.broker_url = server.url() + "/0";
        options.result_backend = server.url() + "/1";
        options.default_queue = "cpp";
        options.logger = log.logger();
        celery::Client client{co_await asio::this_coro::executor, options};
        asio::steady_timer timer(co_await asio::this_coro::executor);
        for (int i = 0; i < count; ++i) {
            auto [error, task] = co_await client.send_task("cpp.count", celery::args(i), asio::as_tuple(asio::deferred));
            if (!error) {
                taken.push_back(task.id());
            } else {
                ++refused;
                timer.expires_after(5ms);
                co_await timer.async_wait(asio::use_awaitable);
            }
            if (i % (count / 4) == count / 8) {
                server.restart();
                ++kills;
            }
        }
    });
    Books books(server);
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    int lost = 0;
    int twice = 0;
    for (const std::string& id : taken) {
        const std::string runs = books.results({"HGET", "runs", id});
        lost += runs == "(nil)" || books.result(id).state != "SUCCESS" ? 1 : 0;
        twice += runs != "1" ? 1 : 0;
    }
    EXPECT_EQ(lost, 0);
    EXPECT_LE(twice, 4 * kills); // what ran when the server was killed
    EXPECT_GT(taken.size(), static_cast<std::size_t>(count / 2));
    std::printf("[ celery   ] %zu tasks taken, %d refused, %d kills of the server, %d lost, %d run more than once\n", taken.size(), refused,
                kills, lost, twice);
    worker.stop();
}

} // namespace
} // namespace luzia_test
