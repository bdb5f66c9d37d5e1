// backend/default_backend.hpp: the backend that a URL names, chosen at run time behind one small virtual interface.
#pragma once

#include <luzia/backend/memory_backend.hpp>
#include <luzia/backend/operation.hpp>
#include <luzia/backend/options.hpp>
#include <luzia/backend/redis_backend.hpp>
#include <luzia/redis/context_service.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
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

/// What the URL of the options names: `redis`, `rediss` and `unix` a `RedisBackend`, `memory` a `MemoryBackend`, `disabled` none.
///
/// @throws std::invalid_argument  where an option or the URL makes no sense; the message names it
class DefaultBackend {
public:
    using executor_type = boost::asio::any_io_executor;

    [[gnu::cold]] DefaultBackend(const executor_type& executor, const BackendOptions& options) : chosen_(choose(executor, options)) {}

    /// Any backend of your own, chosen at run time.
    template <class B>
    requires(!std::same_as<B, DefaultBackend> && CacheBackend<B>) // in this order: the concept asks for moves, which ask here again
        explicit DefaultBackend(B chosen)
        : chosen_(std::make_unique<Model<B>>(std::move(chosen))) {}

    [[nodiscard]] executor_type get_executor() const { return chosen_->get_executor(); }
    void submit(const backend::Request& request, backend::Operation& operation) { chosen_->submit(request, operation); }
    void cancel(backend::Operation& operation) { chosen_->cancel(operation); }
    void flush(bool idle_only) noexcept { chosen_->flush(idle_only); }
    void close() {
        if (chosen_) { chosen_->close(); }
    }
    [[nodiscard]] backend::Status status() const { return chosen_->status(); }

private:
    struct Interface {
        Interface() = default;
        Interface(const Interface&) = delete;
        Interface& operator=(const Interface&) = delete;
        virtual ~Interface() = default;
        [[nodiscard]] virtual executor_type get_executor() const = 0;
        virtual void submit(const backend::Request& request, backend::Operation& operation) = 0;
        virtual void cancel(backend::Operation& operation) = 0;
        virtual void flush(bool idle_only) noexcept = 0;
        virtual void close() = 0;
        [[nodiscard]] virtual backend::Status status() const = 0;
    };

    template <class B>
    struct Model final : Interface {
        explicit Model(B chosen) : backend(std::move(chosen)) {}
        [[nodiscard]] executor_type get_executor() const override { return backend.get_executor(); }
        void submit(const backend::Request& request, backend::Operation& operation) override { backend.submit(request, operation); }
        void cancel(backend::Operation& operation) override { backend.cancel(operation); }
        void flush(bool idle_only) noexcept override {
            if constexpr (requires { backend.flush(idle_only); }) { backend.flush(idle_only); }
        }
        void close() override { backend.close(); }
        [[nodiscard]] backend::Status status() const override { return backend.status(); }
        B backend;
    };

    [[gnu::cold]] [[nodiscard]] static std::unique_ptr<Interface> choose(const executor_type& executor, const BackendOptions& options) {
        backend::validate(options);
        const Url url = backend::checked_url(options);
        if (url.scheme == "disabled") { return std::make_unique<Model<DisabledBackend>>(DisabledBackend(executor)); }
        if (url.scheme == "memory") { return std::make_unique<Model<MemoryBackend>>(MemoryBackend(executor, backend::memory_limits(url))); }
        return std::make_unique<Model<RedisBackend>>(RedisBackend(executor, options));
    }

    std::unique_ptr<Interface> chosen_;
};

static_assert(CacheBackend<DefaultBackend>);

} // namespace luzia
