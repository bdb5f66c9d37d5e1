// core/ttl.hpp: how long a value lives. Any duration becomes whole milliseconds, rounded up, never overflowing.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace luzia {

/// A time to live in milliseconds, made from any `std::chrono` duration.
///
/// Less than a millisecond rounds up. What Redis could not take (its clock plus the ttl must fit 63 bits) is for ever. Zero and
/// negative ones are kept: they mean "remove".
class Ttl {
public:
    /// For ever.
    constexpr Ttl() noexcept = default;

    template <class Rep, class Period>
    constexpr Ttl(std::chrono::duration<Rep, Period> duration) noexcept // NOLINT(google-explicit-constructor)
        : value_(whole_milliseconds(duration)) {}

    [[nodiscard]] constexpr bool is_forever() const noexcept { return value_ == forever; }
    [[nodiscard]] constexpr bool is_removal() const noexcept { return value_.count() <= 0; }
    [[nodiscard]] constexpr std::chrono::milliseconds value() const noexcept { return value_; }

    constexpr operator std::chrono::milliseconds() const noexcept { return value_; } // NOLINT(google-explicit-constructor)

    friend constexpr bool operator==(Ttl left, Ttl right) noexcept { return left.value_ == right.value_; }

    template <class Rep, class Period>
    friend constexpr bool operator==(Ttl left, std::chrono::duration<Rep, Period> right) noexcept {
        return left == Ttl(right);
    }

private:
    static constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();
    // Half of what 63 bits hold: room for any server's clock.
    static constexpr std::int64_t limit = std::numeric_limits<std::int64_t>::max() / 2;

    template <class Rep, class Period>
    static constexpr std::chrono::milliseconds whole_milliseconds(std::chrono::duration<Rep, Period> duration) noexcept {
        // Compared as floating point first, so that hours::max() and the like don't overflow on the way.
        const auto rough = static_cast<long double>(duration.count()) * 1000 * Period::num / Period::den;
        if (!(rough < static_cast<long double>(limit))) { return forever; }
        if (rough < -static_cast<long double>(limit)) { return std::chrono::milliseconds(-limit); }
        using ToMilliseconds = std::ratio_divide<Period, std::milli>;
        if constexpr (ToMilliseconds::num == 1 || ToMilliseconds::den == 1) {
            return std::chrono::ceil<std::chrono::milliseconds>(duration);
        } else {
            // Exact arithmetic would multiply before it divides, and overflow.
            const auto whole = static_cast<std::int64_t>(rough);
            return std::chrono::milliseconds(static_cast<long double>(whole) < rough ? whole + 1 : whole);
        }
    }

    std::chrono::milliseconds value_ = forever;
};

/// As a ttl: the value stays until it is removed.
inline constexpr Ttl no_expiry{};

} // namespace luzia
