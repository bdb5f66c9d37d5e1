// The pure parts of Celery: what is written and read, and what is refused.
#include <gtest/gtest.h>
#include <luzia/celery/client.hpp>
#include <luzia/celery/worker.hpp>

#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Fitness;
using celery::Json;
using namespace std::chrono_literals;

const std::string separator("\x06\x16", 2);

TEST(CeleryJson, ReadsAndWritesWhatPythonDoes) {
    const auto numbers = celery::parse_json(R"([NaN, Infinity, -Infinity, "NaN", {"Infinity": NaN}])");
    ASSERT_TRUE(numbers);
    EXPECT_TRUE(std::isnan((*numbers)[0].get<double>()) && (*numbers)[1] == HUGE_VAL && (*numbers)[2] == -HUGE_VAL);
    EXPECT_EQ((*numbers)[3], "NaN");
    EXPECT_EQ(celery::dump_json(*numbers), R"([NaN,Infinity,-Infinity,"NaN",{"Infinity":NaN}])");
    // Its own mark is no trap.
    const Json mark = Json::array({"luzia:number:NaN", HUGE_VAL});
    EXPECT_EQ(celery::dump_json(mark), R"(["luzia:number:NaN",Infinity])");
    EXPECT_EQ(celery::parse_json(R"(["luzia:number:NaN", NaN])")->at(0), "luzia:number:NaN");

    EXPECT_EQ(celery::parse_json(R"("\ud800x")"), "\xef\xbf\xbdx");
    EXPECT_EQ(celery::parse_json(R"("\udc00\ud83d\ude00\ud83d")"), "\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd");
    EXPECT_EQ(celery::parse_json(R"("\\ud800\ud800")"), "\\ud800\xef\xbf\xbd");
    EXPECT_TRUE(celery::parse_json("1180591620717411303424")->is_number_float());
    const std::string key_of_2048_bits = "3" + std::string(616, '2');
    EXPECT_EQ(celery::parse_json("[" + key_of_2048_bits + ", -" + key_of_2048_bits + ", 7, 1.5, \"" + key_of_2048_bits + "\"]"),
              Json::array({HUGE_VAL, -HUGE_VAL, 7, 1.5, key_of_2048_bits}));
}

TEST(CeleryJson, RefusesTheRest) {
    for (const std::string text : {"", "x", "NaNa", "[1,]", "-", "Infinit", "{\"a\":nan}", "01", "\"\x01\"", "\"\xff\"", "[NaN"}) {
        EXPECT_FALSE(celery::parse_json(text)) << text;
    }
    EXPECT_FALSE(celery::parse_json(std::string("1\0", 2)));
    EXPECT_FALSE(celery::parse_json(std::string(600, '[') + std::string(600, ']')));
    EXPECT_TRUE(celery::parse_json(std::string(500, '[') + std::string(500, ']')));
    EXPECT_FALSE(celery::dump_json(Json("\xff")));
    EXPECT_FALSE(celery::dump_json(Json::array({HUGE_VAL, "\xff"})));
    EXPECT_FALSE(celery::dump_json(Json::array({Json(Json::value_t::discarded)})));
}

TEST(CeleryJson, TypedValuesOfNewerVersionsBecomePlain) {
    Json json = Json::parse(R"([
        {"__type__": "datetime", "__value__": "2026-01-02T00:00:00+00:00"}, {"__type__": "decimal", "__value__": "1.50"},
        {"__type__": "uuid", "__value__": {"hex": "00112233445566778899aabbccddeeff"}}, {"__type__": "bytes", "__value__": "abc"},
        {"a": {"__type__": "date", "__value__": "2026-01-01"}}, {"__type__": "mine", "__value__": 1}, {"__type__": "date", "__value__": 1, "more": 2}])");
    celery::unwrap_typed(json);
    EXPECT_EQ(json, Json::parse(R"(["2026-01-02T00:00:00+00:00", "1.50", "00112233-4455-6677-8899-aabbccddeeff", "abc", {"a": "2026-01-01"},
                                    {"__type__": "mine", "__value__": 1}, {"__type__": "date", "__value__": 1, "more": 2}])"));
}

TEST(CeleryBase64, IsWhatTheStandardSays) {
    const std::vector<std::pair<std::string, std::string>> pairs{{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"},
                                                                 {"\xff\xfe\xfd", "//79"}};
    for (const auto& [bytes, text] : pairs) {
        EXPECT_EQ(celery::base64_encode(bytes), text);
        EXPECT_EQ(celery::base64_decode(text), bytes);
    }
    for (const std::string text : {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zm9v\n", "Zm9v!!!!", "Zm=v", "===="}) {
        EXPECT_FALSE(celery::base64_decode(text)) << text;
    }
}

TEST(CeleryTime, IsWrittenInTheOneFormThatEveryVersionReads) {
    const auto day = std::chrono::sys_days(std::chrono::year(2026) / 11 / 22);
    const celery::Time time = celery::Time(day) + 19h + 5min + 10s + 767625us;
    EXPECT_EQ(celery::iso_time(time), "2026-11-22T19:05:10.767625+00:00");
    EXPECT_EQ(celery::iso_time(celery::Time(day)), "2026-11-22T00:00:00.000000+00:00");
    for (const std::string text : {"2026-11-22T19:05:10.767625+00:00", "2026-11-22T19:05:10.767625Z", "2026-11-22T19:05:10.767625",
                                   "2026-11-22 21:05:10.767625+02:00", "2026-11-22T21:05:10.767625+0200",
                                   "2026-11-22T14:35:10.767625-04:30", "2026-11-22T19:05:10.767625999"}) {
        EXPECT_EQ(celery::parse_iso_time(text), time) << text;
    }
    EXPECT_EQ(celery::parse_iso_time("2026-11-22T19:05:10.7"), celery::Time(day) + 19h + 5min + 10s + 700ms);
    EXPECT_EQ(celery::parse_iso_time("2026-11-22T19:05:10"), celery::Time(day) + 19h + 5min + 10s);
    for (const std::string text : {"", "2026", "2026-11-22", "2026-13-01T00:00:00", "2026-02-30T00:00:00", "2026-11-22T24:00:00",
                                   "2026-11-22T19:60:00", "2026-11-22T19:05:10.", "2026-11-22T19:05:10+", "2026-11-22T19:05:10+25:00",
                                   "2026-11-22T19:05:10 UTC", "tomorrow", "1764000000"}) {
        EXPECT_FALSE(celery::parse_iso_time(text)) << text;
    }
}

TEST(CeleryQueue, NamesAreThoseOfKombu) {
    EXPECT_EQ(celery::list_of("", "q", 0), "q");
    EXPECT_EQ(celery::list_of("pre_", "q", 2), "pre_q");
    EXPECT_EQ(celery::list_of("", "q", 3), "q" + separator + "3");
    EXPECT_EQ(celery::list_of("", "q", 8), "q" + separator + "6");
    EXPECT_EQ(celery::list_of("", "q", 12), "q" + separator + "9");
    EXPECT_EQ(celery::list_of("", "q", -1), "q");
    EXPECT_TRUE(celery::is_name("tasks.\xc3\xa4"));
    for (const std::string& name :
         {std::string(), std::string("a\nb"), "q" + separator + "3", std::string("\xc3"), std::string("\xed\xa0\x80"),
          std::string("\xc0\x80"), std::string("\xf5\x80\x80\x80"), std::string(1025, 'a'), std::string("a\0b", 3)}) {
        EXPECT_FALSE(celery::is_name(name)) << name.size();
    }
    celery::IdSource ids;
    std::set<std::string> different;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = ids.next();
        EXPECT_TRUE(id.size() == 36 && id[14] == '4' && std::string("89ab").find(id[19]) != std::string::npos && celery::is_task_id(id))
            << id;
        different.insert(id);
    }
    EXPECT_EQ(different.size(), 1000U);
}

TEST(CeleryScript, IsNamedByItsDigest) {
    constexpr luzia::redis::Script empty("");
    static_assert(empty.digest() == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    constexpr luzia::redis::Script abc("abc");
    static_assert(abc.digest() == "a9993e364706816aba3e25717850c26c9cd0d89d");
    constexpr luzia::redis::Script two_blocks("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    static_assert(two_blocks.digest() == "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

/// As Celery 5.2.6 sent it, for `add.delay(2, 3)`.
const char* const from_python =
    R"json({"body": "W1syLCAzXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogbnVsbCwgImNoYWluIjogbnVsbCwgImNob3JkIjogbnVsbH1d",
 "content-encoding": "utf-8", "content-type": "application/json",
 "headers": {"lang": "py", "task": "app.add", "id": "4eec6b6e-e896-49db-a300-64b32f7380a9", "shadow": null,
  "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null],
  "root_id": "4eec6b6e-e896-49db-a300-64b32f7380a9", "parent_id": null, "argsrepr": "(2, 3)", "kwargsrepr": "{}",
  "origin": "gen8802@vm", "ignore_result": false},
 "properties": {"correlation_id": "4eec6b6e-e896-49db-a300-64b32f7380a9", "reply_to": "8c494798-a49a-3749-a4e6-b7ba19d44749",
  "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0,
  "body_encoding": "base64", "delivery_tag": "f74674b4-9fed-4ac3-a70a-c0db51fdb722"}})json";

TEST(CeleryMessage, OfPythonIsRead) {
    const celery::Reading reading = celery::read_message(from_python);
    ASSERT_EQ(reading.fitness, Fitness::good) << reading.problem;
    EXPECT_EQ(reading.message.task, "app.add");
    EXPECT_EQ(reading.message.args, Json::array({2, 3}));
    EXPECT_EQ(reading.message.embedded("chain"), nullptr);
    EXPECT_FALSE(reading.message.is_redelivered);
    EXPECT_EQ(reading.message.headers["origin"], "gen8802@vm");
}

TEST(CeleryMessage, IsReadAsItWasWritten) {
    celery::Message message;
    message.task = "tasks.\"add\"";
    message.id = "my-id";
    message.root_id = "root";
    message.parent_id = "parent";
    message.group = "group";
    message.group_index = 3;
    message.retries = 2;
    message.eta = celery::parse_iso_time("2030-01-01T00:00:00");
    message.expires = celery::parse_iso_time("2031-01-01T00:00:00");
    message.time_limit = 1.5;
    message.ignore_result = true;
    message.priority = 7;
    message.args = Json::array({1, "it's", Json::object({{"a", nullptr}})});
    message.kwargs = Json::object({{"k", HUGE_VAL}});
    message.embed["chain"] = Json::array({Json::object({{"task", "next"}})});
    message.headers["color"] = "red";
    celery::Sender sender;
    sender.origin = "me@here";
    sender.delivery_tag = "tag";
    const auto text = celery::encode_message(message, "the queue", sender);
    ASSERT_TRUE(text);
    const celery::Reading reading = celery::read_message(*text);
    ASSERT_EQ(reading.fitness, Fitness::good) << reading.problem;
    const celery::Message& read = reading.message;
    EXPECT_EQ(std::tie(read.task, read.id, read.root_id, read.parent_id, read.group, read.retries, read.priority),
              std::tie(message.task, message.id, message.root_id, message.parent_id, message.group, message.retries, message.priority));
    EXPECT_EQ(
        std::tie(read.group_index, read.eta, read.expires, read.time_limit, read.soft_time_limit, read.ignore_result),
        std::tie(message.group_index, message.eta, message.expires, message.time_limit, message.soft_time_limit, message.ignore_result));
    EXPECT_EQ(std::tie(read.args, read.kwargs), std::tie(message.args, message.kwargs));
    EXPECT_EQ(read.headers["color"], "red");
    EXPECT_EQ(read.headers["argsrepr"], "(1, 'it\\'s', {'a': None})");
    EXPECT_EQ(read.properties["delivery_info"]["routing_key"], "the queue");
    ASSERT_NE(read.embedded("chain"), nullptr);
    message.args = Json::array({"\xff"});
    EXPECT_FALSE(celery::encode_message(message, "q", sender));
}

TEST(CeleryMessage, IsGivenBackAndTriedAgainAsWhatItWas) {
    const auto again = celery::redelivered(from_python);
    ASSERT_TRUE(again);
    EXPECT_TRUE(celery::read_message(*again).message.is_redelivered);
    const celery::Time eta = *celery::parse_iso_time("2030-01-01T00:00:00");
    const auto retry = celery::retried(*again, 1, eta, "new tag");
    ASSERT_TRUE(retry);
    const Json json = Json::parse(*retry);
    EXPECT_EQ(json["body"], Json::parse(from_python)["body"]);
    const celery::Message message = celery::read_message(*retry).message;
    EXPECT_EQ(message.id, "4eec6b6e-e896-49db-a300-64b32f7380a9");
    EXPECT_EQ(message.parent_id, message.id);
    EXPECT_EQ(message.root_id, message.id);
    EXPECT_EQ(message.retries, 1);
    EXPECT_EQ(message.eta, eta);
    EXPECT_FALSE(message.is_redelivered);
    EXPECT_EQ(json["properties"]["delivery_tag"], "new tag");
    for (const std::string text : {"", "[]", "{}", R"({"headers":{}})", R"({"headers":{},"properties":[]})"}) {
        EXPECT_FALSE(celery::redelivered(text)) << text;
    }
    EXPECT_FALSE(celery::retried("{}", 1, eta, "t"));
}

TEST(CeleryHeld, EntriesOfPythonAreReadAndOthersAreNot) {
    const std::string envelope = from_python;
    const auto entry = celery::detail::read_held_entry("[" + envelope + ", \"\", \"celery\"]");
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->queue, "celery");
    EXPECT_EQ(entry->priority, 0);
    EXPECT_TRUE(celery::read_message(entry->envelope).message.is_redelivered);
    for (const std::string text :
         {"", "[]", "{}", "[{}, \"\", \"q\"]", "[{\"properties\":{},\"headers\":null}, \"\", \"q\"]", "[1, \"\", \"q\"]",
          "["
          "{}"
          ", 1, 2]"}) {
        EXPECT_FALSE(celery::detail::read_held_entry(text)) << text;
    }
}

TEST(CeleryMessage, ThatDoesNotSayWhereItWasSentIsGivenBackAllTheSame) {
    for (const std::string properties : {R"({"priority":3})", R"({"delivery_info":null})", R"({"delivery_info":7})"}) {
        const std::string text = R"({"headers":{"id":"i","task":"t"},"properties":)" + properties + "}";
        const auto again = celery::redelivered(text);
        ASSERT_TRUE(again) << text;
        const Json json = Json::parse(*again);
        EXPECT_EQ(json["headers"]["redelivered"], true);
        EXPECT_EQ(json["properties"]["delivery_info"], Json({{"redelivered", true}}));
        // As a worker in Python needs it.
        const Json whole = Json::parse(*celery::redelivered(text, "q"));
        EXPECT_EQ(whole["properties"]["delivery_info"], Json({{"exchange", ""}, {"redelivered", true}, {"routing_key", "q"}}));
    }
    const Json kept = Json::parse(*celery::redelivered(from_python, "other"));
    EXPECT_EQ(kept["properties"]["delivery_info"], Json({{"exchange", ""}, {"redelivered", true}, {"routing_key", "celery"}}));
}

TEST(CeleryMessage, AnyTextMayBeAnId) {
    const std::vector<std::string> ids{"two words", " ", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "'\"\\{}*?[", std::string(256, 'i')};
    for (const std::string& id : ids) {
        EXPECT_TRUE(celery::is_task_id(id)) << id;
        celery::Message message;
        message.task = "t";
        message.id = id;
        const auto text = celery::encode_message(message, "q", celery::Sender());
        ASSERT_TRUE(text);
        const celery::Reading reading = celery::read_message(*text);
        EXPECT_EQ(reading.fitness, Fitness::good) << id << ": " << reading.problem;
        EXPECT_EQ(reading.message.id, id);
    }
    for (const std::string& id : {std::string(), std::string(257, 'i'), std::string("a\nb"), std::string("a\x7f"), std::string("a\0b", 3),
                                  std::string("\xff"), std::string("\xc3")}) {
        EXPECT_FALSE(celery::is_task_id(id)) << id.size();
    }
}

TEST(CeleryMessage, ThatCanNotBeReadSaysWhatItCanOfWhoIsBehindIt) {
    const Json embed = Json::parse(R"({"chain":[{"task":"next"}],"chord":{"task":"body"}})");
    const auto message_of = [](const Json& headers, const Json& body) {
        Json envelope = Json::object();
        envelope["headers"] = headers;
        envelope["properties"] = Json::object();
        envelope["content-type"] = "application/json";
        envelope["body"] = body.is_string() ? body : Json(body.dump());
        return celery::read_message(envelope.dump());
    };
    const Json good = Json::object({{"id", "i"}, {"task", "t"}, {"group", "g"}, {"group_index", 2}});
    const auto with = [&](const char* name, const Json& value) {
        Json headers = good;
        headers[name] = value;
        return headers;
    };
    const Json body = Json::array({Json::array(), Json::object(), embed});
    EXPECT_EQ(message_of(good, body).fitness, Fitness::good);
    const std::vector<std::pair<celery::Reading, std::string>> readings{
        {message_of(with("eta", "tomorrow"), body), "eta"},
        {message_of(with("timelimit", Json::array({-1, nullptr})), body), "limits"},
        {message_of(with("retries", "x"), body), "retries"},
        {message_of(good, Json::array({7, Json::object(), embed})), "arguments"},
        {message_of(good, Json::array({Json::array(), nullptr, embed})), "arguments"},
        {message_of(good, Json::array({Json::array(), Json::object(), embed, 1})), "[args, kwargs, embed]"},
    };
    for (const auto& [reading, problem] : readings) {
        EXPECT_EQ(reading.fitness, Fitness::failed) << problem;
        EXPECT_NE(reading.problem.find(problem), std::string::npos) << reading.problem;
        EXPECT_EQ(reading.message.embed, embed) << problem;
        EXPECT_EQ(reading.message.group, "g");
        EXPECT_EQ(reading.message.group_index, 2);
    }
    for (const Json& broken : {Json("no json"), Json::array({1}), Json::array({Json::array(), Json::object(), 7})}) {
        const celery::Reading reading = message_of(good, broken);
        EXPECT_EQ(reading.fitness, Fitness::failed);
        EXPECT_EQ(reading.message.embed, Json::object());
    }
}

TEST(CeleryMessage, APriorityIsClampedAndALimitJudged) {
    const auto read = [](const std::string& priority, const std::string& limits) {
        return celery::read_message(R"({"headers":{"id":"i","task":"t","timelimit":)" + limits + R"(},"properties":{"priority":)" +
                                    priority + R"(},"content-type":"application/json","body":"[[],{},{}]"})");
    };
    const std::vector<std::pair<std::string, int>> priorities{
        {"7", 7},  {"-3", 0},  {"1e300", 9}, {"NaN", 0},  {"-Infinity", 0},
        {"12", 9}, {"2.7", 2}, {"\"x\"", 0}, {"null", 0}, {"99999999999999999999", 9}};
    for (const auto& [text, priority] : priorities) {
        EXPECT_EQ(read(text, "null").message.priority, priority) << text;
    }
    for (const std::string limits : {"[NaN,null]", "[null,-1]", "[1e9,null]", "[Infinity,null]", "[1]", "[\"1\",null]"}) {
        EXPECT_EQ(read("0", limits).fitness, Fitness::failed) << limits;
    }
    EXPECT_EQ(read("0", "[1.5,0]").message.time_limit, 1.5);
}

std::string random_bytes(std::mt19937& random, std::size_t most) {
    std::string bytes(random() % (most + 1), '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random() % 4 == 0 ? random() % 256 : 0xc0 + random() % 64);
    }
    return bytes;
}

Json random_json(std::mt19937& random, int depth) {
    switch (random() % (depth > 0 ? 9 : 7)) {
    case 0: return nullptr;
    case 1: return random() % 2 == 0;
    case 2: return static_cast<std::int64_t>(random());
    case 3: return random() % 2 == 0 ? HUGE_VAL : std::nan("");
    case 4: return Json::binary({1, 2, 0xff});
    case 5: return Json(Json::value_t::discarded);
    case 6: return random_bytes(random, 40);
    case 7: {
        Json list = Json::array();
        for (std::size_t i = random() % 5; i > 0; --i) {
            list.push_back(random_json(random, depth - 1));
        }
        return list;
    }
    default: {
        Json object = Json::object();
        for (std::size_t i = random() % 5; i > 0; --i) {
            object[random_bytes(random, 10)] = random_json(random, depth - 1);
        }
        return object;
    }
    }
}

/// What Python finds, of a failure that was stored.
std::optional<celery::TaskFailure> stored(const celery::TaskFailure& failure) {
    celery::ResultDetails details;
    details.id = "id";
    details.traceback = failure.traceback();
    const auto text = celery::encode_result("FAILURE", failure.json(), details, celery::now());
    const auto result = text ? celery::decode_result(*text) : std::nullopt;
    return result ? result->failure : std::nullopt;
}

TEST(CeleryFailure, CanBeStoredWhateverItIsMadeOf) {
    const auto simple = stored(celery::TaskFailure("ValueError", "\xff"));
    ASSERT_TRUE(simple);
    EXPECT_EQ(simple->exc_message(), "\xef\xbf\xbd");
    EXPECT_EQ(simple->exc_type(), "ValueError");
    const auto named =
        stored(celery::TaskFailure("Bad\xc3", Json::array({"\xc3\xa4", Json::object({{"\xfe", 1}})}), "mod\0ule\xe2\x82", "t\xf0\x9f"));
    ASSERT_TRUE(named);
    EXPECT_EQ(named->exc_type(), "Bad\xef\xbf\xbd");
    EXPECT_EQ(named->exc_arguments(), Json::array({"\xc3\xa4", Json::object({{"\xef\xbf\xbd", 1}})}));
    EXPECT_EQ(named->exc_module(), "mod");
    EXPECT_EQ(named->traceback(), "t\xef\xbf\xbd\xef\xbf\xbd");
    const auto control = stored(celery::TaskFailure(std::string("a\0b\n", 4)));
    ASSERT_TRUE(control);
    EXPECT_EQ(control->exc_type(), "a\xef\xbf\xbd"
                                   "b\xef\xbf\xbd");
    EXPECT_EQ(stored(celery::TaskFailure(""))->exc_type(), "Exception");

    Json deep;
    for (int i = 0; i < 5000; ++i) {
        deep = i % 2 == 0 ? Json::array({std::move(deep)}) : Json::object({{"k", std::move(deep)}});
    }
    EXPECT_TRUE(stored(celery::TaskFailure("E", deep, "builtins", "")));
    // One that Python may have written stays what it is.
    Json less_deep = 1;
    for (int i = 0; i < 400; ++i) {
        less_deep = Json::array({std::move(less_deep)});
    }
    EXPECT_EQ(stored(celery::TaskFailure("E", less_deep, "builtins", ""))->exc_arguments(), less_deep);

    // Three bytes each, so that a cut at any byte would be one in the middle.
    std::string euros;
    for (int i = 0; i < 400'000; ++i) {
        euros += "\xe2\x82\xac";
    }
    Json many = Json::array();
    for (int i = 0; i < 600'000; ++i) {
        many.push_back(i);
    }
    for (const Json& arguments : {Json::array({euros, "lost"}), many, Json::array({std::string(1'200'000, '\xff')})}) {
        const celery::TaskFailure failure(euros.substr(0, 3000), arguments, euros.substr(0, 3000), euros);
        const auto read = stored(failure);
        ASSERT_TRUE(read);
        EXPECT_LT(failure.json().dump().size(), 12U << 20U);
        EXPECT_TRUE(read->traceback().ends_with("..."));
        EXPECT_TRUE(read->exc_arguments().back().get<std::string>().ends_with("...")) << read->exc_arguments().size();
    }

    std::mt19937 random(7);
    for (int i = 0; i < 300; ++i) {
        const celery::TaskFailure failure(random_bytes(random, 20), random_json(random, 5), random_bytes(random, 20),
                                          random_bytes(random, 50));
        EXPECT_TRUE(stored(failure)) << i;
        EXPECT_TRUE(celery::is_utf8(failure.repr()) && celery::is_utf8(failure.what())) << i;
        // And where somebody hands in what was never a failure.
        const Json anything = random_json(random, 5);
        for (const char* const state : {"FAILURE", "RETRY", "REVOKED"}) {
            const auto text = celery::encode_result(state, anything, celery::ResultDetails(), celery::now());
            EXPECT_TRUE(text && celery::decode_result(*text) && celery::decode_result(*text)->failure) << i;
        }
    }
}

TEST(CeleryText, IsCutBetweenLetters) {
    EXPECT_EQ(celery::cut("abcd", 4), "abcd");
    EXPECT_EQ(celery::cut("abcde", 4), "a...");
    EXPECT_EQ(celery::cut("a\xc3\xa4 and more", 5), "a...");
    EXPECT_EQ(celery::cut("a\xf0\x9f\x98\x80z and more", 7), "a...");
    EXPECT_EQ(celery::cut("a\xf0\x9f\x98\x80z and more", 8), "a\xf0\x9f\x98\x80...");
    EXPECT_EQ(celery::cut("\x80\x80\x80", 1), "");
    EXPECT_EQ(celery::cut("abc", 2), "ab");
    const std::string once = celery::cut("a\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 7);
    EXPECT_EQ(celery::cut(once, 7), once);
    EXPECT_EQ(celery::as_utf8("a\xe2\x82z\xff"), "a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd");
    EXPECT_EQ(celery::python_repr(Json(std::string(1022, 'x') + "\xc3\xa4")), "'" + std::string(1020, 'x') + "...");
    for (const std::string& bad :
         {std::string(20, '\x93'), std::string(20, '\xc1'), "\xf8" + std::string(20, '\x80'), std::string(20, '\xff')}) {
        EXPECT_FALSE(celery::is_utf8(bad)) << bad.size();
        EXPECT_TRUE(celery::is_utf8(celery::as_utf8(bad)) && stored(celery::TaskFailure(bad, bad)));
    }
    // A name that no parameter has, cut in the middle of a letter, and a type of content.
    const std::string name = std::string(60, 'n') + "n\xc3\xa4\xc3\xa4";
    Json kwargs = Json::object();
    kwargs[name] = 1;
    try {
        const std::vector<std::string> none;
        celery::detail::Places places("t", none, 0);
        places.fill(Json::array(), std::move(kwargs), nullptr);
        ADD_FAILURE();
    } catch (const celery::TaskFailure& failure) {
        EXPECT_EQ(failure.exc_message(), "t() got an unexpected keyword argument '" + std::string(61, 'n') + "...'");
    }
    const celery::Reading reading =
        celery::read_message(R"({"headers":{"id":"i","task":"t"},"properties":{},"body":"","content-type":")" + name + "\"}");
    EXPECT_TRUE(celery::is_utf8(reading.problem) && reading.fitness == Fitness::failed) << reading.problem;
}

TEST(CeleryResult, IsWrittenForPythonAndRead) {
    celery::ResultDetails details;
    details.id = "id";
    details.parent_id = "parent";
    const celery::Time at = *celery::parse_iso_time("2026-11-22T19:05:05.248190");
    const auto success = celery::encode_result("SUCCESS", Json::array({1, HUGE_VAL}), details, at);
    EXPECT_EQ(
        success,
        R"({"result":[1,Infinity],"children":[],"date_done":"2026-11-22T19:05:05.248190+00:00","parent_id":"parent","status":"SUCCESS","task_id":"id","traceback":null})");
    EXPECT_EQ(celery::decode_result(*success)->value, Json::array({1, HUGE_VAL}));
    const celery::TaskFailure failure("ValueError", Json::array({"z", 42}), "builtins", "Traceback");
    details.traceback = failure.traceback();
    const auto failed = celery::encode_result("FAILURE", failure.json(), details, at);
    const auto read = celery::decode_result(*failed);
    ASSERT_TRUE(read && read->failure);
    EXPECT_EQ(read->failure->exc_type(), "ValueError");
    EXPECT_EQ(read->failure->exc_message(), "z, 42");
    EXPECT_EQ(read->failure->traceback(), "Traceback");
    EXPECT_EQ(read->failure->repr(), "ValueError('z', 42)");
    EXPECT_EQ(Json::parse(*celery::encode_result("STARTED", Json::object(), details, at))["date_done"], nullptr);
    EXPECT_FALSE(celery::encode_result("SUCCESS", Json("\xff"), details, at));
    // What can be written can be read: the deepest of both.
    Json deep = 1;
    for (int i = 0; i < 511; ++i) {
        deep = Json::array({std::move(deep)});
    }
    ASSERT_TRUE(celery::encode_result("SUCCESS", deep, details, at));
    EXPECT_EQ(celery::decode_result(*celery::encode_result("SUCCESS", deep, details, at))->value, deep);
    celery::Message message;
    message.task = message.id = "t";
    message.args = deep;
    EXPECT_EQ(celery::read_message(*celery::encode_message(message, "q", celery::Sender())).fitness, Fitness::good);
    deep = Json::array({std::move(deep)});
    message.args = deep;
    EXPECT_FALSE(celery::encode_result("SUCCESS", deep, details, at) || celery::encode_message(message, "q", celery::Sender()));
    // A text in place of the list, and nothing at all.
    EXPECT_EQ(celery::decode_result(R"({"status":"FAILURE","result":{"exc_type":"E","exc_message":"text"}})")->failure->exc_message(),
              "text");
    EXPECT_EQ(celery::decode_result(R"({"status":"REVOKED","result":"x"})")->failure->exc_message(), "x");
    for (const std::string text : {"", "{}", "[]", "null", R"({"status":1})", R"({"status":"SUCCESS")"}) {
        EXPECT_FALSE(celery::decode_result(text)) << text;
    }
}

template <class Function>
auto matched(Function, const std::vector<std::string>& names, const Json& args, const Json& kwargs = Json::object()) {
    Json some = args;
    Json named = kwargs;
    return celery::detail::ParametersOf<Function>::read("tasks.add", names, std::move(some), std::move(named));
}

template <class Function>
std::string refusal(Function function, const std::vector<std::string>& names, const Json& args, const Json& kwargs = Json::object()) {
    try {
        static_cast<void>(matched(function, names, args, kwargs));
        return "";
    } catch (const celery::TaskFailure& failure) { return failure.exc_type() + ": " + failure.exc_message(); }
}

TEST(CeleryParameters, AreMatchedAsPythonDoes) {
    const auto add = [](int, const std::string&) {};
    EXPECT_EQ(matched(add, {"a", "b"}, Json::array({1, "x"})), (std::tuple<int, std::string>(1, "x")));
    EXPECT_EQ(matched(add, {"a", "b"}, Json::array({1}), {{"b", "x"}}), (std::tuple<int, std::string>(1, "x")));
    EXPECT_EQ(matched(add, {"a", "b"}, Json::array(), {{"b", "x"}, {"a", 1}}), (std::tuple<int, std::string>(1, "x")));
    EXPECT_EQ(refusal(add, {}, Json::array({1})), "TypeError: add() missing a required argument: number 2");
    EXPECT_EQ(refusal(add, {}, Json::array({1, "x"}), {{"b", 1}}), "TypeError: add() got an unexpected keyword argument 'b'");
    EXPECT_EQ(refusal(add, {"a", "b"}, Json::array({1, "x"}), {{"a", 1}}), "TypeError: add() got multiple values for argument 'a'");
    EXPECT_EQ(refusal(add, {"a", "b"}, Json::array({1, 2})), "TypeError: add() argument 'b' does not fit the type of its parameter");
    EXPECT_EQ(refusal(add, {"a", "b"}, Json::array({1.5, "x"})), "TypeError: add() argument 'a' does not fit the type of its parameter");
    const auto optional = [](celery::TaskContext&, std::optional<int>) {};
    EXPECT_EQ(matched(optional, {}, Json::array()), std::tuple<std::optional<int>>());
    EXPECT_EQ(matched(optional, {}, Json::array({nullptr})), std::tuple<std::optional<int>>());
    EXPECT_EQ(matched(optional, {}, Json::array({4})), std::tuple<std::optional<int>>(4));
    const auto rest = [](int, const celery::Keywords&) {};
    EXPECT_EQ(std::get<1>(matched(rest, {"a"}, Json::array({1}), {{"z", 2}})).values, Json({{"z", 2}}));
    const auto all = [](const celery::Arguments&) {};
    EXPECT_EQ(std::get<0>(matched(all, {}, Json::array({1, 2}), {{"z", 2}})).positional(), Json::array({1, 2}));
}

TEST(CeleryFollowUp, IsSentAsItsSignatureSays) {
    celery::ServerOptions options;
    celery::detail::Composer composer(options);
    celery::Message parent;
    parent.id = "parent";
    parent.root_id = "root";
    parent.embed["callbacks"] =
        Json::array({Json::parse(R"({"task":"a","args":[9],"kwargs":{"k":1},"options":{"task_id":"a-id","queue":"q","priority":4,
        "link":[{"task":"l"}],"link_error":{"task":"e"},"countdown":60}})")});
    parent.embed["chain"] = Json::array(
        {Json::parse(R"({"task":"last"})"), Json::parse(R"({"task":"next","immutable":true,"args":[1],"options":{"task_id":"next-id"}})")});
    EXPECT_EQ(celery::detail::problem_of_follow_ups(parent), "");
    const celery::detail::Successors all = celery::detail::successors(composer, parent, 5, "celery");
    EXPECT_EQ(all.problem, "");
    const auto& sent = all.messages;
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(sent[0].id, "a-id");
    EXPECT_EQ(sent[0].list, "q" + separator + "3");
    const celery::Message callback = celery::read_message(sent[0].envelope).message;
    EXPECT_EQ(callback.args, Json::array({5, 9}));
    EXPECT_EQ(callback.kwargs, Json({{"k", 1}}));
    EXPECT_EQ(callback.root_id, "root");
    EXPECT_EQ(callback.parent_id, "parent");
    EXPECT_TRUE(callback.eta && *callback.eta > celery::now() + 50s);
    EXPECT_TRUE(callback.embedded("callbacks") != nullptr && callback.embedded("errbacks")->is_array());
    const celery::Message next = celery::read_message(sent[1].envelope).message;
    EXPECT_EQ(next.id, "next-id");
    EXPECT_EQ(next.args, Json::array({1}));
    EXPECT_EQ(next.embedded("chain")->size(), 1U);
    EXPECT_EQ(sent[1].list, "celery");

    for (const std::string bad : {"7", "{}", R"({"task":""})", R"({"task":"t","subtask_type":"group"})", R"({"task":"t","args":{}})",
                                  R"({"task":"t","kwargs":[]})", R"({"task":"t","options":[]})", R"({"task":"t","options":{"task_id":7}})",
                                  R"({"task":"t","options":{"task_id":"a\u0001"}})", R"({"task":"t","options":{"time_limit":-1}})",
                                  R"({"task":"t","options":{"soft_time_limit":1e300}})", R"({"task":"t","options":{"time_limit":"1"}})"}) {
        parent.embed["callbacks"] = Json::array({Json::parse(bad)});
        EXPECT_NE(celery::detail::problem_of_follow_ups(parent), "") << bad;
    }
    parent.embed = Json::object({{"chord", Json::object({{"task", "t"}})}});
    EXPECT_NE(celery::detail::problem_of_follow_ups(parent), "");

    const auto end = celery::detail::chord_end(
        {R"([1,"a","SUCCESS",7])", R"([1,"b","FAILURE",{"exc_type":"ValueError","exc_message":["z"],"exc_module":"builtins"}])", "junk"});
    EXPECT_TRUE(end.failure && end.results == Json::array({7}));
    const auto one =
        celery::detail::chord_end({R"([1,"b","FAILURE",{"exc_type":"ValueError","exc_message":["z", 42],"exc_module":"builtins"}])"});
    EXPECT_EQ(one.failure->exc_message(), "Dependency b raised ValueError('z', 42)");
}

TEST(CeleryFollowUp, WhatCanNotBeSentSaysWhy) {
    celery::ServerOptions options;
    options.max_message_bytes = 4000;
    celery::detail::Composer composer(options);
    celery::Message parent;
    parent.id = "parent";
    parent.embed["chain"] = Json::array({Json::parse(R"({"task":"next"})")});
    EXPECT_EQ(celery::detail::successors(composer, parent, "small", "q").problem, "");
    const auto large = celery::detail::successors(composer, parent, std::string(4000, 'x'), "q");
    EXPECT_EQ(large.problem, "the task next that follows is larger than max_message_bytes");
    EXPECT_TRUE(large.messages.empty());
    EXPECT_EQ(celery::detail::successors(composer, parent, "\xff", "q").problem, "the task next that follows can't be written as JSON");
    Json deep = 1;
    for (int i = 0; i < 510; ++i) {
        deep = Json::array({std::move(deep)});
    }
    EXPECT_EQ(celery::detail::successors(composer, parent, deep, "q").problem, "");
    deep = Json::array({std::move(deep)});
    EXPECT_TRUE(celery::encode_result("SUCCESS", deep, celery::ResultDetails(), celery::now()));
    EXPECT_NE(celery::detail::successors(composer, parent, deep, "q").problem, ""); // one level more as an argument than as a result
    for (const std::string bad : {"7", "{}", R"({"task":7})", R"({"task":"t","options":{"task_id":""}})"}) {
        parent.embed = Json::object({{"callbacks", Json::array({Json::parse(bad)})}});
        EXPECT_NE(celery::detail::successors(composer, parent, 1, "q").problem, "") << bad;
        EXPECT_TRUE(celery::detail::mourners(composer, parent, {Json::parse(bad)}, "id", "q").empty()) << bad;
    }
}

TEST(CeleryFollowUp, NumbersOfItsOptionsAreJudged) {
    const celery::ServerOptions options;
    celery::detail::Composer composer(options);
    const auto sent = [&](const std::string& written) {
        const Json signature = *celery::parse_json(R"({"task":"t","options":)" + written + "}");
        const auto outgoing = celery::detail::follow_up(composer, signature, Json::array(), celery::Message(), Json(), "q");
        EXPECT_TRUE(outgoing) << written;
        return outgoing ? celery::read_message(outgoing->envelope) : celery::Reading();
    };
    EXPECT_EQ(sent(R"({"priority":1e300})").message.priority, 9);
    EXPECT_EQ(sent(R"({"priority":-5e9})").message.priority, 0);
    EXPECT_EQ(sent(R"({"priority":NaN})").message.priority, 0);
    EXPECT_EQ(sent(R"({"priority":"7"})").message.priority, 0);
    EXPECT_EQ(sent(R"({"time_limit":0,"soft_time_limit":2})").message.time_limit, std::nullopt);
    EXPECT_EQ(sent(R"({"time_limit":0,"soft_time_limit":2})").message.soft_time_limit, 2);
    for (const std::string odd :
         {R"({"countdown":1e300})", R"({"countdown":-1e9})", R"({"countdown":NaN})", R"({"countdown":9e9,"expires":-9e9})",
          R"({"eta":"0001-01-01T00:00:00"})", R"({"expires":"0000-01-01T00:00:00+23:00"})", R"({"group_index":1e300})"}) {
        const celery::Reading reading = sent(odd);
        EXPECT_EQ(reading.fitness, Fitness::good) << odd << ": " << reading.problem;
    }
}

TEST(CeleryOptions, OfOneTaskAreCheckedWhenItIsRegistered) {
    boost::asio::io_context io;
    celery::WorkerOptions options;
    options.broker_url = "redis://localhost";
    celery::Worker worker(io, options);
    const auto problem = [&](auto change) -> std::string {
        celery::TaskSettings settings;
        change(settings);
        try {
            worker.task(
                "t", [] {}, settings);
            return "";
        } catch (const std::invalid_argument& error) { return error.what(); }
    };
    using Settings = celery::TaskSettings;
    const auto names = [&](const std::string& member, auto change) {
        EXPECT_NE(problem(change).find("luzia: " + member + " "), std::string::npos) << member << ": " << problem(change);
    };
    EXPECT_EQ(problem([](Settings& s) { s.retry_backoff = 0ms, s.time_limit = 24h * 365, s.max_retries = -1; }), "");
    names("time_limit", [](Settings& s) { s.time_limit = 0ms; });
    names("time_limit", [](Settings& s) { s.time_limit = std::chrono::milliseconds::max(); });
    names("soft_time_limit", [](Settings& s) { s.soft_time_limit = -1ms; });
    names("soft_time_limit", [](Settings& s) { s.soft_time_limit = 24h * 366; });
    names("retry_backoff", [](Settings& s) { s.retry_backoff = -1ms; });
    names("longest_retry_backoff", [](Settings& s) { s.longest_retry_backoff = std::chrono::milliseconds::max(); });

    // What a call asks for: nothing of it runs over.
    const auto error_of = [](auto change) {
        celery::TaskOptions asked;
        change(asked);
        return celery::problem_of(celery::signature("t", celery::args(), asked), celery::now());
    };
    using Asked = celery::TaskOptions;
    EXPECT_FALSE(error_of([](Asked& o) { o.time_limit = 24h * 365; }));
    EXPECT_EQ(error_of([](Asked& o) { o.time_limit = std::chrono::milliseconds::max(); }), celery::TaskError::invalid_time_limit);
    EXPECT_EQ(error_of([](Asked& o) { o.soft_time_limit = 24h * 366; }), celery::TaskError::invalid_time_limit);
    EXPECT_EQ(error_of([](Asked& o) { o.expires = std::chrono::hours::max(); }), celery::TaskError::invalid_time);
    EXPECT_EQ(error_of([](Asked& o) { o.expires = std::chrono::hours::min(); }), celery::TaskError::invalid_time);
}

/// Runs a handler as a worker does.
template <class Function>
celery::detail::HandlerEnd end_of(Function function, const Json& args, const celery::TaskSettings& settings = {}) {
    celery::Message message;
    message.task = "t";
    message.args = args;
    auto context = std::make_shared<celery::TaskContext>(message, "q", std::nullopt, nullptr);
    boost::asio::io_context io;
    celery::detail::HandlerEnd result;
    boost::asio::co_spawn(io, celery::detail::registered(function, settings).call(std::move(context)),
                          [&](std::exception_ptr, celery::detail::HandlerEnd end) { result = std::move(end); });
    io.run();
    return result;
}

TEST(CeleryHandler, SaysWhetherAnotherTryWouldHelp) {
    celery::TaskSettings settings;
    settings.retry_on_failure = true;
    const auto failing = [](int) { throw std::runtime_error("\xff"); };
    const auto thrown = end_of(failing, Json::array({1}));
    ASSERT_TRUE(thrown.failure && stored(*thrown.failure));
    EXPECT_EQ(thrown.failure->exc_message(), "\xef\xbf\xbd");
    EXPECT_FALSE(thrown.is_final);
    const auto misfit = end_of(failing, Json::array({"no number"}));
    EXPECT_TRUE(misfit.failure && misfit.failure->exc_type() == "TypeError" && misfit.is_final);
    // A TypeError of the handler's own is one like others.
    EXPECT_FALSE(end_of([] { throw celery::TaskFailure("TypeError", "mine"); }, Json::array()).is_final);

    using celery::detail::is_tried_again;
    EXPECT_TRUE(is_tried_again(settings, thrown, 2));
    EXPECT_FALSE(is_tried_again(settings, thrown, 3));
    EXPECT_FALSE(is_tried_again(settings, misfit, 0));
    settings.max_retries = -1; // without end
    EXPECT_TRUE(is_tried_again(settings, thrown, 1'000'000));
    settings.max_retries = 0;
    EXPECT_FALSE(is_tried_again(settings, thrown, 0));
    settings.retry_on_failure = false;
    EXPECT_FALSE(is_tried_again(settings, thrown, 0));

    const auto far = end_of(
        [](celery::TaskContext& context) {
            celery::RetryOptions options(std::chrono::milliseconds::max());
            context.retry(options);
        },
        Json::array());
    ASSERT_TRUE(far.retry && far.retry->countdown);
    EXPECT_EQ(*far.retry->countdown, celery::longest_limit);
}

TEST(CeleryHandler, StoresWhatCeleryStores) {
    using celery::detail::is_stored;
    celery::TaskSettings settings;
    for (const char* const state : {"SUCCESS", "STARTED", "RETRY", "FAILURE", "REVOKED", "PROGRESS"}) {
        EXPECT_TRUE(is_stored(state, settings, false)) << state;
        EXPECT_EQ(is_stored(state, settings, true), std::string(state) != "SUCCESS") << state;
    }
    settings.ignore_result = true;
    for (const char* const state : {"SUCCESS", "STARTED", "RETRY", "FAILURE", "REVOKED"}) {
        EXPECT_FALSE(is_stored(state, settings, false)) << state;
    }
    EXPECT_TRUE(is_stored("PROGRESS", settings, false));
    settings.store_errors_even_if_ignored = true;
    EXPECT_TRUE(is_stored("FAILURE", settings, true) && is_stored("RETRY", settings, false) && is_stored("REVOKED", settings, false));
    EXPECT_FALSE(is_stored("SUCCESS", settings, false) || is_stored("STARTED", settings, false));
}

TEST(CeleryMatcher, NamesAreMatchedAsPythonDoes) {
    struct Case {
        std::string pattern;
        std::string fits;
        std::string other;
    };
    const std::vector<Case> shell{{"*", "cpp@host", "-"},
                                  {"cpp@*", "cpp@host", "Cpp@host"},
                                  {"c?p@host", "cpp@host", "cp@host"},
                                  {"*@h*t", "cpp@host", "cpp@hosts"},
                                  {"[a-d]pp", "cpp", "epp"},
                                  {"[!a-b]pp", "cpp", "app"},
                                  {"[]x]", "]", "y"},
                                  {"[!]x]", "y", "]"},
                                  {"[x-]", "-", "y"},
                                  {"[--a]", "a", "b"},
                                  {"[z-ac]", "c", "z"},
                                  {"[!z-a]", "x", "xx"},
                                  {"[^a]", "^", "b"},
                                  {"a[b", "a[b", "ab"},
                                  {"a\\*", "a\\x", "a*"},
                                  {"?", "\xc3\xa4", "ab"},
                                  {"[\xc3\xa0-\xc3\xa5]", "\xc3\xa4", "\xc3\xb6"},
                                  {"*a*b*c*", "xxaxxbxxc", "xxaxxcxxb"},
                                  {"", "", "x"}};
    for (const auto& [pattern, fits, other] : shell) {
        EXPECT_EQ(celery::is_match(fits, pattern, "glob"), true) << pattern;
        if (other != "-") { EXPECT_EQ(celery::is_match(other, pattern, "glob"), false) << pattern; }
    }
    EXPECT_EQ(celery::is_match(std::string(1000, 'a'), "*a*a*a*a*a*a*a*a*a*a*b", "glob"), false); // soon
    const std::vector<Case> expressions{{"cpp@.*", "cpp@host", "acpp@host"},   {"cpp", "cpp@host", "acpp"},
                                        {"(web|cpp)@", "cpp@host", "pp@host"}, {"^w[0-9]+@h$", "w12@h", "w@h"},
                                        {"\\w+@", "cpp@host", "@host"},        {"c\\.p|x", "c.p", "cpp"}};
    for (const auto& [pattern, fits, other] : expressions) {
        EXPECT_EQ(celery::is_match(fits, pattern, "pcre"), true) << pattern;
        EXPECT_EQ(celery::is_match(other, pattern, "pcre"), false) << pattern;
    }
    for (const std::string pattern : {"(", "[a", "*a", "(a+)+$", "(?i)x", "(?P<n>x)", "(a)\\1", "a{1,99999}", "[[:alpha:]]", "[]a]", "\\Ax",
                                      "a*b*c*d*e", "(a|a)(a|a)(a|a)(a|a)(a|a)", "\xc3\xa4", "a\\"}) {
        EXPECT_EQ(celery::is_match("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", pattern, "pcre"), std::nullopt) << pattern;
    }
    EXPECT_EQ(celery::is_match("cpp", "cpp", "mine"), std::nullopt);
    EXPECT_EQ(celery::is_match("cpp", "cpp", ""), std::nullopt);
}

TEST(CeleryMatcher, ACommandIsForWhomKombuSaysItIs) {
    const auto is_for = [](const std::string& command) { return celery::detail::is_for(Json::parse(command), "cpp@host"); };
    for (const std::string all :
         {"{}", R"({"destination":null,"pattern":null,"matcher":null})", R"({"destination":[]})", R"({"pattern":"","matcher":"pcre"})",
          R"({"destination":["other","cpp@host"]})", R"({"destination":["cpp@host"],"pattern":"other*","matcher":"glob"})",
          R"({"pattern":"cpp*","matcher":"glob"})", R"({"pattern":"cpp*"})", R"({"matcher":"glob"})",
          R"({"destination":[],"pattern":"cpp*"})", R"({"pattern":"cpp@h","matcher":"pcre"})"}) {
        EXPECT_EQ(is_for(all), true) << all;
    }
    for (const std::string none : {R"({"destination":["other"]})", R"({"destination":["other"],"pattern":"cpp*","matcher":"glob"})",
                                   R"({"pattern":"other*","matcher":"glob"})", R"({"pattern":"other*"})",
                                   R"({"pattern":"cpp@$","matcher":"pcre"})", R"({"destination":["cpp@HOST"]})"}) {
        EXPECT_EQ(is_for(none), false) << none;
    }
    for (const std::string unknown : {R"({"pattern":"cpp*","matcher":"mine"})", R"({"pattern":7,"matcher":"glob"})",
                                      R"({"pattern":"cpp","matcher":7})", R"({"pattern":"(","matcher":"pcre"})", R"({"destination":7})"}) {
        EXPECT_EQ(is_for(unknown), std::nullopt) << unknown;
    }
}

TEST(CeleryWorkerPlan, ListsAreServedByPriorityAndQueuesInTurn) {
    boost::asio::io_context io;
    celery::WorkerOptions options;
    options.broker_url = "redis://localhost";
    options.queues = {"a", "b"};
    options.key_prefix = "p:";
    const auto core = std::make_shared<celery::detail::WorkerCore>(io.get_executor(), options);
    EXPECT_EQ(celery::detail::lists_in_turn(*core, 0).keys,
              (std::vector<std::string>{"p:a", "p:b", "p:a" + separator + "3", "p:b" + separator + "3", "p:a" + separator + "6",
                                        "p:b" + separator + "6", "p:a" + separator + "9", "p:b" + separator + "9"}));
    EXPECT_EQ(celery::detail::lists_in_turn(*core, 1).keys[0], "p:b");
    EXPECT_EQ(celery::detail::lists_in_turn(*core, 1).names[0], "\"b\"");
    celery::TaskSettings settings;
    EXPECT_EQ(celery::detail::retry_pause(settings, 0), 1s);
    EXPECT_EQ(celery::detail::retry_pause(settings, 3), 8s);
    EXPECT_EQ(celery::detail::retry_pause(settings, 1000), 600s);
}

TEST(CeleryOptions, WhatMakesNoSenseThrowsAndNamesTheMember) {
    boost::asio::io_context io;
    const auto problem = [&](auto change) -> std::string {
        celery::WorkerOptions options;
        options.broker_url = "redis://localhost";
        change(options);
        try {
            const celery::Worker worker(io, options);
            return "";
        } catch (const std::invalid_argument& error) { return error.what(); }
    };
    using Options = celery::WorkerOptions;
    EXPECT_EQ(problem([](Options&) {}), "");
    const auto names = [&](const std::string& member, auto change) {
        EXPECT_NE(problem(change).find(member), std::string::npos) << member << ": " << problem(change);
    };
    names("broker_url", [](Options& o) { o.broker_url = "nonsense"; });
    names("broker_url", [](Options& o) { o.broker_url = "memory://"; });
    names("result_backend", [](Options& o) { o.result_backend = "db+sqlite:///x"; });
    names("luzia/tls.hpp", [](Options& o) { o.broker_url = "rediss://host"; });
    names("queues", [](Options& o) { o.queues = {"a\n"}; });
    names("concurrency", [](Options& o) { o.concurrency = 0; });
    names("visibility_timeout", [](Options& o) { o.visibility_timeout = 1ms; });
    names("timeout", [](Options& o) { o.timeout = 0ms; });
    names("max_message_bytes", [](Options& o) { o.max_message_bytes = 0; });
    names("time limits", [](Options& o) { o.time_limit = 0ms; });
    names("time limits", [](Options& o) { o.soft_time_limit = std::chrono::milliseconds::max(); });
    names("max_scheduled", [](Options& o) { o.max_scheduled = 0; });
    names("dead_letter_list", [](Options& o) { o.dead_letter_list = ""; });
    names("default_queue", [](Options& o) { o.default_queue = ""; });
    // A password does not get into the text.
    EXPECT_EQ(problem([](Options& o) { o.broker_url = "ftp://user:secret@host"; }).find("secret"), std::string::npos);
    EXPECT_EQ(problem([](Options& o) { o.broker_url = "redis+socket:///tmp/x.sock?virtual_host=3"; }), "");

    // What the environment says wrong stops nothing.
    ::setenv("CELERY_BROKER_URL", "nonsense", 1);
    celery::ClientOptions from_environment;
    celery::Client client(io, from_environment);
    std::optional<luzia::error_code> error;
    client.send_task("t", [&](luzia::error_code what, celery::AsyncResult) { error = what; });
    celery::Worker worker(io);
    std::optional<luzia::error_code> run_error;
    worker.run([&](luzia::error_code what) { run_error = what; });
    ::unsetenv("CELERY_BROKER_URL");
    io.run_for(5s);
    EXPECT_EQ(error, luzia::make_error_code(luzia::Error::disabled));
    EXPECT_EQ(run_error, luzia::make_error_code(luzia::Error::disabled));
}

} // namespace
} // namespace luzia_test
