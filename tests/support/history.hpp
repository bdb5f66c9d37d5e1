// tests/support/history.hpp: what clients of one server did and saw, and whether a cache may have behaved so.
#pragma once

#include <luzia/core/outcome.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace luzia_test {

/// One operation on one key, with the moments at which it was begun and had ended.
struct HistoryEvent {
    using TimePoint = std::chrono::steady_clock::time_point;
    enum class Kind {
        set,   ///< of a value that no other set has
        erase, ///< or a pattern that takes the key along
        get,   ///< `value` is what was found
        wipe   ///< the server lost everything
    };
    Kind kind = Kind::get;
    std::string key;
    std::string value;
    TimePoint begin;
    TimePoint end;
    luzia::Outcome outcome = luzia::Outcome::done;
};

/// Gathers events from any thread, and judges them at the end.
///
/// Each write takes effect at one moment between its begin and its end, if it was acknowledged; if it was not, at any moment after its
/// begin, or never: what timed out, broke or was cancelled may be applied late, until a barrier says that nothing is under way any more.
/// What was shed, invalid or refused never is. Then
///
/// - a value that is read was written to that key, by a write that had begun;
/// - it was not overwritten or removed, for certain, between that write and the read;
/// - a miss needs something that may have removed the key since the last write that was acknowledged before.
///
/// Bytes corrupted inside a value can't be seen by anybody: no history is kept while a gate corrupts.
class History {
public:
    using TimePoint = HistoryEvent::TimePoint;
    using Kind = HistoryEvent::Kind;

    void add(HistoryEvent event) {
        const std::scoped_lock lock(mutex_);
        events_.push_back(std::move(event));
    }

    /// Every connection there was at `cut` has been ended, and by `settled` the server has dealt with all that had come through them: an
    /// operation that had ended by `cut` has had its effect by `settled`, or has none.
    void barrier(TimePoint cut, TimePoint settled) {
        const std::scoped_lock lock(mutex_);
        barriers_.push_back({cut, settled});
    }

    /// Of the misses that were judged, those that nothing unanswered could have explained. Known after `violations`.
    [[nodiscard]] std::size_t misses_without_excuse() const { return misses_without_excuse_; }

    [[nodiscard]] std::size_t size() const {
        const std::scoped_lock lock(mutex_);
        return events_.size();
    }

    [[nodiscard]] std::size_t count(Kind kind, luzia::Outcome outcome) const {
        const std::scoped_lock lock(mutex_);
        return static_cast<std::size_t>(std::count_if(
            events_.begin(), events_.end(), [&](const HistoryEvent& event) { return event.kind == kind && event.outcome == outcome; }));
    }

    /// One sentence each; none where all is well.
    [[nodiscard]] std::vector<std::string> violations() {
        const std::scoped_lock lock(mutex_);
        std::map<std::string, Key> keys;
        for (const HistoryEvent& event : events_) {
            if (event.kind != Kind::wipe) { keys[event.key].add(event, last_effect_of(event)); }
        }
        for (const HistoryEvent& event : events_) {
            if (event.kind != Kind::wipe) { continue; }
            for (auto& [name, key] : keys) {
                key.add(event, event.end);
            }
        }
        misses_without_excuse_ = 0;
        std::vector<std::string> found;
        for (auto& [name, key] : keys) {
            key.sort();
            for (const HistoryEvent& read : key.reads) {
                const std::string problem = key.problem_of(read);
                if (!problem.empty()) { found.push_back(name + ": " + problem); }
            }
            misses_without_excuse_ += key.misses_without_excuse;
        }
        return found;
    }

private:
    /// The end of the time in which an event may take effect.
    [[nodiscard]] TimePoint last_effect_of(const HistoryEvent& event) const {
        if (event.outcome == luzia::Outcome::done) { return event.end; }
        for (const Barrier& barrier : barriers_) { // in the order of time
            if (barrier.cut >= event.end) { return barrier.settled; }
        }
        return TimePoint::max();
    }

    struct Barrier {
        TimePoint cut;
        TimePoint settled;
    };

    /// An effect that took place in this span of time.
    struct Span {
        TimePoint begin;
        TimePoint end;
    };

    /// Answers "of those that began in time, which ended last or first?" without looking at each.
    class Spans {
    public:
        void add(Span span) { spans_.push_back(span); }
        void sort() {
            std::sort(spans_.begin(), spans_.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
            latest_.resize(spans_.size());
            earliest_.resize(spans_.size());
            for (std::size_t i = 0; i < spans_.size(); ++i) {
                latest_[i] = i == 0 ? spans_[i].end : std::max(latest_[i - 1], spans_[i].end);
            }
            for (std::size_t i = spans_.size(); i-- > 0;) {
                earliest_[i] = i + 1 == spans_.size() ? spans_[i].end : std::min(earliest_[i + 1], spans_[i].end);
            }
        }
        /// Of those that began before `moment`, the latest end.
        [[nodiscard]] TimePoint latest_end_of_begun_before(TimePoint moment) const {
            const std::size_t count = first_at_or_after(moment);
            return count == 0 ? TimePoint::min() : latest_[count - 1];
        }
        /// Of those that began at `moment` or later, the earliest end.
        [[nodiscard]] TimePoint earliest_end_of_begun_since(TimePoint moment) const {
            const std::size_t first = first_at_or_after(moment);
            return first == spans_.size() ? TimePoint::max() : earliest_[first];
        }

    private:
        [[nodiscard]] std::size_t first_at_or_after(TimePoint moment) const {
            const auto found = std::lower_bound(spans_.begin(), spans_.end(), moment,
                                                [](const Span& span, TimePoint wanted) { return span.begin < wanted; });
            return static_cast<std::size_t>(found - spans_.begin());
        }

        std::vector<Span> spans_;
        std::vector<TimePoint> latest_;
        std::vector<TimePoint> earliest_;
    };

    struct Key {
        std::map<std::string, HistoryEvent> writes;
        std::vector<HistoryEvent> reads;
        Spans replaced;                 ///< for certain
        Spans removed;                  ///< perhaps: what was never acknowledged may have no end
        std::vector<Span> acknowledged; ///< writes

        mutable std::size_t misses_without_excuse = 0;

        void add(const HistoryEvent& event, TimePoint last_effect) {
            using luzia::Outcome;
            if (event.kind == Kind::get) {
                if (event.outcome == Outcome::hit || event.outcome == Outcome::miss) { reads.push_back(event); }
                return;
            }
            const bool is_void = event.outcome == Outcome::shed || event.outcome == Outcome::invalid || event.outcome == Outcome::refused;
            const bool is_done = event.outcome == Outcome::done;
            if (event.kind == Kind::set) { writes.emplace(event.value, event); }
            if (is_done) { replaced.add({event.begin, event.end}); }
            if (event.kind == Kind::set) {
                if (is_done) { acknowledged.push_back({event.begin, event.end}); }
            } else if (!is_void) {
                removed.add({event.begin, last_effect});
            }
        }

        void sort() {
            replaced.sort();
            removed.sort();
            std::sort(acknowledged.begin(), acknowledged.end(), [](const Span& a, const Span& b) { return a.end < b.end; });
            // From here on `begin` is the latest begin of all that ended until then.
            for (std::size_t i = 1; i < acknowledged.size(); ++i) {
                acknowledged[i].begin = std::max(acknowledged[i].begin, acknowledged[i - 1].begin);
            }
        }

        [[nodiscard]] std::string problem_of(const HistoryEvent& read) const {
            using luzia::Outcome;
            if (read.outcome == Outcome::miss) {
                const auto later = std::upper_bound(acknowledged.begin(), acknowledged.end(), read.begin,
                                                    [](TimePoint moment, const Span& span) { return moment < span.end; });
                if (later == acknowledged.begin()) { return ""; }
                const TimePoint written = std::prev(later)->begin;
                misses_without_excuse += removed.latest_end_of_begun_before(read.end) != TimePoint::max() ? 1U : 0U;
                return removed.latest_end_of_begun_before(read.end) > written ? "" : "a miss, and nothing can have removed the key";
            }
            const auto write = writes.find(read.value);
            if (write == writes.end()) { return "read " + read.value + ", which nobody wrote to it"; }
            const HistoryEvent& source = write->second;
            switch (source.outcome) {
            case Outcome::shed:
            case Outcome::invalid:
            case Outcome::refused: return "read " + read.value + ", which was never sent or was refused";
            default: break;
            }
            if (source.begin >= read.end) { return "read " + read.value + " before it was written"; }
            if (source.outcome != Outcome::done) { return ""; } // it may have been applied at any time
            const bool is_stale = replaced.earliest_end_of_begun_since(source.end) <= read.begin;
            return is_stale ? "read " + read.value + " after it was replaced or removed" : "";
        }
    };

    mutable std::mutex mutex_;
    std::vector<HistoryEvent> events_;
    std::vector<Barrier> barriers_;
    std::size_t misses_without_excuse_ = 0;
};

} // namespace luzia_test
