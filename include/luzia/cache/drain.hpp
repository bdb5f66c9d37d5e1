// cache/drain.hpp: knows when everything begun before a moment has ended, at two atomic operations for each that begins.
#pragma once

#include <luzia/redis/strand.hpp>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
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

/// One who waits for a drain. Told once: that it is done, or that its time is up.
class DrainWaiter final : public Drained, public std::enable_shared_from_this<DrainWaiter> {
public:
    using Handler = asio::any_completion_handler<void(bool)>;

    DrainWaiter(const asio::any_io_executor& executor, Handler handler)
        : Drained([](Drained& self, bool is_drained) { static_cast<DrainWaiter&>(self).finish(is_drained); }),
          strand_(std::make_shared<redis::Strand>(executor)),
          timer_(executor),
          handler_(std::move(handler)),
          work_(asio::prefer(asio::get_associated_executor(handler_, executor), asio::execution::outstanding_work.tracked)) {}

    void start(std::chrono::milliseconds timeout) {
        auto slot = asio::get_associated_cancellation_slot(handler_);
        if (slot.is_connected()) {
            slot.assign([weak = weak_from_this()](asio::cancellation_type) {
                if (const auto self = weak.lock()) { self->finish(false); }
            });
        }
        constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365); // what fits a timer for sure
        timer_.expires_after(std::min(timeout, longest));
        timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error) {
                self->strand_->dispatch([self] { self->complete(false); });
            }
        });
    }

    /// Any thread.
    void finish(bool is_drained) {
        strand_->post([self = shared_from_this(), is_drained] { self->complete(is_drained); });
    }

private:
    void complete(bool is_drained) {
        if (!handler_) { return; }
        timer_.cancel();
        auto work = std::move(work_);
        asio::prefer(work, asio::execution::blocking.never).execute([handler = std::move(handler_), is_drained]() mutable {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) { slot.clear(); }
            std::move(handler)(is_drained);
        });
        handler_ = nullptr;
    }

    std::shared_ptr<redis::Strand> strand_; // so that time and drain don't race
    asio::steady_timer timer_;
    Handler handler_;
    asio::any_completion_executor work_;
};

/// Counts operations in two halves: those begun since the last drain was asked for, and those before. Asking swaps the halves; the drain
/// is done when the older half is empty. Those who ask meanwhile share the next swap.
class DrainBook {
public:
    /// The half that must be given back to `leave`.
    [[nodiscard]] std::size_t enter() noexcept {
        for (;;) {
            const std::size_t half = current_.load();
            pending_[half].fetch_add(1);
            if (current_.load() == half) { return half; }
            leave(half); // swapped in between
        }
    }

    void leave(std::size_t half) noexcept {
        if (pending_[half].fetch_sub(1) == 1 && is_draining_.load()) { advance(); }
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

} // namespace luzia::cache
