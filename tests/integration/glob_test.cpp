// Our reading of patterns against Redis's own, on thousands that nobody would think of.
#include "../support/redis_server.hpp"

#include <gtest/gtest.h>
#include <luzia/backend/glob.hpp>
#include <luzia/core/text.hpp>

#include <random>
#include <set>
#include <string>
#include <vector>

namespace luzia_test {
namespace {

TEST(Glob, MatchesWhatARealRedisMatches) {
    RedisServer server;
    std::mt19937 random(20240607);
    const auto pick = [&](std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random); };

    // Few different bytes, so that patterns and keys meet; high ones, since Redis compares ranges as signed.
    const std::string alphabet = "abcz-]^*?[\\\x80\xff";
    std::set<std::string> keys;
    while (keys.size() < 400) {
        std::string key;
        for (std::size_t length = 1 + pick(6); length > 0; --length) {
            key += alphabet[pick(alphabet.size())];
        }
        keys.insert(key);
    }
    for (const std::string& key : keys) {
        server.command({"SET", key, "1"});
    }

    const std::vector<std::string> pieces{"a",        "b",        "c",  "*",    "?",    "[ab]", "[^a]",    "[a-c]", "[c-a]", "[",   "]",
                                          "\\",       "-",        "[^", "[]",   "[^]",  "[a-",  "[a",      "[\\",   "[\\]]", "\\*", "\\[",
                                          "[\x80-a]", "[a-\xff]", "^",  "\xff", "[-a]", "[a-]", "[a\\-c]", "[^a-b", "**",    "z"};
    std::size_t matched = 0;
    for (int i = 0; i < 6000; ++i) {
        std::string pattern;
        for (std::size_t length = 1 + pick(5); length > 0; --length) {
            pattern += pieces[pick(pieces.size())];
        }
        const std::vector<std::string> answer = server.plain().list({"KEYS", pattern});
        const std::set<std::string> theirs(answer.begin(), answer.end());
        std::set<std::string> ours;
        for (const std::string& key : keys) {
            if (luzia::backend::glob_matches(pattern, key)) { ours.insert(key); }
        }
        ASSERT_EQ(ours, theirs) << "pattern " << luzia::printable(pattern);
        matched += theirs.size();
    }
    EXPECT_GT(matched, 50'000U); // or the patterns prove nothing
    for (const std::string& key : keys) {
        ASSERT_EQ(server.plain().list({"KEYS", luzia::backend::glob_escaped(key)}), std::vector<std::string>{key});
    }
}

} // namespace
} // namespace luzia_test
