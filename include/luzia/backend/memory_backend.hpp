// backend/memory_backend.hpp: the backend that is this process's own memory: for tests, for development, for a service without Redis.
#pragma once

#include <luzia/backend/memory_store.hpp>
#include <luzia/backend/operation.hpp>
#include <luzia/redis/context_service.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace luzia {

using backend::MemoryLimits;

/// Keeps values in memory, private to its owner, with Redis's rules for ttls and patterns. Every operation is answered inside `submit`.
class MemoryBackend {
public:
    using executor_type = boost::asio::any_io_executor;

    explicit MemoryBackend(const executor_type& executor, MemoryLimits limits = MemoryLimits())
        : executor_(executor), shared_(std::make_unique<Shared>(limits)) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_.get(); }

    void submit(const backend::Request& request, backend::Operation& operation) {
        backend::Answer answer;
        {
            const std::scoped_lock lock(shared_->mutex);
            answer = shared_->is_closed ? backend::Answer::failure(Error::closed) : perform(request, std::chrono::steady_clock::now());
        }
        operation.on_answer(std::move(answer));
    }

    /// Nothing is ever pending.
    void cancel(backend::Operation&) noexcept {}

    void close() {
        if (!shared_) { return; }
        const std::scoped_lock lock(shared_->mutex);
        shared_->is_closed = true;
    }

    [[nodiscard]] backend::Status status() const {
        const std::scoped_lock lock(shared_->mutex);
        backend::Status status;
        status.is_ready = !shared_->is_closed;
        return status;
    }

private:
    struct Shared {
        explicit Shared(MemoryLimits limits) : store(limits) {}
        std::mutex mutex;
        backend::MemoryStore store;
        bool is_closed = false;
    };

    [[nodiscard]] backend::Answer perform(const backend::Request& request, backend::MemoryStore::TimePoint now) {
        using backend::Verb;
        backend::MemoryStore& store = shared_->store;
        backend::Answer answer;
        switch (request.verb) {
        case Verb::get: {
            const std::string* const value = store.get(request.keys[0], now);
            answer.outcome = value != nullptr ? Outcome::hit : Outcome::miss;
            if (value != nullptr) { answer.value = *value; }
            break;
        }
        case Verb::get_many:
            answer.outcome = Outcome::hit;
            for (const std::string_view key : request.keys) {
                const std::string* const value = store.get(key, now);
                answer.values.push_back(value != nullptr ? std::optional(*value) : std::nullopt);
            }
            break;
        case Verb::set:
            for (std::size_t i = 0; i < request.keys.size(); ++i) {
                const bool is_room = store.set(request.keys[i], request.values[i], request.ttl, now);
                if (is_room && !request.ttl.is_removal()) { ++answer.count; }
                if (!is_room) {
                    answer.outcome = Outcome::invalid;
                    answer.error = Error::value_too_large;
                }
            }
            break;
        case Verb::erase:
            for (const std::string_view key : request.keys) {
                answer.count += store.erase(key, now) ? 1U : 0U;
            }
            break;
        case Verb::touch: answer.count = store.touch(request.keys[0], request.ttl, now) ? 1 : 0; break;
        case Verb::contains: answer.outcome = store.time_to_live(request.keys[0], now) ? Outcome::hit : Outcome::miss; break;
        case Verb::time_to_live: {
            const auto left = store.time_to_live(request.keys[0], now);
            answer.outcome = left ? Outcome::hit : Outcome::miss;
            answer.ttl = left.value_or(no_expiry);
            break;
        }
        case Verb::remove_matching: answer.count = store.remove_matching(request.keys[0], now); break;
        case Verb::ping: break;
        }
        return answer;
    }

    redis::ContextExecutor executor_;
    std::unique_ptr<Shared> shared_;
};

static_assert(CacheBackend<MemoryBackend>);

} // namespace luzia
