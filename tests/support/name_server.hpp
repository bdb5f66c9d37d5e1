// tests/support/name_server.hpp: a name server of the test's own, for names that change, that take their time, and that are not known.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {

/// Answers questions for IPv4 addresses on 127.0.0.1, port 53 (RFC 1035). A name it has not been told of does not exist; for IPv6 every name
/// has none.
class NameServer {
public:
    NameServer() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(53);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) { throw std::runtime_error("no port 53"); }
        thread_ = std::thread([this] { serve(); });
    }
    NameServer(const NameServer&) = delete;
    NameServer& operator=(const NameServer&) = delete;
    ~NameServer() {
        is_over_ = true;
        thread_.join();
        ::close(socket_);
    }

    void set(const std::string& name, std::vector<std::string> addresses) {
        const std::scoped_lock lock(mutex_);
        names_[name] = std::move(addresses);
    }
    void remove(const std::string& name) {
        const std::scoped_lock lock(mutex_);
        names_.erase(name);
    }
    /// Each question about it is answered so much later.
    void be_slow_about(const std::string& name, std::chrono::milliseconds delay) {
        const std::scoped_lock lock(mutex_);
        delays_[name] = delay;
    }
    /// How many questions there have been about it: two, IPv4 and IPv6, for each look-up.
    [[nodiscard]] int questions(const std::string& name) {
        const std::scoped_lock lock(mutex_);
        return questions_[name];
    }
    /// Questions about it are not answered at all, or again.
    void be_silent_about(const std::string& name, bool is_silent = true) {
        const std::scoped_lock lock(mutex_);
        silent_[name] = is_silent;
    }

private:
    void serve() {
        struct Later {
            std::chrono::steady_clock::time_point due;
            std::string reply;
            sockaddr_in to;
        };
        std::vector<Later> later;
        while (!is_over_) {
            const auto now = std::chrono::steady_clock::now();
            std::erase_if(later, [&](const Later& one) {
                if (one.due > now) { return false; }
                ::sendto(socket_, one.reply.data(), one.reply.size(), 0, reinterpret_cast<const sockaddr*>(&one.to), sizeof one.to);
                return true;
            });
            pollfd entry{socket_, POLLIN, 0};
            if (::poll(&entry, 1, later.empty() ? 20 : 1) != 1) { continue; }
            unsigned char question[512];
            sockaddr_in from{};
            socklen_t size = sizeof from;
            const auto length = ::recvfrom(socket_, question, sizeof question, 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (length < 17) { continue; }
            std::chrono::milliseconds delay{0};
            std::string reply = answer(std::string(reinterpret_cast<char*>(question), static_cast<std::size_t>(length)), delay);
            if (!reply.empty()) { later.push_back({std::chrono::steady_clock::now() + delay, std::move(reply), from}); }
        }
    }

    [[nodiscard]] std::string answer(const std::string& question, std::chrono::milliseconds& delay) {
        std::string name;
        std::size_t at = 12;
        while (at < question.size() && question[at] != 0) {
            const auto length = static_cast<std::size_t>(static_cast<unsigned char>(question[at]));
            name += (name.empty() ? "" : ".") + question.substr(at + 1, length);
            at += length + 1;
        }
        if (at + 5 > question.size()) { return ""; }
        const bool is_ipv4 = question.substr(at + 1, 2) == std::string("\0\1", 2);
        const std::scoped_lock lock(mutex_);
        ++questions_[name];
        delay = delays_[name];
        if (silent_[name]) { return ""; }
        const auto found = names_.find(name);
        const std::vector<std::string> none;
        const std::vector<std::string>& addresses = found == names_.end() || !is_ipv4 ? none : found->second;
        std::string reply = question.substr(0, 2);
        reply += '\x81';                                  // an answer
        reply += found == names_.end() ? '\x83' : '\x80'; // there is no such name; or all is well
        reply += std::string("\0\1\0", 3) + static_cast<char>(addresses.size()) + std::string(4, '\0');
        reply += question.substr(12, at + 5 - 12);
        for (const std::string& address : addresses) {
            in_addr bytes{};
            ::inet_pton(AF_INET, address.c_str(), &bytes);
            reply += std::string("\xc0\x0c\0\1\0\1\0\0\0\0\0\4", 12) + std::string(reinterpret_cast<char*>(&bytes), 4);
        }
        return reply;
    }

    int socket_;
    std::mutex mutex_;
    std::map<std::string, std::vector<std::string>> names_;
    std::map<std::string, bool> silent_;
    std::map<std::string, std::chrono::milliseconds> delays_;
    std::map<std::string, int> questions_;
    std::atomic<bool> is_over_{false};
    std::thread thread_;
};

} // namespace luzia_test
