// threads.cpp: one client shared by the threads of one io_context, over one connection or several: GETs of raw bytes, or of a document, in a
// closed loop. Or the floor instead: a hand-written loop for each connection.
#include "document.hpp"
#include "floor.hpp"
#include "library.hpp"

#include <boost/asio/strand.hpp>

#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace benchmark;

struct Shared {
    std::atomic<std::ptrdiff_t> left_to_begin;
    std::atomic<std::ptrdiff_t> left;
};

/// What is stored and read: bytes.
struct Raw {
    using Client = RawClient;
    using Value = std::string;
    static Value make() { return std::string(100, 'v'); }
    static bool is_right(const Value& value) { return value.size() == 100; }
};

/// What is stored and read: a document, which takes a handler's thread some microseconds to decode.
struct Json {
    using Client = JsonClient;
    using Value = Document;
    static Value make() { return make_document(); }
    static bool is_right(const Value& value) { return value.members.size() == 4 && value.tags.size() == 3; }
};

template <class Kind>
asio::awaitable<void> read_again(typename Kind::Client& cache, Shared& shared, std::string key) {
    while (shared.left_to_begin.fetch_sub(1, std::memory_order_relaxed) > 0) {
        const auto value = co_await cache.template get<typename Kind::Value>(key);
        require(value && Kind::is_right(*value), "not the value");
        if (shared.left.fetch_sub(1, std::memory_order_relaxed) == 1) { cache.close(); }
    }
}

template <class Kind>
asio::awaitable<void> store(typename Kind::Client& cache, std::vector<std::string> keys) {
    const auto value = Kind::make();
    for (const std::string& key : keys) {
        const luzia::Effect stored = co_await cache.set(key, value, luzia::no_expiry);
        require(stored.count == 1, "no server");
    }
}

/// `io.run()` in so many threads.
void run_in(asio::io_context& io, std::size_t threads) {
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < threads; ++i) {
        others.emplace_back([&] { io.run(); });
    }
    io.run();
    for (std::thread& other : others) {
        other.join();
    }
}

void run_floor(std::uint16_t port, std::size_t threads, std::size_t connections, std::size_t depth, std::size_t total) {
    asio::io_context io(static_cast<int>(threads));
    std::deque<Run> runs; // of the same length: they end at about the same time
    const auto use = [](std::string&& got) { require(got.size() == 100, "not the value"); };
    std::deque<FloorLoop<decltype(use)>> loops;
    const double processor = processor_seconds();
    const std::size_t switches = voluntary_switches();
    const auto start = Clock::now();
    for (std::size_t i = 0; i < connections; ++i) {
        Run& run = runs.emplace_back(depth / connections, total / connections);
        asio::any_io_executor executor = io.get_executor();
        if (threads > 1) { executor = asio::make_strand(io); }
        loops.emplace_back(executor, port, run, command_of({"GET", "thread:" + std::to_string(i)}), use,
                           FloorTuning::for_loop_of(run.depth(), 107));
    }
    run_in(io, threads);
    const auto count = static_cast<double>(total / connections * connections);
    print_figure("op/s", count / seconds_since(start));
    print_figure("cpu ns/op", (processor_seconds() - processor) / count * 1e9);
    print_figure("switches/op", static_cast<double>(voluntary_switches() - switches) / count);
}

template <class Kind>
void run_threads(std::uint16_t port, std::size_t threads, std::size_t connections, std::size_t depth, std::size_t total) {
    asio::io_context io(static_cast<int>(threads));
    typename Kind::Client cache(io, options_for(port, connections));
    std::vector<std::string> keys; // many, so that every connection gets its share
    for (int i = 0; i < 256; ++i) {
        keys.push_back("thread:" + std::to_string(i));
    }
    Shared shared{static_cast<std::ptrdiff_t>(total), static_cast<std::ptrdiff_t>(total)};
    double processor = 0;
    std::size_t switches = 0;
    Clock::time_point start;
    asio::co_spawn(io, store<Kind>(cache, keys), [&](std::exception_ptr) {
        processor = processor_seconds();
        switches = voluntary_switches();
        start = Clock::now();
        for (std::size_t i = 0; i < depth; ++i) {
            asio::co_spawn(io, read_again<Kind>(cache, shared, keys[i % keys.size()]), asio::detached);
        }
    });
    run_in(io, threads);
    print_figure("op/s", static_cast<double>(total) / seconds_since(start));
    print_figure("cpu ns/op", (processor_seconds() - processor) / static_cast<double>(total) * 1e9);
    print_figure("switches/op", static_cast<double>(voluntary_switches() - switches) / static_cast<double>(total));
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 5, "PORT THREADS CONNECTIONS DEPTH TOTAL [json|floor]");
    spdlog::set_level(spdlog::level::warn);
    const std::size_t threads = given.number(2);
    if (given.text(6) == "floor") {
        run_floor(given.port(), threads, given.number(3), given.number(4), given.number(5));
    } else if (given.text(6) == "json") {
        run_threads<Json>(given.port(), threads, given.number(3), given.number(4), given.number(5));
    } else {
        run_threads<Raw>(given.port(), threads, given.number(3), given.number(4), given.number(5));
    }
    return 0;
}
