// shared_client.cpp: one client shared by four threads, its I/O done by two others.
//
// Each worker begins 500 writes and 500 reads without waiting in between; the client sends what is pending in few, large writes. A key always
// travels on the same connection, so that a read begun after a write of that key sees it.
#include <luzia/cache_client.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr int workers = 4;
constexpr int rounds = 500;

struct Totals {
    int stored = 0;
    int right = 0;
    int wrong = 0;
    int missed = 0;
};

Totals work(luzia::CacheClient<>& cache, int worker) {
    std::vector<std::future<luzia::Effect>> writes;
    std::vector<std::future<std::optional<int>>> reads;
    for (int i = 0; i < rounds; ++i) {
        const std::string key = "shared:" + std::to_string(worker) + ":" + std::to_string(i);
        writes.push_back(cache.set(key, worker * rounds + i, 60s, asio::use_future));
        reads.push_back(cache.get<int>(key, asio::use_future));
    }
    Totals totals;
    for (auto& write : writes) {
        if (write.get()) { ++totals.stored; }
    }
    for (int i = 0; i < rounds; ++i) {
        const std::optional<int> value = reads[static_cast<std::size_t>(i)].get();
        ++(!value ? totals.missed : *value == worker * rounds + i ? totals.right : totals.wrong);
    }
    return totals;
}

int main() {
    asio::io_context context;
    auto guard = asio::make_work_guard(context);
    std::vector<std::thread> io_threads;
    for (int i = 0; i < 2; ++i) {
        io_threads.emplace_back([&context] { context.run(); });
    }

    luzia::CacheOptions options = luzia::CacheOptions::from_environment();
    options.connections = 2;      // keys are shared out between them
    options.command_timeout = 5s; // thousands at once, on a machine that may be busy
    luzia::CacheClient cache{context, options};

    std::vector<std::future<Totals>> running;
    for (int worker = 0; worker < workers; ++worker) {
        running.push_back(std::async(std::launch::async, work, std::ref(cache), worker));
    }
    for (int worker = 0; worker < workers; ++worker) {
        const Totals totals = running[static_cast<std::size_t>(worker)].get();
        std::cout << "worker " << worker << ": stored " << totals.stored << ", read back " << totals.right << ", wrong " << totals.wrong
                  << ", missed " << totals.missed << '\n';
    }

    const std::size_t removed = cache.invalidate_pattern("shared:*", asio::use_future).get();
    const luzia::CacheStats stats = cache.stats();
    std::cout << "removed " << removed << " keys\n"
              << "client: " << stats.stored << " stored, " << stats.hits << " hits, " << stats.misses << " misses, " << stats.erased
              << " erased, " << stats.failures << " failures, " << (stats.ready ? "ready" : "not ready") << '\n';

    cache.close(); // a connected client keeps run() from returning
    guard.reset();
    for (auto& thread : io_threads) {
        thread.join();
    }
}
