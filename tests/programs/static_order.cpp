// programs/static_order.cpp: clients and their context with static lifetime, one client on either side of it, operations pending at the exit.
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

namespace {

struct Told {
    ~Told() { std::puts("destroyed"); }
} told_last;

/// Decodes when what the thread keeps for that has been destroyed.
struct DecodesLast {
    ~DecodesLast() {
        for (int i = 0; i < 2; ++i) {
            if (luzia::JsonCodec().decode<std::vector<int>>("[1,2]") != std::vector<int>{1, 2}) { std::abort(); }
        }
    }
} decodes_last;

std::optional<luzia::CacheClient<>> outlives_its_context;
boost::asio::io_context context;
std::optional<luzia::CacheClient<>> outlived_by_it;
std::optional<luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>> on_a_strand;

int called = 0;

template <class Client>
void begin_some(Client& cache) {
    for (int i = 0; i < 10; ++i) {
        cache.template get<std::string>("key", [](std::optional<std::string>) { ++called; });
        cache.invalidate_pattern("*", [](luzia::Effect) { ++called; });
    }
}

} // namespace

int main() {
    luzia::CacheOptions options;
    options.url = "redis://localhost:1"; // where nothing listens, and whose look-up may still be under way at the end
    options.command_timeout = std::chrono::seconds(20);
    outlives_its_context.emplace(context, options);
    outlived_by_it.emplace(context, options);
    on_a_strand.emplace(boost::asio::make_strand(context), options);
    begin_some(*outlives_its_context);
    begin_some(*outlived_by_it);
    begin_some(*on_a_strand);
    context.run_for(std::chrono::milliseconds(20));
    begin_some(*outlives_its_context);
    begin_some(*outlived_by_it);
    begin_some(*on_a_strand);
    if (!luzia::JsonCodec().decode<std::vector<int>>("[1,2]")) { return 1; } // from here on it keeps something
    std::atexit([] { std::puts("exit"); });
    spdlog::shutdown(); // the program's log is gone before the last line of ours
    std::printf("%d called\n", called);
    return 0;
}
