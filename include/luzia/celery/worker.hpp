// celery/worker.hpp: celery::Worker: runs tasks in C++ for Celery's producers.
#pragma once

#include <luzia/celery/consumer.hpp>
#include <luzia/celery/handler.hpp>
#include <luzia/celery/keeper.hpp>
#include <luzia/celery/remote_control.hpp>
#include <luzia/celery/restoring.hpp>
#include <luzia/celery/worker_core.hpp>
#include <luzia/celery/worker_options.hpp>
#include <luzia/celery/worker_stats.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace luzia::celery {

/// Runs tasks in C++ for whoever sends them with Celery.
///
/// A message is claimed in one step on the server: it leaves its queue and stands in `unacked` at once, so that no crash loses it. While it is
/// held, every quarter of the visibility timeout says that it is worked on; what nobody has said that of for as long is put back into its
/// queue, whoever held it, by any worker. With `ack_late` (the default) a message is let go in the same step that stores its result, where
/// broker and results are one server: a task runs at least once, and twice only where its worker, or the way to the broker, was gone.
///
/// Handlers are functions or coroutines (`asio::awaitable`), with `TaskContext&` first where wanted; arguments are matched to their parameters
/// as Python does it, and what does not fit is a failure of the task. They run on `handler_executor`, else on the worker's executor: one that
/// computes for long belongs into a thread pool, or the worker can't say that it is alive. What a handler throws is the task's failure.
///
/// A worker that can't reach its broker keeps trying; `run` ends only by `stop`. Threads: `stop` and `stats` from any; the rest before `run`.
/// Lifetime: destroying it while it runs abandons what it holds, as a crash does: others get it when the visibility timeout is up.
class Worker {
public:
    using executor_type = asio::any_io_executor;

    /// @throws std::invalid_argument  for options that make no sense, naming the member; never for what the environment says
    template <class Executor>
    requires(std::convertible_to<const Executor&, executor_type> &&
             !std::derived_from<Executor, asio::execution_context>) explicit Worker(const Executor& executor,
                                                                                    WorkerOptions options = WorkerOptions())
        : core_(std::make_shared<detail::WorkerCore>(executor_type(executor), std::move(options))) {
        core_->join_context();
    }

    template <class Context>
    requires std::derived_from<Context, asio::execution_context>
    explicit Worker(Context& context, WorkerOptions options = WorkerOptions()) : Worker(context.get_executor(), std::move(options)) {}

    Worker(Worker&&) noexcept = default;
    Worker& operator=(Worker&& other) noexcept {
        if (this != &other) {
            if (core_) { core_->abandon(); }
            core_ = std::move(other.core_);
        }
        return *this;
    }
    ~Worker() {
        if (core_) { core_->abandon(); }
    }

    [[nodiscard]] executor_type get_executor() const noexcept { return core_->outer(); }

    /// Registers a task; a later one of the same name takes its place. Before `run`.
    ///
    /// @param function  a function, a lambda or a coroutine of `asio::awaitable`; kept until the worker is gone, and called by several threads at
    ///                  once where its executor has several
    /// @param settings  how it is run; `celery::parameters("a", "b")` where arguments may come by name
    template <class Function>
    Worker& task(std::string name, Function&& function, TaskSettings settings = TaskSettings()) {
        redis::detail::require(is_name(name), "a task's name must be text without control bytes, and not empty");
        core_->tasks.insert_or_assign(std::move(name), detail::registered(std::forward<Function>(function), std::move(settings)));
        return *this;
    }

    /// Takes and runs tasks until `stop`. Once.
    ///
    /// @param token      completion signature `void(error_code)`
    /// @completes        when it has stopped: what ran has ended or was given back, what waited was given back
    /// @cancel           all types: as `stop`
    template <class Token = asio::deferred_t>
    [[nodiscard]] auto run(Token&& token = Token()) {
        return asio::async_initiate<Token, void(error_code)>(
            [core = core_](auto&& handler) {
                redis::Completion<error_code> done(std::forward<decltype(handler)>(handler), core->outer());
                start(core, std::move(done));
            },
            token);
    }

    /// Takes no more tasks, waits `stop_grace` for those that run, gives back the others. Any thread.
    void stop() { core_->stop(); }

    /// What has been counted. Any thread. Each number is exact; all of them are not one moment's.
    [[nodiscard]] WorkerStats stats() const noexcept { return core_->counters.stats(); }

    /// This worker's name in Celery's eyes.
    [[nodiscard]] const std::string& node() const noexcept { return core_->node; }

private:
    static void start(const detail::CorePtr& core, redis::Completion<error_code> done) {
        if (!core->server) { return done(Error::disabled); }
        if (std::exchange(core->is_started, true)) { return done(TaskError::already_running); }
        if (auto slot = done.slot(); slot.is_connected()) {
            slot.assign([weak = std::weak_ptr<detail::WorkerCore>(core)](asio::cancellation_type type) {
                const auto alive = weak.lock();
                if (alive && type != asio::cancellation_type::none) { alive->stop(); }
            });
        }
        asio::co_spawn(core->strand(), live(core, std::move(done)), asio::detached);
    }

    static asio::awaitable<void> live(detail::CorePtr core, redis::Completion<error_code> done) {
        std::shared_ptr<detail::RemoteControl> control;
        if (core->options.remote_control) { control = detail::RemoteControl::start(core); }
        detail::start_loop(core, detail::consume);
        detail::start_loop(core, detail::read_arriving);
        detail::start_loop(core, detail::watch_times);
        detail::start_loop(core, detail::keep);
        detail::start_loop(core, detail::sweep);
        while (!core->is_stopping) {
            co_await core->io->stopping.wait(detail::for_ever);
        }
        co_await wind_down(core);
        if (control) { control->close(); }
        core->is_abandoned = true;
        core->io->keeping.set();
        core->close_connections();
        done(*core->is_closed ? make_error_code(Error::closed) : error_code());
    }

    /// Ends what runs, as far as it does in time, and gives back the rest.
    static asio::awaitable<void> wind_down(detail::CorePtr core) {
        const auto begin = std::chrono::steady_clock::now();
        const auto end = begin + core->options.stop_grace;
        const std::vector<detail::DeliveryPtr> withdrawn = detail::withdraw_runs(core);
        // All loops but the heartbeat: a claim that is under way may still bring something, however short the grace is.
        co_await wait_until(core, std::max(end, begin + core->options.timeout), [&] { return core->loops <= 1; });
        co_await detail::give_back_waiting(core);
        for (const detail::DeliveryPtr& delivery : withdrawn) {
            co_await detail::give_back(core, delivery);
        }
        co_await wait_until(core, end, [&] { return core->active.empty() || core->is_abandoned; });
        const std::vector<detail::DeliveryPtr> running = active_ones(core);
        core->give_up_runs();
        for (const detail::DeliveryPtr& delivery : running) {
            const bool has_ended = delivery->is_ending || delivery->is_terminated || (delivery->run && !delivery->run->is_abandoned);
            if (!has_ended) { co_await detail::give_back(core, delivery); }
        }
        co_await detail::give_back_waiting(core);
        // What has ended is told, as far as the servers answer now: one more try, and the way back of what can't be told.
        const auto last = std::chrono::steady_clock::now() + 2 * core->options.timeout;
        co_await wait_until(core, last, [&] { return core->active.empty() || *core->is_closed; });
    }

    template <class Condition>
    static asio::awaitable<void> wait_until(detail::CorePtr core, std::chrono::steady_clock::time_point end, Condition is_met) {
        while (!is_met()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            if (left.count() <= 0) { co_return; }
            co_await core->io->idle.wait(left);
        }
    }

    [[nodiscard]] static std::vector<detail::DeliveryPtr> active_ones(const detail::CorePtr& core) {
        std::vector<detail::DeliveryPtr> running;
        for (const auto& [tag, delivery] : core->active) {
            running.push_back(delivery);
        }
        return running;
    }

    detail::CorePtr core_;
};

} // namespace luzia::celery
