// tests/support/celery_worker.hpp: a worker in C++ with the tasks that the tests call, in this process or in one of its own.
#pragma once

#include <luzia/celery/worker.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {

namespace asio = boost::asio;

/// Registers the tasks. They use a connection of their own to the result backend, for what tests look at.
inline void register_tasks(luzia::celery::Worker& worker, const asio::any_io_executor& executor, const std::string& backend_url) {
    namespace celery = luzia::celery;
    using celery::Json;
    using celery::TaskContext;
    auto log = std::make_shared<luzia::EventLog>(nullptr);
    const auto url = luzia::parse_url(backend_url);
    luzia::redis::ConnectionOptions options;
    options.command_timeout = std::chrono::seconds(5);
    options.database = url->database;
    const auto redis = luzia::redis::Connection::create(executor, luzia::redis::Target(*url), options, log);
    const auto command = [redis, executor](luzia::redis::Words words) -> asio::awaitable<luzia::redis::Reply> {
        auto [error, reply] = co_await luzia::redis::execute(redis, std::move(words), executor, asio::as_tuple(asio::use_awaitable));
        if (error) { throw boost::system::system_error(error); }
        co_return std::move(reply);
    };
    const auto until_set = [command](std::string key) -> asio::awaitable<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor);
        while (true) {
            luzia::redis::Words words{"EXISTS", key};
            const luzia::redis::Reply found = co_await command(std::move(words));
            if (found.integer() != 0) { co_return; }
            timer.expires_after(std::chrono::milliseconds(5));
            co_await timer.async_wait(asio::use_awaitable);
        }
    };

    worker.task(
        "cpp.add", [](int a, int b) { return a + b; }, celery::parameters("a", "b"));
    worker.task("cpp.nothing", [] {});
    worker.task("cpp.total", [](const std::vector<int>& numbers) { return std::accumulate(numbers.begin(), numbers.end(), 0); });
    worker.task("cpp.echo", [](const celery::Arguments& all) { return Json::array({all.positional(), all.named()}); });
    worker.task("cpp.coroutine", [](std::string text) -> asio::awaitable<std::string> {
        asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(1));
        co_await timer.async_wait(asio::use_awaitable);
        co_return text + "!";
    });
    worker.task("cpp.optional", [](int a, std::optional<int> b) { return Json::array({a, b ? Json(*b) : Json()}); });
    worker.task(
        "cpp.keywords", [](int, celery::Keywords rest) { return rest.values; }, celery::parameters("a"));
    worker.task("cpp.fail", [](const std::string& type) {
        throw celery::TaskFailure(type, Json::array({"bad", 42}), "builtins", "from C++");
    });
    worker.task("cpp.throw", [] { throw std::runtime_error("thrown"); });
    worker.task("cpp.bytes", [] { return std::string("\xff\xfe"); });
    worker.task("cpp.describe", [](TaskContext& context) {
        Json seen = Json::object();
        seen["id"] = context.id();
        seen["retries"] = context.retries();
        seen["redelivered"] = context.redelivered();
        seen["color"] = context.headers().value("color", Json());
        seen["has_deadline"] = context.deadline().has_value();
        seen["queue"] = context.queue();
        return seen;
    });
    worker.task("cpp.sleep", [](int seconds) -> asio::awaitable<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::seconds(seconds));
        co_await timer.async_wait(asio::use_awaitable);
    });
    worker.task("cpp.stubborn", [](TaskContext& context) -> asio::awaitable<void> { // does not listen
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        asio::steady_timer timer(co_await asio::this_coro::executor);
        while (!context.stop_requested()) {
            timer.expires_after(std::chrono::milliseconds(5));
            co_await timer.async_wait(asio::use_awaitable);
        }
        timer.expires_after(std::chrono::milliseconds(100));
        co_await timer.async_wait(asio::use_awaitable);
    });
    worker.task("cpp.retry", [](TaskContext& context, int until) {
        if (context.retries() < until) { throw context.retry(std::chrono::milliseconds(20)); }
        return context.retries();
    });
    celery::TaskSettings flaky;
    flaky.retry_on_failure = true;
    flaky.retry_backoff = std::chrono::milliseconds(10);
    worker.task(
        "cpp.flaky",
        [command](std::string key) -> asio::awaitable<std::string> {
            luzia::redis::Words words{"INCR", std::move(key)};
            const luzia::redis::Reply tries = co_await command(std::move(words));
            if (tries.integer() < 3) { throw std::runtime_error("not yet"); }
            co_return "at last";
        },
        flaky);
    worker.task("cpp.progress", [until_set](TaskContext& context, std::string key) -> asio::awaitable<std::string> {
        const Json meta = Json::object({{"done", 7}});
        context.update_state("PROGRESS", meta);
        co_await until_set(std::move(key));
        co_return "done";
    });
    worker.task("cpp.note", [command](celery::Arguments all) -> asio::awaitable<void> {
        luzia::redis::Words words{"RPUSH", "noted", all.positional().dump()};
        co_await command(std::move(words));
    });
    worker.task("cpp.order", [command](std::string what) -> asio::awaitable<void> {
        luzia::redis::Words words{"RPUSH", "order", std::move(what)};
        co_await command(std::move(words));
    });
    const auto hold = [command, until_set](TaskContext& context, std::string key) -> asio::awaitable<bool> {
        luzia::redis::Words words{"RPUSH", "running", context.id()};
        co_await command(std::move(words));
        co_await until_set(std::move(key));
        co_return context.redelivered();
    };
    worker.task("cpp.hold", hold);
    worker.task("py.hold", hold); // of a queue that workers of both kinds serve
    // Counts its runs, for tests that look for what was lost or done twice. Where it can't, it is tried again.
    celery::TaskSettings counting;
    counting.retry_on_failure = true;
    counting.max_retries = 100;
    counting.retry_backoff = counting.longest_retry_backoff = std::chrono::milliseconds(20);
    worker.task(
        "cpp.count",
        [command](TaskContext& context, int) -> asio::awaitable<void> {
            luzia::redis::Words words{"HINCRBY", "runs", context.id(), "1"};
            co_await command(std::move(words));
        },
        counting);
}

} // namespace luzia_test
