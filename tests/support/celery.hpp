// tests/support/celery.hpp: real Celery beside the tests: a worker of its own, and programs that send and check.
#pragma once

#include "process.hpp"
#include "redis_server.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif
#else
inline constexpr bool is_sanitized = false;
#endif

/// How many tasks are many: fewer where each costs ten times as much.
inline constexpr int many_tasks = is_sanitized ? 1000 : 10'000;

/// What Celery's side of a test is told through the environment.
struct CelerySettings {
    explicit CelerySettings(const RedisServer& server) : broker(server.url() + "/0"), backend(server.url() + "/1") {}

    [[nodiscard]] std::vector<std::string> environment() const {
        // Another Celery than the system's, where one is named.
        const char* const other = std::getenv("LUZIA_CELERY_PATH");
        const std::string path = std::string(LUZIA_INTEROP_DIRECTORY) + (other != nullptr ? ":" + std::string(other) : "");
        std::vector<std::string> words{"env", "PYTHONPATH=" + path, "PYTHONDONTWRITEBYTECODE=1", "BROKER=" + broker, "BACKEND=" + backend};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }

    std::string broker;
    std::string backend;
    std::vector<std::string> more; ///< NAME=value
};

/// Waits on the test's own thread, for what happens in other threads and processes, until it does or the time is up.
inline bool holds_soon(const std::function<bool()>& condition, std::chrono::seconds limit = std::chrono::seconds(30)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) { return false; }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

/// A worker of Celery, one task at a time; there when the constructor returns.
class CeleryWorker {
public:
    explicit CeleryWorker(const CelerySettings& settings, const std::string& queues = "celery", const std::string& name = "py@test") {
        std::vector<std::string> command = settings.environment();
        for (const char* const word : {"/usr/bin/python3", "-W", "ignore", "-m", "celery", "-A", "celery_app", "worker", "-P", "solo", "-c",
                                       "1", "-l", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"}) {
            command.emplace_back(word);
        }
        command.insert(command.end(), {"-n", name, "-Q", queues, "--logfile", directory_.file("worker.log")});
        process_ = std::make_unique<Process>(command);
        const auto says_something = [&] { return log().find("ready.") != std::string::npos || process_->has_ended(); };
        if (!holds_soon(says_something, std::chrono::seconds(60)) || process_->has_ended()) {
            throw std::runtime_error("Celery's worker does not start: " + log());
        }
    }

    [[nodiscard]] std::string log() const {
        std::ifstream file(directory_.file("worker.log"));
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }
    void kill() { process_->kill(); }
    void signal(int number) const { process_->signal(number); }
    [[nodiscard]] bool has_ended() { return process_->has_ended(); }

private:
    PrivateDirectory directory_;
    std::unique_ptr<Process> process_;
};

/// Runs a mode of interop/celery_peer.py.
class CeleryPeer {
public:
    CeleryPeer(const CelerySettings& settings, const std::vector<std::string>& arguments) {
        std::vector<std::string> command = settings.environment();
        for (const std::string& word : {std::string("/usr/bin/python3"), std::string("-W"), std::string("ignore"),
                                        std::string(LUZIA_INTEROP_DIRECTORY) + "/celery_peer.py"}) {
            command.push_back(word);
        }
        command.insert(command.end(), arguments.begin(), arguments.end());
        process_ = std::make_unique<Process>(command);
    }

    /// 0: everything was as it should be.
    int wait() { return process_->wait(); }
    [[nodiscard]] bool has_ended() { return process_->has_ended(); }

private:
    std::unique_ptr<Process> process_;
};

/// What Celery leaves in the broker's database when everything has been dealt with: nothing but bindings.
inline std::string leftovers(RedisServer& server, const std::vector<std::string>& queues) {
    PlainClient& plain = server.plain();
    std::string found;
    static_cast<void>(plain.command({"SELECT", "0"}));
    for (const std::string& key : {std::string("unacked"), std::string("unacked_index")}) {
        const std::string size = plain.command({key == "unacked" ? "HLEN" : "ZCARD", key});
        if (size != "0") { found += key + ": " + size + " "; }
    }
    for (const std::string& queue : queues) {
        for (const std::string& bucket :
             {std::string(), std::string("\x06\x16") + "3", std::string("\x06\x16") + "6", std::string("\x06\x16") + "9"}) {
            const std::string size = plain.command({"LLEN", queue + bucket});
            if (size != "0") { found += queue + bucket + ": " + size + " "; }
        }
    }
    return found;
}

} // namespace luzia_test
