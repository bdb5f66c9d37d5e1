// celery/failure.hpp: how a task failed, as an exception of C++ and as the JSON that Python raises an exception from. Pure.
#pragma once

#include <luzia/celery/json.hpp>
#include <luzia/celery/utf8.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery {

/// A task's failure. Thrown by `AsyncResult::get`; a handler may throw one to choose what the caller sees.
///
/// Whatever it is made of, it can be stored: bytes that are not UTF-8 become U+FFFD, control bytes in a name as well; what is nested more than
/// 480 deep, arguments beyond 1 MiB in all, a traceback beyond as much, and names beyond 1024 bytes are cut, and end in three points.
class TaskFailure : public std::runtime_error {
public:
    /// @param module  of Python, where the type is one of its own: `TaskFailure("ValueError", "too small")` is raised there as what it is
    explicit TaskFailure(std::string type, std::string_view message = {}, std::string module = "builtins")
        : TaskFailure(std::move(type), Json::array({std::string(message)}), std::move(module), {}) {}

    /// @param arguments  of the exception, an array
    TaskFailure(std::string type, const Json& arguments, std::string module, std::string traceback)
        : TaskFailure(Parts(std::move(type), arguments, std::move(module), std::move(traceback))) {}

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
        if (!json.is_object() || text("exc_type").empty()) {
            return {"Exception", Json::array({writable(json, deepest - 1, largest)}), "builtins", std::move(traceback)};
        }
        const auto arguments = json.find("exc_message");
        return {text("exc_type"), arguments != json.end() ? *arguments : Json::array(), text("exc_module"), std::move(traceback)};
    }

private:
    // What encloses them in a result, and in what a chord notes, takes a few levels more.
    static constexpr std::size_t deepest = detail::deepest - 32;
    static constexpr std::size_t largest = std::size_t{1024} * 1024;

    /// All of it as it can be stored.
    struct Parts {
        Parts(std::string type_name, const Json& given, std::string module_name, std::string trace)
            : type(type_name.empty() ? "Exception" : name_of(std::move(type_name))),
              module(name_of(std::move(module_name))),
              arguments(list_of(writable(given, deepest, largest))),
              message(joined(arguments)),
              traceback(cut(as_utf8(std::move(trace)), largest)) {}

        std::string type;
        std::string module;
        Json arguments;
        std::string message;
        std::string traceback;
    };

    explicit TaskFailure(Parts parts)
        : std::runtime_error(parts.type + ": " + parts.message),
          type_(std::move(parts.type)),
          module_(std::move(parts.module)),
          arguments_(std::move(parts.arguments)),
          message_(std::move(parts.message)),
          traceback_(std::move(parts.traceback)) {}

    /// Python makes no class of a name with a NUL in it.
    [[nodiscard]] static std::string name_of(std::string text) {
        std::string name;
        for (const char c : cut(as_utf8(std::move(text)), 1024)) {
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                name += "\xef\xbf\xbd";
            } else {
                name += c;
            }
        }
        return name;
    }

    [[nodiscard]] static Json list_of(Json arguments) {
        if (arguments.is_array()) { return arguments; }
        return Json::array({std::move(arguments)});
    }

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
            for (const char c : front_of(value.get_ref<const std::string&>(), limit)) {
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
    return cut(std::move(text), limit);
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
