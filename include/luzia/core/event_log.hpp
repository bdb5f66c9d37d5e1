// core/event_log.hpp: the lines an outage may write: transitions one each, repeated failures folded to one a second with their count.
#pragma once

#include <luzia/core/separate.hpp>

#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

namespace luzia {

class EventFolder;

/// Where a client's events go: a logger resolved once, finished text only. Safe to share between threads.
class EventLog {
public:
    using Clock = std::chrono::steady_clock;

    /// `logger` null: spdlog's default one at this moment; where that is null too, nothing is written.
    LUZIA_DECL explicit EventLog(std::shared_ptr<spdlog::logger> logger);
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;
    LUZIA_DECL ~EventLog();

    /// One line, always: something changed.
    LUZIA_DECL void transition(spdlog::level::level_enum level, std::string_view text);

    /// One of many like events, or several: folded by `kind`.
    LUZIA_DECL void event(spdlog::level::level_enum level, std::string_view kind, std::string_view text, std::uint64_t events = 1);

    /// Writes the counts that no later event has carried yet.
    LUZIA_DECL void flush(bool everything = false);

    /// Whether there are such counts. Costs nothing.
    [[nodiscard]] bool holds_counts() const noexcept { return holds_counts_.load(std::memory_order_relaxed); }
    /// When they are due; none where there are none.
    [[nodiscard]] LUZIA_DECL std::optional<Clock::time_point> next_flush() const;

private:
    LUZIA_DECL void write(spdlog::level::level_enum level, std::string_view text) const noexcept;

    std::shared_ptr<spdlog::logger> logger_;
    mutable std::mutex mutex_;
    std::unique_ptr<EventFolder> folder_;
    std::atomic<bool> holds_counts_{false};
};

} // namespace luzia

#if !defined(LUZIA_SEPARATE_COMPILATION)
#include <luzia/core/event_lines.hpp>
#endif
