// redis/execute.hpp: one command, or one script, over a connection as an Asio operation.
#pragma once

#include <luzia/redis/completion.hpp>
#include <luzia/redis/connection.hpp>
#include <luzia/redis/script.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::redis {

/// A command's words. Bytes; anything may be in them.
using Words = std::vector<std::string>;

/// The words of `script` called with `keys` and `arguments`.
[[nodiscard]] inline Words call_of(const Script& script, Words keys, Words arguments) {
    Words words;
    words.reserve(3 + keys.size() + arguments.size());
    words.emplace_back("EVALSHA");
    words.emplace_back(script.digest());
    words.push_back(std::to_string(keys.size()));
    for (Words* const part : {&keys, &arguments}) {
        for (std::string& word : *part) {
            words.push_back(std::move(word));
        }
    }
    return words;
}

namespace detail {

/// One command under way. Owns itself from `start` until the connection has called it.
///
/// A script that the server does not know is sent a second time, whole. To the caller that is one operation: what ends it from outside, a
/// cancellation or the end of its time, which begins with the first sending, ends whichever is under way, and keeps the second from being sent.
class Execution final : public ReplyHandler {
public:
    using Done = Completion<error_code, Reply>;

    /// @param executor  for the timer of a second sending; none: it has a command's time again
    static void start(std::shared_ptr<Connection> connection, Words words, const Script* script, Done done,
                      asio::any_io_executor executor = {}) {
        std::unique_ptr<Execution> execution(new Execution(std::move(connection), std::move(words), script, std::move(done)));
        auto slot = execution->done_.slot();
        if (script != nullptr) {
            execution->begun_ = Connection::Clock::now();
            execution->executor_ = std::move(executor);
        }
        if (script != nullptr || slot.is_connected()) { execution->outside_ = std::make_shared<Outside>(); }
        if (slot.is_connected()) {
            // Outlives the execution: the slot is cleared on the handler's executor, later.
            slot.assign([connection = execution->connection_, outside = execution->outside_](asio::cancellation_type type) {
                if (type != asio::cancellation_type::none) { outside->end(*connection, Error::cancelled); }
            });
        }
        submit(std::move(execution));
    }

    [[nodiscard]] Verdict on_reply(Reply& reply) noexcept override {
        std::unique_ptr<Execution> self(this);
        error_code error;
        if (reply.is_error()) {
            const ServerError kind = server_error(reply.text());
            if (kind == ServerError::noscript && script_ != nullptr) { // not run, so that nothing is done twice
                words_[0] = "EVAL";
                words_[1] = script_->source();
                script_ = nullptr;
                send_again(std::move(self));
                return Verdict::fits;
            }
            error = kind;
        }
        done_(error, std::move(reply));
        return Verdict::fits;
    }

    void on_failure(error_code reason) noexcept override {
        const std::unique_ptr<Execution> self(this);
        const bool is_from_outside = outside_ && reason == make_error_code(Error::cancelled);
        done_(is_from_outside ? outside_->reason().value_or(Error::cancelled) : reason, Reply());
    }

    void on_abandon() noexcept override { const std::unique_ptr<Execution> self(this); }

private:
    friend std::default_delete<Execution>;

    /// What ends it before its reply has come, from any thread.
    class Outside {
    public:
        void end(Connection& connection, Error reason) {
            int none = 0;
            reason_.compare_exchange_strong(none, static_cast<int>(reason));
            connection.cancel(ticket_.load());
        }
        /// What was submitted; it may have to end at once. Of two the second may be noted first: the thread of the first may have been kept.
        void note(Connection& connection, Ticket ticket) {
            Ticket latest = ticket_.load();
            while (latest < ticket && !ticket_.compare_exchange_weak(latest, ticket)) {}
            if (reason()) { connection.cancel(ticket); }
        }
        [[nodiscard]] std::optional<Error> reason() const noexcept {
            const int reason = reason_.load();
            return reason != 0 ? std::optional(static_cast<Error>(reason)) : std::nullopt;
        }

    private:
        std::atomic<Ticket> ticket_{0}; ///< 0 is no command
        std::atomic<int> reason_{0};
    };

    Execution(std::shared_ptr<Connection> connection, Words words, const Script* script, Done done)
        : connection_(std::move(connection)), words_(std::move(words)), script_(script), done_(std::move(done)) {}
    ~Execution() = default;

    static void send_again(std::unique_ptr<Execution> execution) {
        const auto deadline = execution->begun_ + execution->connection_->command_timeout();
        std::optional<Error> reason = execution->outside_->reason();
        if (!reason && deadline <= Connection::Clock::now()) { reason = Error::timed_out; }
        if (reason) { return execution->done_(*reason, Reply()); }
        if (execution->executor_) {
            execution->timer_.emplace(execution->executor_, deadline);
            execution->timer_->async_wait([connection = std::weak_ptr<Connection>(execution->connection_),
                                           outside = std::weak_ptr<Outside>(execution->outside_)](error_code error) {
                const auto alive = connection.lock();
                const auto waiting = outside.lock();
                if (!error && alive && waiting) { waiting->end(*alive, Error::timed_out); }
            });
        }
        submit(std::move(execution));
    }

    static void submit(std::unique_ptr<Execution> execution) {
        // From the moment it is taken it may be gone, on another thread.
        const auto connection = execution->connection_;
        const auto outside = execution->outside_;
        const Words words = execution->script_ == nullptr ? std::move(execution->words_) : execution->words_;
        std::vector<std::string_view> views(words.begin(), words.end());
        Ticket taken = 0;
        Execution* const handler = execution.release();
        if (const error_code refusal = connection->submit(views, handler, &taken)) { return handler->on_failure(refusal); }
        if (outside) { outside->note(*connection, taken); }
    }

    std::shared_ptr<Connection> connection_;
    Words words_;
    const Script* script_; ///< to be sent whole where the server does not know it
    Done done_;
    std::shared_ptr<Outside> outside_;
    Connection::Clock::time_point begun_;
    asio::any_io_executor executor_;
    std::optional<asio::steady_timer> timer_;
};

class ExecuteInitiation {
public:
    using executor_type = asio::any_io_executor;

    ExecuteInitiation(std::shared_ptr<Connection> connection, Words words, const Script* script, executor_type executor)
        : connection_(std::move(connection)), words_(std::move(words)), script_(script), executor_(std::move(executor)) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

    template <class Handler>
    void operator()(Handler&& handler) {
        Execution::start(std::move(connection_), std::move(words_), script_, Execution::Done(std::forward<Handler>(handler), executor_),
                         executor_);
    }

private:
    std::shared_ptr<Connection> connection_;
    Words words_;
    const Script* script_;
    executor_type executor_;
};

} // namespace detail

/// Sends one command and brings its reply; an error reply is an error, with its text in the reply.
///
/// @param executor  where the handler runs unless it has one of its own
/// @param token     completion signature `void(error_code, Reply)`
/// @completes       when the server answers, or the connection's `command_timeout` after the call
/// @cancel          all types. Not yet written: never sent. Written: completes now, the late reply is dropped
template <class Token>
auto execute(std::shared_ptr<Connection> connection, Words words, const asio::any_io_executor& executor, Token&& token) {
    return asio::async_initiate<Token, void(error_code, Reply)>(
        detail::ExecuteInitiation(std::move(connection), std::move(words), nullptr, executor), token);
}

/// Runs a script as one step: by its digest, and with its whole text where the server does not know it yet. Both within `command_timeout` of the
/// call, and both cancelled as one.
template <class Token>
auto execute(std::shared_ptr<Connection> connection, const Script& script, Words keys, Words arguments,
             const asio::any_io_executor& executor, Token&& token) {
    return asio::async_initiate<Token, void(error_code, Reply)>(
        detail::ExecuteInitiation(std::move(connection), call_of(script, std::move(keys), std::move(arguments)), &script, executor), token);
}

} // namespace luzia::redis
