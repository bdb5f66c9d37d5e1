// unit/tree_builder_test.cpp: a tree built over another one is the tree that nlohmann_json makes, and keeps no more memory than it needs.
#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/document.hpp>
#include <luzia/codec/json_codec.hpp>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using luzia::JsonCodec;
using KeptBuilder = luzia::codec::KeptBuilder<>;
using TreeBuilder = luzia::codec::TreeBuilder<>;
using nlohmann::json;

constexpr std::size_t deepest = 512;

/// What a document becomes over what was there before.
const json& built(TreeBuilder& builder, std::string_view text) {
    builder.restart(deepest);
    EXPECT_TRUE(json::sax_parse(text, &builder)) << text;
    return builder.tree();
}

/// Documents of few names and shapes, so that one resembles the other, with names that stand twice in an object.
class Documents {
public:
    std::string next() { return value(4); }

private:
    std::string value(int depth) {
        switch (pick(depth > 0 ? 9 : 7)) {
        case 0: return "null";
        case 1: return pick(2) == 0 ? "true" : "false";
        case 2: return std::to_string(pick(1000));
        case 3: return "-" + std::to_string(1 + pick(1000));
        case 4: return std::to_string(pick(1000)) + ".5";
        case 5: return '"' + std::string(pick(40), 's') + '"';
        case 6: return '"' + std::string(pick(3) == 0 ? 400 : 2, 't') + '"';
        case 7: return list('[', ']', [&] { return value(depth - 1); });
        default: return list('{', '}', [&] { return std::string("\"") + names[pick(5)] + "\":" + value(depth - 1); });
        }
    }

    template <class Item>
    std::string list(char open, char close, Item item) {
        std::string text(1, open);
        const std::size_t size = pick(10) == 0 ? 100 : pick(6);
        for (std::size_t i = 0; i < size; ++i) {
            text += (i == 0 ? "" : ",") + item();
        }
        return text + close;
    }

    std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }

    static constexpr const char* names[] = {"a", "b", "identifier", "a name that is too long to be kept in place", ""};
    std::mt19937 random_{20'261'130};
};

TEST(TreeBuilder, MakesOverAnyTreeWhatTheParserMakes) {
    Documents documents;
    TreeBuilder builder(deepest);
    std::size_t objects = 0;
    for (int i = 0; i < 2'000; ++i) {
        const std::string text = documents.next();
        const json expected = json::parse(text);
        ASSERT_EQ(built(builder, text), expected) << text;
        ASSERT_EQ(builder.tree().dump(), expected.dump());
        const json copy = builder.tree(); // with JSON_DIAGNOSTICS this looks at whom each value belongs to
        ASSERT_EQ(copy, expected);
        objects += expected.is_object() && expected.size() > 1 ? 1 : 0;
    }
    EXPECT_GT(objects, 50U) << "the documents are too simple";
}

TEST(TreeBuilder, MembersOfTheOlderTreeAreGone) {
    TreeBuilder builder(deepest);
    built(builder, R"({"a":1,"b":{"x":1,"y":2},"c":[1,2,3]})");
    EXPECT_EQ(built(builder, R"({"a":1,"b":{"y":2}})").dump(), R"({"a":1,"b":{"y":2}})");
    // As many as there were, but one of them twice.
    EXPECT_EQ(built(builder, R"({"a":1,"a":2})").dump(), R"({"a":2})");
    EXPECT_EQ(built(builder, R"({"a":{"x":1},"a":{"y":2}})").dump(), R"({"a":{"y":2}})");
    EXPECT_EQ(built(builder, R"({"a":[1,2,3],"a":[4]})").dump(), R"({"a":[4]})");
}

TEST(TreeBuilder, WhatAFailedParseLeftIsNotSeen) {
    TreeBuilder builder(deepest);
    for (const char* broken : {R"({"a":1,"b":[1,2,{"c":)", R"({"a":{"b":1e999}})", R"([1,[2,"\ud800"]])", "", "{", R"({"a")"}) {
        built(builder, R"({"a":{"b":1},"z":[1,2,3]})");
        builder.restart(deepest);
        EXPECT_FALSE(json::sax_parse(broken, &builder)) << broken;
        EXPECT_EQ(built(builder, R"({"a":{"c":1}})").dump(), R"({"a":{"c":1}})") << broken;
    }
}

TEST(TreeBuilder, ADocumentOfTheSameShapeIsWrittenOverTheOlderOne) {
    TreeBuilder builder(deepest);
    const json& first =
        built(builder, R"({"name":"one that is longer than sixteen characters","list":[1,"two more characters than fit in place"]})");
    const void* const name = first.at("name").get_ref<const std::string&>().data();
    const void* const two = first.at("list").at(1).get_ref<const std::string&>().data();
    const json& next = built(builder, R"({"list":[2,"something else that is not in place"],"name":"another that is as long as that"})");
    EXPECT_EQ(next.at("name"), "another that is as long as that");
    EXPECT_EQ(next.at("name").get_ref<const std::string&>().data(), name);
    EXPECT_EQ(next.at("list").at(1).get_ref<const std::string&>().data(), two);
}

TEST(TreeBuilder, RoomThatIsNotNeededIsFreed) {
    const auto numbers = [](std::size_t count) {
        std::string text = "[0";
        for (std::size_t i = 1; i < count; ++i) {
            text += ",0";
        }
        return text + "]";
    };
    TreeBuilder builder(deepest);
    for (const std::size_t before : {10U, 100U, 2'000U}) {
        built(builder, R"({"text":")" + std::string(before * 10, 'x') + R"(","list":)" + numbers(before) + "}");
        const json& small = built(builder, R"({"text":"x","list":[1,{"a":["b"]}]})");
        EXPECT_LT(small.at("text").get_ref<const std::string&>().capacity(), 2 * 33 + 2U);
        EXPECT_LT(small.at("list").get_ref<const json::array_t&>().capacity(), 2 * 4 + 2U);
        EXPECT_EQ(small.dump(), R"({"list":[1,{"a":["b"]}],"text":"x"})");
    }
}

TEST(TreeBuilder, AnArrayThatShrinksKeepsItsElements) {
    TreeBuilder builder(deepest);
    built(builder, "[[1,2],0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]");
    builder.restart(deepest);
    builder.start_array(1);
    builder.start_array(1);
    builder.number_integer(3);
    builder.end_array();
    const auto* const inner = builder.tree().front().get_ptr<const json::array_t*>();
    builder.end_array();
    EXPECT_LT(builder.tree().get_ref<const json::array_t&>().capacity(), 10U);
    EXPECT_EQ(builder.tree().front().get_ptr<const json::array_t*>(), inner) << "a copy of all that is in it takes long";
    EXPECT_EQ(builder.tree().dump(), "[[3]]");
}

TEST(TreeBuilder, BinaryValuesKeepTheirSubtype) {
    const auto extension = luzia::MessagePackCodec().decode<json>("\xd4\x05\x01");
    ASSERT_TRUE(extension && extension->is_binary());
    EXPECT_EQ(*extension, json::from_msgpack(std::string("\xd4\x05\x01")));
    EXPECT_EQ(luzia::MessagePackCodec().encode(*extension), "\xd4\x05\x01");
    EXPECT_FALSE(luzia::MessagePackCodec().decode<json>("\xc4\x01\x01")->get_binary().has_subtype());
}

TEST(TreeBuilder, EndsWhatNestsTooDeep) {
    TreeBuilder builder(3);
    EXPECT_TRUE(json::sax_parse(R"([{"a":[]},[[]]])", &builder));
    builder.restart(3);
    EXPECT_FALSE(json::sax_parse(R"([{"a":[[]]}])", &builder));
    builder.restart(4);
    EXPECT_TRUE(json::sax_parse(R"([{"a":[[]]}])", &builder));
}

/// One whose conversion decodes something else meanwhile.
struct Nested {
    int outer = 0;
    std::vector<int> inner;
};
void from_json(const json& document, Nested& nested) {
    const auto inner = JsonCodec().decode<std::vector<int>>(document.at("inner").get<std::string>());
    nested.inner = inner.value_or(std::vector<int>());
    document.at("outer").get_to(nested.outer); // still there
}

TEST(KeptBuilder, AConversionMayDecodeSomethingItself) {
    for (int i = 0; i < 3; ++i) {
        const auto nested = JsonCodec().decode<Nested>(R"({"inner":"[1,2,3]","outer":7})");
        ASSERT_TRUE(nested);
        EXPECT_EQ(nested->outer, 7);
        EXPECT_EQ(nested->inner, (std::vector<int>{1, 2, 3}));
    }
}

TEST(KeptBuilder, KeepsTheTreeOfASmallDocument) {
    ASSERT_TRUE(JsonCodec().decode<std::vector<int>>("[1,2]"));
    auto kept = KeptBuilder::take(deepest);
    EXPECT_EQ(kept->tree(), json({1, 2}));
    EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_null()) << "it is taken";
    KeptBuilder::give_back(std::move(kept));
}

TEST(KeptBuilder, DoesNotKeepTheTreeOfALargeDocumentNorOneThatIsGivenAway) {
    const auto decode_text = [](std::size_t size) { return JsonCodec().decode<std::string>('"' + std::string(size - 2, 'x') + '"'); };
    ASSERT_TRUE(decode_text(KeptBuilder::largest_kept));
    EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_string());
    ASSERT_TRUE(decode_text(KeptBuilder::largest_kept));
    ASSERT_TRUE(decode_text(KeptBuilder::largest_kept + 1));
    EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_null()) << "nor what was kept before";
    ASSERT_EQ(JsonCodec().decode<json>("[1,2]"), json({1, 2}));
    EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_null());
}

TEST(KeptBuilder, AFailureKeepsNothing) {
    ASSERT_TRUE(JsonCodec().decode<std::vector<int>>("[1,2]"));
    EXPECT_THROW(static_cast<void>(JsonCodec().decode<std::vector<int>>("{}")), json::exception);
    EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_null());
    EXPECT_FALSE(JsonCodec().decode<std::vector<int>>("[1,2"));
    EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_null());
}

TEST(KeptBuilder, CodecsShareItAndThreadsDoNot) {
    const std::vector<int> numbers{1, 2, 3};
    const void* builders[3] = {};
    const auto note = [](const void*& builder) {
        auto kept = KeptBuilder::take(deepest);
        EXPECT_EQ(kept->tree(), json({1, 2, 3}));
        builder = kept.get();
        KeptBuilder::give_back(std::move(kept));
    };
    EXPECT_EQ(JsonCodec().decode<std::vector<int>>("[1,2,3]"), numbers);
    note(builders[0]);
    EXPECT_EQ(luzia::CborCodec().decode<std::vector<int>>(luzia::CborCodec().encode(numbers)), numbers);
    note(builders[1]);
    EXPECT_EQ(luzia::MessagePackCodec().decode<std::vector<int>>(luzia::MessagePackCodec().encode(numbers)), numbers);
    note(builders[2]);
    EXPECT_EQ(builders[0], builders[1]);
    EXPECT_EQ(builders[1], builders[2]);
    std::thread([] { EXPECT_TRUE(KeptBuilder::take(deepest)->tree().is_null()); }).join();
}

} // namespace
