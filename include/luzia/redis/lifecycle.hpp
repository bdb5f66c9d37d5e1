// redis/lifecycle.hpp: the life of one connection as decisions. Pure: no I/O, no clock of its own; `Connection` performs the steps.
#pragma once

#include <luzia/redis/backoff.hpp>

#include <chrono>
#include <cstddef>

namespace luzia::redis {

/// Where a connection stands.
enum class Phase { idle, resolving, connecting, securing, handshaking, ready, backing_off, closed };

/// What is to be done next.
enum class Step {
    none,
    resolve,   ///< look the name up
    connect,   ///< connect to address number `address()`
    secure,    ///< TLS, where the transport has it
    handshake, ///< send AUTH, SELECT, CLIENT SETNAME or PING
    open,      ///< start sending what waits
    back_off   ///< wait `pause()`, then `paused()`
};

/// What becomes of an operation begun now.
enum class Admission {
    wait,   ///< the very first attempt is under way: it is waited for
    send,   ///< the connection is ready
    refuse, ///< there is no connection: a miss, at once
    closed
};

/// The state machine: idle -> resolving -> connecting -> securing -> handshaking -> ready -> (lost) -> backing off -> resolving ...
///
/// Every address of a name is tried before an attempt counts as failed. A connection that held for `stable_after` and is lost is made
/// anew at once; one that did not hold counts as a failed attempt, or a server that accepts and hangs up would be asked without end.
class Lifecycle {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    explicit Lifecycle(Backoff backoff) noexcept : backoff_(backoff) {}

    [[nodiscard]] Phase phase() const noexcept { return phase_; }
    [[nodiscard]] std::size_t address() const noexcept { return address_; }
    [[nodiscard]] std::chrono::milliseconds pause() const noexcept { return pause_; }
    [[nodiscard]] bool is_first_attempt() const noexcept { return !has_failed_ && !has_been_ready_; }
    /// True until the connection has been ready once: what is lost was never there.
    [[nodiscard]] bool has_been_ready() const noexcept { return has_been_ready_; }
    [[nodiscard]] unsigned failures() const noexcept { return failures_; }

    [[nodiscard]] Admission admission() const noexcept {
        switch (phase_) {
        case Phase::closed: return Admission::closed;
        case Phase::ready: return Admission::send;
        default: return is_first_attempt() && !is_outwaited_ ? Admission::wait : Admission::refuse;
        }
    }

    /// The connection is wanted for the first time.
    [[nodiscard]] Step wanted() noexcept { return phase_ == Phase::idle ? begin_attempt() : Step::none; }

    // Each of these is for the phase before it; what comes later, after `close` above all, changes nothing.

    [[nodiscard]] Step resolved(std::size_t addresses) noexcept {
        if (phase_ != Phase::resolving) { return Step::none; }
        addresses_ = addresses;
        address_ = 0;
        phase_ = Phase::connecting;
        return Step::connect;
    }

    [[nodiscard]] Step connected() noexcept {
        if (phase_ != Phase::connecting) { return Step::none; }
        phase_ = Phase::securing;
        return Step::secure;
    }

    [[nodiscard]] Step secured() noexcept {
        if (phase_ != Phase::securing) { return Step::none; }
        phase_ = Phase::handshaking;
        return Step::handshake;
    }

    [[nodiscard]] Step shaken_hands(TimePoint now) noexcept {
        if (phase_ != Phase::handshaking) { return Step::none; }
        phase_ = Phase::ready;
        has_been_ready_ = true;
        ready_since_ = now;
        return Step::open;
    }

    /// The attempt failed, or the connection that was ready broke. `random` in [0, 1).
    [[nodiscard]] Step lost(TimePoint now, double random) noexcept {
        if (phase_ == Phase::closed || phase_ == Phase::idle || phase_ == Phase::backing_off) { return Step::none; }
        if (phase_ == Phase::ready) {
            if (now - ready_since_ >= stable_after()) {
                failures_ = 0;
                return begin_attempt();
            }
        } else {
            const bool is_one_address = phase_ != Phase::resolving;
            if (is_one_address && address_ + 1 < addresses_) {
                ++address_;
                phase_ = Phase::connecting;
                return Step::connect;
            }
            has_failed_ = true;
        }
        ++failures_;
        pause_ = next_backoff(backoff_, failures_, random);
        phase_ = Phase::backing_off;
        return Step::back_off;
    }

    /// The pause is over.
    [[nodiscard]] Step paused() noexcept { return phase_ == Phase::backing_off ? begin_attempt() : Step::none; }

    /// The first attempt takes longer than an operation may: it is not waited for any more.
    void outwaited() noexcept { is_outwaited_ = true; }

    void close() noexcept { phase_ = Phase::closed; }

    /// How long a connection must have held for its loss to be met by a new attempt at once, and for the failures to be forgotten.
    [[nodiscard]] std::chrono::milliseconds stable_after() const noexcept { return backoff_.max; }

private:
    [[nodiscard]] Step begin_attempt() noexcept {
        phase_ = Phase::resolving;
        return Step::resolve;
    }

    Backoff backoff_;
    Phase phase_ = Phase::idle;
    std::size_t addresses_ = 0;
    std::size_t address_ = 0;
    unsigned failures_ = 0;
    bool has_failed_ = false;
    bool is_outwaited_ = false;
    bool has_been_ready_ = false;
    TimePoint ready_since_{};
    std::chrono::milliseconds pause_{0};
};

} // namespace luzia::redis
