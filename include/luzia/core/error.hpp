// core/error.hpp: what can go wrong, one enum a source: `Error` for what happens here, `ServerError` for what a server refuses.
#pragma once

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <type_traits>

namespace luzia {

using error_code = boost::system::error_code;

/// What went wrong on this side of the wire.
enum class Error {
    not_connected = 1, ///< no connection, and none is awaited
    connection_lost,   ///< the connection broke with the operation pending
    timed_out,         ///< the deadline passed; the server may still have done it
    silent,            ///< a reply was due and no byte came for `command_timeout`
    cancelled,         ///< through a cancellation slot
    closed,            ///< the client was closed or destroyed
    overloaded,        ///< more than `max_pending_bytes` wait already
    protocol,          ///< the peer does not speak Redis, or an unasked reply came
    reply_too_large,   ///< a reply beyond `max_value_bytes`, or too long or deep a one
    handshake_refused, ///< AUTH, SELECT or PING was answered with an error
    disabled,          ///< the client was told not to use a server at all
    no_such_host,      ///< the name does not resolve
    invalid_key,       ///< empty, or over 512 MiB
    value_too_large,   ///< over `max_value_bytes`
    unencodable,       ///< the codec could not make bytes of the value
    undecodable,       ///< the bytes stored are no such value
    unsupported        ///< the backend can't do this
};

/// The first word of an error reply, as far as it is known.
enum class ServerError {
    other = 1,
    wrongtype,
    loading,
    busy,
    oom,
    misconf,
    readonly,
    masterdown,
    noauth,
    noperm,
    wrongpass,
    noscript,
    moved,
    ask,
    clusterdown,
    crossslot,
    tryagain,
    noreplicas,
    execabort,
    busygroup
};

namespace detail {

class ErrorCategory final : public boost::system::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "luzia"; }

    [[gnu::cold]] [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<Error>(value)) {
        case Error::not_connected: return "not connected";
        case Error::connection_lost: return "connection lost";
        case Error::timed_out: return "timed out";
        case Error::silent: return "the server is silent";
        case Error::cancelled: return "cancelled";
        case Error::closed: return "closed";
        case Error::overloaded: return "too much is pending";
        case Error::protocol: return "protocol error";
        case Error::reply_too_large: return "reply too large or too deep";
        case Error::handshake_refused: return "the server refused the handshake";
        case Error::disabled: return "disabled";
        case Error::no_such_host: return "host not found";
        case Error::invalid_key: return "invalid key: empty, or over 512 MiB";
        case Error::value_too_large: return "value too large";
        case Error::unencodable: return "the value can't be encoded";
        case Error::undecodable: return "the stored bytes can't be decoded";
        case Error::unsupported: return "not supported";
        }
        return "unknown error";
    }
};

struct ServerErrorName {
    std::string_view word;
    ServerError error;
};

inline constexpr ServerErrorName server_error_names[] = {
    {"WRONGTYPE", ServerError::wrongtype},
    {"LOADING", ServerError::loading},
    {"BUSY", ServerError::busy},
    {"OOM", ServerError::oom},
    {"MISCONF", ServerError::misconf},
    {"READONLY", ServerError::readonly},
    {"MASTERDOWN", ServerError::masterdown},
    {"NOAUTH", ServerError::noauth},
    {"NOPERM", ServerError::noperm},
    {"WRONGPASS", ServerError::wrongpass},
    {"NOSCRIPT", ServerError::noscript},
    {"MOVED", ServerError::moved},
    {"ASK", ServerError::ask},
    {"CLUSTERDOWN", ServerError::clusterdown},
    {"CROSSSLOT", ServerError::crossslot},
    {"TRYAGAIN", ServerError::tryagain},
    {"NOREPLICAS", ServerError::noreplicas},
    {"EXECABORT", ServerError::execabort},
    {"BUSYGROUP", ServerError::busygroup},
};

class ServerErrorCategory final : public boost::system::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "luzia.server"; }

    [[gnu::cold]] [[nodiscard]] std::string message(int value) const override {
        for (const ServerErrorName& known : server_error_names) {
            if (static_cast<int>(known.error) == value) { return "the server answered " + std::string(known.word); }
        }
        return "the server answered with an error";
    }
};

} // namespace detail

[[nodiscard]] inline const boost::system::error_category& error_category() noexcept {
    static const detail::ErrorCategory category;
    return category;
}

[[nodiscard]] inline const boost::system::error_category& server_error_category() noexcept {
    static const detail::ServerErrorCategory category;
    return category;
}

[[nodiscard]] inline error_code make_error_code(Error error) noexcept { return {static_cast<int>(error), error_category()}; }

[[nodiscard]] inline error_code make_error_code(ServerError error) noexcept { return {static_cast<int>(error), server_error_category()}; }

/// The kind of an error reply, from its first word: `WRONGTYPE Operation against ...`. Before Redis 7 that of an error inside a script stands behind
/// words about the script: `ERR Error running script (call to ...): @user_script: 1: -OOM ...`.
[[gnu::cold]] [[nodiscard]] inline ServerError server_error(std::string_view text) noexcept {
    constexpr std::string_view script = "@user_script";
    if (const auto at = text.rfind(script); at != std::string_view::npos && text.starts_with("ERR Error running script")) {
        text.remove_prefix(at + script.size());
        text.remove_prefix(std::min(text.size(), text.find_first_not_of(":-0123456789 ")));
    }
    const std::string_view word = text.substr(0, text.find(' '));
    for (const detail::ServerErrorName& known : detail::server_error_names) {
        if (known.word == word) { return known.error; }
    }
    return ServerError::other;
}

} // namespace luzia

namespace boost::system {
template <>
struct is_error_code_enum<luzia::Error> : std::true_type {};
template <>
struct is_error_code_enum<luzia::ServerError> : std::true_type {};
} // namespace boost::system
