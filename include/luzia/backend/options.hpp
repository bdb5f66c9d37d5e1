// backend/options.hpp: what can be set for a backend that a URL names.
#pragma once

#include <luzia/core/event_log.hpp>
#include <luzia/redis/options.hpp>

#include <cstddef>
#include <memory>
#include <string>

namespace luzia {

/// Where the server is and how connections to it behave.
struct BackendOptions : redis::ConnectionOptions {
    BackendOptions() {}

    /// `redis://`, `rediss://` (needs `transport`), `unix://`, `memory://`; `disabled://` = no server at all, every operation is a miss.
    std::string url = "redis://localhost:6379";
    /// A key always travels on the same one, chosen by its hash.
    std::size_t connections = 1;
    /// Where events go; made from `logger` where it is null. For a backend that shares it with the client above it.
    std::shared_ptr<EventLog> events;
};

namespace backend {

/// Throws `std::invalid_argument`, naming the member and what it may be.
[[gnu::cold]] inline void validate(const BackendOptions& options) {
    redis::validate(options);
    redis::detail::require(options.connections >= 1 && options.connections <= 1024, "connections must be from 1 to 1024");
}

} // namespace backend
} // namespace luzia
