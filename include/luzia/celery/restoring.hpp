// celery/restoring.hpp: held messages back into their queues, or here where only a claim's answer was lost.
#pragma once

#include <luzia/celery/worker_core.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// What `unacked` holds of one message.
struct HeldEntry {
    HeldEntry() {}
    std::string envelope;
    std::string exchange;
    std::string queue;
    int priority = 0;
};

/// Reads `[envelope, exchange, routing key]`, with the envelope marked as delivered again; nothing where it is something else.
[[nodiscard]] inline std::optional<HeldEntry> read_held_entry(std::string_view value) {
    std::optional<Json> triple = parse_json(value);
    if (!triple || !triple->is_array() || triple->size() != 3 || !(*triple)[1].is_string() || !(*triple)[2].is_string()) {
        return std::nullopt;
    }
    Json& envelope = (*triple)[0];
    if (!envelope.is_object() || !envelope.contains("properties") || !envelope["properties"].is_object()) { return std::nullopt; }
    const Json priority = envelope["properties"].value("priority", Json(0));
    std::optional<std::string> text = dump_json(envelope);
    const bool is_sent_straight = (*triple)[1].get_ref<const std::string&>().empty();
    if (text) { text = redelivered(*text, is_sent_straight ? (*triple)[2].get<std::string>() : std::string()); }
    if (!text) { return std::nullopt; }
    HeldEntry entry;
    entry.envelope = std::move(*text);
    entry.exchange = (*triple)[1].get<std::string>();
    entry.queue = (*triple)[2].get<std::string>();
    entry.priority = priority_of(priority);
    return entry;
}

/// The list that a held message belongs to: its queue's, or that of the queue which its exchange is bound to. Nothing where the broker does not
/// say.
[[nodiscard]] inline asio::awaitable<std::optional<std::string>> list_for(CorePtr core, const HeldEntry& entry) {
    std::string queue = entry.queue;
    if (!entry.exchange.empty()) {
        redis::Words members{"SMEMBERS", core->key("_kombu.binding." + entry.exchange)};
        auto [error, reply] = co_await redis::execute(core->broker, std::move(members), core->strand(), quietly);
        if (error) { co_return std::nullopt; }
        for (const redis::Reply& member : reply.elements()) {
            const std::string& text = member.text();
            const std::size_t last = text.rfind(separator);
            if (last != std::string::npos && text.substr(0, text.find(separator)) == entry.queue) {
                queue = text.substr(last + separator.size());
            }
        }
    }
    co_return list_of(core->options.key_prefix, queue, entry.priority);
}

/// Moves a held message, of which `text` is to stand in `list`. Returns whether it did; nothing where that can't be known.
[[nodiscard]] inline asio::awaitable<std::optional<bool>> move(CorePtr core, std::string tag, std::string list, std::string text,
                                                               std::string how, std::string overdue_seconds = "0") {
    const auto connection = core->connection_for(core->broker, text.size());
    const std::string dead_letters = core->key(core->options.dead_letter_list);
    redis::Words keys{core->key("unacked"), core->key("unacked_index"), list, dead_letters};
    redis::Words arguments{std::move(tag), std::move(text), std::move(how), std::move(overdue_seconds)};
    auto [error, reply] = co_await redis::execute(connection, move_script, std::move(keys), std::move(arguments), core->strand(), quietly);
    if (error) { co_return std::nullopt; }
    if (reply.integer() == 2) {
        core->warn("dead letter", printable(list) + " is no list; a message for it goes to " + printable(dead_letters));
        ++core->counters.dead;
    }
    co_return reply.integer() != 0;
}

/// Puts one held message back to the end of its queue that is consumed next, if nobody has renewed it for `overdue_seconds`. Returns whether it
/// is not held any more.
[[nodiscard]] inline asio::awaitable<bool> restore(CorePtr core, std::string tag, std::size_t size, std::string overdue_seconds) {
    redis::Words words{"HGET", core->key("unacked"), tag};
    auto [error, reply] = co_await redis::execute(core->connection_for(core->broker, size), std::move(words), core->strand(), quietly);
    if (error || reply.is_nil()) { co_return !error; }
    std::string value = std::move(reply).text();
    std::optional<HeldEntry> entry = read_held_entry(value);
    if (!entry) {
        core->warn("dead letter", "what a worker held is no message; it goes to " + printable(core->options.dead_letter_list));
        const std::optional<bool> is_buried = co_await move(core, std::move(tag), core->key(core->options.dead_letter_list),
                                                            std::move(value), "LPUSH", std::move(overdue_seconds));
        core->counters.dead += is_buried.value_or(false) ? 1 : 0;
        co_return is_buried.value_or(false);
    }
    std::optional<std::string> list = co_await list_for(core, *entry);
    if (!list) { co_return false; }
    const std::optional<bool> is_moved =
        co_await move(core, std::move(tag), std::move(*list), std::move(entry->envelope), "RPUSH", std::move(overdue_seconds));
    core->counters.restored += is_moved.value_or(false) ? 1 : 0;
    co_return is_moved.value_or(false);
}

/// A claim whose answer was lost: what it took is held here, and read now.
[[nodiscard]] inline asio::awaitable<void> look_again(CorePtr core, std::uint64_t first, std::uint64_t count) {
    asio::steady_timer timer(core->strand());
    std::chrono::milliseconds pause(50);
    redis::Words tags;
    for (std::uint64_t i = 0; i < count; ++i) {
        tags.push_back(core->tag_prefix + std::to_string(first + i));
    }
    while (!core->is_abandoned) {
        redis::Words keys{core->key("unacked"), core->key("unacked_index")};
        redis::Words copy = tags;
        auto [error, reply] =
            co_await redis::execute(core->broker, renew_script, std::move(keys), std::move(copy), core->strand(), quietly);
        for (std::size_t i = 0; !error && i < tags.size() && i < reply.elements().size(); ++i) {
            if (reply.elements()[i].integer() == 0 || core->holds(tags[i])) { continue; }
            auto delivery = std::make_shared<Delivery>();
            delivery->tag = tags[i];
            core->arriving.push_back(std::move(delivery));
            core->io->arriving.set();
        }
        if (!error || error == make_error_code(Error::closed) || core->is_stopping) { co_return; } // the visibility timeout is left
        core->warn("claiming", "what was claimed can't be looked for: " + error.message());
        timer.expires_after(pause);
        co_await timer.async_wait(quietly);
        pause = std::min(2 * pause, std::chrono::milliseconds(2000));
    }
}

/// Puts a message whose task has not ended back to where it is served next: as it was, unless its handler has begun. Once.
///
/// One that was let go when its task began is put there anew: its worker is there to do it, so that only a crash loses it.
[[nodiscard]] inline asio::awaitable<void> give_back(CorePtr core, DeliveryPtr delivery) {
    if (delivery->is_lost || *core->is_closed || std::exchange(delivery->is_given_back, true)) { co_return; }
    std::string text = delivery->raw;
    if (delivery->run && delivery->run->has_begun()) { text = redelivered(text, delivery->queue).value_or(text); }
    std::string list = list_of(core->options.key_prefix, delivery->queue, delivery->message.priority);
    std::string tag = delivery->is_acked ? std::string() : delivery->tag;
    const std::optional<bool> is_moved = co_await move(core, std::move(tag), std::move(list), std::move(text), "RPUSH");
    core->counters.given_back += is_moved.value_or(false) ? 1 : 0;
    if (is_moved) { co_return; }
    core->counters.lost += delivery->is_acked ? 1 : 0;
    core->warn("giving back", "task " + printable(delivery->message.id, 256) + " has not ended and can't be given back" +
                                  (delivery->is_acked ? ": it was let go when it began" : ", it comes back when its time is up"));
}

/// Handlers that still wait for their executor do not begin any more. What is held of them waits to be given back then, before all that waited;
/// returned are the others, the last first.
[[nodiscard]] inline std::vector<DeliveryPtr> withdraw_runs(const CorePtr& core) {
    std::vector<DeliveryPtr> withdrawn;
    for (const auto& [tag, delivery] : core->active) {
        const bool is_waiting = delivery->run && !delivery->is_ending && !delivery->is_terminated && !delivery->run->has_ended();
        if (!is_waiting || !delivery->run->withdraw()) { continue; }
        delivery->run->is_abandoned = true;
        delivery->event->cancel();
        withdrawn.push_back(delivery);
    }
    std::sort(withdrawn.begin(), withdrawn.end(), [](const DeliveryPtr& a, const DeliveryPtr& b) { return a->begun > b->begun; });
    for (const DeliveryPtr& delivery : withdrawn) {
        if (!delivery->is_acked) { core->ready.push_front(delivery); }
    }
    std::erase_if(withdrawn, [](const DeliveryPtr& delivery) { return !delivery->is_acked; });
    return withdrawn;
}

/// What is held and was not read can be given back unread, where it is known whereto.
inline void give_up_reading(WorkerCore& core) {
    for (const DeliveryPtr& delivery : core.arriving) {
        if (!delivery->list.empty()) { core.ready.push_back(delivery); }
    }
    std::erase_if(core.arriving, [](const DeliveryPtr& delivery) { return !delivery->list.empty(); });
}

/// Puts what was not begun back, the last first: each goes before those that were given back already.
[[nodiscard]] inline asio::awaitable<void> give_back_waiting(CorePtr core) {
    constexpr std::size_t words_of_one_step = 3 * 200;
    give_up_reading(*core);
    while (!core->scheduled.empty() || !core->ready.empty()) {
        redis::Words arguments;
        const auto add = [&](const Delivery& delivery) {
            arguments.push_back(delivery.tag);
            arguments.push_back(delivery.list.empty() ? list_of(core->options.key_prefix, delivery.queue, delivery.message.priority)
                                                      : delivery.list);
            arguments.push_back(Json(delivery.queue).dump());
        };
        while (!core->scheduled.empty() && arguments.size() < words_of_one_step) {
            add(*core->scheduled.begin()->second);
            core->scheduled.erase(core->scheduled.begin());
        }
        while (!core->ready.empty() && arguments.size() < words_of_one_step) {
            add(*core->ready.back());
            core->ready.pop_back();
        }
        redis::Words keys{core->key("unacked"), core->key("unacked_index"), core->key(core->options.dead_letter_list)};
        auto [error, reply] =
            co_await redis::execute(core->broker, give_back_script, std::move(keys), std::move(arguments), core->strand(), quietly);
        if (error) { core->warn("giving back", "what was not begun comes back when its time is up: " + error.message()); }
        core->counters.given_back += static_cast<std::uint64_t>(reply.integer());
    }
}

} // namespace luzia::celery::detail
