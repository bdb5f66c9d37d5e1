// unit/backend_test.cpp: glob patterns as Redis reads them, the store of the memory backend, and the options of a backend.
#include <luzia/backend/glob.hpp>
#include <luzia/backend/memory_store.hpp>
#include <luzia/backend/named_server.hpp>
#include <luzia/backend/options.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::backend {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

// Glob.

struct GlobCase {
    std::string pattern;
    std::string text;
    bool is_match;
};

TEST(Glob, MatchesWhatRedisMatches) {
    const std::vector<GlobCase> cases = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"abc", "abc", true},
        {"abc", "abd", false},
        {"abc", "abcd", false},
        {"abcd", "abc", false},
        {"ABC", "abc", false},
        // Stars.
        {"*", "anything", true},
        {"**", "anything", true},
        {"*", "a\0b\r\n"s, true},
        {"a*", "a", true},
        {"a*", "abc", true},
        {"a*", "ba", false},
        {"*c", "abc", true},
        {"*c", "abcd", false},
        {"a*c", "ac", true},
        {"a*c", "abbbc", true},
        {"a*c", "acb", false},
        {"a*b*c", "a1b2b3c", true},
        {"a**c", "abc", true},
        {"*a*", "bab", true},
        {"*a*", "bbb", false},
        {"*ab", "aab", true},
        {"*aab", "aaab", true},
        {"a*?", "a", false},
        {"a*?", "ab", true},
        {"org:*:m", "org:123:m", true},
        {"org:*:m", "org:1:2:m", true},
        {"org:*:m", "org:1:mm", false},
        // Question marks.
        {"?", "a", true},
        {"?", "", false},
        {"?", "ab", false},
        {"?", "\0"s, true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"??*", "ab", true},
        {"??*", "a", false},
        // Classes.
        {"h[ae]llo", "hello", true},
        {"h[ae]llo", "hallo", true},
        {"h[ae]llo", "hillo", false},
        {"h[^e]llo", "hallo", true},
        {"h[^e]llo", "hello", false},
        {"h[a-c]llo", "hbllo", true},
        {"h[a-c]llo", "hdllo", false},
        {"[c-a]", "b", true},
        {"[c-a]", "d", false},
        {"[a-a]", "a", true},
        {"[^a-c]", "b", false},
        {"[^a-c]", "d", true},
        {"[a-cx-z]", "y", true},
        {"[a-cx-z]", "m", false},
        {"[a^]", "^", true},
        {"[a^]", "b", false},
        {"[!a]", "a", true},
        {"[!a]", "b", false},
        {"[-a]", "-", true},
        {"[a-]", "a", true},  // the range from a to ], unterminated
        {"[a-]", "-", false}, // as above
        {"[a-]", "_", true},
        {"[?*]", "*", true},
        {"[?*]", "x", false},
        {"[a]b", "ab", true},
        {"[a]b", "a", false},
        // Empty and unterminated classes.
        {"[]", "a", false},
        {"[]", "]", false},
        {"[]", "", false},
        {"[]a]", "a", false},
        {"[]a]", "]a]", false},
        {"[^]", "a", true},
        {"[^]", "", false},
        {"[^]a", "xa", true},
        {"[", "[", false},
        {"[", "", false},
        {"[^", "a", true},
        {"[a", "a", true},
        {"[a", "b", false},
        {"[abc", "c", true},
        {"[abc", "abc", false},
        {"[^ab", "c", true},
        {"[^ab", "a", false},
        {"[a-", "a", true},
        {"[a-", "-", true},
        {"[a-", "b", false},
        {"x[", "x", false},
        {"*[", "x", false},
        {"*[a", "xa", true},
        // Escapes.
        {"\\*", "*", true},
        {"\\*", "x", false},
        {"\\?", "?", true},
        {"\\[a]", "[a]", true},
        {"\\\\", "\\", true},
        {"\\a", "a", true},
        {"\\a", "\\a", false},
        {"a\\", "a\\", true},
        {"a\\", "a", false},
        {"\\", "\\", true},
        {"\\", "", false},
        {"*\\", "ab\\", true},
        {"h[\\]]llo", "h]llo", true},
        {"h[\\^]llo", "h^llo", true},
        {"h[\\^]llo", "hello", false},
        {"[\\-a]", "-", true},
        {"[a\\-c]", "b", false},
        {"[a\\-c]", "-", true},
        {"[\\a-c]", "b", false},
        {"[\\a-c]", "-", true},
        {"[\\", "\\", true},
        {"[a\\", "\\", true},
        {"[a\\", "a", true},
        {"[a-\\]", "]", true}, // from the backslash up to a, then closed
        {"[a-\\]", "b", false},
        // High bytes.
        {"\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true},
        {"?", "\xff", true},
        {"??", "\xc3\xa9", true},
        {"[\xff]", "\xff", true},
        {"[^\xff]", "\xfe", true},
        {"[\x80-\xff]", "\x90", true},
        {"[\x80-\xff]", "a", false},
        {"[a-\xff]", "\xff", true},  // signed: from -1 to 97
        {"[a-\xff]", "A", true},     // as above
        {"[a-\xff]", "\xfe", false}, // as above
        {"[\x01-\x7f]", "\x80", false},
        {"a\0b"s, "a\0b"s, true},
        {"a\0b"s, "a\0c"s, false},
        {"[\0]"s, "\0"s, true},
    };
    for (const GlobCase& one : cases) {
        EXPECT_EQ(glob_matches(one.pattern, one.text), one.is_match) << "pattern " << one.pattern << " text " << one.text;
    }
}

/// Redis's matcher in its own shape: one recursion for each star, everything else byte by byte.
bool redis_matches(std::string_view pattern, std::string_view text) {
    while (!pattern.empty() && !text.empty()) {
        const char byte = text.front();
        if (pattern.front() == '*') {
            while (pattern.size() > 1 && pattern[1] == '*') {
                pattern.remove_prefix(1);
            }
            pattern.remove_prefix(1);
            if (pattern.empty()) { return true; }
            for (; !text.empty(); text.remove_prefix(1)) {
                if (redis_matches(pattern, text)) { return true; }
            }
            return false;
        }
        if (pattern.front() == '[') {
            pattern.remove_prefix(1);
            const bool is_negated = !pattern.empty() && pattern.front() == '^';
            if (is_negated) { pattern.remove_prefix(1); }
            bool is_member = false;
            while (true) {
                if (pattern.size() >= 2 && pattern[0] == '\\') {
                    pattern.remove_prefix(1);
                    if (pattern[0] == byte) { is_member = true; }
                } else if (pattern.empty()) {
                    break;
                } else if (pattern[0] == ']') {
                    pattern.remove_prefix(1);
                    break;
                } else if (pattern.size() >= 3 && pattern[1] == '-') {
                    const int start = static_cast<signed char>(pattern[0]);
                    const int end = static_cast<signed char>(pattern[2]);
                    const int value = static_cast<signed char>(byte);
                    if (value >= std::min(start, end) && value <= std::max(start, end)) { is_member = true; }
                    pattern.remove_prefix(2);
                } else if (pattern[0] == byte) {
                    is_member = true;
                }
                pattern.remove_prefix(1);
            }
            if (is_member == is_negated) { return false; }
        } else {
            bool is_any = false;
            if (pattern.front() == '\\' && pattern.size() >= 2) {
                pattern.remove_prefix(1);
            } else {
                is_any = pattern.front() == '?';
            }
            if (!is_any && pattern.front() != byte) { return false; }
            pattern.remove_prefix(1);
        }
        text.remove_prefix(1);
        if (text.empty()) {
            while (!pattern.empty() && pattern.front() == '*') {
                pattern.remove_prefix(1);
            }
        }
    }
    return pattern.empty() && text.empty();
}

TEST(Glob, MatchesWhatARecursiveMatcherMatchesForRandomPatterns) {
    std::mt19937 random(5);
    const auto text_of = [&](std::string_view alphabet, std::size_t longest) {
        std::string text;
        for (std::size_t i = std::uniform_int_distribution<std::size_t>(0, longest)(random); i > 0; --i) {
            text += alphabet[std::uniform_int_distribution<std::size_t>(0, alphabet.size() - 1)(random)];
        }
        return text;
    };
    int matches = 0;
    for (int round = 0; round < 200'000; ++round) {
        const std::string pattern = text_of(round % 2 == 0 ? "ab*?[]^-\\\xe9" : "abc**?", 9);
        const std::string text = "a" + text_of("abc-]\\^\xe9", 6);
        const bool is_match = redis_matches(pattern, text);
        matches += is_match ? 1 : 0;
        ASSERT_EQ(glob_matches(pattern, text), is_match) << "pattern " << pattern << " text " << text;
    }
    EXPECT_GT(matches, 2'000);
}

TEST(Glob, AnEscapedTextMatchesItselfAlone) {
    std::mt19937 random(6);
    std::vector<std::string> texts = {"",    "*", "?",     "[a]",    "[^a]",    "\\",  "a\\",      "\\*",      "[",         "]",
                                      "a-b", "^", "{a,b}", "org:*:", "a?c[d]*", "\0"s, "\xff\x80", "[a-z]x\\", "tenant:[1]"};
    for (int i = 0; i < 2'000; ++i) {
        std::string text;
        for (std::size_t j = std::uniform_int_distribution<std::size_t>(0, 6)(random); j > 0; --j) {
            static constexpr std::string_view alphabet = "ab*?[]^-\\\xe9";
            text += alphabet[std::uniform_int_distribution<std::size_t>(0, alphabet.size() - 1)(random)];
        }
        texts.push_back(text);
    }
    for (int byte = 0; byte < 256; ++byte) {
        texts.push_back(std::string(1, static_cast<char>(byte)));
    }
    for (const std::string& text : texts) {
        const std::string pattern = glob_escaped(text);
        EXPECT_TRUE(glob_matches(pattern, text)) << text;
        EXPECT_TRUE(text.empty() || redis_matches(pattern, text)) << text;
        EXPECT_FALSE(glob_matches(pattern, text + "x")) << text;
        EXPECT_FALSE(glob_matches(pattern, "x" + text)) << text;
        for (const std::string& other : {texts[1], texts[3], texts[5], texts[8], texts[20], texts[30]}) {
            EXPECT_EQ(glob_matches(pattern, other), text == other) << text << " and " << other;
        }
        EXPECT_TRUE(glob_matches(pattern + "*", text + "tail")) << text;
        for (std::size_t i = 0; i < text.size(); ++i) {
            std::string changed = text;
            changed[i] = static_cast<char>(changed[i] + 1);
            EXPECT_FALSE(glob_matches(pattern, changed)) << text;
        }
    }
}

TEST(Glob, PathologicalPatternsEnd) {
    std::string stars;
    for (int i = 0; i < 1'000; ++i) {
        stars += "a*";
    }
    const std::string text(5'000, 'a');
    // Exponential for a matcher that goes back to every star.
    EXPECT_FALSE(glob_matches(stars + "b", text));
    EXPECT_TRUE(glob_matches(stars, text));
    EXPECT_FALSE(glob_matches("*" + std::string(1'000, 'a') + "b", text));
    EXPECT_FALSE(glob_matches(std::string(100'000, '*') + "b", text));
    EXPECT_TRUE(glob_matches(std::string(100'000, '*'), text));
}

// The store.

using TimePoint = MemoryStore::TimePoint;
constexpr TimePoint start{1000s};

MemoryLimits limits_of(std::size_t entries, std::size_t bytes = 1'000'000) {
    MemoryLimits limits;
    limits.entries = entries;
    limits.bytes = bytes;
    return limits;
}

/// What is stored, as an optional.
std::optional<std::string> read(MemoryStore& store, std::string_view key, TimePoint now = start) {
    const std::string* const value = store.get(key, now);
    return value == nullptr ? std::nullopt : std::optional(*value);
}

TEST(MemoryStore, KeepsWhatWasStored) {
    MemoryStore store;
    EXPECT_EQ(read(store, "key"), std::nullopt);
    EXPECT_TRUE(store.set("key", "value", 60s, start));
    EXPECT_EQ(read(store, "key"), "value");
    EXPECT_EQ(read(store, "ke"), std::nullopt);
    EXPECT_EQ(store.size(), 1U);
}

TEST(MemoryStore, IsBinarySafe) {
    MemoryStore store;
    EXPECT_TRUE(store.set("k\0y"s, "v\0\r\n"s, 60s, start));
    EXPECT_TRUE(store.set("k", "", 60s, start));
    EXPECT_EQ(read(store, "k\0y"s), "v\0\r\n"s);
    EXPECT_EQ(read(store, "k"), "");
}

TEST(MemoryStore, AnOverwrittenKeyHasTheNewValueAndTheNewTtl) {
    MemoryStore store;
    store.set("key", "one", 10s, start);
    store.set("key", "second", 20s, start + 5s);
    EXPECT_EQ(store.size(), 1U);
    EXPECT_EQ(store.bytes(), 3U + 6U + 128U);
    EXPECT_EQ(read(store, "key", start + 24s), "second");
    EXPECT_EQ(read(store, "key", start + 25s), std::nullopt);
    store.set("key", "third", 1s, start + 30s);
    store.set("key", "fourth", no_expiry, start + 30s);
    EXPECT_EQ(read(store, "key", start + 1h), "fourth");
}

TEST(MemoryStore, AValueIsThereUntilItsTtlAndNotFromThenOn) {
    MemoryStore store;
    store.set("key", "value", 10ms, start);
    EXPECT_EQ(read(store, "key", start + 10ms - 1ns), "value");
    EXPECT_EQ(read(store, "key", start + 10ms), std::nullopt);
    EXPECT_EQ(store.size(), 0U);
    EXPECT_EQ(store.bytes(), 0U);
}

TEST(MemoryStore, EveryCallTakesAnExpiredKeyForAbsent) {
    const std::vector<std::function<bool(MemoryStore&, TimePoint)>> calls = {
        [](MemoryStore& store, TimePoint now) { return store.get("key", now) != nullptr; },
        [](MemoryStore& store, TimePoint now) { return store.erase("key", now); },
        [](MemoryStore& store, TimePoint now) { return store.touch("key", 10s, now); },
        [](MemoryStore& store, TimePoint now) { return store.time_to_live("key", now).has_value(); },
        [](MemoryStore& store, TimePoint now) { return store.remove_matching("key", now) == 1; },
    };
    for (const auto& call : calls) {
        MemoryStore store;
        store.set("key", "value", 10ms, start);
        EXPECT_TRUE(call(store, start + 9ms));
        MemoryStore other;
        other.set("key", "value", 10ms, start);
        EXPECT_FALSE(call(other, start + 10ms));
        EXPECT_EQ(other.size(), 0U);
    }
}

TEST(MemoryStore, ZeroAndNegativeTtlsRemove) {
    for (const Ttl ttl : {Ttl(0s), Ttl(-1s)}) {
        MemoryStore store;
        store.set("key", "value", 60s, start);
        EXPECT_TRUE(store.set("key", "other", ttl, start));
        EXPECT_EQ(store.size(), 0U);
        EXPECT_EQ(store.bytes(), 0U);
        store.set("key", "value", 60s, start);
        EXPECT_TRUE(store.touch("key", ttl, start));
        EXPECT_FALSE(store.touch("key", ttl, start));
        EXPECT_EQ(store.size(), 0U);
    }
}

TEST(MemoryStore, WithoutExpiryAValueStays) {
    MemoryStore store;
    for (const Ttl ttl :
         {no_expiry, Ttl(std::chrono::hours::max()), Ttl(std::chrono::milliseconds(std::numeric_limits<std::int64_t>::max() / 2 - 1))}) {
        store.set("key", "value", ttl, start);
        EXPECT_EQ(read(store, "key", start + 24h * 365 * 200), "value");
        ASSERT_TRUE(store.time_to_live("key", start));
        EXPECT_TRUE(store.time_to_live("key", start)->is_forever());
    }
}

TEST(MemoryStore, TheTimeToLiveIsWhatIsLeftRoundedUp) {
    MemoryStore store;
    EXPECT_EQ(store.time_to_live("key", start), std::nullopt);
    store.set("key", "value", 10ms, start);
    EXPECT_EQ(store.time_to_live("key", start), Ttl(10ms));
    EXPECT_EQ(store.time_to_live("key", start + 1ns), Ttl(10ms));
    EXPECT_EQ(store.time_to_live("key", start + 9ms), Ttl(1ms));
    EXPECT_EQ(store.time_to_live("key", start + 10ms - 1ns), Ttl(1ms));
    EXPECT_EQ(store.time_to_live("key", start + 10ms), std::nullopt);
}

TEST(MemoryStore, TouchGivesANewTtl) {
    MemoryStore store;
    store.set("key", "value", 10s, start);
    EXPECT_TRUE(store.touch("key", 100s, start + 5s));
    EXPECT_EQ(read(store, "key", start + 104s), "value");
    EXPECT_TRUE(store.touch("key", 1s, start + 104s));
    EXPECT_EQ(read(store, "key", start + 105s), std::nullopt);
    EXPECT_FALSE(store.touch("key", 1s, start + 105s));
    store.set("key", "value", 1s, start);
    EXPECT_TRUE(store.touch("key", no_expiry, start));
    EXPECT_TRUE(store.time_to_live("key", start + 1h)->is_forever());
    EXPECT_TRUE(store.touch("key", 1s, start + 1h));
    EXPECT_EQ(read(store, "key", start + 1h + 1s), std::nullopt);
    EXPECT_EQ(store.size(), 0U);
}

TEST(MemoryStore, EraseSaysWhetherThereWasSuchAKey) {
    MemoryStore store;
    EXPECT_FALSE(store.erase("key", start));
    store.set("key", "value", 60s, start);
    EXPECT_TRUE(store.erase("key", start));
    EXPECT_FALSE(store.erase("key", start));
    EXPECT_EQ(store.bytes(), 0U);
}

TEST(MemoryStore, EvictsWhatWasUsedLongestAgo) {
    MemoryStore store(limits_of(3));
    store.set("a", "1", 60s, start);
    store.set("b", "2", 60s, start);
    store.set("c", "3", no_expiry, start);
    EXPECT_EQ(read(store, "a"), "1");
    store.set("d", "4", 60s, start);
    EXPECT_EQ(read(store, "b"), std::nullopt);
    EXPECT_EQ(read(store, "c"), "3");
    EXPECT_EQ(read(store, "a"), "1");
    store.set("e", "5", 60s, start);
    EXPECT_EQ(read(store, "d"), std::nullopt);
    store.set("c", "6", 60s, start);
    store.set("f", "7", 60s, start);
    EXPECT_EQ(read(store, "a"), std::nullopt);
    EXPECT_EQ(read(store, "c"), "6");
    EXPECT_EQ(store.size(), 3U);
}

TEST(MemoryStore, LooksThatDoNotReadAreNoUse) {
    MemoryStore store(limits_of(2));
    store.set("a", "1", 60s, start);
    store.set("b", "2", 60s, start);
    static_cast<void>(store.time_to_live("a", start));
    store.set("c", "3", 60s, start);
    EXPECT_EQ(read(store, "a"), std::nullopt);
    EXPECT_EQ(read(store, "b"), "2");
}

TEST(MemoryStore, TheExpiredGoBeforeTheLiving) {
    MemoryStore store(limits_of(3));
    store.set("old", "1", 60s, start);
    store.set("short", "2", 1s, start);
    store.set("new", "3", 60s, start);
    store.set("more", "4", 60s, start + 1s);
    EXPECT_EQ(read(store, "old", start + 1s), "1");
    EXPECT_EQ(read(store, "new", start + 1s), "3");
    EXPECT_EQ(read(store, "more", start + 1s), "4");
}

TEST(MemoryStore, OverwritingEvictsNobody) {
    MemoryStore store(limits_of(2));
    store.set("a", "1", 60s, start);
    store.set("b", "2", 60s, start);
    store.set("b", "3", 60s, start);
    EXPECT_EQ(read(store, "a"), "1");
    EXPECT_EQ(read(store, "b"), "3");
}

TEST(MemoryStore, HoldsAtMostItsBytes) {
    MemoryStore store(limits_of(100, 3 * (1 + 100 + 128)));
    const std::string value(100, 'x');
    for (const char* const key : {"a", "b", "c"}) {
        EXPECT_TRUE(store.set(key, value, 60s, start));
    }
    EXPECT_EQ(store.size(), 3U);
    EXPECT_EQ(store.bytes(), 3U * 229U);
    EXPECT_TRUE(store.set("d", "x", 60s, start));
    EXPECT_EQ(store.size(), 3U);
    EXPECT_EQ(read(store, "a"), std::nullopt);
    EXPECT_EQ(store.bytes(), 2U * 229U + 130U);
    EXPECT_TRUE(store.set("e", std::string(3 * 229 - 129, 'y'), 60s, start));
    EXPECT_EQ(store.size(), 1U);
    EXPECT_EQ(store.bytes(), 3U * 229U);
}

TEST(MemoryStore, AValueLargerThanTheStoreIsNotKeptAndNeitherIsTheOldOne) {
    MemoryStore store(limits_of(100, 400));
    store.set("a", "1", 60s, start);
    store.set("b", "2", 60s, start);
    EXPECT_FALSE(store.set("a", std::string(272, 'x'), 60s, start));
    EXPECT_EQ(read(store, "a"), std::nullopt);
    EXPECT_EQ(read(store, "b"), "2");
    EXPECT_TRUE(store.set("a", std::string(271, 'x'), 60s, start));
    EXPECT_EQ(read(store, "b"), std::nullopt);
    EXPECT_EQ(store.bytes(), 400U);
}

TEST(MemoryStore, ALimitOfZeroKeepsNothing) {
    for (const MemoryLimits limits : {limits_of(0), limits_of(10, 0), limits_of(10, 128)}) {
        MemoryStore store(limits);
        EXPECT_FALSE(store.set("key", "value", 60s, start));
        EXPECT_EQ(read(store, "key"), std::nullopt);
        EXPECT_EQ(store.size(), 0U);
        EXPECT_EQ(store.bytes(), 0U);
        EXPECT_TRUE(store.set("key", "value", 0s, start));
        EXPECT_EQ(store.remove_matching("*", start), 0U);
    }
}

TEST(MemoryStore, RemovesWhatMatchesAPattern) {
    MemoryStore store;
    for (const char* const key : {"org:1:a", "org:1:b", "org:2:a", "other", "org:1"}) {
        store.set(key, "x", 60s, start);
    }
    store.set("org:1:gone", "x", 1s, start);
    EXPECT_EQ(store.remove_matching("org:1:*", start + 1s), 2U);
    EXPECT_EQ(store.remove_matching("org:1:*", start + 1s), 0U);
    EXPECT_EQ(read(store, "org:2:a"), "x");
    EXPECT_EQ(read(store, "org:1"), "x");
    EXPECT_EQ(store.remove_matching("*", start + 1s), 3U);
    EXPECT_EQ(store.size(), 0U);
    EXPECT_EQ(store.bytes(), 0U);
}

TEST(MemoryStore, ManyKeysWithTheSameExpiryAllExpire) {
    MemoryStore store;
    for (int i = 0; i < 1'000; ++i) {
        store.set(std::to_string(i), "x", 10s, start);
    }
    store.set("trigger", "x", 60s, start + 10s);
    EXPECT_EQ(store.size(), 1U);
    EXPECT_EQ(store.bytes(), 7U + 1U + 128U);
}

TEST(MemoryStore, CannotBeCopiedSinceACopyWouldPointIntoTheOriginal) {
    EXPECT_FALSE(std::is_copy_constructible_v<MemoryStore>);
    EXPECT_FALSE(std::is_copy_assignable_v<MemoryStore>);
}

/// The same store in the plainest way: a list of entries, the most recently used first, searched from end to end.
class NaiveStore {
public:
    struct Entry {
        std::string key;
        std::string value;
        std::optional<TimePoint> expiry;
    };

    NaiveStore(std::size_t entries, std::size_t bytes) : max_entries_(entries), max_bytes_(bytes) {}

    std::optional<std::string> get(const std::string& key, TimePoint now) {
        purge(now);
        for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
            if (entry->key == key) {
                entries_.splice(entries_.begin(), entries_, entry);
                return entry->value;
            }
        }
        return std::nullopt;
    }
    bool set(const std::string& key, const std::string& value, std::optional<std::chrono::milliseconds> ttl, TimePoint now) {
        erase(key, now);
        if (ttl && ttl->count() <= 0) { return true; }
        if (key.size() + value.size() + 128 > max_bytes_) { return false; }
        entries_.push_front({key, value, ttl ? std::optional(now + *ttl) : std::nullopt});
        while (entries_.size() > max_entries_ || bytes() > max_bytes_) {
            entries_.pop_back();
        }
        return true;
    }
    bool erase(const std::string& key, TimePoint now) {
        purge(now);
        return entries_.remove_if([&](const Entry& entry) { return entry.key == key; }) > 0;
    }
    std::size_t remove_matching(const std::string& pattern, TimePoint now) {
        purge(now);
        return entries_.remove_if([&](const Entry& entry) { return redis_matches(pattern, entry.key); });
    }
    std::optional<Entry> find(const std::string& key, TimePoint now) {
        purge(now);
        for (const Entry& entry : entries_) {
            if (entry.key == key) { return entry; }
        }
        return std::nullopt;
    }
    void set_expiry(const std::string& key, std::optional<TimePoint> expiry) {
        for (Entry& entry : entries_) {
            if (entry.key == key) { entry.expiry = expiry; }
        }
    }
    [[nodiscard]] std::size_t bytes() const {
        std::size_t bytes = 0;
        for (const Entry& entry : entries_) {
            bytes += entry.key.size() + entry.value.size() + 128;
        }
        return bytes;
    }
    [[nodiscard]] std::size_t size(TimePoint now) {
        purge(now);
        return entries_.size();
    }

private:
    void purge(TimePoint now) {
        entries_.remove_if([&](const Entry& entry) { return entry.expiry && *entry.expiry <= now; });
    }

    std::size_t max_entries_;
    std::size_t max_bytes_;
    std::list<Entry> entries_;
};

TEST(MemoryStore, BehavesAsItsModelUnderRandomCalls) {
    std::mt19937 random(17);
    const auto below = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
    for (const auto& [entries, bytes] : {std::pair<std::size_t, std::size_t>{8, 1'000'000}, {1'000, 2'000}, {5, 900}, {1, 300}}) {
        MemoryStore store(limits_of(entries, bytes));
        NaiveStore model(entries, bytes);
        TimePoint now = start;
        std::size_t hits = 0;
        for (int round = 0; round < 20'000; ++round) {
            now += std::chrono::milliseconds(below(4));
            const std::string key = "key" + std::to_string(below(16));
            const bool is_forever = below(4) == 0;
            const auto ttl = std::chrono::milliseconds(static_cast<std::int64_t>(below(42)) - 2);
            switch (below(10)) {
            default: {
                const auto expected = model.get(key, now);
                hits += expected ? 1U : 0U;
                ASSERT_EQ(read(store, key, now), expected);
                break;
            }
            case 0:
            case 1:
            case 2:
            case 3: {
                const std::string value(below(300), 'x');
                const bool is_kept = model.set(key, value, is_forever ? std::nullopt : std::optional(ttl), now);
                ASSERT_EQ(store.set(key, value, is_forever ? no_expiry : Ttl(ttl), now), is_kept);
                break;
            }
            case 4: {
                const auto found = model.find(key, now);
                const auto left = store.time_to_live(key, now);
                ASSERT_EQ(left.has_value(), found.has_value());
                if (found && found->expiry) { ASSERT_EQ(left, Ttl(*found->expiry - now)); }
                if (found && !found->expiry) { ASSERT_TRUE(left->is_forever()); }
                break;
            }
            case 5: ASSERT_EQ(store.erase(key, now), model.erase(key, now)); break;
            case 6:
                if (below(10) == 0) {
                    const std::string pattern = below(4) == 0 ? "*" : "key[" + std::to_string(below(9)) + "-9]*";
                    ASSERT_EQ(store.remove_matching(pattern, now), model.remove_matching(pattern, now));
                }
                break;
            case 7:
                if (below(4) == 0) {
                    const bool is_there = model.find(key, now).has_value();
                    ASSERT_EQ(store.touch(key, is_forever ? no_expiry : Ttl(ttl), now), is_there);
                    if (!is_forever && ttl.count() <= 0) {
                        model.erase(key, now);
                    } else {
                        model.set_expiry(key, is_forever ? std::nullopt : std::optional(now + ttl));
                    }
                    // Whether that counts as a use is not promised: now it does, for both.
                    ASSERT_EQ(read(store, key, now), model.get(key, now));
                }
                break;
            }
            ASSERT_LE(store.size(), entries);
            ASSERT_LE(store.bytes(), bytes);
            ASSERT_GE(store.size(), model.size(now));
        }
        EXPECT_GT(hits, 100U);
        store.set("last", "", 1s, now);
        model.set("last", "", 1s, now);
        EXPECT_EQ(store.size(), model.size(now));
        EXPECT_EQ(store.bytes(), model.bytes());
    }
}

// Options.

std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& problem) { return problem.what(); }
    return "";
}

TEST(BackendOptions, TheDefaultsAreValid) {
    const BackendOptions options;
    EXPECT_NO_THROW(validate(options));
    EXPECT_EQ(options.url, "redis://localhost:6379");
    EXPECT_EQ(options.connections, 1U);
    EXPECT_EQ(options.command_timeout, 500ms);
    EXPECT_EQ(options.connect_timeout, 1s);
    EXPECT_EQ(options.health_check_interval, 15s);
    EXPECT_EQ(options.max_pending_bytes, std::size_t{64} << 20U);
    EXPECT_EQ(options.max_value_bytes, std::size_t{512} << 20U);
}

TEST(BackendOptions, AMessageNamesTheMemberThatMakesNoSense) {
    const auto year = std::chrono::hours(24 * 365);
    const std::vector<std::pair<std::string, std::vector<std::function<void(BackendOptions&)>>>> cases = {
        {"command_timeout",
         {[](BackendOptions& o) { o.command_timeout = 0ms; }, [](BackendOptions& o) { o.command_timeout = -1ms; },
          [&](BackendOptions& o) { o.command_timeout = year + 1ms; },
          [](BackendOptions& o) { o.command_timeout = std::chrono::milliseconds::max(); },
          [](BackendOptions& o) { o.command_timeout = std::chrono::milliseconds::min(); }}},
        {"connect_timeout",
         {[](BackendOptions& o) { o.connect_timeout = 0ms; }, [](BackendOptions& o) { o.connect_timeout = -1s; },
          [&](BackendOptions& o) { o.connect_timeout = year + 1ms; }}},
        {"health_check_interval",
         {[](BackendOptions& o) { o.health_check_interval = 0ms; }, [](BackendOptions& o) { o.health_check_interval = -1s; },
          [&](BackendOptions& o) { o.health_check_interval = year + 1ms; }}},
        {"backoff.min",
         {[](BackendOptions& o) { o.backoff.min = 0ms; }, [](BackendOptions& o) { o.backoff.min = -1ms; },
          [&](BackendOptions& o) {
              o.backoff = {year + 1ms, year + 2ms};
          }}},
        {"backoff.max",
         {[](BackendOptions& o) { o.backoff.max = 49ms; }, [](BackendOptions& o) { o.backoff.max = 0ms; },
          [&](BackendOptions& o) { o.backoff.max = year + 1ms; }}},
        {"max_pending_bytes", {[](BackendOptions& o) { o.max_pending_bytes = 0; }}},
        {"max_value_bytes",
         {[](BackendOptions& o) { o.max_value_bytes = 0; }, [](BackendOptions& o) { o.max_value_bytes = (std::size_t{512} << 20U) + 1; }}},
        {"database", {[](BackendOptions& o) { o.database = -1; }, [](BackendOptions& o) { o.database = std::numeric_limits<int>::min(); }}},
        {"client_name",
         {[](BackendOptions& o) { o.client_name = "a b"; }, [](BackendOptions& o) { o.client_name = "a\n"; },
          [](BackendOptions& o) { o.client_name = "\x7f"; }, [](BackendOptions& o) { o.client_name = "caf\xc3\xa9"; },
          [](BackendOptions& o) { o.client_name = "a\0"s; }}},
        {"connections", {[](BackendOptions& o) { o.connections = 0; }, [](BackendOptions& o) { o.connections = 1025; }}},
    };
    for (const auto& [member, changes] : cases) {
        for (std::size_t i = 0; i < changes.size(); ++i) {
            BackendOptions options;
            changes[i](options);
            const std::string message = message_of([&] { validate(options); });
            EXPECT_EQ(message.rfind("luzia: " + member + " must be", 0), 0U) << member << ' ' << i << ": " << message;
        }
    }
}

TEST(BackendOptions, TheEdgesAreValid) {
    BackendOptions options;
    options.command_timeout = 1ms;
    options.connect_timeout = std::chrono::hours(24 * 365);
    options.health_check_interval = 1ms;
    options.backoff = {1ms, 1ms};
    options.max_pending_bytes = 1;
    options.max_value_bytes = 1;
    options.database = 0;
    options.client_name = "!~";
    options.connections = 1024;
    EXPECT_NO_THROW(validate(options));
    options.max_value_bytes = std::size_t{512} << 20U;
    options.backoff = {std::chrono::hours(24 * 365), std::chrono::hours(24 * 365)};
    EXPECT_NO_THROW(validate(options));
}

TEST(BackendOptions, ACheckedUrlIsTakenApart) {
    BackendOptions options;
    options.url = "redis://app:pw@cache:6380/2";
    const Url url = checked_url(options);
    EXPECT_EQ(url.scheme, "redis");
    EXPECT_EQ(url.host, "cache");
    EXPECT_EQ(url.port, 6380);
    EXPECT_EQ(url.database, 2);
}

TEST(BackendOptions, ABadUrlIsNamedWithoutItsPassword) {
    for (const char* const bad : {"redis://app:s3cret@host:0", "nonsense://app:s3cret@host", "redis://app:s3cret@", "app:s3cret@host",
                                  "redis://app:s3cret%zz@host", "redis://host?password=s3cret#"}) {
        BackendOptions options;
        options.url = bad;
        const std::string message = message_of([&] { static_cast<void>(checked_url(options)); });
        EXPECT_EQ(message.rfind("luzia: url ", 0), 0U) << message;
        EXPECT_EQ(message.find("s3cret"), std::string::npos) << message;
    }
}

TEST(BackendOptions, AMessageAboutAUrlIsFitForALogLine) {
    BackendOptions options;
    options.url = "redis://ho\nst\x1b[2J/";
    const std::string message = message_of([&] { static_cast<void>(checked_url(options)); });
    EXPECT_NE(message, "");
    EXPECT_EQ(message.find_first_of("\n\x1b"), std::string::npos) << message;
}

TEST(BackendOptions, TlsNeedsATransport) {
    BackendOptions options;
    options.url = "rediss://app:s3cret@host";
    const std::string message = message_of([&] { static_cast<void>(checked_url(options)); });
    EXPECT_NE(message.find("luzia/tls.hpp"), std::string::npos) << message;
    EXPECT_EQ(message.find("s3cret"), std::string::npos) << message;
}

TEST(BackendOptions, TheLimitsOfAMemoryStoreComeFromItsUrl) {
    const auto limits = [](const std::string& text) {
        BackendOptions options;
        options.url = text;
        return memory_limits(checked_url(options));
    };
    EXPECT_EQ(limits("memory://").entries, MemoryLimits().entries);
    EXPECT_EQ(limits("memory://").bytes, MemoryLimits().bytes);
    EXPECT_EQ(limits("memory://?max_entries=10").entries, 10U);
    EXPECT_EQ(limits("memory:///?max_entries=10&max_bytes=2048").bytes, 2048U);
    EXPECT_EQ(limits("memory://?max_entries=0&max_bytes=0").entries, 0U);
    for (const char* const bad :
         {"memory://?max_entries=", "memory://?max_entries=-1", "memory://?max_entries=ten", "memory://?max_bytes=1k",
          "memory://?max_bytes=99999999999999999999999", "memory://?maxmemory=1", "memory://?x"}) {
        const std::string message = message_of([&] { static_cast<void>(limits(bad)); });
        EXPECT_EQ(message.rfind("luzia: url: ", 0), 0U) << bad << ": " << message;
    }
}

TEST(BackendOptions, TheOptionsStandOverTheUrl) {
    const auto url = parse_url("redis://app:pw@host/4");
    ASSERT_TRUE(url);
    redis::ConnectionOptions options;
    EXPECT_EQ(with_credentials(options, *url).username, "app");
    EXPECT_EQ(with_credentials(options, *url).password, "pw");
    EXPECT_EQ(with_credentials(options, *url).database, 4);
    options.database = 0;
    EXPECT_EQ(with_credentials(options, *url).database, 0);
    options.password = "other";
    EXPECT_EQ(with_credentials(options, *url).username, "app");
    EXPECT_EQ(with_credentials(options, *url).password, "other");
    options.password.reset();
    options.username = "me";
    EXPECT_EQ(with_credentials(options, *url).username, "me");
    EXPECT_EQ(with_credentials(options, *url).password, std::nullopt);
}

TEST(BackendOptions, WithoutCredentialsThereAreNone) {
    const auto url = parse_url("redis://host");
    ASSERT_TRUE(url);
    const redis::ConnectionOptions options = with_credentials(redis::ConnectionOptions(), *url);
    EXPECT_EQ(options.username, std::nullopt);
    EXPECT_EQ(options.password, std::nullopt);
    EXPECT_EQ(options.database, 0);
}

} // namespace
} // namespace luzia::backend
