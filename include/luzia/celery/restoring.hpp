// celery/restoring.hpp: held messages back into their queues: those of dead workers, of lost answers, and what a worker gives back.
#pragma once

#include <luzia/celery/worker_core.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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
    if (text) { text = redelivered(*text); }
    if (!text) { return std::nullopt; }
    HeldEntry entry;
    entry.envelope = std::move(*text);
    entry.exchange = (*triple)[1].get<std::string>();
    entry.queue = (*triple)[2].get<std::string>();
    entry.priority = luzia::detail::number_of<int>(priority).value_or(0);
    return entry;
}

/// Puts one held message back to the end of its queue that is consumed next, if it is still what `value` says.
[[nodiscard]] inline asio::awaitable<bool> restore(CorePtr core, std::string tag, std::string value) {
    std::optional<HeldEntry> entry = read_held_entry(value);
    redis::Words keys{core->key("unacked"), core->key("unacked_index")};
    redis::Words arguments{std::move(tag), value};
    if (!entry) {
        core->warn("dead letter", "what a worker held is no message; it goes to " + printable(core->options.dead_letter_list));
        keys.push_back(core->key(core->options.dead_letter_list));
        arguments.push_back(std::move(value));
        arguments.emplace_back("LPUSH");
        ++core->stats.dead;
    } else {
        std::string queue = entry->queue;
        if (!entry->exchange.empty()) { // the bindings say which queue that is
            redis::Words members{"SMEMBERS", core->key("_kombu.binding." + entry->exchange)};
            auto [error, reply] = co_await redis::execute(core->broker, std::move(members), core->strand(), quietly);
            if (error) { co_return false; }
            for (const redis::Reply& member : reply.elements()) {
                const std::string& text = member.text();
                const std::size_t last = text.rfind(separator);
                if (last != std::string::npos && text.substr(0, text.find(separator)) == entry->queue) {
                    queue = text.substr(last + separator.size());
                }
            }
        }
        keys.push_back(list_of(core->options.key_prefix, queue, entry->priority));
        arguments.push_back(std::move(entry->envelope));
        arguments.emplace_back("RPUSH");
    }
    auto [error, reply] =
        co_await redis::execute(core->broker, move_script, std::move(keys), std::move(arguments), core->strand(), quietly);
    co_return !error && reply.integer() == 1;
}

/// Claims whose answer was lost: what they took is put back.
[[nodiscard]] inline asio::awaitable<void> put_back(CorePtr core, std::uint64_t first, std::uint64_t count) {
    asio::steady_timer timer(core->strand());
    while (!core->is_abandoned) {
        redis::Words words{"HMGET", core->key("unacked")};
        for (std::uint64_t i = 0; i < count; ++i) {
            words.push_back(core->tag_prefix + std::to_string(first + i));
        }
        auto [error, reply] = co_await redis::execute(core->broker, std::move(words), core->strand(), quietly);
        if (!error) {
            for (std::uint64_t i = 0; i < count && i < reply.elements().size(); ++i) {
                redis::Reply& held = reply.elements()[i];
                if (held.is_nil()) { continue; }
                const bool is_back = co_await restore(core, core->tag_prefix + std::to_string(first + i), std::move(held).text());
                core->stats.given_back += is_back ? 1 : 0;
            }
            co_return;
        }
        if (error == make_error_code(Error::closed)) { co_return; }
        timer.expires_after(std::chrono::milliseconds(200));
        co_await timer.async_wait(quietly);
    }
}

/// Puts a message that was not begun, or not ended, back to where it is served next.
[[nodiscard]] inline asio::awaitable<void> give_back(CorePtr core, DeliveryPtr delivery) {
    if (delivery->is_acked || delivery->is_lost) { co_return; }
    std::optional<std::string> envelope = redelivered(delivery->raw);
    if (!envelope) { co_return; }
    redis::Words keys{core->key("unacked"), core->key("unacked_index"),
                      list_of(core->options.key_prefix, delivery->queue, delivery->message.priority)};
    redis::Words arguments{delivery->tag, "", std::move(*envelope), "RPUSH"};
    auto [error, reply] =
        co_await redis::execute(core->broker, move_script, std::move(keys), std::move(arguments), core->strand(), quietly);
    if (!error && reply.integer() == 1) { ++core->stats.given_back; }
    delivery->is_acked = true;
}

} // namespace luzia::celery::detail
