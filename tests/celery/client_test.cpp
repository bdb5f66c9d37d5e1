// The client of Celery with a real worker in Python behind it, and with brokers that are down, silent, full or lost.
#include "../support/celery.hpp"
#include "../support/client.hpp"
#include "../support/gate.hpp"
#include "../support/redis_server.hpp"
#include "../support/run.hpp"

#include <luzia/celery/client.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;
using luzia::Error;
using luzia::error_code;

constexpr auto tuple = asio::as_tuple(asio::deferred);

/// A server and a worker in Python, for all tests that leave both as they are.
struct Python {
    RedisServer server;
    CelerySettings settings{server};
    CeleryWorker worker{settings};
};
Python& python() {
    static Python shared;
    return shared;
}

celery::ClientOptions client_options(const RedisServer& server) {
    celery::ClientOptions options;
    options.broker_url = server.url() + "/0";
    options.result_backend = server.url() + "/1";
    return options;
}

/// Runs `body(client)` with a client on the shared server.
template <class Body>
void with_client(Body body) {
    run([&]() -> asio::awaitable<void> {
        const celery::ClientOptions options = client_options(python().server);
        celery::Client client{co_await asio::this_coro::executor, options};
        co_await body(client);
        client.close();
    });
}

std::string noted(RedisServer& server, std::size_t count) {
    PlainClient& plain = server.plain();
    static_cast<void>(plain.command({"SELECT", "1"}));
    std::string all;
    for (std::size_t i = 0; i < count; ++i) {
        all += plain.command({"BLPOP", "noted", "4"}) + ";";
    }
    return all;
}

TEST(CeleryClient, GetsWhatATaskInPythonReturns) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        celery::AsyncResult task = co_await client.send_task("py.add", celery::args(2, 3).kwarg("scale", 10));
        const int sum = co_await task.get<int>(10s);
        EXPECT_EQ(sum, 50);
        const bool is_ready = co_await task.ready();
        EXPECT_TRUE(is_ready);
        const std::string state = co_await task.state();
        EXPECT_EQ(state, "SUCCESS");
        // Once more, long after.
        const Json again = co_await task.get(10s);
        EXPECT_EQ(again, 50);
        celery::AsyncResult nothing = co_await client.send_task("py.nothing");
        co_await nothing.get<void>(10s);
        const auto result = co_await nothing.wait(10s);
        EXPECT_TRUE(result.value.is_null());
    });
}

TEST(CeleryClient, ArgumentsOfEveryKindArriveAsTheyAre) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        Json values = Json::array({1, -5, 1.5, 1e300, "text", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "", true, nullptr});
        values.push_back(Json::array());
        values.push_back(Json::object({{"a", Json::array({1, Json::object()})}, {"", 0}}));
        values.push_back(std::numeric_limits<std::uint64_t>::max());
        celery::Arguments arguments(values, Json::object({{"x", 1}, {"other_name", "y"}}));
        celery::AsyncResult task = co_await client.send_task("py.echo", arguments);
        const Json echoed = co_await task.get(10s);
        EXPECT_EQ(echoed[0], values);
        EXPECT_EQ(echoed[1], arguments.named());

        // What JSON has no word for, and Python does.
        celery::Arguments strange = celery::args(std::nan(""), HUGE_VAL, -HUGE_VAL, "luzia:number:NaN");
        celery::AsyncResult numbers = co_await client.send_task("py.echo", strange);
        const Json back = co_await numbers.get(10s);
        EXPECT_TRUE(std::isnan(back[0][0].get<double>()) && back[0][1] == HUGE_VAL && back[0][2] == -HUGE_VAL) << back;
        EXPECT_EQ(back[0][3], "luzia:number:NaN");
    });
}

TEST(CeleryClient, ReadsWhatPythonWritesBeyondJson) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        celery::AsyncResult nan = co_await client.send_task("py.strange", celery::args("nan"));
        const Json not_a_number = co_await nan.get(10s);
        EXPECT_TRUE(not_a_number.is_number_float() && std::isnan(not_a_number.get<double>()));
        celery::AsyncResult infinity = co_await client.send_task("py.strange", celery::args("infinity"));
        const Json infinite = co_await infinity.get(10s);
        EXPECT_EQ(infinite[0], -HUGE_VAL);
        celery::AsyncResult half = co_await client.send_task("py.strange", celery::args("surrogate"));
        const std::string replaced = co_await half.get<std::string>(10s);
        EXPECT_EQ(replaced, "\xef\xbf\xbdx");
        celery::AsyncResult big = co_await client.send_task("py.strange", celery::args("big"));
        const double rough = co_await big.get<double>(10s);
        EXPECT_EQ(rough, 1180591620717411303424.0);
        auto [problem, exact] = co_await big.get<std::int64_t>(10s, asio::as_tuple(asio::use_awaitable));
        EXPECT_TRUE(problem != nullptr) << exact;
    });
}

TEST(CeleryClient, AFailureIsThrownAsWhatPythonRaised) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        celery::AsyncResult task = co_await client.send_task("py.fail", celery::args(1));
        bool is_thrown = false;
        try {
            const int value = co_await task.get<int>(10s);
            ADD_FAILURE() << value;
        } catch (const celery::TaskFailure& failure) {
            is_thrown = true;
            EXPECT_EQ(failure.exc_type(), "ValueError");
            EXPECT_EQ(failure.exc_message(), "bad, 42");
            EXPECT_EQ(failure.exc_arguments(), Json::array({"bad", 42}));
            EXPECT_EQ(failure.exc_module(), "builtins");
            EXPECT_NE(failure.traceback().find("Traceback"), std::string::npos);
            EXPECT_EQ(failure.repr(), "ValueError('bad', 42)");
        }
        EXPECT_TRUE(is_thrown);
        const celery::TaskResult result = co_await task.wait(10s);
        EXPECT_EQ(result.state, "FAILURE");
        EXPECT_TRUE(result.failure.has_value());

        celery::AsyncResult unknown = co_await client.send_task("py.no_such_task");
        const celery::TaskResult refused = co_await unknown.wait(10s);
        EXPECT_TRUE(refused.failure && refused.failure->exc_type() == "NotRegistered");

        celery::AsyncResult text = co_await client.send_task("py.echo");
        bool is_undecodable = false;
        try {
            const int value = co_await text.get<int>(10s);
            ADD_FAILURE() << value;
        } catch (const boost::system::system_error& error) { is_undecodable = error.code() == make_error_code(Error::undecodable); }
        EXPECT_TRUE(is_undecodable);
    });
}

TEST(CeleryClient, EveryOptionReachesTheTask) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        celery::TaskOptions options;
        options.queue = "celery";
        options.task_id = "my-own-id-" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
        options.eta = std::chrono::system_clock::now() + 300ms;
        options.expires = std::chrono::minutes(5);
        options.priority = 4;
        options.time_limit = 20s;
        options.soft_time_limit = 10s;
        options.retries = 2;
        options.headers = Json::object({{"color", "red"}});
        const auto begin = std::chrono::steady_clock::now();
        celery::AsyncResult task = co_await client.send_task("py.describe", celery::args(), options);
        EXPECT_EQ(task.id(), options.task_id);
        const Json seen = co_await task.get(10s);
        EXPECT_GE(std::chrono::steady_clock::now() - begin, 290ms);
        EXPECT_EQ(seen["id"], options.task_id);
        EXPECT_EQ(seen["root_id"], options.task_id);
        EXPECT_EQ(seen["retries"], 2);
        EXPECT_EQ(seen["priority"], 4);
        EXPECT_EQ(seen["routing_key"], "celery");
        EXPECT_EQ(seen["timelimit"], Json::array({20, 10}));
        EXPECT_EQ(seen["color"], "red");
        EXPECT_EQ(seen["argsrepr"], "()");

        celery::TaskOptions late;
        late.eta = std::chrono::system_clock::now() - 1h;
        celery::AsyncResult at_once = co_await client.send_task("py.describe", celery::args(), late);
        const Json described = co_await at_once.get(10s);
        EXPECT_EQ(described["retries"], 0);

        celery::TaskOptions expired;
        expired.expires = std::chrono::system_clock::now() - 1h;
        celery::AsyncResult revoked = co_await client.send_task("py.add", celery::args(1), expired);
        const celery::TaskResult ended = co_await revoked.wait(10s);
        EXPECT_EQ(ended.state, "REVOKED");
        EXPECT_TRUE(ended.failure && ended.failure->exc_type() == "TaskRevokedError" && ended.failure->exc_message() == "expired");

        celery::TaskOptions silent;
        silent.ignore_result = true;
        celery::AsyncResult ignored = co_await client.send_task("py.note", celery::args("ignored"), silent);
        EXPECT_EQ(noted(python().server, 1), "noted ('ignored',);");
        const std::string state = co_await ignored.state();
        EXPECT_EQ(state, "PENDING");
    });
}

TEST(CeleryClient, StatesOfItsOwnRevokeAndForget) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        celery::AsyncResult task = co_await client.send_task("py.progress", celery::args("go-on"));
        std::string state;
        while (state != "PROGRESS") {
            state = co_await task.state();
        }
        const celery::TaskResult progress = co_await task.peek();
        EXPECT_EQ(progress.value, Json::object({{"done", 7}}));
        auto [error, too_early] = co_await task.wait(50ms, tuple);
        EXPECT_EQ(error, make_error_code(Error::timed_out)) << too_early.state;
        python().server.command({"SELECT", "1"});
        python().server.command({"SET", "go-on", "1"});
        const std::string done = co_await task.get<std::string>(10s);
        EXPECT_EQ(done, "done");
        co_await task.forget();
        const std::string forgotten = co_await task.state();
        EXPECT_EQ(forgotten, "PENDING");

        celery::TaskOptions later;
        later.countdown = 400ms;
        celery::AsyncResult unwanted = co_await client.send_task("py.add", celery::args(1), later);
        co_await unwanted.revoke();
        const celery::TaskResult revoked = co_await unwanted.wait(10s);
        EXPECT_EQ(revoked.state, "REVOKED");
        EXPECT_TRUE(revoked.failure && revoked.failure->exc_message() == "revoked");
    });
}

TEST(CeleryClient, CompositionsRunInPython) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        celery::Chain chain = celery::chain(celery::signature("py.add", celery::args(1, 2)), celery::signature("py.add", celery::args(10)),
                                            celery::signature("py.add", celery::args(7, 1)).immutable());
        celery::AsyncResult last = co_await client.send(chain);
        const int sum = co_await last.get<int>(10s);
        EXPECT_EQ(sum, 8);

        celery::Chain broken = celery::chain(celery::signature("py.fail"), celery::signature("py.add", celery::args(10)));
        celery::AsyncResult never = co_await client.send(broken);
        const celery::TaskResult failed = co_await never.wait(10s);
        EXPECT_TRUE(failed.failure && failed.failure->exc_type() == "ValueError");

        celery::Group group;
        for (int i = 0; i < 5; ++i) {
            group.tasks.push_back(celery::signature("py.add", celery::args(i, 100)));
        }
        celery::GroupResult results = co_await client.send(group);
        EXPECT_EQ(results.results().size(), 5U);
        for (std::size_t i = 0; i < results.results().size(); ++i) {
            const std::size_t value = co_await results.results()[i].get<std::size_t>(10s);
            EXPECT_EQ(value, i + 100);
        }

        celery::Chord chord = celery::chord(group, celery::signature("py.total"));
        celery::AsyncResult body = co_await client.send(chord);
        const int total = co_await body.get<int>(10s);
        EXPECT_EQ(total, 510);

        group.tasks.push_back(celery::signature("py.fail"));
        celery::Chord lost = celery::chord(group, celery::signature("py.total"));
        celery::AsyncResult nobody = co_await client.send(lost);
        const celery::TaskResult error = co_await nobody.wait(10s);
        EXPECT_TRUE(error.failure && error.failure->exc_type() == "ChordError");

        celery::TaskOptions linked;
        linked.link = celery::signature("py.note", celery::args("after"));
        linked.link_error = celery::signature("py.note_id");
        celery::AsyncResult good = co_await client.send_task("py.add", celery::args(20, 3), linked);
        EXPECT_EQ(noted(python().server, 1), "noted (23, 'after');");
        celery::AsyncResult bad = co_await client.send_task("py.fail", celery::args(), linked);
        EXPECT_EQ(noted(python().server, 1), "noted " + bad.id() + ";");
    });
}

TEST(CeleryClient, BadInputIsAnErrorAndNothingIsSent) {
    RedisServer& server = python().server;
    with_client([&](celery::Client& client) -> asio::awaitable<void> {
        struct Case {
            celery::Signature signature;
            celery::TaskError error;
        };
        std::vector<Case> cases;
        const auto add = [&](celery::TaskError error, std::string name, celery::Arguments arguments, auto set) {
            celery::TaskOptions options;
            options.queue = "unread";
            set(options);
            cases.push_back({celery::signature(std::move(name), std::move(arguments), std::move(options)), error});
        };
        using celery::TaskError;
        using Options = celery::TaskOptions;
        const auto as_is = [](Options&) {};
        add(TaskError::invalid_task_name, "", {}, as_is);
        add(TaskError::invalid_task_name, "a\nb", {}, as_is);
        add(TaskError::invalid_task_name, "\xff", {}, as_is);
        add(TaskError::invalid_queue, "t", {}, [](Options& o) { o.queue = std::string("q\x06\x16", 3) + "3"; });
        add(TaskError::invalid_queue, "t", {}, [](Options& o) { o.queue = std::string(2000, 'q'); });
        add(TaskError::invalid_task_id, "t", {}, [](Options& o) { o.task_id = "with\nline"; });
        add(TaskError::invalid_task_id, "t", {}, [](Options& o) { o.task_id = "\xff"; });
        add(TaskError::invalid_task_id, "t", {}, [](Options& o) { o.task_id = std::string(257, 'i'); });
        add(TaskError::invalid_priority, "t", {}, [](Options& o) { o.priority = 10; });
        add(TaskError::invalid_priority, "t", {}, [](Options& o) { o.priority = -1; });
        add(TaskError::invalid_time, "t", {}, [](Options& o) { o.countdown = -1s; });
        add(TaskError::invalid_time, "t", {}, [](Options& o) { o.countdown = std::chrono::milliseconds::max(); });
        add(TaskError::invalid_time, "t", {}, [](Options& o) { o.countdown = 1s, o.eta = std::chrono::system_clock::now(); });
        add(TaskError::invalid_time, "t", {}, [](Options& o) { o.eta = std::chrono::system_clock::time_point::min(); });
        add(TaskError::invalid_time, "t", {}, [](Options& o) { o.expires = 0s; });
        add(TaskError::invalid_time_limit, "t", {}, [](Options& o) { o.time_limit = 0ms; });
        add(TaskError::invalid_time_limit, "t", {}, [](Options& o) { o.soft_time_limit = std::chrono::milliseconds::max(); });
        add(TaskError::invalid_retries, "t", {}, [](Options& o) { o.retries = -1; });
        add(TaskError::invalid_headers, "t", {}, [](Options& o) { o.headers = Json::array(); });
        add(TaskError::invalid_headers, "t", {}, [](Options& o) { o.headers = Json::object({{"timelimit", Json::array({1})}}); });
        add(TaskError::invalid_headers, "t", {}, [](Options& o) { o.headers = Json::object({{"_children", "x"}}); });
        add(TaskError::unencodable, "t", celery::args("\xff"), as_is);
        add(TaskError::unencodable, "t", celery::args().kwarg("\xff", 1), as_is);
        add(TaskError::unencodable, "t", celery::Arguments(Json(), Json::object()), as_is);
        Json deep;
        for (int i = 0; i < 600; ++i) {
            deep = Json::array({std::move(deep)});
        }
        add(TaskError::unencodable, "t", celery::args(deep), as_is);
        add(TaskError::invalid_task_name, "t", {}, [](Options& o) { o.link = celery::signature(""); });
        add(TaskError::too_large, "t", celery::args(std::string(64U << 20U, 'x')), as_is);
        for (Case& each : cases) {
            auto [error, task] = co_await client.send(std::move(each.signature), tuple);
            EXPECT_EQ(error, make_error_code(each.error)) << error.message();
            EXPECT_EQ(task.id(), "");
        }
        const celery::Group none;
        auto [empty, group] = co_await client.send(none, tuple);
        EXPECT_EQ(empty, make_error_code(TaskError::empty_composition));
        const celery::AsyncResult nothing;
        auto [error, state] = co_await nothing.state(tuple);
        EXPECT_EQ(error, make_error_code(TaskError::no_result));
        auto [wait_error, result] = co_await nothing.wait(1s, tuple);
        EXPECT_EQ(wait_error, make_error_code(TaskError::no_result));
    });
    server.command({"SELECT", "0"});
    EXPECT_EQ(server.command({"EXISTS", "unread"}), "0");
}

TEST(CeleryClient, AnyTextMayBeAnId) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        for (const char* const name : {"two words", " ", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "'\"\\{}*?[%s"}) {
            celery::TaskOptions options;
            options.task_id = std::string(name) + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
            celery::AsyncResult task = co_await client.send_task("py.describe", celery::args(), options);
            const Json seen = co_await task.get(10s);
            EXPECT_EQ(seen["id"], options.task_id);
            const std::string state = co_await client.result(options.task_id).state();
            EXPECT_EQ(state, "SUCCESS");
            co_await task.forget();
        }
        celery::TaskOptions later;
        later.countdown = 400ms;
        later.task_id = "unwanted \xc3\xa4";
        celery::AsyncResult unwanted = co_await client.send_task("py.add", celery::args(1), later);
        co_await unwanted.revoke();
        const celery::TaskResult revoked = co_await unwanted.wait(10s);
        EXPECT_EQ(revoked.state, "REVOKED");
    });
}

TEST(CeleryClient, AnIdThatIsNoneIsAnErrorOfEveryOperation) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        for (const std::string& id : {std::string("\xff"), std::string(), std::string("a\nb"), std::string(300, 'i')}) {
            const celery::AsyncResult none = client.result(id);
            const error_code expected = make_error_code(celery::TaskError::invalid_task_id);
            auto [state_error, state] = co_await none.state(tuple);
            EXPECT_EQ(state_error, expected) << state;
            auto [ready_error, is_ready] = co_await none.ready(tuple);
            EXPECT_EQ(ready_error, expected) << is_ready;
            auto [peek_error, peeked] = co_await none.peek(tuple);
            EXPECT_EQ(peek_error, expected) << peeked.state;
            auto [wait_error, waited] = co_await none.wait(10s, tuple);
            EXPECT_EQ(wait_error, expected) << waited.state;
            auto [forget_error] = co_await none.forget(tuple);
            EXPECT_EQ(forget_error, expected);
            auto [revoke_error] = co_await none.revoke(tuple);
            EXPECT_EQ(revoke_error, expected);
            auto [failure, value] = co_await none.get<int>(10s, asio::as_tuple(asio::use_awaitable));
            EXPECT_TRUE(failure != nullptr) << value;
        }
    });
}

TEST(CeleryClient, WhoseSendingTimedOutCanBeAskedFor) {
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        Gate gate(python().server.port());
        celery::ClientOptions options;
        options.broker_url = gate.url();
        options.result_backend = python().server.url() + "/1";
        options.timeout = 300ms;
        options.logger = log.logger();
        celery::Client client{co_await asio::this_coro::executor, options};
        celery::AsyncResult before = co_await client.send_task("py.add", celery::args(1, 1));
        const int two = co_await before.get<int>(10s);
        EXPECT_EQ(two, 2);
        gate.stall(Way::to_client); // the broker has it, and its answer is lost
        auto [error, task] = co_await client.send_task("py.add", celery::args(2, 3), tuple);
        EXPECT_EQ(error, make_error_code(Error::timed_out)) << error.message();
        EXPECT_NE(task.id(), "");
        const int sum = co_await task.get<int>(10s);
        EXPECT_EQ(sum, 5);
        celery::Group pair =
            celery::group(celery::signature("py.add", celery::args(1, 2)), celery::signature("py.add", celery::args(3, 4)));
        auto [lost, group] = co_await client.send(pair, tuple);
        EXPECT_TRUE(lost);
        // One that is known not to have been sent is none.
        auto [refused, nothing] = co_await client.send_task("", tuple);
        EXPECT_EQ(nothing.id(), "") << refused.message();
        gate.heal();
    });
}

TEST(CeleryClient, AForgedOrTruncatedResultIsAnError) {
    RedisServer& server = python().server;
    with_client([&](celery::Client& client) -> asio::awaitable<void> {
        server.command({"SELECT", "1"});
        int number = 0;
        for (const std::string bytes : {"", "{\"status\":\"SUCC", "[]", "{}", "{\"status\":7,\"result\":1}", "\xff\xfe"}) {
            const std::string id = "forged-" + std::to_string(number++);
            server.command({"SET", "celery-task-meta-" + id, bytes});
            auto [error, result] = co_await client.result(id).wait(5s, tuple);
            EXPECT_EQ(error, make_error_code(Error::undecodable)) << bytes;
            auto [state_error, state] = co_await client.result(id).state(tuple);
            EXPECT_EQ(state_error, make_error_code(Error::undecodable)) << bytes;
        }
        // A failure that says nothing is one all the same.
        server.command({"SET", "celery-task-meta-odd", R"({"status":"FAILURE","result":null})"});
        const celery::TaskResult odd = co_await client.result("odd").wait(5s);
        EXPECT_TRUE(odd.failure && odd.failure->exc_type() == "Exception");
        server.command({"RPUSH", "celery-task-meta-list", "1"});
        auto [error, result] = co_await client.result("list").wait(5s, tuple);
        EXPECT_EQ(error, make_error_code(luzia::ServerError::wrongtype));
    });
}

TEST(CeleryClient, EveryTokenTakesIt) {
    asio::io_context io;
    const celery::ClientOptions options = client_options(python().server);
    celery::Client client(io, options);
    auto guard = asio::make_work_guard(io);
    std::thread thread([&] { io.run(); });
    std::future<celery::AsyncResult> sent = client.send_task("py.add", celery::args(4, 5), asio::use_future);
    const celery::AsyncResult task = sent.get();
    std::future<int> sum = task.get<int>(10s, asio::use_future);
    EXPECT_EQ(sum.get(), 9);
    std::promise<std::pair<error_code, std::string>> state;
    task.state([&](error_code error, std::string text) { state.set_value({error, std::move(text)}); });
    EXPECT_EQ(state.get_future().get().second, "SUCCESS");
    std::future<celery::AsyncResult> failing = client.send_task("py.fail", asio::use_future);
    std::future<void> failure = failing.get().get<void>(10s, asio::use_future);
    EXPECT_THROW(failure.get(), celery::TaskFailure);
    client.close();
    guard.reset();
    thread.join();
}

TEST(CeleryClient, WhatIsPendingEndsWithItsReason) {
    run([]() -> asio::awaitable<void> {
        RedisServer server;
        const celery::ClientOptions options = client_options(server);
        auto client = std::make_unique<celery::Client>(co_await asio::this_coro::executor, options);
        celery::AsyncResult task = co_await client->send_task("nobody.runs.this");
        // Cancelled.
        asio::cancellation_signal signal;
        std::optional<error_code> cancelled;
        task.wait(30s, asio::bind_cancellation_slot(signal.slot(), [&](error_code error, celery::TaskResult) { cancelled = error; }));
        const std::string state = co_await task.state();
        EXPECT_EQ(state, "PENDING");
        signal.emit(asio::cancellation_type::total);
        const bool is_cancelled = co_await eventually([&] { return cancelled.has_value(); });
        EXPECT_TRUE(is_cancelled && *cancelled == make_error_code(Error::cancelled));
        // The client goes first.
        std::optional<error_code> closed;
        task.wait(30s, [&](error_code error, celery::TaskResult) { closed = error; });
        client.reset();
        const bool is_closed = co_await eventually([&] { return closed.has_value(); });
        EXPECT_TRUE(is_closed && *closed == make_error_code(Error::closed));
        auto [later, nothing] = co_await task.wait(1s, tuple);
        EXPECT_EQ(later, make_error_code(Error::closed));
        auto [forgotten] = co_await task.forget(tuple);
        EXPECT_EQ(forgotten, make_error_code(Error::closed));
    });
    // The context goes first: handlers are destroyed uninvoked.
    auto watch = std::make_shared<int>(0);
    RedisServer server;
    celery::AsyncResult survivor;
    std::optional<asio::io_context> io(std::in_place);
    const celery::ClientOptions options = client_options(server);
    celery::Client client(*io, options);
    client.send_task("x", [&survivor](error_code, celery::AsyncResult task) { survivor = std::move(task); });
    while (survivor.id().empty()) {
        io->run_one();
    }
    survivor.wait(30s, [watch](error_code, celery::TaskResult) { ++*watch; });
    client.send_task("y", [watch](error_code, celery::AsyncResult) { ++*watch; });
    io.reset();
    EXPECT_EQ(watch.use_count(), 1);
    EXPECT_EQ(*watch, 0);
}

TEST(CeleryClient, ABrokerThatIsDownSilentOrFullIsAnErrorInTime) {
    run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const LogLines log;
        RedisServer server;
        Gate gate(server.port());
        celery::ClientOptions options;
        options.broker_url = "redis://127.0.0.1:" + std::to_string(free_port());
        options.result_backend = gate.url();
        options.timeout = 300ms;
        options.logger = log.logger();
        const auto timed = [](Clock::time_point begin) { return Clock::now() - begin; };
        {
            celery::Client client{executor, options};
            auto begin = Clock::now();
            auto [down, task] = co_await client.send_task("t", tuple);
            EXPECT_TRUE(down);
            EXPECT_LT(timed(begin), 300ms + slack);
        }
        options.broker_url = gate.url();
        {
            celery::Client client{executor, options};
            celery::AsyncResult before = co_await client.send_task("t");
            gate.stall(Way::to_client);
            auto begin = Clock::now();
            auto [silent, task] = co_await client.send_task("t", tuple);
            EXPECT_EQ(silent, make_error_code(Error::timed_out)) << silent.message();
            auto [wait_error, result] = co_await before.wait(500ms, tuple);
            EXPECT_TRUE(wait_error);
            EXPECT_LT(timed(begin), 800ms + slack);
            gate.heal();
        }
        options.max_pending_bytes = 1000;
        {
            celery::Client client{executor, options};
            gate.stall(Way::to_client);
            std::vector<error_code> errors;
            for (int i = 0; i < 100; ++i) {
                client.send_task("t", [&](error_code error, celery::AsyncResult) { errors.push_back(error); });
            }
            const bool have_ended = co_await eventually([&] { return errors.size() == 100; });
            EXPECT_TRUE(have_ended);
            EXPECT_GT(std::count(errors.begin(), errors.end(), make_error_code(Error::overloaded)), 50);
            gate.heal();
        }
        server.command({"CONFIG", "SET", "maxmemory", "1"});
        {
            celery::Client client{executor, options};
            auto [full, task] = co_await client.send_task("t", tuple);
            EXPECT_EQ(full, make_error_code(luzia::ServerError::oom)) << full.message();
        }
    });
}

TEST(CeleryClient, AResultIsFoundThoughTheConnectionsAreLostWhileItComes) {
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        RedisServer server;
        Gate gate(server.port());
        celery::ClientOptions options;
        options.broker_url = gate.url();
        options.timeout = 1s;
        options.logger = log.logger();
        celery::Client client{co_await asio::this_coro::executor, options};
        const std::string stored = R"({"status":"SUCCESS","result":5,"task_id":"x"})";
        // Told while nobody is connected: found by the look that follows the new link.
        std::optional<int> value;
        client.result("one").get<int>(20s, [&](std::exception_ptr, int got) { value = got; });
        const bool subscribed = co_await eventually([&] {
            return server.command({"PUBSUB", "NUMSUB", "celery-task-meta-one"}) == "celery-task-meta-one 1";
        });
        EXPECT_TRUE(subscribed);
        gate.shut();
        gate.cut();
        server.command({"SET", "celery-task-meta-one", stored});
        server.command({"PUBLISH", "celery-task-meta-one", stored});
        gate.open();
        const bool is_found = co_await eventually([&] { return value.has_value(); });
        EXPECT_TRUE(is_found && *value == 5);
        // Stored, and never told: found by the slow look.
        std::optional<int> untold;
        client.result("two").get<int>(20s, [&](std::exception_ptr, int got) { untold = got; });
        const bool again = co_await eventually([&] {
            return server.command({"PUBSUB", "NUMSUB", "celery-task-meta-two"}) == "celery-task-meta-two 1";
        });
        EXPECT_TRUE(again);
        server.command({"SET", "celery-task-meta-two", stored});
        const bool is_looked_up = co_await eventually([&] { return untold.has_value(); });
        EXPECT_TRUE(is_looked_up && *untold == 5);
        // Told, and not stored.
        std::optional<int> told;
        client.result("three").get<int>(20s, [&](std::exception_ptr, int got) { told = got; });
        const bool third = co_await eventually([&] {
            return server.command({"PUBSUB", "NUMSUB", "celery-task-meta-three"}) == "celery-task-meta-three 1";
        });
        EXPECT_TRUE(third);
        server.command({"PUBLISH", "celery-task-meta-three", stored});
        const bool is_told = co_await eventually([&] { return told.has_value(); });
        EXPECT_TRUE(is_told);
        // A subscription that nobody needs any more is given back.
        const bool is_left = co_await eventually([&] { return server.command({"PUBSUB", "CHANNELS"}).empty(); });
        EXPECT_TRUE(is_left);
    });
}

TEST(CeleryClient, WhoHasNoTimeGetsOneLook) {
    run([]() -> asio::awaitable<void> {
        const LogLines log;
        RedisServer server;
        server.command({"SELECT", "1"});
        server.command({"SET", "celery-task-meta-there", R"({"status":"SUCCESS","result":5,"task_id":"there"})"});
        server.command({"SET", "celery-task-meta-begun", R"({"status":"STARTED","result":null,"task_id":"begun"})"});
        celery::ClientOptions options = client_options(server);
        options.logger = log.logger();
        for (int i = 0; i < 20; ++i) { // not connected at first, each time
            celery::Client client{co_await asio::this_coro::executor, options};
            for (const std::chrono::milliseconds timeout : {0ms, 1ms, -5ms}) {
                const celery::TaskResult there = co_await client.result("there").wait(timeout);
                EXPECT_EQ(there.value, 5);
            }
            const auto begin = Clock::now();
            for (const char* const id : {"begun", "unknown"}) {
                auto [error, nothing] = co_await client.result(id).wait(0ms, tuple);
                EXPECT_EQ(error, make_error_code(Error::timed_out)) << id;
            }
            EXPECT_LT(Clock::now() - begin, 1s);
        }
        // The look takes no longer than a command may.
        Gate gate(server.port());
        options.result_backend = gate.url() + "/1";
        options.timeout = 200ms;
        celery::Client client{co_await asio::this_coro::executor, options};
        auto [first, nothing] = co_await client.result("unknown").wait(0ms, tuple);
        EXPECT_EQ(first, make_error_code(Error::timed_out));
        gate.stall(Way::to_client);
        const auto begin = Clock::now();
        auto [silent, still_nothing] = co_await client.result("there").wait(0ms, tuple);
        EXPECT_TRUE(silent);
        EXPECT_LT(Clock::now() - begin, 200ms + slack);
        gate.heal();
    });
}

TEST(CeleryClient, ALargeResultHoldsUpNoOther) {
    RedisServer server;
    asio::io_context io;
    auto guard = asio::make_work_guard(io);
    celery::Client client(io, client_options(server));
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { io.run(); });
    }
    const auto subscribed = [&](const std::string& id) {
        return holds_soon([&] {
            return server.command({"PUBSUB", "NUMSUB", "celery-task-meta-" + id}) == "celery-task-meta-" + id + " 1";
        });
    };
    std::string numbers = "[0";
    for (int i = 1; i < 1'500'000; ++i) {
        numbers += ",1";
    }
    const std::string large = R"({"status":"SUCCESS","task_id":"large","result":)" + numbers + "]}";
    std::future<Json> late = client.result("large").get(30s, asio::use_future);
    std::future<int> soon = client.result("small").get<int>(30s, asio::use_future);
    EXPECT_TRUE(subscribed("large") && subscribed("small"));
    server.command({"PUBLISH", "celery-task-meta-large", large});
    server.command({"PUBLISH", "celery-task-meta-small", R"({"status":"SUCCESS","task_id":"small","result":7})"});
    EXPECT_EQ(soon.get(), 7);
    EXPECT_EQ(late.wait_for(0s), std::future_status::timeout) << "the large one came first";
    EXPECT_EQ(late.get().size(), 1'500'000U);

    // Of one id the order stays, and each wait ends once.
    std::atomic<int> ended = 0;
    std::atomic<int> wrong = 0;
    constexpr int count = 50;
    for (int i = 0; i < count; ++i) {
        client.result("many").wait(30s, [&](error_code error, const celery::TaskResult& result) {
            wrong += error || result.state != "FAILURE" ? 1 : 0;
            ++ended;
        });
    }
    EXPECT_TRUE(subscribed("many"));
    for (int i = 0; i < 200; ++i) {
        server.command({"PUBLISH", "celery-task-meta-many", R"({"status":"PROGRESS","result":[1,2,3]})"});
    }
    server.command({"PUBLISH", "celery-task-meta-many",
                    R"({"status":"FAILURE","result":{"exc_type":"E","exc_message":[")" + std::string(500'000, 'x') + R"("]}})"});
    server.command({"PUBLISH", "celery-task-meta-many", R"({"status":"SUCCESS","result":1})"});
    EXPECT_TRUE(holds_soon([&] { return ended == count; }));
    EXPECT_EQ(wrong, 0);
    client.close();
    guard.reset();
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(ended, count);
}

celery::Group additions(int count) {
    celery::Group group;
    for (int i = 0; i < count; ++i) {
        group.tasks.push_back(celery::signature("py.add", celery::args(i, 100)));
    }
    return group;
}

TEST(CeleryClient, AGroupIsWaitedForAsOne) {
    with_client([](celery::Client& client) -> asio::awaitable<void> {
        const celery::Group five = additions(5);
        celery::GroupResult group = co_await client.send(five);
        const std::vector<int> values = co_await group.get<int>(10s);
        EXPECT_EQ(values, (std::vector<int>{100, 101, 102, 103, 104}));
        co_await group.get<void>(10s);
        const std::vector<Json> documents = co_await group.get(10s);
        EXPECT_EQ(documents.back(), 104);
        const std::vector<celery::TaskResult> results = co_await group.wait(0ms);
        EXPECT_TRUE(results.size() == 5 && results[3].state == "SUCCESS" && results[3].value == 103);
        const bool are_ready = co_await group.ready();
        EXPECT_TRUE(are_ready);
        auto [unfit, strings] = co_await group.get<std::string>(10s, asio::as_tuple(asio::use_awaitable));
        EXPECT_TRUE(unfit != nullptr && strings.empty());
        co_await group.forget();
        const bool are_still_ready = co_await group.ready();
        EXPECT_FALSE(are_still_ready);
        const std::string state = co_await group.results()[2].state();
        EXPECT_EQ(state, "PENDING");

        // One that fails.
        celery::Group broken = additions(3);
        broken.tasks[1] = celery::signature("py.fail");
        celery::GroupResult failing = co_await client.send(broken);
        bool is_thrown = false;
        try {
            const std::vector<int> none = co_await failing.get<int>(10s);
            ADD_FAILURE() << none.size();
        } catch (const celery::TaskFailure& failure) { is_thrown = failure.exc_type() == "ValueError"; }
        EXPECT_TRUE(is_thrown);
        const std::vector<celery::TaskResult> all = co_await failing.wait(10s);
        EXPECT_TRUE(all.size() == 3 && all[0].value == 100 && all[1].failure && all[2].value == 102);
        // Known at once, whatever the others do.
        broken.tasks[0].options.queue = "unread-queue";
        celery::GroupResult half = co_await client.send(broken);
        const auto begin = Clock::now();
        auto [failure, no_values] = co_await half.get<int>(20s, asio::as_tuple(asio::use_awaitable));
        EXPECT_TRUE(failure != nullptr && no_values.empty());
        EXPECT_LT(Clock::now() - begin, 10s);
        const bool is_half_ready = co_await half.ready();
        EXPECT_FALSE(is_half_ready);
        // One deadline for all, and what is there by then.
        const auto from = Clock::now();
        auto [late, partial] = co_await half.wait(300ms, tuple);
        EXPECT_EQ(late, make_error_code(Error::timed_out));
        EXPECT_TRUE(partial.size() == 3 && partial[0].state == "PENDING" && partial[1].failure);
        EXPECT_LT(Clock::now() - from, 300ms + slack);
        co_await half.forget();

        // Revoked.
        celery::Group later = additions(3);
        for (celery::Signature& task : later.tasks) {
            task.options.countdown = 400ms;
        }
        celery::GroupResult unwanted = co_await client.send(later);
        co_await unwanted.revoke();
        const std::vector<celery::TaskResult> revoked = co_await unwanted.wait(10s);
        for (const celery::TaskResult& one : revoked) {
            EXPECT_EQ(one.state, "REVOKED");
        }

        const celery::GroupResult nothing;
        auto [error, no_results] = co_await nothing.wait(1s, tuple);
        EXPECT_EQ(error, make_error_code(celery::TaskError::no_result));
        auto [ready_error, is_ready] = co_await nothing.ready(tuple);
        EXPECT_EQ(ready_error, make_error_code(celery::TaskError::no_result));
        auto [forget_error] = co_await nothing.forget(tuple);
        EXPECT_EQ(forget_error, make_error_code(celery::TaskError::no_result));
        auto [revoke_error] = co_await nothing.revoke(tuple);
        EXPECT_EQ(revoke_error, make_error_code(celery::TaskError::no_result));
    });
    python().server.command({"SELECT", "0"});
    python().server.command({"DEL", "unread-queue"});
}

TEST(CeleryClient, SendingAChordCanBeCancelledInBothItsSteps) {
    for (const bool is_first_step : {true, false}) {
        run([is_first_step]() -> asio::awaitable<void> {
            RedisServer server;
            Gate gate(server.port());
            celery::ClientOptions options = client_options(server);
            (is_first_step ? options.result_backend : options.broker_url) = gate.url() + (is_first_step ? "/1" : "/0");
            options.timeout = 30s;
            celery::Client client{co_await asio::this_coro::executor, options};
            co_await client.send_task("nobody.runs.this"); // connected
            gate.stall(Way::to_client);
            const celery::Chord chord = celery::chord(additions(2), celery::signature("py.total"));
            asio::cancellation_signal signal;
            std::optional<error_code> cancelled;
            const auto begin = Clock::now();
            client.send(chord, asio::bind_cancellation_slot(signal.slot(),
                                                            [&](error_code error, const celery::AsyncResult&) { cancelled = error; }));
            const bool is_soon = co_await eventually([&] { return Clock::now() - begin > 200ms; });
            EXPECT_TRUE(is_soon && !cancelled);
            signal.emit(asio::cancellation_type::total);
            const bool is_cancelled = co_await eventually([&] { return cancelled.has_value(); });
            EXPECT_TRUE(is_cancelled && *cancelled == make_error_code(Error::cancelled));
            EXPECT_LT(Clock::now() - begin, 10s);
        });
    }
}

TEST(CeleryClient, AGroupThatIsWaitedForEndsOnceWhateverHappens) {
    run([]() -> asio::awaitable<void> {
        RedisServer server;
        auto client = std::make_unique<celery::Client>(co_await asio::this_coro::executor, client_options(server));
        const celery::Group group = additions(20);
        celery::GroupResult sent = co_await client->send(group);
        asio::cancellation_signal signal;
        int cancellations = 0;
        error_code cancelled;
        sent.wait(30s, asio::bind_cancellation_slot(signal.slot(), [&](error_code error, std::vector<celery::TaskResult> results) {
                      ++cancellations;
                      cancelled = error;
                      EXPECT_EQ(results.size(), 20U);
                  }));
        const bool is_ready = co_await sent.ready();
        EXPECT_FALSE(is_ready);
        signal.emit(asio::cancellation_type::total);
        signal.emit(asio::cancellation_type::terminal);
        const bool is_cancelled = co_await eventually([&] { return cancellations == 1; });
        EXPECT_TRUE(is_cancelled && cancelled == make_error_code(Error::cancelled));
        std::optional<error_code> closed;
        sent.wait(30s, [&](error_code error, std::vector<celery::TaskResult>) { closed = error; });
        client.reset();
        const bool is_closed = co_await eventually([&] { return closed.has_value(); });
        EXPECT_TRUE(is_closed && *closed == make_error_code(Error::closed));
        EXPECT_EQ(cancellations, 1);
    });
    // The context goes first: handlers are destroyed uninvoked.
    auto watch = std::make_shared<int>(0);
    RedisServer server;
    std::optional<asio::io_context> io(std::in_place);
    celery::Client client(*io, client_options(server));
    celery::GroupResult survivor;
    client.send(additions(3), [&survivor](error_code, celery::GroupResult group) { survivor = std::move(group); });
    while (survivor.results().empty()) {
        io->run_one();
    }
    survivor.wait(30s, [watch](error_code, const std::vector<celery::TaskResult>&) { ++*watch; });
    io.reset();
    EXPECT_EQ(watch.use_count(), 1);
    EXPECT_EQ(*watch, 0);
}

TEST(CeleryClient, TenThousandTasksRunInPythonAndNothingIsLeft) {
    constexpr int count = many_tasks;
    RedisServer& server = python().server;
    run([&]() -> asio::awaitable<void> {
        celery::ClientOptions options = client_options(server);
        options.client_name = "counted";
        options.timeout = 30s; // what is measured here is that none is lost
        celery::Client client{co_await asio::this_coro::executor, options};
        const auto begin = Clock::now();
        int done = 0;
        int wrong = 0;
        for (int i = 0; i < count; ++i) {
            client.send_task("py.add", celery::args(i, 1), [&, i](error_code error, const celery::AsyncResult& task) {
                if (error) {
                    ++wrong;
                    return;
                }
                task.get<int>(60s, [&, i](std::exception_ptr failure, int value) {
                    ++done;
                    wrong += failure || value != i + 1 ? 1 : 0;
                });
            });
        }
        const bool is_all = co_await eventually([&] { return done + wrong >= count; }, 60s);
        EXPECT_TRUE(is_all);
        EXPECT_EQ(done, count);
        EXPECT_EQ(wrong, 0);
        std::printf("[ celery   ] %d tasks to Python and back in %.1f s\n", count,
                    std::chrono::duration<double>(Clock::now() - begin).count());
        std::size_t connections = 0;
        const std::string clients = server.command({"CLIENT", "LIST"});
        for (std::size_t at = clients.find("name=counted"); at != std::string::npos; at = clients.find("name=counted", at + 1)) {
            ++connections;
        }
        EXPECT_EQ(connections, 3U); // to the broker, to the results, and for what is told
        const bool is_clean = co_await eventually([&] { return leftovers(server, {"celery"}).empty(); });
        EXPECT_TRUE(is_clean) << leftovers(server, {"celery"});
    });
}

} // namespace
} // namespace luzia_test
