// redis/pipeline.hpp: the books of a connection: what waits to be written, what waits for its reply. Pure; locks and clocks are the caller's.
#pragma once

#include <luzia/redis/command.hpp>
#include <luzia/redis/reply_handler.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::redis {

using TimePoint = std::chrono::steady_clock::time_point;

/// One command on its way. Without a handler its reply is swallowed: it was cancelled, timed out, or nobody asked for it.
struct PendingCommand {
    ReplyHandler* handler;
    Ticket ticket;
    TimePoint deadline;
    std::size_t bytes;
    bool is_unattended; ///< sent for its effect alone: there never was a handler
};

namespace detail {

/// In the order of tickets, which is that of deadlines as well: every command of a connection has the same time.
class CommandQueue {
public:
    [[nodiscard]] bool empty() const noexcept { return commands_.empty(); }

    /// Takes the handler out; null where the command is gone or was taken before.
    [[nodiscard]] ReplyHandler* take(Ticket ticket) noexcept {
        const auto found = std::lower_bound(commands_.begin(), commands_.end(), ticket,
                                            [](const PendingCommand& command, Ticket wanted) { return command.ticket < wanted; });
        if (found == commands_.end() || found->ticket != ticket) { return nullptr; }
        return std::exchange(found->handler, nullptr);
    }

    /// Takes out the handlers whose deadline has passed.
    void take_expired(TimePoint now, std::vector<ReplyHandler*>& expired) {
        for (PendingCommand& command : commands_) {
            if (command.deadline > now) { return; }
            if (command.handler != nullptr) { expired.push_back(std::exchange(command.handler, nullptr)); }
        }
    }

    [[nodiscard]] std::optional<TimePoint> next_deadline() const {
        for (const PendingCommand& command : commands_) {
            if (command.handler != nullptr) { return command.deadline; }
        }
        return std::nullopt;
    }

    /// Takes out every handler and forgets the commands; returns the bytes they were counted with.
    std::size_t take_all(std::vector<ReplyHandler*>& handlers) {
        std::size_t bytes = 0;
        for (const PendingCommand& command : commands_) {
            if (command.handler != nullptr) { handlers.push_back(command.handler); }
            bytes += command.bytes + command_overhead;
        }
        commands_.clear();
        return bytes;
    }

    /// What a pending command costs beside its bytes: the operation, its handler, the place in these books. Figures: docs/engine.md.
    static constexpr std::size_t command_overhead = 512;

protected:
    std::deque<PendingCommand> commands_;
};

} // namespace detail

/// Written, and not answered yet.
class InFlight : public detail::CommandQueue {
public:
    void push(const PendingCommand& command) { commands_.push_back(command); }

    [[nodiscard]] const PendingCommand& front() const noexcept { return commands_.front(); }

    PendingCommand pop() noexcept {
        const PendingCommand command = commands_.front();
        commands_.pop_front();
        return command;
    }
};

/// Encoded, and not written yet: one buffer that grows from any thread under the caller's lock.
class Outbox : public detail::CommandQueue {
public:
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.size(); }
    /// Of the command that will be written first. Only where there is one.
    [[nodiscard]] Ticket first_ticket() const noexcept { return commands_.front().ticket; }

    Ticket append(std::span<const std::string_view> arguments, ReplyHandler* handler, TimePoint deadline) {
        // Whatever runs out of memory does so before anything is changed: half a command would swallow those after it.
        const std::size_t before = bytes_.size();
        const std::size_t needed = before + longest_command_size(arguments);
        if (needed > bytes_.capacity()) { bytes_.reserve(std::max(needed, 2 * bytes_.capacity())); }
        commands_.push_back({handler, next_ticket_, deadline, 0, handler == nullptr});
        append_command(bytes_, arguments);
        commands_.back().bytes = bytes_.size() - before;
        return next_ticket_++;
    }

    /// Moves what is still wanted to `buffer` (empty) and `in_flight`. Returns the bytes that the unwanted were counted with:
    /// they are never sent.
    std::size_t move_to(std::string& buffer, InFlight& in_flight) {
        std::size_t dropped = 0;
        const bool is_all_wanted =
            std::all_of(commands_.begin(), commands_.end(), [](const PendingCommand& command) { return is_wanted(command); });
        if (is_all_wanted) {
            buffer.swap(bytes_);
            for (const PendingCommand& command : commands_) {
                in_flight.push(command);
            }
        } else {
            std::size_t offset = 0;
            for (const PendingCommand& command : commands_) {
                if (is_wanted(command)) {
                    buffer.append(bytes_, offset, command.bytes);
                    in_flight.push(command);
                } else {
                    dropped += command.bytes + command_overhead;
                }
                offset += command.bytes;
            }
        }
        release();
        return dropped;
    }

    std::size_t take_all(std::vector<ReplyHandler*>& handlers) {
        const std::size_t bytes = CommandQueue::take_all(handlers);
        release();
        return bytes;
    }

private:
    [[nodiscard]] static bool is_wanted(const PendingCommand& command) noexcept {
        return command.handler != nullptr || command.is_unattended;
    }

    void release() {
        commands_.clear();
        bytes_.clear();
        if (bytes_.capacity() > largest_kept) { bytes_ = std::string(); }
    }

    static constexpr std::size_t largest_kept = 1024UL * 1024;

    std::string bytes_;
    Ticket next_ticket_ = 1;
};

} // namespace luzia::redis
