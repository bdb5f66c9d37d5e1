// celery/settlement.hpp: how a delivery ends on the servers: result stored, followers sent, message let go; once, or tried until it is.
#pragma once

#include <luzia/celery/follow_up.hpp>
#include <luzia/celery/insisting.hpp>
#include <luzia/celery/result.hpp>
#include <luzia/celery/worker_core.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// What is to be done at the end of a delivery. Empty parts are left out.
struct Settlement {
    Settlement() {}
    std::string id;               ///< of the task whose result is stored
    std::string meta;             ///< the result
    bool is_final = true;         ///< it is one of a task that has ended
    std::vector<Outgoing> follow; ///< sent once
    bool is_ack = true;           ///< the message is let go
};

/// Where it stands that what follows was sent: under the tag of the delivery, or under what stands for it.
[[nodiscard]] inline std::string sent_note(const WorkerCore& core, const std::string& tag) { return core.key("luzia-sent:" + tag); }

/// The words of one call of `settle_script`.
[[nodiscard]] inline redis::Words settle_words(const WorkerCore& core, const std::string& tag, const Settlement& what, bool must_be_held) {
    redis::Words arguments{tag,       what.is_ack ? "1" : "0",   must_be_held ? "1" : "0",
                           what.meta, what.is_final ? "1" : "0", core.result_seconds()};
    for (const Outgoing& message : what.follow) {
        arguments.push_back(message.list);
        arguments.push_back(message.envelope);
    }
    redis::Words keys{core.key("unacked"), core.key("unacked_index"), core.result_key_of(what.id), sent_note(core, tag),
                      core.key(core.options.dead_letter_list)};
    return redis::call_of(settle_script, std::move(keys), std::move(arguments));
}

/// The words of one call of `store_script`.
[[nodiscard]] inline redis::Words store_words(const WorkerCore& core, const Settlement& what) {
    redis::Words keys{core.result_key_of(what.id)};
    redis::Words arguments{what.meta, what.is_final ? "1" : "0", core.result_seconds()};
    return redis::call_of(store_script, std::move(keys), std::move(arguments));
}

/// Says what of a settlement could not be done. Returns whether the delivery was held: 1; not: 0; not, so that nothing was done: -1.
[[nodiscard]] inline std::int64_t read_settled(const CorePtr& core, const std::string& id, const Insisted& end) {
    if (end.error) {
        core->warn("settling", "what became of task " + printable(id) + " could not be said: " + end.error.message());
        return 0;
    }
    if (end.reply.elements().size() != 2) { return 0; }
    if (const std::int64_t dead = end.reply.elements()[1].integer(); dead > 0) {
        core->warn("dead letter", std::to_string(dead) + " messages that follow task " + printable(id) +
                                      " can't be sent, since their queue is no list; they go to " +
                                      printable(core->options.dead_letter_list));
        core->counters.dead += static_cast<std::uint64_t>(dead);
    }
    const std::int64_t held = end.reply.elements()[0].integer();
    return end.is_repeated ? 1 : held; // let go by the try whose answer was lost
}

/// How a settlement ended.
enum class Settled {
    done,
    lost,  ///< the delivery was not held any more: somebody took it back, and followers are theirs to send
    untold ///< not, or not all of it: the worker gives up
};

/// Where broker and results are one server, all of it is one step. Else: followers, then the result, then the message is let go, so that a crash
/// in between repeats something and loses nothing; and what follows is sent once even then. What can't be said is not let go.
[[nodiscard]] inline asio::awaitable<Settled> settle(CorePtr core, DeliveryPtr delivery, Settlement what) {
    delivery->is_ending = true;
    const bool has_followers = !what.follow.empty();
    const bool must_be_held = !delivery->is_acked && has_followers;
    const bool is_acked_before = delivery->is_acked;
    std::int64_t held = 1;
    bool is_said = true;
    if (core->is_one_server) {
        redis::Words words = settle_words(*core, delivery->tag, what, must_be_held);
        const Insisted end = co_await insist(core, core->broker, std::move(words), &settle_script);
        held = read_settled(core, what.id, end);
        is_said = !end.is_given_up;
    } else {
        if (has_followers) {
            Settlement follow;
            follow.id = what.id;
            follow.follow = std::move(what.follow);
            follow.is_ack = false;
            redis::Words words = settle_words(*core, delivery->tag, follow, must_be_held);
            const Insisted end = co_await insist(core, core->broker, std::move(words), &settle_script);
            held = read_settled(core, what.id, end);
            if (end.error) { held = -1; }
            is_said = !end.is_given_up;
        }
        if (is_said && !what.meta.empty() && held >= 0) {
            redis::Words words = store_words(*core, what);
            const Insisted end = co_await insist(core, core->backend, std::move(words), &store_script);
            if (end.error) {
                core->warn("settling", "the result of task " + printable(what.id) + " could not be stored: " + end.error.message());
            }
            is_said = !end.is_given_up || !what.is_final; // what is tried again goes on all the same
        }
        if (is_said && what.is_ack && held >= 0) {
            Settlement ack;
            ack.id = what.id;
            redis::Words words = settle_words(*core, delivery->tag, ack, false);
            const Insisted end = co_await insist(core, core->broker, std::move(words), &settle_script);
            held = std::min(held, read_settled(core, what.id, end));
            is_said = !end.is_given_up;
        }
    }
    if (!is_said) {
        delivery->is_untold = true;
        co_return Settled::untold;
    }
    if (what.is_ack) { delivery->is_acked = true; }
    if (held < 1 && !is_acked_before) {
        delivery->is_lost = true;
        co_return Settled::lost;
    }
    if (is_acked_before && has_followers && what.is_ack && core->is_one_server) { // nothing lets go of it later, and takes the note away
        redis::Words removal{"DEL", sent_note(*core, delivery->tag)};
        co_await redis::execute(core->broker, std::move(removal), core->strand(), quietly);
    }
    co_return Settled::done;
}

/// Lets a message go without more.
[[nodiscard]] inline asio::awaitable<Settled> ack(CorePtr core, DeliveryPtr delivery) {
    Settlement only;
    only.id = delivery->message.id;
    const Settled settled = co_await settle(core, delivery, std::move(only));
    co_return settled;
}

inline void warn_of_dead(const CorePtr& core, const Delivery& delivery, const std::string& problem) {
    core->warn("dead letter", "a message of queue " + printable(delivery.queue) + " goes to " + printable(core->options.dead_letter_list) +
                                  ": " + printable(problem, 200));
    ++core->counters.dead;
}

/// Puts the message, as it came, into the dead-letter list.
[[nodiscard]] inline asio::awaitable<void> bury(CorePtr core, DeliveryPtr delivery, std::string problem) {
    delivery->is_ending = true;
    warn_of_dead(core, *delivery, problem);
    const std::string dead_letters = core->key(core->options.dead_letter_list);
    redis::Words keys{core->key("unacked"), core->key("unacked_index"), dead_letters, dead_letters};
    redis::Words arguments{delivery->tag, delivery->raw, "LPUSH", "0"};
    redis::Words words = redis::call_of(move_script, std::move(keys), std::move(arguments));
    co_await insist(core, core->broker, std::move(words), &move_script);
    delivery->is_acked = true;
}

[[nodiscard]] inline ResultDetails details_of(const Message& message) {
    ResultDetails details;
    details.id = message.id;
    details.parent_id = message.parent_id;
    details.group_id = message.group;
    return details;
}

/// Notes the end of a chord's member, and sends the chord's body where it was the last. Returns false where that could not be said.
[[nodiscard]] inline asio::awaitable<bool> join_chord(CorePtr core, const Message message, std::string group, Json body, std::string state,
                                                      Json value) {
    Json entry = Json::array({1, message.id, state, std::move(value)});
    const std::string place = message.group_index ? std::to_string(*message.group_index) : "+inf";
    redis::Words keys{core->group_key(group, ".j"), core->group_key(group, ".s"), core->group_key(group, ".t")};
    const redis::Words all_keys = keys;
    redis::Words arguments{place, dump_json(entry).value_or("[]"), core->result_seconds(), dump_json(message.id).value_or("")};
    redis::Words words = redis::call_of(join_script, std::move(keys), std::move(arguments));
    const Insisted joined = co_await insist(core, core->backend, std::move(words), &join_script);
    if (joined.error) {
        core->warn("settling", "a member of chord " + printable(group) + " could not be noted: " + joined.error.message());
    }
    const std::int64_t bytes = joined.error ? 0 : joined.reply.integer();
    if (bytes <= 0) { co_return !joined.is_given_up; }
    redis::Words range{"ZRANGE", all_keys.front(), "0", "-1"};
    Insisted all = co_await insist(core, core->backend, std::move(range), nullptr, static_cast<std::size_t>(bytes));
    if (all.error || all.reply.elements().empty()) { co_return !all.is_given_up; } // another has been faster
    std::vector<std::string> noted;
    for (redis::Reply& one : all.reply.elements()) {
        noted.push_back(std::move(one).text());
    }
    ChordEnd end = chord_end(noted);
    Settlement send;
    auto nobody = std::make_shared<Delivery>();
    nobody->tag = "chord:" + group; // its body is sent once, however many see that it is complete
    nobody->is_acked = true;
    send.is_ack = false;
    const FollowUpOptions options(body);
    send.id = options.text("task_id");
    if (!end.failure) {
        Json before = Json::array({std::move(end.results)});
        auto one = follow_up(core->composer, body, before, message, Json(), core->options.default_queue);
        if (one) {
            send.follow.push_back(std::move(*one));
        } else {
            end.failure = TaskFailure("ChordError", "the body of the chord can't be sent: " + one.error(), "celery.exceptions");
        }
    }
    if (end.failure) {
        ResultDetails details;
        details.id = send.id;
        send.meta = encode_result("FAILURE", end.failure->json(), details, now()).value_or("");
        Message parent = message;
        const Json errbacks = options.part("link_error");
        std::vector<Json> list = errbacks.is_array() ? std::vector<Json>(errbacks.begin(), errbacks.end()) : std::vector<Json>();
        send.follow = mourners(core->composer, parent, list, send.id, core->options.default_queue);
    }
    const Settled sent = co_await settle(core, nobody, std::move(send));
    if (sent == Settled::untold) { co_return false; }
    redis::Words removal{"DEL"};
    removal.insert(removal.end(), all_keys.begin(), all_keys.end());
    co_await redis::execute(core->backend, std::move(removal), core->strand(), quietly);
    // The note that its body was sent stays: somebody else may have seen it complete, and be slower.
    co_return true;
}

/// The chord that a message is part of, after its result is stored; then the message is let go.
[[nodiscard]] inline asio::awaitable<void> join_own_chord(CorePtr core, DeliveryPtr delivery, std::string state, Json value) {
    const Message& message = delivery->message;
    const Json* const chord = message.embedded("chord");
    if (chord != nullptr && !message.group.empty() && problem_of_follow_up(*chord).empty()) {
        Json body = *chord;
        std::string group = message.group;
        const bool is_said = co_await join_chord(core, message, std::move(group), std::move(body), std::move(state), std::move(value));
        delivery->is_untold = !is_said;
    }
    if (!delivery->is_untold) { co_await ack(core, delivery); }
}

/// FAILURE or REVOKED: told to whoever waits for the rest of the chain as well. `also` is sent with what follows.
[[nodiscard]] inline asio::awaitable<void> end_with_failure(CorePtr core, DeliveryPtr delivery, TaskFailure failure,
                                                            std::string state = "FAILURE", std::vector<Outgoing> also = {});

/// SUCCESS: followers are sent in the same step, or before; a chord hears of it before the message is let go.
[[nodiscard]] inline asio::awaitable<void> end_with_success(CorePtr core, DeliveryPtr delivery, Json value) {
    const Message& message = delivery->message;
    Settlement end;
    end.id = message.id;
    Successors followers = successors(core->composer, message, value, core->options.default_queue);
    if (!followers.problem.empty()) { // ignored, it would leave its caller waiting
        TaskFailure failure("EncodeError", followers.problem, "kombu.exceptions");
        co_await end_with_failure(core, delivery, std::move(failure));
        co_return;
    }
    end.follow = std::move(followers.messages);
    ResultDetails details = details_of(message);
    for (const Outgoing& child : end.follow) {
        details.children.push_back(Json::array({Json::array({child.id, nullptr}), nullptr}));
    }
    std::optional<std::string> meta = encode_result("SUCCESS", value, details, now());
    if (!meta) {
        TaskFailure failure("EncodeError", "what the task returned can't be written as JSON", "kombu.exceptions");
        co_await end_with_failure(core, delivery, std::move(failure));
        co_return;
    }
    const bool is_of_chord = message.embedded("chord") != nullptr;
    if (delivery->stores("SUCCESS")) { end.meta = std::move(*meta); }
    end.is_ack = !is_of_chord;
    const Settled settled = co_await settle(core, delivery, std::move(end));
    if (is_of_chord && settled == Settled::done) { co_await join_own_chord(core, delivery, "SUCCESS", std::move(value)); }
    if (!delivery->is_untold) { ++core->counters.succeeded; }
}

[[nodiscard]] inline asio::awaitable<void> end_with_failure(CorePtr core, DeliveryPtr delivery, TaskFailure failure, std::string state,
                                                            std::vector<Outgoing> also) {
    const Message& message = delivery->message;
    ResultDetails details = details_of(message);
    details.traceback = failure.traceback();
    const Json json = failure.json();
    Settlement end;
    end.id = message.id;
    if (delivery->stores(state)) { end.meta = encode_result(state, json, details, now()).value_or(""); }
    const bool is_failed = state == "FAILURE";
    if (is_failed) {
        end.follow = mourners(core->composer, message, embedded_list(message, "errbacks"), message.id, core->options.default_queue);
    }
    std::move(also.begin(), also.end(), std::back_inserter(end.follow));
    const std::vector<Json> chain = embedded_list(message, "chain");
    const Json* const chord = message.embedded("chord");
    const bool has_more = !chain.empty() || chord != nullptr;
    std::vector<std::string> behind;
    for (const Json& signature : chain) {
        add_ids_behind(signature, behind);
    }
    if (chord != nullptr && !problem_of_follow_up(*chord).empty()) { add_ids_behind(*chord, behind); } // else the join tells it
    end.is_ack = !has_more;
    const Settled settled = co_await settle(core, delivery, std::move(end));
    if (settled == Settled::untold) { co_return; }
    ++(is_failed ? core->counters.failed : core->counters.revoked);
    if (!has_more || settled == Settled::lost) { co_return; }
    auto nobody = std::make_shared<Delivery>();
    nobody->is_acked = true;
    for (std::size_t i = 0; !delivery->is_untold && i < behind.size(); ++i) {
        Settlement store;
        store.id = behind[i];
        details.id = behind[i];
        store.meta = encode_result(state, json, details, now()).value_or("");
        store.is_ack = false;
        const Settled stored = co_await settle(core, nobody, std::move(store));
        delivery->is_untold = stored == Settled::untold;
    }
    for (std::size_t i = 0; !delivery->is_untold && i < chain.size(); ++i) {
        const FollowUpOptions options(chain[i]);
        Json body = options.part("chord");
        std::string group = options.text("group_id");
        if (!body.is_object() || group.empty() || !problem_of_follow_up(body).empty()) { continue; }
        Message member = message;
        member.id = options.text("task_id");
        member.group_index.reset();
        if (const auto index = options.number("group_index")) { member.group_index = static_cast<std::int64_t>(*index); }
        const bool is_said = co_await join_chord(core, std::move(member), std::move(group), std::move(body), "FAILURE", json);
        delivery->is_untold = !is_said;
    }
    if (!delivery->is_untold) { co_await join_own_chord(core, delivery, "FAILURE", json); }
}

} // namespace luzia::celery::detail
