// celery/consumer.hpp: how messages get here: claimed in one step, woken by a peek that changes nothing, held until their time has come.
#pragma once

#include <luzia/celery/execution.hpp>
#include <luzia/celery/restoring.hpp>
#include <luzia/celery/worker_core.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// Wakes the consumer: `BLMOVE list list RIGHT RIGHT` returns as soon as the list holds something, and leaves it as it was. Each list has a
/// connection of its own; lists beyond the first sixteen are looked at every `poll_interval`.
class Peeks : public std::enable_shared_from_this<Peeks> {
public:
    static std::shared_ptr<Peeks> create(const CorePtr& core) {
        auto peeks = std::make_shared<Peeks>();
        for (const std::string& queue : core->options.queues) {
            for (const int step : priority_steps) {
                if (peeks->all_.size() == most) { return peeks; }
                peeks->all_.push_back(
                    {list_of(core->options.key_prefix, queue, step), core->server->connect(core->outer(), core->log, longest), false});
            }
        }
        return peeks;
    }

    /// Looks at every list that is not being looked at. On the strand.
    void arm(const CorePtr& core) {
        for (std::size_t i = 0; i < all_.size(); ++i) {
            if (!std::exchange(all_[i].is_pending, true)) { look(core, i); }
        }
    }

    void close() {
        for (const Peek& peek : all_) {
            peek.connection->close();
        }
    }

private:
    struct Peek {
        std::string list;
        std::shared_ptr<redis::Connection> connection;
        bool is_pending;
    };

    static constexpr std::size_t most = 16;
    static constexpr std::chrono::seconds longest{5};

    void look(const CorePtr& core, std::size_t i) {
        redis::Words words{"BLMOVE", all_[i].list, all_[i].list, "RIGHT", "RIGHT", std::to_string(longest.count())};
        redis::execute(all_[i].connection, std::move(words), core->strand(),
                       [self = shared_from_this(), core, i](error_code error, const redis::Reply& reply) {
                           if (core->is_stopping) { return; }
                           if (!error && reply.is_nil()) { return self->look(core, i); }
                           self->all_[i].is_pending = false;
                           if (!error && core->io) { core->io->hungry.set(); } // after an error the next poll arms it again
                       });
    }

    std::vector<Peek> all_;
};

/// What can't be read: its caller is told, as far as it says who that is, and it goes to the dead-letter list as it came.
[[nodiscard]] inline asio::awaitable<void> end_unfit(CorePtr core, DeliveryPtr delivery, Fitness fitness, std::string problem) {
    try {
        if (fitness == Fitness::failed) {
            warn_of_dead(core, *delivery, problem);
            std::vector<Outgoing> copy{{delivery->message.id, core->key(core->options.dead_letter_list), delivery->raw}};
            TaskFailure failure("DecodeError", "the message can't be read: " + text_for_json(problem), "kombu.exceptions");
            co_await end_with_failure(core, delivery, std::move(failure), "FAILURE", std::move(copy));
        } else {
            co_await bury(core, delivery, std::move(problem));
        }
    } catch (const std::exception&) {} // no memory: it stays held, and comes back
    if (delivery->is_untold && !delivery->is_acked) { co_await give_back(core, delivery); }
    core->active.erase(delivery->tag);
    core->io->hungry.set();
    if (core->is_stopping) { core->io->idle.set(); }
}

/// Takes a delivery in: to be run now or at its time, or to be ended at once.
inline void accept(const CorePtr& core, DeliveryPtr delivery) {
    Reading reading = read_message(delivery->raw);
    delivery->message = std::move(reading.message);
    delivery->message.is_redelivered =
        delivery->message.is_redelivered ||
        (delivery->message.properties.contains("delivery_info") && delivery->message.properties["delivery_info"].is_object() &&
         delivery->message.properties["delivery_info"].value("redelivered", Json()) == true);
    ++core->counters.received;
    if (reading.fitness != Fitness::good) {
        core->active.emplace(delivery->tag, delivery); // held while it is dealt with, like one that runs
        asio::co_spawn(core->strand(), end_unfit(core, delivery, reading.fitness, std::move(reading.problem)), asio::detached);
        return;
    }
    const std::optional<Time> eta = delivery->message.eta;
    const std::optional<Time> expires = delivery->message.expires;
    const bool is_over = (expires && *expires <= now()) || core->revoked.count(delivery->message.id) != 0;
    if (eta && *eta > now() && !is_over) {
        const bool is_earliest = core->scheduled.empty() || *eta < core->scheduled.begin()->first;
        core->scheduled.emplace(*eta, std::move(delivery));
        if (is_earliest) { core->io->scheduled.set(); }
        return;
    }
    core->ready.push_back(std::move(delivery));
}

/// The message of what `claim_script` has noted, and the name of its queue.
[[nodiscard]] inline bool read_claimed(Delivery& delivery, const std::string& entry) {
    constexpr std::string_view between = R"(, "", ")"; // in the name of a queue every quote has a backslash before it
    const std::size_t at = entry.rfind(between);
    if (at == std::string::npos || at == 0 || entry.back() != ']') { return false; }
    const Json name = Json::parse(entry.substr(at + between.size() - 1, entry.size() - at - between.size()), nullptr, false);
    if (!name.is_string()) { return false; }
    delivery.queue = name.get<std::string>();
    delivery.raw = entry.substr(1, at - 1);
    return true;
}

/// Reads what is held and has not come with its claim: large messages, and those of claims whose answer was lost. One at a time.
[[nodiscard]] inline asio::awaitable<void> read_arriving(CorePtr core) {
    asio::steady_timer timer(core->strand());
    while (!core->is_abandoned) {
        if (core->is_stopping) { give_up_reading(*core); }
        if (core->arriving.empty()) {
            if (!core->is_consuming) { co_return; }
            co_await core->io->arriving.wait(for_ever);
            continue;
        }
        const DeliveryPtr delivery = core->arriving.front();
        redis::Words words{"HGET", core->key("unacked"), delivery->tag};
        const auto connection = core->connection_for(core->broker, core->options.max_message_bytes);
        auto [error, reply] = co_await redis::execute(connection, std::move(words), core->strand(), quietly);
        if (core->arriving.empty() || core->arriving.front() != delivery) { continue; } // taken back, or to be given back
        if (error) {
            if (error == make_error_code(Error::closed) || core->is_stopping) { co_return; }
            core->warn("reading", "a message that is held can't be read yet: " + error.message());
            core->arriving.pop_front(); // the others are not kept waiting
            core->arriving.push_back(delivery);
            timer.expires_after(std::chrono::milliseconds(500));
            co_await timer.async_wait(quietly);
            continue;
        }
        core->arriving.pop_front();
        core->io->hungry.set(); // there may be room now
        if (reply.is_nil() || !read_claimed(*delivery, reply.text())) {
            ++core->counters.lost;
            continue;
        }
        accept(core, delivery);
        dispatch(core);
    }
}

/// Moves what waits for its time on when it has come.
[[nodiscard]] inline asio::awaitable<void> watch_times(CorePtr core) {
    while (!core->is_stopping) {
        auto limit = for_ever;
        if (!core->scheduled.empty()) {
            const auto left = core->scheduled.begin()->first - now();
            // The wall clock may be set: looked at now and then.
            limit = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(0),
                               std::chrono::milliseconds(60'000));
        }
        co_await core->io->scheduled.wait(limit);
        const Time time = now();
        while (!core->is_stopping && !core->scheduled.empty() && core->scheduled.begin()->first <= time) {
            core->ready.push_back(std::move(core->scheduled.begin()->second));
            core->scheduled.erase(core->scheduled.begin());
        }
        dispatch(core);
    }
}

/// The lists in Celery's order: priority first, then the queues in turn.
struct Lists {
    redis::Words keys;
    redis::Words names;
};
[[nodiscard]] inline Lists lists_in_turn(const WorkerCore& core, std::size_t turn) {
    Lists lists;
    for (const int step : priority_steps) {
        for (std::size_t i = 0; i < core.options.queues.size(); ++i) {
            const std::string& queue = core.options.queues[(turn + i) % core.options.queues.size()];
            lists.keys.push_back(list_of(core.options.key_prefix, queue, step));
            lists.names.push_back(Json(queue).dump());
        }
    }
    return lists;
}

/// What a message may grow by when it is put back, or tried again.
inline constexpr std::size_t more_when_tried_again = 4096;

/// Takes up to `most` messages. Returns how many came, or nothing where the broker does not answer, or refuses.
[[nodiscard]] inline asio::awaitable<std::optional<std::size_t>> claim(CorePtr core, std::size_t most, std::size_t turn) {
    Lists lists = lists_in_turn(*core, turn);
    redis::Words keys{core->key("unacked"), core->key("unacked_index"), core->key(core->options.dead_letter_list)};
    keys.insert(keys.end(), lists.keys.begin(), lists.keys.end());
    redis::Words arguments{std::to_string(most), std::to_string(core->options.max_message_bytes + more_when_tried_again),
                           std::to_string(large), core->tag_prefix, std::to_string(core->next_tag)};
    arguments.insert(arguments.end(), lists.names.begin(), lists.names.end());
    const std::uint64_t first = core->next_tag;
    core->next_tag += most;
    auto [error, reply] =
        co_await redis::execute(core->broker, claim_script, std::move(keys), std::move(arguments), core->strand(), quietly);
    if (error) {
        core->warn("claiming", "messages can't be claimed: " + error.message());
        const bool was_not_sent = error == make_error_code(Error::not_connected) || error == make_error_code(Error::overloaded) ||
                                  error == make_error_code(Error::closed);
        if (!was_not_sent) {
            co_await look_again(core, first, most);
            core->lost_answers.emplace_back(first, most); // on its way through an older link, it may even be done later
        }
        co_return std::nullopt;
    }
    std::vector<redis::Reply>& found = reply.elements();
    if (found.size() < 2) { co_return 0; }
    const std::int64_t dead = found[0].integer();
    if (dead > 0) {
        core->counters.dead += static_cast<std::uint64_t>(dead);
        core->warn("dead letter", std::to_string(dead) + " messages that are no JSON objects, or too large, went to " +
                                      printable(core->options.dead_letter_list));
    }
    const std::string& problem = found[1].text();
    if (!problem.empty()) { core->warn("claiming", "not every message can be claimed: " + printable(problem, 200)); }
    std::size_t taken = 0;
    for (std::size_t i = 2; i + 2 < found.size(); i += 3, ++taken) {
        const auto place = static_cast<std::size_t>(found[i + 1].integer());
        if (place >= lists.keys.size()) { continue; }
        auto delivery = std::make_shared<Delivery>();
        delivery->tag = std::move(found[i]).text();
        delivery->list = lists.keys[place];
        delivery->queue = Json::parse(lists.names[place]).get<std::string>();
        delivery->raw = std::move(found[i + 2]).text();
        if (delivery->raw.empty()) {
            core->arriving.push_back(std::move(delivery));
            core->io->arriving.set();
        } else {
            accept(core, std::move(delivery));
        }
    }
    dispatch(core);
    if (taken == 0 && dead == 0 && !problem.empty()) { co_return std::nullopt; } // waking at once would change nothing
    co_return taken + static_cast<std::size_t>(dead);
}

/// The main loop: claims while there is room, and waits to be woken.
[[nodiscard]] inline asio::awaitable<void> consume(CorePtr core) {
    const auto peeks = Peeks::create(core);
    std::size_t turn = 0;
    asio::steady_timer timer(core->strand());
    while (!core->is_stopping) {
        const std::size_t load = core->load();
        const std::size_t room =
            core->options.prefetch > load && core->scheduled.size() < core->options.max_scheduled ? core->options.prefetch - load : 0;
        // A few at a time: each claim is a step of the server's.
        const bool is_worth_it = room > 0 && (core->ready.empty() || room >= core->options.prefetch / 4);
        if (!is_worth_it) {
            co_await core->io->hungry.wait(for_ever);
            continue;
        }
        const std::size_t most = std::min<std::size_t>(room, 64);
        const std::optional<std::size_t> taken = co_await claim(core, most, turn++);
        if (taken && *taken > 0) { continue; }
        if (core->is_stopping) { break; }
        if (!taken) {
            timer.expires_after(std::min(core->options.poll_interval, std::chrono::milliseconds(200)));
            co_await timer.async_wait(quietly);
            continue;
        }
        peeks->arm(core);
        co_await core->io->hungry.wait(core->options.poll_interval);
    }
    peeks->close();
    core->is_consuming = false;
    core->io->arriving.set();
}

} // namespace luzia::celery::detail
