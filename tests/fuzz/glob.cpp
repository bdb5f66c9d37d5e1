// fuzz/glob.cpp: glob patterns match what a slow matcher by the book says, and an escaped text matches itself alone.
#include "check.hpp"

#include <luzia/backend/glob.hpp>

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

using luzia::backend::glob_escaped;
using luzia::backend::glob_matches;
using luzia_fuzz::check;

/// One element of a pattern: any number of bytes, or one of a set.
struct Element {
    bool is_star = false;
    std::bitset<256> bytes;

    void add(char byte) { bytes.set(static_cast<unsigned char>(byte)); }
};

/// A class, from behind its `[`. Redis compares the ends of a range as signed bytes, in either order.
Element class_at(std::string_view pattern, std::size_t& at) {
    Element element;
    const bool is_negated = pattern.substr(at, 1) == "^";
    at += is_negated ? 1 : 0;
    for (; at < pattern.size() && pattern[at] != ']'; ++at) {
        const std::string_view rest = pattern.substr(at);
        if (rest.size() > 1 && rest[0] == '\\') {
            element.add(rest[1]);
            at += 1;
        } else if (rest.size() > 2 && rest[1] == '-') {
            const auto [low, high] = std::minmax({static_cast<signed char>(rest[0]), static_cast<signed char>(rest[2])});
            for (int byte = low; byte <= high; ++byte) {
                element.add(static_cast<char>(byte));
            }
            at += 2;
        } else {
            element.add(rest[0]);
        }
    }
    at += 1;
    if (is_negated) { element.bytes.flip(); }
    return element;
}

std::vector<Element> elements_of(std::string_view pattern) {
    std::vector<Element> elements;
    for (std::size_t at = 0; at < pattern.size();) {
        const char byte = pattern[at++];
        if (byte == '[') {
            elements.push_back(class_at(pattern, at));
            continue;
        }
        Element element;
        if (byte == '*') {
            element.is_star = true;
        } else if (byte == '?') {
            element.bytes.set();
        } else {
            element.add(byte == '\\' && at < pattern.size() ? pattern[at++] : byte);
        }
        elements.push_back(element);
    }
    return elements;
}

/// Which beginnings of the text the pattern has matched, element after element.
bool matches_by_the_book(std::string_view pattern, std::string_view text) {
    std::vector<char> matched(text.size() + 1, 0);
    matched[0] = 1;
    for (const Element& element : elements_of(pattern)) {
        std::vector<char> next(text.size() + 1, 0);
        for (std::size_t end = 0; end <= text.size(); ++end) {
            if (element.is_star) {
                next[end] = matched[end] != 0 || (end > 0 && next[end - 1] != 0) ? 1 : 0;
            } else if (end > 0) {
                next[end] = matched[end - 1] != 0 && element.bytes[static_cast<unsigned char>(text[end - 1])] ? 1 : 0;
            }
        }
        matched = std::move(next);
    }
    return matched[text.size()] != 0;
}

} // namespace

/// Pattern and text, with a line end between them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::string_view pattern = input.substr(0, input.find('\n'));
    const std::string_view text = input.substr(std::min(pattern.size() + 1, size));

    check(glob_matches(pattern, text) == matches_by_the_book(pattern, text), "a pattern matches what it should");

    const std::string escaped = glob_escaped(text);
    check(glob_matches(escaped, text), "an escaped text matches itself");
    check(glob_matches(escaped + '*', std::string(text).append(pattern)), "an escaped prefix is a prefix");
    check(glob_matches(escaped, pattern) == (text == pattern), "an escaped text matches no other");
    std::string other(text);
    for (std::size_t i = 0; i < std::min(other.size(), std::size_t{32}); ++i) {
        other[i] = static_cast<char>(other[i] ^ 1);
        check(!glob_matches(escaped, other), "an escaped text matches no other of its length");
        other[i] = text[i];
    }
    check(!glob_matches(escaped, other + 'x') && (text.empty() || !glob_matches(escaped, text.substr(1))), "nor one longer or shorter");
    return 0;
}
