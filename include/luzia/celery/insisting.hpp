// celery/insisting.hpp: a step on a server that is done again until it is taken, or the worker gives up.
#pragma once

#include <luzia/celery/error.hpp>
#include <luzia/celery/worker_core.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace luzia::celery::detail {

/// How an insisted step ended.
struct Insisted {
    Insisted() {}
    error_code error;
    redis::Reply reply;
    bool is_repeated = false; ///< an earlier try may have done it
    bool is_given_up = false; ///< the worker is ending; else an error says that the server never will
};

/// The pause between two tries; none where the worker gives up.
[[nodiscard]] inline asio::awaitable<void> pause_for(CorePtr core, std::chrono::milliseconds time) {
    if (core->is_abandoned) { co_return; }
    asio::steady_timer timer(core->strand(), time);
    core->pauses.insert(&timer);
    co_await timer.async_wait(quietly);
    core->pauses.erase(&timer);
}

/// Sends words until a server has taken them: every step is right when it is done again. An error only where the worker gives up, or the server
/// says that it never will. `answer_bytes` are expected to come back; `waits` is what the log says meanwhile.
[[nodiscard]] inline asio::awaitable<Insisted> insist(CorePtr core, std::shared_ptr<redis::Connection> usual, redis::Words words,
                                                      const redis::Script* script, std::size_t answer_bytes = 0,
                                                      const char* waits = "a result can't be stored, and is kept until it can") {
    std::chrono::milliseconds pause(50);
    std::size_t bytes = answer_bytes;
    for (const std::string& word : words) {
        bytes += word.size();
    }
    Insisted end;
    while (true) {
        redis::Words copy = words;
        const auto connection = core->connection_for(usual, bytes);
        auto [error, reply] = co_await asio::async_initiate<decltype(quietly), void(error_code, redis::Reply)>(
            redis::detail::ExecuteInitiation(connection, std::move(copy), script, core->strand()), quietly);
        const bool is_refused = error == make_error_code(ServerError::wrongtype) || error == make_error_code(ServerError::noperm) ||
                                error == make_error_code(ServerError::other);
        if (!error || is_refused || core->is_abandoned || error == make_error_code(Error::closed)) {
            end.is_given_up = error && !is_refused;
            end.error = error;
            end.reply = std::move(reply);
            co_return end;
        }
        core->warn("settling", std::string(waits) + ": " + error.message());
        end.is_repeated = end.is_repeated || may_have_been_sent(error);
        co_await pause_for(core, pause);
        pause = std::min(2 * pause, std::chrono::milliseconds(2000));
    }
}

} // namespace luzia::celery::detail
