// apart_first.cpp: a file of a program whose engine is compiled apart: what it sees of it, and that everything works all the same.
#include <luzia/cache_client.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <concepts>
#include <cstdio>
#include <optional>
#include <string>

#if !defined(LUZIA_SEPARATE_COMPILATION)
#error "the target says so to those who link it"
#endif

namespace luzia {
class RedisBackend; // of which this file must not know more
}

template <class T>
concept IsComplete = requires {
    sizeof(T);
};
static_assert(!IsComplete<luzia::RedisBackend>);

bool uses_a_backend_by_its_name();

boost::asio::awaitable<void> use(bool& works) {
    luzia::CacheClient cache{co_await boost::asio::this_coro::executor}; // REDIS_URL and CACHE_TTL
    const luzia::Effect stored = co_await cache.set("key", std::string("value"));
    const std::optional<std::string> value = co_await cache.get<std::string>("key");
    const auto left = co_await cache.time_to_live("key");
    const bool is_drained = co_await cache.drain(std::chrono::seconds(1));
    works = stored && value == "value" && left && *left <= std::chrono::seconds(7) && is_drained;
}

int main() {
    boost::asio::io_context io;
    bool works = false;
    boost::asio::co_spawn(io, use(works), boost::asio::detached);
    io.run();
    works = uses_a_backend_by_its_name() && works;
    std::puts(works ? "works" : "does not work");
    return works ? 0 : 1;
}
