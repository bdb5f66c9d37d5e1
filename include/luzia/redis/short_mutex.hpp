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
        auto seen = State::unlocked;
        return state_.compare_exchange_strong(seen, State::locked, std::memory_order_acquire, std::memory_order_relaxed);
    }
    void unlock() noexcept {
        if (state_.exchange(State::unlocked, std::memory_order_release) == State::wanted) { state_.notify_one(); }
    }

private:
    enum class State : int { unlocked, locked, wanted };

    [[gnu::cold]] [[gnu::noinline]] void lock_held() noexcept {
        constexpr int tries = 40;
        for (int i = 0; i < tries; ++i) {
            if (state_.load(std::memory_order_relaxed) == State::unlocked && try_lock()) { return; }
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        }
        while (state_.exchange(State::wanted, std::memory_order_acquire) != State::unlocked) {
            state_.wait(State::wanted, std::memory_order_relaxed);
        }
    }

    std::atomic<State> state_{State::unlocked};
};

} // namespace luzia::redis
