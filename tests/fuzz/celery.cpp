// fuzz/celery.cpp: whatever stands in a queue, in `unacked` or as a result, it is read or refused, and what was read is written as it was.
#include "check.hpp"

#include <luzia/celery/follow_up.hpp>
#include <luzia/celery/matcher.hpp>
#include <luzia/celery/message.hpp>
#include <luzia/celery/parameters.hpp>
#include <luzia/celery/restoring.hpp>
#include <luzia/celery/result.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace {

namespace celery = luzia::celery;
using celery::Json;
using luzia_fuzz::check;

/// Equal, where NaN equals itself.
bool is_same(const Json& left, const Json& right) { return celery::dump_json(left) == celery::dump_json(right); }

void check_json(std::string_view text) {
    const std::optional<Json> json = celery::parse_json(text);
    if (!json) { return; }
    const auto written = celery::dump_json(*json);
    check(written.has_value(), "what was parsed can be written");
    const auto again = celery::parse_json(*written);
    check(again && is_same(*again, *json), "what was written is read as it was", *written);
    Json plain = *json;
    celery::unwrap_typed(plain);
    check(celery::dump_json(plain).has_value(), "without its types it can be written");
    for (const char* const state : {"FAILURE", "RETRY", "REVOKED"}) {
        const auto stored = celery::encode_result(state, *json, {}, celery::Time());
        check(stored && celery::decode_result(*stored) && celery::decode_result(*stored)->failure, "anything is stored as a failure");
    }
    check(celery::python_repr(*json).size() <= 1024 + 3 && celery::is_utf8(celery::python_repr(*json)), "a repr is short, and text");
}

void check_message(std::string_view text) {
    const celery::Reading reading = celery::read_message(text);
    check((reading.fitness == celery::Fitness::good) == reading.problem.empty(), "a problem is named where there is one");
    const auto again = celery::redelivered(text);
    if (again) { check(celery::read_message(*again).fitness == reading.fitness, "marked, it is as fit as before", *again); }
    if (reading.fitness == celery::Fitness::dead) { return; }
    const celery::Message& message = reading.message;
    check(celery::is_task_id(message.id) && !message.task.empty(), "who can be told has an id, and a task");
    if (reading.fitness != celery::Fitness::good) { return; }
    check(message.args.is_array() && message.kwargs.is_object() && message.embed.is_object(), "the parts are what they should be");
    check(message.retries >= 0, "retries are counted from zero");
    celery::Message copy = message;
    copy.headers = Json::object();
    const auto written = celery::encode_message(copy, "q", celery::Sender());
    check(written.has_value(), "what was read can be written");
    const celery::Message read = celery::read_message(*written).message;
    check(std::tie(read.task, read.id, read.retries, read.group, read.parent_id) ==
              std::tie(message.task, message.id, message.retries, message.group, message.parent_id),
          "what was written is read as it was", *written);
    check(is_same(read.args, message.args) && is_same(read.kwargs, message.kwargs), "arguments stay what they are", *written);

    celery::ServerOptions options;
    celery::detail::Composer composer(options);
    if (celery::detail::problem_of_follow_ups(message).empty()) {
        const celery::detail::Successors all = celery::detail::successors(composer, message, Json(1), "celery");
        check(all.problem.empty(), "what follows, and was judged, can be sent");
        for (const celery::detail::Outgoing& next : all.messages) {
            check(celery::read_message(next.envelope).fitness == celery::Fitness::good, "what follows can be read", next.envelope);
        }
    }
    try {
        using Values = celery::detail::ParametersOf<void (*)(int, std::optional<std::string>, celery::Keywords)>;
        const std::vector<std::string> names{"a", "b"};
        Json args = message.args;
        Json kwargs = message.kwargs;
        static_cast<void>(Values::read(message.task, names, std::move(args), std::move(kwargs)));
    } catch (const celery::TaskFailure& failure) { check(failure.exc_type() == "TypeError", "what does not fit is a TypeError"); }
}

void check_others(std::string_view text) {
    if (const auto result = celery::decode_result(text)) {
        check(result->failure.has_value() == celery::is_failure(result->state), "a failure is there where the state says so");
        check(
            celery::encode_result(result->state, result->failure ? result->failure->json() : result->value, {}, celery::Time()).has_value(),
            "a result that was read can be written");
    }
    if (const auto entry = celery::detail::read_held_entry(text)) {
        check(celery::redelivered(entry->envelope).has_value(), "what is given back is an envelope", entry->envelope);
    }
    if (const auto bytes = celery::base64_decode(text)) {
        check(celery::base64_decode(celery::base64_encode(*bytes)) == bytes, "base64 is read as it was");
    }
    check(celery::base64_decode(celery::base64_encode(text)) == text, "any bytes have their base64");
    if (const auto time = celery::parse_iso_time(text)) {
        check(celery::parse_iso_time(celery::iso_time(*time)) == time || !celery::detail::is_sendable_time(*time),
              "a time is read as it was");
    }
    static_cast<void>(celery::detail::chord_end({std::string(text)}));
}

/// Bytes that are no text: all that they are made into is.
void check_bytes(std::string_view text) {
    check(celery::is_utf8(celery::as_utf8(std::string(text))), "it is made text");
    check(!celery::is_utf8(text) || celery::as_utf8(std::string(text)) == text, "text stays what it is");
    const std::string half(text.substr(0, text.size() / 2));
    const celery::TaskFailure failure(half, Json::array({half, Json::object({{std::string(text), half}})}), std::string(text), half);
    celery::ResultDetails details;
    details.traceback = failure.traceback();
    const auto stored = celery::encode_result("FAILURE", failure.json(), details, celery::Time());
    check(stored && celery::decode_result(*stored)->failure->exc_type() == failure.exc_type(), "a failure of any bytes is stored");
    static_cast<void>(celery::is_match(half, text.substr(text.size() / 2), "glob"));
    static_cast<void>(celery::is_match("celery@host-1.example", text, "pcre"));
}

} // namespace

/// As it is; and, behind a `!`, as the body of a message that is good otherwise.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (text.starts_with('!')) {
        std::string envelope = R"({"body":")" + celery::base64_encode(text.substr(1));
        envelope +=
            R"(","content-type":"application/json","headers":{"id":"i","task":"t","group":"g"},"properties":{"body_encoding":"base64","delivery_info":{}}})";
        check_message(envelope);
        return 0;
    }
    check_json(text);
    check_bytes(text);
    check_message(text);
    check_others(text);
    return 0;
}
