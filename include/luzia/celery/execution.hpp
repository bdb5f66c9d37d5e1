// celery/execution.hpp: one delivery from the moment its turn has come to its end: checks, the handler, its limits, its outcome.
#pragma once

#include <luzia/celery/restoring.hpp>
#include <luzia/celery/settlement.hpp>
#include <luzia/celery/worker_core.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <utility>

namespace luzia::celery::detail {

/// The pause before try number `retries` + 1: doubled each time, up to the longest.
[[nodiscard]] inline std::chrono::milliseconds retry_pause(const TaskSettings& settings, int retries) {
    std::chrono::milliseconds pause = settings.retry_backoff;
    for (int i = 0; i < retries && pause < settings.longest_retry_backoff; ++i) {
        pause *= 2;
    }
    return std::clamp(pause, std::chrono::milliseconds(0), std::max(std::chrono::milliseconds(0), settings.longest_retry_backoff));
}

/// What a message asks for goes before what the task and the worker have set.
[[nodiscard]] inline std::optional<std::chrono::milliseconds> limit_of(std::optional<double> asked,
                                                                       std::optional<std::chrono::milliseconds> of_task,
                                                                       std::optional<std::chrono::milliseconds> of_worker) {
    if (asked && *asked > 0) { return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(*asked * 1000))); }
    return of_task ? of_task : of_worker;
}

/// STARTED, or a state of the task's own: told without waiting, in the order of the connection. On the strand.
inline void announce(const CorePtr& core, const Message& message, const std::string& state, const Json& value) {
    Settlement store;
    store.id = message.id;
    store.meta = encode_result(state, value, details_of(message), now()).value_or("");
    store.is_final = is_ready(state);
    if (store.meta.empty() || core->is_abandoned) { return; }
    redis::detail::Execution::start(core->backend, store_words(*core, store), &store_script,
                                    redis::Completion<error_code, redis::Reply>([](error_code, redis::Reply) {}, core->strand()),
                                    core->strand());
}

/// Begins the handler on its own strand, with nothing of the worker's in its hands. When it has ended it wakes the delivery with this tag.
inline void begin_handler(const CorePtr& core, const std::shared_ptr<Run>& run, const std::string& tag, const Call& call) {
    auto signal = run->make_signal();
    auto body = [](std::shared_ptr<Run> of, Call task) -> asio::awaitable<HandlerEnd> {
        HandlerEnd end;
        if (of->begin()) { end = co_await task(of->context); }
        co_return end;
    };
    auto ended = [signal, run, tag, owner = std::weak_ptr<WorkerCore>(core)](const std::exception_ptr& problem, HandlerEnd end) {
        if (problem) { end.failure = TaskFailure("Exception", "the handler was ended", "builtins"); } // before it had begun
        run->finish(std::move(end));
        const CorePtr alive = owner.lock();
        if (!alive) { return; }
        alive->post([alive, tag] {
            const auto found = alive->active.find(tag);
            if (found != alive->active.end() && found->second->event) { found->second->event->cancel(); }
        });
    };
    asio::co_spawn(run->home(), body(run, call), asio::bind_cancellation_slot(signal->slot(), std::move(ended)));
}

/// Runs the handler until it has ended, or its hard limit is up, or it is given up. None: there was no end.
[[nodiscard]] inline asio::awaitable<std::optional<HandlerEnd>> run_handler(CorePtr core, DeliveryPtr delivery, const Registered& task,
                                                                            std::optional<std::chrono::milliseconds> hard,
                                                                            std::optional<std::chrono::milliseconds> soft) {
    using Clock = std::chrono::steady_clock;
    std::optional<std::chrono::system_clock::time_point> deadline;
    if (hard) { deadline = std::chrono::system_clock::now() + *hard; }
    auto told = [owner = std::weak_ptr<WorkerCore>(core), message = delivery->message](const std::string& state, const Json& meta) {
        const CorePtr alive = owner.lock();
        if (!alive) { return; }
        alive->post([alive, message, state, meta] { announce(alive, message, state, meta); });
    };
    const asio::any_io_executor where = task.settings->executor          ? *task.settings->executor
                                        : core->options.handler_executor ? *core->options.handler_executor
                                                                         : core->outer();
    auto context = std::make_shared<TaskContext>(delivery->message, delivery->queue, deadline, std::move(told));
    const auto run = std::make_shared<Run>(std::move(context), asio::make_strand(where), core->is_closed);
    delivery->run = run;
    delivery->event.emplace(core->strand());
    begin_handler(core, run, delivery->tag, task.call);
    const auto begun = Clock::now();
    bool is_soft_over = false;
    std::optional<HandlerEnd> end;
    const auto is_over = [&] {
        if (!end && !run->is_abandoned) { end = run->take_end(); }
        return end || delivery->is_terminated || run->is_abandoned;
    };
    while (!is_over()) {
        auto until = begun + for_ever;
        if (hard) { until = std::min(until, begun + *hard); }
        if (soft && !is_soft_over) { until = std::min(until, begun + *soft); }
        delivery->event->expires_at(until);
        co_await delivery->event->async_wait(quietly);
        const auto passed = Clock::now() - begun;
        if (is_over()) { break; }
        if (hard && passed >= *hard) {
            run->withdraw();
            run->request_stop();
            HandlerEnd cut;
            cut.is_final = true;
            cut.failure = TaskFailure("TimeLimitExceeded", Json::array({seconds_of(*hard)}), "celery.exceptions", "");
            co_return cut;
        }
        if (soft && !is_soft_over && passed >= *soft) {
            is_soft_over = true;
            run->request_stop();
        }
    }
    if (!end) {
        run->withdraw();
        run->is_abandoned = true;
        run->request_stop();
        co_return std::nullopt;
    }
    if (is_soft_over && end->failure) {
        end->failure =
            TaskFailure("SoftTimeLimitExceeded", Json::array({seconds_of(*soft)}), "celery.exceptions", end->failure->traceback());
        end->retry.reset();
    }
    co_return end;
}

[[nodiscard]] inline asio::awaitable<void> end_with_retry(CorePtr core, DeliveryPtr delivery, const TaskSettings& settings,
                                                          RetryOptions retry, std::optional<TaskFailure> cause) {
    const Message& message = delivery->message;
    const int most = retry.max_retries.value_or(settings.max_retries);
    const std::string reason = retry.reason.empty() ? "another try was asked for" : text_for_json(retry.reason);
    if (most >= 0 && message.retries >= most) {
        TaskFailure failure = cause ? *cause
                              : retry.reason.empty()
                                  ? TaskFailure("MaxRetriesExceededError", "Can't retry " + message.task + "[" + message.id + "] any more",
                                                "celery.exceptions")
                                  : TaskFailure("Exception", reason);
        co_await end_with_failure(core, delivery, std::move(failure));
        co_return;
    }
    const auto pause = retry.countdown.value_or(retry_pause(settings, message.retries));
    std::optional<std::string> envelope = retried(delivery->raw, message.retries + 1, now() + pause, core->composer.next_id());
    if (!envelope) {
        TaskFailure failure("EncodeError", "the message can't be written again", "kombu.exceptions");
        co_await end_with_failure(core, delivery, std::move(failure));
        co_return;
    }
    Settlement end;
    end.id = message.id;
    const TaskFailure failure = cause ? *cause : TaskFailure("Retry", reason, "celery.exceptions");
    if (delivery->stores("RETRY")) { end.meta = encode_result("RETRY", failure.json(), details_of(message), now()).value_or(""); }
    end.is_final = false;
    end.follow.push_back({message.id, list_of(core->options.key_prefix, delivery->queue, message.priority), std::move(*envelope)});
    const Settled settled = co_await settle(core, delivery, std::move(end));
    core->counters.retried += settled == Settled::untold ? 0 : 1;
}

/// Its result was stored, and the message not let go: the run before this one got as far as that. Waits for a server that is away.
[[nodiscard]] inline asio::awaitable<bool> has_succeeded_before(CorePtr core, DeliveryPtr delivery) {
    if (!core->options.deduplicate_successful_tasks || !delivery->message.is_redelivered) { co_return false; }
    constexpr const char* waits = "a task that comes again waits until it can be seen whether it has succeeded";
    redis::Words length{"STRLEN", core->result_key_of(delivery->message.id)};
    const Insisted size = co_await insist(core, core->backend, std::move(length), nullptr, 0, waits);
    if (size.error || size.reply.integer() <= 0) { co_return false; }
    redis::Words words{"GET", core->result_key_of(delivery->message.id)};
    const auto bytes = static_cast<std::size_t>(size.reply.integer());
    const Insisted found = co_await insist(core, core->backend, std::move(words), nullptr, bytes, waits);
    if (found.error || found.reply.is_nil()) { co_return false; }
    std::optional<TaskResult> stored = decode_result(found.reply.text());
    if (!stored || stored->state != "SUCCESS") { co_return false; }
    ++core->counters.deduplicated;
    co_await join_own_chord(core, delivery, "SUCCESS", std::move(stored->value));
    co_return true;
}

/// Whether handlers may still begin: not when the worker ends, nor when it was destroyed.
[[nodiscard]] inline bool may_begin(const WorkerCore& core) noexcept { return !core.is_stopping && !core.is_abandoned && !*core.is_closed; }

[[nodiscard]] inline asio::awaitable<void> end_revoked(CorePtr core, DeliveryPtr delivery, const char* how) {
    TaskFailure failure("TaskRevokedError", how, "celery.exceptions");
    co_await end_with_failure(core, delivery, std::move(failure), "REVOKED");
}

[[nodiscard]] inline asio::awaitable<void> perform(CorePtr core, DeliveryPtr delivery) {
    const Message& message = delivery->message;
    const auto is_revoked = [&] { return core->revoked.count(message.id) != 0; };
    if (is_revoked() || (message.expires && *message.expires <= now())) {
        co_await end_revoked(core, delivery, is_revoked() ? "revoked" : "expired");
        co_return;
    }
    const auto found = core->tasks.find(message.task);
    if (found == core->tasks.end()) {
        core->warn("unknown task", "no task is called " + printable(message.task, 200) + " here");
        TaskFailure failure("NotRegistered", message.task, "celery.exceptions");
        co_await end_with_failure(core, delivery, std::move(failure));
        co_return;
    }
    if (std::string problem = problem_of_follow_ups(message); !problem.empty()) {
        TaskFailure failure("NotImplementedError", "what shall follow this task can't be sent: " + problem);
        co_await end_with_failure(core, delivery, std::move(failure));
        co_return;
    }
    const Registered task = found->second;
    const TaskSettings& settings = *task.settings;
    delivery->settings = task.settings;
    const bool is_done_before = co_await has_succeeded_before(core, delivery);
    if (is_done_before) { co_return; }
    if (may_begin(*core) && !settings.ack_late.value_or(core->options.ack_late)) {
        const Settled let_go = co_await ack(core, delivery);
        if (let_go != Settled::done) { co_return; } // somebody has it already
        delivery->is_ending = false;
    }
    if (!may_begin(*core)) {
        co_await give_back(core, delivery);
        co_return;
    }
    if (is_revoked()) { // since the first look
        co_await end_revoked(core, delivery, "revoked");
        co_return;
    }
    if (core->options.track_started && delivery->stores("STARTED")) {
        Json who = Json::object();
        who["pid"] = ::getpid();
        who["hostname"] = core->node;
        announce(core, message, "STARTED", who);
    }
    const auto hard = limit_of(message.time_limit, settings.time_limit, core->options.time_limit);
    const auto soft = limit_of(message.soft_time_limit, settings.soft_time_limit, core->options.soft_time_limit);
    std::optional<HandlerEnd> end = co_await run_handler(core, delivery, task, hard, soft);
    ++core->totals[message.task];
    if (!end) {
        if (!delivery->is_terminated) { co_return; } // given back by who stops the worker
        co_await end_revoked(core, delivery, "terminated");
    } else if (end->retry) {
        co_await end_with_retry(core, delivery, settings, std::move(*end->retry), std::nullopt);
    } else if (end->failure) {
        const bool is_retry = is_tried_again(settings, *end, message.retries);
        core->warn("task failed", "task " + printable(message.task, 200) + "[" + printable(message.id, 256) + "] " +
                                      (is_retry ? "failed and is tried again: " : "failed: ") + printable(end->failure->exc_type(), 100));
        if (is_retry) {
            co_await end_with_retry(core, delivery, settings, RetryOptions(), std::move(end->failure));
        } else {
            co_await end_with_failure(core, delivery, std::move(*end->failure));
        }
    } else {
        co_await end_with_success(core, delivery, std::move(end->value));
    }
}

inline void dispatch(const CorePtr& core);

[[nodiscard]] inline asio::awaitable<void> perform_and_leave(CorePtr core, DeliveryPtr delivery) {
    try {
        co_await perform(core, delivery);
    } catch (const std::exception& problem) { // no memory: the message stays held, and comes back when nobody renews it
        core->warn("task lost", std::string("a task can't be run now: ") + printable(problem.what(), 100));
    }
    if (delivery->is_untold && !delivery->is_acked) { co_await give_back(core, delivery); }
    if (delivery->is_lost) { ++core->counters.lost; }
    core->active.erase(delivery->tag);
    core->io->hungry.set();
    if (core->is_stopping) { core->io->idle.set(); }
    dispatch(core);
}

inline void start_delivery(const CorePtr& core, DeliveryPtr delivery) {
    delivery->begun = std::chrono::steady_clock::now();
    core->active.emplace(delivery->tag, delivery);
    asio::co_spawn(core->strand(), perform_and_leave(core, std::move(delivery)), asio::detached);
}

/// Begins what may run.
inline void dispatch(const CorePtr& core) {
    while (may_begin(*core) && !core->ready.empty() && core->active.size() < core->options.concurrency) {
        DeliveryPtr delivery = std::move(core->ready.front());
        core->ready.pop_front();
        start_delivery(core, std::move(delivery));
    }
}

} // namespace luzia::celery::detail
