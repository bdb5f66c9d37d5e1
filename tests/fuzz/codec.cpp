// fuzz/codec.cpp: whatever bytes stand in Redis, decoding them ends with a value or without one, and what was decoded survives a round trip.
#include "check.hpp"

#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/json_codec.hpp>
#include <luzia/codec/raw_codec.hpp>
#include <luzia/codec/tree_builder.hpp>

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fuzzed {

struct Metrics {
    int total = 0;
    std::string org;
    std::vector<double> values;
    nlohmann::json rest;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org, values, rest)

/// The tree that a conversion sees, which is built over that of the document before.
struct Seen {
    nlohmann::json tree;
};
[[maybe_unused]] void from_json(const nlohmann::json& tree, Seen& seen) { seen.tree = tree; }

} // namespace fuzzed

namespace {

using luzia_fuzz::check;
using nlohmann::json;
using Limits = std::numeric_limits<std::int64_t>;

/// As a cache decodes: an exception is no value.
template <class T, class Codec>
std::optional<T> decoded(const Codec& codec, std::string_view bytes) {
    try {
        return codec.template decode<T>(std::string(bytes));
    } catch (const std::exception&) { return std::nullopt; }
}

__int128 integer_in(const json& number) {
    return number.is_number_unsigned() ? __int128(number.get<std::uint64_t>()) : __int128(number.get<std::int64_t>());
}

/// Equality, except that NaN equals NaN, and that no integer is taken for another of its width.
bool is_same(const json& left, const json& right) {
    if (left.is_number_integer() && right.is_number_integer()) { return integer_in(left) == integer_in(right); }
    if (left.type() != right.type() || left.size() != right.size()) { return false; }
    if (left.is_number_float() && std::isnan(left.get<double>())) { return std::isnan(right.get<double>()); }
    if (!left.is_structured()) { return left == right; }
    for (auto l = left.begin(), r = right.begin(); l != left.end(); ++l, ++r) {
        if ((left.is_object() && l.key() != r.key()) || !is_same(*l, *r)) { return false; }
    }
    return true;
}

/// What an integer is read as is what stands there, for each type that it can be read as.
template <class T, class Codec>
void check_number(const Codec& codec, std::string_view bytes, const json& whole) {
    const auto number = decoded<T>(codec, bytes);
    if constexpr (std::same_as<T, bool>) {
        check(number.has_value() == whole.is_boolean(), "a bool is read where one stands");
    } else if constexpr (std::floating_point<T>) {
        if (number) { check(whole.is_number() && is_same(*number, whole.get<double>()), "a number is read as it stands"); }
    } else if (whole.is_number_integer()) {
        const __int128 value = integer_in(whole);
        const bool fits = value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
        check(fits == number.has_value() && (!fits || *number == static_cast<T>(value)), "an integer is read where it fits, and unchanged");
    } else {
        check(!number, "what is no integer is read as none");
    }
}

/// The integer that `bytes` are, read without nlohmann_json; none where they are anything else.
std::optional<__int128> integer_of(const luzia::JsonCodec&, std::string_view bytes) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), value);
    return error == std::errc() && std::to_string(value) == bytes ? std::optional<__int128>(value) : std::nullopt;
}

std::optional<__int128> big_endian(std::string_view bytes) {
    __int128 value = 0;
    for (const char byte : bytes) {
        value = value * 256 + static_cast<unsigned char>(byte);
    }
    return value;
}

std::optional<__int128> integer_of(const luzia::CborCodec&, std::string_view bytes) {
    const auto head = bytes.empty() ? 0xffU : static_cast<unsigned char>(bytes[0]);
    const unsigned info = head & 0x1fU;
    if (head >= 0x40U || info > 27 || bytes.size() != 1 + (info < 24 ? 0U : 1U << (info - 24))) { return std::nullopt; }
    const __int128 value = info < 24 ? __int128(info) : *big_endian(bytes.substr(1));
    return head < 0x20U ? value : -1 - value;
}

std::optional<__int128> integer_of(const luzia::MessagePackCodec&, std::string_view bytes) {
    const auto head = bytes.empty() ? 0xc0U : static_cast<unsigned char>(bytes[0]);
    if (bytes.size() == 1 && (head < 0x80U || head >= 0xe0U)) { return static_cast<signed char>(head); }
    if (head < 0xccU || head > 0xd3U || bytes.size() != 1 + (1U << (head & 3U))) { return std::nullopt; }
    const __int128 value = *big_endian(bytes.substr(1));
    const bool is_negative = head >= 0xd0U && (static_cast<unsigned char>(bytes[1]) & 0x80U) != 0;
    return is_negative ? value - (__int128(1) << (8 * (bytes.size() - 1))) : value;
}

json parsed_alone(const luzia::JsonCodec&, std::string_view bytes) { return json::parse(bytes, nullptr, false); }
json parsed_alone(const luzia::CborCodec&, std::string_view bytes) { return json::from_cbor(bytes, true, false); }
json parsed_alone(const luzia::MessagePackCodec&, std::string_view bytes) { return json::from_msgpack(bytes, true, false); }

constexpr json::input_format_t format_of(const luzia::JsonCodec&) { return json::input_format_t::json; }
constexpr json::input_format_t format_of(const luzia::CborCodec&) { return json::input_format_t::cbor; }
constexpr json::input_format_t format_of(const luzia::MessagePackCodec&) { return json::input_format_t::msgpack; }

/// A tree that is built over those of all inputs before, whether they were documents or not, is what nlohmann_json makes of this one.
template <class Codec>
void check_builder(const Codec& codec, std::string_view bytes, const std::optional<json>& whole) {
    static luzia::codec::TreeBuilder<> builder(0);
    builder.restart(luzia::JsonCodec::deepest);
    const bool is_document = whole && json::sax_parse(bytes, &builder, format_of(codec));
    if (whole) {
        check(is_document, "what is decoded is built over another document as well");
        const json alone = parsed_alone(codec, bytes);
        check(is_same(builder.tree(), alone) && is_same(*whole, alone), "a document is what nlohmann_json makes of it");
    } else if (std::same_as<Codec, luzia::JsonCodec>) {
        static_cast<void>(json::sax_parse(bytes, &builder)); // leaves what it got to
    }
}

template <class Codec>
void check_codec(const Codec& codec, std::string_view bytes) {
    const std::optional<json> whole = decoded<json>(codec, bytes);
    if (const auto integer = integer_of(codec, bytes)) {
        const bool is_signed = *integer >= Limits::min() && *integer <= Limits::max();
        const auto value = decoded<std::int64_t>(codec, bytes);
        check(value.has_value() == is_signed && (!value || *value == *integer), "an integer has the value that its bytes say");
        check(!is_signed || whole, "an integer is a document");
    }
    check_builder(codec, bytes, whole);
    if (!whole) { return check(!decoded<int>(codec, bytes), "what is a value is a document"); }

    check_number<int>(codec, bytes, *whole);
    check_number<unsigned>(codec, bytes, *whole);
    check_number<bool>(codec, bytes, *whole);
    check_number<double>(codec, bytes, *whole);
    const auto text = decoded<std::string>(codec, bytes);
    check(text.has_value() == whole->is_string(), "a string is read where one stands");
    check(!text || *text == whole->template get_ref<const std::string&>(), "a string is read as it stands");
    static_cast<void>(decoded<std::vector<int>>(codec, bytes));
    static_cast<void>(decoded<std::vector<json>>(codec, bytes));
    static_cast<void>(decoded<std::map<std::string, std::vector<double>>>(codec, bytes));
    static_cast<void>(decoded<fuzzed::Metrics>(codec, bytes));
    for (int i = 0; i < 2; ++i) {
        const auto seen = decoded<fuzzed::Seen>(codec, bytes);
        check(seen && is_same(seen->tree, *whole), "a conversion sees the whole document and nothing else");
    }
    const std::string again = codec.encode(*whole);
    const std::optional<json> copy = decoded<json>(codec, again);
    check(copy && is_same(*whole, *copy), "a document encoded again is decoded to the same", again);
}

void check_raw(const luzia::RawCodec& codec, std::string_view bytes) {
    const auto text = decoded<std::string>(codec, bytes);
    check(text == bytes && codec.encode(*text) == bytes, "raw bytes are what they were");
    const auto range = decoded<std::vector<std::byte>>(codec, bytes);
    check(range && codec.encode(*range) == bytes, "raw bytes are what they were, as a range too");
}

} // namespace

/// The first byte chooses the codec, and with its upper bits whether the bytes up to the first 0xff are repeated, which makes documents that
/// nest deeply: some hundred levels or, rarely, since it takes long, as many as would use up the stack of any parser that calls itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) { return 0; }
    std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const unsigned choice = data[0] / 4;
    if (const std::size_t mark = bytes.find('\xff'); choice % 4 == 1 && mark != std::string::npos) {
        const std::string unit = bytes.substr(0, mark);
        const std::size_t length = choice == 61 ? 128UL * 1024 : 600;
        std::string repeated;
        while (!unit.empty() && repeated.size() < length) {
            repeated += unit;
        }
        bytes.replace(0, mark + 1, repeated);
    }
    switch (data[0] % 4) {
    case 0: check_codec(luzia::JsonCodec(), bytes); break;
    case 1: check_codec(luzia::CborCodec(), bytes); break;
    case 2: check_codec(luzia::MessagePackCodec(), bytes); break;
    default: check_raw(luzia::RawCodec(), bytes); break;
    }
    return 0;
}
