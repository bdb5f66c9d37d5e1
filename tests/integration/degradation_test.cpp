// What happens to callers when something happens to a real Redis: misses, in time, logged, and back again.
#include "../support/client.hpp"
#include "../support/redis_server.hpp"

#include <luzia/backend/redis_backend.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/use_future.hpp>

#include <limits>
#include <string>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;

TEST(Degradation, NothingListeningIsAMissForEveryOperation) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for("redis://127.0.0.1:" + std::to_string(free_port()), log)};
        const std::vector<std::string> keys{"a", "b"};
        const std::vector<std::pair<std::string, int>> entries{{"a", 1}};
        const auto lookup = co_await cache.lookup<int>("key");
        EXPECT_EQ(lookup.outcome, Outcome::unavailable);
        EXPECT_TRUE(lookup.error);
        const auto value = co_await cache.get("key");
        EXPECT_FALSE(value);
        const luzia::Effect stored = co_await cache.set("key", 1);
        EXPECT_EQ(stored.count, 0U);
        EXPECT_EQ(stored.outcome, Outcome::unavailable);
        const luzia::Effect erased = co_await cache.erase("key");
        EXPECT_EQ(erased.outcome, Outcome::unavailable);
        const luzia::Effect touched = co_await cache.touch("key", luzia::no_expiry);
        EXPECT_EQ(touched.outcome, Outcome::unavailable);
        const luzia::Effect removed = co_await cache.invalidate_pattern("*");
        EXPECT_EQ(removed.outcome, Outcome::unavailable);
        const auto many = co_await cache.get_many<int>(keys);
        EXPECT_EQ(many.size(), 2U);
        const luzia::Effect stored_many = co_await cache.set_many(entries);
        EXPECT_EQ(stored_many.outcome, Outcome::unavailable);
        const luzia::Effect erased_many = co_await cache.erase_many(keys);
        EXPECT_EQ(erased_many.outcome, Outcome::unavailable);
        const bool is_there = co_await cache.contains("key");
        EXPECT_FALSE(is_there);
        const auto left = co_await cache.time_to_live("key");
        EXPECT_FALSE(left);
        const bool answers = co_await cache.ping();
        EXPECT_FALSE(answers);
        const bool drained = co_await cache.drain();
        EXPECT_TRUE(drained);
        const auto stats = cache.stats();
        EXPECT_FALSE(stats.ready);
        EXPECT_EQ(stats.misses, 4U);
        EXPECT_GE(stats.failures, 10U);
    });
    EXPECT_EQ(log.lines().size(), 1U) << log.all();
    EXPECT_EQ(log.count("warning luzia: no connection to 127.0.0.1:"), 1U) << log.all();
}

TEST(Degradation, AnUnknownHostIsAMiss) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for("redis://no-such-host.invalid", log);
        options.command_timeout = 20s;
        options.connect_timeout = 20s;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const auto lookup = co_await cache.lookup("key");
        EXPECT_EQ(lookup.outcome, Outcome::unavailable);
        EXPECT_EQ(lookup.error, luzia::make_error_code(luzia::Error::no_such_host));
    });
    EXPECT_EQ(log.count("does not resolve"), 1U) << log.all();
}

TEST(Degradation, ANameResolvesAndItsAddressesAreTriedInTurn) {
    // localhost is ::1 and 127.0.0.1 on most machines; the server listens on the latter alone.
    run([]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = "redis://localhost:" + std::to_string(shared_redis().port());
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const luzia::Effect stored = co_await cache.set("localhost", 1);
        EXPECT_EQ(stored.count, 1U) << stored.error.message();
    });
}

TEST(Degradation, APasswordIsSentAndAWrongOneIsAMissThatNamesTheUser) {
    RedisServer server({"--requirepass", "right-secret"}, {"AUTH", "right-secret"});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const std::string address = "127.0.0.1:" + std::to_string(server.port());
        luzia::CacheClient right{executor, options_for("redis://:right-secret@" + address, log)};
        const luzia::Effect stored = co_await right.set("key", 1);
        EXPECT_EQ(stored.count, 1U);

        luzia::CacheClient wrong{executor, options_for("redis://:wrong-secret@" + address, log)};
        const auto refused = co_await wrong.lookup("key");
        EXPECT_EQ(refused.outcome, Outcome::unavailable);
        EXPECT_EQ(refused.error, luzia::make_error_code(luzia::Error::handshake_refused));

        luzia::CacheClient without{executor, options_for("redis://" + address, log)};
        const auto none = co_await without.lookup("key");
        EXPECT_EQ(none.outcome, Outcome::unavailable);

        auto options = options_for("redis://:wrong-secret@" + address, log);
        options.password = "right-secret";
        luzia::CacheClient over{executor, options};
        const auto found = co_await over.get<int>("key");
        EXPECT_EQ(found, 1);
    });
    EXPECT_GE(log.count("error luzia: 127.0.0.1:"), 2U) << log.all();
    EXPECT_GE(log.count("AUTH for user \"default\" was refused: WRONGPASS"), 1U) << log.all();
    EXPECT_GE(log.count("NOAUTH"), 1U) << log.all();
    EXPECT_EQ(log.count("-secret"), 0U) << log.all();
}

TEST(Degradation, AnAclUserIsNamedAndWhatItMayNotDoIsRefused) {
    RedisServer server;
    server.command({"ACL", "SETUSER", "reader", "on", ">p@ss:w/rd%", "~*", "+get", "+ping", "+select"});
    server.command({"SET", "key", "7"});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        auto options = options_for("redis://reader:p@ss:w%2Frd%25@127.0.0.1:" + std::to_string(server.port()) + "/0", log);
        options.client_name = "named"; // which this user may not set: no reason to do without a cache
        luzia::CacheClient cache{executor, options};
        const auto found = co_await cache.get<int>("key");
        EXPECT_EQ(found, 7);
        const luzia::Effect stored = co_await cache.set("key", 8);
        EXPECT_EQ(stored.outcome, Outcome::refused);
        EXPECT_EQ(stored.error, luzia::make_error_code(luzia::ServerError::noperm));
        const auto still = co_await cache.get<int>("key");
        EXPECT_EQ(still, 7);
        EXPECT_EQ(cache.stats().reconnects, 0U);
    });
    EXPECT_GE(log.count("NOPERM"), 1U) << log.all();
    EXPECT_EQ(log.count("p@ss"), 0U) << log.all();
}

TEST(Degradation, NameAndDatabaseAreSetInTheHandshake) {
    run([]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = shared_redis().url() + "/2";
        options.client_name = "billing";
        options.database = 4; // over the URL's
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        co_await cache.set("in-four", 1);
        const std::string clients = shared_redis().command({"CLIENT", "LIST"});
        EXPECT_NE(clients.find("name=billing"), std::string::npos);
        EXPECT_NE(clients.find(" db=4 "), std::string::npos);
    });
}

TEST(Degradation, AKilledServerIsMissedOnceAndServedFromAgainWhenItIsBack) {
    RedisServer server;
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        co_await cache.set("key", 1);
        server.kill();
        const auto gone = co_await cache.lookup<int>("key");
        EXPECT_EQ(gone.outcome, Outcome::unavailable);
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < 1000; ++i) {
            const auto miss = co_await cache.get<int>("key");
            EXPECT_FALSE(miss);
        }
        EXPECT_LT(std::chrono::steady_clock::now() - start, 5s); // 1,000 timeouts would be 500 s
        EXPECT_FALSE(cache.stats().ready);
        server.restart();
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
        const luzia::Effect stored = co_await cache.set("key", 2);
        const auto found = co_await cache.get<int>("key");
        EXPECT_EQ(stored.count, 1U);
        EXPECT_EQ(found, 2);
        EXPECT_TRUE(cache.stats().ready);
        EXPECT_EQ(cache.stats().reconnects, 1U);
    });
    EXPECT_EQ(log.count("lost the connection"), 1U) << log.all();
    EXPECT_EQ(log.count("is back"), 1U) << log.all();
    EXPECT_LE(log.lines().size(), 4U) << log.all();
}

TEST(Degradation, AStoppedServerCostsTheFirstCallersOneTimeoutAndTheOthersNothing) {
    RedisServer server;
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(server.url(), log);
        options.command_timeout = 200ms;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        co_await cache.set("key", 1);
        server.pause();
        const auto start = std::chrono::steady_clock::now();
        const auto first = co_await cache.lookup<int>("key");
        EXPECT_TRUE(first.outcome == Outcome::timed_out || first.outcome == Outcome::unavailable);
        EXPECT_GE(std::chrono::steady_clock::now() - start, 190ms);
        const bool is_dropped = co_await eventually([&] { return !cache.stats().ready; });
        EXPECT_TRUE(is_dropped);
        const auto later = std::chrono::steady_clock::now();
        for (int i = 0; i < 1000; ++i) {
            const auto miss = co_await cache.lookup<int>("key");
            EXPECT_EQ(miss.outcome, Outcome::unavailable);
        }
        EXPECT_LT(std::chrono::steady_clock::now() - later, 5s);
        server.resume();
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
        const auto found = co_await cache.get<int>("key");
        EXPECT_EQ(found, 1);
    });
    EXPECT_EQ(log.count("lost the connection"), 1U) << log.all();
    EXPECT_EQ(log.count("did not answer in time"), 1U) << log.all();
}

TEST(Degradation, ErrorRepliesAreRefusalsAndTheConnectionStays) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(shared_redis().url(), log)};
        shared_redis().command({"DEL", "list"});
        shared_redis().command({"RPUSH", "list", "element"});
        const auto lookup = co_await cache.lookup("list");
        EXPECT_EQ(lookup.outcome, Outcome::refused);
        EXPECT_EQ(lookup.error, luzia::make_error_code(luzia::ServerError::wrongtype));
        const std::vector<std::string> keys{"list", "absent"};
        const auto many = co_await cache.get_many(keys);
        EXPECT_FALSE(many[0]);
        const luzia::Effect over = co_await cache.set("list", 1);
        EXPECT_EQ(over.count, 1U);
        EXPECT_EQ(cache.stats().reconnects, 0U);
        EXPECT_EQ(cache.stats().failures, 1U);
    });
    EXPECT_EQ(log.count("warning luzia: 127.0.0.1:"), 1U) << log.all();
    EXPECT_EQ(log.count("WRONGTYPE"), 1U) << log.all();
}

TEST(Degradation, WhatAServerEchoesOfACommandItDoesNotKnowStaysOutOfTheLog) {
    RedisServer server({"--rename-command", "SET", "", "--rename-command", "AUTH", ""});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        luzia::CacheClient cache{executor, options_for(server.url(), log)};
        const std::string value = "marked-value";
        const luzia::Effect stored = co_await cache.set("key", value);
        EXPECT_EQ(stored.outcome, Outcome::refused);
        luzia::CacheClient login{executor, options_for("redis://:marked-password@127.0.0.1:" + std::to_string(server.port()), log)};
        const auto lookup = co_await login.lookup("key");
        EXPECT_EQ(lookup.outcome, Outcome::unavailable);
    });
    EXPECT_GE(log.count("unknown command"), 2U) << log.all();
    EXPECT_EQ(log.count("marked-"), 0U) << log.all();
}

TEST(Degradation, AFullServerRefusesWritesAndServesReads) {
    RedisServer server;
    server.command({"SET", "key", "1"});
    server.command({"CONFIG", "SET", "maxmemory", "1"});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const luzia::Effect stored = co_await cache.set("other", 1);
        EXPECT_EQ(stored.outcome, Outcome::refused);
        EXPECT_EQ(stored.error, luzia::make_error_code(luzia::ServerError::oom));
        const auto found = co_await cache.get<int>("key");
        EXPECT_EQ(found, 1);
    });
}

TEST(Degradation, WhatIsNoJsonIsUndecodableAndStays) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(shared_redis().url(), log)};
        for (const std::string stored : {"no json", "", "NaN", "{\"a\":1}x", "\xff\xfe", "nul", "\"\\ud800\""}) {
            shared_redis().command({"SET", "key", stored});
            const auto lookup = co_await cache.lookup("key");
            EXPECT_EQ(lookup.outcome, Outcome::undecodable) << stored;
            EXPECT_EQ(shared_redis().command({"GET", "key"}), stored);
        }
        shared_redis().command({"SET", "key", "5000000000"});
        const auto too_large = co_await cache.lookup<int>("key");
        EXPECT_EQ(too_large.outcome, Outcome::undecodable);
        const auto fits = co_await cache.get<long>("key");
        EXPECT_EQ(fits, 5000000000L);
    });
    EXPECT_GE(log.count("warning luzia: key \"key\""), 1U) << log.all();
    EXPECT_EQ(log.count("no json"), 0U) << log.all();
}

struct Throwing {
    [[maybe_unused]] friend void to_json(nlohmann::json&, const Throwing&) { throw std::runtime_error("to_json"); }
    [[maybe_unused]] friend void from_json(const nlohmann::json&, Throwing&) { throw 7; }
};

TEST(Degradation, WhatWasFoldedIsWrittenASecondLater) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(shared_redis().url(), log)};
        shared_redis().command({"SET", "key", "no json"});
        for (int i = 0; i < 5; ++i) {
            const auto lookup = co_await cache.lookup("key");
            EXPECT_EQ(lookup.outcome, Outcome::undecodable);
        }
        EXPECT_EQ(log.count("undecodable"), 0U);
        const bool is_answering = co_await cache.ping(); // the connection looks at the log as well
        EXPECT_TRUE(is_answering);
        const bool is_written = co_await eventually([&] { return log.count("4 more like this: undecodable") == 1; });
        EXPECT_TRUE(is_written) << log.all();
    });
}

TEST(Degradation, WhatCannotBeEncodedIsInvalidAndNothingIsSent) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(shared_redis().url(), log);
        options.max_value_bytes = 1000;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        shared_redis().command({"SET", "key", "1"});
        const std::string no_text = "\xc3\x28 marked";
        const luzia::Effect invalid_text = co_await cache.set("key", no_text);
        EXPECT_EQ(invalid_text.outcome, Outcome::invalid);
        EXPECT_EQ(invalid_text.error, luzia::make_error_code(luzia::Error::unencodable));
        const Throwing throwing;
        const luzia::Effect thrown = co_await cache.set("key", throwing);
        EXPECT_EQ(thrown.outcome, Outcome::invalid);
        const auto thrown_at = co_await cache.lookup<Throwing>("key");
        EXPECT_EQ(thrown_at.outcome, Outcome::undecodable);
        const std::string large(1000, 'x');
        const luzia::Effect too_large = co_await cache.set("key", large);
        EXPECT_EQ(too_large.error, luzia::make_error_code(luzia::Error::value_too_large));
        const double nan = std::numeric_limits<double>::quiet_NaN();
        EXPECT_EQ(shared_redis().command({"GET", "key"}), "1");
        const luzia::Effect null = co_await cache.set("key", nan);
        EXPECT_EQ(null.count, 1U);
        EXPECT_EQ(shared_redis().command({"GET", "key"}), "null");
        const std::string long_key(100000, 'k');
        const auto absent = co_await cache.lookup(long_key);
        EXPECT_EQ(absent.outcome, Outcome::miss);
        EXPECT_EQ(cache.stats().reconnects, 0U);
    });
    EXPECT_EQ(log.count("marked"), 0U) << log.all();
}

TEST(Degradation, ALargeValueGoesBothWays) {
    run([]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = shared_redis().url();
        options.command_timeout = 30s;
        luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec> cache{co_await asio::this_coro::executor, options};
        std::string large(std::size_t{64} * 1024 * 1024, '\0');
        for (std::size_t i = 0; i < large.size(); i += 4096) {
            large[i] = static_cast<char>(i / 4096);
        }
        const luzia::Effect stored = co_await cache.set("large", large);
        EXPECT_EQ(stored.count, 1U);
        const auto found = co_await cache.get("large");
        EXPECT_TRUE(found && *found == large);
        co_await cache.erase("large");
    });
}

TEST(Degradation, AValueBeyondTheLimitIsAMissAndAHugeOneIsNotReceived) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(shared_redis().url(), log);
        options.max_value_bytes = 1000;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        shared_redis().command({"SET", "large", std::string(100'000, '1')});
        const auto large = co_await cache.lookup("large");
        EXPECT_EQ(large.outcome, Outcome::unavailable);
        EXPECT_EQ(large.error, luzia::make_error_code(luzia::Error::reply_too_large));
        EXPECT_EQ(cache.stats().reconnects, 0U);

        shared_redis().command({"SET", std::string(2000, 'k'), "1"}); // a key is no value
        const luzia::Effect removed = co_await cache.invalidate_pattern("kkk*");
        EXPECT_EQ(removed.count, 1U);
        EXPECT_EQ(cache.stats().reconnects, 0U);

        shared_redis().command({"SET", "large", std::string(3'000'000, '1')});
        const auto huge = co_await cache.lookup("large");
        EXPECT_EQ(huge.error, luzia::make_error_code(luzia::Error::reply_too_large));
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
        EXPECT_EQ(cache.stats().reconnects, 1U);
        shared_redis().command({"DEL", "large"});
    });
    EXPECT_EQ(log.count("warning luzia: key \"large\""), 1U) << log.all();
    EXPECT_EQ(log.count("error luzia"), 1U) << log.all();
}

TEST(Degradation, ABadUrlInTheEnvironmentDisablesAndInCodeThrows) {
    LogLines log;
    ::setenv("REDIS_URL", "redis://user:marked@host:port", 1);
    run([&]() -> asio::awaitable<void> {
        auto options = luzia::CacheOptions::from_environment();
        options.logger = log.logger();
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const auto lookup = co_await cache.lookup("key");
        EXPECT_EQ(lookup.outcome, Outcome::unavailable);
        EXPECT_EQ(lookup.error, luzia::make_error_code(luzia::Error::disabled));
        EXPECT_FALSE(cache.stats().ready);
    });
    ::setenv("REDIS_URL", "rediss://host", 1);
    run([&]() -> asio::awaitable<void> {
        auto options = luzia::CacheOptions::from_environment();
        options.logger = log.logger();
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        const luzia::Effect stored = co_await cache.set("key", 1);
        EXPECT_EQ(stored.outcome, Outcome::unavailable);
    });
    // Also for a client that knows no other backend.
    run([&]() -> asio::awaitable<void> {
        for (const char* const url : {"nonsense", "memory://"}) {
            ::setenv("REDIS_URL", url, 1);
            auto options = luzia::CacheOptions::from_environment();
            options.logger = log.logger();
            luzia::CacheClient<luzia::RedisBackend> cache{co_await asio::this_coro::executor, options};
            const auto lookup = co_await cache.lookup("key");
            EXPECT_EQ(lookup.error, luzia::make_error_code(luzia::Error::disabled));
            cache.close();
            const auto closed = co_await cache.lookup("key");
            EXPECT_EQ(closed.outcome, Outcome::closed);
        }
    });
    ::unsetenv("REDIS_URL");
    EXPECT_EQ(log.count("error REDIS_URL"), 4U) << log.all();
    EXPECT_EQ(log.count("luzia::tls_transport"), 1U) << log.all();
    EXPECT_EQ(log.count("marked"), 0U) << log.all();

    asio::io_context io;
    luzia::CacheOptions options;
    for (const std::string url : {"redis://user:marked@host:port", "rediss://host", "http://host", "", "redis://"}) {
        options.url = url;
        try {
            luzia::CacheClient cache(io, options);
            ADD_FAILURE() << "no exception for " << url;
        } catch (const std::invalid_argument& problem) {
            EXPECT_NE(std::string(problem.what()).find("url"), std::string::npos);
            EXPECT_EQ(std::string(problem.what()).find("marked"), std::string::npos);
        }
    }
}

TEST(Degradation, RedisUrlAndCacheTtlAreReadFromTheEnvironment) {
    ::setenv("REDIS_URL", shared_redis().url().c_str(), 1);
    ::setenv("CACHE_TTL", "77", 1);
    run([]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor};
        co_await cache.set("from-environment", 1);
        const int left = std::stoi(shared_redis().command({"TTL", "from-environment"}));
        EXPECT_GT(left, 60);
        EXPECT_LE(left, 77);
    });
    ::unsetenv("REDIS_URL");
    ::unsetenv("CACHE_TTL");
}

} // namespace
} // namespace luzia_test
