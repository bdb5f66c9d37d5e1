// redis/execute.hpp: one command, or one script, over a connection as an Asio operation.
#pragma once

#include <luzia/redis/completion.hpp>
#include <luzia/redis/connection.hpp>
#include <luzia/redis/script.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
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
class Execution final : public ReplyHandler {
public:
    using Done = Completion<error_code, Reply>;

    static void start(std::shared_ptr<Connection> connection, Words words, const Script* script, Done done) {
        std::unique_ptr<Execution> execution(new Execution(std::move(connection), std::move(words), script, std::move(done)));
        auto slot = execution->done_.slot();
        if (!slot.is_connected()) { return submit(std::move(execution)); }
        // Outlives the execution: the slot is cleared on the handler's executor, later.
        const auto ticket = execution->ticket_ = std::make_shared<std::atomic<Ticket>>(0);
        slot.assign([connection = execution->connection_, ticket](asio::cancellation_type type) {
            if (type != asio::cancellation_type::none) { connection->cancel(ticket->load()); }
        });
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
                submit(std::move(self));
                return Verdict::fits;
            }
            error = kind;
        }
        done_(error, std::move(reply));
        return Verdict::fits;
    }

    void on_failure(error_code reason) noexcept override {
        const std::unique_ptr<Execution> self(this);
        done_(reason, Reply());
    }

    void on_abandon() noexcept override { const std::unique_ptr<Execution> self(this); }

private:
    friend std::default_delete<Execution>;

    Execution(std::shared_ptr<Connection> connection, Words words, const Script* script, Done done)
        : connection_(std::move(connection)), words_(std::move(words)), script_(script), done_(std::move(done)) {}
    ~Execution() = default;

    static void submit(std::unique_ptr<Execution> execution) {
        // From the moment it is taken it may be gone, on another thread.
        const auto connection = execution->connection_;
        const auto ticket = execution->ticket_;
        const Words words = execution->script_ == nullptr ? std::move(execution->words_) : execution->words_;
        std::vector<std::string_view> views(words.begin(), words.end());
        Ticket taken = 0;
        Execution* const handler = execution.release();
        if (const error_code refusal = connection->submit(views, handler, &taken)) { return handler->on_failure(refusal); }
        if (ticket) { ticket->store(taken); }
    }

    std::shared_ptr<Connection> connection_;
    Words words_;
    const Script* script_; ///< to be sent whole where the server does not know it
    Done done_;
    std::shared_ptr<std::atomic<Ticket>> ticket_;
};

class ExecuteInitiation {
public:
    using executor_type = asio::any_io_executor;

    ExecuteInitiation(std::shared_ptr<Connection> connection, Words words, const Script* script, executor_type executor)
        : connection_(std::move(connection)), words_(std::move(words)), script_(script), executor_(std::move(executor)) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

    template <class Handler>
    void operator()(Handler&& handler) {
        Execution::start(std::move(connection_), std::move(words_), script_, Execution::Done(std::forward<Handler>(handler), executor_));
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

/// Runs a script as one step: by its digest, and with its whole text where the server does not know it yet.
template <class Token>
auto execute(std::shared_ptr<Connection> connection, const Script& script, Words keys, Words arguments,
             const asio::any_io_executor& executor, Token&& token) {
    return asio::async_initiate<Token, void(error_code, Reply)>(
        detail::ExecuteInitiation(std::move(connection), call_of(script, std::move(keys), std::move(arguments)), &script, executor), token);
}

} // namespace luzia::redis
