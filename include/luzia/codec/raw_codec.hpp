// codec/raw_codec.hpp: bytes as they are, for values that are encoded already.
#pragma once

#include <luzia/codec/codec.hpp>

#include <concepts>
#include <cstddef>
#include <cstring>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace luzia {

namespace codec {

/// `std::vector<std::byte>`, `std::array<unsigned char, N>`, `std::span<const char>` and their like.
template <class T>
concept ByteRange = std::ranges::contiguous_range<const T> && std::ranges::sized_range<const T> &&
    (std::same_as<std::ranges::range_value_t<const T>, std::byte> || std::same_as<std::ranges::range_value_t<const T>, char> ||
     std::same_as<std::ranges::range_value_t<const T>, unsigned char>);

} // namespace codec

/// Strings and ranges of bytes, unchanged. `get(key)` reads a `std::string`.
struct RawCodec {
    using default_value = std::string;

    template <class T>
    requires std::convertible_to<const T&, std::string_view> || codec::ByteRange<T>
    [[nodiscard]] std::string encode(const T& value) const {
        if constexpr (std::convertible_to<const T&, std::string_view>) {
            return std::string(std::string_view(value));
        } else {
            return std::string(reinterpret_cast<const char*>(std::ranges::data(value)), std::ranges::size(value));
        }
    }

    /// What is given away is not copied, unless most of it is room.
    template <std::same_as<std::string> T>
    [[nodiscard]] std::string encode(T&& value) const {
        std::string bytes;
        if (value.capacity() / 2 > value.size()) {
            bytes = value;
        } else {
            bytes.swap(value);
        }
        return bytes;
    }

    template <class T>
    requires std::same_as<T, std::string> ||(codec::ByteRange<T>&& std::constructible_from<T, std::size_t>)
        [[nodiscard]] std::optional<T> decode(std::string&& bytes) const {
        if constexpr (std::same_as<T, std::string>) {
            return std::move(bytes);
        } else {
            T value(bytes.size());
            if (!bytes.empty()) { std::memcpy(std::ranges::data(value), bytes.data(), bytes.size()); }
            return value;
        }
    }
};

static_assert(ValueCodec<RawCodec>);

} // namespace luzia
