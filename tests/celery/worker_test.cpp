// The worker of Celery in C++, with real Celery sending to it, beside a real worker, and with messages that nobody should send.
#include "../support/gate.hpp"
#include "../support/run.hpp"
#include "../support/running_worker.hpp"

#include <luzia/celery/client.hpp>
#include <luzia/celery/worker.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;
using luzia::Error;
using luzia::error_code;

TEST(CeleryWorker, RunsWhatPythonSends) {
    const LogLines log;
    RedisServer server;
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_EQ(peer(server, {"basics"}), 0);
    EXPECT_EQ(peer(server, {"options"}), 0);
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(leftovers(server, {"cpp"}), "");
    EXPECT_EQ(log.count("dead letter"), 0U) << log.all();
}

TEST(CeleryWorker, RunsWhatPythonPutsTogetherOfBothWorlds) {
    const LogLines log;
    RedisServer server;
    CeleryWorker python{CelerySettings(server)};
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_EQ(peer(server, {"canvas"}), 0) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_TRUE(holds_soon([&] { return leftovers(server, {"cpp", "celery"}).empty(); })) << leftovers(server, {"cpp", "celery"});
}

TEST(CeleryWorker, RunsTheSameWithBrokerAndResultsOnOneDatabase) {
    const LogLines log;
    RedisServer server;
    CelerySettings settings(server);
    settings.backend = settings.broker;
    CeleryWorker python(settings);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.result_backend = options.broker_url;
    RunningWorker worker(options);
    EXPECT_EQ(CeleryPeer(settings, {"canvas"}).wait(), 0);
    EXPECT_EQ(CeleryPeer(settings, {"basics"}).wait(), 0);
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryWorker, KeysMayHaveAPrefix) {
    const LogLines log;
    RedisServer server;
    CelerySettings settings(server);
    settings.more = {"PREFIX=pre_"};
    CeleryWorker python(settings);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.key_prefix = "pre_";
    RunningWorker worker(options);
    EXPECT_EQ(CeleryPeer(settings, {"prefixed"}).wait(), 0);
    run([&]() -> asio::awaitable<void> {
        celery::ClientOptions client_options;
        client_options.broker_url = options.broker_url;
        client_options.result_backend = options.result_backend;
        client_options.key_prefix = "pre_";
        celery::Client client{co_await asio::this_coro::executor, client_options};
        celery::AsyncResult task = co_await client.send_task("py.add", celery::args(1, 2));
        const int sum = co_await task.get<int>(10s);
        EXPECT_EQ(sum, 3);
        celery::TaskOptions later;
        later.countdown = 300ms;
        celery::AsyncResult unwanted = co_await client.send_task("py.add", celery::args(1), later);
        co_await unwanted.revoke();
        const celery::TaskResult revoked = co_await unwanted.wait(10s);
        EXPECT_EQ(revoked.state, "REVOKED");
    });
    EXPECT_FALSE(worker.stop());
    static_cast<void>(server.command({"SELECT", "0"}));
    for (const std::string& key : server.plain().list({"KEYS", "*"})) {
        EXPECT_EQ(key.rfind("pre_", 0), 0U) << key;
    }
}

TEST(CeleryWorker, AnswersInspectAndControl) {
    const LogLines log;
    RedisServer server;
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_EQ(peer(server, {"control", "cpp@test"}), 0);
}

TEST(CeleryWorker, ServesTheMoreUrgentFirst) {
    const LogLines log;
    RedisServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.concurrency = 1;
    options.prefetch = 1;
    RunningWorker worker(options);
    EXPECT_EQ(peer(server, {"priorities"}), 0);
}

TEST(CeleryWorker, TenThousandTasksFromPythonAreRunAndNothingIsLeft) {
    const LogLines log;
    RedisServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.concurrency = 16;
    RunningWorker worker(options);
    EXPECT_EQ(peer(server, {"many", std::to_string(many_tasks)}), 0);
    EXPECT_TRUE(holds_soon([&] { return leftovers(server, {"cpp"}).empty(); }));
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().succeeded, static_cast<std::uint64_t>(many_tasks));
    EXPECT_EQ(worker.stats().lost, 0U);
}

TEST(CeleryWorker, TenThousandTasksFromCppAreRunAndNothingIsLeft) {
    constexpr int count = many_tasks;
    const LogLines log;
    RedisServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.concurrency = 16;
    options.timeout = 30s;
    RunningWorker worker(options);
    run([&]() -> asio::awaitable<void> {
        celery::ClientOptions client_options;
        client_options.broker_url = options.broker_url;
        client_options.result_backend = options.result_backend;
        client_options.default_queue = "cpp";
        client_options.timeout = 30s;
        celery::Client client{co_await asio::this_coro::executor, client_options};
        int done = 0;
        int wrong = 0;
        const auto begin = Clock::now();
        for (int i = 0; i < count; ++i) {
            client.send_task("cpp.add", celery::args(i, 1), [&, i](error_code error, const celery::AsyncResult& task) {
                wrong += error ? 1 : 0;
                task.get<int>(60s, [&, i](std::exception_ptr failure, int value) {
                    ++done;
                    wrong += failure || value != i + 1 ? 1 : 0;
                });
            });
        }
        const bool is_all = co_await eventually([&] { return done == count; }, 60s);
        EXPECT_TRUE(is_all);
        EXPECT_EQ(wrong, 0);
        std::printf("[ celery   ] %d tasks from C++ to C++ and back in %.1f s\n", count,
                    std::chrono::duration<double>(Clock::now() - begin).count());
    });
    EXPECT_TRUE(holds_soon([&] { return leftovers(server, {"cpp"}).empty(); }));
}

TEST(CeleryWorker, ManyThreadsMayRunClientAndWorker) {
    constexpr int count = 2000;
    const LogLines log;
    RedisServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.concurrency = 16;
    asio::io_context io;
    celery::Worker worker(io, options);
    register_tasks(worker, io.get_executor(), options.result_backend);
    std::future<void> ended = worker.run(asio::use_future);
    celery::ClientOptions client_options;
    client_options.broker_url = options.broker_url;
    client_options.result_backend = options.result_backend;
    client_options.default_queue = "cpp";
    celery::Client client(io, client_options);
    std::atomic<int> done{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { io.run(); });
    }
    for (int thread = 0; thread < 2; ++thread) { // and as many that send
        threads.emplace_back([&, thread] {
            for (int i = thread; i < count; i += 2) {
                client.send_task("cpp.coroutine", celery::args(std::to_string(i)),
                                 [&, i](error_code error, const celery::AsyncResult& task) {
                                     wrong += error ? 1 : 0;
                                     task.get<std::string>(60s, [&, i](std::exception_ptr failure, const std::string& value) {
                                         wrong += failure || value != std::to_string(i) + "!" ? 1 : 0;
                                         ++done;
                                     });
                                 });
            }
        });
    }
    EXPECT_TRUE(holds_soon([&] { return done == count; }, 60s));
    EXPECT_EQ(wrong, 0);
    worker.stop();
    ended.get();
    client.close();
    io.stop();
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(leftovers(server, {"cpp"}), "");
}

TEST(CeleryWorker, WhatIsNoTaskGoesToTheDeadLettersAndWhatCanBeToldIsTold) {
    const LogLines log;
    RedisServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.max_message_bytes = 100'000;
    options.queues = {"cpp", "no-list"};
    static_cast<void>(server.command({"SELECT", "0"}));
    static_cast<void>(server.command({"SET", "no-list", "text"}));
    const std::string good = envelope("cpp.add", "good", Json::array({1, 2}));
    const auto changed = [&](const std::function<void(Json&)>& change, const std::string& id = "") {
        Json json = Json::parse(good);
        if (!id.empty()) { json["headers"]["id"] = id; }
        change(json);
        return json.dump();
    };
    const auto body = [](const std::string& text) { return celery::base64_encode(text); };
    std::vector<std::string> dead{
        "",
        "no json",
        "{",
        "[]",
        "{}",
        "\"text\"",
        "null",
        R"({"headers":{},"properties":{}})",
        "\xff\xfe",
        std::string(200'000, 'x'),
        R"({"body":"x","headers":null,"properties":{}})",
        std::string(2000, '['),
        R"({"headers":{"id":"x","task":"t"},"properties":{},"x":01})",
        // Protocol 1.
        R"({"body":"eyJ0YXNrIjoiYSJ9","headers":{},"content-type":"application/json","properties":{"body_encoding":"base64","delivery_tag":"1"}})",
        changed([](Json& json) { json["headers"].erase("id"); }),
        changed([](Json& json) { json["headers"]["id"] = 7; }),
        changed([](Json& json) { json["headers"]["id"] = "with\nline"; }),
        changed([](Json& json) { json["headers"].erase("task"); }),
    };
    const std::vector<std::string> told{
        changed([](Json& json) { json["content-type"] = "application/x-python-serialize"; }, "pickled"),
        changed([](Json& json) { json["headers"]["compression"] = "application/x-gzip"; }, "compressed"),
        changed([](Json& json) { json["body"] = "!!"; }, "no-base64"),
        changed([](Json& json) { json.erase("body"); }, "no-body"),
        changed([&](Json& json) { json["body"] = body("[[1,2],{}]"); }, "two-parts"),
        changed([&](Json& json) { json["body"] = body("[null,{},{}]"); }, "no-args"),
        changed([&](Json& json) { json["body"] = body("[[1,2],null,{}]"); }, "no-kwargs"),
        changed([&](Json& json) { json["body"] = body("[[1,2],{},7]"); }, "odd-embed"),
        changed([](Json& json) { json["headers"]["eta"] = "tomorrow"; }, "no-eta"),
        changed([](Json& json) { json["headers"]["timelimit"] = Json::array({1}); }, "one-limit"),
        changed([](Json& json) { json["headers"]["retries"] = "x"; }, "odd-retries"),
    };
    for (const std::string& raw : dead) {
        static_cast<void>(server.command({"LPUSH", "cpp", raw}));
    }
    for (const std::string& raw : told) {
        static_cast<void>(server.command({"LPUSH", "cpp", raw}));
    }
    // Of these each is run.
    static_cast<void>(server.command({"LPUSH", "cpp", changed([&](Json& json) { json["body"] = body("[[1,2],{},null]"); }, "null-embed")}));
    static_cast<void>(server.command({"LPUSH", "cpp", changed([](Json& json) {
                                          json["headers"] = {{"task", "cpp.add"}, {"id", "least"}};
                                      })}));
    static_cast<void>(server.command({"LPUSH", "cpp",
                                      changed(
                                          [](Json& json) {
                                              json["properties"].erase("body_encoding");
                                              json["body"] = "[[1,2],{},{}]";
                                          },
                                          "plain")}));
    static_cast<void>(server.command({"LPUSH", "cpp", good}));
    RunningWorker worker(options);
    EXPECT_TRUE(holds_soon([&] { return leftovers(server, {"cpp"}).empty(); })) << leftovers(server, {"cpp"});
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(server.command({"LLEN", "luzia.dead-letter"}), std::to_string(dead.size() + told.size()));
    EXPECT_EQ(worker.stats().dead, dead.size() + told.size());
    for (const std::string& raw : dead) {
        EXPECT_NE(server.command({"LPOS", "luzia.dead-letter", raw}), "(nil)") << raw.substr(0, 200);
    }
    static_cast<void>(server.command({"SELECT", "1"}));
    for (const std::string& raw : told) {
        const std::string id = Json::parse(raw)["headers"]["id"];
        const auto result = celery::decode_result(server.command({"GET", "celery-task-meta-" + id}));
        EXPECT_TRUE(result && result->failure && result->failure->exc_type() == "DecodeError") << id;
    }
    for (const std::string id : {"null-embed", "least", "plain", "good"}) {
        const auto result = celery::decode_result(server.command({"GET", "celery-task-meta-" + id}));
        EXPECT_TRUE(result && result->value == 3) << id;
    }
}

TEST(CeleryWorker, StoppingEndsWhatRunsAndGivesBackTheRest) {
    const LogLines log;
    RedisServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.concurrency = 1;
    options.prefetch = 4;
    static_cast<void>(server.command({"SELECT", "0"}));
    const auto push = [&](const std::string& id, const std::string& key) {
        static_cast<void>(server.command({"LPUSH", "cpp", envelope("cpp.hold", id, Json::array({key}))}));
    };
    push("first", "stop-key");
    push("second", "stop-key");
    push("third", "stop-key");
    {
        Json later = Json::parse(envelope("cpp.add", "later", Json::array({1, 2})));
        later["headers"]["eta"] = celery::iso_time(celery::now() + 1h);
        static_cast<void>(server.command({"LPUSH", "cpp", later.dump()}));
    }
    auto worker = std::make_unique<RunningWorker>(options);
    EXPECT_TRUE(holds_soon([&] { return server.command({"HLEN", "unacked"}) == "4"; }));
    static_cast<void>(server.command({"SELECT", "1"}));
    EXPECT_TRUE(holds_soon([&] { return server.command({"LLEN", "running"}) == "1"; }));
    std::thread let_go([&] {
        const auto plain = PlainClient::try_connect(server.port());
        static_cast<void>(plain->command({"SELECT", "0"}));
        EXPECT_TRUE(holds_soon([&] { return plain->command({"LLEN", "cpp"}) == "3"; })); // given back while the first runs on
        static_cast<void>(plain->command({"SELECT", "1"}));
        static_cast<void>(plain->command({"SET", "stop-key", "1"}));
    });
    EXPECT_FALSE(worker->stop());
    let_go.join();
    EXPECT_EQ(worker->stats().succeeded, 1U);
    EXPECT_EQ(worker->stats().given_back, 3U);
    static_cast<void>(server.command({"SELECT", "0"}));
    EXPECT_EQ(server.command({"HLEN", "unacked"}), "0");
    // In their order, and as they were: nobody has begun them.
    const std::vector<std::string> waiting = server.plain().list({"LRANGE", "cpp", "0", "-1"});
    ASSERT_EQ(waiting.size(), 3U);
    EXPECT_EQ(Json::parse(waiting[2])["headers"]["id"], "second");
    EXPECT_EQ(Json::parse(waiting[1])["headers"]["id"], "third");
    EXPECT_EQ(waiting[1], envelope("cpp.hold", "third", Json::array({"stop-key"})));

    // One that does not end is given back as well, and the next worker runs it.
    static_cast<void>(server.command({"SELECT", "1"}));
    static_cast<void>(server.command({"DEL", "stop-key", "running"}));
    options.stop_grace = 100ms;
    worker = std::make_unique<RunningWorker>(options);
    EXPECT_TRUE(holds_soon([&] { return server.command({"LLEN", "running"}) == "1"; }));
    EXPECT_FALSE(worker->stop());
    static_cast<void>(server.command({"SET", "stop-key", "1"}));
    options.stop_grace = 5s;
    worker = std::make_unique<RunningWorker>(options);
    EXPECT_TRUE(holds_soon([&] {
        return server.command({"EXISTS", "celery-task-meta-third"}) == "1" && server.command({"EXISTS", "celery-task-meta-second"}) == "1";
    }));
    const auto second = celery::decode_result(server.command({"GET", "celery-task-meta-second"}));
    EXPECT_TRUE(second && second->value == true);
}

TEST(CeleryWorker, AHandlerThatComputesRunsInAPoolWhileTheWorkerSaysThatItIsAlive) {
    const LogLines log;
    RedisServer server;
    asio::thread_pool pool(2);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.handler_executor = pool.get_executor();
    options.visibility_timeout = 1s;
    std::atomic<bool> may_end{false};
    std::atomic<int> runs{0};
    const auto computes = [&](celery::Worker& self) {
        self.task("cpp.compute", [&] {
            ++runs;
            while (!may_end) { // what computes does not look up
                std::this_thread::sleep_for(1ms);
            }
            return 1;
        });
    };
    RunningWorker worker(options, computes);
    RunningWorker other(options, computes); // each would take back what the other does not renew
    static_cast<void>(server.command({"SELECT", "0"}));
    static_cast<void>(server.command({"LPUSH", "cpp", envelope("cpp.compute", "a", Json::array())}));
    EXPECT_TRUE(holds_soon([&] { return server.command({"EXISTS", "unacked_index"}) == "1"; }));
    const auto score = [&] {
        const auto entries = server.plain().list({"ZRANGE", "unacked_index", "0", "0", "WITHSCORES"});
        return entries.size() == 2 ? std::stod(entries[1]) : 0.0;
    };
    const double first = score();
    EXPECT_TRUE(holds_soon([&] { return score() > first + 2.5; })); // two and a half visibility timeouts later
    // What needs no pool is served meanwhile.
    static_cast<void>(server.command({"LPUSH", "cpp", envelope("cpp.add", "b", Json::array({1, 2}))}));
    static_cast<void>(server.command({"SELECT", "1"}));
    EXPECT_TRUE(holds_soon([&] { return server.command({"EXISTS", "celery-task-meta-b"}) == "1"; }));
    may_end = true;
    EXPECT_TRUE(holds_soon([&] { return server.command({"EXISTS", "celery-task-meta-a"}) == "1"; }));
    EXPECT_FALSE(worker.stop());
    EXPECT_FALSE(other.stop());
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(worker.stats().lost + other.stats().lost, 0U);
}

TEST(CeleryWorker, GoesOnWhenTheBrokerComesBack) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    celery::WorkerOptions options = worker_options(gate.url(), log);
    options.timeout = 300ms;
    gate.shut();
    RunningWorker worker(options);
    EXPECT_TRUE(holds_soon([&] { return log.count("no connection to") > 0; }));
    gate.open();
    int number = 0;
    const auto runs_one = [&] {
        const std::string id = "task-" + std::to_string(number++);
        static_cast<void>(server.command({"SELECT", "0"}));
        static_cast<void>(server.command({"LPUSH", "cpp", envelope("cpp.add", id, Json::array({1, 2}))}));
        static_cast<void>(server.command({"SELECT", "1"}));
        return holds_soon([&] { return server.command({"EXISTS", "celery-task-meta-" + id}) == "1"; });
    };
    EXPECT_TRUE(runs_one());
    gate.cut();
    EXPECT_TRUE(runs_one());
    gate.stall(Way::to_client);
    static_cast<void>(server.command({"SELECT", "0"}));
    static_cast<void>(server.command({"LPUSH", "cpp", envelope("cpp.add", "while-silent", Json::array({1, 2}))}));
    EXPECT_TRUE(holds_soon([&] { return log.count("silent") > 0; }));
    gate.heal();
    // Also where the answer to the claim was lost: what it took is put back.
    static_cast<void>(server.command({"SELECT", "1"}));
    EXPECT_TRUE(holds_soon([&] { return server.command({"EXISTS", "celery-task-meta-while-silent"}) == "1"; })) << log.all();
    EXPECT_TRUE(runs_one());
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(leftovers(server, {"cpp"}), "");
}

TEST(CeleryWorker, IsGoneWithoutATraceWhenItIsDestroyedWhileItRuns) {
    const LogLines log;
    RedisServer server;
    static_cast<void>(server.command({"SELECT", "0"}));
    static_cast<void>(server.command({"LPUSH", "cpp", envelope("cpp.hold", "held", Json::array({"never"}))}));
    const celery::WorkerOptions options = worker_options(server.url(), log);
    for (const bool is_context_first : {false, true}) {
        std::optional<asio::io_context> io(std::in_place);
        std::optional<celery::Worker> worker(std::in_place, *io, options);
        register_tasks(*worker, io->get_executor(), options.result_backend);
        auto watch = std::make_shared<int>(0);
        worker->run([watch](error_code) { ++*watch; });
        const auto end = Clock::now() + 20s;
        while (server.command({"HLEN", "unacked"}) == (is_context_first ? "1" : "0") && Clock::now() < end && io->run_one_for(10ms) != 0) {
            if (is_context_first) { break; }
        }
        io->run_for(20ms);
        if (!is_context_first) {
            worker.reset();
            io->run_for(200ms);
        }
        io.reset();
        worker.reset();
        EXPECT_EQ(watch.use_count(), 1);
    }
}

} // namespace
} // namespace luzia_test
