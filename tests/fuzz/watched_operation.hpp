// fuzz/watched_operation.hpp: a cache operation under way, and whether what it ends with can be.
#pragma once

#include "check.hpp"

#include <luzia/cache/results.hpp>

#include <boost/asio/cancellation_signal.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia_fuzz {

using luzia::Outcome;

enum class Kind { simple, walk, drain };

/// What is true of all operations of a run at a moment.
struct Circumstances {
    bool is_running = false; ///< handlers may be called
    bool is_lying = false;   ///< the server has sent something that is no true answer
};

struct WatchedOperation {
    Kind kind = Kind::simple;
    std::string key; ///< the only one, or the start of each
    boost::asio::cancellation_signal cancellation;
    unsigned completed = 0;
    unsigned dropped = 0; ///< destroyed without having been completed
    bool was_written = false;
    bool is_named = false; ///< by its command, so that `was_written` is known
    bool is_cancelled = false;
    bool must_not_be_written = false;
    bool was_closed = false; ///< when it was begun
    bool may_be_shed = true;
};

/// Completes an operation, or is destroyed without.
class WatchingHandler {
public:
    WatchingHandler(const Circumstances& circumstances, WatchedOperation& operation) noexcept
        : circumstances_(&circumstances), operation_(&operation) {}
    WatchingHandler(WatchingHandler&& other) noexcept
        : circumstances_(other.circumstances_), operation_(std::exchange(other.operation_, nullptr)) {}
    WatchingHandler& operator=(WatchingHandler&&) = delete;
    ~WatchingHandler() {
        if (operation_ != nullptr) { ++operation_->dropped; }
    }

    template <class Result>
    void operator()(const Result& result) {
        WatchedOperation& operation = *std::exchange(operation_, nullptr);
        check(circumstances_->is_running, "handlers run on their executor, never inside a call");
        check(++operation.completed == 1, "an operation ends once");
        conclude(operation, result);
    }

private:
    void conclude(const WatchedOperation& operation, bool) { check(operation.kind != Kind::walk, "a flag is no count"); }

    void conclude(const WatchedOperation& operation, const std::optional<std::chrono::milliseconds>& ttl) {
        check(!ttl || operation.was_written, "an answer is the answer to a question");
    }

    void conclude(const WatchedOperation& operation, const std::optional<std::string>& value) { check_value(operation, "", value); }

    void conclude(const WatchedOperation& operation, const luzia::Lookup<std::string>& found) {
        check_value(operation, "", found.value);
        check(found.value.has_value() == (found.outcome == Outcome::hit), "a hit has a value");
        check_outcome(operation, found.outcome);
    }

    void conclude(const WatchedOperation& operation, const std::vector<std::optional<std::string>>& values) {
        check(values.size() == 3, "there is a result for each key");
        for (std::size_t i = 0; i < values.size(); ++i) {
            check_value(operation, std::string(1, static_cast<char>('a' + i)), values[i]);
        }
    }

    void conclude(const WatchedOperation& operation, const luzia::Effect& effect) {
        check(effect.count == 0 || operation.was_written, "an effect is that of a command");
        check(luzia::is_answer(effect.outcome) == !effect.error, "a failure has a reason, and nothing else has");
        if (operation.kind == Kind::simple) { check(effect.count <= 3, "no more is counted than was asked for"); }
        check_outcome(operation, effect.outcome);
    }

    void check_value(const WatchedOperation& operation, const std::string& suffix, const std::optional<std::string>& value) const {
        if (!value) { return; }
        check(operation.was_written, "an answer is the answer to a question");
        check(circumstances_->is_lying || *value == "value of " + operation.key + suffix, "a value is that of its key", *value);
    }

    static void check_outcome(const WatchedOperation& operation, Outcome outcome) {
        if (operation.was_closed) { check(outcome == Outcome::closed || outcome == Outcome::invalid, "what comes after close is closed"); }
        check(outcome != Outcome::shed || operation.may_be_shed, "nothing is shed while nothing is pending");
        check(outcome != Outcome::cancelled || operation.is_cancelled, "only what was cancelled is cancelled");
    }

    const Circumstances* circumstances_;
    WatchedOperation* operation_;
};

} // namespace luzia_fuzz
