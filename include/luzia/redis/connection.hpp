// redis/connection.hpp: the async hiredis adapter: commands from any thread over one pipelined connection, each answered once, in time.
#pragma once

#include <luzia/core/clock.hpp>
#include <luzia/redis/dialer.hpp>
#include <luzia/redis/pipeline.hpp>
#include <luzia/redis/short_mutex.hpp>

#include <boost/system/errc.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace luzia::redis {

/// One pipelined connection to one server.
///
/// Commands are encoded into batches under a short lock, by whatever thread brings them; one task on the connection's strand writes
/// them, a batch at a time. Replies match commands in the order of the wire. How the link comes to be is the `Dialer`'s business.
///
/// Each command taken gets exactly one call of its `ReplyHandler`. None is ever sent twice: when the link breaks, what was pending fails,
/// written or not. The first attempt to connect is waited for; once it has failed, or a command's time has run out over it, commands are
/// refused at once until the link is there.
///
/// Deadlines run from `submit`. One timer serves all: the commands of a connection have the same time, so they stand in the order of their
/// deadlines. Before one is judged, what has arrived is read, so that a thread kept busy by others does not turn answers into timeouts.
/// Timed out or cancelled before it was written, a command is never sent; after that its reply is swallowed and the link stays. A server
/// that owes a reply and for `command_timeout` completes none, nor sends 512 bytes of a long one, is dropped; one that is slow is not.
///
/// Held by its owner and by what is under way; `close` ends it from any thread.
class Connection final : public Dialer {
public:
    [[gnu::cold]] [[nodiscard]] static std::shared_ptr<Connection> create(const asio::any_io_executor& executor, Target target,
                                                                          ConnectionOptions options, std::shared_ptr<EventLog> log) {
        std::shared_ptr<Connection> connection(new Connection(executor, std::move(target), std::move(options), std::move(log)));
        connection->join_context();
        return connection;
    }

    [[gnu::cold]] ~Connection() { on_gone(); }

    /// Takes one command; `handler` may be null where only the effect is wanted. On an error nothing was taken, and nothing will be
    /// called. `payload` may name an argument's own string, which is taken where that saves a copy. `is_gathered`: `send_gathered` follows
    /// soon, and the command may wait for it. Any thread.
    [[nodiscard]] error_code submit(std::span<const std::string_view> arguments, ReplyHandler* handler, Ticket* ticket = nullptr,
                                    std::string* payload = nullptr, bool is_gathered = false) {
        const TimePoint deadline = next_deadline();
        const std::scoped_lock lock(mutex_);
        if (admission_ == Admission::closed) { return Error::closed; }
        if (admission_ == Admission::refuse) { return refusal_; }
        if (taken_bytes_ - ended_bytes_.load(std::memory_order_relaxed) >= options_.max_pending_bytes) { return Error::overloaded; }
        // Before anything is taken: where there is no memory for it, nothing has happened. The strand waits for the lock.
        const bool is_kept = is_gathered && admission_ == Admission::send;
        if (!is_awake_ && !is_kept) {
            strand().post([self = self_pointer()] { self->on_wake(); });
            is_wake_due_ = true;
        }
        const PendingCommand& command = outbox_.append(arguments, handler, deadline, payload);
        is_awake_ = is_awake_ || !is_kept;
        if (ticket != nullptr) { *ticket = command.ticket; }
        taken_bytes_ += command.cost;
        return {};
    }

    [[nodiscard]] std::chrono::milliseconds command_timeout() const noexcept { return options_.command_timeout; }

    /// Ends a command with `Error::cancelled`: not yet written, it never will be; written, its reply is swallowed. Does nothing where the
    /// command has ended. Any thread.
    void cancel(Ticket ticket) {
        ReplyHandler* handler = nullptr;
        {
            const std::scoped_lock lock(mutex_);
            if (admission_ == Admission::closed) { return; }
            handler = outbox_.take(ticket);
            // Under the lock, as in `close`: the context may be going, on another thread, and waits for it.
            if (handler == nullptr) {
                strand().post([self = self_pointer(), ticket] {
                    if (ReplyHandler* const written = self->in_flight_.take(ticket)) { written->on_failure(Error::cancelled); }
                });
            }
        }
        if (handler != nullptr) { handler->on_failure(Error::cancelled); }
    }

    /// Sends what has gathered, now or as soon as the strand is free. On a thread that runs the context.
    void send_gathered() noexcept {
        std::unique_lock<ShortMutex> lock(mutex_);
        if (outbox_.empty() || admission_ != Admission::send) { return; }
        lock.unlock();
        Task task([self = self_pointer()] { self->wake(); });
        try {
            while (!strand().overtake(task)) { // nobody else might send it
                std::this_thread::yield();
            }
        } catch (...) {} // no memory for a timer, which the next command arms
    }

    /// Fails what is pending, and whatever comes later, with `Error::closed`. Any thread.
    [[gnu::cold]] void close() {
        const std::scoped_lock lock(mutex_);
        if (std::exchange(admission_, Admission::closed) == Admission::closed) { return; }
        strand().post([self = self_pointer()] {
            self->hang_up();
            self->deadline_timer().cancel();
            self->fail_all(Error::closed);
        });
    }

private:
    using Dialer::Dialer;

    [[nodiscard]] std::shared_ptr<Connection> self_pointer() { return std::static_pointer_cast<Connection>(shared_from_this()); }

    /// Of a command begun now.
    [[nodiscard]] TimePoint next_deadline() const noexcept { return last_tick() + slack_ + options_.command_timeout; }

    /// The time, or up to `slack_` before it.
    [[nodiscard]] TimePoint last_tick() const noexcept { return slack_ == Clock::duration::zero() ? Clock::now() : CoarseClock::now(); }

    void on_wake() {
        {
            const std::scoped_lock lock(mutex_);
            is_wake_due_ = false;
            is_awake_ = !outbox_.empty() || admission_ != Admission::send; // mostly those who brought it have sent it since
            if (!is_awake_) { return; }
        }
        wake();
    }

    void wake() {
        dial();
        if (phase() == Phase::ready) { flush(); }
        arm_deadlines();
    }

    // Sending.

    void flush() {
        try {
            for (bool is_all = false; !is_all && !link().is_writing();) {
                is_all = take_batch();
                if (link().outgoing.size() > 0) { link().write(); }
                in_flight_.keep(link().take_written());
            }
        } catch (const std::bad_alloc&) { lose(make_error_code(boost::system::errc::not_enough_memory), "no memory to send with"); }
    }

    /// False where more is left.
    [[nodiscard]] bool take_batch() {
        const std::scoped_lock lock(mutex_);
        if (!outbox_.empty()) {
            if (in_flight_.empty()) { note_life(); }
            first_of_batch_ = outbox_.first_ticket();
            taken_bytes_ -= outbox_.move_batch(link().outgoing, in_flight_);
        }
        if (!outbox_.empty()) { return false; }
        is_awake_ = is_wake_due_; // the next command has to wake the strand
        return true;
    }

    void on_progress(bool is_all) override {
        // While the command whose reply is next may not be written yet, writing is a sign of life; after that only reading is.
        if (!in_flight_.empty() && in_flight_.front().ticket >= first_of_batch_) { note_life(); }
        if (!is_all) { return; }
        in_flight_.keep(link().take_written());
        flush();
        arm_deadlines();
    }

    [[gnu::cold]] void on_link_ready() override {
        {
            const std::scoped_lock lock(mutex_);
            if (admission_ != Admission::closed) { admission_ = Admission::send; }
        }
        note_life();
        if (!link().is_writing()) { flush(); }
        arm_deadlines();
    }

    // Receiving.

    [[nodiscard]] bool on_reply(Reply& reply) override {
        if (in_flight_.empty() || reply.kind() == Reply::Kind::push) {
            lose_for_protocol(Error::protocol, "a reply that nobody asked for");
            return false;
        }
        const PendingCommand command = in_flight_.pop();
        settled_bytes_ += command.cost;
        return reply.is_error() ? on_error_reply(command.handler, reply) : hand_over(command.handler, reply);
    }

    [[nodiscard]] bool hand_over(ReplyHandler* handler, Reply& reply) {
        if (handler == nullptr || handler->on_reply(reply) == Verdict::fits) { return true; }
        lose_for_protocol(Error::protocol, "a reply that its command can't have");
        return false;
    }

    [[gnu::cold]] [[nodiscard]] bool on_error_reply(ReplyHandler* handler, Reply& reply) {
        const std::string unusable = log_refusal(reply);
        if (!hand_over(handler, reply)) { return false; }
        if (!unusable.empty()) { lose(Error::connection_lost, unusable); }
        return unusable.empty();
    }

    std::size_t on_replies_end(std::size_t bytes, std::size_t replies) override {
        // A peer that lets a byte through now and then is as good as silent.
        gathered_bytes_ += bytes;
        if (replies > 0 || gathered_bytes_ >= least_progress) { note_life(); }
        ended_bytes_.store(ended_bytes_.load(std::memory_order_relaxed) + std::exchange(settled_bytes_, 0), std::memory_order_relaxed);
        return in_flight_.size();
    }

    /// Returns the text where a server in this state may be another one the next time its name is resolved.
    [[gnu::cold]] [[nodiscard]] std::string log_refusal(const Reply& reply) {
        const ServerError kind = server_error(reply.text()); // which the peer can't make up
        if (kind == ServerError::noscript) { return {}; }    // no refusal: the script is sent whole
        std::string text = printable_server_text(reply.text());
        log_->event(spdlog::level::warn, make_error_code(kind).message(), "luzia: " + target().text() + " refused a command: " + text);
        const bool is_unusable = kind == ServerError::loading || kind == ServerError::masterdown || kind == ServerError::readonly;
        return is_unusable ? text : std::string();
    }

    // Losing.

    [[gnu::cold]] void on_link_lost(error_code reason, Admission admission) override {
        {
            const std::scoped_lock lock(mutex_);
            if (admission_ == Admission::closed) { return; } // close() has its own word for those
            admission_ = admission;
            refusal_ = reason;
            if (admission == Admission::wait) { return; } // another address of the first attempt
        }
        fail_all(reason);
    }

    [[gnu::cold]] void fail_all(error_code reason) {
        for (ReplyHandler* const handler : take_all()) {
            handler->on_failure(reason);
        }
    }

    [[gnu::cold]] [[nodiscard]] std::vector<ReplyHandler*> take_all() {
        std::vector<ReplyHandler*> handlers;
        std::unique_lock<ShortMutex> lock(mutex_);
        handlers.reserve(in_flight_.size() + outbox_.size()); // and no more comes from here on
        lock.unlock();
        in_flight_.take_all(handlers); // with the values that were written, which may be much to free
        lock.lock();
        outbox_.take_all(handlers);
        taken_bytes_ = ended_bytes_.load(std::memory_order_relaxed);
        settled_bytes_ = 0;
        is_awake_ = is_wake_due_;
        return handlers;
    }

    [[gnu::cold]] void on_gone() noexcept override {
        {
            const std::scoped_lock lock(mutex_);
            admission_ = Admission::closed;
        }
        for (ReplyHandler* const handler : take_all()) {
            handler->on_abandon();
        }
    }

    // Deadlines.

    void arm_deadlines() {
        if (phase() == Phase::closed) { return; }
        std::optional<TimePoint> due = in_flight_.next_deadline();
        const bool is_first_known = due.has_value(); // those that are not written yet have later ones
        const auto also = [&](std::optional<TimePoint> other) {
            if (other && (!due || *other < *due)) { due = other; }
        };
        if (phase() == Phase::ready) { also(quiet_since_ + (is_due() ? longest_silence() : options_.health_check_interval)); }
        if (is_first_known && armed_ <= *due && !log_->holds_counts()) { return; }
        {
            const std::scoped_lock lock(mutex_);
            const auto waiting = outbox_.next_deadline();
            also(waiting);
            if (!waiting) { is_awake_ = is_wake_due_; } // the next command has a deadline that is not known yet
        }
        also(log_->next_flush());
        if (due) { arm(*due); }
    }

    void arm(TimePoint due) {
        if (armed_ <= due) { return; }
        armed_ = TimePoint::max(); // where there is no memory to wait
        deadline_timer().expires_at(due);
        wait(deadline_timer(), [self = self_pointer()] {
            self->armed_ = TimePoint::max();
            self->after_arrivals({[](Dialer& dialer, std::uint64_t) { static_cast<Connection&>(dialer).judge(); }});
        });
        armed_ = due;
    }

    [[gnu::cold]] void judge() {
        if (phase() == Phase::closed) { return; }
        const TimePoint now = Clock::now();
        if (is_overdue(now) && phase() == Phase::ready && link().has_unread()) {
            if (!grace_) { grace_ = now + longest_grace; }
            link().catch_up();
            if (now < *grace_) { return arm(now + std::chrono::milliseconds(1)); }
        }
        grace_.reset();
        std::vector<ReplyHandler*> expired;
        in_flight_.take_expired(now, expired);
        {
            const std::scoped_lock lock(mutex_);
            outbox_.take_expired(now, expired);
            if (admission_ == Admission::wait && !expired.empty()) { // those who come later need not wait as long for the same
                outwaited();
                admission_ = Admission::refuse;
                refusal_ = Error::not_connected;
            }
        }
        for (ReplyHandler* const handler : expired) {
            handler->on_failure(Error::timed_out);
        }
        if (!expired.empty()) {
            log_->event(spdlog::level::warn, "timed out", "luzia: " + target().text() + " did not answer in time", expired.size());
        }
        if (phase() == Phase::ready) { probe(now); }
        log_->flush();
        arm_deadlines();
    }

    void note_life() {
        quiet_since_ = last_tick();
        gathered_bytes_ = 0;
    }

    [[nodiscard]] bool is_overdue(TimePoint now) {
        const auto deadline = in_flight_.next_deadline();
        return (deadline && *deadline <= now) || is_silent(now);
    }

    /// No shorter than a command's time, or the first of them would not end for its own reason.
    [[nodiscard]] Clock::duration longest_silence() const noexcept { return options_.command_timeout + slack_; }

    /// The server owes us a sign of life: a reply, or room for what is being written. One that answered early may owe the latter alone.
    [[nodiscard]] bool is_due() { return !in_flight_.empty() || link().is_writing(); }

    [[nodiscard]] bool is_silent(TimePoint now) { return phase() == Phase::ready && is_due() && now - quiet_since_ >= longest_silence(); }

    [[gnu::cold]] void probe(TimePoint now) {
        if (is_silent(now)) {
            return lose(Error::silent, "silent for " + std::to_string(options_.command_timeout.count()) + " ms while a reply was due");
        }
        if (!is_due() && now - quiet_since_ >= options_.health_check_interval) {
            constexpr std::array<std::string_view, 1> ping{"PING"};
            quiet_since_ = now;
            static_cast<void>(submit(ping, nullptr)); // refused only where the link is gone or flooded, which is an answer as well
        }
    }

    const Clock::duration slack_ = CoarseClock::slack_of(options_.command_timeout);

    // Guarded by mutex_.
    ShortMutex mutex_;
    Admission admission_ = Admission::wait;
    error_code refusal_ = Error::not_connected;
    Outbox outbox_;
    bool is_awake_ = false;    ///< the strand will look at the outbox without being told again
    bool is_wake_due_ = false; ///< it has been told, and has not looked yet

    std::size_t taken_bytes_ = 0;             ///< what all commands cost that were taken, and not dropped unwritten
    std::atomic<std::size_t> ended_bytes_{0}; ///< those of them that have ended; written on the strand alone

    // Confined to the strand.
    InFlight in_flight_;
    Ticket first_of_batch_ = 0;
    std::size_t settled_bytes_ = 0;
    TimePoint quiet_since_{};
    std::size_t gathered_bytes_ = 0; ///< since then, of a reply that is not complete
    TimePoint armed_ = TimePoint::max();
    static constexpr std::size_t least_progress = 512;
    // What a socket holds unread is read well within this; a peer that goes on sending gets no more.
    static constexpr std::chrono::milliseconds longest_grace{50};
    std::optional<TimePoint> grace_;
};

} // namespace luzia::redis
