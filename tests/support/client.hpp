// tests/support/client.hpp: what the tests of a client share: its options, the way back to service, waiting times and how they are told.
#pragma once

#include "run.hpp"

#include <luzia/cache/options.hpp>
#include <luzia/core/outcome.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace luzia_test {

using Clock = std::chrono::steady_clock;

/// Room for what is no failure on a busy machine: no test of a limit expects better than this.
inline constexpr std::chrono::milliseconds slack{1500};

inline luzia::CacheOptions options_for(const std::string& url, const LogLines& log) {
    luzia::CacheOptions options;
    options.url = url;
    options.logger = log.logger();
    return options;
}

/// Asks until the server answers, or for twenty seconds.
template <class Client>
asio::awaitable<bool> serves_again(Client& cache) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    const auto end = Clock::now() + 20s;
    while (Clock::now() < end) {
        const bool answers = co_await cache.ping();
        if (answers) { co_return true; }
        timer.expires_after(5ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
    co_return false;
}

inline asio::awaitable<void> pause_for(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

/// How long callers waited.
class Waits {
public:
    void add(Clock::duration wait) { waits_.push_back(wait); }

    [[nodiscard]] std::size_t count() const { return waits_.size(); }
    [[nodiscard]] Clock::duration worst() const {
        return waits_.empty() ? Clock::duration(0) : *std::max_element(waits_.begin(), waits_.end());
    }
    /// Of those after the first twenty.
    [[nodiscard]] Clock::duration percentile(double part) const {
        if (waits_.size() <= 20) { return worst(); }
        std::vector<Clock::duration> later(waits_.begin() + 20, waits_.end());
        std::sort(later.begin(), later.end());
        return later[std::min(later.size() - 1, static_cast<std::size_t>(part * static_cast<double>(later.size())))];
    }

    /// One line for who reads the output.
    void tell(const std::string& what, Clock::duration back = Clock::duration(0)) const {
        const auto us = [](Clock::duration time) {
            return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
        };
        std::printf("[ waits    ] %s: %zu calls, worst %.1f ms, then p50 %.1f us, p99 %.1f us; back after %.2f s\n", what.c_str(), count(),
                    us(worst()) / 1000, us(percentile(0.5)), us(percentile(0.99)), us(back) / 1e6);
        std::fflush(stdout);
    }

private:
    std::vector<Clock::duration> waits_;
};

/// One caller after another, for so long.
template <class Client>
asio::awaitable<Waits> call_for(Client& cache, std::chrono::milliseconds time) {
    Waits waits;
    const auto end = Clock::now() + time;
    while (Clock::now() < end) {
        const auto begin = Clock::now();
        const auto found = co_await cache.lookup("key");
        waits.add(Clock::now() - begin);
        EXPECT_NE(found.outcome, luzia::Outcome::hit);
        co_await asio::post(asio::deferred); // others run as well
    }
    co_return waits;
}

} // namespace luzia_test
