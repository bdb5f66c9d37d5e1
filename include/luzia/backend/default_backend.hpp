// backend/default_backend.hpp: the backend that a URL names, chosen at run time.
#pragma once

#include <luzia/backend/any_backend.hpp>
#include <luzia/backend/operation.hpp>
#include <luzia/backend/options.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <concepts>
#include <memory>
#include <utility>

namespace luzia {

/// What the URL of the options names: `redis`, `rediss` and `unix` a `RedisBackend`, `memory` a `MemoryBackend`, `disabled` none.
///
/// @throws std::invalid_argument  where an option or the URL makes no sense; the message names it
class DefaultBackend {
public:
    using executor_type = boost::asio::any_io_executor;

    [[gnu::cold]] DefaultBackend(const executor_type& executor, const BackendOptions& options)
        : chosen_(backend::choose(executor, options)) {}

    /// Any backend of your own, chosen at run time.
    template <class B>
    requires(!std::same_as<B, DefaultBackend> && CacheBackend<B>) // in this order: the concept asks for moves, which ask here again
        explicit DefaultBackend(B chosen)
        : chosen_(std::make_unique<backend::AnyBackendOf<B>>(std::move(chosen))) {}

    [[nodiscard]] executor_type get_executor() const { return chosen_->get_executor(); }
    void submit(const backend::Request& request, backend::Operation& operation) { chosen_->submit(request, operation); }
    void cancel(backend::Operation& operation) { chosen_->cancel(operation); }
    void send_gathered() noexcept { chosen_->send_gathered(); }
    void close() {
        if (chosen_) { chosen_->close(); }
    }
    [[nodiscard]] backend::Status status() const { return chosen_->status(); }

private:
    std::unique_ptr<backend::AnyBackend> chosen_;
};

static_assert(CacheBackend<DefaultBackend>);

} // namespace luzia

#if !defined(LUZIA_SEPARATE_COMPILATION)
#include <luzia/backend/choose.hpp>
#endif
