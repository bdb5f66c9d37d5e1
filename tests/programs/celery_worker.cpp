// A worker of its own process, for tests that kill it. celery_worker BROKER_URL RESULT_URL VISIBILITY_MS CONCURRENCY ACK(late|early|once) NAME
#include "../support/celery_worker.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

int main(int count, char** words) {
    if (count != 7) { return 2; }
    namespace celery = luzia::celery;
    boost::asio::io_context io;
    celery::WorkerOptions options;
    options.broker_url = words[1];
    options.result_backend = words[2];
    options.visibility_timeout = std::chrono::milliseconds(std::atoi(words[3]));
    options.concurrency = static_cast<std::size_t>(std::atoi(words[4]));
    options.ack_late = std::string(words[5]) != "early";
    options.deduplicate_successful_tasks = std::string(words[5]) == "once";
    options.hostname = words[6];
    options.queues = {"cpp"};
    options.timeout = std::chrono::seconds(5);
    options.logger = std::make_shared<spdlog::logger>("none", std::make_shared<spdlog::sinks::null_sink_mt>());
    celery::Worker worker(io, options);
    luzia_test::register_tasks(worker, io.get_executor(), options.result_backend);
    boost::asio::signal_set signals(io, SIGTERM);
    signals.async_wait([&](boost::system::error_code error, int) {
        if (!error) { worker.stop(); }
    });
    worker.run([&](boost::system::error_code) { io.stop(); });
    io.run();
    return 0;
}
