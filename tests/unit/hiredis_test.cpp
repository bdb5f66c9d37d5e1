// unit/hiredis_test.cpp: the reader: every kind of reply, every split, every limit, and what no server should send.
#include <luzia/hiredis/reader.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using luzia::Error;
using luzia::error_code;
using luzia::hiredis::Reader;
using luzia::hiredis::ReaderLimits;
using luzia::hiredis::Reply;
using Kind = Reply::Kind;
using namespace std::string_literals;

/// A reply as text that differs wherever two replies differ.
std::string rendered(const Reply& reply) {
    switch (reply.kind()) {
    case Kind::nil: return "nil";
    case Kind::string: return "string(" + reply.text() + ")";
    case Kind::status: return "status(" + reply.text() + ")";
    case Kind::error: return "error(" + reply.text() + ")";
    case Kind::integer: return "integer(" + std::to_string(reply.integer()) + ")";
    case Kind::number: return "number(" + reply.text() + ")";
    case Kind::boolean: return "boolean(" + std::to_string(reply.integer()) + ")";
    case Kind::array:
    case Kind::push: {
        std::string text = reply.kind() == Kind::array ? "array[" : "push[";
        for (const Reply& element : reply.elements()) {
            text += rendered(element) + ";";
        }
        return text + "]";
    }
    }
    return "?";
}

/// The memory that a reply holds, spare capacity included.
std::size_t footprint(const Reply& reply) {
    std::size_t bytes = sizeof(Reply) + (reply.text().capacity() > std::string().capacity() ? reply.text().capacity() : 0);
    bytes += (reply.elements().capacity() - reply.elements().size()) * sizeof(Reply);
    for (const Reply& element : reply.elements()) {
        bytes += footprint(element);
    }
    return bytes;
}

struct Parsed {
    std::vector<std::string> replies;
    error_code error;
    std::size_t largest = 0;
    std::size_t fed = 0; ///< bytes, until there was an error

    Parsed() {}
};

/// Feeds the pieces one by one and reads all there is after each.
Parsed parse(const std::vector<std::string_view>& pieces, const ReaderLimits& limits = ReaderLimits()) {
    Reader reader(limits);
    Parsed parsed;
    for (const std::string_view piece : pieces) {
        parsed.fed += piece.size();
        parsed.error = reader.feed(piece);
        if (parsed.error) { return parsed; }
        while (const Reply* const reply = reader.next(parsed.error)) {
            EXPECT_FALSE(parsed.error);
            parsed.replies.push_back(rendered(*reply));
            parsed.largest = std::max(parsed.largest, footprint(*reply));
        }
        if (parsed.error) { return parsed; }
    }
    return parsed;
}

Parsed parse_whole(std::string_view bytes, const ReaderLimits& limits = ReaderLimits()) { return parse({bytes}, limits); }

Parsed parse_bytewise(std::string_view bytes, const ReaderLimits& limits = ReaderLimits()) {
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        pieces.push_back(bytes.substr(i, 1));
    }
    return parse(pieces, limits);
}

void expect_replies(std::string_view bytes, const std::vector<std::string>& expected) {
    const Parsed parsed = parse_whole(bytes);
    EXPECT_FALSE(parsed.error) << parsed.error.message() << " for " << bytes.substr(0, 80);
    EXPECT_EQ(parsed.replies, expected);
}

void expect_error(std::string_view bytes, Error expected, const ReaderLimits& limits = ReaderLimits()) {
    const Parsed whole = parse_whole(bytes, limits);
    EXPECT_EQ(whole.error, luzia::make_error_code(expected)) << "whole: " << bytes.substr(0, 80);
    EXPECT_TRUE(whole.replies.empty());
    const Parsed split = parse_bytewise(bytes, limits);
    EXPECT_EQ(split.error, luzia::make_error_code(expected)) << "byte by byte: " << bytes.substr(0, 80);
    EXPECT_TRUE(split.replies.empty());
}

std::string nested(std::size_t depth) {
    std::string bytes;
    for (std::size_t i = 0; i < depth; ++i) {
        bytes += "*1\r\n";
    }
    return bytes + ":1\r\n";
}

double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Far more than linear work takes under a sanitizer, far less than quadratic work on half a megabyte.
constexpr double linear_seconds = 10;

// Kinds.

TEST(Reader, ReadsEveryKindOfReply) {
    expect_replies("+OK\r\n", {"status(OK)"});
    expect_replies("+\r\n", {"status()"});
    expect_replies("-ERR no such thing\r\n", {"error(ERR no such thing)"});
    expect_replies(":0\r\n", {"integer(0)"});
    expect_replies(":-42\r\n", {"integer(-42)"});
    expect_replies("$5\r\nhello\r\n", {"string(hello)"});
    expect_replies("$0\r\n\r\n", {"string()"});
    expect_replies("$-1\r\n", {"nil"});
    expect_replies("*0\r\n", {"array[]"});
    expect_replies("*-1\r\n", {"nil"});
    expect_replies("*3\r\n:1\r\n$1\r\na\r\n+b\r\n", {"array[integer(1);string(a);status(b);]"});
}

TEST(Reader, ReadsIntegersUpToTheLimitsOf64Bits) {
    expect_replies(":9223372036854775807\r\n", {"integer(9223372036854775807)"});
    expect_replies(":-9223372036854775808\r\n", {"integer(-9223372036854775808)"});
}

TEST(Reader, KeepsEveryByteOfAString) {
    std::string payload;
    for (int i = 0; i < 256; ++i) {
        payload += static_cast<char>(i);
    }
    payload += "\r\n$3\r\n\r\n"s;
    expect_replies("$" + std::to_string(payload.size()) + "\r\n" + payload + "\r\n", {"string(" + payload + ")"});
}

TEST(Reader, ReadsNestedArrays) {
    expect_replies("*3\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n*0\r\n*-1\r\n", {"array[array[integer(1);array[string(x);];];array[];nil;]"});
    expect_replies("*2\r\n$1\r\n0\r\n*2\r\n$3\r\nk:1\r\n$3\r\nk:2\r\n", {"array[string(0);array[string(k:1);string(k:2);];]"});
}

TEST(Reader, ReadsErrorsInsideArrays) { expect_replies("*2\r\n-ERR a\r\n$-1\r\n", {"array[error(ERR a);nil;]"}); }

TEST(Reader, AnArrayOfManyElementsKeepsThemAllInOrder) {
    constexpr int count = 100'000;
    std::string bytes = "*" + std::to_string(count) + "\r\n";
    for (int i = 0; i < count; ++i) {
        bytes += i % 3 == 0 ? "*1\r\n:" + std::to_string(i) + "\r\n" : ":" + std::to_string(i) + "\r\n";
    }
    Reader reader;
    ASSERT_FALSE(reader.feed(bytes));
    error_code error;

    const Reply* const reply = reader.next(error);

    ASSERT_NE(reply, nullptr);
    ASSERT_EQ(reply->elements().size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
        const Reply& element = reply->elements()[static_cast<std::size_t>(i)];
        ASSERT_EQ((i % 3 == 0 ? element.elements().at(0) : element).integer(), i);
    }
}

TEST(Reader, ReadsTheKindsOfResp3WhereHiredisDoes) {
    if constexpr (luzia::hiredis::has_resp3) {
        expect_replies("_\r\n", {"nil"});
        expect_replies("#t\r\n", {"boolean(1)"});
        expect_replies("#f\r\n", {"boolean(0)"});
        expect_replies(",1.25\r\n", {"number(1.25)"});
        expect_replies("(3492890328409238509324850943850943825024385\r\n", {"number(3492890328409238509324850943850943825024385)"});
        expect_replies("=7\r\ntxt:abc\r\n", {"number(txt:abc)"}); // no string: it would be taken for a value
        expect_replies("%1\r\n+k\r\n:1\r\n", {"array[status(k);integer(1);]"});
        expect_replies("~2\r\n:1\r\n:2\r\n", {"array[integer(1);integer(2);]"});
    } else {
        for (const char* const bytes :
             {"_\r\n", "#t\r\n", ",1.25\r\n", "(12\r\n", "=7\r\ntxt:abc\r\n", "%1\r\n+k\r\n:1\r\n", "~1\r\n:1\r\n", ">1\r\n:1\r\n"}) {
            expect_error(bytes, Error::protocol);
        }
    }
}

// Pieces.

const std::vector<std::string>& corpus() {
    static const std::vector<std::string> replies = {
        "+OK\r\n",
        "+\r\n",
        "-WRONGTYPE Operation against a key\r\n",
        ":1234567890\r\n",
        ":-1\r\n",
        "$5\r\nhello\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "$12\r\n\r\n+OK\r\n$3\r\n\r\r\n",
        "$40\r\n0123456789012345678901234567890123456789\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*2\r\n$3\r\nfoo\r\n$-1\r\n",
        "*3\r\n*2\r\n:1\r\n+a\r\n*1\r\n*1\r\n*0\r\n-E\r\n",
        "*2\r\n$1\r\n0\r\n*3\r\n$1\r\na\r\n$2\r\nbb\r\n$3\r\nccc\r\n",
    };
    return replies;
}

TEST(Reader, AReplySplitAtEveryByteIsReadAsTheSame) {
    for (const std::string& bytes : corpus()) {
        const Parsed whole = parse_whole(bytes);
        ASSERT_FALSE(whole.error) << bytes;
        ASSERT_EQ(whole.replies.size(), 1U) << bytes;
        for (std::size_t split = 0; split <= bytes.size(); ++split) {
            const std::string_view view = bytes;
            const Parsed parsed = parse({view.substr(0, split), view.substr(split)});
            EXPECT_FALSE(parsed.error) << bytes << " split at " << split;
            EXPECT_EQ(parsed.replies, whole.replies) << bytes << " split at " << split;
        }
        EXPECT_EQ(parse_bytewise(bytes).replies, whole.replies) << bytes;
    }
}

TEST(Reader, AnUnfinishedReplyIsNoReplyAndNoError) {
    for (const std::string& bytes : corpus()) {
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            Reader reader;
            ASSERT_FALSE(reader.feed(std::string_view(bytes).substr(0, size)));
            error_code error = Error::cancelled;
            EXPECT_EQ(reader.next(error), nullptr) << bytes << " cut at " << size;
            EXPECT_FALSE(error) << bytes << " cut at " << size;
            EXPECT_EQ(reader.next(error), nullptr) << bytes << " cut at " << size;
            EXPECT_FALSE(error) << bytes << " cut at " << size;
        }
    }
}

TEST(Reader, SeveralRepliesInOneFeedComeOneByOne) {
    std::string bytes;
    std::vector<std::string> expected;
    for (int round = 0; round < 50; ++round) {
        for (const std::string& reply : corpus()) {
            bytes += reply;
            expected.push_back(parse_whole(reply).replies.at(0));
        }
    }
    EXPECT_EQ(parse_whole(bytes).replies, expected);
    EXPECT_EQ(parse_bytewise(bytes).replies, expected);
    for (const std::size_t size : {2U, 3U, 7U, 64U, 1000U, 4096U}) {
        std::vector<std::string_view> pieces;
        for (std::size_t at = 0; at < bytes.size(); at += size) {
            pieces.push_back(std::string_view(bytes).substr(at, size));
        }
        const Parsed parsed = parse(pieces);
        EXPECT_FALSE(parsed.error);
        EXPECT_EQ(parsed.replies, expected) << "pieces of " << size;
    }
}

TEST(Reader, ALineThatBecomesCompleteDoesNotHideTheOneAfterIt) {
    const Parsed parsed = parse({"+on", "e\r\n+tw", "o\r", "\n+three\r\n+fo", "ur\r\n"});
    EXPECT_FALSE(parsed.error);
    EXPECT_EQ(parsed.replies, (std::vector<std::string>{"status(one)", "status(two)", "status(three)", "status(four)"}));
}

// Long strings, which go around hiredis's buffer.

std::string bulk(std::size_t size, char fill = 'x') { return "$" + std::to_string(size) + "\r\n" + std::string(size, fill) + "\r\n"; }

TEST(Reader, ALongStringIsReadWholeWhereverItIsSplit) {
    for (const std::size_t size : {std::size_t{511}, std::size_t{512}, std::size_t{5000}, std::size_t{20'000}}) {
        const std::string bytes = "+OK\r\n" + bulk(size) + ":7\r\n";
        const std::vector<std::string> expected{"status(OK)", "string(" + std::string(size, 'x') + ")", "integer(7)"};
        for (std::size_t at = 1; at < bytes.size(); at += at < 32 || at + 32 > bytes.size() ? 1 : 97) {
            const std::string_view view(bytes);
            const Parsed parsed = parse({view.substr(0, at), view.substr(at)});
            ASSERT_FALSE(parsed.error) << size << " split at " << at;
            ASSERT_EQ(parsed.replies, expected) << size << " split at " << at;
        }
        EXPECT_EQ(parse_bytewise(bytes).replies, expected);
    }
}

TEST(Reader, LongStringsOneBehindTheOtherAreReadInOrder) {
    std::string bytes;
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < 50; ++i) {
        const std::size_t size = i * 397;
        const char fill = static_cast<char>('a' + i % 26);
        bytes += bulk(size, fill) + (i % 3 == 0 ? "*2\r\n" + bulk(6000) + "$-1\r\n" : "");
        expected.push_back("string(" + std::string(size, fill) + ")");
        if (i % 3 == 0) { expected.push_back("array[string(" + std::string(6000, 'x') + ");nil;]"); }
    }
    EXPECT_EQ(parse_whole(bytes).replies, expected);
    for (const std::size_t piece : {std::size_t{1000}, std::size_t{4096}, std::size_t{16'384}}) {
        std::vector<std::string_view> pieces;
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            pieces.push_back(std::string_view(bytes).substr(at, piece));
        }
        EXPECT_EQ(parse(pieces).replies, expected);
    }
}

TEST(Reader, ALongStringWithoutItsLineEndIsAProtocolError) {
    const std::string text = "$5000\r\n" + std::string(5000, 'x');
    expect_error(text + "xx", Error::protocol);
    expect_error(text + "\rx", Error::protocol);
    expect_error(text + "\n\r", Error::protocol);
}

TEST(Reader, ALongStringBeyondTheLimitsIsRefusedWhenItIsAnnounced) {
    ReaderLimits limits;
    limits.bulk_bytes = 5000;
    expect_replies(bulk(5000), {"string(" + std::string(5000, 'x') + ")"});
    expect_error("$5001\r\n", Error::reply_too_large, limits);
    expect_error("$9999999999\r\n", Error::reply_too_large, limits);
    limits.bulk_bytes = 100'000;
    limits.reply_bytes = 5000;
    expect_error(bulk(5001), Error::reply_too_large, limits);
}

TEST(Reader, AnEmptyFeedChangesNothing) {
    const Parsed parsed = parse({"", "$3\r", "", "\nab", "", "c\r\n", ""});
    EXPECT_FALSE(parsed.error);
    EXPECT_EQ(parsed.replies, (std::vector<std::string>{"string(abc)"}));
}

TEST(Reader, TheTextOfAReplyCanBeMovedOutBeforeTheNext) {
    Reader reader;
    ASSERT_FALSE(reader.feed("$5\r\nfirst\r\n*1\r\n:7\r\n$6\r\nsecond\r\n"));
    error_code error;
    Reply* const first = reader.next(error);
    ASSERT_NE(first, nullptr);

    const std::string text = std::move(*first).text();

    EXPECT_EQ(text, "first");
    const Reply* const second = reader.next(error);
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(rendered(*second), "array[integer(7);]");
    EXPECT_TRUE(second->text().empty());
    const Reply* const third = reader.next(error);
    ASSERT_NE(third, nullptr);
    EXPECT_EQ(rendered(*third), "string(second)");
    EXPECT_TRUE(third->elements().empty());
}

TEST(Reader, AnIntegerOfAnEarlierReplyIsNotLeftInALaterOne) {
    Reader reader;
    ASSERT_FALSE(reader.feed(":7\r\n+OK\r\n$-1\r\n"));
    error_code error;
    ASSERT_NE(reader.next(error), nullptr);
    for (int i = 0; i < 2; ++i) {
        const Reply* const reply = reader.next(error);
        ASSERT_NE(reply, nullptr);
        EXPECT_EQ(reply->integer(), 0);
    }
}

// Limits.

TEST(Reader, ALineUpToTheLimitIsRead) {
    ReaderLimits limits;
    limits.line_bytes = 100;
    const std::string text(100, 'x');
    for (const char type : {'+', '-'}) {
        const std::string bytes = type + text + "\r\n";
        const Parsed whole = parse_whole(bytes, limits);
        EXPECT_FALSE(whole.error);
        EXPECT_EQ(whole.replies.size(), 1U);
        for (std::size_t split = 0; split <= bytes.size(); ++split) {
            const Parsed parsed = parse({std::string_view(bytes).substr(0, split), std::string_view(bytes).substr(split)}, limits);
            EXPECT_FALSE(parsed.error) << "split at " << split << " of " << bytes.size();
            EXPECT_EQ(parsed.replies, whole.replies) << "split at " << split << " of " << bytes.size();
        }
    }
}

TEST(Reader, ALineBeyondTheLimitIsRefusedWholeOrInPieces) {
    ReaderLimits limits;
    limits.line_bytes = 100;
    const std::string text(102, 'x');
    for (const char type : {'+', '-'}) {
        expect_error(type + text + "\r\n", Error::reply_too_large, limits);
        expect_error(type + text.substr(0, 101) + "\r\n", Error::reply_too_large, limits);
        expect_error("*1\r\n"s + type + text + "\r\n", Error::reply_too_large, limits);
    }
}

TEST(Reader, AnEndlessLineIsRefusedAtTheLimitNotGathered) {
    ReaderLimits limits;
    limits.line_bytes = 1000;
    for (const char* const start : {"+", "-", ":", "*", "$"}) {
        const std::string bytes = start + std::string(5000, '1');
        const Parsed parsed = parse_bytewise(bytes, limits);
        EXPECT_TRUE(parsed.error) << start;
        EXPECT_LE(parsed.fed, 1003U) << start;
    }
}

TEST(Reader, TheDefaultLineLimitIs16KiB) {
    const std::string text(16 * 1024, 'x');
    EXPECT_EQ(parse_whole("+" + text + "\r\n").replies.size(), 1U);
    EXPECT_EQ(parse_bytewise("+" + text.substr(1) + "\r\n").replies.size(), 1U);
    expect_error("+x" + text + "\r\n", Error::reply_too_large);
}

TEST(Reader, AnUnfinishedLineFedByteByByteTakesLinearTime) {
    ReaderLimits limits;
    limits.line_bytes = 1024 * 1024;
    const std::string bytes = "+" + std::string(512 * 1024, 'x') + "\r\n";
    const double before = cpu_seconds();

    const Parsed parsed = parse_bytewise(bytes, limits);

    EXPECT_LT(cpu_seconds() - before, linear_seconds);
    EXPECT_FALSE(parsed.error);
    EXPECT_EQ(parsed.replies.size(), 1U);
}

TEST(Reader, AStringFedByteByByteTakesLinearTime) {
    const std::string payload(512 * 1024, 'x');
    const std::string bytes = "$" + std::to_string(payload.size()) + "\r\n" + payload + "\r\n";
    const double before = cpu_seconds();

    const Parsed parsed = parse_bytewise(bytes);

    EXPECT_LT(cpu_seconds() - before, linear_seconds);
    EXPECT_FALSE(parsed.error);
    EXPECT_EQ(parsed.replies.size(), 1U);
}

TEST(Reader, AStringAnnouncedTooLongIsRefusedBeforeItsPayload) {
    ReaderLimits limits;
    limits.bulk_bytes = 10;
    expect_error("$11\r\n", Error::reply_too_large, limits);
    expect_error("$4294967297\r\n", Error::reply_too_large, limits);
    expect_error("*2\r\n$11\r\n", Error::reply_too_large, limits);
    expect_error("$11\r\n01234567890\r\n", Error::reply_too_large, limits);
    EXPECT_EQ(parse_whole("$10\r\n0123456789\r\n", limits).replies.size(), 1U);
    EXPECT_EQ(parse_bytewise("$10\r\n0123456789\r\n", limits).replies.size(), 1U);
}

TEST(Reader, HugeAnnouncedLengthsAreRefused) {
    expect_error("$9223372036854775807\r\n", Error::reply_too_large);
    expect_error("$9223372036854775806\r\nabc", Error::reply_too_large);
    expect_error("$536870913\r\n", Error::reply_too_large);
    expect_error("*2147483647\r\n", Error::reply_too_large);
    expect_error("*1\r\n*2147483647\r\n", Error::reply_too_large);
    EXPECT_FALSE(parse_whole("$536870912\r\nabc").error);
    for (const char* const bytes : {"*2147483648\r\n", "*4294967296\r\n", "*9223372036854775807\r\n", "*-9223372036854775808\r\n",
                                    "$18446744073709551615\r\n", "$9223372036854775808\r\n"}) {
        EXPECT_TRUE(parse_whole(bytes).error) << bytes;
        EXPECT_TRUE(parse_bytewise(bytes).error) << bytes;
    }
}

TEST(Reader, NegativeLengthsOtherThanNilAreRefused) {
    for (const char* const bytes : {"$-2\r\n", "*-2\r\n", "$-9223372036854775808\r\n", "*1\r\n$-2\r\n", "*1\r\n*-3\r\n"}) {
        expect_error(bytes, Error::protocol);
    }
}

TEST(Reader, TooManyElementsAreRefusedWhenTheyAreAnnounced) {
    ReaderLimits limits;
    limits.elements = 3;
    EXPECT_EQ(parse_whole("*3\r\n:1\r\n:2\r\n:3\r\n", limits).replies.size(), 1U);
    expect_error("*4\r\n", Error::reply_too_large, limits);
    expect_error("*1\r\n*4\r\n", Error::reply_too_large, limits);
}

TEST(Reader, AnAnnouncedLengthCostsNothing) {
    Reader reader;
    ASSERT_FALSE(reader.feed("*16777216\r\n:1\r\n"));
    error_code error;
    EXPECT_EQ(reader.next(error), nullptr);
    EXPECT_FALSE(error);
}

TEST(Reader, TooLargeAReplyIsRefusedBeforeItIsComplete) {
    ReaderLimits limits;
    limits.reply_bytes = 4000;
    std::string elements;
    for (int i = 0; i < 500; ++i) {
        elements += ":1\r\n";
    }
    expect_error("*1000\r\n" + elements, Error::reply_too_large, limits);
    expect_error("*2\r\n$3000\r\n" + std::string(3000, 'x') + "\r\n$1000\r\n" + std::string(1000, 'x') + "\r\n", Error::reply_too_large,
                 limits);
    expect_error("$4000\r\n" + std::string(4000, 'x') + "\r\n", Error::reply_too_large, limits);
}

TEST(Reader, TheSizeOfAReplyIsCountedForEachAnew) {
    ReaderLimits limits;
    limits.reply_bytes = 4000;
    std::string bytes;
    for (int i = 0; i < 100; ++i) {
        bytes += "*2\r\n$1000\r\n" + std::string(1000, 'x') + "\r\n:1\r\n";
    }
    EXPECT_EQ(parse_whole(bytes, limits).replies.size(), 100U);
    EXPECT_EQ(parse_bytewise(bytes, limits).replies.size(), 100U);
}

TEST(Reader, AReplyInPiecesIsCountedAsOne) {
    ReaderLimits limits;
    limits.reply_bytes = 4000;
    std::vector<std::string_view> pieces{"*1000\r\n"};
    for (int i = 0; i < 500; ++i) {
        pieces.emplace_back(":1\r\n");
    }
    EXPECT_EQ(parse(pieces, limits).error, luzia::make_error_code(Error::reply_too_large));
}

TEST(Reader, NestingUpToSevenIsReadAndTenIsRefused) {
    for (std::size_t depth = 0; depth <= 7; ++depth) {
        const Parsed parsed = parse_whole(nested(depth));
        EXPECT_FALSE(parsed.error) << depth;
        EXPECT_EQ(parsed.replies.size(), 1U) << depth;
        EXPECT_EQ(parse_bytewise(nested(depth)).replies, parsed.replies) << depth;
    }
    for (const std::size_t depth : {10U, 11U, 100U, 10'000U}) {
        EXPECT_TRUE(parse_whole(nested(depth)).error) << depth;
        EXPECT_TRUE(parse_bytewise(nested(depth)).error) << depth;
    }
}

TEST(Reader, NestingBeyondItsLimitIsRefusedWhenItIsAnnounced) {
    ReaderLimits limits;
    limits.depth = 3; // the outermost counts
    EXPECT_EQ(parse_whole(nested(3), limits).replies, (std::vector<std::string>{"array[array[array[integer(1);];];]"}));
    expect_error(nested(4), Error::reply_too_large, limits);
    expect_error("*1\r\n*1\r\n*1\r\n*0\r\n", Error::reply_too_large, limits);
    expect_error("*2\r\n:1\r\n*1\r\n*1\r\n*5\r\n", Error::reply_too_large, limits);
}

// What no server should send.

TEST(Reader, TheTwoBytesAfterAPayloadMustBeALineEnd) {
    for (const char* const bytes : {"$3\r\nabcde\r\n", "$3\r\nabc\n\r", "$3\r\nabc\r\r", "$3\r\nabc\n\n", "$3\r\nabc\rX", "$0\r\nXY",
                                    "$0\r\n$3", "*2\r\n$3\r\nabcXY", "*1\r\n*1\r\n$1\r\nab\n"}) {
        expect_error(bytes, Error::protocol);
    }
}

TEST(Reader, AnUnknownTypeIsAProtocolError) {
    for (int byte = 0; byte < 256; ++byte) {
        const char type = static_cast<char>(byte);
        if (std::string_view("+-:$*").find(type) != std::string_view::npos) { continue; }
        if (luzia::hiredis::has_resp3 && std::string_view("_#,%~>=(|").find(type) != std::string_view::npos) { continue; }
        expect_error(std::string(1, type) + "1\r\n", Error::protocol);
        expect_error("*1\r\n" + std::string(1, type) + "1\r\n", Error::protocol);
    }
}

TEST(Reader, NumbersThatAreNoneAreProtocolErrors) {
    for (const char* const bytes : {":\r\n", ":a\r\n", ":1a\r\n", ": 1\r\n", ":1 \r\n", ":9223372036854775808\r\n", "$\r\n", "$a\r\n",
                                    "$3a\r\nabc\r\n", "$ 3\r\nabc\r\n", "*\r\n", "*a\r\n", "*1 \r\n", "$-\r\n", "*-\r\n"}) {
        expect_error(bytes, Error::protocol);
    }
}

TEST(Reader, AnotherProtocolIsAProtocolError) {
    expect_error("HTTP/1.1 400 Bad Request\r\n\r\n", Error::protocol);
    expect_error("SSH-2.0-OpenSSH_9.2p1\r\n", Error::protocol);
    expect_error("\x15\x03\x01\x00\x02\x02\x50", Error::protocol);
    expect_error("\r\n", Error::protocol);
}

TEST(Reader, WhatCameBeforeAnErrorIsStillRead) {
    const Parsed parsed = parse_whole("+OK\r\n$1\r\na\r\n!bad");
    EXPECT_EQ(parsed.replies, (std::vector<std::string>{"status(OK)", "string(a)"}));
    EXPECT_EQ(parsed.error, luzia::make_error_code(Error::protocol));
}

TEST(Reader, AnErrorStays) {
    struct Case {
        std::string bytes;
        Error expected;
    };
    ReaderLimits limits;
    limits.line_bytes = 50;
    limits.bulk_bytes = 10;
    limits.elements = 3;
    limits.reply_bytes = 1000;
    const std::vector<Case> cases = {
        {"!", Error::protocol},
        {"$3\r\nabcXY", Error::protocol},
        {"$11\r\n", Error::reply_too_large},
        {"*4\r\n", Error::reply_too_large},
        {"+" + std::string(60, 'x'), Error::reply_too_large},
        {"+" + std::string(60, 'x') + "\r\n", Error::reply_too_large},
        {"$-2\r\n", Error::protocol},
        {nested(12), Error::reply_too_large},
    };
    for (const Case& one : cases) {
        Reader reader(limits);
        ASSERT_FALSE(reader.feed(one.bytes));
        error_code error;
        EXPECT_EQ(reader.next(error), nullptr) << one.bytes;
        EXPECT_EQ(error, luzia::make_error_code(one.expected)) << one.bytes;
        EXPECT_EQ(reader.feed("+OK\r\n"), luzia::make_error_code(one.expected)) << one.bytes;
        error = error_code();
        EXPECT_EQ(reader.next(error), nullptr) << one.bytes;
        EXPECT_EQ(error, luzia::make_error_code(one.expected)) << one.bytes;
    }
}

TEST(Reader, CanBeDestroyedInTheMiddleOfAReply) {
    for (const std::string& bytes : corpus()) {
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            Reader reader;
            ASSERT_FALSE(reader.feed(std::string_view(bytes).substr(0, size)));
            error_code error;
            EXPECT_EQ(reader.next(error), nullptr);
        }
    }
}

/// Random bytes, random bytes of the protocol's own alphabet, and good replies with a few bytes changed.
std::string random_input(std::mt19937& random) {
    const auto below = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
    static constexpr std::string_view alphabet = "$*+-:0123459\r\n\r\n\r\n";
    std::string bytes;
    switch (below(3)) {
    case 0:
        for (std::size_t i = below(200); i > 0; --i) {
            bytes += static_cast<char>(below(256));
        }
        break;
    case 1:
        for (std::size_t i = below(300); i > 0; --i) {
            bytes += alphabet[below(alphabet.size())];
        }
        break;
    default:
        for (std::size_t i = 1 + below(6); i > 0; --i) {
            bytes += corpus()[below(corpus().size())];
        }
        for (std::size_t i = below(4); i > 0; --i) {
            bytes[below(bytes.size())] = below(2) == 0 ? static_cast<char>(below(256)) : alphabet[below(alphabet.size())];
        }
        break;
    }
    return bytes;
}

TEST(Reader, RandomBytesNeverCrashItAndSplitsNeverChangeWhatTheyMean) {
    std::mt19937 random(20240607);
    std::size_t replies = 0;
    std::size_t errors = 0;
    for (int round = 0; round < 20'000; ++round) {
        // The tail brings to an end what would otherwise wait for more: a line that is none, sooner or later.
        const std::string bytes = random_input(random) + std::string(17 * 1024, 'x');
        std::vector<std::string_view> pieces;
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t size =
                bytes.size() - at > 17 * 1024 ? 1 + std::uniform_int_distribution<std::size_t>(0, 20)(random) : bytes.size();
            pieces.push_back(std::string_view(bytes).substr(at, size));
            at += size;
        }
        const Parsed whole = parse_whole(bytes);
        const Parsed split = parse(pieces);
        ASSERT_EQ(whole.replies, split.replies) << "round " << round;
        ASSERT_EQ(whole.error.failed(), split.error.failed()) << "round " << round;
        replies += whole.replies.size();
        errors += whole.error ? 1U : 0U;
    }
    EXPECT_GT(replies, 5'000U);
    EXPECT_GT(errors, 5'000U);
}

TEST(Reader, TheMemoryOfAReplyStaysWithinItsLimit) {
    std::mt19937 random(7);
    ReaderLimits limits;
    limits.line_bytes = 64;
    limits.bulk_bytes = 256;
    limits.elements = 64;
    limits.reply_bytes = 8192;
    std::size_t largest = 0;
    const auto below = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
    for (int round = 0; round < 2'000; ++round) {
        std::string bytes;
        for (int i = 0; i < 200; ++i) {
            switch (below(4)) {
            case 0: bytes += "*" + std::to_string(below(40)) + "\r\n"; break;
            case 1: bytes += ":1\r\n"; break;
            case 2: bytes += "+\r\n"; break;
            default: {
                const std::size_t size = below(200);
                bytes += "$" + std::to_string(size) + "\r\n" + std::string(size, 'x') + "\r\n";
                break;
            }
            }
        }
        largest = std::max(largest, parse_whole(bytes, limits).largest);
    }
    EXPECT_GT(largest, limits.reply_bytes / 2);
    // A vector that grows keeps at most as much again in reserve.
    EXPECT_LE(largest, limits.reply_bytes * 2);
}

} // namespace
