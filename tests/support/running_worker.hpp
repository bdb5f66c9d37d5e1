// tests/support/running_worker.hpp: a worker in C++ on a thread of the test's, messages for it as they stand in a queue, and what it leaves there.
#pragma once

#include "celery.hpp"
#include "celery_worker.hpp"
#include "client.hpp"
#include "redis_server.hpp"

#include <luzia/celery/result.hpp>
#include <luzia/celery/worker.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {

inline luzia::celery::WorkerOptions worker_options(const std::string& url, const LogLines& log) {
    luzia::celery::WorkerOptions options;
    options.broker_url = url + "/0";
    options.result_backend = url + "/1";
    options.queues = {"cpp"};
    options.hostname = "cpp@test";
    options.concurrency = 4;
    options.stop_grace = std::chrono::seconds(5);
    options.logger = log.logger();
    return options;
}

/// A worker on a thread of its own, running while the object lives.
class RunningWorker {
public:
    explicit RunningWorker(const luzia::celery::WorkerOptions& options, const std::function<void(luzia::celery::Worker&)>& more = {})
        : worker_(io_, options) {
        register_tasks(worker_, io_.get_executor(), options.result_backend);
        if (more) { more(worker_); }
        ended_ = worker_.run(asio::use_future);
        thread_ = std::thread([this] { io_.run(); });
    }
    ~RunningWorker() {
        if (thread_.joinable()) { stop(); }
    }

    /// Returns when it has ended.
    luzia::error_code stop() {
        worker_.stop();
        luzia::error_code error;
        try {
            ended_.get();
        } catch (const boost::system::system_error& problem) { error = problem.code(); }
        io_.stop();
        thread_.join();
        return error;
    }
    /// Whether it ends, by what it was told.
    [[nodiscard]] bool ends_soon() { return ended_.wait_for(std::chrono::seconds(20)) == std::future_status::ready; }
    [[nodiscard]] luzia::celery::WorkerStats stats() const { return worker_.stats(); }

private:
    asio::io_context io_;
    luzia::celery::Worker worker_;
    std::future<void> ended_;
    std::thread thread_;
};

/// Runs a mode of the Python side; 0 where everything was as it should be.
inline int peer(const RedisServer& server, const std::vector<std::string>& arguments) {
    return CeleryPeer(CelerySettings(server), arguments).wait();
}

/// A message as it stands in its queue.
inline std::string envelope_with(const std::string& task, const std::string& id, const luzia::celery::Json& args,
                                 const luzia::celery::Json& embed, const std::function<void(luzia::celery::Message&)>& change = {},
                                 const std::string& queue = "cpp") {
    luzia::celery::Message message;
    message.task = task;
    message.id = id;
    message.args = args;
    message.embed = embed;
    if (change) { change(message); }
    luzia::celery::Sender sender;
    sender.delivery_tag = "tag-" + id;
    return *luzia::celery::encode_message(message, queue, sender);
}

/// The same with nothing embedded.
inline std::string envelope(const std::string& task, const std::string& id, const luzia::celery::Json& args,
                            const std::string& queue = "cpp") {
    return envelope_with(task, id, args, luzia::celery::Json::object(), {}, queue);
}

/// A signature as it stands in what is embedded.
inline luzia::celery::Json signature_of(const std::string& task, const std::string& id, const luzia::celery::Json& args,
                                        const std::string& queue = "cpp") {
    return luzia::celery::Json::object({{"task", task},
                                        {"args", args},
                                        {"kwargs", luzia::celery::Json::object()},
                                        {"options", {{"task_id", id}, {"queue", queue}}},
                                        {"subtask_type", nullptr},
                                        {"immutable", true}});
}

/// What the tests ask of the server, each on the database where it is.
class Books {
public:
    explicit Books(RedisServer& server) : server_(server) {}

    std::string broker(const std::vector<std::string>& command) { return ask("0", command); }
    std::string results(const std::vector<std::string>& command) { return ask("1", command); }
    [[nodiscard]] bool has_result(const std::string& id) { return results({"EXISTS", "celery-task-meta-" + id}) == "1"; }
    [[nodiscard]] luzia::celery::TaskResult result(const std::string& id) {
        return luzia::celery::decode_result(results({"GET", "celery-task-meta-" + id})).value_or(luzia::celery::TaskResult());
    }
    void push(const std::string& task, const std::string& id, const luzia::celery::Json& args) {
        broker({"LPUSH", "cpp", envelope(task, id, args)});
    }
    /// Empty where nothing is held, and nothing waits.
    [[nodiscard]] std::string left() { return leftovers(server_, {"cpp"}); }

private:
    std::string ask(const std::string& database, const std::vector<std::string>& command) {
        static_cast<void>(server_.command({"SELECT", database}));
        return server_.command(command);
    }

    RedisServer& server_;
};

} // namespace luzia_test
