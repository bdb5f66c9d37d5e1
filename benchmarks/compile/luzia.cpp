// luzia.cpp: a small program that caches a struct.
#include <luzia/cache_client.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

boost::asio::awaitable<void> example() {
    luzia::CacheClient cache{co_await boost::asio::this_coro::executor};
    Metrics acme{50, "acme"};
    co_await cache.set("org:123:metrics", acme, std::chrono::seconds(600));
    std::optional<Metrics> metrics = co_await cache.get<Metrics>("org:123:metrics");
    spdlog::info(metrics ? metrics->org : "nothing");
}

int main() {
    boost::asio::io_context io;
    boost::asio::co_spawn(io, example(), boost::asio::detached);
    io.run();
}
