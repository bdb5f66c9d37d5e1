// invalidate.cpp: invalidate_pattern over a large database: how long it takes, and how long a concurrent GET waits meanwhile.
#include "library.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace benchmark;
using Client = RawClient;

asio::awaitable<void> fill(Client& cache, std::size_t keys) {
    constexpr std::size_t batch = 10'000;
    for (std::size_t first = 0; first < keys; first += batch) {
        std::vector<std::pair<std::string, std::string>> entries;
        for (std::size_t i = first; i < std::min(keys, first + batch); ++i) {
            entries.emplace_back((i % 10 == 0 ? "match:" : "other:") + std::to_string(i), "value");
        }
        const luzia::Effect stored = co_await cache.set_many(entries, luzia::no_expiry);
        require(stored.count == entries.size(), "not all is stored");
    }
}

asio::awaitable<void> watch(Client& cache, const bool& is_over, std::vector<double>& waits) {
    while (!is_over) {
        const auto start = Clock::now();
        static_cast<void>(co_await cache.get("other:1"));
        waits.push_back(seconds_since(start) * 1e3);
    }
}

asio::awaitable<void> measure(Client& walker, Client& watcher) {
    bool is_over = false;
    std::vector<double> waits;
    static_cast<void>(co_await walker.ping());
    static_cast<void>(co_await watcher.ping());
    asio::co_spawn(co_await asio::this_coro::executor, watch(watcher, is_over, waits), asio::detached);
    const auto start = Clock::now();
    const luzia::Effect removed = co_await walker.invalidate_pattern("match:*");
    const double took = seconds_since(start);
    is_over = true;
    std::sort(waits.begin(), waits.end());
    require(removed.outcome == luzia::Outcome::done && !waits.empty(), "the walk stopped");
    print_figure("s", took);
    print_figure("removed", static_cast<double>(removed.count));
    print_figure("GET meanwhile p50 ms", waits[waits.size() / 2]);
    print_figure("GET meanwhile longest ms", waits.back());
    static_cast<void>(co_await watcher.drain());
    walker.close();
    watcher.close();
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 2, "PORT fill KEYS | PORT measure");
    spdlog::set_level(spdlog::level::warn);
    asio::io_context io(1);
    Client walker(io, options_for(given.port()));
    Client watcher(io, options_for(given.port()));
    if (given.text(2) == "fill") {
        asio::co_spawn(io, fill(walker, given.number(3)), [&](std::exception_ptr) { walker.close(); });
    } else {
        asio::co_spawn(io, measure(walker, watcher), asio::detached);
    }
    io.run();
    return 0;
}
