// short_mutex.hpp: found before the library's own where locks are watched: the same mutex, with a note of every lock.
#pragma once

#define ShortMutex UnwatchedMutex
#include "../../../../include/luzia/redis/short_mutex.hpp"
#undef ShortMutex

#include "../../../locks.hpp"

namespace luzia::redis {

class ShortMutex {
public:
    void lock() noexcept {
        const bool is_free = mutex_.try_lock();
        if (!is_free) { mutex_.lock(); }
        benchmark::lock_begins(this, is_free);
    }
    [[nodiscard]] bool try_lock() noexcept {
        const bool is_free = mutex_.try_lock();
        if (is_free) { benchmark::lock_begins(this, true); }
        return is_free;
    }
    void unlock() noexcept {
        const benchmark::Hold hold = benchmark::lock_ends(this);
        mutex_.unlock();
        benchmark::note(hold);
    }

private:
    UnwatchedMutex mutex_;
};

} // namespace luzia::redis
