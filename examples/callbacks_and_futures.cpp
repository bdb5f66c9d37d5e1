// callbacks_and_futures.cpp: the same operations without coroutines. The last argument, Asio's completion token, says how the result comes.
//
// A future for code that waits, a callback for code that does not, `detached` where nobody asks for the result; `drain` before the end, so
// that what was detached is not lost.
#include <luzia/cache_client.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <chrono>
#include <future>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

namespace asio = boost::asio;
using namespace std::chrono_literals;

void with_futures(luzia::CacheClient<>& cache) {
    std::future<luzia::Effect> storing = cache.set("visits", 41, asio::use_future);
    const luzia::Effect stored = storing.get();
    std::cout << "future: stored " << stored.count << " key\n";

    std::future<std::optional<int>> reading = cache.get<int>("visits", asio::use_future);
    const std::optional<int> visits = reading.get();
    std::cout << "future: visits is " << visits.value_or(0) << '\n';
}

void with_callbacks(luzia::CacheClient<>& cache, std::thread::id io_thread) {
    std::promise<void> finished;
    // Runs on the client's executor, never inside the call that began the operation.
    cache.get<int>("visits", [&](std::optional<int> visits) {
        std::cout << "callback: visits is " << visits.value_or(0)
                  << ", on the thread of the io_context: " << (std::this_thread::get_id() == io_thread ? "yes" : "no") << '\n';
        cache.set("visits", visits.value_or(0) + 1, 60s, [&](luzia::Effect stored) {
            std::cout << "callback: stored " << stored.count << " key, outcome " << luzia::to_string(stored.outcome) << '\n';
            finished.set_value();
        });
    });
    finished.get_future().wait();

    // On an executor of its own: bound to it.
    asio::thread_pool pool(1);
    cache.get<int>("visits", asio::bind_executor(pool, [&](std::optional<int> visits) {
                       std::cout << "bound callback: visits is " << visits.value_or(0)
                                 << ", on the thread of the io_context: " << (std::this_thread::get_id() == io_thread ? "yes" : "no")
                                 << '\n';
                   }));
    pool.join(); // the pending operation counts as the pool's work
}

void detached(luzia::CacheClient<>& cache) {
    for (int i = 0; i < 100; ++i) {
        cache.set("session:" + std::to_string(i), i, asio::detached);
    }
    bool drained = cache.drain(asio::use_future).get();
    const std::optional<int> last = cache.get<int>("session:99", asio::use_future).get();
    std::cout << "detached: drained " << (drained ? "yes" : "no") << ", session 99 is " << last.value_or(-1) << '\n';

    cache.invalidate_pattern("session:*", asio::detached);
    drained = cache.drain(2s, asio::use_future).get();
    std::cout << "detached: drained " << (drained ? "yes" : "no") << ", " << cache.stats().erased << " keys erased\n";
}

int main() {
    asio::io_context context;
    auto guard = asio::make_work_guard(context);
    std::thread io_thread([&context] { context.run(); });

    {
        luzia::CacheClient cache{context};
        with_futures(cache);
        with_callbacks(cache, io_thread.get_id());
        detached(cache);
    }

    guard.reset();
    io_thread.join();
}
