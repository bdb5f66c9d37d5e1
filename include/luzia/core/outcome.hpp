// core/outcome.hpp: how an operation ended, in one word, and which word an error code becomes.
#pragma once

#include <luzia/core/error.hpp>

#include <string_view>

namespace luzia {

/// How an operation ended. `hit`, `miss` and `done` are answers; the rest say why there is none.
enum class Outcome {
    hit,         ///< a value was read
    miss,        ///< there is no such key
    done,        ///< the server did what was asked
    unavailable, ///< no connection, or it broke
    timed_out,   ///< the deadline passed; a write may still be applied
    refused,     ///< the server answered with an error, WRONGTYPE included
    undecodable, ///< a value is there and is not a `T`; it is left in place
    invalid,     ///< an argument that can't be sent; nothing was
    shed,        ///< too much was pending; nothing was sent
    cancelled,   ///< by the caller
    closed       ///< the client was closed or destroyed
};

[[nodiscard]] constexpr std::string_view to_string(Outcome outcome) noexcept {
    switch (outcome) {
    case Outcome::hit: return "hit";
    case Outcome::miss: return "miss";
    case Outcome::done: return "done";
    case Outcome::unavailable: return "unavailable";
    case Outcome::timed_out: return "timed_out";
    case Outcome::refused: return "refused";
    case Outcome::undecodable: return "undecodable";
    case Outcome::invalid: return "invalid";
    case Outcome::shed: return "shed";
    case Outcome::cancelled: return "cancelled";
    case Outcome::closed: return "closed";
    }
    return "unknown";
}

[[nodiscard]] constexpr bool is_answer(Outcome outcome) noexcept {
    return outcome == Outcome::hit || outcome == Outcome::miss || outcome == Outcome::done;
}

/// What a failure is to the caller of a cache.
[[nodiscard]] inline Outcome outcome_of(const error_code& error) noexcept {
    if (!error) { return Outcome::done; }
    if (error.category() == server_error_category()) { return Outcome::refused; }
    if (error.category() != error_category()) { return Outcome::unavailable; }
    switch (static_cast<Error>(error.value())) {
    case Error::timed_out: return Outcome::timed_out;
    case Error::cancelled: return Outcome::cancelled;
    case Error::closed: return Outcome::closed;
    case Error::overloaded: return Outcome::shed;
    case Error::invalid_key:
    case Error::value_too_large:
    case Error::unencodable:
    case Error::unsupported: return Outcome::invalid;
    case Error::undecodable: return Outcome::undecodable;
    case Error::not_connected:
    case Error::connection_lost:
    case Error::silent:
    case Error::protocol:
    case Error::reply_too_large:
    case Error::handshake_refused:
    case Error::disabled:
    case Error::no_such_host: return Outcome::unavailable;
    }
    return Outcome::unavailable;
}

} // namespace luzia
