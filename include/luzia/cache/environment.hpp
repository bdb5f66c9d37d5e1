// cache/environment.hpp: what the environment says about a cache client.
#pragma once

#if defined(LUZIA_SEPARATE_COMPILATION) && !defined(LUZIA_SOURCE)
#error "with LUZIA_SEPARATE_COMPILATION this is for luzia/src.hpp alone"
#endif

#include <luzia/cache/options.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/core/separate.hpp>
#include <luzia/core/text.hpp>
#include <luzia/core/url.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>

namespace luzia {

[[gnu::cold]] LUZIA_DECL CacheOptions CacheOptions::from_environment() {
    CacheOptions options;
    if (const char* const url = std::getenv("REDIS_URL")) {
        options.url = url;
        options.environment_url_ = options.url;
    }
    if (const char* const ttl = std::getenv("CACHE_TTL")) {
        const auto seconds = detail::whole_number<std::int64_t>(ttl);
        if (seconds && *seconds > 0) {
            options.default_ttl = std::chrono::seconds(*seconds);
        } else {
            EventLog(nullptr).transition(spdlog::level::warn,
                                         "luzia: CACHE_TTL \"" + printable(ttl) + "\" is not a number of seconds from 1 up; taking 300");
        }
    }
    return options;
}

} // namespace luzia
