// cache/many_calls.hpp: the operations on many keys at once; a key that can't be sent does not keep the others back.
#pragma once

#include <luzia/cache/calls.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::cache {

/// The keys that can be sent, as views; the others are logged, and the first reason is kept.
template <class State>
class SendableKeys {
public:
    SendableKeys(State& state, const std::vector<std::string>& keys) {
        for (std::size_t i = 0; i < keys.size(); ++i) {
            if (const error_code error = state.check_key(keys[i])) {
                state.log_problem("invalid key", keys[i], error.message());
                if (!problem) { problem = error; }
                continue;
            }
            views.emplace_back(keys[i]);
            indices.push_back(i);
        }
    }

    std::vector<std::string_view> views;
    std::vector<std::size_t> indices;
    error_code problem;
};

[[nodiscard]] inline Effect effect_of(const Answer& answer, error_code problem) noexcept {
    if (problem && is_answer(answer.outcome)) { return {answer.count, outcome_of(problem), problem}; }
    return {answer.count, answer.outcome, answer.error};
}

template <class T>
struct GetManyCall {
    using Result = std::vector<std::optional<T>>;

    template <class State>
    void begin(State& state, Operation& operation) {
        const auto sent_keys = keys; // this may be gone before the backend has done with them
        SendableKeys sendable(state, *sent_keys);
        indices = std::move(sendable.indices);
        if (sendable.views.empty()) { return operation.on_answer(Answer()); }
        Request request;
        request.verb = Verb::get_many;
        request.keys = sendable.views;
        submit(state, request, operation);
    }

    template <class State>
    [[nodiscard]] Result finish(State& state, Answer&& answer) noexcept {
        Result results(keys->size());
        const Outcome without = is_answer(answer.outcome) ? Outcome::miss : answer.outcome;
        answer.values.resize(indices.size());
        for (std::size_t i = 0; i < indices.size(); ++i) {
            std::optional<T>& result = results[indices[i]];
            if (!answer.values[i]) {
                state.counters.missed(without);
                continue;
            }
            if (state.is_too_large(*answer.values[i])) {
                state.log_problem("too large", (*keys)[indices[i]], "the stored value is larger than max_value_bytes; a miss");
                state.counters.missed(Outcome::unavailable);
                continue;
            }
            result = decode<T>(state, (*keys)[indices[i]], std::move(*answer.values[i]));
            result ? state.counters.hit() : state.counters.missed(Outcome::undecodable);
        }
        if (indices.size() < keys->size()) { state.counters.missed(Outcome::invalid, keys->size() - indices.size()); }
        return results;
    }

    std::shared_ptr<const std::vector<std::string>> keys;
    std::vector<std::size_t> indices;
};

struct SetManyCall {
    using Result = Effect;

    template <class State>
    void begin(State& state, Operation& operation) {
        // Moved here to end here: while the commands wait, their bytes are in memory once.
        const std::vector<std::string> sent_keys = std::move(keys);
        const std::vector<Encoded> sent_values = std::move(encoded);
        SendableKeys sendable(state, sent_keys);
        problem = sendable.problem;
        std::vector<std::string_view> names;
        std::vector<std::string_view> values;
        for (std::size_t i = 0; i < sendable.indices.size(); ++i) {
            const Encoded& value = sent_values[sendable.indices[i]];
            if (value.error) {
                state.log_problem("invalid value", sendable.views[i], value.problem());
                if (!problem) { problem = value.error; }
                continue;
            }
            names.push_back(sendable.views[i]);
            values.emplace_back(value.bytes);
        }
        sent = names.size();
        if (names.empty()) { return operation.on_answer(Answer()); }
        Request request;
        request.verb = Verb::set;
        request.keys = names;
        request.values = values;
        request.ttl = ttl;
        submit(state, request, operation);
    }

    [[nodiscard]] Effect finish(StateBase& state, Answer&& answer) const noexcept {
        state.counters.stored(answer.count);
        state.counters.failed(answer.outcome, sent - std::min(sent, answer.count));
        return effect_of(answer, problem);
    }

    std::vector<std::string> keys;
    std::vector<Encoded> encoded;
    Ttl ttl;
    std::size_t sent = 0;
    error_code problem;
};

struct EraseManyCall {
    using Result = Effect;

    template <class State>
    void begin(State& state, Operation& operation) {
        const std::vector<std::string> sent_keys = std::move(keys);
        SendableKeys sendable(state, sent_keys);
        problem = sendable.problem;
        sent = sendable.views.size();
        if (sendable.views.empty()) { return operation.on_answer(Answer()); }
        Request request;
        request.verb = Verb::erase;
        request.keys = sendable.views;
        submit(state, request, operation);
    }

    [[nodiscard]] Effect finish(StateBase& state, Answer&& answer) const noexcept {
        state.counters.erased(answer.count);
        state.counters.failed(answer.outcome, sent - std::min(sent, answer.count));
        return effect_of(answer, problem);
    }

    std::vector<std::string> keys;
    std::size_t sent = 0;
    error_code problem;
};

} // namespace luzia::cache
