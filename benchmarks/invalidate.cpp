// invalidate.cpp: invalidate_pattern over a large database: how long it takes, and how long a concurrent GET waits meanwhile.
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

double milliseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

asio::awaitable<void> fill(Client& cache, int keys) {
    constexpr int batch = 10'000;
    for (int first = 0; first < keys; first += batch) {
        std::vector<std::pair<std::string, std::string>> entries;
        for (int i = first; i < std::min(keys, first + batch); ++i) {
            entries.emplace_back((i % 10 == 0 ? "match:" : "other:") + std::to_string(i), "value");
        }
        const luzia::Effect stored = co_await cache.set_many(entries, luzia::no_expiry);
        if (stored.count != entries.size()) { std::abort(); }
    }
}

asio::awaitable<void> watch(Client& cache, const bool& is_over, std::vector<double>& waits) {
    while (!is_over) {
        const auto start = Clock::now();
        static_cast<void>(co_await cache.get("other:1"));
        waits.push_back(milliseconds_since(start));
    }
}

asio::awaitable<void> measure(Client& walker, Client& watcher) {
    bool is_over = false;
    std::vector<double> waits;
    static_cast<void>(co_await watcher.ping());
    asio::co_spawn(co_await asio::this_coro::executor, watch(watcher, is_over, waits), asio::detached);
    const auto start = Clock::now();
    const luzia::Effect removed = co_await walker.invalidate_pattern("match:*");
    const double took = milliseconds_since(start);
    is_over = true;
    std::sort(waits.begin(), waits.end());
    std::printf("invalidate_pattern: %zu keys in %.0f ms; %zu GETs meanwhile: median %.3f ms, longest %.3f ms\n", removed.count, took,
                waits.size(), waits[waits.size() / 2], waits.back());
    static_cast<void>(co_await watcher.drain());
    walker.close();
    watcher.close();
}

} // namespace

int main(int count, char** arguments) {
    if (count < 3) {
        std::fputs("usage: invalidate PORT fill KEYS | invalidate PORT measure\n", stderr);
        return 2;
    }
    spdlog::set_level(spdlog::level::warn);
    asio::io_context io(1);
    luzia::CacheOptions options;
    options.url = std::string("redis://127.0.0.1:") + arguments[1];
    options.command_timeout = std::chrono::seconds(20);
    Client walker(io, options);
    Client watcher(io, options);
    if (std::strcmp(arguments[2], "fill") == 0) {
        asio::co_spawn(io, fill(walker, std::atoi(arguments[3])), [&](std::exception_ptr) { walker.close(); });
    } else {
        asio::co_spawn(io, measure(walker, watcher), asio::detached);
    }
    io.run();
    return 0;
}
