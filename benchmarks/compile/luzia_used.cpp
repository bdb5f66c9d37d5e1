// luzia_used.cpp: a file of a larger program, that caches a struct with a client made in another file.
#include <luzia/cache_client.hpp>

#include <boost/asio/awaitable.hpp>

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

boost::asio::awaitable<void> example(luzia::CacheClient<>& cache) {
    Metrics acme{50, "acme"};
    co_await cache.set("org:123:metrics", acme, std::chrono::seconds(600));
    std::optional<Metrics> metrics = co_await cache.get<Metrics>("org:123:metrics");
    spdlog::info(metrics ? metrics->org : "nothing");
}
