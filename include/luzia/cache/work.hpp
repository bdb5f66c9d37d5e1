// cache/work.hpp: keeps an executor's context running while operations are under way, at two atomic operations for each.
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
    void begin(const boost::asio::any_io_executor& executor) {
        if (count_.fetch_add(1, std::memory_order_acq_rel) != 0) { return; }
        const std::scoped_lock lock(mutex_);
        // Those who see the count leave zero and reach it come here in any order.
        if (++balance_ == 1) { held_ = boost::asio::prefer(executor, boost::asio::execution::outstanding_work.tracked); }
    }

    void end() noexcept {
        if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) { return; }
        const std::scoped_lock lock(mutex_);
        if (--balance_ == 0) { held_ = nullptr; }
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::size_t> count_{0};
    std::mutex mutex_;
    int balance_ = 0;
    boost::asio::any_io_executor held_;
};

} // namespace luzia::cache
