// redis/backoff.hpp: how long to wait before the next connection attempt. Pure: the random source is passed in.
#pragma once

#include <algorithm>
#include <chrono>

namespace luzia::redis {

/// The shortest and the longest pause between connection attempts.
struct Backoff {
    std::chrono::milliseconds min{50};
    std::chrono::milliseconds max{2000};

    Backoff() noexcept {}
    Backoff(std::chrono::milliseconds shortest, std::chrono::milliseconds longest) noexcept : min(shortest), max(longest) {}
};

/// The pause after `failures` attempts (1 or more) in a row: doubled each time up to `max`, then lowered by up to a half at random
/// (`random` in [0, 1)), so that the clients of a server that comes back don't all return at once. Never below `min`.
[[nodiscard]] inline std::chrono::milliseconds next_backoff(const Backoff& backoff, unsigned failures, double random) noexcept {
    auto full = backoff.min;
    for (unsigned i = 1; i < failures && full < backoff.max; ++i) {
        full *= 2;
    }
    full = std::min(full, backoff.max);
    const auto jittered = std::chrono::duration<double, std::milli>(full) * (1.0 - random / 2);
    return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(jittered), backoff.min, std::max(backoff.min, backoff.max));
}

} // namespace luzia::redis
