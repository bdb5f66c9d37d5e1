// unit/core_test.cpp: URLs, times to live, text for the log, the folding of events, errors and outcomes.
#include <luzia/core/error.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/core/outcome.hpp>
#include <luzia/core/text.hpp>
#include <luzia/core/ttl.hpp>
#include <luzia/core/url.hpp>

#include <gtest/gtest.h>

#include <spdlog/sinks/ostream_sink.h>

#include <boost/system/errc.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <ratio>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

// URLs.

/// What a good URL says; a bad one fails the test.
Url parsed(std::string_view text) {
    auto url = parse_url(text);
    EXPECT_TRUE(url) << text << ": " << (url ? "" : url.error());
    return url ? *url : Url();
}

/// What is wrong with a URL; empty where nothing is.
std::string problem(std::string_view text) {
    const auto url = parse_url(text);
    return url ? std::string() : url.error();
}

void expect_problem(std::string_view text, std::string_view expected) {
    const std::string found = problem(text);
    EXPECT_NE(found.find(expected), std::string::npos) << text << ": \"" << found << '"';
}

TEST(Url, TakesEveryPartOfARedisUrl) {
    const Url url = parsed("redis://user:secret@cache.example.org:6380/5?client=me&x=1");
    EXPECT_EQ(url.scheme, "redis");
    EXPECT_EQ(url.username, "user");
    EXPECT_EQ(url.password, "secret");
    EXPECT_EQ(url.host, "cache.example.org");
    EXPECT_EQ(url.port, 6380);
    EXPECT_EQ(url.database, 5);
    EXPECT_EQ(url.path, "");
    EXPECT_EQ(url.parameters, (std::vector<std::pair<std::string, std::string>>{{"client", "me"}, {"x", "1"}}));
}

TEST(Url, EveryPartButTheHostMayBeAbsent) {
    for (const char* const text : {"redis://host", "redis://host/", "redis://host?", "redis://host/?", "redis://@host", "redis://:@host"}) {
        const Url url = parsed(text);
        EXPECT_EQ(url.host, "host") << text;
        EXPECT_EQ(url.port, 6379) << text;
        EXPECT_EQ(url.database, 0) << text;
        EXPECT_EQ(url.username, std::nullopt) << text;
        EXPECT_EQ(url.password, std::nullopt) << text;
        EXPECT_TRUE(url.parameters.empty()) << text;
    }
}

TEST(Url, KnowsEverySchemeAndNoOther) {
    EXPECT_EQ(parsed("redis://host").scheme, "redis");
    EXPECT_EQ(parsed("rediss://host").scheme, "rediss");
    EXPECT_EQ(parsed("unix:///sock").scheme, "unix");
    EXPECT_EQ(parsed("memory://").scheme, "memory");
    EXPECT_EQ(parsed("disabled://").scheme, "disabled");
    EXPECT_EQ(parsed("REDIS://Host").scheme, "redis");
    EXPECT_EQ(parsed("REDIS://Host").host, "Host");
    for (const char* const text :
         {"http://host", "redi://host", "redisss://host", " redis://host", "redis ://host", "://host", "tcp://host"}) {
        expect_problem(text, "unknown scheme");
    }
}

TEST(Url, WithoutASchemeIsNoUrl) {
    for (const char* const text : {"", "localhost", "localhost:6379", "redis:", "redis:/", "redis:/host", "//host", "redis//host"}) {
        expect_problem(text, "no scheme");
    }
}

TEST(Url, TheUserinfoMayHaveEitherPart) {
    EXPECT_EQ(parsed("redis://:secret@host").username, std::nullopt);
    EXPECT_EQ(parsed("redis://:secret@host").password, "secret");
    EXPECT_EQ(parsed("redis://user@host").username, "user");
    EXPECT_EQ(parsed("redis://user@host").password, std::nullopt);
    EXPECT_EQ(parsed("redis://user:@host").username, "user");
    EXPECT_EQ(parsed("redis://user:@host").password, std::nullopt);
}

TEST(Url, PercentDecodesItsParts) {
    const Url url = parsed("redis://us%65r:p%40ss%3A%2f%23%3F%25@h%6fst/1?n%61me=v%61lue");
    EXPECT_EQ(url.username, "user");
    EXPECT_EQ(url.password, "p@ss:/#?%");
    EXPECT_EQ(url.host, "host");
    EXPECT_EQ(url.parameters.at(0), (std::pair<std::string, std::string>{"name", "value"}));
    EXPECT_EQ(parsed("redis://:%00%ff%0A@host").password, "\0\xff\n"s);
    EXPECT_EQ(parsed("redis://:%2540@host").password, "%40");
    EXPECT_EQ(parsed("redis://:a+b@host").password, "a+b");
}

TEST(Url, APercentSignNeedsTwoHexadecimalDigits) {
    for (const char* const bad : {"%", "%4", "%zz", "%4z", "%z4", "%-1", "%+1", "% 1", "%%41", "a%"}) {
        expect_problem("redis://"s + bad + "@host", "user name");
        expect_problem("redis://:"s + bad + "@host", "password");
        expect_problem("redis://"s + bad, "host");
        expect_problem("redis://host?x="s + bad, "query");
        expect_problem("redis://host?"s + bad, "query");
        expect_problem("unix:///"s + bad, "path");
    }
}

TEST(Url, TheUserinfoEndsAtTheLastAt) {
    const Url url = parsed("redis://user:p@ss@w@rd@host:1");
    EXPECT_EQ(url.username, "user");
    EXPECT_EQ(url.password, "p@ss@w@rd");
    EXPECT_EQ(url.host, "host");
    EXPECT_EQ(url.port, 1);
}

TEST(Url, APasswordMayHoldWhatSeparatesOtherParts) {
    EXPECT_EQ(parsed("redis://user:a:b@host").password, "a:b");
    EXPECT_EQ(parsed("redis://user:a:b@host").username, "user");
    EXPECT_EQ(parsed("redis://user:a/b/2@host/1").password, "a/b/2");
    EXPECT_EQ(parsed("redis://user:a/b/2@host/1").database, 1);
    EXPECT_EQ(parsed("redis://user:a#b@host").password, "a#b");
    EXPECT_EQ(parsed("redis://user:[::1@host").password, "[::1");
    EXPECT_EQ(parsed("redis://user:redis://x@host").password, "redis://x");
    EXPECT_EQ(parsed("redis://user:a&b=c@host").password, "a&b=c");
    EXPECT_EQ(parsed("redis://:@@host").password, "@");
}

TEST(Url, AQuestionMarkBeforeTheLastAtIsRefused) {
    expect_problem("redis://user:pass?word@host", "? before its last @");
    expect_problem("redis://host?name=a@b", "? before its last @");
    expect_problem("redis://user:pw@host?name=a@b", "? before its last @");
    EXPECT_EQ(parsed("redis://user:pass%3Fword@host").password, "pass?word");
    EXPECT_EQ(parsed("redis://host?name=a%40b").parameters.at(0).second, "a@b");
}

TEST(Url, TakesAnIpv6AddressInBrackets) {
    EXPECT_EQ(parsed("redis://[::1]").host, "::1");
    EXPECT_EQ(parsed("redis://[::1]").port, 6379);
    EXPECT_EQ(parsed("redis://[2001:db8::7]:6380/3").host, "2001:db8::7");
    EXPECT_EQ(parsed("redis://[2001:db8::7]:6380/3").port, 6380);
    EXPECT_EQ(parsed("redis://[2001:db8::7]:6380/3").database, 3);
    EXPECT_EQ(parsed("redis://u:p@[::1]/2").host, "::1");
    EXPECT_EQ(parsed("redis://[fe80::1%eth0]").host, "fe80::1%eth0");
    expect_problem("redis://[::1", "[ without ]");
    expect_problem("redis://[::1]6379", "between its IPv6 address and the port");
    expect_problem("redis://[::1]x:1", "between its IPv6 address and the port");
    expect_problem("redis://[]", "no host");
    expect_problem("redis://[]:1", "no host");
    expect_problem("redis://::1", "more than one :");
    expect_problem("redis://2001:db8::7", "more than one :");
    expect_problem("redis://[::1]:", "port");
    expect_problem("redis://[::1]:0", "port");
    expect_problem("redis://[::1]:1:2", "port");
}

TEST(Url, TheZoneOfAnIpv6AddressIsPercentDecoded) { EXPECT_EQ(parsed("redis://[fe80::1%25eth0]").host, "fe80::1%eth0"); }

TEST(Url, APortIsANumberFrom1To65535) {
    EXPECT_EQ(parsed("redis://host:1").port, 1);
    EXPECT_EQ(parsed("redis://host:65535").port, 65535);
    for (const char* const bad :
         {"0", "65536", "-1", "+1", "4294967297", "99999999999999999999", "port", "63x", "6379 ", " 6379", "0x10", "1.5", "", "00"}) {
        expect_problem("redis://host:"s + bad, "port that is not a number from 1 to 65535");
        expect_problem("redis://host:"s + bad + "/1", "port that is not a number from 1 to 65535");
    }
    expect_problem("redis://host:1:2", "more than one :");
}

TEST(Url, ADatabaseIsANumberFrom0Up) {
    EXPECT_EQ(parsed("redis://host/0").database, 0);
    EXPECT_EQ(parsed("redis://host/15").database, 15);
    EXPECT_EQ(parsed("redis://host/2147483647").database, 2147483647);
    for (const char* const bad : {"-1", "x", "1x", "1/", "1/2", "/1", "2147483648", "+1", " 1", "1 ", "1.0"}) {
        expect_problem("redis://host/"s + bad, "database that is not a number from 0 up");
    }
}

TEST(Url, TheQueryMayNameTheDatabase) {
    EXPECT_EQ(parsed("redis://host?db=7").database, 7);
    EXPECT_EQ(parsed("redis://host/?db=7").database, 7);
    EXPECT_EQ(parsed("unix:///run/redis.sock?db=7").database, 7);
    EXPECT_TRUE(parsed("redis://host?db=7").parameters.empty());
    EXPECT_EQ(parsed("redis://host?x=1&db=7&y=2").database, 7);
    for (const char* const bad : {"?db=", "?db", "?db=-1", "?db=x", "?db=2147483648", "?x=1&db=", "?db=1%20"}) {
        expect_problem("redis://host"s + bad, "db that is not a number from 0 up");
        expect_problem("unix:///run/redis.sock"s + bad, "db that is not a number from 0 up");
    }
}

TEST(Url, WherePathAndQueryNameADatabaseTheQueryCountsAsInRedisPy) {
    const auto url = parse_url("redis://host/2?db=5");
    // A refusal would do as well; the path's number would be another database than a Python service with the same URL has.
    EXPECT_TRUE(!url || url->database == 5);
}

TEST(Url, KeepsParametersItDoesNotKnowInOrder) {
    using Parameters = std::vector<std::pair<std::string, std::string>>;
    EXPECT_EQ(parsed("redis://host?b=2&a=1&b=3").parameters, (Parameters{{"b", "2"}, {"a", "1"}, {"b", "3"}}));
    EXPECT_EQ(parsed("redis://host?flag").parameters, (Parameters{{"flag", ""}}));
    EXPECT_EQ(parsed("redis://host?a=b=c").parameters, (Parameters{{"a", "b=c"}}));
    EXPECT_EQ(parsed("redis://host?a=%26&b=%3D").parameters, (Parameters{{"a", "&"}, {"b", "="}}));
    EXPECT_EQ(parsed("redis://host?a=1&").parameters, (Parameters{{"a", "1"}}));
    EXPECT_EQ(parsed("redis://host?DB=1").parameters, (Parameters{{"DB", "1"}}));
    EXPECT_EQ(parsed("redis://host?a=/x?y").parameters, (Parameters{{"a", "/x?y"}}));
}

TEST(Url, NeedsAHost) {
    for (const char* const text : {"redis://", "redis:///", "redis:///0", "redis://:6379", "redis://user:secret@", "redis://user:secret@/1",
                                   "redis://?db=1", "redis://user@:1", "rediss://"}) {
        expect_problem(text, "no host");
    }
}

TEST(Url, AFragmentIsRefused) {
    for (const char* const text : {"redis://host#", "redis://host#x", "redis://host/1#x", "redis://host?x=1#y", "redis://u:p@host#x",
                                   "unix:///sock#x", "memory://?max_entries=1#x"}) {
        expect_problem(text, "fragment");
    }
}

TEST(Url, AFragmentWithNothingBeforeItIsRefused) {
    EXPECT_NE(problem("redis://#x"), "");
    EXPECT_NE(problem("redis://user:secret@#x"), "");
    EXPECT_NE(problem("redis://#x:6379/1"), "");
}

TEST(Url, ASpaceOrControlByteInTheHostIsRefused) {
    for (const char* const host : {"ho st", "host ", " host", "host\n", "ho\tst", "host\x7f", "ho%00st", "host%0d%0a", "host%20"}) {
        expect_problem("redis://"s + host, "space or a control byte");
    }
    expect_problem("redis://ho\0st"s, "space or a control byte");
    expect_problem("redis://[::1\n]", "space or a control byte");
    EXPECT_NE(problem("redis://host:6379\n"), "");
    EXPECT_NE(problem("redis://host/0\n"), "");
    EXPECT_NE(problem("redis://host?db=0\n"), "");
    EXPECT_NE(problem("memory://\n"), "");
}

TEST(Url, TakesThePathOfAUnixSocket) {
    const Url url = parsed("unix:///run/redis/redis.sock?db=2&x=1");
    EXPECT_EQ(url.path, "/run/redis/redis.sock");
    EXPECT_EQ(url.host, "");
    EXPECT_EQ(url.database, 2);
    EXPECT_EQ(url.parameters.size(), 1U);
    EXPECT_EQ(parsed("unix:///tmp/a%20b").path, "/tmp/a b");
    EXPECT_EQ(parsed("unix:///tmp/user@host").path, "/tmp/user@host");
    EXPECT_EQ(parsed("unix:///tmp/user@host").username, std::nullopt);
    EXPECT_EQ(parsed("unix:///tmp/a:b").path, "/tmp/a:b");
    EXPECT_EQ(parsed("unix:///" + std::string(106, 'x')).path.size(), 107U);
    expect_problem("unix:///" + std::string(107, 'x'), "108 bytes or more");
    expect_problem("unix://", "absolute path");
    expect_problem("unix://run/redis.sock", "absolute path");
    expect_problem("unix://?db=1", "absolute path");
}

TEST(Url, AUnixSocketMayHaveAUser) {
    const Url url = parsed("unix://user:s@cret@/run/redis.sock?db=1");
    EXPECT_EQ(url.username, "user");
    EXPECT_EQ(url.password, "s@cret");
    EXPECT_EQ(url.path, "/run/redis.sock");
    EXPECT_EQ(url.database, 1);
}

TEST(Url, ANulInThePathOfAUnixSocketIsRefusedSinceTheSystemWouldStopThere) {
    EXPECT_NE(problem("unix:///run/a%00b"), "");
    EXPECT_NE(problem("unix:///run/a\0b"s), "");
}

TEST(Url, MemoryAndDisabledTakeNoHost) {
    EXPECT_EQ(problem("memory://"), "");
    EXPECT_EQ(problem("memory:///"), "");
    EXPECT_EQ(parsed("memory://?max_entries=5").parameters.at(0).second, "5");
    EXPECT_EQ(problem("disabled://"), "");
    expect_problem("memory://host", "memory:// takes none");
    expect_problem("disabled://host", "disabled:// takes none");
    expect_problem("memory:///0", "takes none");
}

TEST(Url, AProblemNeverQuotesTheUrl) {
    for (const char* const text :
         {"s3cret", "s3cret://host", "redis://u:s3cret%@host", "redis://s3cret%zz:x@host", "redis://u:s3cret@host:0", "redis://u:s3cret@",
          "redis://host:s3cret", "redis://host/s3cret", "redis://host?db=s3cret", "redis://u:s3cret?@host", "unix://s3cret",
          "memory://s3cret", "redis://host#s3cret", "redis://[s3cret"}) {
        EXPECT_NE(problem(text), "") << text;
        EXPECT_EQ(problem(text).find("s3cret"), std::string::npos) << problem(text);
    }
}

TEST(MaskedUrl, KeepsWhatIsNoSecret) {
    EXPECT_EQ(masked_url("redis://host:6379/1"), "redis://host:6379/1");
    EXPECT_EQ(masked_url("unix:///run/redis.sock"), "unix:///run/redis.sock");
    EXPECT_EQ(masked_url("redis://user:pw@host:6379/1"), "redis://***@host:6379/1");
    EXPECT_EQ(masked_url("redis://host?password=pw"), "redis://host?***");
    EXPECT_EQ(masked_url("redis://user:pw@host/2?a=b"), "redis://***@host/2?***");
    EXPECT_EQ(masked_url(""), "");
}

TEST(MaskedUrl, NeverShowsAPassword) {
    for (const char* const text : {"redis://user:s3cret@host",     "redis://:s3cret@host",
                                   "redis://s3cret@host",          "redis://user:a@s3cret@host",
                                   "redis://user:s3cret@b@host",   "redis://user:a/s3cret@host",
                                   "redis://user:a?s3cret@host",   "redis://user:s3cret?b@host",
                                   "redis://user:a#s3cret@host",   "redis://user:x://s3cret@host",
                                   "redis://host?password=s3cret", "redis://host?a=b?s3cret",
                                   "redis://host?s3cret@x",        "user:s3cret@host",
                                   "user:s3cret@host/1",           "redis://user:s3cret%zz@host",
                                   "unix://user:s3cret@/sock",     "redis:user:s3cret@host",
                                   "redis:/user:s3cret@host",      "redis://user:s3cret@",
                                   "redis://user:[s3cret@host"}) {
        EXPECT_EQ(masked_url(text).find("s3cret"), std::string::npos) << masked_url(text);
    }
}

TEST(MaskedUrl, ShowsNoPasswordWhereTheSchemeWasForgotten) {
    EXPECT_EQ(masked_url("user:s3cret://x@host").find("s3cret"), std::string::npos) << masked_url("user:s3cret://x@host");
}

TEST(MaskedUrl, ShowsNoPasswordWhereTheHostWasForgotten) {
    for (const char* const text : {"redis://user:s3cret", "redis://:s3cret"}) {
        EXPECT_EQ(masked_url(text).find("s3cret"), std::string::npos) << masked_url(text);
    }
}

// Times to live.

TEST(Ttl, IsAnyDurationInMilliseconds) {
    EXPECT_EQ(Ttl(300s).value(), 300'000ms);
    EXPECT_EQ(Ttl(1h).value(), 3'600'000ms);
    EXPECT_EQ(Ttl(5ms).value(), 5ms);
    EXPECT_EQ(Ttl(std::chrono::duration<double>(0.25)).value(), 250ms);
    EXPECT_EQ(Ttl(std::chrono::duration<float>(1.5F)).value(), 1500ms);
    EXPECT_EQ(Ttl(std::chrono::duration<std::uint64_t>(7)).value(), 7s);
    EXPECT_EQ(Ttl(std::chrono::duration<std::int8_t, std::ratio<3600>>(1)).value(), 1h);
    const std::chrono::milliseconds converted = Ttl(2s);
    EXPECT_EQ(converted, 2s);
}

TEST(Ttl, RoundsUp) {
    EXPECT_EQ(Ttl(1ns).value(), 1ms);
    EXPECT_EQ(Ttl(999'999ns).value(), 1ms);
    EXPECT_EQ(Ttl(1'000'000ns).value(), 1ms);
    EXPECT_EQ(Ttl(1'000'001ns).value(), 2ms);
    EXPECT_EQ(Ttl(1500us).value(), 2ms);
    EXPECT_EQ(Ttl(std::chrono::duration<double>(1e-9)).value(), 1ms);
    EXPECT_EQ(Ttl(std::chrono::duration<double>(1e-300)).value(), 1ms);
    EXPECT_EQ(Ttl(std::chrono::duration<double, std::milli>(1.0)).value(), 1ms);
    EXPECT_EQ(Ttl(std::chrono::duration<double, std::milli>(1.001)).value(), 2ms);
}

TEST(Ttl, ZeroAndNegativeAreRemovals) {
    for (const Ttl ttl :
         {Ttl(0s), Ttl(-1ms), Ttl(-1h), Ttl(-1ns), Ttl(std::chrono::hours::min()), Ttl(std::chrono::milliseconds::min()),
          Ttl(std::chrono::nanoseconds::min()), Ttl(std::chrono::duration<double>(0.0)), Ttl(std::chrono::duration<double>(-0.0)),
          Ttl(std::chrono::duration<double>(-1e300)), Ttl(std::chrono::duration<double>(-std::numeric_limits<double>::infinity()))}) {
        EXPECT_TRUE(ttl.is_removal());
        EXPECT_FALSE(ttl.is_forever());
        EXPECT_LE(ttl.value(), 0ms);
    }
    for (const Ttl ttl : {Ttl(1ns), Ttl(1ms), no_expiry, Ttl(std::chrono::duration<double>(1e-300))}) {
        EXPECT_FALSE(ttl.is_removal());
    }
}

TEST(Ttl, WhatRedisCouldNotTakeIsForEver) {
    constexpr std::int64_t half = std::numeric_limits<std::int64_t>::max() / 2;
    for (const Ttl ttl :
         {no_expiry, Ttl(), Ttl(std::chrono::hours::max()), Ttl(std::chrono::minutes::max()), Ttl(std::chrono::seconds::max()),
          Ttl(std::chrono::milliseconds::max()), Ttl(std::chrono::milliseconds(half + 1000)), Ttl(std::chrono::duration<double>(1e300)),
          Ttl(std::chrono::duration<double>(std::numeric_limits<double>::infinity())),
          Ttl(std::chrono::duration<float>(std::numeric_limits<float>::max())), Ttl(std::chrono::duration<std::uint64_t>(UINT64_MAX)),
          Ttl(std::chrono::duration<std::uint64_t, std::milli>(UINT64_MAX))}) {
        EXPECT_TRUE(ttl.is_forever());
        EXPECT_FALSE(ttl.is_removal());
    }
    EXPECT_FALSE(Ttl(std::chrono::milliseconds(half - 1000)).is_forever());
    EXPECT_EQ(Ttl(std::chrono::milliseconds(half - 1000)).value().count(), half - 1000);
    EXPECT_FALSE(Ttl(std::chrono::nanoseconds::max()).is_forever());
    EXPECT_FALSE(Ttl(std::chrono::hours(24 * 365 * 1000)).is_forever());
}

TEST(Ttl, NoNumberIsForEver) { EXPECT_TRUE(Ttl(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())).is_forever()); }

TEST(Ttl, NoPeriodOverflows) {
    using Frames = std::chrono::duration<std::int64_t, std::ratio<1, 60>>;
    // 2e17 frames are 3.33e18 ms: less than the limit, yet 50 times the count is more than 63 bits.
    const Ttl ttl = Frames(200'000'000'000'000'000);
    EXPECT_TRUE(ttl.is_forever() || (ttl.value().count() > 3'333'333'333'333'000'000 && ttl.value().count() < 3'333'333'333'334'000'000))
        << ttl.value().count();
}

TEST(Ttl, ComparesWithDurations) {
    EXPECT_TRUE(Ttl(1s) == Ttl(1000ms));
    EXPECT_TRUE(Ttl(1s) == 1000ms);
    EXPECT_TRUE(1000ms == Ttl(1s));
    EXPECT_FALSE(Ttl(1s) == 2s);
    EXPECT_TRUE(Ttl(1s) != 2s);
    EXPECT_TRUE(Ttl() == no_expiry);
    EXPECT_FALSE(Ttl(300s) == no_expiry);
}

TEST(Ttl, IsKnownAtCompileTime) {
    static_assert(Ttl(300s).value() == 300'000ms);
    static_assert(no_expiry.is_forever());
    static_assert(Ttl(std::chrono::hours::max()).is_forever());
    static_assert(std::is_convertible_v<std::chrono::seconds, Ttl>);
    static_assert(!std::is_convertible_v<int, Ttl>);
}

// Text.

TEST(Printable, EscapesWhatIsNotPlainAscii) {
    EXPECT_EQ(printable("plain:key-1 ~!"), "plain:key-1 ~!");
    EXPECT_EQ(printable("a\"b\\c"), "a\\\"b\\\\c");
    EXPECT_EQ(printable("\0\n\r\t\x1b\x7f\x80\xff"s), "\\x00\\x0a\\x0d\\x09\\x1b\\x7f\\x80\\xff");
    EXPECT_EQ(printable("caf\xc3\xa9"), "caf\\xc3\\xa9");
    EXPECT_EQ(printable(""), "");
}

TEST(Printable, NoTwoTextsLookTheSame) {
    std::set<std::string> seen;
    for (int byte = 0; byte < 256; ++byte) {
        const std::string text = printable(std::string(1, static_cast<char>(byte)));
        EXPECT_TRUE(seen.insert(text).second) << text;
        for (const char c : text) {
            EXPECT_TRUE(c >= ' ' && c <= '~');
        }
    }
}

TEST(Printable, CutsAfterTheLimit) {
    EXPECT_EQ(printable(std::string(64, 'x')), std::string(64, 'x'));
    EXPECT_EQ(printable(std::string(65, 'x')), std::string(64, 'x') + "...");
    EXPECT_EQ(printable("abcdef", 3), "abc...");
    EXPECT_EQ(printable("\n\n\n", 2), "\\x0a\\x0a...");
    EXPECT_EQ(printable("abc", 0), "...");
}

TEST(PrintableServerText, CutsTheArgumentsThatRedisRepeats) {
    EXPECT_EQ(printable_server_text("WRONGTYPE Operation against a key"), "WRONGTYPE Operation against a key");
    for (const char* const text : {"ERR unknown command `AUTH2`, with args beginning with: `app`, `s3cret`, ",
                                   "ERR unknown command 'AUTH2', with args beginning with: 'app' 's3cret' ",
                                   "ERR unknown command 'AUTH2' args beginning with: 's3cret'", "ERR args beginning with 's3cret'"}) {
        const std::string line = printable_server_text(text);
        EXPECT_EQ(line.find("s3cret"), std::string::npos) << line;
        EXPECT_EQ(line.rfind("ERR", 0), 0U) << line;
    }
    EXPECT_EQ(printable_server_text("ERR unknown command `X`, with args beginning with: `a`, "), "ERR unknown command `X`");
}

TEST(PrintableServerText, IsEscapedAndCut) {
    EXPECT_EQ(printable_server_text("ERR a\nb"), "ERR a\\x0ab");
    EXPECT_EQ(printable_server_text(std::string(1000, 'x')), std::string(200, 'x') + "...");
}

// Folding.

using Clock = EventFolder::Clock;
constexpr Clock::time_point start{1000s};

TEST(EventFolder, TheFirstOfAKindIsWrittenAtOnce) {
    EventFolder folder;
    EXPECT_EQ(folder.next("a", start), 1U);
    EXPECT_EQ(folder.next("b", start), 1U);
    EXPECT_EQ(folder.next_flush(), std::nullopt);
}

TEST(EventFolder, TheFirstIsWrittenAtAnyTimeOfTheClock) {
    for (const auto now : {Clock::time_point(), Clock::time_point(1ns), Clock::time_point(500ms)}) {
        EventFolder folder;
        EXPECT_EQ(folder.next("a", now), 1U);
    }
}

TEST(EventFolder, LaterOnesAreCountedUntilASecondHasPassed) {
    EventFolder folder;
    EXPECT_EQ(folder.next("a", start), 1U);
    EXPECT_EQ(folder.next("a", start), std::nullopt);
    EXPECT_EQ(folder.next("a", start + 500ms), std::nullopt);
    EXPECT_EQ(folder.next("a", start + 1s - 1ns), std::nullopt);
    EXPECT_EQ(folder.next_flush(), start + 1s);
    EXPECT_EQ(folder.next("a", start + 1s), 4U);
    EXPECT_EQ(folder.next_flush(), std::nullopt);
    EXPECT_EQ(folder.next("a", start + 1500ms), std::nullopt);
    EXPECT_EQ(folder.next("a", start + 2s), 2U);
    EXPECT_EQ(folder.next("a", start + 10s), 1U);
}

TEST(EventFolder, KindsAreCountedApart) {
    EventFolder folder;
    static_cast<void>(folder.next("a", start));
    static_cast<void>(folder.next("b", start + 100ms));
    EXPECT_EQ(folder.next("b", start + 200ms), std::nullopt);
    EXPECT_EQ(folder.next_flush(), start + 1100ms);
    EXPECT_EQ(folder.next("a", start + 300ms), std::nullopt);
    EXPECT_EQ(folder.next("a", start + 300ms), std::nullopt);
    EXPECT_EQ(folder.next_flush(), start + 1s);
    EXPECT_EQ(folder.next("a", start + 1s), 3U);
    EXPECT_EQ(folder.next("b", start + 1s), std::nullopt);
    EXPECT_EQ(folder.next("b", start + 1100ms), 3U);
}

using Counts = std::vector<std::pair<std::string, std::uint64_t>>;

TEST(EventFolder, FlushGivesTheCountsThatAreDue) {
    EventFolder folder;
    static_cast<void>(folder.next("a", start));
    static_cast<void>(folder.next("b", start + 500ms));
    static_cast<void>(folder.next("c", start));
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(folder.next("a", start + 600ms));
        static_cast<void>(folder.next("b", start + 600ms));
    }
    EXPECT_EQ(folder.flush(start + 1s - 1ns, false), Counts());
    EXPECT_EQ(folder.flush(start + 1s, false), (Counts{{"a", 3}}));
    EXPECT_EQ(folder.flush(start + 1s, false), Counts());
    EXPECT_EQ(folder.next_flush(), start + 1500ms);
    EXPECT_EQ(folder.flush(start + 1500ms, false), (Counts{{"b", 3}}));
}

TEST(EventFolder, AFlushedLineBeginsANewSecond) {
    EventFolder folder;
    static_cast<void>(folder.next("a", start));
    static_cast<void>(folder.next("a", start));
    EXPECT_EQ(folder.flush(start + 1s, false), (Counts{{"a", 1}}));
    EXPECT_EQ(folder.next("a", start + 1900ms), std::nullopt);
    EXPECT_EQ(folder.next("a", start + 2s), 2U);
}

TEST(EventFolder, EverythingCanBeFlushedEarly) {
    EventFolder folder;
    static_cast<void>(folder.next("a", start));
    static_cast<void>(folder.next("a", start));
    EXPECT_EQ(folder.flush(start, true), (Counts{{"a", 1}}));
    EXPECT_EQ(folder.flush(start, true), Counts());
}

TEST(EventFolder, NoEventIsLostAndNoSecondHasTwoLines) {
    EventFolder folder;
    std::uint64_t written = 0;
    std::optional<Clock::time_point> last;
    for (int i = 0; i < 10'000; ++i) {
        const Clock::time_point now = start + i * 7ms;
        const auto due = folder.flush(now, false);
        for (const auto& [kind, count] : due) {
            written += count;
            EXPECT_GE(now - *last, 1s);
            last = now;
        }
        if (const auto count = folder.next("a", now)) {
            written += *count;
            if (last) { EXPECT_GE(now - *last, 1s); }
            last = now;
        }
    }
    const auto rest = folder.flush(start + 70s, true);
    for (const auto& [kind, count] : rest) {
        written += count;
    }
    EXPECT_EQ(written, 10'000U);
}

TEST(EventFolder, APeerThatInventsKindsFillsNoMemoryAndNoLog) {
    EventFolder folder;
    std::size_t lines = 0;
    for (int i = 0; i < 1'000; ++i) {
        lines += folder.next("kind" + std::to_string(i), start) ? 1U : 0U;
    }
    EXPECT_EQ(lines, EventFolder::max_kinds + 1);
    const Counts rest = folder.flush(start, true);
    EXPECT_EQ(rest, (Counts{{"other", 1'000 - EventFolder::max_kinds - 1}}));
    EXPECT_EQ(folder.next("kind0", start + 1s), 1U);
}

// The log.

/// A logger that writes "level text" lines to a string.
class LogText {
public:
    LogText() : logger_(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream_))) {
        logger_->set_pattern("%l %v");
        logger_->set_level(spdlog::level::trace);
    }
    [[nodiscard]] const std::shared_ptr<spdlog::logger>& logger() const { return logger_; }
    [[nodiscard]] std::vector<std::string> lines() const {
        std::vector<std::string> lines;
        std::istringstream text(stream_.str());
        for (std::string line; std::getline(text, line);) {
            lines.push_back(line);
        }
        return lines;
    }

private:
    std::ostringstream stream_;
    std::shared_ptr<spdlog::logger> logger_;
};

/// A full disk, and worse: what it throws is no exception of the library's.
class ThrowingSink final : public spdlog::sinks::sink {
public:
    void log(const spdlog::details::log_msg&) override {
        ++calls;
        if (calls % 2 == 0) { throw 7; }
        throw std::runtime_error("the disk is full");
    }
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

    int calls = 0;
};

TEST(EventLog, WritesEveryTransition) {
    LogText text;
    EventLog log(text.logger());
    log.transition(spdlog::level::warn, "lost");
    log.transition(spdlog::level::info, "back");
    log.transition(spdlog::level::warn, "lost");
    EXPECT_EQ(text.lines(), (std::vector<std::string>{"warning lost", "info back", "warning lost"}));
}

TEST(EventLog, FoldsLikeEventsAndWritesTheirCountAtTheEnd) {
    LogText text;
    {
        EventLog log(text.logger());
        log.event(spdlog::level::warn, "refused", "refused: first");
        log.event(spdlog::level::err, "other kind", "something else");
        log.event(spdlog::level::warn, "refused", "refused: second");
        log.event(spdlog::level::warn, "refused", "refused: third");
        EXPECT_EQ(text.lines(), (std::vector<std::string>{"warning refused: first", "error something else"}));
        EXPECT_TRUE(log.next_flush());
        log.flush();
        EXPECT_EQ(text.lines().size(), 2U);
    }
    ASSERT_EQ(text.lines().size(), 3U);
    EXPECT_NE(text.lines()[2].find("2 more"), std::string::npos) << text.lines()[2];
    EXPECT_NE(text.lines()[2].find("refused"), std::string::npos) << text.lines()[2];
}

TEST(EventLog, FlushingEverythingWritesWhatIsFolded) {
    LogText text;
    EventLog log(text.logger());
    log.event(spdlog::level::warn, "a", "a");
    log.event(spdlog::level::warn, "a", "a");
    EXPECT_TRUE(log.next_flush());
    log.flush(true);
    EXPECT_EQ(text.lines().size(), 2U);
    EXPECT_EQ(log.next_flush(), std::nullopt);
}

TEST(EventLog, WhatALoggerThrowsStaysInside) {
    auto sink = std::make_shared<ThrowingSink>();
    auto logger = std::make_shared<spdlog::logger>("throwing", sink);
    logger->set_error_handler([](const std::string& problem) { throw std::runtime_error(problem); });
    EventLog log(logger);
    EXPECT_NO_THROW(log.transition(spdlog::level::warn, "down"));
    EXPECT_NO_THROW(log.event(spdlog::level::warn, "kind", "text"));
    EXPECT_NO_THROW(log.event(spdlog::level::warn, "kind", "text"));
    EXPECT_NO_THROW(log.flush(true));
    EXPECT_EQ(sink->calls, 3);
}

TEST(EventFolder, SeveralEventsAtOnceCountAsThatMany) {
    EventFolder folder;
    const EventFolder::Clock::time_point now{};
    EXPECT_EQ(folder.next("kind", now, 5), 5U);
    EXPECT_EQ(folder.next("kind", now, 7), std::nullopt);
    EXPECT_EQ(folder.next("kind", now + 1s, 2), 9U);
}

TEST(EventLog, TextIsNoFormat) {
    LogText text;
    EventLog log(text.logger());
    log.transition(spdlog::level::warn, "{} {0} {:d} %v {");
    log.event(spdlog::level::warn, "kind", "{} {");
    EXPECT_EQ(text.lines(), (std::vector<std::string>{"warning {} {0} {:d} %v {", "warning {} {"}));
}

TEST(EventLog, TakesTheDefaultLoggerAtConstruction) {
    const auto before = spdlog::default_logger();
    LogText text;
    LogText later;
    spdlog::set_default_logger(text.logger());
    {
        EventLog log(nullptr);
        spdlog::set_default_logger(later.logger());
        log.transition(spdlog::level::warn, "here");
    }
    EXPECT_EQ(text.lines(), std::vector<std::string>{"warning here"});
    EXPECT_TRUE(later.lines().empty());
    spdlog::set_default_logger(before);
}

TEST(EventLog, WithoutAnyLoggerNothingHappens) {
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(nullptr);
    {
        EventLog log(nullptr);
        log.transition(spdlog::level::warn, "nowhere");
        log.event(spdlog::level::warn, "a", "a");
        log.event(spdlog::level::warn, "a", "a");
    }
    spdlog::set_default_logger(before);
}

// Errors and outcomes.

constexpr Error all_errors[] = {
    Error::not_connected, Error::connection_lost, Error::timed_out,   Error::silent,          Error::cancelled,
    Error::closed,        Error::overloaded,      Error::protocol,    Error::reply_too_large, Error::handshake_refused,
    Error::disabled,      Error::no_such_host,    Error::invalid_key, Error::value_too_large, Error::unencodable,
    Error::undecodable,   Error::unsupported};

TEST(Error, EveryOneHasItsOwnMessageAndIsAFailure) {
    std::set<std::string> messages;
    for (const Error error : all_errors) {
        const error_code code = error;
        EXPECT_TRUE(code.failed());
        EXPECT_STREQ(code.category().name(), "luzia");
        EXPECT_NE(code.message(), "unknown error");
        EXPECT_TRUE(messages.insert(code.message()).second) << code.message();
        EXPECT_EQ(code, error);
    }
    EXPECT_EQ(messages.size(), static_cast<std::size_t>(Error::unsupported));
    EXPECT_EQ(error_code(999, error_category()).message(), "unknown error");
}

TEST(Error, TheTwoSourcesAreTwoCategories) {
    const error_code here = Error::not_connected;
    const error_code there = ServerError::other;
    EXPECT_EQ(here.value(), there.value());
    EXPECT_NE(here, there);
    EXPECT_STREQ(there.category().name(), "luzia.server");
    EXPECT_NE(here, error_code(here.value(), boost::system::generic_category()));
}

TEST(ServerError, IsTheFirstWordOfTheReply) {
    const std::vector<std::pair<std::string, ServerError>> cases = {
        {"WRONGTYPE Operation against a key holding the wrong kind of value", ServerError::wrongtype},
        {"LOADING Redis is loading the dataset in memory", ServerError::loading},
        {"BUSY Redis is busy running a script", ServerError::busy},
        {"BUSYGROUP Consumer Group name already exists", ServerError::busygroup},
        {"OOM command not allowed when used memory > 'maxmemory'.", ServerError::oom},
        {"MISCONF Redis is configured to save RDB snapshots", ServerError::misconf},
        {"READONLY You can't write against a read only replica.", ServerError::readonly},
        {"MASTERDOWN Link with MASTER is down", ServerError::masterdown},
        {"NOAUTH Authentication required.", ServerError::noauth},
        {"NOPERM this user has no permissions", ServerError::noperm},
        {"WRONGPASS invalid username-password pair", ServerError::wrongpass},
        {"NOSCRIPT No matching script.", ServerError::noscript},
        {"MOVED 3999 127.0.0.1:6381", ServerError::moved},
        {"ASK 3999 127.0.0.1:6381", ServerError::ask},
        {"CLUSTERDOWN The cluster is down", ServerError::clusterdown},
        {"CROSSSLOT Keys in request don't hash to the same slot", ServerError::crossslot},
        {"TRYAGAIN Multiple keys request during rehashing of slot", ServerError::tryagain},
        {"NOREPLICAS Not enough good replicas to write.", ServerError::noreplicas},
        {"EXECABORT Transaction discarded", ServerError::execabort},
        {"ERR unknown command", ServerError::other},
        {"", ServerError::other},
        {" ", ServerError::other},
        {"BUSY", ServerError::busy},
        {"wrongtype lower case", ServerError::other},
        {"WRONGTYPES", ServerError::other},
        {"ERR WRONGTYPE", ServerError::other},
        {"ERR Error running script (call to f_0123): @user_script:7: something", ServerError::other},
        {"ERR Error running script", ServerError::other},
        {"ERR @user_script: 1: OOM", ServerError::other},
    };
    std::set<ServerError> seen;
    for (const auto& [text, expected] : cases) {
        EXPECT_EQ(server_error(text), expected) << text;
        const error_code code = expected;
        EXPECT_EQ(outcome_of(code), Outcome::refused);
        if (expected != ServerError::other) { EXPECT_EQ(code.message(), "the server answered " + text.substr(0, text.find(' '))); }
        seen.insert(expected);
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(ServerError::busygroup));
    EXPECT_EQ(error_code(ServerError::other).message(), "the server answered with an error");
}

TEST(ServerErrors, OfAScriptAreThoseOfItsCommands) {
    const std::string before = "ERR Error running script (call to f_0123): @user_script:1: @user_script: 1: ";
    EXPECT_EQ(server_error(before + "-OOM command not allowed when used memory > 'maxmemory'."), ServerError::oom);
    EXPECT_EQ(server_error("ERR Error running script (call to f_0123): @user_script:12: WRONGTYPE Operation against"),
              ServerError::wrongtype);
    EXPECT_EQ(server_error("ERR Error running script (call to f_0123): @user_script: 12: -READONLY You can't write"),
              ServerError::readonly);
}

TEST(Outcome, OfEveryError) {
    const std::map<Error, Outcome> expected = {
        {Error::not_connected, Outcome::unavailable},
        {Error::connection_lost, Outcome::unavailable},
        {Error::timed_out, Outcome::timed_out},
        {Error::silent, Outcome::unavailable},
        {Error::cancelled, Outcome::cancelled},
        {Error::closed, Outcome::closed},
        {Error::overloaded, Outcome::shed},
        {Error::protocol, Outcome::unavailable},
        {Error::reply_too_large, Outcome::unavailable},
        {Error::handshake_refused, Outcome::unavailable},
        {Error::disabled, Outcome::unavailable},
        {Error::no_such_host, Outcome::unavailable},
        {Error::invalid_key, Outcome::invalid},
        {Error::value_too_large, Outcome::invalid},
        {Error::unencodable, Outcome::invalid},
        {Error::undecodable, Outcome::undecodable},
        {Error::unsupported, Outcome::invalid},
    };
    for (const Error error : all_errors) {
        EXPECT_EQ(outcome_of(error), expected.at(error)) << error_code(error).message();
        EXPECT_FALSE(is_answer(outcome_of(error)));
    }
    EXPECT_EQ(outcome_of(error_code()), Outcome::done);
    EXPECT_EQ(outcome_of(error_code(boost::system::errc::connection_refused, boost::system::generic_category())), Outcome::unavailable);
    EXPECT_EQ(outcome_of(error_code(999, error_category())), Outcome::unavailable);
}

TEST(Outcome, EveryOneHasItsOwnName) {
    std::set<std::string_view> names;
    for (int value = 0; value <= static_cast<int>(Outcome::closed); ++value) {
        const auto outcome = static_cast<Outcome>(value);
        EXPECT_TRUE(names.insert(to_string(outcome)).second);
        EXPECT_NE(to_string(outcome), "unknown");
        EXPECT_EQ(is_answer(outcome), outcome == Outcome::hit || outcome == Outcome::miss || outcome == Outcome::done);
    }
    static_assert(to_string(Outcome::timed_out) == "timed_out");
}

} // namespace
} // namespace luzia
