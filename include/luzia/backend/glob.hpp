// backend/glob.hpp: glob patterns as Redis reads them, byte by byte, and keys made literal in one. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace luzia::backend {

namespace detail {

/// Reads one element of a pattern that stands for exactly one byte: a literal, an escape, `?`, or a class in brackets.
class GlobElement {
public:
    /// Whether `byte` is matched by what stands at `position`, which moves past it.
    [[nodiscard]] static bool matches(std::string_view pattern, std::size_t& position, char byte) noexcept {
        switch (pattern[position]) {
        case '?': ++position; return true;
        case '[': return matches_class(pattern, position, byte);
        case '\\':
            // A backslash at the very end stands for itself.
            if (position + 1 < pattern.size()) { ++position; }
            break;
        default: break;
        }
        return pattern[position++] == byte;
    }

private:
    /// A class ends at the first `]`, even as its first member, or with the pattern. Ranges compare as Redis does: signed, either way round.
    [[nodiscard]] static bool matches_class(std::string_view pattern, std::size_t& position, char byte) noexcept {
        ++position;
        const bool is_negated = position < pattern.size() && pattern[position] == '^';
        if (is_negated) { ++position; }
        bool is_member = false;
        while (position < pattern.size() && pattern[position] != ']') {
            const std::size_t left = pattern.size() - position;
            if (pattern[position] == '\\' && left >= 2) {
                is_member |= pattern[position + 1] == byte;
                position += 2;
            } else if (left >= 3 && pattern[position + 1] == '-') {
                is_member |= is_between(pattern[position], byte, pattern[position + 2]);
                position += 3;
            } else {
                is_member |= pattern[position] == byte;
                ++position;
            }
        }
        if (position < pattern.size()) { ++position; }
        return is_member != is_negated;
    }

    [[nodiscard]] static bool is_between(char one, char byte, char other) noexcept {
        const auto a = static_cast<signed char>(one);
        const auto b = static_cast<signed char>(byte);
        const auto c = static_cast<signed char>(other);
        return (a <= b && b <= c) || (c <= b && b <= a);
    }
};

} // namespace detail

/// Whether `text` matches `pattern`: `*`, `?`, `[a-c]`, `[^x]`, `\` before a byte makes it literal. The time is at most the product of the
/// two lengths: every element but `*` takes one byte, so that going back to the last `*` is enough.
[[nodiscard]] inline bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
    std::size_t at = 0;
    std::size_t position = 0;
    std::size_t after_star = std::string_view::npos;
    std::size_t star_text = 0;
    while (at < text.size()) {
        if (position < pattern.size() && pattern[position] == '*') {
            after_star = ++position;
            star_text = at;
            continue;
        }
        std::size_t next = position;
        if (position < pattern.size() && detail::GlobElement::matches(pattern, next, text[at])) {
            position = next;
            ++at;
            continue;
        }
        if (after_star == std::string_view::npos) { return false; }
        position = after_star;
        at = ++star_text;
    }
    while (position < pattern.size() && pattern[position] == '*') {
        ++position;
    }
    return position == pattern.size();
}

/// `text` as a pattern that matches it alone.
[[nodiscard]] inline std::string glob_escaped(std::string_view text) {
    std::string escaped;
    escaped.reserve(text.size());
    for (const char c : text) {
        if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\') { escaped += '\\'; }
        escaped += c;
    }
    return escaped;
}

} // namespace luzia::backend
