// A peer that means harm: whatever bytes it sends, it costs a miss and a connection, little memory and little time.
#include "../support/client.hpp"
#include "../support/fake_server.hpp"
#include "../support/measure.hpp"
#include "../support/operations.hpp"

#include <luzia/backend/redis_backend.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <future>
#include <random>
#include <string>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Error;
using luzia::Outcome;
using Client = luzia::CacheClient<luzia::RedisBackend, luzia::RawCodec>;

std::string repeated(const std::string& piece, std::size_t times) {
    std::string text;
    text.reserve(piece.size() * times);
    for (std::size_t i = 0; i < times; ++i) {
        text += piece;
    }
    return text;
}

std::string random_bytes(unsigned seed, std::size_t size) {
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random());
    }
    return bytes;
}

/// Bytes to begin with, and bytes to go on with until the client has had enough.
struct Attack {
    std::string name;
    std::string begin;
    std::string flood;
};

std::vector<Attack> attacks() {
    const std::string page(65536, 'a');
    return {
        {"a line without an end", "+", page},
        {"an error without an end", "-ERR ", page},
        {"a number without an end", ":", std::string(65536, '1')},
        {"a length without an end", "$", std::string(65536, '1')},
        {"nothing but line ends", "", repeated("\r\n", 32768)},
        {"nothing but zeros", "", std::string(65536, '\0')},
        {"random bytes", "", random_bytes(1, 1'000'000)},
        {"a web server", "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nnope", ""},
        {"a TLS server", std::string("\x15\x03\x01\x00\x02\x02\x46", 7), ""},
        {"a huge string", "$2147483647\r\n", page},
        {"a huge array", "*2147483647\r\n", repeated("$-1\r\n", 10000)},
        {"an array as long as one may be", "*1048576\r\n", repeated("$-1\r\n", 10000)},
        {"arrays within arrays", repeated("*1\r\n", 10000), page},
        {"wide arrays within arrays", repeated("*1000000\r\n", 6), repeated("*0\r\n", 10000)},
        {"a negative length", "$-2\r\n", ""},
        {"a negative count", "*-7\r\n", ""},
        {"a payload that is not followed by a line end", "$1\r\nabc", page},
        {"a push", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", ""},
        {"a map", "%1\r\n+a\r\n+b\r\n", ""},
        {"a verbatim text", "=7\r\ntxt:abc\r\n", ""},
        {"a big number", "(3492890328409238509324850943850943825024385\r\n", ""},
    };
}

void expect_a_miss(const Attack& attack, bool is_in_handshake) {
    FakeServer server;
    server.expect({"PING"});
    if (!is_in_handshake) { server.reply("+PONG\r\n").expect({"GET", "key"}); }
    server.say(attack.begin);
    if (!attack.flood.empty()) { server.flood(attack.flood, 512 * mebibyte); }
    server.expect_close();
    server.start();
    LogLines log;
    const std::size_t before = resident_bytes();
    const auto time_before = processor_time();
    const bool is_known = begin_peak();
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), log);
        options.command_timeout = 20s;
        options.connect_timeout = 20s;
        options.max_value_bytes = mebibyte;
        options.backoff = luzia::redis::Backoff(20s, 20s);
        Client cache{co_await asio::this_coro::executor, options};
        const auto found = co_await cache.lookup("key");
        EXPECT_EQ(found.outcome, Outcome::unavailable) << attack.name;
        EXPECT_FALSE(cache.stats().ready) << attack.name;
        EXPECT_EQ(cache.stats().hits, 0U);
    });
    server.finish();
    EXPECT_LE(log.lines().size(), 3U) << attack.name << '\n' << log.all();
    if (!is_instrumented && is_known) {
        // A million values of an array is what a reply may have; anything else ends at once.
        const std::size_t limit =
            attack.begin.find("000000\r") != std::string::npos || attack.begin.find("1048576") != std::string::npos ? 320 : 16;
        EXPECT_LE(peak_bytes(), before + limit * mebibyte) << attack.name;
    }
    EXPECT_LE(processor_time() - time_before, 15s) << attack.name;
}

TEST(Hostile, WhateverAnswersTheHandshakeIsAMissAndBounded) {
    for (const Attack& attack : attacks()) {
        expect_a_miss(attack, true);
    }
}

TEST(Hostile, WhateverAnswersAnOperationIsAMissAndBounded) {
    for (const Attack& attack : attacks()) {
        expect_a_miss(attack, false);
    }
}

TEST(Hostile, LongRepliesComingByteByByteAreRead) {
    FakeServer server;
    const std::string value(200'000, 'v');
    const std::string line(16'000, 'l');
    server.expect({"PING"}).reply("+PONG\r\n").expect({"GET", "key"});
    server.dribble("$200000\r\n" + value + "\r\n").expect({"GET", "line"}).dribble("-" + line + "\r\n").expect_close();
    server.start();
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), log);
        options.command_timeout = 60s;
        Client cache{co_await asio::this_coro::executor, options};
        const auto found = co_await cache.get("key");
        EXPECT_TRUE(found == value);
        const auto refused = co_await cache.lookup("line");
        EXPECT_EQ(refused.outcome, Outcome::refused);
    });
}

TEST(Hostile, NothingOfANonsenseReplyToManyKeysIsAHit) {
    for (const std::string& nonsense : {std::string("*2\r\n$5\r\nwrong\r\n:1\r\n"), std::string("*1\r\n$5\r\nwrong\r\n"),
                                        std::string("*3\r\n$5\r\nwrong\r\n$-1\r\n$-1\r\n"), std::string("$5\r\nwrong\r\n"),
                                        std::string("*2\r\n*1\r\n$1\r\na\r\n$5\r\nwrong\r\n")}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n").expect({"MGET", "a", "b"}).reply(nonsense).expect_close();
        server.start();
        LogLines log;
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
            const std::vector<std::string> keys{"a", "b"};
            const auto found = co_await cache.get_many(keys);
            EXPECT_EQ(found, (std::vector<std::optional<std::string>>(2)));
            EXPECT_EQ(cache.stats().hits, 0U);
            EXPECT_EQ(cache.stats().misses, 2U);
        });
    }
}

TEST(Hostile, APageOfMoreKeysThanAskedForIsRemovedInPieces) {
    FakeServer server;
    std::string page = "*2\r\n$1\r\n0\r\n*2500\r\n";
    std::vector<std::vector<std::string>> unlinks;
    for (int i = 0; i < 2500; ++i) {
        const std::string key = "k" + std::to_string(10000 + i);
        page += "$6\r\n" + key + "\r\n";
        if (i % 1000 == 0) { unlinks.push_back({"UNLINK"}); }
        unlinks.back().push_back(key);
    }
    server.expect({"PING"}).reply("+PONG\r\n").expect({"SCAN", "0", "MATCH", "k*", "COUNT", "500"}).reply(page);
    for (const auto& unlink : unlinks) {
        server.expect(unlink);
    }
    server.reply(":1000\r\n:1000\r\n:500\r\n").expect_close();
    server.start();
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        Client cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const luzia::Effect removed = co_await cache.invalidate_pattern("k*");
        EXPECT_EQ(removed.count, 2500U);
        EXPECT_EQ(removed.outcome, Outcome::done);
    });
}

TEST(Hostile, AServerThatAnswersEarlyAndReadsNoMoreIsDropped) {
    FakeServer server;
    std::promise<void> is_over;
    auto over = is_over.get_future();
    server.expect({"PING"}).reply("+PONG\r\n").take(1000).reply("+OK\r\n").then([&] { over.wait(); });
    server.start();
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), log);
        options.command_timeout = 300ms;
        options.max_pending_bytes = 256 * mebibyte;
        options.backoff = luzia::redis::Backoff(20s, 20s);
        Client cache{co_await asio::this_coro::executor, options};
        const std::string large(32 * mebibyte, 'x');
        const luzia::Effect stored = co_await cache.set("large", large); // so it says
        EXPECT_EQ(stored.outcome, Outcome::done);
        const auto begin = Clock::now();
        const auto found = co_await cache.lookup("key");
        EXPECT_NE(found.outcome, Outcome::hit);
        EXPECT_LE(Clock::now() - begin, 300ms + slack);
        const bool is_dropped = co_await eventually([&] { return !cache.stats().ready; });
        EXPECT_TRUE(is_dropped);
    });
    is_over.set_value();
    server.finish(); // which still looks at it
    EXPECT_EQ(log.count("silent for 300 ms"), 1U) << log.all();
}

} // namespace
} // namespace luzia_test
