// What a worker in C++ answers: commands for some workers and not for others, ids and failures of any text, with Celery asking.
#include "../support/run.hpp"
#include "../support/running_worker.hpp"

#include <luzia/celery/worker.hpp>

#include <boost/asio/use_future.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;

/// A worker on a thread of its own, which says when it has ended.
class AnsweringWorker {
public:
    AnsweringWorker(const RedisServer& server, const LogLines& log, const std::function<void(celery::Worker&)>& more = {})
        : worker_(io_, options_of(server, log)) {
        register_tasks(worker_, io_.get_executor(), server.url() + "/1");
        if (more) { more(worker_); }
        ended_ = worker_.run(asio::use_future);
        thread_ = std::thread([this] { io_.run(); });
    }
    ~AnsweringWorker() {
        worker_.stop();
        ended_.wait();
        io_.stop();
        thread_.join();
    }

    [[nodiscard]] bool ends_soon() { return ended_.wait_for(20s) == std::future_status::ready; }

private:
    [[nodiscard]] static celery::WorkerOptions options_of(const RedisServer& server, const LogLines& log) {
        celery::WorkerOptions options;
        options.broker_url = server.url() + "/0";
        options.result_backend = server.url() + "/1";
        options.queues = {"cpp"};
        options.hostname = "cpp@test";
        options.concurrency = 4;
        options.stop_grace = 5s;
        options.logger = log.logger();
        return options;
    }

    asio::io_context io_;
    celery::Worker worker_;
    std::future<void> ended_;
    std::thread thread_;
};

TEST(CeleryAnswers, ACommandWithAPatternIsObeyedWhereTheNameFits) {
    const LogLines log;
    RedisServer server;
    AnsweringWorker worker(server, log);
    EXPECT_EQ(peer(server, {"patterns", "cpp@test"}), 0) << log.all();
    EXPECT_TRUE(worker.ends_soon()); // the last command was for it
    EXPECT_GE(log.count("is not obeyed"), 1U) << log.all();
    EXPECT_EQ(log.count("is not obeyed: pattern \\\"*\\\", matcher \\\"mine\\\""), 1U) << log.all();
}

TEST(CeleryAnswers, AnyTextMayBeAnId) {
    const LogLines log;
    RedisServer server;
    AnsweringWorker worker(server, log);
    EXPECT_EQ(peer(server, {"ids", "cpp@test"}), 0) << log.all();
    EXPECT_EQ(log.count("dead letter"), 0U) << log.all();
    EXPECT_EQ(leftovers(server, {"cpp"}), "");
}

TEST(CeleryAnswers, AFailureOfAnyBytesReachesItsCaller) {
    const LogLines log;
    RedisServer server;
    AnsweringWorker worker(server, log, [](celery::Worker& added_to) {
        added_to.task("cpp.bad_failure", [](celery::TaskContext& context, const std::string& kind) {
            if (kind == "message") { throw celery::TaskFailure("ValueError", "\xff"); }
            if (kind == "argument") { throw celery::TaskFailure("ValueError", Json::array({1, Json::array({"\xc3"})}), "builtins", ""); }
            if (kind == "key") { throw celery::TaskFailure("ValueError", Json::array({Json::object({{"\xfe", 1}})}), "builtins", ""); }
            if (kind == "type") { throw celery::TaskFailure(std::string("Odd\xff\0Error", 10), "text"); }
            if (kind == "module") { throw celery::TaskFailure("OddError", "text", "some\xff.module"); }
            if (kind == "traceback") { throw celery::TaskFailure("ValueError", Json::array(), "builtins", "line\xf0\x9f"); }
            if (kind == "exception") { throw std::runtime_error("caf\xe9"); }
            if (kind == "reason") {
                celery::RetryOptions options;
                options.max_retries = 0;
                options.reason = "\xff";
                throw context.retry(options);
            }
            if (kind == "deep") {
                Json deep;
                for (int i = 0; i < 1000; ++i) {
                    deep = Json::array({std::move(deep)});
                }
                throw celery::TaskFailure("ValueError", deep, "builtins", "");
            }
            throw celery::TaskFailure("ValueError", std::string(std::size_t{80} << 20U, 'x')); // more than may be pending
        });
    });
    EXPECT_EQ(peer(server, {"bytes_of_failures"}), 0) << log.all();
    EXPECT_EQ(leftovers(server, {"cpp"}), "");
}

} // namespace
} // namespace luzia_test
