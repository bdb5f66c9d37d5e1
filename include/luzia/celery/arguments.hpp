// celery/arguments.hpp: what a task is called with: positional arguments in order, and others by name. Pure.
#pragma once

#include <luzia/celery/json.hpp>

#include <string>
#include <utility>

namespace luzia::celery {

/// Arguments as JSON. Made by `args`; anything that nlohmann_json converts may be one.
///
///     celery::args(2, 3).kwarg("scale", 10)
class Arguments {
public:
    Arguments() {} // no aggregate: GCC 12 destroys aggregate temporaries beside co_await twice

    Arguments(Json positional, Json named) : positional_(std::move(positional)), named_(std::move(named)) {}

    /// Adds one positional argument.
    template <class T>
    Arguments&& arg(T&& value) && {
        positional_.push_back(Json(std::forward<T>(value)));
        return std::move(*this);
    }
    template <class T>
    Arguments& arg(T&& value) & {
        positional_.push_back(Json(std::forward<T>(value)));
        return *this;
    }

    /// Adds one by name; the last of a name counts.
    template <class T>
    Arguments&& kwarg(const std::string& name, T&& value) && {
        named_[name] = Json(std::forward<T>(value));
        return std::move(*this);
    }
    template <class T>
    Arguments& kwarg(const std::string& name, T&& value) & {
        named_[name] = Json(std::forward<T>(value));
        return *this;
    }

    [[nodiscard]] const Json& positional() const noexcept { return positional_; }
    [[nodiscard]] const Json& named() const noexcept { return named_; }

private:
    Json positional_ = Json::array();
    Json named_ = Json::object();
};

template <class... Values>
[[nodiscard]] Arguments args(Values&&... values) {
    Arguments arguments;
    (arguments.arg(std::forward<Values>(values)), ...);
    return arguments;
}

} // namespace luzia::celery
