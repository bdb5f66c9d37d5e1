// celery/options.hpp: what clients and workers have in common: where broker and results are, and how connections to them behave.
#pragma once

#include <luzia/celery/queue.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/core/text.hpp>
#include <luzia/core/url.hpp>
#include <luzia/redis/connection.hpp>
#include <luzia/redis/options.hpp>
#include <luzia/redis/target.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery {

/// Where the servers are and how they are talked to. Set members by name; what makes no sense throws `std::invalid_argument` when client or
/// worker is made.
struct ServerOptions {
    ServerOptions() {} // no aggregate: GCC 12 destroys aggregate temporaries beside co_await twice

    /// `redis://`, `rediss://` (needs `transport`), `unix://`. Empty: CELERY_BROKER_URL, or `redis://localhost:6379`.
    std::string broker_url;
    /// Empty: CELERY_RESULT_BACKEND, or the broker's.
    std::string result_backend;
    /// From the begin of an operation to its end; also how long a server that owes a reply may be silent.
    std::chrono::milliseconds timeout{2000};
    /// For each of: the look-up of a name; connect, TLS and handshake with one address.
    std::chrono::milliseconds connect_timeout{1000};
    /// Pauses between connection attempts.
    redis::Backoff backoff;
    std::chrono::milliseconds health_check_interval{15000};
    /// Past this much pending, operations fail with `Error::overloaded`.
    std::size_t max_pending_bytes = std::size_t{64} * 1024 * 1024;
    /// Larger messages are not sent, and by a worker not taken.
    std::size_t max_message_bytes = std::size_t{64} * 1024 * 1024;
    /// Where a task without a queue goes.
    std::string default_queue = "celery";
    /// `global_keyprefix` of the broker's transport options: before every key and channel.
    std::string key_prefix;
    /// `global_keyprefix` of the result backend's, as it stands there before `celery-task-meta-`.
    std::string result_key_prefix;
    /// How long results are kept, and what a chord needs. Zero: for ever.
    std::chrono::seconds result_expires{std::chrono::hours(24)};
    /// For CLIENT SETNAME; empty = none.
    std::string client_name;
    /// Makes the byte streams; empty = plain TCP and Unix sockets.
    redis::TransportFactory transport;
    /// Null = spdlog's default logger at construction.
    std::shared_ptr<spdlog::logger> logger;
};

namespace detail {

/// A server as connections need it.
struct Server {
    Url url;
    redis::Target target;
    redis::ConnectionOptions options;

    [[nodiscard]] bool is_same(const Server& other) const {
        return url.host == other.url.host && url.port == other.url.port && url.path == other.url.path &&
               url.database == other.url.database && url.username == other.url.username && url.password == other.url.password &&
               url.scheme == other.url.scheme;
    }

    [[nodiscard]] std::shared_ptr<redis::Connection> connect(const redis::asio::any_io_executor& executor,
                                                             const std::shared_ptr<EventLog>& log,
                                                             std::chrono::milliseconds more_time = {}) const {
        redis::ConnectionOptions with_time = options;
        with_time.command_timeout += more_time;
        return redis::Connection::create(executor, target, std::move(with_time), log);
    }
};

/// Messages and results past this have connections of their own, with more time: over a slow link they neither fail nor keep others waiting.
inline constexpr std::size_t large = std::size_t{256} * 1024;

/// How much more time: 256 KiB a second bring the largest message.
[[nodiscard]] inline std::chrono::milliseconds patience(const ServerOptions& options) {
    return std::chrono::milliseconds(1000 * (1 + options.max_message_bytes / large));
}

[[nodiscard]] inline redis::ConnectionOptions connection_options(const ServerOptions& options, const Url& url) {
    redis::ConnectionOptions connection;
    connection.command_timeout = options.timeout;
    connection.connect_timeout = options.connect_timeout;
    connection.backoff = options.backoff;
    connection.health_check_interval = options.health_check_interval;
    connection.max_pending_bytes = options.max_pending_bytes;
    connection.client_name = options.client_name;
    connection.transport = options.transport;
    connection.username = url.username;
    connection.password = url.password;
    connection.database = url.database;
    return connection;
}

inline void validate(const ServerOptions& options) {
    using redis::detail::require;
    redis::validate(connection_options(options, Url()));
    require(is_name(options.default_queue), "default_queue must be text without control bytes, and not empty");
    require(options.max_message_bytes > 0 && options.max_message_bytes <= std::size_t{512} * 1024 * 1024,
            "max_message_bytes must be from 1 to 512 MiB, the longest string Redis keeps");
    require(options.result_expires.count() >= 0 && options.result_expires <= std::chrono::hours(24 * 36500),
            "result_expires must not be negative, and a hundred years at most (0: for ever)");
    require(is_utf8(options.key_prefix) && is_utf8(options.result_key_prefix), "key_prefix and result_key_prefix must be UTF-8");
}

/// Takes a URL of Celery apart: those of Redis, and kombu's `redis+socket://path?virtual_host=N`.
[[nodiscard]] inline ParsedUrl parse_server_url(std::string_view text) {
    constexpr std::string_view socket = "redis+socket://";
    if (!text.starts_with(socket)) { return parse_url(text); }
    auto url = parse_url("unix://" + std::string(text.substr(socket.size())));
    if (!url) { return url; }
    for (const auto& [name, value] : url->parameters) {
        if (name == "virtual_host") { url->database = luzia::detail::whole_number<int>(value).value_or(url->database); }
    }
    return url;
}

/// The server that a URL names. What the program says wrong throws; what the environment says wrong is logged, and there is no server.
[[nodiscard]] inline std::optional<Server> server_of(const ServerOptions& options, const char* member, const std::string& given,
                                                     const char* variable, const std::string& fallback, EventLog& log) {
    const char* const environment = given.empty() ? std::getenv(variable) : nullptr;
    const std::string text = !given.empty() ? given : environment != nullptr && *environment != '\0' ? environment : fallback;
    auto url = parse_server_url(text);
    std::string problem;
    if (!url) {
        problem = std::move(url).error();
    } else if (url->scheme == "memory" || url->scheme == "disabled") {
        problem = "names no Redis server (allowed: redis, rediss, unix)";
    } else if (url->scheme == "rediss" && !options.transport) {
        problem = "asks for TLS: include <luzia/tls.hpp>, link luzia::tls, and set options.transport = luzia::tls_transport(...)";
    } else {
        return Server{*url, redis::Target(*url), connection_options(options, *url)};
    }
    if (environment == nullptr) {
        throw std::invalid_argument(std::string("luzia: ") + member + " \"" + masked_url(text) + "\" " + problem);
    }
    log.transition(spdlog::level::err,
                   std::string("luzia: ") + variable + " \"" + masked_url(text) + "\" " + problem + "; nothing is sent there");
    return std::nullopt;
}

[[nodiscard]] inline std::optional<Server> broker_of(const ServerOptions& options, EventLog& log) {
    return server_of(options, "broker_url", options.broker_url, "CELERY_BROKER_URL", "redis://localhost:6379", log);
}

/// The broker's own where nothing else is said.
[[nodiscard]] inline std::optional<Server> backend_of(const ServerOptions& options, const std::optional<Server>& broker, EventLog& log) {
    const char* const environment = std::getenv("CELERY_RESULT_BACKEND");
    if (options.result_backend.empty() && (environment == nullptr || *environment == '\0')) { return broker; }
    return server_of(options, "result_backend", options.result_backend, "CELERY_RESULT_BACKEND", "", log);
}

} // namespace detail

} // namespace luzia::celery
