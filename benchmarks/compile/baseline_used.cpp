// baseline_used.cpp: the file of luzia_used.cpp without a cache.
#include <boost/asio/awaitable.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

struct Metrics {
    int total = 0;
    std::string org;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Metrics, total, org)

boost::asio::awaitable<void> example() {
    Metrics acme{50, "acme"};
    const std::string text = nlohmann::json(acme).dump();
    spdlog::info(nlohmann::json::parse(text).get<Metrics>().org);
    co_return;
}
