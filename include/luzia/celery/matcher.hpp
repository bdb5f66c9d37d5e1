// celery/matcher.hpp: which workers a remote command with a pattern is for: the names of workers matched as kombu does it. Pure.
#pragma once

#include <luzia/celery/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::celery {

namespace detail {

/// The letters of UTF-8.
[[nodiscard]] inline std::u32string letters_of(std::string_view text) {
    std::u32string letters;
    while (!text.empty()) {
        const std::size_t size = std::max<std::size_t>(letter_size(text), 1);
        char32_t letter = static_cast<unsigned char>(text[0]) & (size == 1 ? 0xffU : 0xffU >> (size + 1));
        for (std::size_t i = 1; i < size; ++i) {
            letter = letter << 6U | (static_cast<unsigned char>(text[i]) & 0x3fU);
        }
        letters += letter;
        text.remove_prefix(size);
    }
    return letters;
}

/// A shell pattern as Python's fnmatch reads it: `*`, `?`, `[seq]`, `[!seq]`; nothing is escaped, upper and lower case differ.
class ShellPattern {
public:
    explicit ShellPattern(std::string_view text) {
        const std::u32string pattern = letters_of(text);
        for (std::size_t i = 0; i < pattern.size();) {
            const char32_t c = pattern[i++];
            const std::size_t end = c == U'[' ? end_of_set(pattern, i) : std::u32string::npos;
            if (end != std::u32string::npos) {
                items_.push_back(set_of(pattern.substr(i, end - i)));
                i = end + 1;
            } else if (c == U'*') {
                if (items_.empty() || !items_.back().is_star) { items_.push_back({true, false, {}}); }
            } else if (c == U'?') {
                items_.push_back({false, true, {}});
            } else {
                items_.push_back({false, false, {{c, c}}});
            }
        }
    }

    [[nodiscard]] bool matches(std::string_view text) const {
        const std::u32string name = letters_of(text);
        std::size_t item = 0;
        std::size_t at = 0;
        std::optional<std::pair<std::size_t, std::size_t>> star; // where to go on when the last one takes one letter more
        while (at < name.size()) {
            if (item < items_.size() && items_[item].is_star) {
                star.emplace(++item, at);
            } else if (item < items_.size() && items_[item].takes(name[at])) {
                ++item;
                ++at;
            } else if (star) {
                item = star->first;
                at = ++star->second;
            } else {
                return false;
            }
        }
        return std::all_of(items_.begin() + static_cast<std::ptrdiff_t>(item), items_.end(), [](const Item& rest) { return rest.is_star; });
    }

private:
    struct Item {
        bool is_star;
        bool is_negated; ///< any letter but these
        std::vector<std::pair<char32_t, char32_t>> ranges;

        [[nodiscard]] bool takes(char32_t letter) const {
            const bool is_in = std::any_of(ranges.begin(), ranges.end(),
                                           [&](const auto& range) { return range.first <= letter && letter <= range.second; });
            return is_in != is_negated;
        }
    };

    /// Of the set that begins at `i`; a bracket that comes first is one of its letters.
    [[nodiscard]] static std::size_t end_of_set(const std::u32string& pattern, std::size_t i) {
        if (i < pattern.size() && pattern[i] == U'!') { ++i; }
        if (i < pattern.size() && pattern[i] == U']') { ++i; }
        return pattern.find(U']', i);
    }

    /// A hyphen between two letters makes a range, one at either end stands for itself. A range that is none takes nothing.
    [[nodiscard]] static Item set_of(std::u32string set) {
        Item item{false, !set.empty() && set[0] == U'!', {}};
        if (item.is_negated) { set.erase(0, 1); }
        for (std::size_t i = 0; i < set.size(); ++i) {
            if (i + 2 < set.size() && set[i + 1] == U'-') {
                if (set[i] <= set[i + 2]) { item.ranges.emplace_back(set[i], set[i + 2]); }
                i += 2;
            } else {
                item.ranges.emplace_back(set[i], set[i]);
            }
        }
        return item;
    }

    std::vector<Item> items_;
};

/// A regular expression that means the same to Python and here, and is soon matched: short, ASCII, few repetitions, none of a group, and few
/// alternatives.
[[nodiscard]] inline bool is_plain_expression(std::string_view pattern) {
    constexpr std::size_t most_repetitions = 3;
    constexpr std::size_t most_alternatives = 4;
    if (pattern.size() > 256) { return false; }
    std::size_t repetitions = 0;
    std::size_t alternatives = 0;
    bool is_in_set = false;
    const auto is_one_of = [](char which, std::string_view of) { return of.find(which) != std::string_view::npos; };
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
        if (c < 0x20 || c > 0x7e) { return false; }
        if (c == '\\') {
            if (!is_one_of(next, "dDsSwW.^$*+?()[]{}|\\/-")) { return false; } // references to groups among the others
            ++i;
            continue;
        }
        if (is_in_set) {
            if (c == '[' || (is_one_of(c, "&~|-") && c == next)) { return false; } // classes of POSIX; what Python reserves
            is_in_set = c != ']';
            continue;
        }
        if (c == '[') {
            is_in_set = true;
            const std::size_t first = next == '^' ? i + 2 : i + 1;
            if (first < pattern.size() && pattern[first] == ']') { return false; } // empty here, a letter there
            if (next == '^') { ++i; }
        } else if (c == '{' || c == '}' || (c == '(' && next == '?') || (c == ')' && is_one_of(next, "*+?{"))) {
            return false;
        } else if ((is_one_of(c, "*+?") && ++repetitions > most_repetitions) || (c == '|' && ++alternatives > most_alternatives)) {
            return false;
        }
    }
    return !is_in_set;
}

} // namespace detail

/// Whether a name fits a pattern in the eyes of one of kombu's matchers. Nothing where that can't be said here: a matcher that is not known, or
/// an expression that is none, or more than a worker should try on its own thread.
///
/// @param matcher  `glob`: fnmatch of Python; `pcre`: re.match of Python, which looks for the pattern at the begin of the name
[[nodiscard]] inline std::optional<bool> is_match(std::string_view name, std::string_view pattern, std::string_view matcher) {
    if (matcher == "glob") { return detail::ShellPattern(pattern).matches(name); }
    if (matcher != "pcre" || !detail::is_plain_expression(pattern) || name.size() > 128) { return std::nullopt; }
    try {
        const std::regex expression{std::string(pattern)}; // its scanner looks at the character behind the last one: there is a NUL
        return std::regex_search(name.begin(), name.end(), expression, std::regex_constants::match_continuous);
    } catch (const std::regex_error&) { return std::nullopt; }
}

} // namespace luzia::celery
