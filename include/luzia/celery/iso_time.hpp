// celery/iso_time.hpp: points in time as Celery writes them: ISO 8601 with six digits of a second and an offset. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace luzia::celery {

/// To the microsecond, as Python has it.
using Time = std::chrono::sys_time<std::chrono::microseconds>;

[[nodiscard]] inline Time now() noexcept { return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()); }

/// `2026-11-22T19:05:10.767625+00:00`: the one form that every version of Celery reads right.
[[nodiscard]] inline std::string iso_time(Time time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::int64_t micro = (time - day).count();
    const std::int64_t second = micro / 1'000'000;
    char text[64];
    const int size = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06d+00:00", static_cast<int>(date.year()),
                                   static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(second / 3600),
                                   static_cast<int>(second / 60 % 60), static_cast<int>(second % 60), static_cast<int>(micro % 1'000'000));
    return {text, static_cast<std::size_t>(size)};
}

namespace detail {

/// Takes the text apart from its front.
class TimeText {
public:
    explicit TimeText(std::string_view text) noexcept : text_(text) {}

    [[nodiscard]] bool is_at_end() const noexcept { return text_.empty(); }

    /// Exactly so many digits.
    [[nodiscard]] std::optional<int> digits(std::size_t count) noexcept {
        if (text_.size() < count) { return std::nullopt; }
        int value = 0;
        for (const char c : text_.substr(0, count)) {
            if (c < '0' || c > '9') { return std::nullopt; }
            value = value * 10 + (c - '0');
        }
        text_.remove_prefix(count);
        return value;
    }

    [[nodiscard]] bool take(std::string_view any) noexcept {
        if (text_.empty() || any.find(text_.front()) == std::string_view::npos) { return false; }
        text_.remove_prefix(1);
        return true;
    }

    /// The digits of a fraction as microseconds; what is finer is cut off.
    [[nodiscard]] std::optional<int> fraction() noexcept {
        int value = 0;
        int count = 0;
        for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; ++count) {
            if (count < 6) { value = value * 10 + (text_.front() - '0'); }
            text_.remove_prefix(1);
        }
        if (count == 0 || count > 12) { return std::nullopt; }
        for (int i = count; i < 6; ++i) {
            value *= 10;
        }
        return value;
    }

    [[nodiscard]] char front() const noexcept { return text_.empty() ? '\0' : text_.front(); }

private:
    std::string_view text_;
};

} // namespace detail

/// Reads a time with or without a fraction, with `Z`, `+hh:mm`, `+hhmm` or no offset, which is UTC. Nothing where it is none.
[[nodiscard]] inline std::optional<Time> parse_iso_time(std::string_view text) {
    detail::TimeText rest(text);
    const auto year = rest.digits(4);
    if (!year || !rest.take("-")) { return std::nullopt; }
    const auto month = rest.digits(2);
    if (!month || !rest.take("-")) { return std::nullopt; }
    const auto day = rest.digits(2);
    if (!day || !rest.take("T ")) { return std::nullopt; }
    const auto hour = rest.digits(2);
    if (!hour || !rest.take(":")) { return std::nullopt; }
    const auto minute = rest.digits(2);
    if (!minute) { return std::nullopt; }
    int second = 0;
    int micro = 0;
    if (rest.take(":")) {
        const auto seconds = rest.digits(2);
        if (!seconds) { return std::nullopt; }
        second = *seconds;
        if (rest.take(".,")) {
            const auto fraction = rest.fraction();
            if (!fraction) { return std::nullopt; }
            micro = *fraction;
        }
    }
    int offset = 0;
    if (const char sign = rest.front(); sign == '+' || sign == '-') {
        static_cast<void>(rest.take("+-"));
        const auto hours = rest.digits(2);
        if (!hours) { return std::nullopt; }
        static_cast<void>(rest.take(":"));
        const auto minutes = rest.is_at_end() ? std::optional(0) : rest.digits(2);
        if (!minutes || *hours > 23 || *minutes > 59) { return std::nullopt; }
        offset = (*hours * 60 + *minutes) * (sign == '-' ? -1 : 1);
    } else {
        static_cast<void>(rest.take("Zz"));
    }
    const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day)));
    if (!rest.is_at_end() || !date.ok() || *hour > 23 || *minute > 59 || second > 59) { return std::nullopt; }
    using namespace std::chrono;
    return Time(sys_days(date)) + hours(*hour) + minutes(*minute - offset) + seconds(second) + microseconds(micro);
}

} // namespace luzia::celery
