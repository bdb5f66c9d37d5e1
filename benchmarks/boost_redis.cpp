// boost_redis.cpp: Boost.Redis as a contestant: one connection, one thread, a coroutine for each operation in flight, logging off.
#include "measure.hpp"
#include "pace.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/redis/connection.hpp>
#include <boost/redis/src.hpp>

#include <deque>
#include <memory>
#include <string>
#include <utility>

extern "C" __attribute__((weak)) std::size_t counted_bytes_held();

namespace {

using namespace benchmark;
namespace asio = boost::asio;
namespace redis = boost::redis;

asio::awaitable<void> repeat(redis::connection& connection, Run& run, const redis::request& request, std::size_t answer_bytes) {
    while (run.begin(1) != 0) {
        redis::response<std::string> response;
        co_await connection.async_exec(request, response);
        require(std::get<0>(response).value().size() == answer_bytes, "not the answer that it must be");
        if (run.end()) { connection.cancel(); }
    }
}

asio::awaitable<void> begin(redis::connection& connection, Run& run, const redis::request& request, std::size_t answer_bytes) {
    redis::request ping;
    ping.push("PING");
    redis::response<std::string> pong;
    co_await connection.async_exec(ping, pong);
    run.start();
    const auto executor = co_await asio::this_coro::executor;
    for (std::size_t i = 0; i < run.depth(); ++i) {
        asio::co_spawn(executor, repeat(connection, run, request, answer_bytes), asio::detached);
    }
}

asio::awaitable<void> begin_open_loop(asio::io_context& io, redis::connection& connection, Pace& pace, const redis::request& request) {
    redis::request ping;
    ping.push("PING");
    redis::response<std::string> pong;
    co_await connection.async_exec(ping, pong);
    pace.start(io, [&](std::size_t index) {
        auto kept = std::make_unique<redis::response<std::string>>(); // has to live until the end
        auto& response = *kept;
        connection.async_exec(request, response, [&, index, kept = std::move(kept)](boost::system::error_code error, std::size_t) {
            require(!error && std::get<0>(*kept).value().size() == 100, "not the value");
            if (pace.end(index)) { connection.cancel(); }
        });
    });
}

/// What a connected client holds while nothing is asked of it.
void measure_idle(const redis::config& config, std::size_t clients) {
    require(counted_bytes_held != nullptr, "to be started with LD_PRELOAD=counted.so");
    asio::io_context io(1);
    std::deque<redis::connection> connections;
    redis::request ping;
    ping.push("PING");
    std::size_t before = 0;
    for (std::size_t i = 0; i <= clients; ++i) { // the first one needs things for all
        if (i == 1) { before = counted_bytes_held(); }
        bool is_there = false;
        connections.emplace_back(io).async_run(config, redis::logger(redis::logger::level::disabled), asio::detached);
        connections.back().async_exec(ping, redis::ignore, [&](boost::system::error_code error, std::size_t) { is_there = !error; });
        while (!is_there) {
            io.run_one();
        }
    }
    print_figure("bytes", static_cast<double>(counted_bytes_held() - before) / static_cast<double>(clients));
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 5, "PORT boost.redis get|set|rate|idle DEPTH|RATE|CLIENTS TOTAL [VALUE_BYTES]");
    const std::size_t bytes = given.number(6, 100);
    const std::string key = "value:" + std::to_string(bytes);
    const bool is_get = given.text(3) != "set";
    redis::request request;
    if (is_get) {
        request.push("GET", key);
    } else {
        request.push("SET", key, std::string(bytes, 'v'));
    }
    Run run(given.number(4), given.number(5));
    asio::io_context io(1);
    redis::connection connection(io);
    redis::config config;
    config.addr.host = "127.0.0.1";
    config.addr.port = given.text(1);
    if (given.text(3) == "idle") {
        measure_idle(config, given.number(4));
        return 0;
    }
    connection.async_run(config, redis::logger(redis::logger::level::disabled), asio::detached);
    if (given.text(3) == "rate") {
        Pace pace(static_cast<double>(given.number(4)), given.number(5));
        asio::co_spawn(io, begin_open_loop(io, connection, pace, request), asio::detached);
        io.run();
        pace.print();
        return 0;
    }
    asio::co_spawn(io, begin(connection, run, request, is_get ? bytes : 2), asio::detached);
    io.run();
    run.print(bytes >= 1024 ? bytes : 0);
    return 0;
}
