// cache/work.hpp: keeps an executor's context running while there is something under way.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/prefer.hpp>

#include <atomic>
#include <cstddef>
#include <mutex>

namespace luzia::cache {

/// Outstanding work on one executor while its count is above zero. Any thread.
class Work {
public:
    void begin(const boost::asio::any_io_executor& executor) noexcept {
        if (count_.fetch_add(1, std::memory_order_acq_rel) != 0) { return; }
        const std::scoped_lock lock(mutex_);
        // Those who see the count leave zero and reach it come here in any order.
        if (++balance_ < 1 || held_) { return; }
        try {
            held_ = boost::asio::prefer(executor, boost::asio::execution::outstanding_work.tracked);
        } catch (...) {} // no memory, or no context any more: who finds the count at zero next tries again
    }

    void end() noexcept {
        if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) { return; }
        const std::scoped_lock lock(mutex_);
        if (--balance_ == 0) { held_ = nullptr; }
    }

private:
    std::atomic<std::size_t> count_{0};
    std::mutex mutex_;
    int balance_ = 0;
    boost::asio::any_io_executor held_;
};

} // namespace luzia::cache
