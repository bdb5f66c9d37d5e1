// celery/task_context.hpp: what a handler may know of the task it runs, and how it asks for another try.
#pragma once

#include <luzia/celery/message.hpp>
#include <luzia/celery/signature.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace luzia::celery {

/// How a task is tried again. Set members by name.
struct RetryOptions {
    RetryOptions() {}
    /// A year at most.
    template <class Rep, class Period>
    RetryOptions(std::chrono::duration<Rep, Period> in) // NOLINT(google-explicit-constructor)
        : countdown(std::chrono::duration<double>(in) < longest_limit ? std::chrono::ceil<std::chrono::milliseconds>(in) : longest_limit) {}

    /// None: the task's backoff, longer each time.
    std::optional<std::chrono::milliseconds> countdown;
    /// None: the task's own number. Negative: without end.
    std::optional<int> max_retries;
    /// Why, for who looks at the state meanwhile; and how it failed in the end, when there are no tries left.
    std::string reason;
};

/// What `TaskContext::retry` throws. Let it pass.
class RetryRequested : public std::exception {
public:
    explicit RetryRequested(RetryOptions options) : options_(std::move(options)) {}
    [[nodiscard]] const char* what() const noexcept override { return "the task asks for another try"; }
    [[nodiscard]] const RetryOptions& options() const noexcept { return options_; }

private:
    RetryOptions options_;
};

/// One run of a task, as its handler sees it. Take it as the first parameter, by reference; it lives as long as the run.
class TaskContext {
public:
    using Announce = std::function<void(const std::string& state, const Json& meta)>;

    TaskContext(Message message, std::string queue, std::optional<std::chrono::system_clock::time_point> deadline, Announce announce)
        : message_(std::move(message)), queue_(std::move(queue)), deadline_(deadline), announce_(std::move(announce)) {}
    TaskContext(const TaskContext&) = delete;
    TaskContext& operator=(const TaskContext&) = delete;

    [[nodiscard]] const std::string& id() const noexcept { return message_.id; }
    [[nodiscard]] const std::string& name() const noexcept { return message_.task; }
    [[nodiscard]] const std::string& queue() const noexcept { return queue_; }
    [[nodiscard]] const std::string& root_id() const noexcept { return message_.root_id; }
    [[nodiscard]] const std::string& parent_id() const noexcept { return message_.parent_id; }
    /// How often it was tried before.
    [[nodiscard]] int retries() const noexcept { return message_.retries; }
    /// Somebody had this message before and may have done the work, or part of it.
    [[nodiscard]] bool redelivered() const noexcept { return message_.is_redelivered; }
    /// All headers of the message, an object.
    [[nodiscard]] const Json& headers() const noexcept { return message_.headers; }
    [[nodiscard]] const Json& args() const noexcept { return message_.args; }
    [[nodiscard]] const Json& kwargs() const noexcept { return message_.kwargs; }
    /// When its hard time limit is up; none where it has none.
    [[nodiscard]] std::optional<std::chrono::system_clock::time_point> deadline() const noexcept { return deadline_; }
    /// It should end soon: the soft time limit is up, it was revoked, or the worker is stopping and has waited for as long as it may.
    [[nodiscard]] bool stop_requested() const noexcept { return is_stop_requested_.load(std::memory_order_relaxed); }

    /// Ends this run and has the task tried again later: with the same id, from the queue's end. Does not return. Past the last try the task
    /// fails.
    [[noreturn]] RetryRequested retry(RetryOptions options = RetryOptions()) const { throw RetryRequested(std::move(options)); }

    /// Stores a state of the task's own, such as PROGRESS, for who looks. Not waited for, and lost where the backend is.
    void update_state(const std::string& state, const Json& meta) const { announce_(state, meta); }

    /// For the worker.
    void request_stop() noexcept { is_stop_requested_.store(true, std::memory_order_relaxed); }

private:
    Message message_;
    std::string queue_;
    std::optional<std::chrono::system_clock::time_point> deadline_;
    Announce announce_;
    std::atomic<bool> is_stop_requested_{false};
};

} // namespace luzia::celery
