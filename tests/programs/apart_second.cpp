// apart_second.cpp: another file of it, which has the engine for itself: it names a backend.
#include <luzia/backend/memory_backend.hpp>
#include <luzia/backend/redis_backend.hpp>
#include <luzia/cache_client.hpp>

#include <boost/asio/io_context.hpp>

#include <optional>
#include <string>

bool uses_a_backend_by_its_name() {
    boost::asio::io_context io;
    luzia::CacheClient cache{luzia::MemoryBackend{io.get_executor()}};
    luzia::CacheOptions nobody;
    nobody.url = "redis://127.0.0.1:1";
    luzia::CacheClient<luzia::RedisBackend> direct{io, nobody};
    bool is_stored = false;
    bool is_missed = false;
    cache.set("key", 1, [&](luzia::Effect stored) {
        is_stored = bool(stored);
        cache.close();
    });
    direct.get<int>("key", [&](std::optional<int> value) {
        is_missed = !value;
        direct.close();
    });
    io.run();
    return is_stored && is_missed;
}
