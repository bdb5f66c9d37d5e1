// redis/resolver.hpp: names to addresses on a thread of its own, whose result may be abandoned.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/redis/transport.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::redis {

/// One look-up. Asio's own resolver runs all look-ups of a context on one thread, can't cancel one, and blocks the destruction of the
/// context until getaddrinfo returns; a look-up here holds up nobody, and is forgotten when it comes too late.
class Lookup : public std::enable_shared_from_this<Lookup> {
public:
    /// The addresses, none where the name is not known. On the strand, unless `abandon` came first.
    using Callback = std::function<void(std::vector<Endpoint> endpoints)>;

    [[gnu::cold]] Lookup(std::shared_ptr<Strand> strand, Callback callback) : strand_(std::move(strand)), callback_(std::move(callback)) {}

    [[gnu::cold]] void start(std::string host, std::uint16_t port) {
        error_code error;
        const auto address = asio::ip::make_address(host, error);
        if (!error) { return finish({asio::ip::tcp::endpoint(address, port)}); }
        const NoSignals for_the_thread;
        auto question = std::make_unique<Question>(Question{shared_from_this(), std::move(host), port});
        pthread_t thread{};
        if (::pthread_create(&thread, nullptr, ask, question.get()) != 0) { return finish({}); } // no thread to be had
        static_cast<void>(question.release());
        ::pthread_detach(thread);
    }

    /// Nobody wants the result any more; from here on the strand is not touched. Any thread.
    [[gnu::cold]] void abandon() {
        const std::scoped_lock lock(mutex_);
        strand_.reset();
        callback_ = nullptr;
    }

private:
    /// A thread inherits its creator's mask: the program's signals are not for this one to handle.
    class NoSignals {
    public:
        [[gnu::cold]] NoSignals() noexcept {
            sigset_t all;
            ::sigfillset(&all);
            ::pthread_sigmask(SIG_SETMASK, &all, &before_);
        }
        NoSignals(const NoSignals&) = delete;
        NoSignals& operator=(const NoSignals&) = delete;
        [[gnu::cold]] ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

    private:
        sigset_t before_;
    };

    struct Question {
        std::shared_ptr<Lookup> self;
        std::string host;
        std::uint16_t port;
    };

    [[gnu::cold]] static void* ask(void* given) {
        const std::unique_ptr<Question> question(static_cast<Question*>(given));
        try {
            question->self->finish(look_up(question->host, question->port));
        } catch (...) {} // no memory: it is as one that never returns
        return nullptr;
    }

    [[gnu::cold]] [[nodiscard]] static std::vector<Endpoint> look_up(const std::string& host, std::uint16_t port) {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_NUMERICSERV;
        addrinfo* found = nullptr;
        std::vector<Endpoint> endpoints;
        if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) { return endpoints; }
        const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
        for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
            endpoints.emplace_back(entry->ai_addr, static_cast<std::size_t>(entry->ai_addrlen), entry->ai_protocol);
        }
        return endpoints;
    }

    [[gnu::cold]] void finish(std::vector<Endpoint> endpoints) {
        const std::scoped_lock lock(mutex_);
        if (!strand_) { return; }
        strand_->post([self = shared_from_this(), endpoints = std::move(endpoints)]() mutable {
            Callback callback;
            {
                const std::scoped_lock inner(self->mutex_);
                callback = std::exchange(self->callback_, nullptr);
                self->strand_.reset();
            }
            if (callback) { callback(std::move(endpoints)); }
        });
    }

    std::mutex mutex_;
    std::shared_ptr<Strand> strand_;
    Callback callback_;
};

} // namespace luzia::redis
