// boost_redis.cpp: the same program on Boost.Redis.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/redis/connection.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#if !defined(APART)
#include <boost/redis/src.hpp>
#endif

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

boost::asio::awaitable<void> example() {
    boost::redis::connection connection(co_await boost::asio::this_coro::executor);
    boost::redis::config config;
    connection.async_run(config, {}, boost::asio::detached);
    Metrics acme{50, "acme"};
    boost::redis::request request;
    request.push("SETEX", "org:123:metrics", "600", nlohmann::json(acme).dump());
    request.push("GET", "org:123:metrics");
    boost::redis::response<boost::redis::ignore_t, std::optional<std::string>> response;
    co_await connection.async_exec(request, response, boost::asio::deferred);
    const auto& text = std::get<1>(response).value();
    spdlog::info(text ? nlohmann::json::parse(*text).get<Metrics>().org : "nothing");
    connection.cancel();
}

int main() {
    boost::asio::io_context io;
    boost::asio::co_spawn(io, example(), boost::asio::detached);
    io.run();
}
