// celery/handler.hpp: a function of the user's as a task: its arguments read, its end told, whatever it throws.
#pragma once

#include <luzia/celery/failure.hpp>
#include <luzia/celery/parameters.hpp>
#include <luzia/celery/queue.hpp>
#include <luzia/celery/result.hpp>
#include <luzia/celery/signature.hpp>
#include <luzia/celery/task_context.hpp>
#include <luzia/celery/utf8.hpp>
#include <luzia/redis/options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/config.hpp>
#include <boost/core/demangle.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <typeinfo>
#include <utility>
#include <vector>

namespace luzia::celery {

/// How one task is run. Set members by name.
struct TaskSettings {
    TaskSettings() {}

    /// Names of the handler's parameters, in order, for arguments that are given by name.
    std::vector<std::string> parameters;
    /// Where the handler runs; none: `WorkerOptions::handler_executor`. A thread pool for what computes for long.
    std::optional<boost::asio::any_io_executor> executor;
    /// None: the worker's.
    std::optional<bool> ack_late;
    /// A year at most, like the pauses below.
    std::optional<std::chrono::milliseconds> time_limit;
    std::optional<std::chrono::milliseconds> soft_time_limit;
    /// For `TaskContext::retry` and `retry_on_failure`: how often (negative: without end), and how long to wait: doubled each time, up to the
    /// longest.
    int max_retries = 3;
    std::chrono::milliseconds retry_backoff{1000};
    std::chrono::milliseconds longest_retry_backoff{600'000};
    /// A failure is a retry as long as there are tries left. Not so where another would end the same: arguments that do not fit, a hard time
    /// limit.
    bool retry_on_failure = false;
    /// Nothing is stored of how it ends, nor that it begins or is tried again.
    bool ignore_result = false;
    /// Failures, retries and revocations are stored all the same.
    bool store_errors_even_if_ignored = false;
};

/// Settings that name the parameters: `worker.task("tasks.add", add, celery::parameters("a", "b"))`.
template <class... Names>
[[nodiscard]] TaskSettings parameters(Names&&... names) {
    TaskSettings settings;
    (settings.parameters.emplace_back(std::forward<Names>(names)), ...);
    return settings;
}

namespace detail {

/// How a run of a handler ended.
struct HandlerEnd {
    HandlerEnd() {}
    Json value;
    std::optional<TaskFailure> failure;
    std::optional<RetryOptions> retry;
    /// Another try would fail the same way.
    bool is_final = false;
};

/// Throws `std::invalid_argument`, naming the member and what it may be.
[[nodiscard]] inline TaskSettings checked(TaskSettings settings) {
    using redis::detail::require;
    using std::chrono::milliseconds;
    const auto is_limit = [](const std::optional<milliseconds>& limit) {
        return !limit || (limit->count() > 0 && *limit <= longest_limit);
    };
    const auto is_pause = [](milliseconds pause) { return pause.count() >= 0 && pause <= longest_limit; };
    require(is_limit(settings.time_limit), "time_limit must be from 1 ms to a year");
    require(is_limit(settings.soft_time_limit), "soft_time_limit must be from 1 ms to a year");
    require(is_pause(settings.retry_backoff), "retry_backoff must be from 0 to a year");
    require(is_pause(settings.longest_retry_backoff), "longest_retry_backoff must be from 0 to a year");
    return settings;
}

/// Whether a failure is followed by another try, after so many before.
[[nodiscard]] inline bool is_tried_again(const TaskSettings& settings, const HandlerEnd& end, int retries) noexcept {
    return settings.retry_on_failure && !end.is_final && (settings.max_retries < 0 || retries < settings.max_retries);
}

/// Whether a state of a task is stored, as Celery decides it: what its caller says (`ignore_result` of the message) is about success alone, what
/// its settings say is about all but the states of its own.
[[nodiscard]] inline bool is_stored(std::string_view state, const TaskSettings& settings, bool is_ignored_by_caller) noexcept {
    if (state == "SUCCESS") { return !settings.ignore_result && !is_ignored_by_caller; }
    if (state == "STARTED") { return !settings.ignore_result; }
    return !is_failure(state) || !settings.ignore_result || settings.store_errors_even_if_ignored;
}

[[nodiscard]] inline std::string text_for_json(std::string text) { return as_utf8(std::move(text)); }

/// An exception of C++ as one of Python: the class's name, its namespaces as the module.
[[nodiscard]] inline TaskFailure failure_of(const std::exception& exception) {
    std::string type = "Exception";
#ifndef BOOST_NO_RTTI
    type = boost::core::demangle(typeid(exception).name());
#endif
    const std::string full = type;
    const std::size_t cut = type.find('<') == std::string::npos ? type.rfind("::") : std::string::npos;
    std::string module = "cpp";
    if (cut != std::string::npos) {
        module = type.substr(0, cut);
        type.erase(0, cut + 2);
        for (std::size_t at = module.find("::"); at != std::string::npos; at = module.find("::", at)) {
            module.replace(at, 2, ".");
        }
    }
    const std::string what = exception.what();
    return {type, Json::array({what}), module, "C++ exception " + full + ": " + what};
}

/// What a handler threw, or asked for by throwing. Inside a catch block.
[[nodiscard]] inline HandlerEnd end_by_exception() {
    HandlerEnd end;
    try {
        throw;
    } catch (const RetryRequested& request) {
        end.retry = request.options();
        if (end.retry->countdown) { end.retry->countdown = std::clamp(*end.retry->countdown, std::chrono::milliseconds(0), longest_limit); }
    } catch (const TaskFailure& failure) { end.failure = failure; } catch (const std::exception& exception) {
        end.failure = failure_of(exception);
    } catch (...) {
        end.failure = TaskFailure("UnknownError", Json::array({"something that is no std::exception was thrown"}), "cpp", "C++");
    }
    return end;
}

/// A task's function with its type forgotten.
using Call = std::function<boost::asio::awaitable<HandlerEnd>(std::shared_ptr<TaskContext> context)>;

template <class Function>
boost::asio::awaitable<HandlerEnd> call_function(std::shared_ptr<Function> function, std::shared_ptr<const TaskSettings> settings,
                                                 std::shared_ptr<TaskContext> context) {
    using Parameters = ParametersOf<Function>;
    using Awaited = typename Parameters::Awaited;
    HandlerEnd end;
    bool is_called = false;
    try {
        Json args = context->args();
        Json kwargs = context->kwargs();
        auto values = Parameters::read(context->name(), settings->parameters, std::move(args), std::move(kwargs));
        is_called = true;
        const auto call = [&]() -> decltype(auto) {
            return std::apply(
                [&](auto&... value) -> decltype(auto) {
                    if constexpr (Parameters::Parts::takes_context) {
                        return (*function)(*context, static_cast<std::decay_t<decltype(value)>&&>(value)...);
                    } else {
                        return (*function)(static_cast<std::decay_t<decltype(value)>&&>(value)...);
                    }
                },
                values);
        };
        if constexpr (Awaited::is_coroutine) {
            auto under_way = call();
            if constexpr (std::is_void_v<typename Awaited::Type>) {
                co_await std::move(under_way);
            } else {
                auto value = co_await std::move(under_way);
                end.value = Json(std::move(value));
            }
        } else if constexpr (std::is_void_v<typename Awaited::Type>) {
            call();
        } else {
            end.value = Json(call());
        }
    } catch (...) {
        end = end_by_exception();
        end.is_final = !is_called;
    }
    co_return end;
}

struct Registered {
    std::shared_ptr<const TaskSettings> settings;
    Call call;
};

/// Throws `std::invalid_argument` for settings that make no sense, naming the member.
template <class Function>
[[nodiscard]] Registered registered(Function&& function, TaskSettings settings) {
    auto kept = std::make_shared<std::decay_t<Function>>(std::forward<Function>(function));
    auto shared = std::make_shared<const TaskSettings>(checked(std::move(settings)));
    return {shared, [kept, shared](std::shared_ptr<TaskContext> context) {
                return call_function<std::decay_t<Function>>(kept, shared, std::move(context));
            }};
}

} // namespace detail

} // namespace luzia::celery
