// celery/result.hpp: what the result backend keeps of a task: written so that Python's AsyncResult raises or returns it, and read. Pure.
#pragma once

#include <luzia/celery/failure.hpp>
#include <luzia/celery/iso_time.hpp>
#include <luzia/celery/json.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery {

/// How a task stands, or ended.
struct TaskResult {
    TaskResult() {}

    /// `PENDING`, `STARTED`, `RETRY`, `SUCCESS`, `FAILURE`, `REVOKED`, or a word of the task's own.
    std::string state = "PENDING";
    /// What it returned; of a state of its own what it said; null in failures.
    Json value;
    std::optional<TaskFailure> failure;
    std::string traceback;
    Json children = Json::array();
};

[[nodiscard]] inline bool is_ready(std::string_view state) noexcept {
    return state == "SUCCESS" || state == "FAILURE" || state == "REVOKED";
}

[[nodiscard]] inline bool is_failure(std::string_view state) noexcept {
    return state == "FAILURE" || state == "RETRY" || state == "REVOKED";
}

/// Where the result of a task is kept, and the channel that tells of it.
[[nodiscard]] inline std::string result_key(std::string_view prefix, std::string_view id) {
    return std::string(prefix).append("celery-task-meta-").append(id);
}

/// Reads what a backend keeps; nothing where that is no result.
[[nodiscard]] inline std::optional<TaskResult> decode_result(std::string_view text) {
    std::optional<Json> json = parse_json(text);
    if (!json || !json->is_object() || !json->contains("status") || !(*json)["status"].is_string()) { return std::nullopt; }
    TaskResult result;
    result.state = (*json)["status"].get<std::string>();
    if (json->contains("traceback") && (*json)["traceback"].is_string()) { result.traceback = (*json)["traceback"].get<std::string>(); }
    if (json->contains("children") && (*json)["children"].is_array()) { result.children = std::move((*json)["children"]); }
    Json value = json->contains("result") ? std::move((*json)["result"]) : Json(nullptr);
    if (is_failure(result.state)) {
        result.failure = TaskFailure::from_json(value, result.traceback);
    } else {
        if (text.find("__type__") != std::string_view::npos) { unwrap_typed(value); }
        result.value = std::move(value);
    }
    return result;
}

/// What is kept beside state and value.
struct ResultDetails {
    ResultDetails() {}
    std::string id;
    std::string parent_id;
    std::string group_id;
    Json children = Json::array();
    std::string traceback;
};

/// Writes a result; nothing where the value is no JSON. A failure is always written: of one that is none, what can be.
[[nodiscard]] inline std::optional<std::string> encode_result(std::string_view state, const Json& value, const ResultDetails& details,
                                                              Time at) {
    std::optional<std::string> written = dump_json(value, 1);
    if (!written && is_failure(state)) { written = dump_json(TaskFailure::from_json(value, {}).json(), 1); }
    if (!written) { return std::nullopt; }
    Json json = Json::object();
    json["status"] = state;
    json["traceback"] = details.traceback.empty() ? Json(nullptr) : Json(details.traceback);
    json["children"] = details.children;
    json["date_done"] = is_ready(state) ? Json(iso_time(at)) : Json(nullptr);
    json["task_id"] = details.id;
    if (!details.parent_id.empty()) { json["parent_id"] = details.parent_id; }
    if (!details.group_id.empty()) { json["group_id"] = details.group_id; }
    std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    // Put in as it is, so that it is written once.
    text.insert(1, "\"result\":" + *written + ",");
    return text;
}

} // namespace luzia::celery
