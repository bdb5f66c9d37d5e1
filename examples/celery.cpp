// celery.cpp: tasks over Redis: a service that has Python do work, and a worker that does work for Python.
//
//   celery worker     runs the tasks cpp.primes and cpp.words, of the queue "cpp", until SIGTERM
//   celery service    sends tasks to Python (celery/tasks.py) and to the worker, and waits for what they give
//
// CELERY_BROKER_URL says where Redis is. `examples/run celery` runs these two, a worker of Celery and a client in Python together.
#include <luzia/celery/client.hpp>
#include <luzia/celery/worker.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace asio = boost::asio;
namespace celery = luzia::celery;
using namespace std::chrono_literals;

/// How many primes there are below `limit`. It computes for a while: it runs in a pool.
int primes(celery::TaskContext& context, int limit) {
    int found = 0;
    for (int number = 2; number < limit && !context.stop_requested(); ++number) {
        bool is_prime = true;
        for (int divisor = 2; is_prime && divisor * divisor <= number; ++divisor) {
            is_prime = number % divisor != 0;
        }
        found += is_prime ? 1 : 0;
    }
    return found;
}

/// A coroutine may be a task as well.
asio::awaitable<std::map<std::string, int>> words(std::string text) {
    std::map<std::string, int> counts;
    std::istringstream stream(text);
    for (std::string word; stream >> word;) {
        ++counts[word];
    }
    if (counts.empty()) { throw celery::TaskFailure("ValueError", "a text without words"); }
    co_return counts;
}

void run_worker() {
    asio::io_context context;
    asio::thread_pool pool(2);
    celery::WorkerOptions options;
    options.queues = {"cpp"};
    celery::Worker worker(context, options);

    celery::TaskSettings computing = celery::parameters("limit");
    computing.executor = pool.get_executor();
    worker.task("cpp.primes", primes, computing);
    worker.task("cpp.words", words, celery::parameters("text"));

    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&](boost::system::error_code error, int) {
        if (!error) { worker.stop(); }
    });
    worker.run([&](boost::system::error_code error) {
        std::cout << "worker:  stopped" << (error ? ": " + error.message() : "") << std::endl;
        signals.cancel();
    });
    context.run();
}

asio::awaitable<void> serve() {
    celery::Client client{co_await asio::this_coro::executor};

    celery::AsyncResult sum = co_await client.send_task("tasks.add", celery::args(2, 3).kwarg("scale", 10));
    const int value = co_await sum.get<int>(10s);
    std::cout << "service: Python says that (2 + 3) * 10 is " << value << std::endl;

    celery::AsyncResult quotient = co_await client.send_task("tasks.divide", celery::args(1, 0));
    try {
        const double result = co_await quotient.get<double>(10s);
        std::cout << "service: 1 / 0 is " << result << std::endl;
    } catch (const celery::TaskFailure& failure) {
        std::cout << "service: Python raised " << failure.exc_type() << ": " << failure.exc_message() << std::endl;
    }

    // Python's result goes to C++.
    celery::TaskOptions here;
    here.queue = "cpp";
    celery::Signature first = celery::signature("tasks.add", celery::args(4, 5), celery::TaskOptions());
    celery::Signature second = celery::signature("cpp.primes", celery::args(), here);
    celery::Chain chain = celery::chain(first, second);
    celery::AsyncResult below = co_await client.send(chain);
    const int count = co_await below.get<int>(10s);
    std::cout << "service: below 4 + 5 there are " << count << " primes" << std::endl;

    // Many at once, and what they add up to.
    celery::Group group;
    for (int i = 1; i <= 10; ++i) {
        group.tasks.push_back(celery::signature("tasks.add", celery::args(i, i), celery::TaskOptions()));
    }
    celery::Chord chord = celery::chord(group, celery::signature("tasks.total"));
    celery::AsyncResult total = co_await client.send(chord);
    const int all = co_await total.get<int>(10s);
    std::cout << "service: ten sums come to " << all << std::endl;

    // A time limit of the caller's own.
    celery::TaskOptions unread;
    unread.queue = "nobody reads this";
    celery::AsyncResult never = co_await client.send_task("tasks.add", celery::args(1, 1), unread);
    try {
        co_await never.get<void>(100ms);
    } catch (const boost::system::system_error& error) { std::cout << "service: " << error.code().message() << std::endl; }
}

int main(int count, char** words_of_command) {
    const std::string mode = count == 2 ? words_of_command[1] : "";
    if (mode == "worker") {
        run_worker();
        return 0;
    }
    if (mode != "service") {
        std::cerr << "usage: celery worker | celery service\n";
        return 2;
    }
    asio::io_context context;
    asio::co_spawn(context, serve(), [](std::exception_ptr problem) {
        if (problem) { std::rethrow_exception(problem); }
    });
    context.run();
}
