// What the tower of Celery adds to the engine: a connection that listens, single commands, scripts.
#include "../support/fake_server.hpp"
#include "../support/redis_server.hpp"
#include "../support/run.hpp"

#include <luzia/redis/execute.hpp>
#include <luzia/redis/subscriber.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Error;
using luzia::error_code;
using luzia::redis::Connection;
using luzia::redis::ConnectionOptions;
using luzia::redis::Reply;
using luzia::redis::Subscriber;
using luzia::redis::Words;

luzia::redis::Target target_of(const std::string& url) { return luzia::redis::Target(*luzia::parse_url(url)); }

ConnectionOptions short_options() {
    ConnectionOptions options;
    options.command_timeout = 200ms;
    options.backoff = luzia::redis::Backoff(5ms, 20ms);
    return options;
}

/// Notes what it is told.
class Notes final : public Subscriber::Listener {
public:
    void on_subscribed(const std::string& name) noexcept override { lines.push_back("subscribed " + name); }
    void on_message(const std::string& channel, std::string&& payload) noexcept override { lines.push_back(channel + ": " + payload); }
    [[nodiscard]] std::size_t count(const std::string& line) const {
        return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), line));
    }
    std::vector<std::string> lines;
};

struct Listening {
    Listening(const asio::any_io_executor& executor, const std::string& url, const LogLines& log,
              ConnectionOptions options = short_options())
        : notes(std::make_shared<Notes>()),
          subscriber(
              Subscriber::create(executor, target_of(url), std::move(options), std::make_shared<luzia::EventLog>(log.logger()), notes)) {}
    ~Listening() { subscriber->close(); }

    std::shared_ptr<Notes> notes;
    std::shared_ptr<Subscriber> subscriber;
};

TEST(Subscriber, HearsChannelsAndPatternsUntilTheyAreGivenBack) {
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        RedisServer server;
        Listening here(co_await asio::this_coro::executor, server.url(), log);
        here.subscriber->subscribe("one");
        here.subscriber->subscribe("p*", Subscriber::Kind::pattern);
        const bool both = co_await eventually([&] { return here.notes->lines.size() == 2; });
        EXPECT_TRUE(both);
        const std::string bytes("a\r\n\0b", 5);
        server.command({"PUBLISH", "one", bytes});
        server.command({"PUBLISH", "pq", "2"});
        server.command({"PUBLISH", "other", "3"});
        const bool heard = co_await eventually([&] { return here.notes->lines.size() == 4; });
        EXPECT_TRUE(heard);
        EXPECT_EQ(here.notes->count("one: " + bytes), 1U);
        EXPECT_EQ(here.notes->count("pq: 2"), 1U);
        here.subscriber->unsubscribe("one");
        here.subscriber->unsubscribe("p*", Subscriber::Kind::pattern);
        const bool none = co_await eventually([&] {
            return server.command({"PUBLISH", "one", "x"}) == "0" && server.command({"PUBLISH", "pq", "x"}) == "0";
        });
        EXPECT_TRUE(none);
    });
}

TEST(Subscriber, SubscribesAnewAfterEachLoss) {
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        RedisServer server;
        Listening here(co_await asio::this_coro::executor, server.url(), log);
        for (int i = 0; i < 1000; ++i) {
            here.subscriber->subscribe("c" + std::to_string(i));
        }
        for (std::size_t round = 1; round <= 3; ++round) {
            const bool all = co_await eventually([&] { return here.notes->lines.size() == 1000 * round; });
            EXPECT_TRUE(all) << here.notes->lines.size();
            EXPECT_EQ(server.command({"PUBLISH", "c999", "x"}), "1");
            const bool heard = co_await eventually([&] { return here.notes->count("c999: x") == 1; });
            EXPECT_TRUE(heard);
            std::erase(here.notes->lines, "c999: x");
            server.command({"CLIENT", "KILL", "TYPE", "pubsub"});
        }
    });
}

TEST(Subscriber, DropsAServerThatConfirmsNothingOrTalksNonsense) {
    for (const std::string& nonsense : {std::string(), std::string("*3\r\n$5\r\nhello\r\n$1\r\na\r\n$1\r\nb\r\n"), std::string("*0\r\n"),
                                        std::string("\xff\xff\r\n"), std::string("*2\r\n$7\r\nmessage\r\n$1\r\na\r\n")}) {
        FakeServer server;
        server.expect({"PING"}).reply("+PONG\r\n").expect({"SUBSCRIBE", "a"});
        if (!nonsense.empty()) { server.say(nonsense); }
        server.expect_close().next_connection().expect({"PING"}).reply("+PONG\r\n").expect({"SUBSCRIBE", "a"});
        server.reply("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n").reply("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n").expect_close();
        server.start();
        run([&]() -> asio::awaitable<void> {
            const LogLines log;
            Listening here(co_await asio::this_coro::executor, server.url(), log);
            here.subscriber->subscribe("a");
            const bool heard = co_await eventually([&] { return here.notes->count("a: hi") == 1; });
            EXPECT_TRUE(heard) << log.all();
            EXPECT_GE(log.count(nonsense.empty() ? "silent" : "protocol"), 1U) << log.all();
        });
    }
}

TEST(Subscriber, AsksAnIdleServerWhetherItIsThere) {
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"SUBSCRIBE", "a"}).reply("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    server.expect({"PING"}).reply("*2\r\n$4\r\npong\r\n$0\r\n\r\n").expect({"PING"}).expect_close(); // the second is not answered
    server.next_connection()
        .expect({"PING"})
        .reply("+PONG\r\n")
        .expect({"SUBSCRIBE", "a"})
        .reply("-NOPERM no channel for you\r\n")
        .expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        const LogLines log;
        ConnectionOptions options = short_options();
        options.health_check_interval = 50ms;
        options.command_timeout = 100ms;
        Listening here(co_await asio::this_coro::executor, server.url(), log, options);
        here.subscriber->subscribe("a");
        const bool refused = co_await eventually([&] { return log.count("NOPERM") == 1; });
        EXPECT_TRUE(refused) << log.all();
        EXPECT_GE(log.count("silent"), 1U);
    });
}

TEST(Execute, BringsTheReplyOrTheReason) {
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        RedisServer server;
        const auto executor = co_await asio::this_coro::executor;
        const auto connection =
            Connection::create(executor, target_of(server.url()), short_options(), std::make_shared<luzia::EventLog>(log.logger()));
        Words set{"SET", "k", "v"};
        auto [error, reply] = co_await luzia::redis::execute(connection, set, executor, asio::as_tuple(asio::use_awaitable));
        EXPECT_TRUE(!error && reply.is_status("OK"));
        Words push{"LPUSH", "k", "v"};
        auto [refused, text] = co_await luzia::redis::execute(connection, push, executor, asio::as_tuple(asio::use_awaitable));
        EXPECT_EQ(refused, make_error_code(luzia::ServerError::wrongtype));
        EXPECT_EQ(text.text().substr(0, 9), "WRONGTYPE");
        connection->close();
        auto [closed, nothing] = co_await luzia::redis::execute(connection, set, executor, asio::as_tuple(asio::use_awaitable));
        EXPECT_EQ(closed, make_error_code(Error::closed));
    });
}

TEST(Execute, AScriptIsSentWholeWhereTheServerDoesNotKnowItAndRunOnce) {
    static constexpr luzia::redis::Script script("redis.call('INCR', KEYS[1]) return {ARGV[1], redis.call('GET', KEYS[1])}");
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        RedisServer server;
        const auto executor = co_await asio::this_coro::executor;
        const auto connection =
            Connection::create(executor, target_of(server.url()), short_options(), std::make_shared<luzia::EventLog>(log.logger()));
        for (int i = 1; i <= 3; ++i) {
            Words keys{"k"};
            Words arguments{"x"};
            auto [error, reply] =
                co_await luzia::redis::execute(connection, script, keys, arguments, executor, asio::as_tuple(asio::use_awaitable));
            EXPECT_FALSE(error);
            EXPECT_EQ(reply.elements().size(), 2U);
            EXPECT_EQ(reply.elements()[1].text(), std::to_string(i));
            if (i == 2) { server.command({"SCRIPT", "FLUSH"}); }
        }
        EXPECT_EQ(log.count("NOSCRIPT"), 0U);
        connection->close();
    });
}

TEST(Execute, AScriptThatIsSentTwiceHasTheTimeOfOne) {
    static constexpr luzia::redis::Script script("return 1");
    FakeServer server;
    server.expect({"PING"}).reply("+PONG\r\n").expect({"EVALSHA", script.digest(), "0"});
    server.then([] { std::this_thread::sleep_for(300ms); })
        .reply_error("NOSCRIPT No matching script")
        .expect({"EVAL", script.source(), "0"});
    server.expect_close().start();
    run([&]() -> asio::awaitable<void> {
        const LogLines log;
        const auto executor = co_await asio::this_coro::executor;
        ConnectionOptions options = short_options();
        options.command_timeout = 500ms;
        const auto connection =
            Connection::create(executor, target_of(server.url()), options, std::make_shared<luzia::EventLog>(log.logger()));
        const Words none;
        const auto begun = std::chrono::steady_clock::now();
        auto [error, reply] = co_await luzia::redis::execute(connection, script, none, none, executor, asio::as_tuple(asio::use_awaitable));
        const auto took = std::chrono::steady_clock::now() - begun;
        EXPECT_EQ(error, make_error_code(Error::timed_out)) << error.message();
        EXPECT_GE(took, 500ms);
        EXPECT_LT(took, 700ms); // twice the time would be 800
        connection->close();
    });
}

TEST(Execute, AScriptIsCancelledHoweverOftenItWasSent) {
    static constexpr luzia::redis::Script script("local function now() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end "
                                                 "local begun = now() while now() - begun < 30000 do end return 1");
    RedisServer server;
    const LogLines log;
    // The connection has a thread of its own, so that cancellation comes in the middle of things.
    asio::io_context other;
    auto guard = asio::make_work_guard(other);
    std::thread thread([&] { other.run(); });
    ConnectionOptions options = short_options();
    options.command_timeout = 10s;
    const auto connection =
        Connection::create(other.get_executor(), target_of(server.url()), options, std::make_shared<luzia::EventLog>(log.logger()));
    int lost = 0;
    run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        for (int i = 0; i < 100; ++i) {
            Words flush{"SCRIPT", "FLUSH"};
            static_cast<void>(co_await luzia::redis::execute(connection, flush, executor, asio::as_tuple(asio::use_awaitable)));
            asio::cancellation_signal signal;
            std::optional<error_code> end;
            const Words none;
            luzia::redis::execute(connection, script, none, none, executor,
                                  asio::bind_cancellation_slot(signal.slot(), [&](error_code error, const Reply&) { end = error; }));
            const auto begun = std::chrono::steady_clock::now();
            while (std::chrono::steady_clock::now() < begun + std::chrono::microseconds(6 * i)) {}
            signal.emit(asio::cancellation_type::total);
            const bool is_in_time =
                std::chrono::steady_clock::now() - begun < 3ms; // and not kept from it by others: the script takes 30 ms
            const bool has_ended = co_await eventually([&] { return end.has_value(); });
            EXPECT_TRUE(has_ended);
            lost += is_in_time && end != make_error_code(Error::cancelled) ? 1 : 0;
        }
    });
    EXPECT_EQ(lost, 0);
    connection->close();
    guard.reset();
    thread.join();
}

TEST(Execute, IsCancelledBeforeAndAfterItIsWritten) {
    FakeServer server;
    std::atomic<bool> is_written{false};
    server.expect({"PING"})
        .reply("+PONG\r\n")
        .expect({"GET", "a"})
        .then([&] { is_written = true; })
        .expect({"GET", "c"})
        .reply("$1\r\n1\r\n$1\r\n3\r\n")
        .expect_close();
    server.start();
    run([&]() -> asio::awaitable<void> {
        const LogLines log;
        const auto executor = co_await asio::this_coro::executor;
        ConnectionOptions options = short_options();
        options.command_timeout = 20s;
        const auto connection =
            Connection::create(executor, target_of(server.url()), options, std::make_shared<luzia::EventLog>(log.logger()));
        asio::cancellation_signal written;
        asio::cancellation_signal unwritten;
        std::vector<std::string> ended;
        const auto note = [&](const std::string& name) {
            return [&ended, name](error_code error, const Reply& reply) {
                ended.push_back(name + " " + (error ? error.message() : reply.text()));
            };
        };
        Words a{"GET", "a"};
        luzia::redis::execute(connection, a, executor, asio::bind_cancellation_slot(written.slot(), note("a")));
        const bool arrived = co_await eventually([&] { return is_written.load(); });
        EXPECT_TRUE(arrived);
        written.emit(asio::cancellation_type::total);
        Words b{"GET", "b"};
        luzia::redis::execute(connection, b, executor, asio::bind_cancellation_slot(unwritten.slot(), note("b")));
        unwritten.emit(asio::cancellation_type::partial);
        Words c{"GET", "c"};
        luzia::redis::execute(connection, c, executor, note("c"));
        const bool all = co_await eventually([&] { return ended.size() == 3; });
        EXPECT_TRUE(all);
        std::sort(ended.begin(), ended.end());
        EXPECT_EQ(ended, (std::vector<std::string>{"a cancelled", "b cancelled", "c 3"}));
        connection->close();
    });
}

} // namespace
} // namespace luzia_test
