// The contract of backends, kept by all that there are.
#include "../contract/backend_contract.hpp"
#include "../support/redis_server.hpp"

#include <luzia/backend/default_backend.hpp>

namespace luzia_test {
namespace {

luzia::BackendOptions options_for(const std::string& url) {
    shared_redis().command({"FLUSHALL"});
    luzia::BackendOptions options;
    options.url = url;
    // Deadlines are not what is looked at here, and machines differ.
    options.command_timeout = 20s;
    options.connect_timeout = 20s;
    return options;
}

struct Memory {
    using Backend = luzia::MemoryBackend;
    static Backend make(asio::any_io_executor executor) { return Backend(std::move(executor)); }
};

struct RedisOverTcp {
    using Backend = luzia::RedisBackend;
    static Backend make(asio::any_io_executor executor) { return Backend(std::move(executor), options_for(shared_redis().url())); }
};

struct RedisOverAUnixSocket {
    using Backend = luzia::RedisBackend;
    static Backend make(asio::any_io_executor executor) {
        return Backend(std::move(executor), options_for("unix://" + shared_redis().socket() + "?db=3"));
    }
};

struct RedisOverFourConnections {
    using Backend = luzia::RedisBackend;
    static Backend make(asio::any_io_executor executor) {
        luzia::BackendOptions options = options_for(shared_redis().url());
        options.connections = 4;
        return Backend(std::move(executor), options);
    }
};

struct ChosenByUrl {
    using Backend = luzia::DefaultBackend;
    static Backend make(asio::any_io_executor executor) { return Backend(std::move(executor), options_for(shared_redis().url() + "/5")); }
};

struct MemoryChosenByUrl {
    using Backend = luzia::DefaultBackend;
    static Backend make(asio::any_io_executor executor) {
        luzia::BackendOptions options;
        options.url = "memory://";
        return Backend(std::move(executor), options);
    }
};

using Backends = ::testing::Types<Memory, RedisOverTcp, RedisOverAUnixSocket, RedisOverFourConnections, ChosenByUrl, MemoryChosenByUrl>;

class BackendNames {
public:
    template <class Factory>
    static std::string GetName(int) {
        if constexpr (std::is_same_v<Factory, Memory>) { return "Memory"; }
        if constexpr (std::is_same_v<Factory, RedisOverTcp>) { return "RedisOverTcp"; }
        if constexpr (std::is_same_v<Factory, RedisOverAUnixSocket>) { return "RedisOverAUnixSocket"; }
        if constexpr (std::is_same_v<Factory, RedisOverFourConnections>) { return "RedisOverFourConnections"; }
        if constexpr (std::is_same_v<Factory, ChosenByUrl>) { return "ChosenByUrl"; }
        return "MemoryChosenByUrl";
    }
};

INSTANTIATE_TYPED_TEST_SUITE_P(All, BackendContract, Backends, BackendNames);

} // namespace
} // namespace luzia_test
