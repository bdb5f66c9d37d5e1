// codec/binary_codecs.hpp: values as CBOR or MessagePack, through nlohmann_json: smaller than JSON, and NaN stays NaN.
#pragma once

#include <luzia/codec/cbor_shape.hpp>
#include <luzia/codec/codec.hpp>
#include <luzia/codec/document.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace luzia {

/// Values as CBOR (RFC 8949). Tags are refused; nesting beyond 256 levels and negative numbers beyond 64 bits can't be decoded.
struct CborCodec {
    template <class T>
    [[nodiscard]] std::string encode(const T& value) const {
        std::string bytes;
        nlohmann::json::to_cbor(nlohmann::json(value), bytes);
        return bytes;
    }

    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string_view bytes) const {
        if (!codec::CborWalk(bytes).is_well_shaped()) { return std::nullopt; }
        return codec::read_binary<T>(bytes, nlohmann::json::input_format_t::cbor, codec::CborWalk::limit);
    }
};

/// Values as MessagePack. Nesting beyond 256 levels can't be decoded.
struct MessagePackCodec {
    static constexpr std::size_t deepest = 256; ///< the parser calls itself at each level

    template <class T>
    [[nodiscard]] std::string encode(const T& value) const {
        std::string bytes;
        nlohmann::json::to_msgpack(nlohmann::json(value), bytes);
        return bytes;
    }

    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string_view bytes) const {
        return codec::read_binary<T>(bytes, nlohmann::json::input_format_t::msgpack, deepest);
    }
};

static_assert(ValueCodec<CborCodec> && ValueCodec<MessagePackCodec>);

} // namespace luzia
