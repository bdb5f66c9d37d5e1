// tests/support/redis_server.hpp: a real redis-server of the test's own, on a free loopback port and a Unix socket, and a plain client to it.
#pragma once

#include "process.hpp"

#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {

/// A blocking connection through hiredis alone: what the library does is checked without the library.
class PlainClient {
public:
    static std::unique_ptr<PlainClient> try_connect(std::uint16_t port, const std::vector<std::string>& login = {},
                                                    const std::string& host = "127.0.0.1") {
        timeval timeout{5, 0};
        Context context(::redisConnectWithTimeout(host.c_str(), port, timeout));
        if (!context || context->err != 0) { return nullptr; }
        ::redisSetTimeout(context.get(), timeout);
        std::unique_ptr<PlainClient> client(new PlainClient(std::move(context)));
        if (!login.empty()) { static_cast<void>(client->command(login)); }
        const auto answer = client->command({"PING"});
        return answer == "PONG" ? std::move(client) : nullptr;
    }

    /// The reply as text: strings and integers as they are, nil as "(nil)", arrays with their elements between spaces.
    std::string command(const std::vector<std::string>& arguments) {
        std::vector<const char*> pointers;
        std::vector<std::size_t> sizes;
        for (const std::string& argument : arguments) {
            pointers.push_back(argument.data());
            sizes.push_back(argument.size());
        }
        auto* const reply =
            static_cast<redisReply*>(::redisCommandArgv(context_.get(), static_cast<int>(arguments.size()), pointers.data(), sizes.data()));
        if (reply == nullptr) { return "(no reply)"; }
        std::string result = text(*reply);
        ::freeReplyObject(reply);
        return result;
    }

    std::vector<std::string> list(const std::vector<std::string>& arguments) {
        std::vector<const char*> pointers;
        std::vector<std::size_t> sizes;
        for (const std::string& argument : arguments) {
            pointers.push_back(argument.data());
            sizes.push_back(argument.size());
        }
        auto* const reply =
            static_cast<redisReply*>(::redisCommandArgv(context_.get(), static_cast<int>(arguments.size()), pointers.data(), sizes.data()));
        std::vector<std::string> result;
        for (std::size_t i = 0; reply != nullptr && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; ++i) {
            result.push_back(text(*reply->element[i]));
        }
        if (reply != nullptr) { ::freeReplyObject(reply); }
        return result;
    }

private:
    struct Free {
        void operator()(redisContext* context) const { ::redisFree(context); }
    };
    using Context = std::unique_ptr<redisContext, Free>;

    explicit PlainClient(Context context) : context_(std::move(context)) {}

    static std::string text(const redisReply& reply) {
        switch (reply.type) {
        case REDIS_REPLY_INTEGER: return std::to_string(reply.integer);
        case REDIS_REPLY_NIL: return "(nil)";
        case REDIS_REPLY_ARRAY: {
            std::string all;
            for (std::size_t i = 0; i < reply.elements; ++i) {
                all += (i == 0 ? "" : " ") + text(*reply.element[i]);
            }
            return all;
        }
        default: return {reply.str, static_cast<std::size_t>(reply.len)};
        }
    }

    Context context_;
};

/// Where a server runs, if not on this host: its address, the command that starts another there, and its port; 0 = any that is free.
struct Place {
    std::string address = "127.0.0.1";
    std::vector<std::string> enter;
    std::uint16_t port = 0;
};

/// A server that lives as long as the object. The constructor returns when it answers.
class RedisServer {
public:
    explicit RedisServer(std::vector<std::string> extra = {}, std::vector<std::string> login = {}, Place place = Place())
        : extra_(std::move(extra)), login_(std::move(login)), place_(std::move(place)) {
        for (int attempt = 0; attempt < 5; ++attempt) {
            port_ = place_.port != 0 ? place_.port : free_port();
            if (start()) { return; }
        }
        throw std::runtime_error("redis-server does not start");
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::string url() const { return "redis://" + place_.address + ":" + std::to_string(port_); }
    [[nodiscard]] std::string socket() const { return directory_.file("redis.sock"); }

    void pause() const { process_->signal(SIGSTOP); }
    void resume() const { process_->signal(SIGCONT); }
    void kill() {
        plain_.reset();
        process_->kill();
    }
    /// On the same port, empty.
    void restart() {
        kill();
        for (int attempt = 0; attempt < 50; ++attempt) {
            if (start()) { return; }
        }
        throw std::runtime_error("redis-server does not start again");
    }

    PlainClient& plain() {
        if (!plain_) { plain_ = PlainClient::try_connect(port_, login_, place_.address); }
        if (!plain_) { throw std::runtime_error("redis-server does not answer"); }
        return *plain_;
    }
    std::string command(const std::vector<std::string>& arguments) { return plain().command(arguments); }
    /// One line of INFO: `info("stats", "total_connections_received")`.
    std::string info(const std::string& section, const std::string& name) {
        const std::string text = command({"INFO", section});
        const std::size_t start = text.find(name + ":");
        if (start == std::string::npos) { return ""; }
        const std::size_t value = start + name.size() + 1;
        return text.substr(value, text.find('\r', value) - value);
    }
    /// A file of its private directory, where it keeps what it saves.
    [[nodiscard]] std::string file(const std::string& name) const { return directory_.file(name); }

private:
    bool start() {
        std::vector<std::string> command{"redis-server",
                                         "--port",
                                         std::to_string(port_),
                                         "--bind",
                                         place_.address,
                                         "--protected-mode",
                                         "no",
                                         "--save",
                                         "",
                                         "--appendonly",
                                         "no",
                                         "--dir",
                                         directory_.path(),
                                         "--unixsocket",
                                         socket(),
                                         "--daemonize",
                                         "no",
                                         "--logfile",
                                         directory_.file("redis.log")};
        command.insert(command.begin(), place_.enter.begin(), place_.enter.end());
        command.insert(command.end(), extra_.begin(), extra_.end());
        process_ = std::make_unique<Process>(command);
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (std::chrono::steady_clock::now() < limit && !process_->has_ended()) {
            plain_ = PlainClient::try_connect(port_, login_, place_.address);
            if (plain_) { return true; }
            std::this_thread::yield();
        }
        process_->kill();
        return false;
    }

    std::vector<std::string> extra_;
    std::vector<std::string> login_;
    Place place_;
    PrivateDirectory directory_;
    std::uint16_t port_ = 0;
    std::unique_ptr<Process> process_;
    std::unique_ptr<PlainClient> plain_;
};

/// One server for all tests of a program that leave it as it is.
inline RedisServer& shared_redis() {
    static RedisServer server;
    return server;
}

} // namespace luzia_test
