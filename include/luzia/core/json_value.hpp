// core/json_value.hpp: JSON text that is not too deep, and a parsed value as a `T`, with the checks on numbers that nlohmann_json leaves out.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace luzia::detail {

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

/// A number of the kind and in the range of `T`. nlohmann_json alone makes an int of 1.9, of `true` and of 5e9. `Json` is a parameter so that
/// nothing is compiled where no number is asked for.
template <class T, std::same_as<nlohmann::json> Json>
requires std::is_arithmetic_v<T>
[[nodiscard]] std::optional<T> number_of(const Json& json) {
    if constexpr (std::same_as<T, bool>) {
        return json.is_boolean() ? std::optional<T>(json.template get<bool>()) : std::nullopt;
    } else if constexpr (std::is_integral_v<T>) {
        using Limits = std::numeric_limits<T>;
        if (json.is_number_unsigned()) {
            const auto value = json.template get<std::uint64_t>();
            return value <= static_cast<std::uint64_t>(Limits::max()) ? std::optional<T>(static_cast<T>(value)) : std::nullopt;
        }
        if (!json.is_number_integer()) { return std::nullopt; }
        const auto value = json.template get<std::int64_t>();
        // Not unsigned, so negative where it came from a parser; one made by hand may be anything.
        if (value >= 0) {
            return static_cast<std::uint64_t>(value) <= static_cast<std::uint64_t>(Limits::max()) ? std::optional<T>(static_cast<T>(value))
                                                                                                  : std::nullopt;
        }
        if constexpr (std::is_unsigned_v<T>) {
            return std::nullopt;
        } else {
            return value >= static_cast<std::int64_t>(Limits::min()) ? std::optional<T>(static_cast<T>(value)) : std::nullopt;
        }
    } else {
        if (!json.is_number()) { return std::nullopt; }
        const auto value = json.template get<long double>();
        // Infinities and NaN, which binary formats have, pass: they are values of T.
        const bool is_finite = value - value == 0;
        if (is_finite && (value > std::numeric_limits<T>::max() || value < std::numeric_limits<T>::lowest())) { return std::nullopt; }
        return json.template get<T>();
    }
}

/// Throws what `from_json` throws where the shape is another.
template <class T>
[[nodiscard]] std::optional<T> value_of(nlohmann::json&& json) {
    if constexpr (std::same_as<T, nlohmann::json>) {
        return std::move(json);
    } else if constexpr (std::is_arithmetic_v<T>) {
        return number_of<T>(json);
    } else {
        return json.template get<T>();
    }
}

} // namespace luzia::detail
