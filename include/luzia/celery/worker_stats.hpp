// celery/worker_stats.hpp: what a worker counts, and what it tells of it.
#pragma once

#include <atomic>
#include <cstdint>

namespace luzia::celery {

/// Counts since a worker was made.
struct WorkerStats {
    WorkerStats() {}
    std::uint64_t received = 0; ///< messages taken from queues
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t retried = 0;
    std::uint64_t revoked = 0;    ///< expired ones included
    std::uint64_t dead = 0;       ///< put into the dead-letter list
    std::uint64_t restored = 0;   ///< given back to their queue after their worker had gone
    std::uint64_t given_back = 0; ///< by this worker, when it stopped
    /// Ended here after somebody had taken them back: they run twice. Or let go when they began, cut short by `stop`, and not put back: they
    /// do not run again.
    std::uint64_t lost = 0;
    std::uint64_t deduplicated = 0; ///< delivered again though their success was stored: not run again
};

namespace detail {

/// What `WorkerStats` tells, counted by the worker and read by anybody.
struct WorkerCounters {
    [[nodiscard]] WorkerStats stats() const noexcept {
        WorkerStats read;
        read.succeeded = succeeded;
        read.failed = failed;
        read.retried = retried;
        read.revoked = revoked;
        read.dead = dead;
        read.restored = restored;
        read.given_back = given_back;
        read.lost = lost;
        read.deduplicated = deduplicated;
        read.received = received; // last: what has ended was received before
        return read;
    }

    std::atomic<std::uint64_t> received{0};
    std::atomic<std::uint64_t> succeeded{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> retried{0};
    std::atomic<std::uint64_t> revoked{0};
    std::atomic<std::uint64_t> dead{0};
    std::atomic<std::uint64_t> restored{0};
    std::atomic<std::uint64_t> given_back{0};
    std::atomic<std::uint64_t> lost{0};
    std::atomic<std::uint64_t> deduplicated{0};
};

} // namespace detail

} // namespace luzia::celery
