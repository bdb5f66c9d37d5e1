// benchmarks/celery.cpp: the client and the worker of Celery, measured by celery_bench.py beside Celery's own.
//
//   celery worker URL QUEUE CONCURRENCY    runs bench.nothing until SIGTERM
//   celery send URL QUEUE COUNT            sends so many, 256 in flight; prints seconds of wall clock and of CPU
//   celery latency URL QUEUE COUNT         sends one, waits for its result, and so on; prints microseconds: median, 99 %
#include <luzia/celery/client.hpp>
#include <luzia/celery/worker.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <functional>
#include <string>
#include <vector>

namespace asio = boost::asio;
namespace celery = luzia::celery;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void run_worker(const std::string& url, const std::string& queue, std::size_t concurrency) {
    asio::io_context context(1);
    celery::WorkerOptions options;
    options.broker_url = url;
    options.result_backend = url;
    options.queues = {queue};
    options.concurrency = concurrency;
    celery::Worker worker(context, options);
    worker.task("bench.nothing", [] {});
    asio::signal_set signals(context, SIGTERM);
    signals.async_wait([&](boost::system::error_code, int) { worker.stop(); });
    worker.run([&](boost::system::error_code) { signals.cancel(); });
    context.run();
}

celery::ClientOptions options_for(const std::string& url, const std::string& queue) {
    celery::ClientOptions options;
    options.broker_url = url;
    options.result_backend = url;
    options.default_queue = queue;
    return options;
}

void send(const std::string& url, const std::string& queue, int count) {
    asio::io_context context(1);
    const celery::ClientOptions options = options_for(url, queue);
    celery::Client client(context, options);
    int begun = 0;
    int done = 0;
    int failed = 0;
    std::function<void()> next = [&] {
        if (begun == count) { return; }
        ++begun;
        client.send_task("bench.nothing", [&](luzia::error_code error, const celery::AsyncResult&) {
            failed += error ? 1 : 0;
            if (++done == count) { return client.close(); }
            next();
        });
    };
    const auto begin = Clock::now();
    for (int i = 0; i < 256; ++i) {
        next();
    }
    context.run();
    std::printf("%.6f %.6f %d\n", seconds_since(begin), static_cast<double>(std::clock()) / CLOCKS_PER_SEC, failed);
}

asio::awaitable<void> measure_latency(const celery::ClientOptions& options, int count) {
    celery::Client client{co_await asio::this_coro::executor, options};
    std::vector<double> times;
    for (int i = 0; i < count; ++i) {
        const auto begin = Clock::now();
        celery::AsyncResult task = co_await client.send_task("bench.nothing");
        co_await task.get<void>(std::chrono::seconds(30));
        times.push_back(seconds_since(begin) * 1e6);
    }
    std::sort(times.begin(), times.end());
    std::printf("%.0f %.0f\n", times[times.size() / 2], times[times.size() * 99 / 100]);
}

int main(int count, char** words) {
    if (count != 5) { return 2; }
    const std::string mode = words[1];
    const int number = std::atoi(words[4]);
    if (mode == "worker") {
        run_worker(words[2], words[3], static_cast<std::size_t>(number));
    } else if (mode == "send") {
        send(words[2], words[3], number);
    } else {
        asio::io_context context(1);
        const celery::ClientOptions options = options_for(words[2], words[3]);
        asio::co_spawn(context, measure_latency(options, number), [](std::exception_ptr problem) {
            if (problem) { std::rethrow_exception(problem); }
        });
        context.run();
    }
}
