// backend/redis_backend.hpp: the backend that is a Redis server, over one connection or several.
#pragma once

#include <luzia/backend/named_server.hpp>
#include <luzia/backend/operation.hpp>
#include <luzia/backend/options.hpp>
#include <luzia/backend/pattern_walk.hpp>
#include <luzia/backend/redis_calls.hpp>
#include <luzia/redis/connection.hpp>
#include <luzia/redis/context_service.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/system/errc.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia {

/// Keeps values in Redis as plain strings.
///
/// Connects on first use and reconnects by itself. A key always travels on the same connection, so that operations on one key keep the
/// order in which they were begun. Questions about many keys go out in chunks, so that no single command holds the server up.
///
/// @throws std::invalid_argument  where an option or the URL makes no sense; the message names it
class RedisBackend {
public:
    using executor_type = boost::asio::any_io_executor;

    [[gnu::cold]] RedisBackend(const executor_type& executor, const BackendOptions& options) : executor_(executor) {
        backend::validate(options);
        const Url url = backend::checked_url(options);
        redis::detail::require(url.scheme != "memory", "url names no Redis server (allowed: redis, rediss, unix, disabled)");
        log_ = options.events ? options.events : std::make_shared<EventLog>(options.logger);
        if (url.scheme == "disabled") { return; }
        for (const auto& [name, value] : url.parameters) {
            log_->transition(spdlog::level::warn, "luzia: the parameter \"" + printable(name) + "\" of the URL is not known and not used");
        }
        for (std::size_t i = 0; i < options.connections; ++i) {
            connections_.push_back(redis::Connection::create(executor, redis::Target(url), backend::with_credentials(options, url), log_));
        }
    }

    RedisBackend(RedisBackend&&) noexcept = default;
    [[gnu::cold]] RedisBackend& operator=(RedisBackend&& other) noexcept {
        if (this != &other) {
            close();
            executor_ = std::move(other.executor_);
            log_ = std::move(other.log_);
            connections_ = std::move(other.connections_);
            is_closed_ = std::move(other.is_closed_);
        }
        return *this;
    }
    [[gnu::cold]] ~RedisBackend() { close(); }

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_.get(); }

    void submit(const backend::Request& request, backend::Operation& operation) {
        using backend::Verb;
        if (connections_.empty()) { return refuse(operation); }
        switch (request.verb) {
        case Verb::get: return submit_single(request, operation, std::array{std::string_view("GET"), request.keys[0]});
        case Verb::contains: return submit_single(request, operation, std::array{std::string_view("EXISTS"), request.keys[0]});
        case Verb::time_to_live: return submit_single(request, operation, std::array{std::string_view("PTTL"), request.keys[0]});
        case Verb::ping: return submit_single(request, operation, std::array{std::string_view("PING")});
        case Verb::touch: return touch(request, operation);
        case Verb::set: return request.ttl.is_removal() ? remove_instead(request, operation) : set(request, operation);
        case Verb::erase:
            if (request.keys.size() == 1) {
                return submit_single(request, operation, std::array{std::string_view("UNLINK"), request.keys[0]});
            }
            return spread_chunks(request, operation, "UNLINK");
        case Verb::get_many: return spread_chunks(request, operation, "MGET");
        case Verb::remove_matching:
            operation.emplace_state<Cancel>(
                [](backend::Operation& started) { static_cast<backend::detail::PatternWalk*>(started.attachment.get())->cancel(); });
            return std::make_shared<backend::detail::PatternWalk>(request.keys[0], operation, connections_.front())->start();
        }
    }

    void cancel(backend::Operation& operation) {
        if (!connections_.empty()) { operation.state<Cancel>()(operation); }
    }

    /// Comes after questions with `is_gathered`. On threads of the executor, by several at once, and more often than there is anything to send.
    void send_gathered() noexcept {
        for (const auto& connection : connections_) {
            connection->send_gathered();
        }
    }

    [[gnu::cold]] void close() {
        if (is_closed_) { is_closed_->store(true, std::memory_order_relaxed); }
        for (const auto& connection : connections_) {
            connection->close();
        }
    }

    [[gnu::cold]] [[nodiscard]] backend::Status status() const noexcept {
        backend::Status status;
        bool is_one_down = false;
        for (const auto& connection : connections_) {
            status.is_ready = status.is_ready || connection->is_ready();
            is_one_down = is_one_down || (!connection->is_ready() && !connection->is_unused());
            status.reconnects += connection->reconnects();
        }
        status.is_ready = status.is_ready && !is_one_down && !is_closed_->load(std::memory_order_relaxed);
        return status;
    }

private:
    // How an operation is cancelled stands at the start of its state, whichever kind of call it became.
    using Cancel = void (*)(backend::Operation&);

    struct Single {
        Single(Cancel how, backend::Verb verb, backend::Operation& operation, redis::Connection& connection) noexcept
            : cancel(how), call(verb, operation, connection) {}
        Cancel cancel;
        backend::detail::SingleCall call;
    };

    // Keys of one MGET or UNLINK: a server answers other clients between two commands.
    static constexpr std::size_t chunk = 512;

    /// Without a server there is nothing but to say so.
    [[gnu::cold]] void refuse(backend::Operation& operation) const {
        operation.on_answer(backend::Answer::failure(is_closed_->load(std::memory_order_relaxed) ? Error::closed : Error::disabled));
    }

    [[nodiscard]] std::size_t place(std::string_view key) const noexcept {
        return connections_.size() == 1 ? 0 : std::hash<std::string_view>{}(key) % connections_.size();
    }

    void submit_single(const backend::Request& request, backend::Operation& operation, std::span<const std::string_view> arguments) {
        redis::Connection& connection = *connections_[request.keys.empty() ? 0 : place(request.keys[0])];
        operation
            .emplace_state<Single>([](backend::Operation& started) { started.state<Single>().call.cancel(); }, request.verb, operation,
                                   connection)
            .call.submit(arguments, request);
    }

    void touch(const backend::Request& request, backend::Operation& operation) {
        const std::string_view key = request.keys[0];
        if (!request.ttl.is_forever()) {
            const redis::IntegerArgument ttl(request.ttl.value().count());
            return submit_single(request, operation, std::array{std::string_view("PEXPIRE"), key, ttl.view()});
        }
        // PERSIST says 0 of a key without a ttl as well; whether there is one, EXISTS says right behind it.
        spread(request, operation, [&](backend::detail::SpreadCall& call) {
            redis::Connection& connection = *connections_[place(key)];
            call.submit(connection, std::array{std::string_view("PERSIST"), key}, {0}, backend::detail::Counting::nothing);
            call.submit(connection, std::array{std::string_view("EXISTS"), key}, {0});
        });
    }

    void set(const backend::Request& request, backend::Operation& operation) {
        const redis::IntegerArgument ttl(request.ttl.is_forever() ? 0 : request.ttl.value().count());
        const std::size_t length = request.ttl.is_forever() ? 3 : 5;
        const auto arguments = [&](std::size_t i) {
            return std::array<std::string_view, 5>{"SET", request.keys[i], request.values[i], "PX", ttl.view()};
        };
        if (request.keys.size() == 1) {
            const auto one = arguments(0);
            return submit_single(request, operation, std::span(one).first(length));
        }
        spread(request, operation, [&](backend::detail::SpreadCall& call) {
            for (std::size_t i = 0; i < request.keys.size(); ++i) {
                const auto one = arguments(i);
                call.submit(*connections_[place(request.keys[i])], std::span(one).first(length), {i});
            }
        });
    }

    /// A ttl of nothing: the keys go, nothing is stored, and nothing is counted.
    [[gnu::cold]] void remove_instead(const backend::Request& request, backend::Operation& operation) {
        backend::Request removal = request;
        removal.verb = backend::Verb::erase;
        spread_chunks(removal, operation, "UNLINK", backend::detail::Counting::nothing);
    }

    void spread_chunks(const backend::Request& request, backend::Operation& operation, std::string_view command,
                       backend::detail::Counting counting = backend::detail::Counting::replies) {
        std::vector<std::vector<std::size_t>> groups(connections_.size());
        for (std::size_t i = 0; i < request.keys.size(); ++i) {
            groups[place(request.keys[i])].push_back(i);
        }
        spread(request, operation, [&](backend::detail::SpreadCall& call) {
            if (request.verb == backend::Verb::get_many) { call.expect_values(request.keys.size()); }
            for (std::size_t group = 0; group < groups.size(); ++group) {
                const std::span<const std::size_t> indices(groups[group]);
                for (std::size_t first = 0; first < indices.size(); first += chunk) {
                    const auto some = indices.subspan(first, std::min(chunk, indices.size() - first));
                    std::vector<std::string_view> arguments{command};
                    for (const std::size_t index : some) {
                        arguments.push_back(request.keys[index]);
                    }
                    call.submit(*connections_[group], arguments, {some.begin(), some.end()}, counting);
                }
            }
        });
    }

    template <class Fill>
    void spread(const backend::Request& request, backend::Operation& operation, Fill fill) {
        operation.emplace_state<Cancel>(
            [](backend::Operation& started) { static_cast<backend::detail::SpreadCall*>(started.attachment.get())->cancel(); });
        const auto call = std::make_shared<backend::detail::SpreadCall>(request.verb, operation);
        try {
            fill(*call);
        } catch (...) { // what was sent by then is answered all the same
            call->fail(make_error_code(boost::system::errc::not_enough_memory));
        }
        call->seal(operation);
    }

    redis::ContextExecutor executor_;
    std::shared_ptr<EventLog> log_;
    std::vector<std::shared_ptr<redis::Connection>> connections_; // none where the URL is disabled://
    std::unique_ptr<std::atomic<bool>> is_closed_ = std::make_unique<std::atomic<bool>>(false);
};

static_assert(CacheBackend<RedisBackend>);

} // namespace luzia
