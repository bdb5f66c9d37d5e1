// A program of somebody else's, built against the library in each of the ways it can be had.
#include <luzia/cache_client.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdio>
#include <optional>
#include <string>

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

boost::asio::awaitable<void> use(bool& works) {
    luzia::CacheClient cache{co_await boost::asio::this_coro::executor};
    Metrics acme{50, "acme"};
    co_await cache.set("org:123:metrics", acme);
    std::optional<Metrics> found = co_await cache.get<Metrics>("org:123:metrics");
    works = found && found->org == "acme";
}

int main() {
    boost::asio::io_context io;
    bool works = false;
    boost::asio::co_spawn(io, use(works), boost::asio::detached);
    io.run();
    std::puts(works ? "works" : "does not work");
    return works ? 0 : 1;
}
