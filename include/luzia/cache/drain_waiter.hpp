// cache/drain_waiter.hpp: one who waits for a drain, and for how long.
#pragma once

#if defined(LUZIA_SEPARATE_COMPILATION) && !defined(LUZIA_SOURCE)
#error "with LUZIA_SEPARATE_COMPILATION this is for luzia/src.hpp alone"
#endif

#include <luzia/cache/drain.hpp>
#include <luzia/core/separate.hpp>
#include <luzia/redis/strand.hpp>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

namespace luzia::cache {

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

[[gnu::cold]] LUZIA_DECL void start_drain(const asio::any_io_executor& executor, DrainBook& drains,
                                          asio::any_completion_handler<void(bool)> handler, std::chrono::milliseconds timeout) {
    const auto waiter = std::make_shared<DrainWaiter>(executor, std::move(handler));
    waiter->start(timeout);
    drains.wait(waiter);
}

} // namespace luzia::cache
