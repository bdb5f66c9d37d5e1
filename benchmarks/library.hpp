// library.hpp: luzia as a contestant: its public face, one coroutine for each operation in flight.
#pragma once

#include "measure.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace benchmark {

namespace asio = boost::asio;

using RawClient = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;
using JsonClient = luzia::CacheClient<>;

/// No deadline that a slow moment of the machine could pass; everything else as it comes.
[[nodiscard]] inline luzia::CacheOptions options_for(std::uint16_t port, std::size_t connections = 1) {
    luzia::CacheOptions options;
    options.url = "redis://127.0.0.1:" + std::to_string(port);
    options.connections = connections;
    options.command_timeout = std::chrono::seconds(60);
    return options;
}

/// One of the coroutines: `begin()` gives an operation, `is_right(result)` says whether its result is what it must be.
template <class Client, class Begin, class IsRight>
asio::awaitable<void> repeat(Client& cache, Run& run, const Begin& begin, const IsRight& is_right) {
    while (run.begin(1) != 0) {
        const auto result = co_await begin();
        require(is_right(result), "not the result that it must be");
        if (run.end()) { cache.close(); }
    }
}

/// The closed loop, on a connected client, in one thread.
template <class Client, class Begin, class IsRight>
void run_library(asio::io_context& io, Client& cache, Run& run, const Begin& begin, const IsRight& is_right) {
    cache.ping([&](bool is_there) {
        require(is_there, "no server");
        run.start();
        for (std::size_t i = 0; i < run.depth(); ++i) {
            asio::co_spawn(io, repeat(cache, run, begin, is_right), asio::detached);
        }
    });
    io.run();
}

} // namespace benchmark
