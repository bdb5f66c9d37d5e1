// celery/parameters.hpp: JSON arguments matched to the parameters of a C++ function, as Python matches them to a function of its own. Pure.
#pragma once

#include <luzia/celery/arguments.hpp>
#include <luzia/celery/failure.hpp>
#include <luzia/celery/json.hpp>
#include <luzia/celery/task_context.hpp>
#include <luzia/celery/utf8.hpp>

#include <boost/asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia::celery {

/// As the last parameter of a handler: every argument by name that no other parameter takes. (`Arguments` as the only one: all there are.)
struct Keywords {
    Keywords() {}
    explicit Keywords(Json taken) : values(std::move(taken)) {}
    Json values = Json::object();
};

namespace detail {

template <class Function>
struct SignatureOf : SignatureOf<decltype(&Function::operator())> {};
template <class Result, class... Parameters>
struct SignatureOf<Result (*)(Parameters...)> {
    using Returned = Result;
    using All = std::tuple<Parameters...>;
};
template <class Result, class... Parameters>
struct SignatureOf<Result (*)(Parameters...) noexcept> : SignatureOf<Result (*)(Parameters...)> {};
template <class Class, class Result, class... Parameters>
struct SignatureOf<Result (Class::*)(Parameters...)> : SignatureOf<Result (*)(Parameters...)> {};
template <class Class, class Result, class... Parameters>
struct SignatureOf<Result (Class::*)(Parameters...) const> : SignatureOf<Result (*)(Parameters...)> {};
template <class Class, class Result, class... Parameters>
struct SignatureOf<Result (Class::*)(Parameters...) noexcept> : SignatureOf<Result (*)(Parameters...)> {};
template <class Class, class Result, class... Parameters>
struct SignatureOf<Result (Class::*)(Parameters...) const noexcept> : SignatureOf<Result (*)(Parameters...)> {};

template <class All>
struct Split {
    static constexpr bool takes_context = false;
    using Values = All;
};
template <class... Rest>
struct Split<std::tuple<TaskContext&, Rest...>> {
    static constexpr bool takes_context = true;
    using Values = std::tuple<Rest...>;
};

template <class T>
struct AwaitedOf {
    static constexpr bool is_coroutine = false;
    using Type = T;
};
template <class T, class Executor>
struct AwaitedOf<boost::asio::awaitable<T, Executor>> {
    static constexpr bool is_coroutine = true;
    using Type = T;
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
inline constexpr bool is_view = std::is_same_v<T, std::string_view> || std::is_pointer_v<T>;

[[nodiscard]] inline TaskFailure mismatch(std::string_view task, const std::string& what) {
    return TaskFailure("TypeError", std::string(task.substr(task.rfind('.') + 1)) + "() " + what);
}

/// The places of the arguments: which parameter gets what, by position or by name.
class Places {
public:
    Places(std::string_view task, const std::vector<std::string>& names, std::size_t count) : task_(task), names_(names), values_(count) {}

    /// Throws `TaskFailure` where they do not fit. `rest` takes names that no parameter has; null: there must be none.
    void fill(Json&& args, Json&& kwargs, Json* rest) {
        if (args.size() > values_.size()) {
            throw mismatch(task_, "takes " + std::to_string(values_.size()) + " positional arguments but " + std::to_string(args.size()) +
                                      " were given");
        }
        for (std::size_t i = 0; i < args.size(); ++i) {
            values_[i] = std::move(args[i]);
        }
        for (auto& [name, value] : kwargs.items()) {
            const auto found = std::find(names_.begin(), names_.end(), name);
            const auto place = static_cast<std::size_t>(found - names_.begin());
            if (found == names_.end() || place >= values_.size()) {
                if (rest == nullptr) { throw mismatch(task_, "got an unexpected keyword argument '" + cut(name, 64) + "'"); }
                (*rest)[name] = std::move(value);
            } else if (values_[place]) {
                throw mismatch(task_, "got multiple values for argument '" + name + "'");
            } else {
                values_[place] = std::move(value);
            }
        }
    }

    template <class T>
    [[nodiscard]] T take(std::size_t place) {
        std::optional<Json>& value = values_[place];
        if constexpr (IsOptional<T>::value) {
            if (!value || value->is_null()) { return std::nullopt; }
            return convert<typename T::value_type>(place);
        } else {
            if (!value) { throw mismatch(task_, "missing a required argument: " + name_of(place)); }
            return convert<T>(place);
        }
    }

private:
    template <class T>
    [[nodiscard]] T convert(std::size_t place) {
        try {
            if (std::optional<T> converted = luzia::detail::value_of<T>(std::move(*values_[place]))) { return std::move(*converted); }
        } catch (...) {
            // A shape that `from_json` does not take.
        }
        throw mismatch(task_, "argument " + name_of(place) + " does not fit the type of its parameter");
    }

    [[nodiscard]] std::string name_of(std::size_t place) const {
        return place < names_.size() ? "'" + names_[place] + "'" : "number " + std::to_string(place + 1);
    }

    std::string_view task_;
    const std::vector<std::string>& names_;
    std::vector<std::optional<Json>> values_;
};

/// The parameters of `Function` as values of its own.
template <class Function>
struct ParametersOf {
    using Called = SignatureOf<std::decay_t<Function>>;
    using Parts = Split<typename Called::All>;
    using Awaited = AwaitedOf<typename Called::Returned>;

    template <class... Parameters>
    static std::tuple<std::decay_t<Parameters>...> decayed(std::tuple<Parameters...>*);
    using Values = decltype(decayed(static_cast<typename Parts::Values*>(nullptr)));

    static constexpr std::size_t count = std::tuple_size_v<Values>;

    template <std::size_t... I>
    static constexpr bool ends_in_keywords(std::index_sequence<I...>) {
        return (... || (I + 1 == count && std::is_same_v<std::tuple_element_t<I, Values>, Keywords>));
    }
    static constexpr bool takes_all = std::is_same_v<Values, std::tuple<Arguments>>;
    static constexpr bool takes_keywords = ends_in_keywords(std::make_index_sequence<count>());

    [[nodiscard]] static Values read(std::string_view task, const std::vector<std::string>& names, Json&& args, Json&& kwargs) {
        if constexpr (takes_all) {
            return Values{Arguments(std::move(args), std::move(kwargs))};
        } else {
            Keywords rest;
            Places places(task, names, takes_keywords ? count - 1 : count);
            places.fill(std::move(args), std::move(kwargs), takes_keywords ? &rest.values : nullptr);
            return take_all(places, rest, std::make_index_sequence<count>());
        }
    }

private:
    template <std::size_t... I>
    static Values take_all(Places& places, Keywords& rest, std::index_sequence<I...>) {
        return Values{take_one<std::tuple_element_t<I, Values>>(places, rest, I)...};
    }

    template <class T>
    static T take_one(Places& places, Keywords& rest, std::size_t place) {
        static_assert(!is_view<T>, "a handler takes its arguments by value or const reference: nothing keeps what a view would look at");
        if constexpr (std::is_same_v<T, Keywords>) {
            return std::move(rest);
        } else {
            return places.take<T>(place);
        }
    }
};

} // namespace detail

} // namespace luzia::celery
