// redis/pipeline.hpp: the books of a connection: what waits to be written, what waits for its reply. Pure; locks and clocks are the caller's.
#pragma once

#include <luzia/redis/command.hpp>
#include <luzia/redis/reply_handler.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <iterator>
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
    std::size_t bytes;  ///< on the wire
    std::size_t cost;   ///< in memory, while it is pending
    bool is_unattended; ///< sent for its effect alone: there never was a handler
};

/// What keeping a command costs beside its bytes: the operation, its handler, the place in these books, and for each of many keys its copy
/// and the room for its value. Figures: docs/engine.md.
[[nodiscard]] constexpr std::size_t overhead_of(std::size_t arguments) noexcept {
    constexpr std::size_t command = 512;
    constexpr std::size_t argument = 128;
    constexpr std::size_t included = 5;
    return command + (arguments > included ? (arguments - included) * argument : 0);
}

namespace detail {

/// In the order of tickets, which is that of deadlines as well: every command of a connection has the same time.
class CommandQueue {
public:
    [[nodiscard]] bool empty() const noexcept { return commands_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return commands_.size(); }

    /// Takes the handler out; null where the command is gone or was taken before.
    [[nodiscard]] ReplyHandler* take(Ticket ticket) noexcept {
        const auto found = std::lower_bound(commands_.begin(), commands_.end(), ticket,
                                            [](const PendingCommand& command, Ticket wanted) { return command.ticket < wanted; });
        if (found == commands_.end() || found->ticket != ticket) { return nullptr; }
        return std::exchange(found->handler, nullptr);
    }

    /// Takes out the handlers whose deadline has passed.
    void take_expired(TimePoint now, std::vector<ReplyHandler*>& expired) {
        for (; ended_ < commands_.size(); ++ended_) {
            PendingCommand& command = commands_[ended_];
            if (command.handler == nullptr) { continue; }
            if (command.deadline > now) { return; }
            expired.push_back(command.handler);
            command.handler = nullptr;
        }
    }

    [[nodiscard]] std::optional<TimePoint> next_deadline() noexcept {
        while (ended_ < commands_.size() && commands_[ended_].handler == nullptr) {
            ++ended_;
        }
        return ended_ < commands_.size() ? std::optional(commands_[ended_].deadline) : std::nullopt;
    }

    /// Takes out every handler and forgets the commands; returns what they cost.
    std::size_t take_all(std::vector<ReplyHandler*>& handlers) {
        std::size_t cost = 0;
        for (const PendingCommand& command : commands_) {
            if (command.handler != nullptr) { handlers.push_back(command.handler); }
            cost += command.cost;
        }
        commands_.clear();
        ended_ = 0;
        return cost;
    }

protected:
    PendingCommand pop_front() noexcept {
        const PendingCommand command = commands_.front();
        commands_.pop_front();
        if (ended_ > 0) { --ended_; }
        return command;
    }

    std::deque<PendingCommand> commands_;

private:
    // So many at the front have no handler any more: a server that is slow may owe many replies that nobody waits for.
    std::size_t ended_ = 0;
};

} // namespace detail

/// Written, and not answered yet.
class InFlight : public detail::CommandQueue {
public:
    void push(const PendingCommand& command) { commands_.push_back(command); }

    /// All those of a range that are wanted, or none where memory runs out.
    template <class Iterator, class Wanted>
    void push_wanted(Iterator first, Iterator last, Wanted is_wanted) {
        const std::size_t before = commands_.size();
        try {
            std::copy_if(first, last, std::back_inserter(commands_), is_wanted);
        } catch (...) {
            commands_.resize(before);
            throw;
        }
    }
    [[nodiscard]] const PendingCommand& front() const noexcept { return commands_.front(); }
    PendingCommand pop() noexcept { return pop_front(); }
};

/// Encoded, and not written yet: batches that grow from any thread under the caller's lock, each written as one.
///
/// A batch is small, so that a server that is slower than its callers is not sent what has timed out meanwhile, and that memory grows by
/// pieces where one buffer would be copied to one of twice the size.
class Outbox : public detail::CommandQueue {
public:
    /// What a batch holds, unless a single command is larger.
    static constexpr std::size_t batch_bytes = 64UL * 1024;

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// Of the command that will be written first. Only where there is one.
    [[nodiscard]] Ticket first_ticket() const noexcept { return commands_.front().ticket; }

    /// The new command, until the next call.
    const PendingCommand& append(std::span<const std::string_view> arguments, ReplyHandler* handler, TimePoint deadline) {
        // Whatever runs out of memory does so before anything is changed: half a command would swallow those after it.
        const std::size_t longest = longest_command_size(arguments);
        std::string& out = room_for(longest).bytes;
        const std::size_t before = out.size();
        if (before + longest > out.capacity()) { out.reserve(std::max(before + longest, std::min(2 * out.capacity(), batch_bytes))); }
        commands_.push_back({handler, next_ticket_, deadline, 0, 0, handler == nullptr});
        append_command(out, arguments);
        ++batches_.back().commands;
        ++next_ticket_;
        PendingCommand& command = commands_.back();
        command.bytes = out.size() - before;
        command.cost = command.bytes + overhead_of(arguments.size());
        bytes_ += command.bytes;
        return command;
    }

    /// Moves what is still wanted of the oldest batch to `buffer` (empty) and `in_flight`. Returns what the unwanted of it cost: they are
    /// never sent.
    std::size_t move_batch(std::string& buffer, InFlight& in_flight) {
        if (batches_.empty()) { return 0; }
        Batch& batch = batches_.front();
        const auto end = commands_.begin() + static_cast<std::ptrdiff_t>(batch.commands);
        const bool is_all_wanted = std::all_of(commands_.begin(), end, is_wanted);
        // Whatever runs out of memory does so before anything is changed.
        if (!is_all_wanted) { buffer.reserve(batch.bytes.size()); }
        in_flight.push_wanted(commands_.begin(), end, is_wanted);

        bytes_ -= batch.bytes.size();
        std::size_t dropped = 0;
        std::size_t offset = 0;
        for (std::size_t i = 0; i < batch.commands; ++i) {
            const PendingCommand command = pop_front();
            if (!is_wanted(command)) {
                dropped += command.cost;
            } else if (!is_all_wanted) {
                buffer.append(batch.bytes, offset, command.bytes);
            }
            offset += command.bytes;
        }
        if (is_all_wanted) { buffer.swap(batch.bytes); }
        recycle(std::move(batch.bytes));
        batches_.pop_front();
        return dropped;
    }

    std::size_t take_all(std::vector<ReplyHandler*>& handlers) {
        const std::size_t cost = CommandQueue::take_all(handlers);
        batches_.clear();
        bytes_ = 0;
        return cost;
    }

private:
    struct Batch {
        std::string bytes;
        std::size_t commands = 0;
    };

    [[nodiscard]] static bool is_wanted(const PendingCommand& command) noexcept {
        return command.handler != nullptr || command.is_unattended;
    }

    [[nodiscard]] Batch& room_for(std::size_t size) {
        if (batches_.empty() || (batches_.back().commands != 0 && batches_.back().bytes.size() + size > batch_bytes)) {
            batches_.push_back({std::exchange(spare_, std::string()), 0});
        }
        return batches_.back();
    }

    /// The next batch grows into the memory of one that is gone.
    void recycle(std::string bytes) noexcept {
        bytes.clear();
        if (bytes.capacity() <= 2 * batch_bytes) { spare_ = std::move(bytes); }
    }

    std::deque<Batch> batches_;
    std::string spare_;
    std::size_t bytes_ = 0;
    Ticket next_ticket_ = 1;
};

} // namespace luzia::redis
