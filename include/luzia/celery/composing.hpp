// celery/composing.hpp: signatures made messages: ids given, what follows embedded, the list chosen. Pure but for the clock and the ids.
#pragma once

#include <luzia/celery/identity.hpp>
#include <luzia/celery/message.hpp>
#include <luzia/celery/options.hpp>
#include <luzia/celery/signature.hpp>

#include <boost/system/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// A message ready to be pushed.
struct Outgoing {
    std::string id;
    std::string list;
    std::string envelope;
};

/// What a task is part of.
struct Place {
    Place() {}
    std::string root_id;
    std::string parent_id;
    std::string group;
    std::optional<std::int64_t> group_index;
    Json chain; ///< what follows, the next one last; null: nothing
    Json chord; ///< what its group ends in; null: nothing
};

/// Messages, and whose result the caller waits for; or what is wrong with them.
struct Composition {
    Composition() {}
    error_code problem;
    std::vector<Outgoing> messages;
    std::vector<std::string> result_ids;
    std::string group_id;
    std::size_t chord_size = 0; ///< 0: no chord
};

/// Makes messages for one sender.
class Composer {
public:
    explicit Composer(const ServerOptions& options)
        : default_queue_(options.default_queue), key_prefix_(options.key_prefix), max_message_bytes_(options.max_message_bytes) {}

    [[nodiscard]] Composition compose(Signature signature) {
        Composition composition;
        composition.problem = add(composition, std::move(signature), Place());
        return done(std::move(composition));
    }

    [[nodiscard]] Composition compose(Chain chain) {
        Composition composition;
        composition.problem = add_chain(composition, std::move(chain), Place());
        return done(std::move(composition));
    }

    [[nodiscard]] Composition compose(Group group) {
        Composition composition;
        composition.group_id = ids_.next();
        composition.problem = add_group(composition, std::move(group), Json());
        return done(std::move(composition));
    }

    [[nodiscard]] Composition compose(Chord chord) {
        Composition composition;
        if (const error_code error = check(chord.body)) {
            composition.problem = error;
            return composition;
        }
        composition.group_id = ids_.next();
        composition.chord_size = chord.header.tasks.size();
        name(chord.body);
        const std::string id = chord.body.options.task_id;
        composition.problem = add_group(composition, std::move(chord.header), signature_json(chord.body));
        composition.result_ids.assign(1, id);
        return done(std::move(composition));
    }

    [[nodiscard]] const std::string& origin() const noexcept { return origin_; }
    [[nodiscard]] std::string next_id() { return ids_.next(); }

    /// The message in the list where it belongs; `unencodable` where it is no JSON, or `too_large`.
    [[nodiscard]] boost::system::result<Outgoing, TaskError> write(const Message& message, const std::string& queue) {
        Sender sender;
        sender.origin = origin_;
        sender.delivery_tag = ids_.next();
        std::optional<std::string> envelope = encode_message(message, queue, sender);
        if (!envelope) { return TaskError::unencodable; }
        if (envelope->size() > max_message_bytes_) { return TaskError::too_large; }
        return Outgoing{message.id, list_of(key_prefix_, queue, message.priority), std::move(*envelope)};
    }

private:
    [[nodiscard]] static error_code check(const Signature& signature) { return problem_of(signature, now()); }

    [[nodiscard]] static Composition done(Composition composition) {
        if (composition.problem) {
            composition.messages.clear();
            composition.result_ids.clear();
        }
        return composition;
    }

    void name(Signature& signature) {
        if (signature.options.task_id.empty()) { signature.options.task_id = ids_.next(); }
    }

    [[nodiscard]] error_code add_group(Composition& composition, Group group, const Json& chord) {
        if (group.tasks.empty()) { return TaskError::empty_composition; }
        std::int64_t index = 0;
        for (Signature& member : group.tasks) {
            Place place;
            place.group = composition.group_id;
            place.group_index = index++;
            place.chord = chord;
            if (const error_code error = add(composition, std::move(member), std::move(place))) { return error; }
        }
        return {};
    }

    [[nodiscard]] error_code add_chain(Composition& composition, Chain chain, Place place) {
        if (chain.tasks.empty()) { return TaskError::empty_composition; }
        Json rest = Json::array();
        for (Signature& task : chain.tasks) {
            if (const error_code error = check(task)) { return error; }
            name(task);
        }
        for (std::size_t i = chain.tasks.size(); i-- > 1;) {
            rest.push_back(signature_json(chain.tasks[i]));
        }
        const std::string last = chain.tasks.back().options.task_id;
        if (!rest.empty()) { place.chain = std::move(rest); }
        const error_code error = add(composition, std::move(chain.tasks.front()), std::move(place));
        composition.result_ids.assign(1, last);
        return error;
    }

    [[nodiscard]] error_code add(Composition& composition, Signature signature, Place place) {
        if (const error_code error = check(signature)) { return error; }
        name(signature);
        TaskOptions& options = signature.options;
        const std::string& queue = options.queue.empty() ? default_queue_ : options.queue;
        const Time begun = now();
        Message message;
        message.task = std::move(signature.task);
        message.id = options.task_id;
        message.root_id = std::move(place.root_id);
        message.parent_id = std::move(place.parent_id);
        message.group = std::move(place.group);
        message.group_index = place.group_index;
        message.retries = options.retries;
        if (options.countdown) { message.eta = begun + *options.countdown; }
        if (options.eta) { message.eta = std::chrono::floor<std::chrono::microseconds>(*options.eta); }
        if (options.expires) { message.expires = options.expires->from(begun); }
        if (options.time_limit) { message.time_limit = seconds_of(*options.time_limit); }
        if (options.soft_time_limit) { message.soft_time_limit = seconds_of(*options.soft_time_limit); }
        message.ignore_result = options.ignore_result;
        message.priority = options.priority.value_or(0);
        message.args = signature.args.positional();
        message.kwargs = signature.args.named();
        message.headers = std::move(options.headers);
        embed(message, "callbacks", options.link);
        embed(message, "errbacks", options.link_error);
        if (!place.chain.is_null()) { message.embed["chain"] = std::move(place.chain); }
        if (!place.chord.is_null()) { message.embed["chord"] = std::move(place.chord); }

        auto outgoing = write(message, queue);
        if (!outgoing) { return outgoing.error(); }
        composition.result_ids.push_back(outgoing->id);
        composition.messages.push_back(std::move(*outgoing));
        return {};
    }

    static void embed(Message& message, const char* where, const Callbacks& callbacks) {
        if (callbacks.empty()) { return; }
        Json& list = message.embed[where] = Json::array();
        for (const Signature& callback : callbacks.list()) {
            list.push_back(signature_json(callback));
        }
    }

    IdSource ids_;
    std::string origin_ = celery::origin();
    std::string default_queue_;
    std::string key_prefix_;
    std::size_t max_message_bytes_;
};

} // namespace luzia::celery::detail
