// celery/group_result.hpp: the tasks of a group that was sent: their results together, in its order.
#pragma once

#include <luzia/celery/async_result.hpp>
#include <luzia/celery/client_state.hpp>
#include <luzia/celery/result.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia::celery {

namespace detail {

/// Waits for several results to one deadline. Held by the waits that are under way.
class Gathering : public std::enable_shared_from_this<Gathering> {
public:
    using Done = redis::Completion<error_code, std::vector<TaskResult>>;
    enum class Until { all_have_ended, one_has_failed };

    Gathering(std::shared_ptr<ResultHub> hub, std::size_t count, Until until, Done done)
        : hub_(std::move(hub)), until_(until), done_(std::move(done)), results_(count), left_(count) {}

    void start(const std::vector<std::string>& ids, std::chrono::milliseconds timeout, const asio::any_io_executor& executor) {
        if (auto slot = done_.slot(); slot.is_connected()) {
            slot.assign([weak = weak_from_this()](asio::cancellation_type type) {
                const auto self = weak.lock();
                if (self && type != asio::cancellation_type::none) { self->end_waits(); }
            });
        }
        const auto begun = ResultHub::Clock::now();
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const auto passed = std::chrono::floor<std::chrono::milliseconds>(ResultHub::Clock::now() - begun);
            auto finish = [self = shared_from_this(), i](error_code error, TaskResult result) { self->take(i, error, std::move(result)); };
            const std::uint64_t number =
                hub_->wait(ids[i], std::max(timeout, passed) - passed, ResultHub::Done(std::move(finish), executor));
            bool is_over = false;
            {
                const std::scoped_lock lock(mutex_);
                numbers_.push_back(number);
                is_over = is_over_;
            }
            if (is_over) { hub_->cancel(number); }
        }
    }

private:
    void take(std::size_t place, error_code error, TaskResult&& result) {
        Done done;
        {
            const std::scoped_lock lock(mutex_);
            if (!done_) { return; }
            const bool is_failed = error || result.failure;
            results_[place] = std::move(result);
            if (error && !error_) { error_ = error; }
            const bool is_last = --left_ == 0;
            if (!is_last && !(is_failed && until_ == Until::one_has_failed)) { return; }
            done = std::move(done_);
        }
        end_waits();
        done(error_, std::move(results_)); // nobody else has them now
    }

    void end_waits() {
        std::vector<std::uint64_t> numbers;
        {
            const std::scoped_lock lock(mutex_);
            is_over_ = true;
            numbers = numbers_;
        }
        for (const std::uint64_t number : numbers) {
            hub_->cancel(number);
        }
    }

    std::shared_ptr<ResultHub> hub_;
    Until until_;
    std::mutex mutex_; // guards the rest
    Done done_;
    std::vector<TaskResult> results_;
    std::vector<std::uint64_t> numbers_;
    std::size_t left_;
    error_code error_;
    bool is_over_ = false;
};

/// The results as values, or the exception that says why not: a failure of one of them before anything else.
template <class T>
[[nodiscard]] std::pair<std::exception_ptr, std::vector<T>> values_or_exception(error_code error, std::vector<TaskResult>&& results) {
    for (const TaskResult& result : results) {
        if (result.failure && is_ready(result.state)) { return {std::make_exception_ptr(*result.failure), {}}; }
    }
    if (error) { return {std::make_exception_ptr(boost::system::system_error(error)), {}}; }
    std::vector<T> values;
    values.reserve(results.size());
    for (TaskResult& result : results) {
        auto [exception, value] = value_or_exception<T>({}, std::move(result));
        if (exception) { return {std::move(exception), {}}; }
        values.push_back(std::move(value));
    }
    return {nullptr, std::move(values)};
}

} // namespace detail

/// The tasks of a group that was sent, in its order; all of one client. A handle, like `AsyncResult`: copies are of the same group, and it may
/// outlive its client. One that is of no group completes its operations with `TaskError::no_result`.
class GroupResult {
public:
    GroupResult() noexcept {}
    GroupResult(std::string id, std::vector<AsyncResult> results) : id_(std::move(id)), results_(std::move(results)) {}

    [[nodiscard]] const std::string& id() const noexcept { return id_; }
    /// Each alone.
    [[nodiscard]] const std::vector<AsyncResult>& results() const noexcept { return results_; }

    /// Waits for the end of all tasks.
    ///
    /// @param timeout    for all together
    /// @param token      completion signature `void(error_code, std::vector<TaskResult>)`: in the group's order; a failure is a result
    /// @completes        when all have ended, or as `AsyncResult::wait`: what has not ended by then is `PENDING`
    /// @cancel           all types
    /// @lifetime         the client may be destroyed first: `Error::closed`
    /// @cost             SUBSCRIBE and GET for each
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto wait(std::chrono::milliseconds timeout, Token&& token = Token()) const {
        return asio::async_initiate<Token, void(error_code, std::vector<TaskResult>)>(
            [self = *this, timeout](auto&& handler) {
                self.start_wait(timeout, detail::Gathering::Until::all_have_ended, std::forward<decltype(handler)>(handler));
            },
            token);
    }

    /// Waits for the end of all tasks and takes their values, in the group's order.
    ///
    /// @throws TaskFailure                   a task failed or was revoked: as soon as it is known, whatever the others do
    /// @throws boost::system::system_error   as `wait` fails; `Error::undecodable` where a value is no `T`
    /// @param token  completion signature `void(std::exception_ptr, std::vector<T>)`; `void(std::exception_ptr)` for `get<void>`
    template <class T = Json, class Token = asio::use_awaitable_t<>>
    [[nodiscard]] auto get(std::chrono::milliseconds timeout, Token&& token = Token()) const {
        if constexpr (std::is_void_v<T>) {
            return asio::async_initiate<Token, void(std::exception_ptr)>(
                [self = *this, timeout](auto&& handler) {
                    using Handler = std::decay_t<decltype(handler)>;
                    const auto finish = [](Handler&& waiting, error_code error, std::vector<TaskResult>&& results) {
                        std::move(waiting)(detail::values_or_exception<Json>(error, std::move(results)).first);
                    };
                    self.start_wait(timeout, detail::Gathering::Until::one_has_failed,
                                    redis::Mapped(Handler(std::forward<decltype(handler)>(handler)), finish));
                },
                token);
        } else {
            return asio::async_initiate<Token, void(std::exception_ptr, std::vector<T>)>(
                [self = *this, timeout](auto&& handler) {
                    using Handler = std::decay_t<decltype(handler)>;
                    const auto finish = [](Handler&& waiting, error_code error, std::vector<TaskResult>&& results) {
                        auto [exception, values] = detail::values_or_exception<T>(error, std::move(results));
                        std::move(waiting)(std::move(exception), std::move(values));
                    };
                    self.start_wait(timeout, detail::Gathering::Until::one_has_failed,
                                    redis::Mapped(Handler(std::forward<decltype(handler)>(handler)), finish));
                },
                token);
        }
    }

    /// Whether all have ended, in whichever way. @param token  `void(error_code, bool)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto ready(Token&& token = Token()) const {
        const auto map = [](error_code error, redis::Reply&& reply) -> std::pair<error_code, bool> {
            bool are_all = !error;
            for (std::size_t i = 0; !error && i < reply.elements().size(); ++i) {
                const redis::Reply& stored = reply.elements()[i];
                const std::optional<TaskResult> result = stored.is_nil() ? TaskResult() : decode_result(stored.text());
                if (!result) { error = Error::undecodable; }
                are_all = are_all && result && is_ready(result->state);
            }
            return {error, are_all};
        };
        const auto client = state();
        return detail::ask<bool>(client ? client->backend() : nullptr, keys_after("MGET"), executor(), map, std::forward<Token>(token),
                                 problem());
    }

    /// Removes the stored results. @param token  `void(error_code)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto forget(Token&& token = Token()) const {
        const auto client = state();
        return detail::tell(client ? client->backend() : nullptr, keys_after("DEL"), executor(), problem(), std::forward<Token>(token));
    }

    /// Tells every worker that is there not to begin these tasks; see `AsyncResult::revoke`. @param token  `void(error_code)`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto revoke(Token&& token = Token()) const {
        const auto client = state();
        redis::Words words;
        if (!problem()) { words = {"PUBLISH", client->control_channel(), detail::revocation_of(*client, ids())}; }
        return detail::tell(client ? client->broker() : nullptr, std::move(words), executor(), problem(), std::forward<Token>(token));
    }

private:
    [[nodiscard]] std::shared_ptr<detail::ClientState> state() const { return results_.empty() ? nullptr : results_.front().state_; }
    [[nodiscard]] asio::any_io_executor executor() const {
        return results_.empty() ? AsyncResult().executor() : results_.front().executor();
    }

    [[nodiscard]] error_code problem() const {
        if (results_.empty()) { return TaskError::no_result; }
        const auto bad = std::find_if(results_.begin(), results_.end(), [](const AsyncResult& result) { return result.problem(); });
        return bad != results_.end() ? bad->problem() : error_code();
    }

    [[nodiscard]] std::vector<std::string> ids() const {
        std::vector<std::string> ids;
        for (const AsyncResult& result : results_) {
            ids.push_back(result.id());
        }
        return ids;
    }

    [[nodiscard]] redis::Words keys_after(const char* command) const {
        redis::Words words{command};
        for (const AsyncResult& result : results_) {
            if (result.state_) { words.push_back(result.state_->key_of(result.id())); }
        }
        return words;
    }

    template <class Handler>
    void start_wait(std::chrono::milliseconds timeout, detail::Gathering::Until until, Handler&& handler) const {
        detail::Gathering::Done done(std::forward<Handler>(handler), executor());
        if (const error_code error = problem()) { return done(error, {}); }
        const auto client = state();
        if (!client->hub()) { return done(Error::disabled, {}); }
        const auto gathering = std::make_shared<detail::Gathering>(client->hub(), results_.size(), until, std::move(done));
        gathering->start(ids(), timeout, executor());
    }

    std::string id_;
    std::vector<AsyncResult> results_;
};

} // namespace luzia::celery
