// cache/options.hpp: what can be set for a cache client and for one write, and what the environment says.
#pragma once

#include <luzia/backend/options.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/core/separate.hpp>
#include <luzia/core/ttl.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace luzia {

/// How a cache client behaves. Set members by name; what makes no sense throws `std::invalid_argument` when the client is made.
struct CacheOptions : BackendOptions {
    CacheOptions() {}

    /// For what is stored without a ttl of its own.
    Ttl default_ttl = std::chrono::seconds(300);
    /// Stands before every key and pattern, taken literally.
    std::string key_prefix;

    /// REDIS_URL (unset: `redis://localhost:6379`) and CACHE_TTL in seconds (unset: 300).
    ///
    /// A CACHE_TTL that is no number from 1 up is logged as a warning, and 300 taken. A REDIS_URL that makes no sense is kept: the client
    /// made from it logs an error and runs disabled, so that a typo neither stops a service nor sends its data elsewhere.
    [[nodiscard]] LUZIA_DECL static CacheOptions from_environment();

    /// Whether `url` stands as REDIS_URL had it: then it is no mistake of the program's.
    [[gnu::cold]] [[nodiscard]] bool is_url_from_environment() const { return environment_url_ == url; }

private:
    std::optional<std::string> environment_url_;
};

/// How one value is written. Made from any duration: `set(key, value, 60s)`.
struct SetOptions {
    SetOptions() noexcept {}

    SetOptions(Ttl time) noexcept : ttl(time) {} // NOLINT(google-explicit-constructor)

    template <class Rep, class Period>
    SetOptions(std::chrono::duration<Rep, Period> time) noexcept : ttl(time) {} // NOLINT(google-explicit-constructor)

    /// None: the client's `default_ttl`. `no_expiry`: for ever. Zero or negative: the key is removed, and nothing stored.
    std::optional<Ttl> ttl;
};

namespace detail {

/// The options, if they make sense, with the log that client and backend share.
[[gnu::cold]] [[nodiscard]] inline CacheOptions checked(CacheOptions options) {
    redis::detail::require(!options.default_ttl.is_removal(), "default_ttl must be more than 0 (luzia::no_expiry: for ever)");
    backend::validate(options);
    if (!options.events) { options.events = std::make_shared<EventLog>(options.logger); }
    return options;
}

/// Calls `make` with the options. What REDIS_URL got wrong is logged, and `make` called again for a disabled one; what the program got
/// wrong throws.
template <class Make>
[[nodiscard]] auto make_with(CacheOptions options, Make make) {
    try {
        return make(std::as_const(options));
    } catch (const std::invalid_argument& problem) {
        if (!options.is_url_from_environment()) { throw; }
        options.events->transition(spdlog::level::err, std::string("REDIS_URL: ") + problem.what() + "; caching is disabled");
        options.url = "disabled://";
    }
    return make(std::as_const(options));
}

} // namespace detail

} // namespace luzia

#if !defined(LUZIA_SEPARATE_COMPILATION)
#include <luzia/cache/environment.hpp>
#endif
