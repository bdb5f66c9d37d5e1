// codec/json_codec.hpp: values as JSON text, the default: what a Python service's json.dumps and json.loads write and read.
#pragma once

#include <luzia/codec/codec.hpp>
#include <luzia/codec/document.hpp>

#include <nlohmann/json.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace luzia {

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
        return codec::read_json<T>(bytes, deepest);
    }
};

static_assert(ValueCodec<JsonCodec>);

} // namespace luzia
