// redis/reply_handler.hpp: who gets the reply to one command. Intrusive: the connection stores the pointer and allocates nothing.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/hiredis/reply.hpp>

#include <cstdint>

namespace luzia::redis {

using hiredis::Reply;

/// Names a command while it is pending, for `Connection::cancel`.
using Ticket = std::uint64_t;

/// Whether a reply is of a kind that the command can have. `nonsense` means that the two sides no longer agree on which reply is whose.
enum class Verdict { fits, nonsense };

/// Receives exactly one of these three calls for each command that `Connection::submit` took.
class ReplyHandler {
public:
    ReplyHandler() = default;
    ReplyHandler(const ReplyHandler&) = delete;
    ReplyHandler& operator=(const ReplyHandler&) = delete;

    /// The reply, an error reply included. On the connection's strand, in the order of the wire. What is needed of it may be moved out.
    [[nodiscard]] virtual Verdict on_reply(Reply& reply) noexcept = 0;
    /// There will be none. On the connection's strand, or inside `cancel`.
    virtual void on_failure(error_code reason) noexcept = 0;
    /// The execution context is going away: let go of everything, call nobody.
    virtual void on_abandon() noexcept = 0;

protected:
    ~ReplyHandler() = default;
};

/// What stands around a handler will be wanted soon: of very many operations most are in no cache of the processor. Null does no harm.
inline void prefetch(const ReplyHandler* handler) noexcept {
    constexpr std::uintptr_t line = 64;
    const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(handler) - 2 * line;
    for (std::uintptr_t i = 0; i < 5; ++i) {
        __builtin_prefetch(reinterpret_cast<const void*>(first + i * line), 1);
    }
}

} // namespace luzia::redis
