// backend/redis_calls.hpp: how each question to the cache becomes commands, and their replies its answer.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/redis/connection.hpp>

#include <boost/system/errc.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::backend::detail {

using redis::Connection;
using redis::Reply;
using redis::Ticket;
using redis::Verdict;

using Arguments = std::span<const std::string_view>;

/// What one reply says to `verb`, asked about so many keys; false where it is nothing that the command can be answered with.
[[nodiscard]] inline bool read_reply(Verb verb, Reply& reply, std::size_t keys, Answer& answer) {
    if (reply.is_error()) {
        answer = Answer::failure(server_error(reply.text()));
        return true;
    }
    const bool is_count =
        reply.kind() == Reply::Kind::integer && reply.integer() >= 0 && reply.integer() <= static_cast<std::int64_t>(keys);
    switch (verb) {
    case Verb::get:
        if (reply.is_nil()) {
            answer.outcome = Outcome::miss;
            return true;
        }
        answer.outcome = Outcome::hit;
        answer.value = std::move(reply).text();
        return reply.kind() == Reply::Kind::string;
    case Verb::set: answer.count = 1; return reply.is_status("OK");
    case Verb::erase:
    case Verb::remove_matching:
    case Verb::touch: answer.count = static_cast<std::size_t>(reply.integer()); return is_count;
    case Verb::contains: answer.outcome = reply.integer() != 0 ? Outcome::hit : Outcome::miss; return is_count;
    case Verb::time_to_live:
        // -2: no such key; -1: no ttl.
        answer.outcome = reply.integer() == -2 ? Outcome::miss : Outcome::hit;
        if (reply.integer() >= 0) { answer.ttl = std::chrono::milliseconds(reply.integer()); }
        return reply.kind() == Reply::Kind::integer && reply.integer() >= -2;
    case Verb::ping: return reply.is_status("PONG");
    case Verb::get_many: return false;
    }
    return false;
}

/// A question that is one command. Lives in the operation itself.
class SingleCall final : public redis::ReplyHandler {
public:
    SingleCall(Verb verb, Operation& operation, Connection& connection) noexcept
        : verb_(verb), operation_(&operation), connection_(&connection) {}

    void submit(Arguments arguments, const Request& request) {
        const error_code error = connection_->submit(arguments, this, &ticket_, request.payload, request.is_gathered);
        if (error) { on_failure(error); }
    }

    void cancel() { connection_->cancel(ticket_); }

    [[nodiscard]] Verdict on_reply(Reply& reply) noexcept override {
        Answer& answer = operation_->answer();
        const bool fits = read_reply(verb_, reply, 1, answer);
        if (!fits) { answer = Answer::failure(Error::protocol); }
        operation_->on_answered();
        return fits ? Verdict::fits : Verdict::nonsense;
    }

    void on_failure(error_code reason) noexcept override { operation_->on_answer(Answer::failure(reason)); }
    void on_abandon() noexcept override { operation_->on_abandon(); }

private:
    Verb verb_;
    Operation* operation_;
    Connection* connection_;
    Ticket ticket_ = 0;
};

/// Whether what a reply counts is part of the answer.
enum class Counting { replies, nothing };

/// A question that is several commands, on one connection or many: the answer is the sum of theirs. Lives until the last has ended.
class SpreadCall : public std::enable_shared_from_this<SpreadCall> {
public:
    SpreadCall(Verb verb, Operation& operation) : verb_(verb), operation_(&operation) {
        if (verb == Verb::get_many) { answer_.outcome = Outcome::hit; }
    }
    SpreadCall(const SpreadCall&) = delete;
    SpreadCall& operator=(const SpreadCall&) = delete;

    /// Before the first command: so many values are expected.
    void expect_values(std::size_t count) { answer_.values.resize(count); }

    /// One more command; `indices` says which keys of the question its reply is about.
    void submit(Connection& connection, Arguments arguments, std::vector<std::size_t> indices, Counting counting = Counting::replies) {
        Part& part = parts_.emplace_back(*this, connection, std::move(indices), counting);
        {
            const std::scoped_lock lock(mutex_);
            ++pending_;
        }
        error_code error = make_error_code(boost::system::errc::not_enough_memory);
        try {
            error = connection.submit(arguments, &part, &part.ticket);
        } catch (...) {} // nothing was taken
        if (error) { part.on_failure(error); }
    }

    /// The making of the commands was cut short.
    void fail(error_code reason) {
        const std::scoped_lock lock(mutex_);
        note(Answer::failure(reason));
    }

    /// All commands are under way. From here on the call keeps itself.
    void seal(Operation& operation) {
        operation.attachment = shared_from_this();
        self_ = shared_from_this();
        settle();
    }

    void cancel() {
        for (Part& part : parts_) {
            part.connection->cancel(part.ticket);
        }
    }

private:
    struct Part final : redis::ReplyHandler {
        Part(SpreadCall& whole, Connection& on, std::vector<std::size_t> about, Counting how) noexcept
            : call(&whole), connection(&on), indices(std::move(about)), counting(how) {}

        [[nodiscard]] Verdict on_reply(Reply& reply) noexcept override {
            return call->on_part(*this, reply) ? Verdict::fits : Verdict::nonsense;
        }
        void on_failure(error_code reason) noexcept override { call->on_part_failure(reason); }
        void on_abandon() noexcept override { call->on_part_abandon(); }

        SpreadCall* call;
        Connection* connection;
        std::vector<std::size_t> indices;
        Counting counting;
        Ticket ticket = 0;
    };

    [[nodiscard]] bool on_part(const Part& part, Reply& reply) {
        Answer partial;
        bool fits = true;
        {
            const std::scoped_lock lock(mutex_);
            fits = verb_ == Verb::get_many && !reply.is_error() ? take_values(part, reply)
                                                                : read_reply(verb_, reply, part.indices.size(), partial);
            if (!fits) { partial = Answer::failure(Error::protocol); }
            if (part.counting == Counting::replies) { answer_.count += partial.count; }
            note(partial);
        }
        settle();
        return fits;
    }

    [[nodiscard]] bool take_values(const Part& part, Reply& reply) {
        auto& elements = reply.elements();
        if (reply.kind() != Reply::Kind::array || elements.size() != part.indices.size()) { return false; }
        const auto fits = [](const Reply& element) { return element.is_nil() || element.kind() == Reply::Kind::string; };
        if (!std::all_of(elements.begin(), elements.end(), fits)) { return false; }
        for (std::size_t i = 0; i < elements.size(); ++i) {
            if (!elements[i].is_nil()) { answer_.values[part.indices[i]] = std::move(elements[i]).text(); }
        }
        return true;
    }

    void on_part_failure(error_code reason) {
        {
            const std::scoped_lock lock(mutex_);
            note(Answer::failure(reason));
        }
        settle();
    }

    void on_part_abandon() {
        {
            const std::scoped_lock lock(mutex_);
            is_abandoned_ = true;
        }
        settle();
    }

    /// The first failure is the one told.
    void note(const Answer& partial) {
        if (is_answer(partial.outcome) || !is_answer(answer_.outcome)) { return; }
        answer_.outcome = partial.outcome;
        answer_.error = partial.error;
    }

    /// One of the commands, or the making of them, has ended.
    void settle() {
        std::shared_ptr<SpreadCall> self;
        {
            const std::scoped_lock lock(mutex_);
            if (--pending_ > 0) { return; }
            self = std::move(self_);
        }
        if (is_abandoned_) {
            operation_->on_abandon();
        } else {
            operation_->on_answer(std::move(answer_));
        }
    }

    Verb verb_;
    Operation* operation_;
    std::mutex mutex_;
    Answer answer_;
    std::deque<Part> parts_;  // never moved: connections hold their addresses
    std::size_t pending_ = 1; // one for the making of the commands
    bool is_abandoned_ = false;
    std::shared_ptr<SpreadCall> self_;
};

} // namespace luzia::backend::detail
