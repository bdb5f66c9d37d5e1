// redis/short_mutex.hpp: a mutex for what takes less time than to go to sleep over it.
#pragma once

#include <mutex>

namespace luzia::redis {

/// Held for tens of nanoseconds by whoever has it: another who wants it tries for as long before he sleeps, which costs both a system call.
class ShortMutex {
public:
    void lock() {
        constexpr int tries = 40;
        for (int i = 0; i < tries; ++i) {
            if (mutex_.try_lock()) { return; }
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        }
        mutex_.lock();
    }
    [[nodiscard]] bool try_lock() { return mutex_.try_lock(); }
    void unlock() { mutex_.unlock(); }

private:
    std::mutex mutex_;
};

} // namespace luzia::redis
