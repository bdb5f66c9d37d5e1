// backend/disabled_backend.hpp: no server at all.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/redis/context_service.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <atomic>
#include <utility>

namespace luzia {

/// No server at all: every operation is `unavailable`, at once.
class DisabledBackend {
public:
    using executor_type = boost::asio::any_io_executor;

    explicit DisabledBackend(const executor_type& executor) : executor_(executor) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_.get(); }
    void submit(const backend::Request&, backend::Operation& operation) {
        operation.on_answer(backend::Answer::failure(is_closed_.load() ? Error::closed : Error::disabled));
    }
    void cancel(backend::Operation&) noexcept {}
    void close() noexcept { is_closed_.store(true); }
    [[nodiscard]] backend::Status status() const noexcept { return {}; }

    DisabledBackend(DisabledBackend&& other) noexcept : executor_(std::move(other.executor_)), is_closed_(other.is_closed_.load()) {}

private:
    redis::ContextExecutor executor_;
    std::atomic<bool> is_closed_{false};
};

static_assert(CacheBackend<DisabledBackend>);

} // namespace luzia
