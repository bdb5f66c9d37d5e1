// tests/support/operations.hpp: every operation of a client as one list, and a watch over how often each of many ends.
#pragma once

#include "run.hpp"

#include <luzia/cache/client.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia_test {

/// One operation of `Client`, begun with a token that takes whatever it completes with.
template <class Client>
struct OperationKind {
    using Ended = std::function<void()>;
    std::string name;
    std::function<void(Client& cache, asio::cancellation_slot slot, asio::any_io_executor executor, Ended ended)> begin;
};

template <class Client>
std::vector<OperationKind<Client>> every_operation() {
    using Slot = asio::cancellation_slot;
    using Executor = asio::any_io_executor;
    using Ended = typename OperationKind<Client>::Ended;
    const auto token = [](Slot slot, const Executor& executor, Ended ended) {
        return asio::bind_cancellation_slot(slot, asio::bind_executor(executor, [ended = std::move(ended)](auto&&...) { ended(); }));
    };
    static const std::vector<std::string> keys{"a", "b"};
    static const std::vector<std::pair<std::string, std::string>> entries{{"a", "1"}, {"b", "2"}};
    std::vector<OperationKind<Client>> all;
    const auto add = [&](std::string name, auto begin) {
        all.push_back({std::move(name), [token, begin](Client& cache, Slot slot, Executor executor, Ended ended) {
                           begin(cache, token(slot, executor, std::move(ended)));
                       }});
    };
    add("get", [](Client& cache, auto handler) { cache.template get<std::string>("a", std::move(handler)); });
    add("lookup", [](Client& cache, auto handler) { cache.template lookup<std::string>("a", std::move(handler)); });
    add("set", [](Client& cache, auto handler) { cache.set("a", std::string("1"), std::move(handler)); });
    add("erase", [](Client& cache, auto handler) { cache.erase("a", std::move(handler)); });
    add("touch", [](Client& cache, auto handler) { cache.touch("a", 1s, std::move(handler)); });
    add("touch for ever", [](Client& cache, auto handler) { cache.touch("a", luzia::no_expiry, std::move(handler)); });
    add("invalidate_pattern", [](Client& cache, auto handler) { cache.invalidate_pattern("*", std::move(handler)); });
    add("get_many", [](Client& cache, auto handler) { cache.template get_many<std::string>(keys, std::move(handler)); });
    add("set_many", [](Client& cache, auto handler) { cache.set_many(entries, std::move(handler)); });
    add("erase_many", [](Client& cache, auto handler) { cache.erase_many(keys, std::move(handler)); });
    add("contains", [](Client& cache, auto handler) { cache.contains("a", std::move(handler)); });
    add("time_to_live", [](Client& cache, auto handler) { cache.time_to_live("a", std::move(handler)); });
    add("ping", [](Client& cache, auto handler) { cache.ping(std::move(handler)); });
    return all;
}

/// Counts the ends of many operations, each by itself. Its handlers may run on any thread.
class EndCounts {
public:
    /// What tells that one more operation has ended.
    [[nodiscard]] std::function<void()> expect(std::string name) {
        Entry& entry = entries_.emplace_back();
        entry.name = std::move(name);
        return [this, &entry] {
            if (entry.ends.fetch_add(1) == 0) { ended_.fetch_add(1); }
        };
    }

    [[nodiscard]] std::size_t expected() const { return entries_.size(); }
    [[nodiscard]] bool all_ended() const { return ended_.load() == entries_.size(); }

    void expect_each_once(const std::string& where) const {
        for (const Entry& entry : entries_) {
            EXPECT_EQ(entry.ends.load(), 1) << entry.name << ' ' << where;
        }
    }

private:
    struct Entry {
        std::string name;
        std::atomic<int> ends{0};
    };
    std::deque<Entry> entries_;
    std::atomic<std::size_t> ended_{0};
};

/// Begins one operation of each kind.
template <class Client>
void begin_every_operation(Client& cache, const asio::any_io_executor& executor, EndCounts& counts) {
    for (const auto& operation : every_operation<Client>()) {
        operation.begin(cache, asio::cancellation_slot(), executor, counts.expect(operation.name));
    }
}

/// Runs `io` until the condition holds; false where it does not for twenty seconds.
template <class Condition>
bool run_until(asio::io_context& io, Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + 20s;
    io.restart();
    while (!condition() && std::chrono::steady_clock::now() < limit) {
        io.run_one_for(100ms);
    }
    return condition();
}

} // namespace luzia_test
