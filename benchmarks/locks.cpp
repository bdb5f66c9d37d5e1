// locks.cpp: loaded before a program (LD_PRELOAD), sees every mutex that it takes: how often, how often somebody else had it, for how long it was
// held. What it prints is divided by the operations that LOCKS_PER names.
#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

std::uint64_t nanoseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

/// Of a counter that costs less than a lock.
std::uint64_t ticks() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return nanoseconds();
#endif
}

/// How many were held for how long: eight steps for each power of two.
class Histogram {
public:
    void add(std::uint64_t value) { steps_[step_of(value)].fetch_add(1, std::memory_order_relaxed); }

    /// What a share of all is not above.
    [[nodiscard]] std::uint64_t quantile(double share) const {
        std::uint64_t all = 0;
        for (const auto& step : steps_) {
            all += step;
        }
        auto left = static_cast<std::uint64_t>(static_cast<double>(all) * share);
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            const std::uint64_t here = steps_[i];
            if (here > left) { return upper_end(i); }
            left -= here;
        }
        return 0;
    }

private:
    static std::size_t step_of(std::uint64_t value) {
        if (value < 8) { return static_cast<std::size_t>(value); }
        const auto power = static_cast<unsigned>(std::bit_width(value)) - 4; // the three bits behind the first say which step
        return (power + 1) * std::size_t{8} + static_cast<std::size_t>((value >> power) & 7U);
    }
    static std::uint64_t upper_end(std::size_t step) { return step < 8 ? step : ((8 + (step & 7U) + 1) << (step / 8 - 1)) - 1; }

    std::array<std::atomic<std::uint64_t>, 512> steps_{};
};

struct Held {
    const pthread_mutex_t* mutex;
    std::uint64_t since;
};

std::atomic<std::uint64_t> taken{0};
std::atomic<std::uint64_t> contended{0};
std::atomic<std::uint64_t> held_ticks{0};
Histogram holds;
thread_local std::array<Held, 16> held{};
thread_local std::size_t held_count = 0;
const std::uint64_t first_tick = ticks();
const std::uint64_t first_nanosecond = nanoseconds();

void begins(const pthread_mutex_t* mutex) {
    if (held_count < held.size()) { held[held_count++] = {mutex, ticks()}; }
}

void ends(const pthread_mutex_t* mutex) {
    for (std::size_t i = held_count; i-- > 0;) {
        if (held[i].mutex != mutex) { continue; }
        const std::uint64_t time = ticks() - held[i].since;
        held_ticks.fetch_add(time, std::memory_order_relaxed);
        holds.add(time);
        held[i] = held[--held_count];
        return;
    }
}

template <class Function>
Function* real(std::atomic<Function*>& known, const char* name) {
    Function* function = known.load(std::memory_order_relaxed);
    if (function == nullptr) {
        function = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
        known.store(function, std::memory_order_relaxed);
    }
    return function;
}

using OnMutex = int(pthread_mutex_t*);
using OnCondition = int(pthread_cond_t*, pthread_mutex_t*);
using OnConditionUntil = int(pthread_cond_t*, pthread_mutex_t*, const timespec*);
std::atomic<OnMutex*> real_lock{nullptr};
std::atomic<OnMutex*> real_trylock{nullptr};
std::atomic<OnMutex*> real_unlock{nullptr};
std::atomic<OnCondition*> real_wait{nullptr};
std::atomic<OnConditionUntil*> real_timedwait{nullptr};

struct AtExit {
    ~AtExit() {
        const char* const given = std::getenv("LOCKS_PER");
        const double operations = given != nullptr ? std::atof(given) : 1;
        const double tick = static_cast<double>(nanoseconds() - first_nanosecond) / static_cast<double>(ticks() - first_tick);
        const auto all = static_cast<double>(taken.load());
        std::printf("locks/op,%g\nwaits for a lock/op,%g\nlock held mean ns,%.0f\nlock held p99 ns,%.0f\n", all / operations,
                    static_cast<double>(contended.load()) / operations, static_cast<double>(held_ticks.load()) / all * tick,
                    static_cast<double>(holds.quantile(0.99)) * tick);
    }
} at_exit;

} // namespace

extern "C" {

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    taken.fetch_add(1, std::memory_order_relaxed);
    int result = real(real_trylock, "pthread_mutex_trylock")(mutex);
    if (result != 0) {
        contended.fetch_add(1, std::memory_order_relaxed);
        result = real(real_lock, "pthread_mutex_lock")(mutex);
    }
    if (result == 0) { begins(mutex); }
    return result;
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
    const int result = real(real_trylock, "pthread_mutex_trylock")(mutex);
    if (result == 0) {
        taken.fetch_add(1, std::memory_order_relaxed);
        begins(mutex);
    }
    return result;
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
    ends(mutex);
    return real(real_unlock, "pthread_mutex_unlock")(mutex);
}

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    ends(mutex);
    const int result = real(real_wait, "pthread_cond_wait")(condition, mutex);
    begins(mutex);
    return result;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
    ends(mutex);
    const int result = real(real_timedwait, "pthread_cond_timedwait")(condition, mutex, until);
    begins(mutex);
    return result;
}
}
