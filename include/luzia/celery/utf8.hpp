// celery/utf8.hpp: text as JSON may hold it: told apart, made so, and cut between its letters. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace luzia::celery {

namespace detail {

/// How many bytes the letter at the front takes, as RFC 3629 has it; 0 where none begins there.
[[nodiscard]] inline std::size_t letter_size(std::string_view text) noexcept {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t more = lead < 0x80                   ? 0
                             : lead >= 0xc2 && lead < 0xe0 ? 1
                             : lead >= 0xe0 && lead < 0xf0 ? 2
                             : lead >= 0xf0 && lead < 0xf5 ? 3
                                                           : 4;
    if (more > 3 || more >= text.size()) { return 0; }
    for (std::size_t k = 1; k <= more; ++k) {
        const auto byte = static_cast<unsigned char>(text[k]);
        const bool is_first = k == 1;
        const unsigned low = is_first && lead == 0xe0 ? 0xa0U : is_first && lead == 0xf0 ? 0x90U : 0x80U;
        const unsigned high = is_first && lead == 0xed ? 0x9fU : is_first && lead == 0xf4 ? 0x8fU : 0xbfU;
        if (byte < low || byte > high) { return 0; }
    }
    return more + 1;
}

} // namespace detail

[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t size = detail::letter_size(text);
        if (size == 0) { return false; }
        text.remove_prefix(size);
    }
    return true;
}

/// The text with U+FFFD in place of each byte that belongs to no letter.
[[nodiscard]] inline std::string as_utf8(std::string text) {
    if (is_utf8(text)) { return text; }
    std::string good;
    good.reserve(text.size() + 16);
    for (std::string_view rest = text; !rest.empty();) {
        const std::size_t size = detail::letter_size(rest);
        if (size == 0) {
            good += "\xef\xbf\xbd";
        } else {
            good.append(rest.substr(0, size));
        }
        rest.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return good;
}

/// The front of UTF-8, `limit` bytes at most, and no letter cut in two.
[[nodiscard]] inline std::string_view front_of(std::string_view text, std::size_t limit) noexcept {
    if (text.size() <= limit) { return text; }
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0U) == 0x80U) {
        --limit;
    }
    return text.substr(0, limit);
}

/// The text, or its front and three points where it is longer than `limit`, which is kept. Cut again, it stays.
[[nodiscard]] inline std::string cut(std::string text, std::size_t limit) {
    if (text.size() <= limit) { return text; }
    constexpr std::string_view points = "...";
    if (limit < points.size()) { return std::string(front_of(text, limit)); }
    return std::string(front_of(text, limit - points.size())).append(points);
}

} // namespace luzia::celery
