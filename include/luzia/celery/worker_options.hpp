// celery/worker_options.hpp: what can be set for a worker, and the check that it makes sense.
#pragma once

#include <luzia/celery/options.hpp>
#include <luzia/celery/signature.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace luzia::celery {

/// How a worker behaves, beside what `ServerOptions` says. Set members by name.
struct WorkerOptions : ServerOptions {
    WorkerOptions() {}

    /// Served in turn; within each, and before any turn, the more urgent priority first. Empty: `default_queue`.
    std::vector<std::string> queues;
    /// Tasks that run at the same time.
    std::size_t concurrency = std::max(1U, std::thread::hardware_concurrency());
    /// Tasks taken and not ended, those that run included; tasks that wait for their time do not count. 0: four for each that may run.
    std::size_t prefetch = 0;
    /// Tasks that wait for their time are kept here, and no more are taken past so many. At least 1.
    std::size_t max_scheduled = 10'000;
    /// This worker's name; empty: `cpp@` and the host's.
    std::string hostname;
    /// How long what is held stays with a worker that says nothing. The smallest of all workers on the broker counts, in Python as well.
    std::chrono::milliseconds visibility_timeout{std::chrono::hours(1)};
    /// A message is let go when its result is stored: what a crash interrupts is done again. False: when it begins; a crash loses it.
    bool ack_late = true;
    /// A message that is delivered again is let go unrun where a SUCCESS is stored under its id: what a worker ended and could not let go is
    /// then not done twice. It waits while that can't be asked. Wrong where ids are used again while their result is kept.
    bool deduplicate_successful_tasks = false;
    /// Stores STARTED when a task begins.
    bool track_started = false;
    /// For tasks that bring none and have none of their own. A year at most.
    std::optional<std::chrono::milliseconds> time_limit;
    std::optional<std::chrono::milliseconds> soft_time_limit;
    /// How long `stop` waits for what runs, before it asks it to stop, and gives it back. `timeout` where the broker is still to answer.
    std::chrono::milliseconds stop_grace{30'000};
    /// Where handlers run; none: on the worker's executor. A thread pool for handlers that compute.
    std::optional<boost::asio::any_io_executor> handler_executor;
    /// Where messages go that nobody can be told of, as they came.
    std::string dead_letter_list = "luzia.dead-letter";
    /// How often queues are looked at that wake nobody: those beyond the first four, and all while the broker is away.
    std::chrono::milliseconds poll_interval{1000};
    /// Answers to `celery inspect`, `celery control`, `celery status`.
    bool remote_control = true;
};

namespace detail {

/// The options with what is left open filled in; throws `std::invalid_argument`, naming the member and what it may be.
[[nodiscard]] inline WorkerOptions checked(WorkerOptions options) {
    using redis::detail::require;
    validate(options);
    if (options.queues.empty()) { options.queues = {options.default_queue}; }
    for (const std::string& queue : options.queues) {
        require(is_name(queue), "queues must be text without control bytes, and not empty");
    }
    require(options.queues.size() <= 256, "queues must be 256 at most");
    require(options.concurrency >= 1 && options.concurrency <= 10'000, "concurrency must be from 1 to 10000");
    require(options.prefetch <= 100'000, "prefetch must be 100000 at most");
    if (options.prefetch == 0) { options.prefetch = 4 * options.concurrency; }
    options.prefetch = std::max(options.prefetch, options.concurrency);
    require(options.visibility_timeout >= std::chrono::seconds(1) && options.visibility_timeout <= std::chrono::hours(24 * 365),
            "visibility_timeout must be from 1 s to a year");
    require(options.stop_grace.count() >= 0 && options.stop_grace <= std::chrono::hours(24 * 365), "stop_grace must be from 0 to a year");
    require(options.poll_interval.count() > 0 && options.poll_interval <= std::chrono::hours(1),
            "poll_interval must be from 1 ms to an hour");
    require(options.max_scheduled >= 1 && options.max_scheduled <= 10'000'000, "max_scheduled must be from 1 to 10000000");
    require(is_name(options.dead_letter_list), "dead_letter_list must be text without control bytes, and not empty");
    for (const auto& limit : {options.time_limit, options.soft_time_limit}) {
        require(!limit || (limit->count() > 0 && *limit <= longest_limit), "time limits must be from 1 ms to a year");
    }
    if (options.hostname.empty()) { options.hostname = "cpp"; }
    require(is_name(options.hostname), "hostname must be text without control bytes");
    return options;
}

} // namespace detail

} // namespace luzia::celery
