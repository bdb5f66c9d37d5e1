// celery/remote_control.hpp: the answers to `celery inspect`, `celery control` and `celery status`: what is running here, and stop that.
#pragma once

#include <luzia/celery/execution.hpp>
#include <luzia/celery/matcher.hpp>
#include <luzia/celery/worker_core.hpp>
#include <luzia/redis/subscriber.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// What a worker tells of one delivery.
[[nodiscard]] inline Json request_info(const WorkerCore& core, const Delivery& delivery) {
    Json info = Json::object();
    info["id"] = delivery.message.id;
    info["name"] = delivery.message.task;
    info["type"] = delivery.message.task;
    info["args"] = delivery.message.args;
    info["kwargs"] = delivery.message.kwargs;
    info["hostname"] = core.node;
    info["acknowledged"] = delivery.is_acked;
    info["delivery_info"] = Json::object({{"exchange", ""},
                                          {"routing_key", delivery.queue},
                                          {"priority", delivery.message.priority},
                                          {"redelivered", delivery.message.is_redelivered}});
    info["worker_pid"] = ::getpid();
    const auto ago = std::chrono::steady_clock::now() - delivery.begun;
    info["time_start"] = delivery.begun == std::chrono::steady_clock::time_point()
                             ? Json(nullptr)
                             : Json(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch() - ago).count());
    return info;
}

inline void note_revoked(WorkerCore& core, const std::string& id) {
    constexpr std::size_t most = 50'000; // as many as Celery remembers
    if (!core.revoked.insert(id).second) { return; }
    core.revoked_order.push_back(id);
    if (core.revoked_order.size() > most) {
        core.revoked.erase(core.revoked_order.front());
        core.revoked_order.pop_front();
    }
}

/// revoke, and terminate: what waits for its time is told as revoked at once; what runs is asked to stop, and told so then.
[[nodiscard]] inline Json revoke(const CorePtr& owner, const Json& arguments) {
    WorkerCore& core = *owner;
    std::vector<std::string> ids;
    const Json given = arguments.value("task_id", Json());
    for (const Json& id : given.is_array() ? given : Json::array({given})) {
        if (id.is_string() && is_task_id(id.get_ref<const std::string&>())) { ids.push_back(id.get<std::string>()); }
    }
    const bool is_terminate = arguments.value("terminate", Json()) == true;
    std::vector<DeliveryPtr> ended;
    for (const std::string& id : ids) {
        note_revoked(core, id);
        for (auto entry = core.scheduled.begin(); entry != core.scheduled.end();) {
            const bool is_it = entry->second->message.id == id && may_begin(core);
            if (is_it) { ended.push_back(entry->second); }
            entry = is_it ? core.scheduled.erase(entry) : std::next(entry);
        }
        for (const auto& [tag, delivery] : core.active) {
            if (!is_terminate || delivery->message.id != id || !delivery->run) { continue; }
            delivery->is_terminated = true;
            if (delivery->event) { delivery->event->cancel(); }
        }
    }
    for (DeliveryPtr& delivery : ended) { // whether or not there is room for one that runs
        start_delivery(owner, std::move(delivery));
    }
    std::string text;
    for (const std::string& id : ids) {
        text += (text.empty() ? "" : ", ") + id;
    }
    return Json::object({{"ok", std::string("tasks ") + text + (is_terminate ? " terminated" : " flagged as revoked")}});
}

[[nodiscard]] inline Json worker_stats(const WorkerCore& core) {
    Json stats = Json::object();
    stats["total"] = Json::object();
    for (const auto& [name, count] : core.totals) {
        stats["total"][name] = count;
    }
    stats["pid"] = ::getpid();
    stats["prefetch_count"] = core.options.prefetch;
    stats["pool"] = Json::object({{"implementation", "luzia"}, {"max-concurrency", core.options.concurrency}});
    stats["broker"] = Json::object({{"transport", "redis"}, {"hostname", core.server->url.host}, {"port", core.server->url.port}});
    const WorkerStats counts = core.counters.stats();
    stats["luzia"] = Json::object({{"received", counts.received},
                                   {"succeeded", counts.succeeded},
                                   {"failed", counts.failed},
                                   {"retried", counts.retried},
                                   {"revoked", counts.revoked},
                                   {"dead", counts.dead},
                                   {"restored", counts.restored},
                                   {"given_back", counts.given_back},
                                   {"lost", counts.lost},
                                   {"deduplicated", counts.deduplicated}});
    return stats;
}

/// The answer to one command. `shutdown` stops the worker.
[[nodiscard]] inline Json answer_of(const CorePtr& core, const std::string& method, const Json& arguments) {
    Json list = Json::array();
    if (method == "ping") { return Json::object({{"ok", "pong"}}); }
    if (method == "revoke" || method == "terminate") {
        Json given = arguments;
        if (method == "terminate") { given["terminate"] = true; }
        return revoke(core, given);
    }
    if (method == "stats") { return worker_stats(*core); }
    if (method == "registered") {
        for (const auto& [name, task] : core->tasks) {
            list.push_back(name);
        }
        return list;
    }
    if (method == "active") {
        for (const auto& [tag, delivery] : core->active) {
            list.push_back(request_info(*core, *delivery));
        }
        return list;
    }
    if (method == "reserved") {
        for (const DeliveryPtr& delivery : core->ready) {
            list.push_back(request_info(*core, *delivery));
        }
        return list;
    }
    if (method == "scheduled") {
        for (const auto& [eta, delivery] : core->scheduled) {
            list.push_back(Json::object(
                {{"eta", iso_time(eta)}, {"priority", delivery->message.priority}, {"request", request_info(*core, *delivery)}}));
        }
        return list;
    }
    if (method == "revoked") {
        for (const std::string& id : core->revoked_order) {
            list.push_back(id);
        }
        return list;
    }
    if (method == "active_queues") {
        for (const std::string& queue : core->options.queues) {
            list.push_back(Json::object({{"name", queue},
                                         {"routing_key", queue},
                                         {"exchange", Json::object({{"name", ""}, {"type", "direct"}})},
                                         {"durable", true}}));
        }
        return list;
    }
    if (method == "conf") {
        return Json::object({{"worker_prefetch_multiplier", core->options.prefetch / core->options.concurrency},
                             {"task_acks_late", core->options.ack_late}});
    }
    if (method == "report") { return Json::object({{"ok", "luzia, a worker in C++"}}); }
    if (method == "shutdown") {
        core->stop();
        return Json::object({{"ok", "shutting down"}});
    }
    return Json::object({{"error", "this worker, which is one in C++, does not know " + cut(method, 64)}});
}

/// Whether a command is for the worker of this name, as kombu decides it: those that are named; else those whose name fits the pattern; else
/// all. Nothing where that can't be said: then it is for nobody here.
///
/// Kombu takes a pattern without a matcher for none, and so for all workers. Here it is a `glob`: who gives one wants some of them.
[[nodiscard]] inline std::optional<bool> is_for(const Json& command, const std::string& node) {
    const auto part = [&](const char* name) -> const Json* { // what Python takes for true
        const auto found = command.find(name);
        const bool is_set = found != command.end() && !found->is_null() && *found != false && *found != 0 && *found != "" &&
                            !(found->is_structured() && found->empty());
        return is_set ? &*found : nullptr;
    };
    if (const Json* const destination = part("destination")) {
        if (destination->is_string()) { return destination->get_ref<const std::string&>().find(node) != std::string::npos; }
        if (destination->is_object()) { return destination->contains(node); }
        if (!destination->is_array()) { return std::nullopt; }
        return std::find(destination->begin(), destination->end(), Json(node)) != destination->end();
    }
    const Json* const pattern = part("pattern");
    if (pattern == nullptr) { return true; }
    const Json* const matcher = part("matcher");
    if (!pattern->is_string() || (matcher != nullptr && !matcher->is_string())) { return std::nullopt; }
    return is_match(node, pattern->get_ref<const std::string&>(), matcher != nullptr ? matcher->get_ref<const std::string&>() : "glob");
}

/// Hears the commands of one worker and answers them.
class RemoteControl final : public redis::Subscriber::Listener, public std::enable_shared_from_this<RemoteControl> {
public:
    static std::shared_ptr<RemoteControl> start(const CorePtr& core) {
        auto control = std::make_shared<RemoteControl>();
        control->core_ = core;
        control->subscriber_ = redis::Subscriber::create(core->outer(), core->server->target, core->server->options, core->log, control);
        control->subscriber_->subscribe(core->key("/" + std::to_string(core->server->url.database) + ".celery.pidbox"),
                                        redis::Subscriber::Kind::pattern);
        return control;
    }

    void close() { subscriber_->close(); }

private:
    void on_subscribed(const std::string&) noexcept override {}

    void on_message(const std::string&, std::string&& payload) noexcept override {
        const auto core = core_.lock();
        if (!core || !core->io) { return; }
        asio::post(core->strand(), [self = shared_from_this(), core, payload = std::move(payload)] {
            if (core->io) { self->take(core, payload); }
        });
    }

    void take(const CorePtr& core, const std::string& payload) {
        std::optional<Json> envelope = parse_json(payload);
        if (!envelope || !envelope->is_object()) { return; }
        const Json headers = envelope->value("headers", Json::object());
        const Json properties = envelope->value("properties", Json::object());
        const Json written = envelope->value("body", Json());
        if (!headers.is_object() || !properties.is_object() || !written.is_string()) { return; }
        const Json expires = headers.value("expires", Json());
        if (expires.is_number() && expires.get<double>() > 0 &&
            expires.get<double>() < std::chrono::duration<double>(now().time_since_epoch()).count()) {
            return;
        }
        const std::string& text = written.get_ref<const std::string&>();
        const std::optional<std::string> bytes = properties.value("body_encoding", Json()) == "base64" ? base64_decode(text) : text;
        const std::optional<Json> body = bytes ? parse_json(*bytes) : std::nullopt;
        if (!body || !body->is_object() || !body->value("method", Json()).is_string()) { return; }
        const std::optional<bool> is_meant = is_for(*body, core->node);
        if (!is_meant) {
            core->warn("remote control", "a command for workers that can't be told apart here is not obeyed: pattern " +
                                             printable(body->value("pattern", Json()).dump(-1, ' ', true, Json::error_handler_t::replace)) +
                                             ", matcher " +
                                             printable(body->value("matcher", Json()).dump(-1, ' ', true, Json::error_handler_t::replace)));
        }
        if (!is_meant.value_or(false)) { return; }
        Json arguments = body->value("arguments", Json());
        if (!arguments.is_object()) { arguments = Json::object(); }
        Json answer = answer_of(core, (*body)["method"].get<std::string>(), arguments);
        const Json reply_to = body->value("reply_to", Json());
        if (!reply_to.is_object()) { return; }
        const Json exchange = reply_to.value("exchange", Json());
        const Json routing_key = reply_to.value("routing_key", Json());
        if (!exchange.is_string() || !routing_key.is_string()) { return; }
        asio::co_spawn(
            core->strand(),
            reply(core, exchange.get<std::string>(), routing_key.get<std::string>(), body->value("ticket", Json()), std::move(answer)),
            asio::detached);
    }

    static asio::awaitable<void> reply(CorePtr core, std::string exchange, std::string routing_key, Json ticket, Json answer) {
        redis::Words members{"SMEMBERS", core->key("_kombu.binding." + exchange)};
        auto [error, bindings] = co_await redis::execute(core->broker, std::move(members), core->strand(), quietly);
        if (error) { co_return; }
        Json body = Json::object();
        body[core->node] = std::move(answer);
        Json envelope = Json::object();
        std::optional<std::string> written = dump_json(body);
        if (!written) { // arguments that are nested as deep as they may be, and that stand deeper here
            body[core->node] = Json::object({{"error", "the answer can't be written as JSON"}});
            written = dump_json(body);
        }
        envelope["body"] = base64_encode(written.value_or("{}"));
        envelope["content-type"] = "application/json";
        envelope["content-encoding"] = "utf-8";
        envelope["headers"] = Json::object(
            {{"ticket", std::move(ticket)}, {"clock", std::chrono::duration_cast<std::chrono::seconds>(now().time_since_epoch()).count()}});
        Json properties = Json::object();
        properties["delivery_mode"] = 1;
        properties["delivery_info"] = Json::object({{"exchange", exchange}, {"routing_key", routing_key}});
        properties["priority"] = 0;
        properties["body_encoding"] = "base64";
        properties["delivery_tag"] = core->composer.next_id();
        envelope["properties"] = std::move(properties);
        const std::string text = dump_json(envelope).value_or("{}");
        for (const redis::Reply& member : bindings.elements()) {
            const std::string& binding = member.text();
            const std::size_t last = binding.rfind(separator);
            if (last == std::string::npos || binding.substr(0, binding.find(separator)) != routing_key) { continue; }
            redis::Words push{"LPUSH", core->key(binding.substr(last + separator.size())), text};
            co_await redis::execute(core->broker, std::move(push), core->strand(), quietly);
        }
    }

    std::weak_ptr<WorkerCore> core_;
    std::shared_ptr<redis::Subscriber> subscriber_;
};

} // namespace luzia::celery::detail
