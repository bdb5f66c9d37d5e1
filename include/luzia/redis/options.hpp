// redis/options.hpp: what can be set for one connection, and the check that it makes sense.
#pragma once

#include <luzia/redis/backoff.hpp>
#include <luzia/redis/transport_factory.hpp>

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace luzia::redis {

/// How a connection behaves. Set members by name.
struct ConnectionOptions {
    ConnectionOptions() {} // no aggregate: GCC 12 destroys aggregate temporaries beside co_await twice

    /// From the begin of an operation to its end; also how long a server that owes a reply may be silent.
    std::chrono::milliseconds command_timeout{500};
    /// For each of: the look-up of a name; connect, TLS and handshake with one address.
    std::chrono::milliseconds connect_timeout{1000};
    /// Pauses between connection attempts.
    Backoff backoff;
    /// A connection idle for this long is probed with PING.
    std::chrono::milliseconds health_check_interval{15000};
    /// Past this much pending, operations are shed. Commands count with what keeping them costs; one command may exceed it alone.
    std::size_t max_pending_bytes = std::size_t{64} * 1024 * 1024;
    /// Larger values are not sent, and not received.
    std::size_t max_value_bytes = std::size_t{512} * 1024 * 1024;
    /// These stand over what the URL says.
    std::optional<std::string> username;
    std::optional<std::string> password;
    std::optional<int> database;
    /// For CLIENT SETNAME; empty = none. No spaces, no control bytes.
    std::string client_name;
    /// Makes the byte streams; empty = plain TCP and Unix sockets.
    TransportFactory transport;
    /// Null = spdlog's default logger at construction.
    std::shared_ptr<spdlog::logger> logger;
};

namespace detail {

[[gnu::cold]] inline void require(bool holds, const char* what) {
    if (!holds) { throw std::invalid_argument(std::string("luzia: ") + what); }
}

} // namespace detail

/// Throws `std::invalid_argument`, naming the member and what it may be.
[[gnu::cold]] inline void validate(const ConnectionOptions& options) {
    using detail::require;
    using std::chrono::milliseconds;
    // What fits a timer for sure, in any of its units.
    constexpr milliseconds longest = std::chrono::hours(24 * 365);
    const auto fits = [&](milliseconds duration) { return duration > milliseconds(0) && duration <= longest; };
    require(fits(options.command_timeout), "command_timeout must be more than 0 ms, and a year at most");
    require(fits(options.connect_timeout), "connect_timeout must be more than 0 ms, and a year at most");
    require(fits(options.health_check_interval), "health_check_interval must be more than 0 ms, and a year at most");
    require(fits(options.backoff.min), "backoff.min must be more than 0 ms, and a year at most");
    require(fits(options.backoff.max) && options.backoff.max >= options.backoff.min,
            "backoff.max must be at least backoff.min, and a year at most");
    require(options.max_pending_bytes > 0, "max_pending_bytes must be more than 0");
    require(options.max_value_bytes > 0 && options.max_value_bytes <= std::size_t{512} * 1024 * 1024,
            "max_value_bytes must be from 1 to 512 MiB, the longest string Redis keeps");
    require(!options.database || *options.database >= 0, "database must be 0 or more");
    for (const char c : options.client_name) {
        require(c > ' ' && c < '\x7f', "client_name must be printable ASCII without spaces");
    }
}

} // namespace luzia::redis
