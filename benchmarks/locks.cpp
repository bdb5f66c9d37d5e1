// locks.cpp: linked into a program, sees every mutex that it takes, the library's own (in watched/) and those of pthread: how often, how often
// somebody else had it, for how long it was held. What it prints is divided by the operations that LOCKS_PER names.
#include "locks.hpp"

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
#include <numeric>

namespace {

using benchmark::Hold;

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
    void add(std::uint64_t value) { ++steps_[step_of(value)]; }
    void add(const Histogram& other) {
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            steps_[i] += other.steps_[i];
        }
    }
    [[nodiscard]] std::uint64_t size() const { return std::accumulate(steps_.begin(), steps_.end(), std::uint64_t{0}); }

    /// What a share of all is not above.
    [[nodiscard]] std::uint64_t quantile(double share) const {
        auto left = static_cast<std::uint64_t>(static_cast<double>(size()) * share);
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

    std::array<std::uint64_t, 512> steps_{};
};

struct Held {
    const void* mutex;
    std::uint64_t since;
};

/// Of one thread, so that counting makes nobody wait; added to those of all when the thread ends.
struct Counts {
    std::uint64_t taken = 0;
    std::uint64_t contended = 0; ///< somebody else had it
    std::uint64_t held_ticks = 0;
    Histogram holds;

    void add(const Counts& other) {
        taken += other.taken;
        contended += other.contended;
        held_ticks += other.held_ticks;
        holds.add(other.holds);
    }
};

const std::uint64_t first_tick = ticks();
const std::uint64_t first_nanosecond = nanoseconds();

class Everybody {
public:
    void add(const Counts& counts) {
        while (is_busy_.test_and_set(std::memory_order_acquire)) {}
        counts_.add(counts);
        is_busy_.clear(std::memory_order_release);
    }

    ~Everybody() {
        const char* const given = std::getenv("LOCKS_PER");
        const double operations = given != nullptr ? std::atof(given) : 1;
        const double tick = static_cast<double>(nanoseconds() - first_nanosecond) / static_cast<double>(ticks() - first_tick);
        std::printf("locks/op,%g\nlocks that somebody else had/op,%g\nlock held mean ns,%.0f\nlock held p99 ns,%.0f\n",
                    static_cast<double>(counts_.taken) / operations, static_cast<double>(counts_.contended) / operations,
                    static_cast<double>(counts_.held_ticks) / static_cast<double>(counts_.holds.size()) * tick,
                    static_cast<double>(counts_.holds.quantile(0.99)) * tick);
    }

private:
    std::atomic_flag is_busy_;
    Counts counts_;
} everybody;

struct Mine {
    std::array<Held, 16> held{};
    std::size_t held_count = 0;
    Counts counts;

    Mine() = default;
    Mine(const Mine&) = delete;
    Mine& operator=(const Mine&) = delete;
    ~Mine() { everybody.add(counts); }

    void begins(const void* mutex, bool was_free) {
        ++counts.taken;
        if (!was_free) { ++counts.contended; }
        resumes(mutex);
    }
    void resumes(const void* mutex) {
        if (held_count < held.size()) { held[held_count++] = {mutex, ticks()}; }
    }

    [[nodiscard]] Hold ends(const void* mutex) {
        for (std::size_t i = held_count; i-- > 0;) {
            if (held[i].mutex != mutex) { continue; }
            const std::uint64_t since = held[i].since;
            held[i] = held[--held_count];
            return {since, ticks()};
        }
        return {};
    }

    void was_held(Hold hold) {
        if (hold.since == 0) { return; }
        counts.held_ticks += hold.until - hold.since;
        counts.holds.add(hold.until - hold.since);
    }
};
thread_local Mine mine;

template <class Function>
Function* real(std::atomic<Function*>& known, const char* name) {
    Function* function = known.load(std::memory_order_relaxed);
    if (function == nullptr) {
        // Those of condition variables have an older version too, which dlsym may find first.
        void* found = ::dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
        if (found == nullptr) { found = ::dlsym(RTLD_NEXT, name); }
        function = reinterpret_cast<Function*>(found);
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

} // namespace

void benchmark::lock_begins(const void* mutex, bool was_free) noexcept { mine.begins(mutex, was_free); }
benchmark::Hold benchmark::lock_ends(const void* mutex) noexcept { return mine.ends(mutex); }
void benchmark::note(Hold hold) noexcept { mine.was_held(hold); }

extern "C" {

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    int result = real(real_trylock, "pthread_mutex_trylock")(mutex);
    const bool was_free = result == 0;
    if (!was_free) { result = real(real_lock, "pthread_mutex_lock")(mutex); }
    if (result == 0) { mine.begins(mutex, was_free); }
    return result;
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
    const int result = real(real_trylock, "pthread_mutex_trylock")(mutex);
    if (result == 0) { mine.begins(mutex, true); }
    return result;
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
    const Hold hold = mine.ends(mutex);
    const int result = real(real_unlock, "pthread_mutex_unlock")(mutex);
    mine.was_held(hold);
    return result;
}

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    mine.was_held(mine.ends(mutex));
    const int result = real(real_wait, "pthread_cond_wait")(condition, mutex);
    mine.resumes(mutex);
    return result;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
    mine.was_held(mine.ends(mutex));
    const int result = real(real_timedwait, "pthread_cond_timedwait")(condition, mutex, until);
    mine.resumes(mutex);
    return result;
}
}
