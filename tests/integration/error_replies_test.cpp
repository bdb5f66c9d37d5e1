// Every error reply that a real server can be made to give: what it becomes, what the log says, and that nobody is asked again and again.
#include "../support/client.hpp"
#include "../support/redis_server.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/redis/connection.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Error;
using luzia::Outcome;
using luzia::ServerError;

std::size_t connections_taken(RedisServer& server) { return std::stoul(server.info("stats", "total_connections_received")); }

/// What a server in some state makes of a read and a write, and what the log says about it.
struct Expected {
    std::string line;
    luzia::error_code read;  ///< none: a miss
    luzia::error_code write; ///< none: done
    bool is_kept = true;     ///< the connection is
};

/// Many operations, for a second and a half: each has the documented result, and the server is not asked for one connection after another.
void expect_replies(RedisServer& server, const Expected& expected) {
    LogLines log;
    std::size_t before = 0;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const auto is_one_of = [&](const luzia::error_code& error, const luzia::error_code& wanted) {
            // Where the connection is made anew, operations meanwhile have none.
            return error == wanted || (!expected.is_kept && luzia::outcome_of(error) == Outcome::unavailable);
        };
        const auto first_read = co_await cache.lookup("key");
        EXPECT_TRUE(is_one_of(first_read.error, expected.read)) << first_read.error.message();
        const luzia::Effect first_write = co_await cache.set("key", 1);
        EXPECT_TRUE(is_one_of(first_write.error, expected.write)) << first_write.error.message();
        before = connections_taken(server);
        int refused = 0;
        for (const auto end = Clock::now() + 1500ms; Clock::now() < end;) {
            const auto found = co_await cache.lookup("absent");
            EXPECT_TRUE(is_one_of(found.error, expected.read)) << found.error.message();
            const luzia::Effect stored = co_await cache.set("other", 1);
            EXPECT_TRUE(is_one_of(stored.error, expected.write)) << stored.error.message();
            refused += stored.outcome == Outcome::refused || found.outcome == Outcome::refused ? 1 : 0;
            co_await pause_for(1ms);
        }
        EXPECT_GE(refused, 1);
        if (expected.is_kept) {
            EXPECT_EQ(cache.stats().reconnects, 0U);
            EXPECT_EQ(connections_taken(server), before);
        }
        EXPECT_LE(connections_taken(server) - before, 10U); // 50, 100, 200, 400, 800 ms apart at least at half of that
    });
    EXPECT_GE(log.count(expected.line), 1U) << log.all();
    EXPECT_LE(log.lines().size(), 24U) << log.all();
}

TEST(ErrorReply, Oom) {
    RedisServer server;
    server.command({"CONFIG", "SET", "maxmemory", "1"});
    expect_replies(server, {"refused a command: OOM command not allowed", {}, ServerError::oom});
}

TEST(ErrorReply, Misconf) {
    RedisServer server({"--save", "3600 1", "--dbfilename", "taken.rdb"});
    std::filesystem::create_directory(server.file("taken.rdb")); // which it can't be saved to
    server.command({"SET", "key", "1"});
    server.command({"BGSAVE"});
    const auto limit = Clock::now() + 20s;
    while (server.info("persistence", "rdb_last_bgsave_status") != "err" && Clock::now() < limit) {
        std::this_thread::yield();
    }
    ASSERT_EQ(server.info("persistence", "rdb_last_bgsave_status"), "err");
    expect_replies(server, {"refused a command: MISCONF", {}, ServerError::misconf});
}

TEST(ErrorReply, ReadOnlyAndMasterDown) {
    RedisServer replica;
    replica.command({"REPLICAOF", "127.0.0.1", std::to_string(free_port())});
    expect_replies(replica, {"refused a command: READONLY", {}, ServerError::readonly, false});

    // One that serves nothing without its master refuses PING as well: a connection that is there is told once, and there is no new one.
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(replica.url(), log)};
        const bool answers = co_await serves_again(cache);
        EXPECT_TRUE(answers);
        replica.command({"CONFIG", "SET", "replica-serve-stale-data", "no"});
        const auto found = co_await cache.lookup("key");
        EXPECT_EQ(found.error, luzia::make_error_code(ServerError::masterdown));
        const std::size_t before = connections_taken(replica);
        const Waits waits = co_await call_for(cache, 1500ms);
        EXPECT_LE(waits.percentile(0.99), 100ms);
        EXPECT_LE(connections_taken(replica) - before, 10U);
        replica.command({"REPLICAOF", "NO", "ONE"});
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
    });
    EXPECT_EQ(log.count("refused a command: MASTERDOWN"), 1U) << log.all();
    EXPECT_GE(log.count("PING was refused: MASTERDOWN"), 1U) << log.all();
}

TEST(ErrorReply, Busy) {
    RedisServer server({"--lua-time-limit", "20"});
    const auto busy = PlainClient::try_connect(server.port());
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const bool answers = co_await serves_again(cache);
        EXPECT_TRUE(answers);
        std::thread script([&] { static_cast<void>(busy->command({"EVAL", "while true do end", "0"})); });
        luzia::Lookup<nlohmann::json> found;
        for (const auto end = Clock::now() + 20s; found.outcome != Outcome::refused && Clock::now() < end;) {
            found = co_await cache.lookup("key");
        }
        EXPECT_EQ(found.error, luzia::make_error_code(ServerError::busy));
        const luzia::Effect stored = co_await cache.set("key", 1);
        EXPECT_EQ(stored.error, luzia::make_error_code(ServerError::busy));
        luzia::CacheClient late{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const auto unavailable = co_await late.lookup("key"); // its PING is refused as well
        EXPECT_EQ(unavailable.error, luzia::make_error_code(Error::handshake_refused));
        EXPECT_EQ(server.command({"SCRIPT", "KILL"}), "OK");
        script.join();
        const bool is_back = co_await serves_again(late);
        EXPECT_TRUE(is_back);
        const luzia::Effect again = co_await cache.set("key", 1);
        EXPECT_EQ(again.count, 1U);
        EXPECT_EQ(cache.stats().reconnects, 0U);
    });
    EXPECT_GE(log.count("refused a command: BUSY"), 1U) << log.all();
    EXPECT_GE(log.count("PING was refused: BUSY"), 1U) << log.all();
}

TEST(ErrorReply, Loading) {
    RedisServer server({"--enable-debug-command", "yes"});
    server.command({"DEBUG", "POPULATE", "2000"});
    server.command({"SET", "key", "1"});
    server.command({"SAVE"});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const auto found = co_await cache.get<int>("key");
        EXPECT_EQ(found, 1);
        // Loads what it has saved, one key a millisecond, beside its clients.
        const auto loader = PlainClient::try_connect(server.port());
        loader->command({"CONFIG", "SET", "key-load-delay", "1000"});
        loader->command({"CONFIG", "SET", "loading-process-events-interval-bytes", "1024"});
        std::thread reload([&] { static_cast<void>(loader->command({"DEBUG", "RELOAD", "NOSAVE"})); });
        luzia::Lookup<int> loading;
        for (const auto end = Clock::now() + 20s; loading.outcome != Outcome::refused && Clock::now() < end;) {
            loading = co_await cache.lookup<int>("key");
        }
        EXPECT_EQ(loading.error, luzia::make_error_code(ServerError::loading));
        luzia::CacheClient late{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const auto unavailable = co_await late.lookup("key");
        EXPECT_EQ(unavailable.error, luzia::make_error_code(Error::handshake_refused));
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
        const auto again = co_await cache.get<int>("key");
        EXPECT_EQ(again, 1);
        EXPECT_LE(cache.stats().reconnects, 10U);
        reload.join();
    });
    EXPECT_GE(log.count("refused a command: LOADING"), 1U) << log.all();
    EXPECT_GE(log.count("PING was refused: LOADING"), 1U) << log.all();
    EXPECT_GE(log.count("is back"), 1U) << log.all();
}

TEST(ErrorReply, NoPermNoAuthAndWrongPass) {
    RedisServer server;
    server.command({"ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get", "+ping"});
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const std::string address = "@127.0.0.1:" + std::to_string(server.port());
        luzia::CacheClient reader{executor, options_for("redis://reader:secret" + address, log)};
        const auto found = co_await reader.lookup("key");
        EXPECT_EQ(found.outcome, Outcome::miss);
        const luzia::Effect stored = co_await reader.set("key", 1);
        EXPECT_EQ(stored.error, luzia::make_error_code(ServerError::noperm));
        EXPECT_EQ(reader.stats().reconnects, 0U);

        // The password changes under a connection that is there: it stays. A new one is refused, until the password is right again.
        luzia::CacheClient late{executor, options_for("redis://reader:secret" + address, log)};
        server.command({"ACL", "SETUSER", "reader", "resetpass", ">rotated"});
        const auto kept = co_await reader.lookup("key");
        EXPECT_EQ(kept.outcome, Outcome::miss);
        const auto refused = co_await late.lookup("key");
        EXPECT_EQ(refused.error, luzia::make_error_code(Error::handshake_refused));
        const std::size_t before = connections_taken(server);
        co_await pause_for(1500ms);
        EXPECT_LE(connections_taken(server) - before, 10U);
        server.command({"ACL", "SETUSER", "reader", "resetpass", ">secret"});
        const bool is_back = co_await serves_again(late);
        EXPECT_TRUE(is_back);

        server.command({"CONFIG", "SET", "requirepass", "secret"});
        luzia::CacheClient without{executor, options_for(server.url(), log)};
        const auto none = co_await without.lookup("key");
        EXPECT_EQ(none.error, luzia::make_error_code(Error::handshake_refused));
    });
    EXPECT_GE(log.count("refused a command: NOPERM"), 1U) << log.all();
    EXPECT_GE(log.count("AUTH for user \"reader\" was refused: WRONGPASS"), 2U) << log.all(); // one line an attempt
    EXPECT_GE(log.count("PING was refused: NOAUTH"), 1U) << log.all();
    EXPECT_EQ(log.count("secret"), 0U) << log.all();
}

TEST(ErrorReply, WrongType) {
    RedisServer server;
    server.command({"RPUSH", "key", "element"});
    server.command({"RPUSH", "absent", "element"});
    expect_replies(server, {"refused a command: WRONGTYPE", ServerError::wrongtype, {}});
}

TEST(ErrorReply, MaximumOfClients) {
    RedisServer server;
    server.command({"CONFIG", "SET", "maxclients", "1"}); // the test's own
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheClient cache{co_await asio::this_coro::executor, options_for(server.url(), log)};
        const auto found = co_await cache.lookup("key");
        EXPECT_EQ(found.outcome, Outcome::unavailable) << found.error.message();
        const std::size_t before = connections_taken(server);
        const Waits waits = co_await call_for(cache, 1500ms);
        EXPECT_LE(waits.percentile(0.99), 100ms);
        EXPECT_LE(connections_taken(server) - before, 10U);
        server.command({"CONFIG", "SET", "maxclients", "100"});
        const bool is_back = co_await serves_again(cache);
        EXPECT_TRUE(is_back);
    });
    EXPECT_GE(log.count("max number of clients reached"), 1U) << log.all();
}

TEST(ErrorReply, MovedAndClusterDown) {
    const auto bus_port = [] { return std::to_string(free_port()); };
    RedisServer node({"--cluster-enabled", "yes", "--cluster-port", bus_port(), "--cluster-node-timeout", "1000"});
    expect_replies(node, {"refused a command: CLUSTERDOWN", ServerError::clusterdown, ServerError::clusterdown});

    // A second node that has all the slots; this one knows, and says where to go.
    const std::string other_bus = bus_port();
    RedisServer other({"--cluster-enabled", "yes", "--cluster-port", other_bus, "--cluster-node-timeout", "1000"});
    EXPECT_EQ(other.command({"CLUSTER", "ADDSLOTSRANGE", "0", "16383"}), "OK");
    EXPECT_EQ(node.command({"CLUSTER", "MEET", "127.0.0.1", std::to_string(other.port()), other_bus}), "OK");
    const auto limit = Clock::now() + 20s;
    while (node.command({"GET", "key"}).find("MOVED") == std::string::npos && Clock::now() < limit) {
        std::this_thread::yield();
    }
    expect_replies(node, {"refused a command: MOVED", ServerError::moved, ServerError::moved});
}

/// A command that no cache operation sends.
class OneReply final : public luzia::redis::ReplyHandler {
public:
    [[nodiscard]] luzia::redis::Verdict on_reply(luzia::redis::Reply& reply) noexcept override {
        text = reply.text();
        is_done = true;
        return luzia::redis::Verdict::fits;
    }
    void on_failure(luzia::error_code) noexcept override { is_done = true; }
    void on_abandon() noexcept override {}

    std::string text;
    bool is_done = false;
};

TEST(ErrorReply, NoScriptReachesWhoSentTheScript) {
    LogLines log;
    run([&]() -> asio::awaitable<void> {
        const auto url = luzia::parse_url(shared_redis().url());
        const auto connection =
            luzia::redis::Connection::create(co_await asio::this_coro::executor, luzia::redis::Target(*url),
                                             luzia::redis::ConnectionOptions(), std::make_shared<luzia::EventLog>(log.logger()));
        OneReply reply;
        const std::vector<std::string_view> command{"EVALSHA", "0000000000000000000000000000000000000000", "0"};
        const luzia::error_code error = connection->submit(command, &reply);
        EXPECT_FALSE(error);
        const bool is_done = co_await eventually([&] { return reply.is_done; });
        EXPECT_TRUE(is_done);
        EXPECT_EQ(luzia::server_error(reply.text), ServerError::noscript);
        EXPECT_TRUE(connection->is_ready());
        connection->close();
    });
    EXPECT_EQ(log.count("NOSCRIPT"), 0U) << log.all(); // the script is sent whole: nothing was refused
}

} // namespace
} // namespace luzia_test
