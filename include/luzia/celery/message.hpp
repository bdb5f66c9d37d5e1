// celery/message.hpp: one message of a queue (task protocol 2), written and read. Pure. What is read is judged, never trusted.
#pragma once

#include <luzia/celery/base64.hpp>
#include <luzia/celery/failure.hpp>
#include <luzia/celery/iso_time.hpp>
#include <luzia/celery/json.hpp>
#include <luzia/celery/queue.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery {

/// A task on its way, in C++.
struct Message {
    Message() {}

    std::string task;
    std::string id;
    std::string root_id;
    std::string parent_id; ///< empty: none
    std::string group;     ///< empty: none
    std::optional<std::int64_t> group_index;
    int retries = 0;
    std::optional<Time> eta;
    std::optional<Time> expires;
    std::optional<double> time_limit; ///< seconds
    std::optional<double> soft_time_limit;
    bool ignore_result = false;
    bool is_redelivered = false;
    int priority = 0;
    Json args = Json::array();
    Json kwargs = Json::object();
    Json embed = Json::object();   ///< callbacks, errbacks, chain, chord
    Json headers = Json::object(); ///< all of them, as they came; of a new message those of the caller
    Json properties = Json::object();

    /// What stands in the embed under this name; null where nothing does.
    [[nodiscard]] const Json* embedded(const char* name) const {
        const auto found = embed.is_object() ? embed.find(name) : embed.end();
        return found == embed.end() || found->is_null() ? nullptr : &*found;
    }
};

/// What every message of one sender has.
struct Sender {
    Sender() {}
    std::string origin;
    std::string delivery_tag; ///< of this message alone
    std::string reply_to;
};

/// Writes the envelope for a queue's list; nothing where an argument is no JSON.
[[nodiscard]] inline std::optional<std::string> encode_message(const Message& message, const std::string& queue, const Sender& sender) {
    Json embed = Json::object();
    for (const char* const name : {"callbacks", "errbacks", "chain", "chord"}) {
        const Json* const part = message.embedded(name);
        embed[name] = part != nullptr ? *part : Json(nullptr);
    }
    const auto args = dump_json(message.args, 1);
    const auto kwargs = dump_json(message.kwargs, 1);
    const auto rest = dump_json(embed, 1);
    if (!args || !kwargs || !rest) { return std::nullopt; }
    const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
    const auto number_or_null = [](const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); };

    Json headers = message.headers;
    headers["lang"] = "cpp";
    headers["task"] = message.task;
    headers["id"] = message.id;
    headers["shadow"] = nullptr;
    headers["eta"] = message.eta ? Json(iso_time(*message.eta)) : Json(nullptr);
    headers["expires"] = message.expires ? Json(iso_time(*message.expires)) : Json(nullptr);
    headers["group"] = text_or_null(message.group);
    headers["group_index"] = message.group_index ? Json(*message.group_index) : Json(nullptr);
    headers["retries"] = message.retries;
    headers["timelimit"] = Json::array({number_or_null(message.time_limit), number_or_null(message.soft_time_limit)});
    headers["root_id"] = message.root_id.empty() ? message.id : message.root_id;
    headers["parent_id"] = text_or_null(message.parent_id);
    std::string args_repr = python_repr(message.args);
    if (args_repr.size() >= 2 && args_repr.front() == '[') {
        args_repr = "(" + args_repr.substr(1, args_repr.size() - 2) + (message.args.size() == 1 ? ",)" : ")");
    }
    headers["argsrepr"] = std::move(args_repr);
    headers["kwargsrepr"] = python_repr(message.kwargs);
    headers["origin"] = sender.origin;
    headers["ignore_result"] = message.ignore_result;

    Json delivery = Json::object();
    delivery["exchange"] = "";
    delivery["routing_key"] = queue;
    Json properties = Json::object();
    properties["correlation_id"] = message.id;
    properties["reply_to"] = sender.reply_to;
    properties["delivery_mode"] = 2;
    properties["delivery_info"] = std::move(delivery);
    properties["priority"] = message.priority;
    properties["body_encoding"] = "base64";
    properties["delivery_tag"] = sender.delivery_tag;

    const auto head = dump_json(headers, 1);
    if (!head) { return std::nullopt; }
    const std::string body = base64_encode("[" + *args + "," + *kwargs + "," + *rest + "]");
    std::string text;
    text.reserve(body.size() + head->size() + 512);
    text.append(R"({"body":")").append(body).append(R"(","content-encoding":"utf-8","content-type":"application/json","headers":)");
    text.append(*head).append(R"(,"properties":)").append(properties.dump(-1, ' ', false, Json::error_handler_t::replace)).append("}");
    return text;
}

/// What may become of a message that was read.
enum class Fitness {
    good,
    failed, ///< it names a task that can be told as failed
    dead    ///< nobody can be told: to the dead-letter list
};

/// A message as far as it could be read: one that is `failed` has id, task, group, and what is embedded where that can be read.
struct Reading {
    Reading() {}
    Fitness fitness = Fitness::dead;
    std::string problem; ///< what is wrong, for the log and for the failure
    Message message;
};

namespace detail {

/// A priority as kombu takes it: between 0 and 9, and 0 where it is no number.
[[nodiscard]] inline int priority_of(const Json& json) {
    if (!json.is_number() || std::isnan(json.get<double>())) { return 0; }
    return static_cast<int>(std::clamp(json.get<double>(), 0.0, 9.0));
}

/// Whether it can be a time limit, in seconds; zero is none, as in Celery.
[[nodiscard]] inline bool is_time_limit(const Json& json) {
    return json.is_number() && json.get<double>() >= 0 && json.get<double>() < 1e9;
}

/// Reads the envelope part by part; `problem` says what the first part that does not fit is.
class MessageReader {
public:
    [[nodiscard]] Reading read(std::string_view text) {
        Reading reading;
        reading.fitness = read_envelope(text, reading.message);
        reading.problem = std::move(problem_);
        return reading;
    }

private:
    [[nodiscard]] Fitness dead(std::string what) {
        problem_ = std::move(what);
        return Fitness::dead;
    }

    [[nodiscard]] Fitness read_envelope(std::string_view text, Message& message) {
        std::optional<Json> envelope = parse_json(text);
        if (!envelope) { return dead("it is no JSON"); }
        if (!envelope->is_object()) { return dead("it is no JSON object"); }
        Json& headers = (*envelope)["headers"];
        Json& properties = (*envelope)["properties"];
        if (!headers.is_object()) { return dead("it has no headers"); }
        if (!properties.is_object()) { return dead("it has no properties"); }
        message.task = text_of(headers, "task");
        message.id = text_of(headers, "id");
        if (!headers.contains("id") && !headers.contains("task")) { return dead("it is of another protocol than 2"); }
        if (!is_task_id(message.id)) { return dead("it has no id of a task"); }
        if (message.task.empty()) { return dead("it names no task"); }
        message.headers = std::move(headers);
        message.properties = std::move(properties);
        // All of it, whatever is wrong with a part: what it embeds says who is to be told.
        const bool are_headers_good = read_headers(message);
        const bool is_body_good = read_body(*envelope, message);
        return are_headers_good && is_body_good ? Fitness::good : Fitness::failed;
    }

    [[nodiscard]] static std::string text_of(const Json& json, const char* name) {
        const auto found = json.find(name);
        return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
    }

    [[nodiscard]] static bool is_true(const Json& json, const char* name) {
        const auto found = json.find(name);
        return found != json.end() && found->is_boolean() && found->get<bool>();
    }

    /// The first problem is the one that is told.
    [[nodiscard]] bool bad(std::string what) {
        if (problem_.empty()) { problem_ = std::move(what); }
        return false;
    }

    [[nodiscard]] bool read_headers(Message& message) {
        const Json& headers = message.headers;
        message.root_id = text_of(headers, "root_id");
        message.parent_id = text_of(headers, "parent_id");
        message.group = text_of(headers, "group");
        message.ignore_result = is_true(headers, "ignore_result");
        message.is_redelivered = is_true(headers, "redelivered");
        if (const auto found = headers.find("group_index"); found != headers.end()) {
            message.group_index = luzia::detail::number_of<std::int64_t>(*found);
        }
        if (const auto found = headers.find("retries"); found != headers.end() && !found->is_null()) {
            const auto retries = luzia::detail::number_of<int>(*found);
            if (!retries || *retries < 0) { return bad("its number of retries is none"); }
            message.retries = *retries;
        }
        if (const auto found = message.properties.find("priority"); found != message.properties.end()) {
            message.priority = priority_of(*found);
        }
        return read_time(headers, "eta", message.eta) && read_time(headers, "expires", message.expires) && read_limits(headers, message);
    }

    [[nodiscard]] bool read_time(const Json& headers, const char* name, std::optional<Time>& time) {
        const auto found = headers.find(name);
        if (found == headers.end() || found->is_null()) { return true; }
        if (found->is_string()) { time = parse_iso_time(found->get_ref<const std::string&>()); }
        return time || bad("its eta or expiry is no time");
    }

    [[nodiscard]] bool read_limits(const Json& headers, Message& message) {
        const auto found = headers.find("timelimit");
        if (found == headers.end() || found->is_null() || (found->is_array() && found->empty())) { return true; }
        if (!found->is_array() || found->size() != 2) { return bad("its time limits are none"); }
        for (const std::size_t i : {0U, 1U}) {
            const Json& limit = (*found)[i];
            if (limit.is_null()) { continue; }
            if (!is_time_limit(limit)) { return bad("its time limits are none"); }
            (i == 0 ? message.time_limit : message.soft_time_limit) = limit.get<double>();
        }
        return true;
    }

    [[nodiscard]] bool read_body(const Json& envelope, Message& message) {
        const std::string type = text_of(envelope, "content-type");
        if (type != "application/json") { return bad("its content type is \"" + cut(type, 64) + "\": application/json is read here"); }
        if (message.headers.contains("compression") && !message.headers["compression"].is_null()) { return bad("its body is compressed"); }
        const auto body = envelope.find("body");
        if (body == envelope.end() || !body->is_string()) { return bad("its body is no text"); }
        const std::string& written = body->get_ref<const std::string&>();
        const std::string encoding = text_of(message.properties, "body_encoding");
        std::optional<std::string> bytes = encoding == "base64" ? base64_decode(written) : std::optional(written);
        if (!bytes) { return bad("its body is no base64"); }
        std::optional<Json> parts = parse_json(*bytes);
        if (!parts) { return bad("its body is no JSON"); }
        if (!parts->is_array() || parts->size() != 3) {
            if (parts->is_array() && parts->size() > 3) { read_embed((*parts)[2], message); }
            return bad("its body is not [args, kwargs, embed]");
        }
        Json& args = (*parts)[0];
        Json& kwargs = (*parts)[1];
        const bool is_embed_good = read_embed((*parts)[2], message);
        if (!args.is_array() || !kwargs.is_object()) { return bad("its arguments are not a list and an object"); }
        if (!is_embed_good) { return bad("what is embedded in its body is no object"); }
        if (bytes->find("__type__") != std::string::npos) {
            unwrap_typed(args);
            unwrap_typed(kwargs);
        }
        message.args = std::move(args);
        message.kwargs = std::move(kwargs);
        return true;
    }

    static bool read_embed(Json& embed, Message& message) {
        if (!embed.is_object()) { return embed.is_null(); }
        message.embed = std::move(embed);
        return true;
    }

    std::string problem_;
};

} // namespace detail

/// Reads an envelope. Whatever the bytes are, it says what may become of them.
[[nodiscard]] inline Reading read_message(std::string_view text) { return detail::MessageReader().read(text); }

/// The same message, as one that is delivered again. Nothing where it is no message.
///
/// @param queue  which it goes back to: for a message that does not say where it was sent, as Celery's workers need it
[[nodiscard]] inline std::optional<std::string> redelivered(std::string_view text, const std::string& queue = {}) {
    std::optional<Json> envelope = parse_json(text);
    if (!envelope || !envelope->is_object() || !(*envelope)["headers"].is_object() || !(*envelope)["properties"].is_object()) {
        return std::nullopt;
    }
    (*envelope)["headers"]["redelivered"] = true;
    Json& delivery = (*envelope)["properties"]["delivery_info"];
    if (!delivery.is_object()) {
        delivery = Json::object();
        if (!queue.empty()) {
            delivery["exchange"] = "";
            delivery["routing_key"] = queue;
        }
    }
    delivery["redelivered"] = true;
    return dump_json(*envelope);
}

/// The same message for another try: same id and arguments, as they were written, later. Nothing where it is no message.
[[nodiscard]] inline std::optional<std::string> retried(std::string_view text, int retries, Time eta, const std::string& delivery_tag) {
    std::optional<Json> envelope = parse_json(text);
    if (!envelope || !envelope->is_object() || !(*envelope)["headers"].is_object() || !(*envelope)["properties"].is_object()) {
        return std::nullopt;
    }
    Json& headers = (*envelope)["headers"];
    headers["retries"] = retries;
    headers["eta"] = iso_time(eta);
    headers["parent_id"] = headers["id"];
    headers.erase("redelivered");
    Json& properties = (*envelope)["properties"];
    properties["delivery_tag"] = delivery_tag;
    if (properties["delivery_info"].is_object()) { properties["delivery_info"].erase("redelivered"); }
    return dump_json(*envelope);
}

} // namespace luzia::celery
