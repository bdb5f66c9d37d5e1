// cache/counters.hpp: a client's running counts, and which of them an outcome moves.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/cache/results.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace luzia::cache {

/// Counts per key. Each number is exact; a snapshot is not one moment's.
class Counters {
public:
    void hit(std::size_t keys = 1) noexcept { add(hits_, keys); }
    void stored(std::size_t keys) noexcept { add(stored_, keys); }
    void erased(std::size_t keys) noexcept { add(erased_, keys); }

    /// A read that gave no value, whatever the reason.
    void missed(Outcome outcome, std::size_t keys = 1) noexcept {
        add(misses_, keys);
        failed(outcome, keys);
    }

    /// An operation that was not answered as asked; answers count nothing here.
    void failed(Outcome outcome, std::size_t keys = 1) noexcept {
        switch (outcome) {
        case Outcome::timed_out:
            add(timeouts_, keys);
            add(failures_, keys);
            break;
        case Outcome::unavailable:
        case Outcome::refused: add(failures_, keys); break;
        case Outcome::undecodable: add(undecodable_, keys); break;
        case Outcome::shed: add(shed_, keys); break;
        default: break;
        }
    }

    [[nodiscard]] CacheStats snapshot(const backend::Status& status) const noexcept {
        CacheStats stats;
        stats.hits = hits_.load(std::memory_order_relaxed);
        stats.misses = misses_.load(std::memory_order_relaxed);
        stats.stored = stored_.load(std::memory_order_relaxed);
        stats.erased = erased_.load(std::memory_order_relaxed);
        stats.failures = failures_.load(std::memory_order_relaxed);
        stats.timeouts = timeouts_.load(std::memory_order_relaxed);
        stats.undecodable = undecodable_.load(std::memory_order_relaxed);
        stats.shed = shed_.load(std::memory_order_relaxed);
        stats.reconnects = status.reconnects;
        stats.ready = status.is_ready;
        return stats;
    }

private:
    using Counter = std::atomic<std::uint64_t>;

    static void add(Counter& counter, std::size_t keys) noexcept { counter.fetch_add(keys, std::memory_order_relaxed); }

    Counter hits_{0};
    Counter misses_{0};
    Counter stored_{0};
    Counter erased_{0};
    Counter failures_{0};
    Counter timeouts_{0};
    Counter undecodable_{0};
    Counter shed_{0};
};

} // namespace luzia::cache
