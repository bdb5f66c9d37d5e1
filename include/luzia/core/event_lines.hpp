// core/event_lines.hpp: which events become lines, and how they are written.
#pragma once

#if defined(LUZIA_SEPARATE_COMPILATION) && !defined(LUZIA_SOURCE)
#error "with LUZIA_SEPARATE_COMPILATION this is for luzia/src.hpp alone"
#endif

#include <luzia/core/event_log.hpp>
#include <luzia/core/separate.hpp>

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia {

/// Decides which of many like events are written. Pure: the time is passed in.
///
/// The first of a kind is written at once; those that follow within a second are counted, and the count is written with the first
/// event after that second, or by `flush`.
class EventFolder {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds window{1};
    static constexpr std::size_t max_kinds = 32; // the first word of an error reply is the peer's to choose

    /// How many events of this kind the line to be written stands for; none = write nothing now.
    [[gnu::cold]] [[nodiscard]] std::optional<std::uint64_t> next(std::string_view kind, Clock::time_point now, std::uint64_t events = 1) {
        Kind& entry = kind_of(kind);
        if (entry.written && now - *entry.written < window) {
            entry.folded += events;
            return std::nullopt;
        }
        entry.written = now;
        return std::exchange(entry.folded, 0) + events;
    }

    /// The kinds that hold folded events older than the window (or all, with `everything`), with their counts.
    [[gnu::cold]] [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> flush(Clock::time_point now, bool everything) {
        std::vector<std::pair<std::string, std::uint64_t>> due;
        for (Kind& entry : kinds_) {
            if (entry.folded == 0 || (!everything && now - *entry.written < window)) { continue; }
            due.emplace_back(entry.name, std::exchange(entry.folded, 0));
            entry.written = now;
        }
        return due;
    }

    /// When the next folded events are due; none where nothing is folded.
    [[nodiscard]] std::optional<Clock::time_point> next_flush() const {
        std::optional<Clock::time_point> next;
        for (const Kind& entry : kinds_) {
            if (entry.folded == 0) { continue; }
            const Clock::time_point due = *entry.written + window;
            if (!next || due < *next) { next = due; }
        }
        return next;
    }

private:
    struct Kind {
        std::string name;
        std::optional<Clock::time_point> written;
        std::uint64_t folded = 0;
    };

    [[gnu::cold]] [[nodiscard]] Kind& kind_of(std::string_view name) {
        for (Kind& entry : kinds_) {
            if (entry.name == name) { return entry; }
        }
        if (kinds_.size() >= max_kinds && name != "other") { return kind_of("other"); }
        kinds_.emplace_back().name = name;
        return kinds_.back();
    }

    std::vector<Kind> kinds_;
};

[[gnu::cold]] LUZIA_DECL EventLog::EventLog(std::shared_ptr<spdlog::logger> logger)
    : logger_(logger ? std::move(logger) : spdlog::default_logger()), folder_(std::make_unique<EventFolder>()) {}

[[gnu::cold]] LUZIA_DECL EventLog::~EventLog() { flush(true); }

[[gnu::cold]] LUZIA_DECL void EventLog::transition(spdlog::level::level_enum level, std::string_view text) { write(level, text); }

[[gnu::cold]] LUZIA_DECL void EventLog::event(spdlog::level::level_enum level, std::string_view kind, std::string_view text,
                                              std::uint64_t events) {
    std::optional<std::uint64_t> count;
    {
        const std::scoped_lock lock(mutex_);
        count = folder_->next(kind, Clock::now(), events);
        if (!count) { holds_counts_.store(true, std::memory_order_relaxed); }
    }
    if (!count) { return; }
    if (*count == 1) { return write(level, text); }
    write(level, std::string(text) + " (" + std::to_string(*count) + " of this kind since the last line)");
}

[[gnu::cold]] LUZIA_DECL void EventLog::flush(bool everything) {
    std::vector<std::pair<std::string, std::uint64_t>> due;
    {
        const std::scoped_lock lock(mutex_);
        due = folder_->flush(Clock::now(), everything);
        holds_counts_.store(folder_->next_flush().has_value(), std::memory_order_relaxed);
    }
    for (const auto& [kind, count] : due) {
        write(spdlog::level::warn, "luzia: " + std::to_string(count) + " more like this: " + kind);
    }
}

LUZIA_DECL std::optional<EventLog::Clock::time_point> EventLog::next_flush() const {
    if (!holds_counts()) { return std::nullopt; }
    const std::scoped_lock lock(mutex_);
    return folder_->next_flush();
}

/// What a logger throws, by an error handler of the user's, stays here: an operation must not be lost over a line about it.
[[gnu::cold]] LUZIA_DECL void EventLog::write(spdlog::level::level_enum level, std::string_view text) const noexcept {
    if (!logger_) { return; }
    try {
        logger_->log(level, spdlog::string_view_t(text.data(), text.size()));
    } catch (...) {} // there is no one to tell
}

} // namespace luzia
