// redis/short_mutex.hpp: a mutex for what takes less time than to go to sleep over it.
#pragma once

#include <atomic>

namespace luzia::redis {

/// Held for tens of nanoseconds by whoever has it: another who wants it tries for as long before he sleeps, which costs both a system call.
/// A `std::mutex` would cost some 60 instructions more each time it is held.
class ShortMutex {
public:
    void lock() noexcept {
        if (!try_lock()) { lock_held(); }
    }
    [[nodiscard]] bool try_lock() noexcept {
        int seen = unlocked;
        return state_.compare_exchange_strong(seen, locked, std::memory_order_acquire, std::memory_order_relaxed);
    }
    void unlock() noexcept {
        if (state_.exchange(unlocked) == wanted) { state_.notify_one(); }
    }

private:
    // No enumeration: a library may have the system's own wait for this type alone.
    static constexpr int unlocked = 0;
    static constexpr int locked = 1;
    static constexpr int wanted = 2; ///< locked, and somebody may sleep

    [[gnu::cold]] [[gnu::noinline]] void lock_held() noexcept {
        constexpr int tries = 40;
        for (int i = 0; i < tries; ++i) {
            if (state_.load(std::memory_order_relaxed) == unlocked && try_lock()) { return; }
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        }
        // Who has slept does not know whether others do.
        while (state_.exchange(wanted) != unlocked) {
            state_.wait(wanted);
        }
    }

    std::atomic<int> state_{unlocked};
};

} // namespace luzia::redis
