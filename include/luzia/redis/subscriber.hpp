// redis/subscriber.hpp: a connection that listens: channels and patterns, confirmed, and subscribed again after each loss of the link.
#pragma once

#include <luzia/redis/bytes.hpp>
#include <luzia/redis/command.hpp>
#include <luzia/redis/dialer.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace luzia::redis {

/// A connection in Redis's subscribed mode.
///
/// What is wanted is kept here and said to the server whenever a link is there, so that a lost link costs the messages of that time and
/// nothing else: each confirmation, the first or a later one, tells the listener that from now on none is missed. A server that owes a
/// confirmation and sends nothing for `command_timeout` is dropped; one with nothing to say is asked with PING.
class Subscriber final : public Dialer {
public:
    /// Who is told. Called on the subscriber's strand, one call at a time.
    class Listener {
    public:
        /// Messages of this channel or pattern arrive from now on. Called again after each new link.
        virtual void on_subscribed(const std::string& name) noexcept = 0;
        virtual void on_message(const std::string& channel, std::string&& payload) noexcept = 0;

    protected:
        ~Listener() = default;
    };

    enum class Kind { channel, pattern };

    [[nodiscard]] static std::shared_ptr<Subscriber> create(const asio::any_io_executor& executor, Target target, ConnectionOptions options,
                                                            std::shared_ptr<EventLog> log, std::weak_ptr<Listener> listener) {
        std::shared_ptr<Subscriber> subscriber(
            new Subscriber(executor, std::move(target), std::move(options), std::move(log), std::move(listener)));
        subscriber->join_context();
        return subscriber;
    }

    ~Subscriber() { on_gone(); }

    /// Connects where there is no link yet. Any thread.
    void subscribe(std::string name, Kind kind = Kind::channel) { change({std::move(name), kind, true}); }
    /// Any thread.
    void unsubscribe(std::string name, Kind kind = Kind::channel) { change({std::move(name), kind, false}); }

    /// Nothing is reported from here on but what is being reported. Any thread.
    void close() {
        const std::scoped_lock lock(mutex_);
        if (std::exchange(is_closed_, true)) { return; }
        strand().post([self = self_pointer()] {
            self->hang_up();
            self->deadline_timer().cancel();
            self->wanted_.clear();
        });
    }

private:
    struct Change {
        std::string name;
        Kind kind;
        bool is_wanted;
    };

    Subscriber(const asio::any_io_executor& executor, Target target, ConnectionOptions options, std::shared_ptr<EventLog> log,
               std::weak_ptr<Listener> listener)
        : Dialer(executor, std::move(target), std::move(options), std::move(log)), listener_(std::move(listener)) {}

    [[nodiscard]] std::shared_ptr<Subscriber> self_pointer() { return std::static_pointer_cast<Subscriber>(shared_from_this()); }

    void change(Change change) {
        const std::scoped_lock lock(mutex_);
        if (is_closed_) { return; }
        changes_.push_back(std::move(change));
        if (std::exchange(is_awake_, true)) { return; }
        strand().post([self = self_pointer()] { self->take_changes(); });
    }

    void take_changes() {
        std::vector<Change> changes;
        {
            const std::scoped_lock lock(mutex_);
            is_awake_ = false;
            changes.swap(changes_);
        }
        if (phase() == Phase::closed) { return; }
        for (Change& change : changes) {
            if (phase() == Phase::ready) { say(change); }
            if (change.is_wanted) {
                wanted_.insert_or_assign(std::move(change.name), change.kind);
            } else {
                wanted_.erase(change.name);
            }
        }
        dial();
        flush();
        arm();
    }

    void say(const Change& change) {
        const bool is_channel = change.kind == Kind::channel;
        const std::string_view verb =
            change.is_wanted ? (is_channel ? "SUBSCRIBE" : "PSUBSCRIBE") : (is_channel ? "UNSUBSCRIBE" : "PUNSUBSCRIBE");
        append_command(unsent_, std::array<std::string_view, 2>{verb, change.name});
        owe();
    }

    void owe() {
        if (owed_++ == 0) { note_life(); }
    }

    void flush() {
        if (phase() != Phase::ready || link().is_writing() || unsent_.empty()) { return; }
        link().outgoing.text.swap(unsent_);
        unsent_.clear();
        link().write();
    }

    void on_link_ready() override {
        unsent_.clear();
        owed_ = 0;
        for (const auto& [name, kind] : wanted_) {
            say({name, kind, true});
        }
        note_life();
        flush();
        arm();
    }

    void on_link_lost(error_code, Admission) override {
        unsent_.clear();
        owed_ = 0;
    }

    void on_progress(bool is_all) override {
        if (is_all) { flush(); }
    }

    [[nodiscard]] bool on_reply(Reply& reply) override {
        if (reply.kind() == Reply::Kind::array || reply.kind() == Reply::Kind::push) { return on_news(reply.elements()); }
        owed_ -= owed_ > 0 ? 1U : 0U;
        if (reply.is_error()) {
            log_->event(spdlog::level::warn, "subscription refused",
                        "luzia: " + target().text() + " refused a subscription: " + printable_server_text(reply.text()));
        }
        return true; // else the answer to a PING
    }

    [[nodiscard]] bool on_news(std::vector<Reply>& elements) {
        const std::string_view word = elements.empty() ? std::string_view() : std::string_view(elements[0].text());
        const auto listener = listener_.lock();
        if (word == "message" && elements.size() == 3) {
            if (listener) { listener->on_message(elements[1].text(), std::move(elements[2]).text()); }
        } else if (word == "pmessage" && elements.size() == 4) {
            if (listener) { listener->on_message(elements[2].text(), std::move(elements[3]).text()); }
        } else if ((word == "subscribe" || word == "psubscribe") && elements.size() == 3) {
            owed_ -= owed_ > 0 ? 1U : 0U;
            if (listener && wanted_.count(elements[1].text()) != 0) { listener->on_subscribed(elements[1].text()); }
        } else if (((word == "unsubscribe" || word == "punsubscribe") && elements.size() == 3) || word == "pong") {
            owed_ -= owed_ > 0 ? 1U : 0U;
        } else {
            lose_for_protocol(Error::protocol, "a message that none has in subscribed mode");
            return false;
        }
        return true;
    }

    std::size_t on_replies_end(std::size_t, std::size_t replies) override {
        if (replies > 0) { note_life(); }
        if (phase() == Phase::ready) { flush(); }
        return 0;
    }

    void on_gone() noexcept override {
        const std::scoped_lock lock(mutex_);
        is_closed_ = true;
        changes_.clear();
    }

    // Silence.

    void note_life() { quiet_since_ = Clock::now(); }

    [[nodiscard]] Clock::time_point limit() const {
        return quiet_since_ + (owed_ > 0 ? options_.command_timeout : options_.health_check_interval);
    }

    void arm() {
        if (phase() == Phase::closed || is_armed_) { return; }
        is_armed_ = true;
        // Looked at now and then: what is owed may become due earlier than what the timer was set for.
        const auto due = phase() == Phase::ready ? limit() : Clock::now() + options_.command_timeout;
        deadline_timer().expires_at(std::min(due, Clock::now() + options_.command_timeout));
        wait(deadline_timer(), [self = self_pointer()] {
            self->is_armed_ = false;
            self->after_arrivals({[](Dialer& dialer, std::uint64_t) { static_cast<Subscriber&>(dialer).judge(); }});
        });
    }

    void judge() {
        if (phase() == Phase::closed) { return; }
        if (phase() == Phase::ready && Clock::now() >= limit() && !link().has_unread()) {
            if (owed_ > 0) {
                lose(Error::silent, "silent while a confirmation was due");
            } else {
                append_command(unsent_, std::array<std::string_view, 1>{"PING"});
                owe();
                flush();
            }
        }
        arm();
    }

    std::weak_ptr<Listener> listener_;

    std::mutex mutex_; // guards the next three
    std::vector<Change> changes_;
    bool is_awake_ = false;
    bool is_closed_ = false;

    // Confined to the strand.
    std::unordered_map<std::string, Kind> wanted_;
    Bytes unsent_;
    std::size_t owed_ = 0;
    Clock::time_point quiet_since_{};
    bool is_armed_ = false;
};

} // namespace luzia::redis
