// cache/calls.hpp: the operations of a cache client: how each becomes a question to the backend, and the answer its result.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/cache/key.hpp>
#include <luzia/cache/results.hpp>
#include <luzia/cache/state.hpp>
#include <luzia/codec/codec.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::cache {

using backend::Answer;
using backend::Operation;
using backend::Request;
using backend::Verb;

/// A value's bytes, or why there are none.
struct Encoded {
    std::string bytes;
    error_code error;
    std::size_t size = 0; ///< of bytes that are too many

    [[gnu::cold]] [[nodiscard]] std::string problem() const {
        if (error == Error::unencodable) { return "the value can't be encoded"; }
        return "the value has " + std::to_string(size) + " bytes, more than max_value_bytes";
    }
};

/// Nothing that a codec or a user's `to_json` throws gets through. A string that is given away is handed on as that, where the
/// codec takes it so.
template <class Codec, class T>
[[nodiscard]] Encoded encode(const Codec& codec, T&& value, std::size_t max_bytes) noexcept {
    Encoded encoded;
    try {
        if constexpr (std::same_as<T, std::string> && requires { codec.encode(std::move(value)); }) {
            encoded.bytes = codec.encode(std::move(value));
        } else {
            encoded.bytes = codec.encode(std::as_const(value));
        }
    } catch (...) { // whose text may quote the value
        encoded.error = Error::unencodable;
        return encoded;
    }
    if (encoded.bytes.size() > max_bytes) {
        encoded.error = Error::value_too_large;
        encoded.size = std::exchange(encoded.bytes, {}).size();
    }
    return encoded;
}

template <class T, class State>
[[nodiscard]] std::optional<T> decode(State& state, std::string_view key, std::string&& bytes) noexcept {
    const auto try_decode = [&]() -> std::optional<T> {
        try {
            return state.codec.template decode<T>(std::move(bytes));
        } catch (...) { // a shape that `from_json` does not take: the same as no value at all
            return std::nullopt;
        }
    };
    std::optional<T> value = try_decode();
    if (!value) { state.log_problem("undecodable", key, "the stored bytes are no such value; a miss"); }
    return value;
}

/// Hands a question to the backend; from here on it can be cancelled there.
template <class State>
void submit(State& state, Request& request, Operation& operation) {
    operation.is_cancellable = true;
    request.is_gathered = State::can_gather && state.completions->gathers();
    state.backend.submit(request, operation);
}

/// A question about one key.
template <class State>
void ask(State& state, Operation& operation, Verb verb, std::string_view key, Ttl ttl = Ttl()) {
    if (const error_code error = state.check_key(key)) {
        state.log_problem("invalid key", key, error.message());
        return operation.on_answer(Answer::failure(error));
    }
    Request request;
    request.verb = verb;
    request.keys = std::span(&key, 1);
    request.ttl = ttl;
    submit(state, request, operation);
}

template <class T>
struct LookupCall {
    using Result = Lookup<T>;

    template <class State>
    void begin(State& state, Operation& operation) {
        // What is asked with is a copy here: this may be gone before the backend has done with it.
        const std::string_view bytes = key;
        if (bytes.size() <= longest_kept) {
            std::array<char, longest_kept> sent;
            return ask(state, operation, Verb::get, std::string_view(sent.data(), bytes.copy(sent.data(), sent.size())));
        }
        // Of a long key no more is kept than a log line shows, lest it be in memory twice while the command waits.
        constexpr std::size_t shown = 65; // whether there is more included
        const Key whole = std::exchange(key, Key({}, bytes.substr(0, shown)));
        ask(state, operation, Verb::get, whole);
    }

    template <class State>
    [[nodiscard]] Lookup<T> finish(State& state, Answer&& answer) noexcept {
        std::optional<T> value = take_value(state, answer);
        return Lookup<T>(std::move(value), answer.outcome, answer.error);
    }

    Key key;

protected:
    /// Counts the answer, which becomes a failure where its bytes are no value.
    template <class State>
    [[nodiscard]] std::optional<T> take_value(State& state, Answer& answer) noexcept {
        if (answer.outcome == Outcome::hit && state.is_too_large(answer.value)) {
            state.log_problem("too large", key, "the stored value is larger than max_value_bytes; a miss");
            answer.outcome = Outcome::unavailable;
            answer.error = Error::reply_too_large;
        }
        const bool is_there = answer.outcome == Outcome::hit;
        std::optional<T> value = is_there ? decode<T>(state, key, std::move(answer.value)) : std::nullopt;
        if (value) {
            state.counters.hit();
            return value;
        }
        if (is_there) {
            answer.outcome = Outcome::undecodable;
            answer.error = Error::undecodable;
        }
        state.counters.missed(answer.outcome);
        return value;
    }

private:
    static constexpr std::size_t longest_kept = 256;
};

template <class T>
struct GetCall : LookupCall<T> {
    using Result = std::optional<T>;

    template <class State>
    [[nodiscard]] std::optional<T> finish(State& state, Answer&& answer) noexcept {
        return this->take_value(state, answer);
    }
};

struct SetCall {
    using Result = Effect;

    template <class State>
    void begin(State& state, Operation& operation) {
        error_code error = state.check_key(key);
        if (error) {
            state.log_problem("invalid key", key, error.message());
        } else if (encoded.error) {
            error = encoded.error;
            state.log_problem("invalid value", key, encoded.problem());
        }
        if (error) { return operation.on_answer(Answer::failure(error)); }
        // Moved here to end here: while the command waits, its bytes are in memory once.
        const Key sent_key = std::move(key);
        std::string sent_value = std::move(encoded.bytes);
        const std::string_view one_key(sent_key);
        const std::string_view one_value(sent_value);
        Request request;
        request.verb = Verb::set;
        request.keys = std::span(&one_key, 1);
        request.values = std::span(&one_value, 1);
        request.ttl = ttl;
        request.payload = &sent_value;
        submit(state, request, operation);
    }

    [[nodiscard]] Effect finish(StateBase& state, Answer&& answer) const noexcept {
        state.counters.stored(answer.count);
        state.counters.failed(answer.outcome);
        return {answer.count, answer.outcome, answer.error};
    }

    Key key;
    Encoded encoded;
    Ttl ttl;
};

/// erase, touch and invalidate_pattern: a key or a pattern, and how many there were.
struct EffectCall {
    using Result = Effect;

    template <class State>
    void begin(State& state, Operation& operation) {
        const Key sent_key = std::move(key);
        if (verb != Verb::remove_matching) { return ask(state, operation, verb, sent_key, ttl); }
        const std::string_view pattern(sent_key);
        Request request;
        request.verb = verb;
        request.keys = std::span(&pattern, 1);
        submit(state, request, operation);
    }

    [[nodiscard]] Effect finish(StateBase& state, Answer&& answer) const noexcept {
        if (verb != Verb::touch) { state.counters.erased(answer.count); }
        state.counters.failed(answer.outcome);
        return {answer.count, answer.outcome, answer.error};
    }

    Verb verb;
    Key key;
    Ttl ttl;
};

struct ContainsCall {
    using Result = bool;

    template <class State>
    void begin(State& state, Operation& operation) {
        const Key sent_key = std::move(key);
        ask(state, operation, Verb::contains, sent_key);
    }

    [[nodiscard]] bool finish(StateBase& state, Answer&& answer) const noexcept {
        state.counters.failed(answer.outcome);
        return answer.outcome == Outcome::hit;
    }

    Key key;
};

struct TimeToLiveCall {
    using Result = std::optional<std::chrono::milliseconds>;

    template <class State>
    void begin(State& state, Operation& operation) {
        const Key sent_key = std::move(key);
        ask(state, operation, Verb::time_to_live, sent_key);
    }

    [[nodiscard]] Result finish(StateBase& state, Answer&& answer) const noexcept {
        state.counters.failed(answer.outcome);
        if (answer.outcome != Outcome::hit || answer.ttl.is_forever()) { return std::nullopt; }
        return answer.ttl.value();
    }

    Key key;
};

struct PingCall {
    using Result = bool;

    template <class State>
    void begin(State& state, Operation& operation) {
        Request request;
        submit(state, request, operation);
    }

    [[nodiscard]] bool finish(StateBase& state, Answer&& answer) const noexcept {
        state.counters.failed(answer.outcome);
        return answer.outcome == Outcome::done;
    }
};

} // namespace luzia::cache
