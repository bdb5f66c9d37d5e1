// codec/json_codec.hpp: values as JSON text, the default: what a Python service's json.dumps and json.loads write and read.
#pragma once

#include <luzia/codec/codec.hpp>
#include <luzia/codec/json_value.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace luzia {

namespace codec {

/// Whether arrays and objects of a JSON text stand more than so many deep in one another. Of what is no JSON it may say anything.
[[nodiscard]] inline bool nests_deeper_than(std::string_view text, std::size_t limit) noexcept {
    const auto opened = std::count(text.begin(), text.end(), '[') + std::count(text.begin(), text.end(), '{');
    if (static_cast<std::size_t>(opened) <= limit) { return false; }
    std::size_t depth = 0;
    bool is_in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_in_string) {
            if (c == '\\') { ++i; }
            is_in_string = c != '"';
        } else if (c == '"') {
            is_in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limit) { return true; }
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
    return false;
}

} // namespace codec

/// Strict JSON, as UTF-8, nested 512 deep at most: copying what was parsed takes the stack as deep. A string that is not UTF-8 can't be
/// encoded. NaN and infinity are written as `null`; the bare `NaN` that Python writes is no JSON and can't be decoded. Integers beyond 64
/// bits become doubles.
struct JsonCodec {
    static constexpr std::size_t deepest = 512;

    template <class T>
    [[nodiscard]] std::string encode(const T& value) const {
        if constexpr (std::same_as<T, nlohmann::json>) {
            return value.dump();
        } else {
            return nlohmann::json(value).dump();
        }
    }

    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string_view bytes) const {
        // The parser takes a NUL for the end of its input, and would not look at what follows.
        if (bytes.find('\0') != std::string_view::npos) { return std::nullopt; }
        if (codec::nests_deeper_than(bytes, deepest)) { return std::nullopt; }
        auto json = nlohmann::json::parse(bytes, nullptr, false);
        if (json.is_discarded()) { return std::nullopt; }
        return codec::value_of<T>(std::move(json));
    }
};

static_assert(ValueCodec<JsonCodec>);

} // namespace luzia
