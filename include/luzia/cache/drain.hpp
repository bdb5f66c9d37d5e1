// cache/drain.hpp: counts operations, and knows when everything begun before a moment has ended, at two atomic operations for each that begins.
#pragma once

#include <luzia/core/separate.hpp>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace luzia::cache {

namespace asio = boost::asio;

/// Who is told that what was begun has ended.
class Drained {
public:
    void finish(bool is_drained) { told_(*this, is_drained); }

protected:
    // No virtual function: a compiler that guesses who is called would make all of it for every client, drained or not.
    using Told = void (*)(Drained&, bool);
    explicit Drained(Told told) noexcept : told_(told) {}
    ~Drained() = default;

private:
    Told told_;
};

/// Counts operations in two halves: those begun since the last drain was asked for, and those before. Asking swaps the halves; the drain
/// is done when the older half is empty. Those who ask meanwhile share the next swap.
class DrainBook {
public:
    /// The half that must be given back to `leave`. `on_first` is called where it was empty, and `on_last` where it is empty again: on several
    /// threads in any order, but as often.
    template <class OnFirst, class OnLast>
    [[nodiscard]] std::size_t enter(OnFirst on_first, OnLast on_last) noexcept {
        for (;;) {
            const std::size_t half = current_.load();
            if (pending_[half].fetch_add(1) == 0) { on_first(); }
            if (current_.load() == half) { return half; }
            leave(half, on_last); // swapped in between
        }
    }
    [[nodiscard]] std::size_t enter() noexcept {
        return enter([] {}, [] {});
    }

    template <class OnLast>
    void leave(std::size_t half, OnLast on_last) noexcept {
        if (pending_[half].fetch_sub(1) != 1) { return; }
        if (is_draining_.load()) { advance(); }
        on_last();
    }
    void leave(std::size_t half) noexcept {
        leave(half, [] {});
    }

    /// How many are under way, at about this moment.
    [[nodiscard]] std::size_t count() const noexcept {
        return pending_[0].load(std::memory_order_relaxed) + pending_[1].load(std::memory_order_relaxed);
    }

    [[gnu::cold]] void wait(std::weak_ptr<Drained> waiter) {
        {
            const std::scoped_lock lock(mutex_);
            next_.push_back(std::move(waiter));
        }
        advance();
    }

private:
    /// Begins a drain where one is wanted, ends it where it is done, as often as that goes.
    [[gnu::cold]] void advance() {
        std::vector<std::weak_ptr<Drained>> done;
        {
            const std::scoped_lock lock(mutex_);
            for (;;) {
                if (!is_draining_.load()) {
                    if (next_.empty()) { break; }
                    waiting_.swap(next_);
                    is_draining_.store(true);
                    current_.store(1 - current_.load());
                }
                if (pending_[1 - current_.load()].load() != 0) { break; }
                is_draining_.store(false);
                for (auto& waiter : waiting_) {
                    done.push_back(std::move(waiter));
                }
                waiting_.clear();
            }
        }
        for (const auto& waiter : done) {
            if (const auto alive = waiter.lock()) { alive->finish(true); }
        }
    }

    std::atomic<std::size_t> current_{0};
    std::atomic<std::size_t> pending_[2] = {0, 0};
    std::atomic<bool> is_draining_{false};
    std::mutex mutex_;
    std::vector<std::weak_ptr<Drained>> waiting_;
    std::vector<std::weak_ptr<Drained>> next_;
};

/// Calls `handler` on its executor, `executor` where it has none: with true once what was begun has ended, with false after `timeout`.
LUZIA_DECL void start_drain(const asio::any_io_executor& executor, DrainBook& drains, asio::any_completion_handler<void(bool)> handler,
                            std::chrono::milliseconds timeout);

} // namespace luzia::cache
