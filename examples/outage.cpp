// outage.cpp: a counter read ten times a second while Redis freezes and comes back. Every change of the outcome is printed.
//
// The program freezes, for 1.5 s, the Redis whose process id is in LUZIA_EXAMPLE_REDIS_PID; without that variable it leaves the server alone
// and reads from a port where nothing listens. The lines in brackets that name luzia are the library's own log (spdlog's default logger).
#include <luzia/cache_client.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <optional>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class Watch {
public:
    void note(const luzia::Lookup<int>& read, Clock::duration took) {
        ++reads_;
        slowest_ = std::max(slowest_, took);
        if (last_ == read.outcome) { return; }
        say() << "outcome: ";
        if (last_) { std::cout << luzia::to_string(*last_) << " -> "; }
        std::cout << luzia::to_string(read.outcome);
        if (read.value) { std::cout << ", counter " << *read.value; }
        if (read.error) { std::cout << " (" << read.error.message() << ')'; }
        std::cout << '\n';
        last_ = read.outcome;
    }

    std::ostream& say() const {
        const std::chrono::duration<double> since = Clock::now() - begin_;
        return std::cout << std::fixed << std::setprecision(1) << std::setw(4) << since.count() << " s  ";
    }

    void sum_up() const {
        say() << reads_ << " reads, the slowest took " << std::chrono::ceil<std::chrono::milliseconds>(slowest_).count() << " ms\n";
    }

private:
    Clock::time_point begin_ = Clock::now();
    std::optional<luzia::Outcome> last_;
    Clock::duration slowest_{};
    int reads_ = 0;
};

asio::awaitable<void> watch(luzia::CacheClient<>& cache, Watch& watch, Clock::duration duration) {
    const auto end = Clock::now() + duration;
    asio::steady_timer tick(cache.get_executor(), Clock::now());
    while (tick.expiry() < end) {
        const auto begin = Clock::now();
        const luzia::Lookup<int> read = co_await cache.lookup<int>("outage:counter");
        watch.note(read, Clock::now() - begin);
        tick.expires_at(std::max(tick.expiry() + 100ms, Clock::now()));
        co_await tick.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<void> example(asio::io_context& context) {
    const char* const variable = std::getenv("LUZIA_EXAMPLE_REDIS_PID");
    const pid_t pid = variable ? std::atoi(variable) : 0;
    const bool may_freeze = pid > 1; // 0 and less would mean whole groups of processes
    luzia::CacheOptions options = luzia::CacheOptions::from_environment();
    options.command_timeout = 100ms; // the longest that a read may take
    options.connect_timeout = 200ms;
    options.backoff.max = 250ms; // so that it is soon noticed that Redis is back
    if (!may_freeze) { options.url = "redis://127.0.0.1:1"; }

    luzia::CacheClient cache{context, options};
    Watch reads;
    if (!may_freeze) {
        reads.say() << "LUZIA_EXAMPLE_REDIS_PID names no process: reading from a port where nothing listens\n";
        co_await watch(cache, reads, 1s);
        reads.sum_up();
        co_return;
    }

    co_await cache.set("outage:counter", 7);
    co_await watch(cache, reads, 1s);
    reads.say() << "-- freezing Redis\n";
    kill(pid, SIGSTOP);
    co_await watch(cache, reads, 1500ms);
    reads.say() << "-- waking Redis\n";
    kill(pid, SIGCONT);
    co_await watch(cache, reads, 1500ms);
    reads.sum_up();
    const luzia::CacheStats stats = cache.stats();
    reads.say() << stats.hits << " hits, " << stats.misses << " misses, " << stats.timeouts << " of them timed out, "
                << (stats.ready ? "ready" : "not ready") << '\n';
}

int main() {
    asio::io_context context;
    asio::co_spawn(context, example(context), [](std::exception_ptr problem) {
        if (problem) { std::rethrow_exception(problem); }
    });
    context.run();
}
