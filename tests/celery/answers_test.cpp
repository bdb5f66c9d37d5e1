// What a worker in C++ answers: commands for some workers and not for others, ids and failures of any text, with Celery asking.
#include "../support/run.hpp"
#include "../support/running_worker.hpp"

#include <luzia/celery/worker.hpp>

#include <stdexcept>
#include <string>
#include <utility>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;

TEST(CeleryAnswers, ACommandWithAPatternIsObeyedWhereTheNameFits) {
    const LogLines log;
    RedisServer server;
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_EQ(peer(server, {"patterns", "cpp@test"}), 0) << log.all();
    EXPECT_TRUE(worker.ends_soon()); // the last command was for it
    EXPECT_GE(log.count("is not obeyed"), 1U) << log.all();
    EXPECT_EQ(log.count("is not obeyed: pattern \\\"*\\\", matcher \\\"mine\\\""), 1U) << log.all();
}

TEST(CeleryAnswers, AnyTextMayBeAnId) {
    const LogLines log;
    RedisServer server;
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_EQ(peer(server, {"ids", "cpp@test"}), 0) << log.all();
    EXPECT_EQ(log.count("dead letter"), 0U) << log.all();
    EXPECT_EQ(leftovers(server, {"cpp"}), "");
}

TEST(CeleryAnswers, AFailureOfAnyBytesReachesItsCaller) {
    const LogLines log;
    RedisServer server;
    RunningWorker worker(worker_options(server.url(), log), [](celery::Worker& added_to) {
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
