// tests/support/run.hpp: runs coroutines to their end, or to a limit that no healthy run comes near; gathers log lines.
#pragma once

#include <gtest/gtest.h>
#include <luzia/core/event_log.hpp>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia_test {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// Runs `body` on `io` until it has ended. What it throws is thrown here.
inline void run(asio::io_context& io, asio::awaitable<void> body, std::chrono::seconds limit = 60s) {
    std::optional<std::exception_ptr> end;
    asio::co_spawn(io, std::move(body), [&](std::exception_ptr error) {
        end = error;
        io.stop();
    });
    io.restart();
    io.run_for(limit);
    if (!end) {
        ADD_FAILURE() << "still running after " << limit.count() << " s";
    } else if (*end) {
        std::rethrow_exception(*end);
    }
}

/// On a context of its own, which is left to finish what the body has left behind.
template <class Body>
void run(Body body) {
    asio::io_context io;
    run(io, body());
}

/// Asks again and again until `condition` holds, or to the limit.
inline asio::awaitable<bool> eventually(std::function<bool()> condition, std::chrono::milliseconds limit = 20s) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) { co_return false; }
        timer.expires_after(2ms);
        co_await timer.async_wait(asio::use_awaitable);
    }
    co_return true;
}

/// Every line that is logged, as "level text".
class LogLines {
public:
    LogLines() : sink_(std::make_shared<Sink>()), logger_(std::make_shared<spdlog::logger>("test", sink_)) {
        logger_->set_level(spdlog::level::trace);
    }

    [[nodiscard]] std::shared_ptr<spdlog::logger> logger() const { return logger_; }

    [[nodiscard]] std::vector<std::string> lines() const {
        const std::scoped_lock lock(sink_->mutex);
        return sink_->lines;
    }
    [[nodiscard]] std::size_t count(const std::string& part) const {
        std::size_t found = 0;
        for (const std::string& line : lines()) {
            found += line.find(part) != std::string::npos ? 1U : 0U;
        }
        return found;
    }
    [[nodiscard]] std::string all() const {
        std::string text;
        for (const std::string& line : lines()) {
            text += line + '\n';
        }
        return text;
    }

private:
    struct Sink final : spdlog::sinks::sink {
        void log(const spdlog::details::log_msg& message) override {
            const std::scoped_lock lock(mutex);
            const auto level = spdlog::level::to_string_view(message.level);
            lines.push_back(std::string(level.data(), level.size()) + " " + std::string(message.payload.data(), message.payload.size()));
        }
        void flush() override {}
        void set_pattern(const std::string&) override {}
        void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

        std::mutex mutex;
        std::vector<std::string> lines;
    };

    std::shared_ptr<Sink> sink_;
    std::shared_ptr<spdlog::logger> logger_;
};

} // namespace luzia_test
