// quickstart.cpp: the README's example, with what it finds printed.
//
// REDIS_URL says where Redis is (default redis://localhost:6379), CACHE_TTL how many seconds a value lives where none are given (300).
// Run it with Redis stopped as well: nothing is found, nothing fails.
#include <luzia/cache_client.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

asio::awaitable<void> example() {
    luzia::CacheClient cache{co_await asio::this_coro::executor};

    // Values are named before they are awaited: GCC 12 miscompiles `co_await cache.set("...", Metrics{50, "acme"})`.
    Metrics acme{50, "acme"};
    const bool stored = co_await cache.set("org:123:metrics", acme, 600s);
    std::cout << "stored:  " << (stored ? "yes" : "no") << '\n';

    std::optional<Metrics> metrics = co_await cache.get<Metrics>("org:123:metrics");
    std::cout << "typed:   " << (metrics ? metrics->org + " has " + std::to_string(metrics->total) : "nothing") << '\n';

    std::optional<nlohmann::json> raw = co_await cache.get("org:123:metrics");
    std::cout << "json:    " << (raw ? raw->dump() : "nothing") << '\n';

    const bool erased = co_await cache.erase("org:123:metrics");
    const bool still_there = co_await cache.contains("org:123:metrics");
    std::cout << "erased:  " << (erased ? "yes" : "no") << ", still there: " << (still_there ? "yes" : "no") << '\n';

    // Without a time to live: the default one.
    co_await cache.set("org:123:name", "acme");
    const auto left = co_await cache.time_to_live("org:123:name");
    std::cout << "lives:   " << (left ? std::to_string(std::chrono::round<std::chrono::seconds>(*left).count()) + " s" : "not") << '\n';

    co_await cache.set("org:123:members", 12);
    co_await cache.set("org:7:members", 3);
    std::size_t removed = co_await cache.invalidate_pattern("org:123:*");
    std::optional<int> other = co_await cache.get<int>("org:7:members");
    std::cout << "removed: " << removed << " keys of org 123; org 7 has " << (other ? std::to_string(*other) + " members" : "nothing")
              << '\n';
}

int main() {
    asio::io_context context;
    asio::co_spawn(context, example(), [](std::exception_ptr problem) {
        if (problem) { std::rethrow_exception(problem); }
    });
    context.run();
}
