// The contract of backends, kept by all that there are.
#include "../contract/backend_contract.hpp"
#include "../support/redis_server.hpp"

#include <luzia/backend/default_backend.hpp>

#include <atomic>
#include <memory>

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

/// The backend of docs/backends.md, as it stands there.
class CountingBackend {
public:
    explicit CountingBackend(luzia::MemoryBackend next) : next_(std::move(next)) {}

    boost::asio::any_io_executor get_executor() const { return next_.get_executor(); }

    void submit(const luzia::backend::Request& request, luzia::backend::Operation& operation) {
        ++*questions_;
        next_.submit(request, operation);
    }
    void cancel(luzia::backend::Operation& operation) { next_.cancel(operation); }
    void close() { next_.close(); }
    luzia::backend::Status status() const { return next_.status(); }

private:
    luzia::MemoryBackend next_;
    std::unique_ptr<std::atomic<int>> questions_ = std::make_unique<std::atomic<int>>(0);
};

struct AUsersOwn {
    using Backend = CountingBackend;
    static Backend make(asio::any_io_executor executor) { return Backend(luzia::MemoryBackend(std::move(executor))); }
};

using Backends =
    ::testing::Types<Memory, AUsersOwn, RedisOverTcp, RedisOverAUnixSocket, RedisOverFourConnections, ChosenByUrl, MemoryChosenByUrl>;

class BackendNames {
public:
    template <class Factory>
    static std::string GetName(int) {
        if constexpr (std::is_same_v<Factory, Memory>) { return "Memory"; }
        if constexpr (std::is_same_v<Factory, RedisOverTcp>) { return "RedisOverTcp"; }
        if constexpr (std::is_same_v<Factory, RedisOverAUnixSocket>) { return "RedisOverAUnixSocket"; }
        if constexpr (std::is_same_v<Factory, RedisOverFourConnections>) { return "RedisOverFourConnections"; }
        if constexpr (std::is_same_v<Factory, ChosenByUrl>) { return "ChosenByUrl"; }
        if constexpr (std::is_same_v<Factory, AUsersOwn>) { return "AUsersOwn"; }
        return "MemoryChosenByUrl";
    }
};

INSTANTIATE_TYPED_TEST_SUITE_P(All, BackendContract, Backends, BackendNames);

} // namespace
} // namespace luzia_test
