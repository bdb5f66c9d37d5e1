// celery/failure.hpp: how a task failed, as an exception of C++ and as the JSON that Python raises an exception from. Pure.
#pragma once

#include <luzia/celery/json.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery {

/// A task's failure. Thrown by `AsyncResult::get`; a handler may throw one to choose what the caller sees.
class TaskFailure : public std::runtime_error {
public:
    /// @param module  of Python, where the type is one of its own: `TaskFailure("ValueError", "too small")` is raised there as what it is
    explicit TaskFailure(std::string type, std::string_view message = {}, std::string module = "builtins")
        : TaskFailure(std::move(type), Json::array({std::string(message)}), std::move(module), {}) {}

    /// @param arguments  of the exception, an array
    TaskFailure(std::string type, Json arguments, std::string module, std::string traceback)
        : std::runtime_error(type + ": " + joined(arguments)),
          type_(std::move(type)),
          module_(std::move(module)),
          arguments_(arguments.is_array() ? std::move(arguments) : Json::array({std::move(arguments)})),
          message_(joined(arguments_)),
          traceback_(std::move(traceback)) {}

    /// The name of the exception's class.
    [[nodiscard]] const std::string& exc_type() const noexcept { return type_; }
    /// Its arguments, joined to one text.
    [[nodiscard]] const std::string& exc_message() const noexcept { return message_; }
    [[nodiscard]] const Json& exc_arguments() const noexcept { return arguments_; }
    /// The module of its class; empty where it was not said.
    [[nodiscard]] const std::string& exc_module() const noexcept { return module_; }
    [[nodiscard]] const std::string& traceback() const noexcept { return traceback_; }

    /// What the result backend keeps.
    [[nodiscard]] Json json() const {
        Json json = Json::object();
        json["exc_type"] = type_;
        json["exc_message"] = arguments_;
        json["exc_module"] = module_.empty() ? Json(nullptr) : Json(module_);
        return json;
    }

    /// As Python would print it: `ValueError('z', 42)`.
    [[nodiscard]] std::string repr() const;

    /// Makes one of what a backend keeps, whatever that is.
    [[nodiscard]] static TaskFailure from_json(const Json& json, std::string traceback) {
        const auto text = [&](const char* name) {
            return json.is_object() && json.contains(name) && json[name].is_string() ? json[name].get<std::string>() : std::string();
        };
        if (!json.is_object() || text("exc_type").empty()) { return {"Exception", Json::array({json}), "builtins", std::move(traceback)}; }
        Json arguments = json.contains("exc_message") ? json["exc_message"] : Json::array();
        return {text("exc_type"), std::move(arguments), text("exc_module"), std::move(traceback)};
    }

private:
    [[nodiscard]] static std::string one(const Json& json) {
        if (json.is_string()) { return json.get<std::string>(); }
        return json.dump(-1, ' ', false, Json::error_handler_t::replace);
    }

    [[nodiscard]] static std::string joined(const Json& arguments) {
        if (!arguments.is_array()) { return one(arguments); }
        std::string text;
        for (const Json& argument : arguments) {
            text += (text.empty() ? "" : ", ") + one(argument);
        }
        return text;
    }

    std::string type_;
    std::string module_;
    Json arguments_;
    std::string message_;
    std::string traceback_;
};

/// A value as Python would print it. For people: cut where it gets long.
[[nodiscard]] inline std::string python_repr(const Json& json, std::size_t limit = 1024) {
    std::string text;
    const auto append = [&](const auto& self, const Json& value) -> void {
        if (text.size() >= limit) { return; }
        if (value.is_null()) {
            text += "None";
        } else if (value.is_boolean()) {
            text += value.get<bool>() ? "True" : "False";
        } else if (value.is_string()) {
            text += '\'';
            for (const char c : value.get_ref<const std::string&>().substr(0, limit)) {
                if (c == '\'' || c == '\\') { text += '\\'; }
                if (c == '\n') {
                    text += "\\n";
                } else {
                    text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
                }
            }
            text += '\'';
        } else if (value.is_structured()) {
            text += value.is_array() ? '[' : '{';
            bool is_first = true;
            for (const auto& [key, element] : value.items()) {
                if (!std::exchange(is_first, false)) { text += ", "; }
                if (value.is_object()) { text += "'" + key + "': "; }
                self(self, element);
            }
            text += value.is_array() ? ']' : '}';
        } else {
            text += value.dump();
        }
    };
    append(append, json);
    if (text.size() > limit) {
        text.resize(limit);
        while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0U) == 0x80U) { // not in the middle of a letter
            text.pop_back();
        }
        if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xc0U) { text.pop_back(); }
        text += "...";
    }
    return text;
}

inline std::string TaskFailure::repr() const {
    std::string text = type_ + "(";
    bool is_first = true;
    for (const Json& argument : arguments_) {
        text += (std::exchange(is_first, false) ? "" : ", ") + python_repr(argument);
    }
    return text + ")";
}

} // namespace luzia::celery
