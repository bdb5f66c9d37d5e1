// unit/codec_test.cpp: values to bytes and back: what survives, what is refused, and what a codec of one's own has to be.
#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/codec.hpp>
#include <luzia/codec/json_codec.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using luzia::CborCodec;
using luzia::JsonCodec;
using luzia::MessagePackCodec;
using luzia::RawCodec;
using luzia::ValueCodec;
using nlohmann::json;
using namespace std::string_literals;

struct Metrics {
    int total = 0;
    std::string org;
    std::vector<double> samples;
    bool operator==(const Metrics&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org, samples)

/// One that can't be made of anything.
struct Stubborn {};
[[maybe_unused]] void to_json(json&, const Stubborn&) { throw std::runtime_error("no"); }
[[maybe_unused]] void from_json(const json&, Stubborn&) { throw std::runtime_error("no"); }

/// One that keeps a part of the document as it is: that part is copied.
struct Wrapped {
    json payload;
};
void from_json(const json& document, Wrapped& wrapped) { wrapped.payload = document.at("payload"); }

/// What a client makes of bytes: an exception is no value.
template <class T, class Codec>
std::optional<T> decoded(const Codec& codec, std::string bytes) {
    try {
        return codec.template decode<T>(std::move(bytes));
    } catch (...) { return std::nullopt; }
}

template <class T>
std::optional<T> from_text(std::string text) {
    return decoded<T>(JsonCodec(), std::move(text));
}

// Every codec of nlohmann_json.

template <class Codec>
class JsonLikeCodec : public ::testing::Test {
protected:
    template <class T>
    void expect_round_trip(const T& value) {
        const std::string bytes = codec.encode(value);
        const auto back = codec.template decode<T>(bytes);
        ASSERT_TRUE(back.has_value()) << json(value);
        EXPECT_EQ(*back, value);
    }
    /// What `value` becomes where it is read as a `T`.
    template <class T>
    std::optional<T> as(const json& value) {
        return decoded<T>(codec, codec.encode(value));
    }

    Codec codec;
};

using Codecs = ::testing::Types<JsonCodec, CborCodec, MessagePackCodec>;
TYPED_TEST_SUITE(JsonLikeCodec, Codecs);

TYPED_TEST(JsonLikeCodec, GivesBackWhatItWasGiven) {
    this->expect_round_trip(Metrics{50, "acme", {1.5, -2.0, 1e300}});
    this->expect_round_trip(std::string("text"));
    this->expect_round_trip(std::string());
    this->expect_round_trip("a\0b\r\n\"\\"s);
    this->expect_round_trip(std::string("caf\xc3\xa9 \xf0\x9f\x98\x80"));
    this->expect_round_trip(std::string(100'000, 'x'));
    this->expect_round_trip(true);
    this->expect_round_trip(false);
    this->expect_round_trip(0);
    this->expect_round_trip(-1);
    this->expect_round_trip('c');
    this->expect_round_trip(std::vector<int>{});
    this->expect_round_trip(std::vector<int>{1, 2, 3});
    this->expect_round_trip(std::vector<std::string>{"a", "", "b"});
    this->expect_round_trip(std::map<std::string, int>{{"a", 1}, {"b", 2}});
    this->expect_round_trip(std::array<int, 3>{1, 2, 3});
    this->expect_round_trip(std::pair<int, std::string>{1, "a"});
    this->expect_round_trip(std::tuple<int, std::string, double>{1, "a", 2.5});
    this->expect_round_trip(std::map<std::string, std::vector<Metrics>>{{"x", {Metrics{1, "a", {}}, Metrics{2, "b", {0.1}}}}});
    this->expect_round_trip(json{{"a", {1, 2.5, nullptr, true, "x"}}, {"b", json::object()}});
    this->expect_round_trip(json());
    this->expect_round_trip(json::array());
}

TYPED_TEST(JsonLikeCodec, KeepsNumbersUpToTheirLimits) {
    this->expect_round_trip(std::numeric_limits<std::int8_t>::min());
    this->expect_round_trip(std::numeric_limits<std::int8_t>::max());
    this->expect_round_trip(std::numeric_limits<std::uint8_t>::max());
    this->expect_round_trip(std::numeric_limits<std::int16_t>::min());
    this->expect_round_trip(std::numeric_limits<std::int32_t>::min());
    this->expect_round_trip(std::numeric_limits<std::int32_t>::max());
    this->expect_round_trip(std::numeric_limits<std::uint32_t>::max());
    this->expect_round_trip(std::numeric_limits<std::int64_t>::min());
    this->expect_round_trip(std::numeric_limits<std::int64_t>::max());
    this->expect_round_trip(std::numeric_limits<std::uint64_t>::max());
    this->expect_round_trip(std::numeric_limits<double>::max());
    this->expect_round_trip(std::numeric_limits<double>::lowest());
    this->expect_round_trip(std::numeric_limits<double>::denorm_min());
    this->expect_round_trip(0.1);
    this->expect_round_trip(-0.0);
    this->expect_round_trip(std::numeric_limits<float>::max());
    this->expect_round_trip(std::numeric_limits<float>::lowest());
    this->expect_round_trip(0.1F);
}

TYPED_TEST(JsonLikeCodec, ANumberOutOfRangeIsNone) {
    EXPECT_EQ(this->template as<int>(5'000'000'000), std::nullopt);
    EXPECT_EQ(this->template as<int>(-5'000'000'000), std::nullopt);
    EXPECT_EQ(this->template as<int>(2'147'483'648), std::nullopt);
    EXPECT_EQ(this->template as<int>(-2'147'483'649), std::nullopt);
    EXPECT_EQ(this->template as<std::int8_t>(128), std::nullopt);
    EXPECT_EQ(this->template as<std::int8_t>(-129), std::nullopt);
    EXPECT_EQ(this->template as<std::uint8_t>(256), std::nullopt);
    EXPECT_EQ(this->template as<unsigned>(-1), std::nullopt);
    EXPECT_EQ(this->template as<std::uint64_t>(-1), std::nullopt);
    EXPECT_EQ(this->template as<std::uint8_t>(-1), std::nullopt);
    EXPECT_EQ(this->template as<std::uint32_t>(4'294'967'296), std::nullopt);
    EXPECT_EQ(this->template as<std::int64_t>(9'223'372'036'854'775'808U), std::nullopt);
    EXPECT_EQ(this->template as<std::int64_t>(std::numeric_limits<std::uint64_t>::max()), std::nullopt);
    EXPECT_EQ(this->template as<float>(1e300), std::nullopt);
    EXPECT_EQ(this->template as<float>(-1e300), std::nullopt);
    EXPECT_EQ(this->template as<float>(3.5e38), std::nullopt);
}

TYPED_TEST(JsonLikeCodec, ANumberInRangeOfAnotherWidthIsRead) {
    EXPECT_EQ(this->template as<std::int64_t>(5'000'000'000), 5'000'000'000);
    EXPECT_EQ(this->template as<std::uint64_t>(7), 7U);
    EXPECT_EQ(this->template as<std::int8_t>(-128), -128);
    EXPECT_EQ(this->template as<std::uint8_t>(255), 255);
    EXPECT_EQ(this->template as<int>(2'147'483'647U), 2'147'483'647);
    EXPECT_EQ(this->template as<double>(3), 3.0);
    EXPECT_EQ(this->template as<double>(-3), -3.0);
    EXPECT_EQ(this->template as<float>(3), 3.0F);
    EXPECT_EQ(this->template as<float>(0.1), 0.1F);
    EXPECT_EQ(this->template as<double>(std::numeric_limits<std::uint64_t>::max()), 18446744073709551616.0);
}

TYPED_TEST(JsonLikeCodec, AValueOfAnotherKindIsNone) {
    EXPECT_EQ(this->template as<int>(1.9), std::nullopt);
    EXPECT_EQ(this->template as<int>(3.0), std::nullopt);
    EXPECT_EQ(this->template as<int>(true), std::nullopt);
    EXPECT_EQ(this->template as<double>(true), std::nullopt);
    EXPECT_EQ(this->template as<float>(true), std::nullopt);
    EXPECT_EQ(this->template as<float>(nullptr), std::nullopt);
    EXPECT_EQ(this->template as<long double>(true), std::nullopt);
    EXPECT_EQ(this->template as<char>(true), std::nullopt);
    EXPECT_EQ(this->template as<int>("1"), std::nullopt);
    EXPECT_EQ(this->template as<double>("1"), std::nullopt);
    EXPECT_EQ(this->template as<int>(nullptr), std::nullopt);
    EXPECT_EQ(this->template as<double>(nullptr), std::nullopt);
    EXPECT_EQ(this->template as<int>(json::array({1})), std::nullopt);
    EXPECT_EQ(this->template as<int>(json::object()), std::nullopt);
    EXPECT_EQ(this->template as<bool>(1), std::nullopt);
    EXPECT_EQ(this->template as<bool>(0), std::nullopt);
    EXPECT_EQ(this->template as<bool>("true"), std::nullopt);
    EXPECT_EQ(this->template as<bool>(nullptr), std::nullopt);
    EXPECT_EQ(this->template as<std::string>(1), std::nullopt);
    EXPECT_EQ(this->template as<std::string>(nullptr), std::nullopt);
    EXPECT_EQ(this->template as<std::vector<int>>(1), std::nullopt);
    EXPECT_EQ(this->template as<std::vector<int>>(json::object()), std::nullopt);
    EXPECT_EQ(this->template as<Metrics>(json{{"total", 1}}), std::nullopt);
    EXPECT_EQ(this->template as<Metrics>(json{{"total", "1"}, {"org", "a"}, {"samples", json::array()}}), std::nullopt);
}

TYPED_TEST(JsonLikeCodec, WhatAUsersConversionThrowsIsNoValue) {
    EXPECT_THROW(static_cast<void>(this->codec.encode(Stubborn())), std::runtime_error);
    EXPECT_FALSE(this->template as<Stubborn>(1).has_value());
}

TYPED_TEST(JsonLikeCodec, NoDocumentIsAnyValue) {
    EXPECT_EQ(decoded<json>(this->codec, ""), std::nullopt);
    const std::string whole = this->codec.encode(json{{"a", {1, 2, "three"}}});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_EQ(decoded<json>(this->codec, whole.substr(0, size)), std::nullopt) << size;
    }
    EXPECT_NE(decoded<json>(this->codec, whole), std::nullopt);
}

TYPED_TEST(JsonLikeCodec, TrailingGarbageIsRefused) {
    for (const json& value : {json(1), json("a"), json{{"a", 1}}, json::array(), json()}) {
        const std::string bytes = this->codec.encode(value);
        for (const std::string& tail : {"x"s, "1"s, "\0"s, "\xff"s, bytes}) {
            if (value.is_number() && (tail == "1" || tail == bytes)) { continue; }        // another number, in JSON
            if (std::same_as<TypeParam, JsonCodec> && tail.front() == '\0') { continue; } // see JsonCodec.ANulEndsNoDocument
            EXPECT_EQ(decoded<json>(this->codec, bytes + tail), std::nullopt) << value << " and " << tail;
        }
    }
}

// JSON.

TEST(JsonCodec, WritesPlainJsonText) {
    const JsonCodec codec;
    EXPECT_EQ(codec.encode(json{{"a", 1}, {"b", {1.5, nullptr}}}), R"({"a":1,"b":[1.5,null]})");
    EXPECT_EQ(codec.encode(Metrics{1, "x", {}}), R"({"org":"x","samples":[],"total":1})");
    EXPECT_EQ(codec.encode(std::string("x\n\"")), R"("x\n\"")");
    EXPECT_EQ(codec.encode("literal"), R"("literal")");
    EXPECT_EQ(codec.encode(std::string_view("view")), R"("view")");
    EXPECT_EQ(codec.encode(1), "1");
    EXPECT_EQ(codec.encode(1.0), "1.0");
    EXPECT_EQ(codec.encode(true), "true");
    EXPECT_EQ(codec.encode(nullptr), "null");
    EXPECT_EQ(codec.encode(json("text")), R"("text")");
    EXPECT_EQ(codec.encode(json::array({json::array()})), "[[]]");
}

TEST(JsonCodec, ReadsWhatPythonWrites) {
    EXPECT_EQ(from_text<json>(R"({"total": 50, "org": "caf\u00e9", "x": [1, 2.5, true, null]})"),
              (json{{"total", 50}, {"org", "caf\xc3\xa9"}, {"x", {1, 2.5, true, nullptr}}}));
    EXPECT_EQ(from_text<std::string>(R"("\ud83d\ude00")"), "\xf0\x9f\x98\x80");
    EXPECT_EQ(from_text<std::string>("\"caf\xc3\xa9\""), "caf\xc3\xa9");
    EXPECT_EQ(from_text<double>("1e+16"), 1e16);
    EXPECT_EQ(from_text<int>(" 1\n"), 1);
}

TEST(JsonCodec, WhatIsNoJsonIsNoValue) {
    for (const char* const text :
         {"",      " ",      "nul",         "{",       "}",      "[1,",      "[1,]",      "{\"a\":1,}", "{\"a\"}",
          "{a:1}", "'a'",    "\"a",         "1 2",     "1,",     "[1]]",     "abc",       "0x10",       "01",
          "+1",    ".5",     "1.",          "NaN",     "[NaN]",  "Infinity", "-Infinity", "// c\n1",    "/* c */ 1",
          "True",  "None",   "\"\\ud800\"", "\"\\x\"", "\"\n\"", "\x80",     "\"\xff\"",  "\"\xc3\"",   "\"\xed\xa0\x80\"",
          "1e999", "-1e999", "\xff\xfe",    "\x01"}) {
        EXPECT_EQ(from_text<json>(text), std::nullopt) << text;
    }
    EXPECT_EQ(from_text<json>("\0"s), std::nullopt);
}

TEST(JsonCodec, ANulEndsNoDocument) {
    EXPECT_EQ(from_text<json>("1\0"s), std::nullopt);
    EXPECT_EQ(from_text<int>("1\0garbage"s), std::nullopt);
    EXPECT_EQ(from_text<json>("{\"a\":1}\0{{{{"s), std::nullopt);
    EXPECT_EQ(from_text<json>("[1,\0 2]"s), std::nullopt);
}

TEST(JsonCodec, NumbersAreReadAsTheyAreWritten) {
    EXPECT_EQ(from_text<int>("1.9"), std::nullopt);
    EXPECT_EQ(from_text<int>("1.0"), std::nullopt);
    EXPECT_EQ(from_text<int>("1e3"), std::nullopt);
    EXPECT_EQ(from_text<std::int64_t>("5e9"), std::nullopt);
    EXPECT_EQ(from_text<double>("5e9"), 5e9);
    EXPECT_EQ(from_text<int>("-0"), 0);
    EXPECT_EQ(from_text<unsigned>("-0"), 0U);
    EXPECT_EQ(from_text<std::uint64_t>("18446744073709551616"), std::nullopt);
    EXPECT_EQ(from_text<std::int64_t>("-9223372036854775809"), std::nullopt);
    EXPECT_EQ(from_text<double>("18446744073709551616"), 18446744073709551616.0);
    EXPECT_EQ(from_text<double>("1e308"), 1e308);
    EXPECT_EQ(from_text<float>("1e39"), std::nullopt);
}

TEST(JsonCodec, WhatIsNotUtf8CannotBeEncoded) {
    const JsonCodec codec;
    for (const char* const bad : {"\xff", "\xc3", "a\x80", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xc0\x80"}) {
        EXPECT_ANY_THROW(static_cast<void>(codec.encode(std::string(bad)))) << bad;
        EXPECT_ANY_THROW(static_cast<void>(codec.encode(json(bad)))) << bad;
        EXPECT_ANY_THROW(static_cast<void>(codec.encode(std::map<std::string, int>{{bad, 1}}))) << bad;
    }
}

TEST(JsonCodec, NaNAndInfinityAreWrittenAsNull) {
    const JsonCodec codec;
    for (const double value : {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
        EXPECT_EQ(codec.encode(value), "null");
        EXPECT_EQ(codec.encode(std::vector<double>{1.0, value}), "[1.0,null]");
    }
    EXPECT_EQ(from_text<double>("null"), std::nullopt);
}

TEST(JsonCodecDeathTest, DeepNestingIsReadOrRefusedNeverACrash) {
    const auto survive = [](const std::string& text) {
        static_cast<void>(from_text<json>(text));
        static_cast<void>(from_text<int>(text));
        static_cast<void>(from_text<std::vector<int>>(text));
        static_cast<void>(from_text<Wrapped>("{\"payload\":" + text + "}"));
        std::exit(0);
    };
    constexpr std::size_t depth = 500'000;
    EXPECT_EXIT(survive(std::string(depth, '[') + std::string(depth, ']')), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(survive(std::string(depth, '[')), ::testing::ExitedWithCode(0), "");
}

TEST(JsonCodec, NestingUpTo512LevelsIsRead) {
    const auto nested = [](std::size_t depth, const std::string& core = "") {
        return std::string(depth, '[') + core + std::string(depth, ']');
    };
    EXPECT_TRUE(from_text<json>(nested(512)).has_value());
    EXPECT_FALSE(from_text<json>(nested(513)).has_value());
    // What stands in a text nests nothing, and what stands side by side does not add up.
    EXPECT_TRUE(from_text<json>(nested(500, "\"" + std::string(100'000, '{') + "\\\"[[[\"")).has_value());
    std::string beside = "[0";
    for (int i = 0; i < 2000; ++i) {
        beside += ",[{\"a\":[]}]";
    }
    EXPECT_TRUE(from_text<json>(beside + "]").has_value());
    EXPECT_FALSE(from_text<json>("[\"\\\\\"," + nested(512) + "]").has_value());
}

// CBOR and MessagePack.

TEST(BinaryCodecs, WriteTheirFormats) {
    EXPECT_EQ(CborCodec().encode(json{{"a", 1}}), "\xa1\x61"s + "a\x01");
    EXPECT_EQ(MessagePackCodec().encode(json{{"a", 1}}), "\x81\xa1"s + "a\x01");
    EXPECT_EQ(CborCodec().encode(nullptr), "\xf6");
    EXPECT_EQ(MessagePackCodec().encode(nullptr), "\xc0");
}

TEST(BinaryCodecs, NaNAndInfinityStayWhatTheyAre) {
    const auto both = [](const auto& codec) {
        for (const double infinity : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
            EXPECT_EQ(codec.template decode<double>(codec.encode(infinity)), infinity);
            EXPECT_EQ(codec.template decode<float>(codec.encode(infinity)), static_cast<float>(infinity));
        }
        const auto nan = codec.template decode<double>(codec.encode(std::nan("")));
        EXPECT_TRUE(nan && std::isnan(*nan));
        EXPECT_EQ(codec.template decode<int>(codec.encode(std::nan(""))).has_value(), false);
    };
    both(CborCodec());
    both(MessagePackCodec());
}

TEST(BinaryCodecs, ANegativeNumberBeyond64BitsIsRefused) {
    EXPECT_EQ(decoded<std::int64_t>(CborCodec(), "\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"s), std::numeric_limits<std::int64_t>::min());
    for (const std::string& bytes : {"\x3b\x80\0\0\0\0\0\0\0"s, "\x3b\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
        EXPECT_FALSE(decoded<std::int64_t>(CborCodec(), bytes).has_value());
        EXPECT_FALSE(decoded<json>(CborCodec(), bytes).has_value());
        EXPECT_FALSE(decoded<json>(CborCodec(), "\x81"s + bytes).has_value());
    }
}

TEST(BinaryCodecs, TagsAreRefused) {
    EXPECT_EQ(decoded<json>(CborCodec(), "\xc1\x01"), std::nullopt);
    EXPECT_EQ(decoded<json>(CborCodec(), "\xd9\xd9\xf7\x01"), std::nullopt);
}

TEST(BinaryCodecs, LengthsThatAreNotThereAreRefused) {
    for (const std::string& bytes : {"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"s, "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x01"s,
                                     "\xbb\xff\xff\xff\xff\xff\xff\xff\xff"s, "\x7b\xff\xff\xff\xff\xff\xff\xff\xff"s + "abc",
                                     "\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"s + "abc", "\x9f"s, "\xbf"s, "\x7f"s, "\x1c"s, "\xff"s}) {
        EXPECT_EQ(decoded<json>(CborCodec(), bytes), std::nullopt);
    }
    for (const std::string& bytes : {"\xdd\xff\xff\xff\xff"s, "\xdd\xff\xff\xff\xff\x01"s, "\xdf\xff\xff\xff\xff"s,
                                     "\xdb\xff\xff\xff\xff"s + "abc", "\xc6\xff\xff\xff\xff"s + "abc", "\xc1"s}) {
        EXPECT_EQ(decoded<json>(MessagePackCodec(), bytes), std::nullopt);
    }
}

/// `depth` arrays in one another around a null.
std::string nested(const std::string& open, const std::string& core, std::size_t depth) {
    std::string bytes;
    for (std::size_t i = 0; i < depth; ++i) {
        bytes += open;
    }
    return bytes + core;
}

TEST(BinaryCodecs, NestingUpTo256LevelsIsRead) {
    for (const std::size_t depth : {1U, 255U, 256U}) {
        EXPECT_NE(decoded<json>(CborCodec(), nested("\x81", "\xf6", depth)), std::nullopt) << depth;
        EXPECT_NE(decoded<json>(CborCodec(), nested("\xa1\x60", "\xf6", depth)), std::nullopt) << depth;
        EXPECT_NE(decoded<json>(MessagePackCodec(), nested("\x91", "\xc0", depth)), std::nullopt) << depth;
        EXPECT_NE(decoded<json>(MessagePackCodec(), nested("\x81\xa0", "\xc0", depth)), std::nullopt) << depth;
    }
    EXPECT_EQ(decoded<json>(CborCodec(), nested("\x81", "\xf6", 257)), std::nullopt);
    EXPECT_EQ(decoded<json>(MessagePackCodec(), nested("\x91", "\xc0", 257)), std::nullopt);
}

TEST(BinaryCodecs, LevelsThatWereLeftDoNotCount) {
    const json wide(std::vector<json>(1'000, json::array({json::object({{"a", json::array({1})}})})));
    EXPECT_EQ(decoded<json>(CborCodec(), CborCodec().encode(wide)), wide);
    EXPECT_EQ(decoded<json>(MessagePackCodec(), MessagePackCodec().encode(wide)), wide);
}

template <class Codec>
void refuse(const std::string& bytes) {
    const bool is_refused = !decoded<json>(Codec(), bytes) && !decoded<int>(Codec(), bytes);
    std::exit(is_refused ? 0 : 1);
}

constexpr std::size_t deep = 100'000;

TEST(BinaryCodecsDeathTest, DeepNestingIsRefusedNeverACrash) {
    for (const char* const open : {"\x81", "\x82", "\x9f", "\xa1\x60", "\xbf\x60", "\xc1", "\xd8\x20"}) {
        EXPECT_EXIT(refuse<CborCodec>(nested(open, "\xf6", deep)), ::testing::ExitedWithCode(0), "");
    }
    EXPECT_EXIT(refuse<CborCodec>(nested("\xa1", "\x60\xf6", deep)), ::testing::ExitedWithCode(0), "");
    for (const char* const open : {"\x91", "\x9f", "\x81\xa0", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff\xa0"}) {
        EXPECT_EXIT(refuse<MessagePackCodec>(nested(open, "\xc0", deep)), ::testing::ExitedWithCode(0), "");
    }
}

TEST(BinaryCodecsDeathTest, StringsOfUnknownLengthInOneAnotherAreRefusedNeverACrash) {
    for (const char* const start : {"", "\x81", "\xa1", "\xbf"}) {
        EXPECT_EXIT(refuse<CborCodec>(start + nested("\x7f", "", 10 * deep)), ::testing::ExitedWithCode(0), "") << start;
    }
    EXPECT_EXIT(refuse<CborCodec>(nested("\x5f", "", 10 * deep)), ::testing::ExitedWithCode(0), "");
}

// Raw bytes.

TEST(RawCodec, LeavesBytesAsTheyAre) {
    const RawCodec codec;
    const std::string bytes = "\0\xff\r\n{not json"s;
    EXPECT_EQ(codec.encode(bytes), bytes);
    EXPECT_EQ(codec.encode(std::string_view(bytes)), bytes);
    EXPECT_EQ(codec.encode("literal"), "literal");
    EXPECT_EQ(codec.encode(std::string()), "");
    EXPECT_EQ(codec.decode<std::string>(std::string(bytes)), bytes);
    EXPECT_EQ(codec.decode<std::string>(std::string()), "");
}

TEST(RawCodec, TakesAndGivesRangesOfBytes) {
    const RawCodec codec;
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}, std::byte{10}};
    EXPECT_EQ(codec.encode(bytes), "\0\xff\n"s);
    EXPECT_EQ(codec.decode<std::vector<std::byte>>("\0\xff\n"s), bytes);
    EXPECT_EQ(codec.encode(std::vector<char>{'a', '\0'}), "a\0"s);
    EXPECT_EQ(codec.decode<std::vector<char>>("a\0"s), (std::vector<char>{'a', '\0'}));
    EXPECT_EQ(codec.encode(std::array<unsigned char, 2>{1, 200}), "\x01\xc8");
    EXPECT_EQ(codec.decode<std::vector<unsigned char>>("\x01\xc8"), (std::vector<unsigned char>{1, 200}));
    EXPECT_EQ(codec.encode(std::span<const std::byte>(bytes).subspan(1)), "\xff\n");
    EXPECT_EQ(codec.encode(std::vector<std::byte>()), "");
    EXPECT_EQ(codec.decode<std::vector<std::byte>>(std::string()), std::vector<std::byte>());
}

TEST(RawCodec, MovesAStringThrough) {
    std::string bytes(10'000, 'x');
    const char* const data = bytes.data();
    const auto back = RawCodec().decode<std::string>(std::move(bytes));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->data(), data);
}

// The concept.

/// Text in capitals, for strings alone.
struct LoudCodec {
    using default_value = std::string;
    explicit LoudCodec(char first) : mark(first) {}
    [[nodiscard]] std::string encode(const std::string& value) const { return mark + value; }
    template <class T>
    requires std::same_as<T, std::string>
    [[nodiscard]] std::optional<T> decode(std::string_view bytes) const {
        if (bytes.empty() || bytes.front() != mark) { return std::nullopt; }
        return T(bytes.substr(1));
    }
    char mark;
};

struct NoEncode {
    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string) const;
};
struct NoDecode {
    template <class T>
    [[nodiscard]] std::string encode(const T&) const;
};
struct MutableEncode : NoEncode {
    template <class T>
    [[nodiscard]] std::string encode(const T&);
};
struct NumberEncode : NoEncode {
    template <class T>
    [[nodiscard]] int encode(const T&) const;
};
struct ReferenceDecode : NoDecode {
    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string&) const;
};
struct OtherDecode : NoDecode {
    template <class T>
    [[nodiscard]] std::unique_ptr<int> decode(std::string) const;
};
struct MoveOnly : NoDecode, NoEncode {
    std::unique_ptr<int> state;
};

TEST(ValueCodec, IsModelledByTheCodecsOfTheLibraryAndByOnesOwn) {
    static_assert(ValueCodec<JsonCodec> && ValueCodec<JsonCodec, int> && ValueCodec<JsonCodec, Metrics> &&
                  ValueCodec<JsonCodec, std::string>);
    static_assert(ValueCodec<CborCodec, Metrics> && ValueCodec<MessagePackCodec, Metrics>);
    static_assert(ValueCodec<RawCodec> && ValueCodec<RawCodec, std::vector<std::byte>> && ValueCodec<RawCodec, std::vector<char>>);
    static_assert(ValueCodec<LoudCodec> && ValueCodec<LoudCodec, std::string>);
    const LoudCodec codec('!');
    EXPECT_EQ(codec.decode<std::string>(codec.encode("hey")), "hey");
}

TEST(ValueCodec, IsNotModelledByWhatCouldNotWork) {
    static_assert(!ValueCodec<int>);
    static_assert(!ValueCodec<std::string>);
    static_assert(!ValueCodec<LoudCodec, int>);
    static_assert(!ValueCodec<RawCodec, int>);
    static_assert(!ValueCodec<RawCodec, json>);
    static_assert(!ValueCodec<RawCodec, std::vector<int>>);
    static_assert(!ValueCodec<RawCodec, std::string_view>);
    static_assert(!ValueCodec<NoEncode> && !ValueCodec<NoDecode>);
    static_assert(!ValueCodec<MutableEncode> && !ValueCodec<NumberEncode>);
    static_assert(!ValueCodec<ReferenceDecode> && !ValueCodec<OtherDecode>);
    static_assert(!ValueCodec<MoveOnly>);
}

TEST(ValueCodec, TheDefaultValueIsJsonUnlessTheCodecNamesAnother) {
    static_assert(std::same_as<luzia::codec::default_value_t<JsonCodec>, json>);
    static_assert(std::same_as<luzia::codec::default_value_t<CborCodec>, json>);
    static_assert(std::same_as<luzia::codec::default_value_t<RawCodec>, std::string>);
    static_assert(std::same_as<luzia::codec::default_value_t<LoudCodec>, std::string>);
}

} // namespace
