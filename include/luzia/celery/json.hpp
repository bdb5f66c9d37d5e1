// celery/json.hpp: JSON as Python writes and reads it: bare NaN and Infinity, lone surrogates, kombu's typed values. Pure.
#pragma once

#include <luzia/celery/utf8.hpp>
#include <luzia/core/json_value.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery {

using Json = nlohmann::json;

namespace detail {

// Copying and destroying what was parsed takes the stack as deep.
inline constexpr std::size_t deepest = 512;

/// A text that stands for a number in a string until it is put back; not found in `text`.
[[nodiscard]] inline std::string absent_mark(std::string_view text) {
    std::string mark = "luzia:number:";
    while (text.find(mark) != std::string_view::npos) {
        mark += ':';
    }
    return mark;
}

/// The value of four hexadecimal digits, or nothing.
[[nodiscard]] inline std::optional<unsigned> code_unit(std::string_view digits) {
    if (digits.size() < 4) { return std::nullopt; }
    unsigned value = 0;
    for (const char c : digits.substr(0, 4)) {
        const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                               : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
                               : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A' + 10)
                                                      : 16U;
        if (digit == 16) { return std::nullopt; }
        value = value * 16 + digit;
    }
    return value;
}

// No double has more digits before its point.
inline constexpr std::size_t largest_integer = 308;

/// The bytes of the integer that the text begins with; 0 where it does not, or where it goes on as another number.
[[nodiscard]] inline std::size_t integer_size(std::string_view text) {
    const std::size_t sign = text.starts_with('-') ? 1 : 0;
    const std::size_t end = std::min(text.size(), text.find_first_not_of("0123456789", sign));
    const bool goes_on = end < text.size() && (text[end] == '.' || text[end] == 'e' || text[end] == 'E');
    return end == sign || goes_on ? 0 : end;
}

/// What Python's json module writes beyond JSON, made JSON: NaN and the infinities become strings that start with `mark`, as do integers that no
/// double is large enough for, and half a surrogate pair the replacement character.
[[nodiscard]] inline std::string plain_json(std::string_view text, const std::string& mark) {
    std::string plain;
    plain.reserve(text.size() + 64);
    bool is_in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (!is_in_string) {
            bool is_number = false;
            for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
                if (text.substr(i, word.size()) != word) { continue; }
                plain.append("\"").append(mark).append(word).append("\"");
                i += word.size() - 1;
                is_number = true;
                break;
            }
            if (is_number) { continue; }
            if (const std::size_t digits = integer_size(text.substr(i)); digits > largest_integer) {
                plain.append("\"").append(mark).append(c == '-' ? "-Infinity\"" : "Infinity\"");
                i += digits - 1;
                continue;
            } else if (digits != 0) {
                plain.append(text.substr(i, digits));
                i += digits - 1;
                continue;
            }
            is_in_string = c == '"';
            plain += c;
            continue;
        }
        if (c == '\\' && i + 1 < text.size()) {
            const auto unit = text[i + 1] == 'u' ? code_unit(text.substr(i + 2)) : std::nullopt;
            if (unit && *unit >= 0xd800 && *unit <= 0xdfff) {
                const auto next = text.substr(i + 6, 2) == "\\u" ? code_unit(text.substr(i + 8)) : std::nullopt;
                if (*unit < 0xdc00 && next && *next >= 0xdc00 && *next <= 0xdfff) {
                    plain.append(text.substr(i, 12));
                    i += 11;
                } else {
                    plain += "\\ufffd";
                    i += 5;
                }
                continue;
            }
            plain.append(text.substr(i, 2));
            ++i;
            continue;
        }
        is_in_string = c != '"';
        plain += c;
    }
    return plain;
}

inline void put_numbers_back(Json& json, const std::string& mark) {
    if (json.is_structured()) {
        for (Json& element : json) {
            put_numbers_back(element, mark);
        }
    } else if (json.is_string() && json.get_ref<const std::string&>().starts_with(mark)) {
        const std::string word = json.get_ref<const std::string&>().substr(mark.size());
        constexpr double infinity = std::numeric_limits<double>::infinity();
        json = word == "NaN" ? std::numeric_limits<double>::quiet_NaN() : word == "Infinity" ? infinity : -infinity;
    }
}

/// Neither nested deeper than that, nor with a part that is no value at all: what a parser made of no JSON.
[[nodiscard]] inline bool is_writable(const Json& json, std::size_t depth) {
    if (!json.is_structured()) { return !json.is_discarded(); }
    return depth > 0 && std::all_of(json.begin(), json.end(), [&](const Json& element) { return is_writable(element, depth - 1); });
}

[[nodiscard]] inline bool has_non_finite(const Json& json) {
    if (json.is_number_float()) { return !std::isfinite(json.get<double>()); }
    if (!json.is_structured()) { return false; }
    for (const Json& element : json) {
        if (has_non_finite(element)) { return true; }
    }
    return false;
}

inline void mark_numbers(Json& json, const std::string& mark) {
    if (json.is_structured()) {
        for (Json& element : json) {
            mark_numbers(element, mark);
        }
    } else if (json.is_number_float() && !std::isfinite(json.get<double>())) {
        const auto value = json.get<double>();
        json = mark + (std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    }
}

} // namespace detail

/// What `json.dumps` of Python wrote; nothing where it is no JSON even so, or nested more than 512 deep.
[[nodiscard]] inline std::optional<Json> parse_json(std::string_view text) {
    // The parser takes a NUL for the end of its input, and would not look at what follows.
    if (text.find('\0') != std::string_view::npos || luzia::detail::nests_deeper_than(text, detail::deepest)) { return std::nullopt; }
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_discarded()) { return json; }
    const std::string mark = detail::absent_mark(text);
    json = Json::parse(detail::plain_json(text, mark), nullptr, false);
    if (json.is_discarded()) { return std::nullopt; }
    detail::put_numbers_back(json, mark);
    return json;
}

/// As `json.loads` of Python reads it: NaN and the infinities bare. Nothing where a string is not UTF-8, or it is nested too deep.
///
/// @param enclosing  levels around the place where it will stand: all of it must be read again
[[nodiscard]] inline std::optional<std::string> dump_json(const Json& json, std::size_t enclosing = 0) {
    if (!detail::is_writable(json, detail::deepest - enclosing)) { return std::nullopt; }
    try {
        if (!detail::has_non_finite(json)) { return json.dump(); }
        std::string mark = detail::absent_mark(json.dump());
        Json marked = json;
        detail::mark_numbers(marked, mark);
        std::string text = marked.dump();
        for (std::size_t at = text.find('"' + mark); at != std::string::npos; at = text.find('"' + mark, at)) {
            text.erase(at, mark.size() + 1);
            text.erase(text.find('"', at), 1);
        }
        return text;
    } catch (const Json::exception&) { // its text would quote the value
        return std::nullopt;
    }
}

namespace detail {

/// Copies what can be written as JSON of a value that may be anything: see `writable`.
class WritableCopy {
public:
    explicit WritableCopy(std::size_t bytes) noexcept : left_(bytes) {}

    [[nodiscard]] Json of(const Json& json, std::size_t depth) {
        take(2);
        if (json.is_string()) { return text_of(json.get_ref<const std::string&>()); }
        if (json.is_binary() || json.is_discarded()) { return nullptr; }
        if (!json.is_structured()) { return json; }
        if (depth == 0) { return "..."; }
        return json.is_array() ? array_of(json, depth) : object_of(json, depth);
    }

private:
    void take(std::size_t bytes) noexcept { left_ -= std::min(left_, bytes); }

    [[nodiscard]] std::string text_of(const std::string& text) {
        // One byte that is no letter becomes three. What is cut in the middle of a letter becomes one that is none: cut again.
        std::string good = as_utf8(text.substr(0, left_ + 1));
        if (good.size() > left_) { good = cut(std::move(good), left_); }
        take(good.size());
        return good;
    }

    [[nodiscard]] Json array_of(const Json& json, std::size_t depth) {
        Json copy = Json::array();
        for (const Json& element : json) {
            if (left_ == 0) {
                copy.push_back("...");
                break;
            }
            copy.push_back(of(element, depth - 1));
        }
        return copy;
    }

    [[nodiscard]] Json object_of(const Json& json, std::size_t depth) {
        Json copy = Json::object();
        for (const auto& [name, element] : json.items()) {
            if (left_ == 0) { break; }
            std::string key = text_of(name);
            copy[std::move(key)] = of(element, depth - 1);
        }
        return copy;
    }

    std::size_t left_;
};

} // namespace detail

/// A copy that `dump_json` can write, whatever the value is: U+FFFD for bytes that are not UTF-8, null for what JSON has no word for, three
/// points for what is nested deeper than `depth` or does not go into about `bytes`.
[[nodiscard]] inline Json writable(const Json& json, std::size_t depth, std::size_t bytes) {
    return detail::WritableCopy(bytes).of(json, depth);
}

/// Takes the wrapping off that kombu 5.3 and newer put around values which JSON has no word for: `{"__type__": ..., "__value__": ...}`. What is
/// left is what older ones write: dates and times in ISO 8601, a UUID in its usual form, a decimal number as text.
inline void unwrap_typed(Json& json) {
    if (!json.is_structured()) { return; }
    if (json.is_object() && json.size() == 2 && json.contains("__type__") && json.contains("__value__") && json["__type__"].is_string()) {
        const std::string type = json["__type__"].get<std::string>();
        Json value = json["__value__"];
        const bool is_hex = type == "uuid" && value.is_object() && value.contains("hex") && value["hex"].is_string();
        if (is_hex) {
            std::string hex = value["hex"].get<std::string>();
            if (hex.size() == 32) {
                for (const std::size_t at : {20U, 16U, 12U, 8U}) {
                    hex.insert(at, "-");
                }
            }
            json = hex;
        } else if (value.is_string()) {
            for (const std::string_view known : {"datetime", "date", "time", "decimal", "bytes", "base64", "uuid"}) {
                if (type == known) {
                    json = std::move(value);
                    return;
                }
            }
        }
        return;
    }
    for (Json& element : json) {
        unwrap_typed(element);
    }
}

} // namespace luzia::celery
