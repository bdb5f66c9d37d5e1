// redis/pipeline.hpp: the books of a connection: what waits to be written, what waits for its reply. Pure; locks and clocks are the caller's.
#pragma once

#include <luzia/redis/bytes.hpp>
#include <luzia/redis/command.hpp>
#include <luzia/redis/reply_handler.hpp>
#include <luzia/redis/wire.hpp>

#include <algorithm>
#include <array>
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

/// Commands that are written as one.
struct Batch {
    Wire wire;
    std::vector<PendingCommand> commands;
    std::vector<Payload> written; ///< kept until the last reply
};

namespace detail {

/// Room that batches which are gone have left for those to come.
class SpareRoom {
public:
    void put(std::vector<PendingCommand> room) noexcept {
        if (count_ == rooms_.size() || room.capacity() == 0 || room.capacity() > largest_kept) { return; }
        room.clear();
        rooms_[count_++] = std::move(room);
    }
    [[nodiscard]] std::vector<PendingCommand> take() noexcept {
        return count_ == 0 ? std::vector<PendingCommand>() : std::exchange(rooms_[--count_], {});
    }
    void take_from(SpareRoom& other) noexcept {
        while (count_ < rooms_.size() && other.count_ > 0) {
            put(other.take());
        }
    }

private:
    static constexpr std::size_t largest_kept = 4096;
    std::array<std::vector<PendingCommand>, 4> rooms_;
    std::size_t count_ = 0;
};

/// In the order of tickets, which is that of deadlines as well: every command of a connection has the same time.
class CommandQueue {
public:
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Takes the handler out; null where the command is gone or was taken before.
    [[nodiscard]] ReplyHandler* take(Ticket ticket) noexcept {
        const auto batch = std::lower_bound(batches_.begin(), batches_.end(), ticket, [](const Batch& earlier, Ticket wanted) {
            return earlier.commands.empty() || earlier.commands.back().ticket < wanted;
        });
        if (batch == batches_.end()) { return nullptr; }
        const auto first = batch->commands.begin() + (batch == batches_.begin() ? static_cast<std::ptrdiff_t>(popped_) : 0);
        const auto found = std::lower_bound(first, batch->commands.end(), ticket,
                                            [](const PendingCommand& command, Ticket wanted) { return command.ticket < wanted; });
        if (found == batch->commands.end() || found->ticket != ticket) { return nullptr; }
        return std::exchange(found->handler, nullptr);
    }

    /// Takes out the handlers whose deadline has passed.
    [[gnu::cold]] void take_expired(TimePoint now, std::vector<ReplyHandler*>& expired) {
        for (PendingCommand* next = next_attended(); next != nullptr && next->deadline <= now; next = next_attended()) {
            expired.push_back(next->handler);
            next->handler = nullptr;
        }
    }

    [[nodiscard]] std::optional<TimePoint> next_deadline() noexcept {
        const PendingCommand* const next = next_attended();
        return next != nullptr ? std::optional(next->deadline) : std::nullopt;
    }

    /// Takes out every handler and forgets the commands; returns what they cost.
    [[gnu::cold]] std::size_t take_all(std::vector<ReplyHandler*>& handlers) {
        std::size_t cost = 0;
        for (const Batch& batch : batches_) {
            for (std::size_t i = &batch == &batches_.front() ? popped_ : 0; i < batch.commands.size(); ++i) {
                const PendingCommand& command = batch.commands[i];
                if (command.handler != nullptr) { handlers.push_back(command.handler); }
                cost += command.cost;
            }
        }
        batches_.clear();
        popped_ = 0;
        size_ = 0;
        ended_ = Place();
        return cost;
    }

protected:
    PendingCommand pop_front() noexcept {
        const PendingCommand command = batches_.front().commands[popped_];
        ++popped_;
        --size_;
        if (popped_ == batches_.front().commands.size()) { spare_room_.put(pop_batch()); }
        return command;
    }

    /// Ends the oldest batch, of which nothing was popped, or everything; returns its commands.
    std::vector<PendingCommand> pop_batch() noexcept {
        std::vector<PendingCommand> commands = std::move(batches_.front().commands);
        batches_.pop_front();
        size_ -= commands.size() - popped_;
        popped_ = 0;
        ended_ = ended_.batch > 0 ? Place{ended_.batch - 1, ended_.command} : Place();
        return commands;
    }

    // None is empty but the newest.
    std::deque<Batch> batches_;
    std::size_t popped_ = 0; ///< of the oldest batch
    std::size_t size_ = 0;
    SpareRoom spare_room_;

private:
    struct Place {
        std::size_t batch = 0;
        std::size_t command = 0;
    };

    /// The first with a handler.
    [[nodiscard]] PendingCommand* next_attended() noexcept {
        if (ended_.batch == 0) { ended_.command = std::max(ended_.command, popped_); }
        while (ended_.batch < batches_.size()) {
            std::vector<PendingCommand>& commands = batches_[ended_.batch].commands;
            if (ended_.command < commands.size()) {
                if (commands[ended_.command].handler != nullptr) { return &commands[ended_.command]; }
                ++ended_.command;
            } else if (ended_.batch + 1 < batches_.size()) {
                ended_ = {ended_.batch + 1, 0};
            } else {
                break; // the newest may grow
            }
        }
        return nullptr;
    }

    // Those before have no handler any more: a server that is slow may owe many replies that nobody waits for.
    Place ended_;
};

} // namespace detail

/// Written, and not answered yet.
class InFlight : public detail::CommandQueue {
public:
    void push(const PendingCommand& command) {
        batches_.emplace_back();
        fill({command});
    }
    /// A place for commands that `fill` brings, where there is memory for it.
    void reserve_batch() { batches_.emplace_back(); }
    void fill(std::vector<PendingCommand> commands) noexcept {
        size_ += commands.size();
        batches_.back().commands = std::move(commands);
    }
    /// Until its last reply, the payloads of the batch that was filled last. Freed when they are written, large ones would be gone before the
    /// next ones are made, and an allocator may give their pages back to the system each time.
    void keep(std::vector<Payload> written) noexcept {
        if (!written.empty() && !batches_.empty()) { batches_.back().written = std::move(written); }
    }
    [[nodiscard]] const PendingCommand& front() const noexcept { return batches_.front().commands[popped_]; }
    PendingCommand pop() noexcept {
        const std::vector<PendingCommand>& commands = batches_.front().commands;
        constexpr std::size_t ahead = 8;
        if (popped_ + ahead < commands.size()) { prefetch(commands[popped_ + ahead].handler); }
        return pop_front();
    }
    [[nodiscard]] detail::SpareRoom& spare_room() noexcept { return spare_room_; }
};

/// Encoded, and not written yet: batches that grow from any thread under the caller's lock, each written as one.
///
/// A batch is small, so that a server that is slower than its callers is not sent what has timed out meanwhile, and that memory grows by
/// pieces where one buffer would be copied to one of twice the size.
class Outbox : public detail::CommandQueue {
public:
    /// What a batch holds, unless a single command is larger.
    static constexpr std::size_t batch_bytes = 64UL * 1024;
    /// From here on a copy costs more than a piece more to be written. At most four stand in a batch.
    static constexpr std::size_t least_payload = 16UL * 1024;

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// Of the command that will be written first. Only where there is one.
    [[nodiscard]] Ticket first_ticket() const noexcept { return batches_.front().commands.front().ticket; }

    /// The new command, until the next call. `payload`, where there is one, is an argument that may be taken; where it is large, it is.
    const PendingCommand& append(std::span<const std::string_view> arguments, ReplyHandler* handler, TimePoint deadline,
                                 std::string* payload = nullptr) {
        const std::size_t taken = payload != nullptr && payload->size() >= least_payload ? place_of(*payload, arguments) : arguments.size();
        const bool is_taken = taken < arguments.size();
        // Whatever runs out of memory does so before anything is changed: half a command would swallow those after it.
        const std::size_t longest = longest_command_size(arguments);
        const std::size_t longest_text = longest - (is_taken ? payload->size() : 0);
        Batch& batch = room_for(longest);
        Bytes& out = batch.wire.text;
        const std::size_t before = batch.wire.size();
        if (out.size() + longest_text > out.capacity()) {
            out.reserve(std::max(out.size() + longest_text, std::min(2 * out.capacity(), batch_bytes)));
        }
        if (is_taken) { batch.wire.reserve_payload(); }
        batch.commands.push_back({handler, next_ticket_, deadline, 0, 0, handler == nullptr});
        const std::size_t spare = is_taken ? payload->capacity() - payload->size() : 0;
        if (is_taken) {
            const WrittenAround written = write_command_around(out.end(), arguments, taken);
            const auto place = static_cast<std::size_t>(written.gap - out.begin());
            out.end_at(written.end);
            batch.wire.add({std::move(*payload), place});
        } else {
            out.end_at(write_command(out.end(), arguments));
        }
        ++size_;
        ++next_ticket_;
        PendingCommand& command = batch.commands.back();
        command.bytes = batch.wire.size() - before;
        command.cost = command.bytes + spare + overhead_of(arguments.size());
        bytes_ += command.bytes;
        return command;
    }

    /// Moves what is still wanted of the oldest batch to `wire` (empty) and `in_flight`. Returns what the unwanted of it cost: they are
    /// never sent.
    std::size_t move_batch(Wire& wire, InFlight& in_flight) {
        if (batches_.empty()) { return 0; }
        std::size_t dropped = 0;
        if (!std::all_of(batches_.front().commands.begin(), batches_.front().commands.end(), is_wanted)) { dropped = drop_unwanted(); }
        spare_room_.take_from(in_flight.spare_room());
        // Whatever runs out of memory does so before anything is moved.
        if (!batches_.front().commands.empty()) { in_flight.reserve_batch(); }
        Batch& oldest = batches_.front();
        bytes_ -= oldest.wire.size();
        wire.swap(oldest.wire);
        recycle(oldest.wire.text);
        auto commands = pop_batch();
        if (!commands.empty()) { in_flight.fill(std::move(commands)); }
        return dropped;
    }

    [[gnu::cold]] std::size_t take_all(std::vector<ReplyHandler*>& handlers) {
        bytes_ = 0;
        return CommandQueue::take_all(handlers);
    }

private:
    /// Which of the arguments it is: there may be none, where a backend before this one has sent something else.
    [[nodiscard]] static std::size_t place_of(std::string_view payload, std::span<const std::string_view> arguments) noexcept {
        const auto is_it = [&](std::string_view argument) {
            return argument.data() == payload.data() && argument.size() == payload.size();
        };
        return static_cast<std::size_t>(std::find_if(arguments.begin(), arguments.end(), is_it) - arguments.begin());
    }

    [[nodiscard]] static bool is_wanted(const PendingCommand& command) noexcept {
        return command.handler != nullptr || command.is_unattended;
    }

    /// Cuts out of the oldest batch what nobody waits for any more; returns what it cost.
    [[gnu::cold]] std::size_t drop_unwanted() {
        Batch& oldest = batches_.front();
        const std::size_t before = oldest.wire.size();
        Batch wanted;
        wanted.wire.text.reserve(oldest.wire.text.size());
        wanted.commands.reserve(oldest.commands.size());
        wanted.wire.reserve_payload(); // for as many as a batch has
        std::vector<Payload> payloads = oldest.wire.take_payloads();
        auto payload = payloads.begin();
        std::size_t dropped = 0;
        std::size_t offset = 0;
        for (const PendingCommand& command : oldest.commands) {
            std::size_t text = command.bytes;
            const bool has_payload = payload != payloads.end() && payload->place < offset + command.bytes;
            if (has_payload) { text -= payload->bytes.size(); }
            if (is_wanted(command)) {
                if (has_payload) { wanted.wire.add({std::move(payload->bytes), wanted.wire.text.size() + payload->place - offset}); }
                wanted.wire.text.append(oldest.wire.text.view().substr(offset, text));
                wanted.commands.push_back(command);
            } else {
                dropped += command.cost;
            }
            if (has_payload) { ++payload; }
            offset += text;
        }
        bytes_ -= before - wanted.wire.size();
        size_ -= oldest.commands.size() - wanted.commands.size();
        oldest = std::move(wanted);
        return dropped;
    }

    [[nodiscard]] Batch& room_for(std::size_t size) {
        if (batches_.empty() || (!batches_.back().commands.empty() && batches_.back().wire.size() + size > batch_bytes)) { add_batch(); }
        return batches_.back();
    }

    void add_batch() {
        Batch& batch = batches_.emplace_back();
        batch.wire.text.swap(spare_text_);
        batch.commands = spare_room_.take();
    }

    /// The next batch grows into the memory of one that is gone.
    void recycle(Bytes& text) noexcept {
        if (text.capacity() > 2 * batch_bytes) { return; }
        spare_text_.swap(text);
        spare_text_.clear();
    }

    Bytes spare_text_;
    std::size_t bytes_ = 0;
    Ticket next_ticket_ = 1;
};

} // namespace luzia::redis
