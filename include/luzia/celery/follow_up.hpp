// celery/follow_up.hpp: what a task's message says shall come after it: signatures in JSON made messages. Pure but for the clock and the ids.
#pragma once

#include <luzia/celery/composing.hpp>
#include <luzia/celery/failure.hpp>
#include <luzia/celery/message.hpp>

#include <boost/system/result.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// What is wrong with a signature that came in a message; empty where a worker can send it.
[[nodiscard]] inline std::string problem_of_follow_up(const Json& signature) {
    if (!signature.is_object()) { return "a signature is no object"; }
    const auto has = [&](const char* name) { return signature.contains(name) && !signature[name].is_null(); };
    if (has("subtask_type")) {
        return "a " + signature["subtask_type"].dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 32) +
               " can't follow a task here";
    }
    if (!has("task") || !signature["task"].is_string() || !is_name(signature["task"].get_ref<const std::string&>())) {
        return "a signature names no task";
    }
    if (has("args") && !signature["args"].is_array()) { return "the arguments of a signature are no list"; }
    if (has("kwargs") && !signature["kwargs"].is_object()) { return "the named arguments of a signature are no object"; }
    if (!has("options")) { return {}; }
    const Json& options = signature["options"];
    if (!options.is_object()) { return "the options of a signature are no object"; }
    const auto set = [&](const char* name) -> const Json* {
        const auto found = options.find(name);
        return found != options.end() && !found->is_null() ? &*found : nullptr;
    };
    const Json* const id = set("task_id");
    if (id != nullptr && !(id->is_string() && is_task_id(id->get_ref<const std::string&>()))) { return "the id of a signature is none"; }
    for (const char* const name : {"time_limit", "soft_time_limit"}) {
        if (const Json* const limit = set(name); limit != nullptr && !is_time_limit(*limit)) {
            return "a time limit of a signature is none";
        }
    }
    return {};
}

/// The signatures under one name of the embed, as a list.
[[nodiscard]] inline std::vector<Json> embedded_list(const Message& message, const char* name) {
    const Json* const list = message.embedded(name);
    if (list == nullptr) { return {}; }
    if (!list->is_array()) { return {*list}; }
    return {list->begin(), list->end()};
}

/// What is wrong with what shall follow a task; empty where all of it can be sent. Asked before the task runs: its caller waits for the end.
[[nodiscard]] inline std::string problem_of_follow_ups(const Message& message) {
    for (const char* const name : {"callbacks", "errbacks", "chain", "chord"}) {
        for (const Json& signature : embedded_list(message, name)) {
            if (std::string problem = problem_of_follow_up(signature); !problem.empty()) { return problem; }
        }
    }
    if (message.embedded("chord") != nullptr && message.group.empty()) { return "a chord without a group"; }
    return {};
}

/// The options of a signature, as far as they are what they should be.
class FollowUpOptions {
public:
    explicit FollowUpOptions(const Json& signature)
        : options_(signature.contains("options") && signature["options"].is_object() ? signature["options"] : Json::object()) {}

    [[nodiscard]] std::string text(const char* name) const {
        const auto found = options_.find(name);
        return found != options_.end() && found->is_string() ? found->get<std::string>() : std::string();
    }
    [[nodiscard]] std::optional<double> number(const char* name) const {
        const auto found = options_.find(name);
        if (found == options_.end() || !found->is_number()) { return std::nullopt; }
        const auto value = found->get<double>();
        return value > -1e10 && value < 1e10 ? std::optional(value) : std::nullopt; // what fits the arithmetic with times
    }
    /// Seconds, above zero.
    [[nodiscard]] std::optional<double> limit(const char* name) const {
        const auto found = options_.find(name);
        if (found == options_.end() || !is_time_limit(*found) || *found == 0) { return std::nullopt; }
        return found->get<double>();
    }
    [[nodiscard]] Json part(const char* name) const {
        const auto found = options_.find(name);
        return found != options_.end() ? *found : Json(nullptr);
    }
    /// So many seconds from `now`, or a time that is written out; what lies before 1970 is 1970.
    [[nodiscard]] std::optional<Time> time(const char* name, Time now) const {
        std::optional<Time> time = parse_iso_time(text(name));
        if (const auto seconds = number(name)) { time = now + std::chrono::microseconds(static_cast<std::int64_t>(*seconds * 1e6)); }
        return time ? std::optional(std::max(*time, Time())) : std::nullopt;
    }

private:
    Json options_;
};

/// The ids that somebody may wait for behind a signature which is not sent: its own, and those of what it is put together of.
inline void add_ids_behind(const Json& signature, std::vector<std::string>& ids) {
    constexpr std::size_t most = 10'000;
    if (signature.is_array()) {
        for (const Json& one : signature) {
            add_ids_behind(one, ids);
        }
    }
    if (!signature.is_object() || ids.size() >= most) { return; }
    const std::string id = FollowUpOptions(signature).text("task_id");
    if (is_task_id(id) && std::find(ids.begin(), ids.end(), id) == ids.end()) { ids.push_back(id); }
    const auto kwargs = signature.find("kwargs");
    if (kwargs == signature.end() || !kwargs->is_object() || signature.value("subtask_type", Json()).is_null()) { return; }
    for (const char* const part : {"tasks", "header", "body"}) {
        if (const auto found = kwargs->find(part); found != kwargs->end()) { add_ids_behind(*found, ids); }
    }
}

/// A message to be sent, or why it can't be.
using FollowUp = boost::system::result<Outgoing, std::string>;

/// The message for a signature that follows `parent`, called with `before` and then its own arguments (its own alone where it is immutable).
/// `chain` is what follows it in turn, the next one last.
[[nodiscard]] inline FollowUp follow_up(Composer& composer, const Json& signature, const Json& before, const Message& parent, Json chain,
                                        const std::string& default_queue) {
    const auto refused = [](std::string problem) { return FollowUp(boost::system::in_place_error, std::move(problem)); };
    if (std::string problem = problem_of_follow_up(signature); !problem.empty()) { return refused(std::move(problem)); }
    const FollowUpOptions options(signature);
    const Time begun = now();
    Message message;
    message.task = signature["task"].get<std::string>();
    message.id = options.text("task_id");
    if (message.id.empty()) { message.id = composer.next_id(); }
    message.root_id = parent.root_id.empty() ? parent.id : parent.root_id;
    message.parent_id = parent.id;
    message.group = options.text("group_id");
    if (const auto index = options.number("group_index")) { message.group_index = static_cast<std::int64_t>(*index); }
    message.eta = options.time(options.number("countdown") ? "countdown" : "eta", begun);
    message.expires = options.time("expires", begun);
    message.time_limit = options.limit("time_limit");
    message.soft_time_limit = options.limit("soft_time_limit");
    message.ignore_result = options.part("ignore_result") == true;
    message.priority = priority_of(options.part("priority"));
    if (const Json headers = options.part("headers"); headers.is_object()) {
        for (const auto& [name, value] : headers.items()) {
            if (std::find(own_headers.begin(), own_headers.end(), name) == own_headers.end()) { message.headers[name] = value; }
        }
    }
    const bool is_immutable = signature.contains("immutable") && signature["immutable"] == true;
    if (!is_immutable) { message.args = before; }
    if (signature.contains("args") && signature["args"].is_array()) {
        for (const Json& arg : signature["args"]) {
            message.args.push_back(arg);
        }
    }
    if (signature.contains("kwargs") && signature["kwargs"].is_object()) { message.kwargs = signature["kwargs"]; }
    const auto embed = [&](const char* where, Json part) {
        if (!part.is_null()) { message.embed[where] = std::move(part); }
    };
    const auto as_list = [](Json part) { return part.is_null() || part.is_array() ? part : Json::array({std::move(part)}); };
    embed("callbacks", as_list(options.part("link")));
    embed("errbacks", as_list(options.part("link_error")));
    embed("chord", options.part("chord"));
    if (!chain.is_null() && !chain.empty()) { embed("chain", std::move(chain)); }
    std::string queue = options.text("queue");
    if (queue.empty() && options.text("exchange").empty()) { queue = options.text("routing_key"); }
    if (!is_name(queue)) { queue = default_queue; }
    auto outgoing = composer.write(message, queue);
    if (outgoing) { return std::move(*outgoing); }
    return refused("the task " + cut(message.task, 200) +
                   (outgoing.error() == TaskError::too_large ? " that follows is larger than max_message_bytes"
                                                             : " that follows can't be written as JSON"));
}

/// What a task's success sends. Where `problem` says that a part of it can't be sent, nothing of it should be: the task is told as failed, or
/// who waits for what follows waits for ever.
struct Successors {
    Successors() {}
    std::vector<Outgoing> messages;
    std::string problem;
};

/// What a task's success sends: its callbacks, then the next of its chain.
[[nodiscard]] inline Successors successors(Composer& composer, const Message& message, const Json& value, const std::string& queue) {
    Successors all;
    const Json before = Json::array({value});
    const auto add = [&](const Json& signature, Json chain) {
        auto one = follow_up(composer, signature, before, message, std::move(chain), queue);
        if (one) {
            all.messages.push_back(std::move(*one));
        } else if (all.problem.empty()) {
            all.problem = one.error();
        }
    };
    for (const Json& callback : embedded_list(message, "callbacks")) {
        add(callback, Json());
    }
    std::vector<Json> chain = embedded_list(message, "chain");
    if (!chain.empty()) {
        const Json next = std::move(chain.back());
        chain.pop_back();
        add(next, Json(chain));
    }
    return all;
}

/// What a task's failure sends: its error callbacks, called with its id.
[[nodiscard]] inline std::vector<Outgoing> mourners(Composer& composer, const Message& message, const std::vector<Json>& errbacks,
                                                    const std::string& id, const std::string& queue) {
    std::vector<Outgoing> outgoing;
    for (const Json& errback : errbacks) {
        if (auto one = follow_up(composer, errback, Json::array({id}), message, Json(), queue)) { outgoing.push_back(std::move(*one)); }
    }
    return outgoing;
}

/// The results of a chord's members as they were noted, in order; or the failure of the first that failed.
struct ChordEnd {
    ChordEnd() {}
    Json results = Json::array();
    std::optional<TaskFailure> failure;
};

[[nodiscard]] inline ChordEnd chord_end(const std::vector<std::string>& noted) {
    ChordEnd end;
    for (const std::string& text : noted) {
        std::optional<Json> entry = parse_json(text);
        if (!entry || !entry->is_array() || entry->size() != 4 || !(*entry)[2].is_string()) {
            end.failure = TaskFailure("ChordError", "a result of the chord can't be read", "celery.exceptions");
            continue;
        }
        if ((*entry)[2] == "SUCCESS") {
            end.results.push_back(std::move((*entry)[3]));
        } else if (!end.failure) {
            const std::string id = (*entry)[1].is_string() ? (*entry)[1].get<std::string>() : std::string();
            end.failure = TaskFailure("ChordError", "Dependency " + id + " raised " + TaskFailure::from_json((*entry)[3], {}).repr(),
                                      "celery.exceptions");
        }
    }
    return end;
}

} // namespace luzia::celery::detail
