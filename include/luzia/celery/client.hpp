// celery/client.hpp: celery::Client: sends tasks to the workers of Celery, and finds their results.
#pragma once

#include <luzia/celery/async_result.hpp>
#include <luzia/celery/client_state.hpp>
#include <luzia/celery/composing.hpp>
#include <luzia/celery/group_result.hpp>
#include <luzia/celery/signature.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution_context.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia::celery {

/// How a client behaves; see `ServerOptions`.
struct ClientOptions : ServerOptions {
    ClientOptions() {}
};

namespace detail {

template <class Token>
concept NotArguments = !std::convertible_to<Token, Arguments>;

template <class Token>
concept NotTaskOptions = !std::convertible_to<Token, TaskOptions>;

} // namespace detail

/// Sends tasks to workers, in C++ or Python, over Redis, and finds their results.
///
/// A task is validated before anything is sent, since a malformed message stops a Python worker for good. One that is sent is one LPUSH: it
/// arrives whole, once, or not at all; where the connection breaks before the server has answered, the error says so and nobody knows. A
/// broker that is down or silent is an error within `timeout`; nothing hangs, and nothing is sent a second time.
///
/// Every operation is an Asio initiating function whose last parameter is a completion token, by default `asio::deferred`, so that
/// `co_await` works as it stands. Arguments are taken, and messages written, before the call returns. Handlers run on their associated
/// executor, or on the client's, and never inside the call.
///
/// Threads: one client may be shared by all. Lifetime: movable; destroying or closing it completes what is pending with `Error::closed`.
/// From its first use on, a client keeps `io_context::run()` from returning until it is closed or destroyed.
class Client {
public:
    using executor_type = asio::any_io_executor;

    /// @throws std::invalid_argument  for options that make no sense, naming the member; never for what the environment says
    template <class Executor>
    requires(std::convertible_to<const Executor&, executor_type> &&
             !std::derived_from<Executor, asio::execution_context>) explicit Client(const Executor& executor,
                                                                                    const ClientOptions& options = ClientOptions())
        : state_(std::make_shared<detail::ClientState>(executor_type(executor), options)) {}

    template <class Context>
    requires std::derived_from<Context, asio::execution_context>
    explicit Client(Context& context, const ClientOptions& options = ClientOptions())
        : state_(std::make_shared<detail::ClientState>(executor_type(context.get_executor()), options)) {}

    Client(Client&&) noexcept = default;
    Client& operator=(Client&& other) noexcept {
        if (this != &other) {
            close();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~Client() { close(); }

    [[nodiscard]] executor_type get_executor() const noexcept { return state_->executor(); }

    /// Sends one task.
    ///
    /// @param name       as the worker has registered it
    /// @param token      completion signature `void(error_code, AsyncResult)`
    /// @completes        when the broker has it, or `ClientOptions::timeout` after the call. A `TaskError` says that nothing was sent. Where it
    ///                   may have been, after `Error::timed_out` or `Error::connection_lost` among others, the `AsyncResult` that comes with the
    ///                   error is of the task, if there is one: take it with `asio::as_tuple`, or choose `TaskOptions::task_id` yourself and
    ///                   ask `result`. Where nothing was sent it is empty
    /// @cancel           all types. Not yet written: never sent. Written: completes now; the task may run
    /// @lifetime         the client may be destroyed first: `Error::closed`
    /// @cost             one round trip, shared with whatever else is pending
    template <detail::NotArguments Token = asio::deferred_t>
    [[nodiscard]] auto send_task(std::string name, Token&& token = Token()) {
        return send_task(std::move(name), Arguments(), TaskOptions(), std::forward<Token>(token));
    }
    template <detail::NotTaskOptions Token = asio::deferred_t>
    [[nodiscard]] auto send_task(std::string name, Arguments args, Token&& token = Token()) {
        return send_task(std::move(name), std::move(args), TaskOptions(), std::forward<Token>(token));
    }
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto send_task(std::string name, Arguments args, TaskOptions options, Token&& token = Token()) {
        return send(Signature(std::move(name), std::move(args), std::move(options)), std::forward<Token>(token));
    }

    /// Sends a task that was put together before.
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto send(Signature signature, Token&& token = Token()) {
        return push<AsyncResult>(state_->composer().compose(std::move(signature)), std::forward<Token>(token));
    }

    /// Sends the first task of a chain; each worker sends the next. @param token  `void(error_code, AsyncResult)`: of the last one
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto send(Chain chain, Token&& token = Token()) {
        return push<AsyncResult>(state_->composer().compose(std::move(chain)), std::forward<Token>(token));
    }

    /// Sends all tasks of a group, in one step. @param token  `void(error_code, GroupResult)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto send(Group group, Token&& token = Token()) {
        return push<GroupResult>(state_->composer().compose(std::move(group)), std::forward<Token>(token));
    }

    /// Sends the tasks of a chord; the worker that ends the last one sends its body.
    ///
    /// @param token  `void(error_code, AsyncResult)`: of the body
    /// @cost         two round trips: its size is stored first
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto send(Chord chord, Token&& token = Token()) {
        return asio::async_initiate<Token, void(error_code, AsyncResult)>(
            [state = state_, composition = state_->composer().compose(std::move(chord))](auto&& handler) mutable {
                start_chord(state, std::move(composition), std::decay_t<decltype(handler)>(std::forward<decltype(handler)>(handler)));
            },
            token);
    }

    /// The result of a task that somebody sent, by its id. What can't be an id is an error of the operations, `TaskError::invalid_task_id`.
    [[nodiscard]] AsyncResult result(std::string id) const { return {state_, std::move(id)}; }

    /// Completes what is pending, and whatever comes later, with `Error::closed`. Any thread.
    void close() {
        if (state_) { state_->close(); }
    }

private:
    [[nodiscard]] static redis::Words push_words(detail::Composition& composition) {
        if (composition.messages.size() == 1) {
            return {"LPUSH", std::move(composition.messages.front().list), std::move(composition.messages.front().envelope)};
        }
        redis::Words words;
        for (detail::Outgoing& message : composition.messages) {
            words.push_back(std::move(message.list));
            words.push_back(std::move(message.envelope));
        }
        return redis::call_of(detail::push_script, {}, std::move(words));
    }

    template <class Result>
    [[nodiscard]] static Result result_of(const std::shared_ptr<detail::ClientState>& state, const std::string& group_id,
                                          const std::vector<std::string>& ids) {
        if constexpr (std::same_as<Result, AsyncResult>) {
            return ids.empty() ? AsyncResult() : AsyncResult(state, ids.front());
        } else {
            std::vector<AsyncResult> results;
            for (const std::string& id : ids) {
                results.emplace_back(state, id);
            }
            return {group_id, std::move(results)};
        }
    }

    template <class Result, class Token>
    auto push(detail::Composition composition, Token&& token) {
        redis::Words words;
        const redis::Script* const script = composition.messages.size() > 1 ? &detail::push_script : nullptr;
        if (!composition.problem) { words = push_words(composition); }
        const auto map = [state = state_, group_id = composition.group_id,
                          ids = std::move(composition.result_ids)](error_code error, redis::Reply&&) -> std::pair<error_code, Result> {
            if (error && !detail::may_have_been_sent(error)) { return {error, Result()}; }
            return {error, result_of<Result>(state, group_id, ids)};
        };
        return detail::ask<Result>(state_->broker(), std::move(words), state_->executor(), map, std::forward<Token>(token),
                                   composition.problem, script);
    }

    /// Both steps are the handler's: made on its executor, and ended through its slot.
    template <class Handler>
    static void start_chord(const std::shared_ptr<detail::ClientState>& state, detail::Composition composition, Handler handler) {
        using Done = redis::Completion<error_code, redis::Reply>;
        error_code problem = composition.problem;
        if (!problem && (!state->broker() || !state->backend())) { problem = Error::disabled; }
        redis::Words size{"SET", state->group_key(composition.group_id, ".s"), std::to_string(composition.chord_size)};
        if (const auto seconds = state->result_expires().count(); seconds > 0) {
            size.emplace_back("EX");
            size.push_back(std::to_string(seconds));
        }
        auto send = [state, composition = std::move(composition)](Handler&& waiting, error_code error, redis::Reply&&) mutable {
            if (error) { return std::move(waiting)(error, AsyncResult()); }
            auto finish = [result = result_of<AsyncResult>(state, {}, composition.result_ids)](Handler&& last, error_code what,
                                                                                               redis::Reply&&) mutable {
                std::move(last)(what, what && !detail::may_have_been_sent(what) ? AsyncResult() : std::move(result));
            };
            const redis::Script* const script = composition.messages.size() > 1 ? &detail::push_script : nullptr;
            redis::detail::Execution::start(state->broker(), push_words(composition), script,
                                            Done(redis::Mapped(std::move(waiting), std::move(finish)), state->executor()),
                                            state->executor());
        };
        Done done(redis::Mapped(std::move(handler), std::move(send)), state->executor());
        if (problem) { return done(problem, redis::Reply()); }
        redis::detail::Execution::start(state->backend(), std::move(size), nullptr, std::move(done));
    }

    std::shared_ptr<detail::ClientState> state_;
};

} // namespace luzia::celery
