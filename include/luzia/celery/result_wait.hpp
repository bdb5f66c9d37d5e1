// celery/result_wait.hpp: one who waits for a result, and what has come for all who wait for the same one.
#pragma once

#include <luzia/celery/result.hpp>
#include <luzia/core/error.hpp>
#include <luzia/redis/completion.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace luzia::celery::detail {

struct ResultWaiter {
    using Done = redis::Completion<error_code, TaskResult>;
    using Clock = std::chrono::steady_clock;

    std::string id;
    Done done;
    Clock::time_point deadline;
    Clock::time_point latest; ///< where something that came is still being read at the deadline
    bool is_looked_up;        ///< a look was answered since it began, or it has time enough to do without
};

/// Who waits for one id, by number, and what has come for them.
struct AwaitedResult {
    enum class Source { told, stored };
    struct Arrival {
        std::string bytes;
        Source source;
    };

    std::vector<std::uint64_t> numbers;
    std::deque<Arrival> arrivals;
    bool is_being_read = false;
    bool is_large = false; ///< it is on its way over the patient connection
};

} // namespace luzia::celery::detail
