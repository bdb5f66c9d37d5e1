// backend/pattern_walk.hpp: removes the keys that match a pattern: SCAN page by page, UNLINK pipelined behind it, never KEYS.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/redis/connection.hpp>

#include <boost/system/errc.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::backend::detail {

/// One walk. A page's keys are unlinked in the same write that asks for the next page, so that the server is never idle between two and
/// never busy for longer than one page takes. Each command has the connection's `command_timeout`; the walk as a whole ends after
/// `longest_walk`, and at a cursor that does not move, since a peer that is no Redis could keep it going for ever. Runs on the connection's
/// strand; lives until its last command has ended, which may be after the answer where it was cancelled.
class PatternWalk final : public std::enable_shared_from_this<PatternWalk> {
public:
    PatternWalk(std::string_view pattern, Operation& operation, std::shared_ptr<redis::Connection> connection)
        : pattern_(pattern), operation_(&operation), connection_(std::move(connection)), scan_(*this), unlink_(*this) {}
    PatternWalk(const PatternWalk&) = delete;
    PatternWalk& operator=(const PatternWalk&) = delete;

    void start() {
        operation_->attachment = shared_from_this();
        self_ = shared_from_this();
        guarded([this] { ask_for_page(); });
        settle();
    }

    /// The answer is given now, with what has been counted so far. An UNLINK that is on its way ends by itself.
    void cancel() {
        const auto self = shared_from_this(); // the answer lets the operation go, which has held it
        note(Error::cancelled);
        answer();
        connection_->cancel(scan_.ticket);
    }

    /// Keys looked at for one page: half a millisecond of the server's time. Twice as many make the walk 10 % shorter, and the others wait twice as
    /// long; see docs/engine.md.
    static constexpr std::string_view page_size = "500";

    static constexpr std::chrono::minutes longest_walk{10};

private:
    template <void (PatternWalk::*Take)(redis::Reply&, bool&)>
    struct Part final : redis::ReplyHandler {
        explicit Part(PatternWalk& whole) noexcept : walk(&whole) {}

        [[nodiscard]] redis::Verdict on_reply(redis::Reply& reply) noexcept override {
            bool fits = true;
            if (reply.is_error()) {
                walk->note(server_error(reply.text()));
            } else {
                walk->guarded([&] { (walk->*Take)(reply, fits); });
                if (!fits) { walk->note(Error::protocol); }
            }
            walk->settle();
            return fits ? redis::Verdict::fits : redis::Verdict::nonsense;
        }
        void on_failure(error_code reason) noexcept override {
            walk->note(reason);
            walk->settle();
        }
        void on_abandon() noexcept override {
            walk->is_abandoned_ = true;
            walk->settle();
        }

        PatternWalk* walk;
        std::atomic<redis::Ticket> ticket{0};
    };

    void ask_for_page() {
        const std::array<std::string_view, 6> scan{"SCAN", cursor_, "MATCH", pattern_, "COUNT", page_size};
        redis::Ticket ticket = 0;
        submit(scan, scan_, &ticket);
        scan_.ticket = ticket;
        if (has_failed()) { connection_->cancel(ticket); } // cancelled before there was this page to cancel
    }

    /// A page is as large as the peer likes: memory may run out over it.
    template <class Act>
    void guarded(Act act) noexcept {
        try {
            act();
        } catch (...) { note(make_error_code(boost::system::errc::not_enough_memory)); }
    }

    template <class Handler>
    void submit(std::span<const std::string_view> arguments, Handler& handler, redis::Ticket* ticket) {
        ++pending_;
        error_code error = make_error_code(boost::system::errc::not_enough_memory);
        try {
            error = connection_->submit(arguments, &handler, ticket);
        } catch (...) {} // nothing was taken
        if (error) { handler.on_failure(error); }
    }

    void take_page(redis::Reply& reply, bool& fits) {
        auto& parts = reply.elements();
        fits = parts.size() == 2 && parts[0].kind() == redis::Reply::Kind::string && parts[1].kind() == redis::Reply::Kind::array;
        if (!fits || has_failed()) { return; }
        remove(parts[1].elements());
        fits = parts[0].text() != cursor_ || cursor_ == "0";
        if (std::chrono::steady_clock::now() - begun_ > longest_walk) { note(Error::timed_out); }
        cursor_ = parts[0].text();
        if (!fits) { return; }
        if (cursor_ != "0" && !has_failed()) { ask_for_page(); }
    }

    /// A page may hold more keys than were asked for; no command that removes them does.
    void remove(std::span<const redis::Reply> keys) {
        constexpr std::size_t most = 1000;
        while (!keys.empty()) {
            std::vector<std::string_view> unlink{"UNLINK"};
            for (const redis::Reply& key : keys.first(std::min(most, keys.size()))) {
                unlink.emplace_back(key.text());
            }
            keys = keys.subspan(unlink.size() - 1);
            asked_to_remove_ += unlink.size() - 1;
            submit(unlink, unlink_, nullptr);
        }
    }

    void take_removed(redis::Reply& reply, bool& fits) {
        fits = reply.kind() == redis::Reply::Kind::integer && reply.integer() >= 0 &&
               static_cast<std::size_t>(reply.integer()) <= asked_to_remove_ - removed_;
        if (fits) { removed_ += static_cast<std::size_t>(reply.integer()); }
    }

    void note(error_code reason) {
        const std::scoped_lock lock(mutex_);
        if (!error_) { error_ = reason; }
    }

    [[nodiscard]] bool has_failed() {
        const std::scoped_lock lock(mutex_);
        return error_.failed();
    }

    void settle() {
        if (--pending_ > 0) { return; }
        const auto self = std::move(self_);
        answer();
    }

    /// Once; from then on the operation is not touched.
    void answer() {
        if (is_answered_.exchange(true)) { return; }
        if (is_abandoned_) { return operation_->on_abandon(); }
        error_code error;
        {
            const std::scoped_lock lock(mutex_);
            error = error_;
        }
        Answer result = error ? Answer::failure(error) : Answer();
        result.count = removed_;
        operation_->on_answer(std::move(result));
    }

    std::string pattern_;
    Operation* operation_;
    std::shared_ptr<redis::Connection> connection_;
    std::string cursor_ = "0";
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    std::size_t asked_to_remove_ = 0;
    std::atomic<std::size_t> removed_ = 0;
    std::mutex mutex_; // `cancel` comes from another thread
    error_code error_;
    std::atomic<std::size_t> pending_ = 1; // one for the start
    std::atomic<bool> is_answered_ = false;
    bool is_abandoned_ = false;
    std::shared_ptr<PatternWalk> self_;
    Part<&PatternWalk::take_page> scan_;
    Part<&PatternWalk::take_removed> unlink_;
};

} // namespace luzia::backend::detail
