// codec/binary_codecs.hpp: values as CBOR or MessagePack, through nlohmann_json: smaller than JSON, and NaN stays NaN.
#pragma once

#include <luzia/codec/cbor_shape.hpp>
#include <luzia/codec/codec.hpp>
#include <luzia/codec/json_value.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace luzia {

namespace codec {

/// Looks at a document without building it and stops where it nests too deep: the parser calls itself at each level, so that some
/// kilobytes of opened arrays would use up the stack.
class DepthCheck final : public nlohmann::json::json_sax_t {
public:
    static constexpr std::size_t limit = 256;

    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool key(string_t&) override { return true; }
    bool start_object(std::size_t) override { return ++depth_ <= limit; }
    bool start_array(std::size_t) override { return ++depth_ <= limit; }
    bool end_object() override { return leave(); }
    bool end_array() override { return leave(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

private:
    bool leave() {
        --depth_;
        return true;
    }

    std::size_t depth_ = 0;
};

} // namespace codec

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
        return codec::value_of<T>(nlohmann::json::from_cbor(bytes));
    }
};

/// Values as MessagePack. Nesting beyond 256 levels can't be decoded.
struct MessagePackCodec {
    template <class T>
    [[nodiscard]] std::string encode(const T& value) const {
        std::string bytes;
        nlohmann::json::to_msgpack(nlohmann::json(value), bytes);
        return bytes;
    }

    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string_view bytes) const {
        codec::DepthCheck check;
        if (!nlohmann::json::sax_parse(bytes, &check, nlohmann::json::input_format_t::msgpack)) { return std::nullopt; }
        return codec::value_of<T>(nlohmann::json::from_msgpack(bytes));
    }
};

static_assert(ValueCodec<CborCodec> && ValueCodec<MessagePackCodec>);

} // namespace luzia
