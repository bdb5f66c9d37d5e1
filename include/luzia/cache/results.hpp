// cache/results.hpp: what cache operations complete with.
#pragma once

#include <luzia/core/outcome.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace luzia {

/// What a write did: how many keys, and why not more. Reads as its count: a number, or true where it is not 0.
struct Effect {
    Effect() noexcept = default;
    Effect(std::size_t keys, Outcome how, error_code reason = {}) noexcept : count(keys), outcome(how), error(reason) {}

    constexpr operator std::size_t() const noexcept { return count; } // NOLINT(google-explicit-constructor)

    std::size_t count = 0;
    Outcome outcome = Outcome::done;
    error_code error;
};

/// What a read found, and why it found nothing.
template <class T>
struct Lookup {
    Lookup() = default;
    Lookup(std::optional<T> found, Outcome how, error_code reason = {}) : value(std::move(found)), outcome(how), error(reason) {}

    [[nodiscard]] explicit operator bool() const noexcept { return value.has_value(); }

    std::optional<T> value;
    Outcome outcome = Outcome::miss;
    error_code error;
};

/// What a client has done so far, counted per key, and how it is.
struct CacheStats {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0; ///< reads without a value, failed and undecodable ones included
    std::uint64_t stored = 0;
    std::uint64_t erased = 0;   ///< by erase, erase_many, invalidate_pattern
    std::uint64_t failures = 0; ///< unavailable, timed out or refused
    std::uint64_t timeouts = 0; ///< those of the failures that timed out
    std::uint64_t undecodable = 0;
    std::uint64_t shed = 0; ///< turned away because too much was pending
    std::uint64_t reconnects = 0;
    bool ready = false; ///< connected, as far as connections have been needed
};

} // namespace luzia
