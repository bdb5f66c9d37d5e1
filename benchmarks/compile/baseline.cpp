// baseline.cpp: the same program without a cache: Asio, nlohmann_json and one plain line in the log.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

boost::asio::awaitable<void> example() {
    boost::asio::ip::tcp::socket socket(co_await boost::asio::this_coro::executor);
    boost::asio::steady_timer timer(socket.get_executor(), std::chrono::seconds(1));
    Metrics acme{50, "acme"};
    const std::string text = nlohmann::json(acme).dump();
    co_await timer.async_wait(boost::asio::deferred);
    co_await socket.async_connect({boost::asio::ip::make_address("127.0.0.1"), 6379}, boost::asio::deferred);
    co_await boost::asio::async_write(socket, boost::asio::buffer(text), boost::asio::deferred);
    spdlog::info(nlohmann::json::parse(text).get<Metrics>().org);
}

int main() {
    boost::asio::io_context io;
    boost::asio::co_spawn(io, example(), boost::asio::detached);
    io.run();
}
