// The orderly end of a worker: whatever it finds under way is told, or given back; and no handler begins after it.
#include "../support/gate.hpp"
#include "../support/run.hpp"
#include "../support/running_worker.hpp"

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;

TEST(CeleryStopping, WhatCannotBeToldIsGivenBack) {
    for (const std::string what : {"result", "chord"}) {
        SCOPED_TRACE(what);
        const LogLines log;
        RedisServer server;
        Gate gate(server.port());
        Books books(server);
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.result_backend = gate.url() + "/1";
        options.stop_grace = 100ms;
        options.timeout = 500ms;
        std::atomic<bool> has_begun{false};
        std::atomic<bool> may_end{false};
        asio::thread_pool pool(1);
        RunningWorker worker(options, [&](celery::Worker& self) {
            celery::TaskSettings in_pool;
            in_pool.executor = pool.get_executor();
            in_pool.ignore_result = what == "chord"; // else that can't be stored before
            self.task(
                "cpp.computes",
                [&] {
                    has_begun = true;
                    while (!may_end) {
                        std::this_thread::sleep_for(1ms);
                    }
                    return 1;
                },
                in_pool);
        });
        Json embed = Json::object();
        if (what == "chord") {
            embed["chord"] = signature_of("cpp.note", "body", Json::array(), "other");
            books.results({"SET", "celery-taskset-meta-g.s", "1"});
        }
        books.broker({"LPUSH", "cpp", envelope_with("cpp.computes", "a", Json::array(), embed, [&](celery::Message& made) {
                          if (what != "chord") { return; }
                          made.group = "g";
                          made.group_index = 0;
                      })});
        EXPECT_TRUE(holds_soon([&] { return has_begun.load(); })) << log.all();
        gate.shut();
        gate.reset();
        may_end = true;
        EXPECT_TRUE(holds_soon([&] { return log.count("can't be stored") > 0; })) << log.all();
        EXPECT_FALSE(worker.stop());
        EXPECT_EQ(books.broker({"HLEN", "unacked"}), "0");
        EXPECT_EQ(books.broker({"LLEN", "cpp"}), "1") << log.all();
        EXPECT_NE(books.broker({"LINDEX", "cpp", "0"}).find(R"("redelivered":true)"), std::string::npos);
        EXPECT_EQ(worker.stats().given_back, 1U);
        EXPECT_EQ(worker.stats().succeeded, 0U);
        EXPECT_FALSE(books.has_result("a"));
    }
}

TEST(CeleryStopping, WhatWasLetGoWhenItBeganIsGivenBackToo) {
    for (const bool is_in_pool : {false, true}) {
        const LogLines log;
        RedisServer server;
        Books books(server);
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.ack_late = false;
        options.stop_grace = 50ms;
        asio::thread_pool pool(1);
        std::atomic<int> begun{0};
        RunningWorker worker(options, [&](celery::Worker& self) {
            celery::TaskSettings settings;
            if (is_in_pool) { settings.executor = pool.get_executor(); }
            self.task(
                "cpp.waits",
                [&](celery::TaskContext& context) -> asio::awaitable<int> {
                    ++begun;
                    asio::steady_timer timer(co_await asio::this_coro::executor);
                    while (is_in_pool && !context.stop_requested()) { // keeps the others from beginning
                        std::this_thread::sleep_for(1ms);
                    }
                    timer.expires_after(std::chrono::hours(1));
                    co_await timer.async_wait(asio::use_awaitable);
                    co_return 1;
                },
                settings);
        });
        for (int i = 0; i < 3; ++i) {
            books.push("cpp.waits", std::to_string(i), Json::array());
        }
        EXPECT_TRUE(holds_soon([&] { return begun == (is_in_pool ? 1 : 3) && books.left().empty(); })) << log.all();
        EXPECT_FALSE(worker.stop());
        pool.join();
        EXPECT_EQ(books.broker({"LLEN", "cpp"}), "3") << log.all();
        EXPECT_EQ(worker.stats().given_back, 3U);
        EXPECT_EQ(worker.stats().lost, 0U);
        const std::string all = books.broker({"LRANGE", "cpp", "0", "-1"});
        std::size_t marked = 0;
        for (std::size_t at = all.find("\"redelivered\":true"); at != std::string::npos; at = all.find("\"redelivered\":true", at + 1)) {
            ++marked;
        }
        EXPECT_EQ(marked, is_in_pool ? 2U : 6U) << all; // in two places of those that had begun
    }
}

TEST(CeleryStopping, WhatIsBeingLetGoIsGivenBackAsItWas) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.ack_late = false;
    options.stop_grace = 0ms;
    std::atomic<int> begun{0};
    RunningWorker worker(options, [&](celery::Worker& self) { self.task("cpp.counts", [&] { ++begun; }); });
    books.push("cpp.add", "first", Json::array({1, 2})); // connections and scripts are there then
    EXPECT_TRUE(holds_soon([&] { return books.has_result("first"); })) << log.all();
    gate.delay(Way::to_client, 100ms);
    const std::string message = envelope("cpp.counts", "a", Json::array());
    books.broker({"LPUSH", "cpp", message});
    EXPECT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "1"; }));
    EXPECT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "0"; })); // let go, and not heard of
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(begun, 0);
    EXPECT_EQ(books.broker({"LRANGE", "cpp", "0", "-1"}), message) << log.all();
    EXPECT_EQ(worker.stats().given_back, 1U);
}

TEST(CeleryStopping, WhatCannotBePutBackIsSaidToBeLost) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.ack_late = false;
    options.stop_grace = 0ms;
    options.timeout = 300ms;
    RunningWorker worker(options);
    books.push("cpp.sleep", "a", Json::array({3600}));
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << log.all();
    std::this_thread::sleep_for(300ms); // until it has heard that the message was let go
    gate.shut();
    gate.reset();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().lost, 1U);
    EXPECT_EQ(log.count("task a has not ended and can't be given back"), 1U) << log.all();
}

TEST(CeleryStopping, NoHandlerBeginsWhenItsWorkerIsStoppedOrGone) {
    for (const std::string how : {"stopped", "worker, context", "context, worker"}) {
        SCOPED_TRACE(how);
        const LogLines log;
        RedisServer server;
        Books books(server);
        asio::thread_pool pool(1);
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.handler_executor = pool.get_executor();
        options.concurrency = 4;
        options.prefetch = 5;
        std::vector<std::string> messages;
        for (int i = 0; i < 6; ++i) {
            messages.push_back(envelope("cpp.computes", std::to_string(i), Json::array()));
            books.broker({"LPUSH", "cpp", messages.back()});
        }
        std::atomic<int> begun{0};
        std::atomic<bool> may_end{false};
        auto io = std::make_unique<asio::io_context>();
        std::optional<celery::Worker> worker(std::in_place, *io, options);
        worker->task("cpp.computes", [&] {
            ++begun;
            while (!may_end) {
                std::this_thread::sleep_for(1ms);
            }
        });
        bool has_ended = false;
        worker->run([&](luzia::error_code) { has_ended = true; });
        while (begun == 0) {
            io->run_one_for(10ms);
        }
        io->run_for(50ms);
        if (how == "stopped") {
            worker->stop();
            const auto let_end = Clock::now() + 200ms;
            while (!has_ended) {
                io->run_one_for(10ms);
                may_end = Clock::now() > let_end;
            }
            EXPECT_EQ(worker->stats().given_back, 4U) << log.all();
            EXPECT_EQ(worker->stats().succeeded, 1U) << log.all();
            messages.erase(messages.begin());
            for (const std::string& message : messages) { // in their order, and as they were
                EXPECT_EQ(books.broker({"RPOP", "cpp"}), message);
            }
        } else if (how == "worker, context") {
            worker.reset();
            io.reset();
        } else {
            io.reset();
            worker.reset();
        }
        may_end = true;
        pool.join();
        EXPECT_EQ(begun, 1);
    }
}

TEST(CeleryStopping, NoHandlerBeginsWhoseTimeIsUp) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    asio::thread_pool pool(1);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.handler_executor = pool.get_executor();
    std::atomic<bool> may_end{false};
    std::atomic<int> begun{0};
    RunningWorker worker(options, [&](celery::Worker& self) {
        self.task("cpp.computes", [&] {
            ++begun;
            while (!may_end) {
                std::this_thread::sleep_for(1ms);
            }
        });
    });
    books.push("cpp.computes", "first", Json::array());
    EXPECT_TRUE(holds_soon([&] { return begun == 1; })) << log.all();
    books.broker({"LPUSH", "cpp", envelope_with("cpp.computes", "limited", Json::array(), Json::object(), [](celery::Message& made) {
                      made.time_limit = 0.05;
                  })});
    EXPECT_TRUE(holds_soon([&] { return books.result("limited").state == "FAILURE"; })) << log.all();
    may_end = true;
    EXPECT_TRUE(holds_soon([&] { return books.result("first").state == "SUCCESS"; })) << log.all();
    books.push("cpp.computes", "last", Json::array()); // behind it in the pool
    EXPECT_TRUE(holds_soon([&] { return books.result("last").state == "SUCCESS"; })) << log.all();
    EXPECT_EQ(begun, 2);
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryStopping, WhatAClaimBringsWhenTheGraceIsOverIsGivenBack) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.stop_grace = 0ms;
    RunningWorker worker(options);
    books.push("cpp.add", "first", Json::array({1, 2}));
    EXPECT_TRUE(holds_soon([&] { return books.has_result("first"); })) << log.all();
    gate.delay(Way::to_client, 200ms);
    const std::string message = envelope("cpp.add", "a", Json::array({1, 2}));
    books.broker({"LPUSH", "cpp", message});
    EXPECT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "1"; }));
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "0");
    EXPECT_EQ(books.broker({"LRANGE", "cpp", "0", "-1"}), message) << log.all();
}

TEST(CeleryStopping, NoConnectionIsOpenedAfterTheEnd) {
    const LogLines log;
    RedisServer server;
    asio::io_context io;
    const auto core =
        std::make_shared<celery::detail::WorkerCore>(io.get_executor(), celery::WorkerOptions(worker_options(server.url(), log)));
    core->join_context();
    core->close_connections();
    luzia::error_code error;
    constexpr std::size_t large = 1 << 20; // has a connection of its own, made when it is needed
    luzia::redis::execute(core->connection_for(core->broker, large), luzia::redis::Words{"PING"}, io.get_executor(),
                          [&](luzia::error_code what, const luzia::redis::Reply&) { error = what; });
    io.run_for(5s);
    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(error, make_error_code(luzia::Error::closed));
}

} // namespace
} // namespace luzia_test
