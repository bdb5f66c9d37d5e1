// core/clock.hpp: the time to a few milliseconds, for a fifth of what the exact time costs.
#pragma once

#include <chrono>

#include <time.h>

namespace luzia {

/// A steady clock that ticks, as the system's does: every few milliseconds. Its time points are those of `std::chrono::steady_clock`.
class CoarseClock {
public:
    using Exact = std::chrono::steady_clock;

    /// Between now and one tick ago. Exact where the system has no such clock.
    [[nodiscard]] static Exact::time_point now() noexcept {
#ifdef CLOCK_MONOTONIC_COARSE
        return time_point_of(::clock_gettime);
#else
        return Exact::now();
#endif
    }

    [[nodiscard]] static Exact::duration tick() noexcept {
#ifdef CLOCK_MONOTONIC_COARSE
        return time_point_of(::clock_getres).time_since_epoch();
#else
        return Exact::duration::zero();
#endif
    }

    /// How much later than asked a deadline may be that is read from this clock: a tick, where that is no matter, or else nothing, and the exact
    /// time has to be asked for.
    [[nodiscard]] static Exact::duration slack_of(Exact::duration timeout) noexcept {
        constexpr int small = 50;
        return timeout < small * tick() ? Exact::duration::zero() : tick();
    }

private:
#ifdef CLOCK_MONOTONIC_COARSE
    static Exact::time_point time_point_of(int (*ask)(clockid_t, timespec*)) noexcept {
        timespec time{};
        ask(CLOCK_MONOTONIC_COARSE, &time);
        return Exact::time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    }
#endif
};

} // namespace luzia
