// celery/async_result.hpp: a task that was sent: its id, its state, its result.
#pragma once

#include <luzia/celery/client_state.hpp>
#include <luzia/celery/result.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace luzia::celery {

namespace detail {

/// A result as a `T`, or the exception that says why not.
template <class T>
[[nodiscard]] std::pair<std::exception_ptr, T> value_or_exception(error_code error, TaskResult&& result) {
    if (!error && result.failure) { return {std::make_exception_ptr(*result.failure), T()}; }
    if (!error) {
        try {
            if (std::optional<T> value = luzia::detail::value_of<T>(std::move(result.value))) { return {nullptr, std::move(*value)}; }
        } catch (...) {
            // A shape that `from_json` does not take.
        }
        error = Error::undecodable;
    }
    return {std::make_exception_ptr(boost::system::system_error(error)), T()};
}

/// The command that revokes tasks, for all workers. @param ids  one, or a list of them
[[nodiscard]] inline std::string revocation_of(ClientState& state, const Json& ids) {
    Json arguments = Json::object();
    arguments["task_id"] = ids;
    arguments["terminate"] = false;
    Json body = Json::object();
    body["method"] = "revoke";
    body["arguments"] = std::move(arguments);
    Json properties = Json::object();
    properties["delivery_tag"] = state.composer().next_id();
    properties["body_encoding"] = "base64";
    Json envelope = Json::object();
    envelope["body"] = base64_encode(body.dump());
    envelope["content-type"] = "application/json";
    envelope["content-encoding"] = "utf-8";
    envelope["headers"] = Json::object();
    envelope["properties"] = std::move(properties);
    return envelope.dump();
}

/// Sends a command of whose reply only the error counts.
template <class Token>
auto tell(std::shared_ptr<redis::Connection> connection, redis::Words words, const asio::any_io_executor& executor, error_code problem,
          Token&& token) {
    return asio::async_initiate<Token, void(error_code)>(
        [connection = std::move(connection), words = std::move(words), executor, problem](auto&& handler) mutable {
            using Handler = std::decay_t<decltype(handler)>;
            const auto finish = [](Handler&& waiting, error_code what, redis::Reply&&) { std::move(waiting)(what); };
            redis::Completion<error_code, redis::Reply> done(redis::Mapped(Handler(std::forward<decltype(handler)>(handler)), finish),
                                                             executor);
            if (!problem && !connection) { problem = Error::disabled; }
            if (problem) { return done(problem, redis::Reply()); }
            redis::detail::Execution::start(std::move(connection), std::move(words), nullptr, std::move(done));
        },
        token);
}

} // namespace detail

/// The result of a task, there or to come. A handle: copies are of the same task, and it may outlive its client, whose end completes what is
/// waited for with `Error::closed`.
///
/// Every operation is an Asio initiating function; handlers run on their associated executor, or on the client's. One that is of no task, since
/// none was sent or `Client::result` was given what can't be an id, completes with `TaskError::no_result` or `TaskError::invalid_task_id`.
class AsyncResult {
public:
    AsyncResult() noexcept {}
    AsyncResult(std::shared_ptr<detail::ClientState> state, std::string id) : state_(std::move(state)), id_(std::move(id)) {}

    [[nodiscard]] const std::string& id() const noexcept { return id_; }

    /// How the task stands: `PENDING` where nothing is known of it, also where there is no such task.
    ///
    /// @param token  completion signature `void(error_code, std::string)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto state(Token&& token = Token()) const {
        return look<std::string>([](TaskResult&& result) { return std::move(result.state); }, std::forward<Token>(token));
    }

    /// Whether it has ended, in whichever way. @param token  `void(error_code, bool)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto ready(Token&& token = Token()) const {
        return look<bool>([](TaskResult&& result) { return is_ready(result.state); }, std::forward<Token>(token));
    }

    /// State and value as they are now, without waiting: what a running task says of itself. @param token  `void(error_code, TaskResult)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto peek(Token&& token = Token()) const {
        return look<TaskResult>([](TaskResult&& result) { return std::move(result); }, std::forward<Token>(token));
    }

    /// Waits for the end of the task.
    ///
    /// @param token      completion signature `void(error_code, TaskResult)`; a failure of the task is a result
    /// @completes        with the result, or with `Error::timed_out` after `timeout`: `Error::not_connected` where there is no connection then.
    ///                   A `timeout` shorter than `ClientOptions::timeout` lasts until one look at what is stored has been answered, if need
    ///                   be, and so 0 ms finds what is there
    /// @cancel           all types
    /// @lifetime         the client may be destroyed first: `Error::closed`
    /// @cost             SUBSCRIBE and GET, shared by all who wait for the same task
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto wait(std::chrono::milliseconds timeout, Token&& token = Token()) const {
        return asio::async_initiate<Token, void(error_code, TaskResult)>(
            [self = *this, timeout](auto&& handler) { self.start_wait(timeout, std::forward<decltype(handler)>(handler)); }, token);
    }

    /// Waits for the end of the task and takes its value.
    ///
    /// @throws TaskFailure                   the task failed or was revoked
    /// @throws boost::system::system_error   as `wait` fails; `Error::undecodable` where the value is no `T`
    /// @param token  completion signature `void(std::exception_ptr, T)`
    template <class T = Json, class Token = asio::use_awaitable_t<>>
    [[nodiscard]] auto get(std::chrono::milliseconds timeout, Token&& token = Token()) const {
        if constexpr (std::is_void_v<T>) {
            return asio::async_initiate<Token, void(std::exception_ptr)>(
                [self = *this, timeout](auto&& handler) {
                    using Handler = std::decay_t<decltype(handler)>;
                    const auto finish = [](Handler&& waiting, error_code error, TaskResult&& result) {
                        std::move(waiting)(detail::value_or_exception<Json>(error, std::move(result)).first);
                    };
                    self.start_wait(timeout, redis::Mapped(Handler(std::forward<decltype(handler)>(handler)), finish));
                },
                token);
        } else {
            return asio::async_initiate<Token, void(std::exception_ptr, T)>(
                [self = *this, timeout](auto&& handler) {
                    using Handler = std::decay_t<decltype(handler)>;
                    const auto finish = [](Handler&& waiting, error_code error, TaskResult&& result) {
                        auto [exception, value] = detail::value_or_exception<T>(error, std::move(result));
                        std::move(waiting)(std::move(exception), std::move(value));
                    };
                    self.start_wait(timeout, redis::Mapped(Handler(std::forward<decltype(handler)>(handler)), finish));
                },
                token);
        }
    }

    /// Removes the stored result. @param token  `void(error_code)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto forget(Token&& token = Token()) const {
        redis::Words words;
        if (state_) { words = {"DEL", state_->key_of(id_)}; }
        return detail::tell(state_ ? state_->backend() : nullptr, std::move(words), executor(), problem(), std::forward<Token>(token));
    }

    /// Tells every worker that is there not to begin this task. One that comes later does not know.
    ///
    /// @param token  completion signature `void(error_code)`; no error where no worker listens
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto revoke(Token&& token = Token()) const {
        redis::Words words;
        if (!problem()) { words = {"PUBLISH", state_->control_channel(), detail::revocation_of(*state_, id_)}; }
        return detail::tell(state_ ? state_->broker() : nullptr, std::move(words), executor(), problem(), std::forward<Token>(token));
    }

private:
    friend class GroupResult;

    [[nodiscard]] asio::any_io_executor executor() const {
        return state_ ? state_->executor() : asio::any_io_executor(asio::system_executor());
    }

    /// Of a handle that is of no task.
    [[nodiscard]] error_code problem() const {
        if (!state_) { return TaskError::no_result; }
        return is_task_id(id_) ? error_code() : make_error_code(TaskError::invalid_task_id);
    }

    template <class Result, class Read, class Token>
    auto look(Read read, Token&& token) const {
        const auto map = [read](error_code error, redis::Reply&& reply) -> std::pair<error_code, Result> {
            if (error) { return {error, Result()}; }
            if (reply.is_nil()) { return {error, read(TaskResult())}; }
            std::optional<TaskResult> result = decode_result(reply.text());
            if (!result) { return {Error::undecodable, Result()}; }
            return {error, read(std::move(*result))};
        };
        redis::Words words;
        if (state_) { words = {"GET", state_->key_of(id_)}; }
        return detail::ask<Result>(state_ ? state_->backend() : nullptr, std::move(words), executor(), map, std::forward<Token>(token),
                                   problem());
    }

    template <class Handler>
    void start_wait(std::chrono::milliseconds timeout, Handler&& handler) const {
        ResultHub::Done done(std::forward<Handler>(handler), executor());
        if (const error_code error = problem()) { return done(error, TaskResult()); }
        if (!state_->hub()) { return done(Error::disabled, TaskResult()); }
        state_->hub()->wait(id_, timeout, std::move(done));
    }

    std::shared_ptr<detail::ClientState> state_;
    std::string id_;
};

} // namespace luzia::celery
