// celery/signature.hpp: a task to be called, with everything that can be set for the call; and tasks put together. Pure.
#pragma once

#include <luzia/celery/arguments.hpp>
#include <luzia/celery/error.hpp>
#include <luzia/celery/iso_time.hpp>
#include <luzia/celery/json.hpp>
#include <luzia/celery/queue.hpp>

#include <array>
#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::celery {

class Signature;

/// No time limit, and no pause before another try, is longer: what is added to a clock must not run over.
inline constexpr std::chrono::milliseconds longest_limit = std::chrono::hours(24 * 365);

/// A time from now, or a point in time.
class When {
public:
    template <class Rep, class Period>
    When(std::chrono::duration<Rep, Period> in) // NOLINT(google-explicit-constructor)
        : in_(fitting(in)) {}
    template <class Duration>
    When(std::chrono::sys_time<Duration> at) // NOLINT(google-explicit-constructor)
        : at_(std::chrono::ceil<std::chrono::microseconds>(at)) {}

    [[nodiscard]] Time from(Time now) const noexcept { return at_ ? *at_ : now + in_; }
    [[nodiscard]] bool is_duration() const noexcept { return !at_; }
    [[nodiscard]] std::chrono::microseconds duration() const noexcept { return in_; }

private:
    /// What microseconds can't count is for ever, and refused when it is sent.
    template <class Rep, class Period>
    [[nodiscard]] static std::chrono::microseconds fitting(std::chrono::duration<Rep, Period> in) {
        using Seconds = std::chrono::duration<long double>;
        using std::chrono::microseconds;
        if (Seconds(in) >= Seconds(microseconds::max())) { return microseconds::max(); }
        if (Seconds(in) <= Seconds(microseconds::min())) { return microseconds::min(); }
        return std::chrono::ceil<microseconds>(in);
    }

    std::chrono::microseconds in_{0};
    std::optional<Time> at_;
};

/// Tasks that are called when another has ended: one signature, or several.
class Callbacks {
public:
    Callbacks() noexcept;
    Callbacks(Signature one);                            // NOLINT(google-explicit-constructor)
    Callbacks(std::vector<Signature> several);           // NOLINT(google-explicit-constructor)
    Callbacks(std::initializer_list<Signature> several); // NOLINT(google-explicit-constructor)

    void push_back(Signature one);
    [[nodiscard]] const std::vector<Signature>& list() const noexcept { return list_; }
    [[nodiscard]] bool empty() const noexcept;

private:
    std::vector<Signature> list_;
};

/// How one task is called. Set members by name; what makes no sense is an error of the call, and nothing is sent.
struct TaskOptions {
    TaskOptions(); // no aggregate: GCC 12 destroys aggregate temporaries beside co_await twice

    /// Empty: the client's `default_queue`.
    std::string queue;
    /// Empty: a new UUID. Up to 256 bytes of UTF-8 without control bytes. Who chooses it can ask for the result whatever became of the call.
    std::string task_id;
    /// Not before so long from now.
    std::optional<std::chrono::milliseconds> countdown;
    /// Not before this time. In the past: at once.
    std::optional<std::chrono::system_clock::time_point> eta;
    /// Not after; a worker that gets to it later revokes it.
    std::optional<When> expires;
    /// 0 to 9; in Redis the lowest number is served first.
    std::optional<int> priority;
    /// More than zero, and a year at most.
    std::optional<std::chrono::milliseconds> time_limit;
    std::optional<std::chrono::milliseconds> soft_time_limit;
    /// How often it is said to have been tried before.
    int retries = 0;
    /// The worker stores no result.
    bool ignore_result = false;
    /// More headers of the message, an object.
    Json headers = Json::object();
    /// Called with the result.
    Callbacks link;
    /// Called with the id, when it has failed.
    Callbacks link_error;
};

/// A task with its arguments: not called yet.
class Signature {
public:
    Signature() {}
    Signature(std::string name, Arguments arguments, TaskOptions task_options)
        : task(std::move(name)), args(std::move(arguments)), options(std::move(task_options)) {}

    /// Called with its own arguments alone: results of others are not put before them.
    Signature&& immutable() && {
        is_immutable = true;
        return std::move(*this);
    }

    std::string task;
    Arguments args;
    TaskOptions options;
    bool is_immutable = false;
};

[[nodiscard]] inline Signature signature(std::string task, Arguments args = Arguments(), TaskOptions options = TaskOptions()) {
    return {std::move(task), std::move(args), std::move(options)};
}

/// Tasks one after the other, each called with the result of the one before.
struct Chain {
    Chain() {}
    std::vector<Signature> tasks;
};

/// Tasks at the same time.
struct Group {
    Group() {}
    std::vector<Signature> tasks;
};

/// A group, and a task that is called with the list of its results.
struct Chord {
    Chord() {}
    Group header;
    Signature body;
};

template <class... Signatures>
[[nodiscard]] Chain chain(Signatures... tasks) {
    Chain chain;
    (chain.tasks.push_back(std::move(tasks)), ...);
    return chain;
}
[[nodiscard]] inline Chain chain(std::vector<Signature> tasks) {
    Chain chain;
    chain.tasks = std::move(tasks);
    return chain;
}

template <class... Signatures>
[[nodiscard]] Group group(Signatures... tasks) {
    Group group;
    (group.tasks.push_back(std::move(tasks)), ...);
    return group;
}
[[nodiscard]] inline Group group(std::vector<Signature> tasks) {
    Group group;
    group.tasks = std::move(tasks);
    return group;
}

[[nodiscard]] inline Chord chord(Group header, Signature body) {
    Chord chord;
    chord.header = std::move(header);
    chord.body = std::move(body);
    return chord;
}
[[nodiscard]] inline Chord chord(std::vector<Signature> header, Signature body) { return chord(group(std::move(header)), std::move(body)); }

inline TaskOptions::TaskOptions() {}
inline Callbacks::Callbacks() noexcept {}
inline Callbacks::Callbacks(Signature one) { list_.push_back(std::move(one)); }
inline Callbacks::Callbacks(std::vector<Signature> several) : list_(std::move(several)) {}
inline Callbacks::Callbacks(std::initializer_list<Signature> several) : list_(several) {}
inline void Callbacks::push_back(Signature one) { list_.push_back(std::move(one)); }
inline bool Callbacks::empty() const noexcept { return list_.empty(); }

namespace detail {

// What Celery or we write; a caller's header of that name would break the message.
inline constexpr std::array<std::string_view, 22> own_headers{"lang",
                                                              "task",
                                                              "id",
                                                              "shadow",
                                                              "eta",
                                                              "expires",
                                                              "group",
                                                              "group_index",
                                                              "retries",
                                                              "timelimit",
                                                              "root_id",
                                                              "parent_id",
                                                              "argsrepr",
                                                              "origin",
                                                              "kwargsrepr",
                                                              "ignore_result",
                                                              "redelivered",
                                                              "compression",
                                                              "replaced_task_nesting",
                                                              "stamped_headers",
                                                              "stamps",
                                                              "clock"};

[[nodiscard]] inline bool is_sendable_time(Time time) noexcept {
    using namespace std::chrono;
    return time >= Time(sys_days(year(1970) / 1 / 1)) && time < Time(sys_days(year(9999) / 12 / 31));
}

} // namespace detail

/// What is wrong with a call; none where it can be sent.
[[nodiscard]] inline error_code problem_of(const Signature& signature, Time now, int depth = 0) {
    const TaskOptions& options = signature.options;
    if (!is_name(signature.task)) { return TaskError::invalid_task_name; }
    if (!options.queue.empty() && !is_name(options.queue)) { return TaskError::invalid_queue; }
    if (!options.task_id.empty() && !is_task_id(options.task_id)) { return TaskError::invalid_task_id; }
    if (options.priority && (*options.priority < 0 || *options.priority > 9)) { return TaskError::invalid_priority; }
    if (options.retries < 0) { return TaskError::invalid_retries; }
    // A year's worth of centuries: what fits the arithmetic below.
    constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 366 * 8000L);
    if (options.countdown && (options.eta || options.countdown->count() < 0 || *options.countdown > longest)) {
        return TaskError::invalid_time;
    }
    if (options.countdown && !detail::is_sendable_time(now + *options.countdown)) { return TaskError::invalid_time; }
    if (options.eta && !detail::is_sendable_time(std::chrono::floor<std::chrono::microseconds>(*options.eta))) {
        return TaskError::invalid_time;
    }
    if (options.expires) {
        const auto time = options.expires->duration();
        if (options.expires->is_duration() && (time.count() <= 0 || time > longest)) { return TaskError::invalid_time; }
        if (!detail::is_sendable_time(options.expires->from(now))) { return TaskError::invalid_time; }
    }
    for (const auto& limit : {options.time_limit, options.soft_time_limit}) {
        if (limit && (limit->count() <= 0 || *limit > longest_limit)) { return TaskError::invalid_time_limit; }
    }
    if (!options.headers.is_object()) { return TaskError::invalid_headers; }
    for (const std::string_view own : detail::own_headers) {
        if (options.headers.contains(own)) { return TaskError::invalid_headers; }
    }
    // Celery keeps names of its own with an underscore, and dies of other values.
    const auto is_private = [](const auto& entry) { return entry.key().starts_with('_'); };
    const auto entries = options.headers.items();
    if (std::any_of(entries.begin(), entries.end(), is_private)) { return TaskError::invalid_headers; }
    if (!signature.args.positional().is_array() || !signature.args.named().is_object()) { return TaskError::unencodable; }
    if (depth > 8 && !(options.link.empty() && options.link_error.empty())) { return TaskError::unencodable; }
    for (const Callbacks* const callbacks : {&options.link, &options.link_error}) {
        for (const Signature& callback : callbacks->list()) {
            if (const error_code error = problem_of(callback, now, depth + 1)) { return error; }
        }
    }
    return {};
}

namespace detail {

[[nodiscard]] inline double seconds_of(std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1e6; }

/// The form that travels in a message, for a worker that will call it.
[[nodiscard]] inline Json signature_json(const Signature& signature) {
    const TaskOptions& options = signature.options;
    Json written = Json::object();
    const auto write_all = [](const Callbacks& callbacks) {
        Json list = Json::array();
        for (const Signature& callback : callbacks.list()) {
            list.push_back(signature_json(callback));
        }
        return list;
    };
    if (!options.task_id.empty()) { written["task_id"] = options.task_id; }
    if (!options.queue.empty()) { written["queue"] = options.queue; }
    if (options.priority) { written["priority"] = *options.priority; }
    if (options.countdown) { written["countdown"] = seconds_of(*options.countdown); }
    if (options.eta) { written["eta"] = iso_time(std::chrono::floor<std::chrono::microseconds>(*options.eta)); }
    if (options.expires) {
        written["expires"] =
            options.expires->is_duration() ? Json(seconds_of(options.expires->duration())) : Json(iso_time(options.expires->from(Time())));
    }
    if (options.time_limit) { written["time_limit"] = seconds_of(*options.time_limit); }
    if (options.soft_time_limit) { written["soft_time_limit"] = seconds_of(*options.soft_time_limit); }
    if (options.ignore_result) { written["ignore_result"] = true; }
    if (!options.headers.empty()) { written["headers"] = options.headers; }
    if (!options.link.empty()) { written["link"] = write_all(options.link); }
    if (!options.link_error.empty()) { written["link_error"] = write_all(options.link_error); }
    Json json = Json::object();
    json["task"] = signature.task;
    json["args"] = signature.args.positional();
    json["kwargs"] = signature.args.named();
    json["options"] = std::move(written);
    json["subtask_type"] = nullptr;
    json["immutable"] = signature.is_immutable;
    return json;
}

} // namespace detail

} // namespace luzia::celery
