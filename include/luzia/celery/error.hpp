// celery/error.hpp: what is wrong with a task before anything is sent, and what a worker can't do.
#pragma once

#include <luzia/core/error.hpp>

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>

#include <string>
#include <type_traits>

namespace luzia::celery {

/// What can't be sent, or can't be done. Nothing has been pushed where one of these is given.
enum class TaskError {
    invalid_task_name = 1, ///< empty, over 1024 bytes, control bytes, or not UTF-8
    invalid_task_id,       ///< empty, over 256 bytes, control bytes, or not UTF-8
    invalid_queue,         ///< empty, over 1024 bytes, control bytes, or not UTF-8
    invalid_priority,      ///< outside 0 to 9
    invalid_time,          ///< an eta or expiry outside the years 1970 to 9999, both eta and countdown, a negative countdown
    invalid_time_limit,    ///< not above zero, or over a year
    invalid_retries,       ///< below zero
    invalid_headers,       ///< no object, or one that replaces a header of the protocol
    unencodable,           ///< a string that is not UTF-8, or nested too deep
    too_large,             ///< the message is over `max_message_bytes`
    empty_composition,     ///< a chain, group or chord of nothing
    no_result,             ///< no task was sent, so that there is nothing to wait for
    already_running        ///< `run` was called before
};

namespace detail {

class TaskErrorCategory final : public boost::system::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "luzia.celery"; }

    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<TaskError>(value)) {
        case TaskError::invalid_task_name: return "invalid task name: empty, too long, control bytes, or not UTF-8";
        case TaskError::invalid_task_id: return "invalid task id: empty, too long, control bytes, or not UTF-8";
        case TaskError::invalid_queue: return "invalid queue: empty, too long, control bytes, or not UTF-8";
        case TaskError::invalid_priority: return "invalid priority: allowed are 0, the most urgent, to 9";
        case TaskError::invalid_time: return "invalid countdown, eta or expiry";
        case TaskError::invalid_time_limit: return "invalid time limit: it must be more than zero, and a year at most";
        case TaskError::invalid_retries: return "invalid number of retries: it must not be negative";
        case TaskError::invalid_headers: return "invalid headers: an object without the names that Celery uses itself";
        case TaskError::unencodable: return "an argument can't be written as JSON";
        case TaskError::too_large: return "the message is larger than max_message_bytes";
        case TaskError::empty_composition: return "a composition of no tasks";
        case TaskError::no_result: return "no task was sent";
        case TaskError::already_running: return "the worker has been run before";
        }
        return "unknown error";
    }
};

} // namespace detail

[[nodiscard]] inline const boost::system::error_category& task_error_category() noexcept {
    static const detail::TaskErrorCategory category;
    return category;
}

[[nodiscard]] inline error_code make_error_code(TaskError error) noexcept { return {static_cast<int>(error), task_error_category()}; }

} // namespace luzia::celery

namespace luzia::celery::detail {

/// Whether a server may have done what was asked of it, or do it yet, though the asking ended with this. What is refused is not done.
[[nodiscard]] inline bool may_have_been_sent(const error_code& error) noexcept {
    for (const Error never : {Error::not_connected, Error::overloaded, Error::disabled, Error::no_such_host, Error::handshake_refused}) {
        if (error == make_error_code(never)) { return false; }
    }
    // The system's own errors are those of connecting: what is lost later is `connection_lost`.
    return error.category() != task_error_category() && error.category() != server_error_category() &&
           error.category() != boost::system::system_category();
}

} // namespace luzia::celery::detail

namespace boost::system {
template <>
struct is_error_code_enum<luzia::celery::TaskError> : std::true_type {};
} // namespace boost::system
