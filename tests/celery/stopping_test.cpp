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

} // namespace
} // namespace luzia_test
