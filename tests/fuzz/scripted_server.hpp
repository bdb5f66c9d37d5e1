// fuzz/scripted_server.hpp: a server at the other end of transports without a network, which does what it is told: the truth, junk, or nothing.
#pragma once

#include "check.hpp"
#include "watched_operation.hpp"

#include <luzia/redis/transport.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia_fuzz {

namespace asio = boost::asio;
using luzia::error_code;
using Command = std::vector<std::string>;

/// What a server does by itself, without being told.
struct Habits {
    bool connects = true;
    bool accepts = true; ///< all that is written, at once
    bool shakes_hands = true;
    bool answers = true;  ///< the truth, at once
    bool delivers = true; ///< all that was answered, at once
    bool has_unread = false;
    bool takes_at_once = false; ///< what is offered without a wait
};

/// Takes whole commands off `bytes`, which must start with nothing else.
[[nodiscard]] inline std::pair<Command, std::size_t> take_command(std::string_view bytes) {
    const std::string_view whole = bytes;
    const auto number = [&](char type) {
        check(bytes.starts_with(type), "what is written is commands", whole);
        const std::size_t end = bytes.find("\r\n");
        check(end != std::string_view::npos, "commands are written whole", whole);
        const std::size_t value = std::stoul(std::string(bytes.substr(1, end - 1)));
        bytes.remove_prefix(end + 2);
        return value;
    };
    Command command(number('*'));
    for (std::string& argument : command) {
        const std::size_t size = number('$');
        check(bytes.size() >= size + 2 && bytes.substr(size, 2) == "\r\n", "commands are written whole", whole);
        argument = bytes.substr(0, size);
        bytes.remove_prefix(size + 2);
    }
    return {std::move(command), whole.size() - bytes.size()};
}

class ScriptedTransport;

/// What all connections of one run share.
struct ScriptedServer {
    explicit ScriptedServer(const Circumstances& now) noexcept : circumstances(now) {}

    const Circumstances& circumstances;
    Habits habits;
    std::size_t handshake_size = 1; ///< commands that come before the connection is ready
    bool may_break = false;         ///< a connection has had a reason to break
    std::size_t transports_made = 0;
    unsigned pages = 0;
    std::vector<ScriptedTransport*> transports; ///< those that exist
    std::function<void(const Command&)> on_written = [](const Command&) {};

    /// The true answer to `command`, or one of the true ones.
    [[nodiscard]] std::string answer(const Command& command, unsigned choice) {
        const auto bulk = [](std::string_view text) { return '$' + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n"; };
        const auto value = [&](const std::string& key, bool is_there) { return is_there ? bulk("\"value of " + key + '"') : "$-1\r\n"; };
        const auto number = [](std::size_t count) { return ':' + std::to_string(count) + "\r\n"; };
        const std::string& name = command[0];
        if (name == "PING") { return "+PONG\r\n"; }
        if (name == "GET" && choice % 4 == 2) { return bulk("value of " + command[1]); } // which is no JSON
        if (name == "GET") { return value(command[1], choice % 4 != 3); }
        if (name == "PTTL") { return choice % 4 == 3 ? ":-2\r\n" : choice % 4 == 2 ? ":-1\r\n" : ":5000\r\n"; }
        if (name == "EXISTS" || name == "PEXPIRE" || name == "PERSIST") { return number(choice % 2); }
        if (name == "UNLINK") { return number(choice % command.size()); }
        if (name == "MGET") {
            std::string text = '*' + std::to_string(command.size() - 1) + "\r\n";
            for (std::size_t i = 1; i < command.size(); ++i) {
                text += value(command[i], (choice >> (i % 8) & 1U) == 0);
            }
            return text;
        }
        if (name == "SCAN") {
            const bool is_last = choice % 4 == 0 || ++pages % 5 == 0;
            std::string text =
                "*2\r\n" + bulk(is_last ? "0" : std::to_string(1000 + pages)) + '*' + std::to_string(choice / 4 % 3) + "\r\n";
            for (unsigned i = 0; i < choice / 4 % 3; ++i) {
                text += bulk("found " + std::to_string(i));
            }
            return text;
        }
        return "+OK\r\n"; // SET, AUTH, SELECT, CLIENT
    }

    /// What a server refuses a command with.
    [[nodiscard]] std::string refusal(const Command& command, unsigned choice) const {
        static constexpr std::string_view words[] = {"WRONGTYPE Operation against a key",
                                                     "OOM command not allowed",
                                                     "LOADING Redis is loading",
                                                     "READONLY You can't write",
                                                     "MASTERDOWN Link with MASTER is down",
                                                     "NOAUTH Authentication required.",
                                                     "ERR"};
        // Only in an answer to AUTH is a password looked for, and a liar's answers come at any place.
        if (choice % 16 == 15 && command[0] == "AUTH" && !circumstances.is_lying) {
            return "-WRONGPASS " + command.back() + " is not the password\r\n";
        }
        if (choice % 8 < std::size(words)) { return '-' + std::string(words[choice % 8]) + "\r\n"; }
        std::string text = "-ERR unknown command '" + command[0] + "', with args beginning with: ";
        for (std::size_t i = 1; i < command.size(); ++i) {
            text += '\'' + command[i].substr(0, command[i].find_first_of("\r\n")) + "' ";
        }
        return text + "\r\n";
    }
};

/// One connection to the server. Calls back from the strand, never inside a call; after `close` what was under way ends with an error.
class ScriptedTransport final : public luzia::redis::Transport {
    using Callback = luzia::redis::TransportCallback;

public:
    ScriptedTransport(ScriptedServer& server, luzia::redis::StreamExecutor executor)
        : server_(server), executor_(std::move(executor)), handshake_left_(server.handshake_size) {
        server_.transports.push_back(this);
        ++server_.transports_made;
    }
    ~ScriptedTransport() override { std::erase(server_.transports, this); }

    void connect(const luzia::redis::Endpoint&, Callback callback) override {
        connecting_.emplace(std::move(callback));
        if (server_.habits.connects) { end_connect({}); }
    }
    void secure(Callback callback) override { post(std::move(callback), {}, 0); }

    void read_some(asio::mutable_buffer buffer, Callback callback) override {
        check(is_open_ && !reading_ && buffer.size() > 0, "there is one read at a time, of an open stream");
        reading_.emplace(std::move(callback));
        into_ = buffer;
        serve();
    }

    void write_some(asio::const_buffer buffer, Callback callback) override {
        check(is_open_ && !writing_ && buffer.size() > 0, "there is one write at a time, of an open stream");
        writing_.emplace(std::move(callback));
        from_ = buffer;
        take_over(buffer);
        if (server_.habits.accepts) { accept(buffer.size()); }
    }

    [[nodiscard]] std::size_t try_write(std::span<const asio::const_buffer> pieces) noexcept override {
        if (!is_open_ || !server_.habits.takes_at_once) { return 0; }
        check(!writing_, "there is one write at a time, of an open stream");
        std::string whole;
        for (const asio::const_buffer& piece : pieces) {
            whole.append(static_cast<const char*>(piece.data()), piece.size());
        }
        take_over(asio::buffer(whole));
        swallow(whole.size());
        return whole.size();
    }

    [[nodiscard]] bool has_unread() override { return server_.habits.has_unread || !arrived_.empty(); }

    void close() noexcept override {
        is_open_ = false;
        for (auto* const pending : {&connecting_, &reading_, &writing_}) {
            end(*pending, asio::error::operation_aborted, 0);
        }
    }

    // What the script says. Each does nothing where there is nothing to do it to.

    void end_connect(error_code error) { end(connecting_, error, 0); }
    void end_read(error_code error) { end(reading_, error, 0); }
    void end_write(error_code error) { end(writing_, error, 0); }

    /// Takes so many bytes of what is being written.
    void accept(std::size_t size) {
        if (!writing_) { return; }
        size = std::min(size, from_.size());
        check(std::string_view(static_cast<const char*>(from_.data()), from_.size()) == unwritten_, "what is being written stays as it is");
        end(writing_, {}, size);
        swallow(size);
    }

    [[nodiscard]] bool is_writing() const noexcept { return writing_.has_value(); }
    [[nodiscard]] bool is_asked() const noexcept { return !asked_.empty(); }
    [[nodiscard]] bool is_quiet() const noexcept {
        return asked_.empty() && written_.empty() && answers_.empty() && arrived_.empty() && !writing_;
    }

    void answer(unsigned choice) {
        if (asked_.empty()) { return; }
        say(server_.answer(asked_.front(), choice));
        asked_.pop_front();
    }
    void answer_all(unsigned choice) {
        while (!asked_.empty()) {
            answer(choice);
        }
    }
    void refuse(unsigned choice) {
        if (asked_.empty()) { return; }
        say(server_.refusal(asked_.front(), choice));
        asked_.pop_front();
    }
    void say(std::string_view bytes) {
        answers_.append(bytes);
        if (server_.habits.delivers) { deliver(answers_.size()); }
    }
    /// Says what nobody asked for, on a quiet line: the connection has to end over it.
    void interrupt() {
        if (!reading_ || handshake_left_ > 0 || !is_quiet()) { return; }
        is_to_be_dropped_ = true;
        arrived_.push_back("+OK\r\n");
        serve();
    }
    [[nodiscard]] bool is_dropped_where_due() const noexcept { return !is_to_be_dropped_ || !is_open_; }

    /// So many bytes of what was said arrive; no read takes more than what arrives together.
    void deliver(std::size_t size) {
        size = std::min(size, answers_.size());
        if (size == 0) { return; }
        arrived_.push_back(answers_.substr(0, size));
        answers_.erase(0, size);
        serve();
    }

private:
    /// What is to be written; the rest of it, where there is some.
    void take_over(asio::const_buffer buffer) {
        std::string_view offered(static_cast<const char*>(buffer.data()), buffer.size());
        check(unwritten_.empty() || offered == unwritten_, "after a partial write the rest is written");
        if (!unwritten_.empty()) { return; }
        unwritten_ = offered;
        while (!offered.empty()) {
            auto [command, size] = take_command(offered);
            offered.remove_prefix(size);
            server_.on_written(command);
            written_.emplace_back(std::move(command), size);
        }
    }

    /// So many bytes have left the program.
    void swallow(std::size_t size) {
        unwritten_.erase(0, size);
        for (accepted_ += size; !written_.empty() && accepted_ >= written_.front().second; written_.pop_front()) {
            accepted_ -= written_.front().second;
            asked_.push_back(std::move(written_.front().first));
            const bool is_handshake = handshake_left_ > 0;
            if (is_handshake) { --handshake_left_; }
            if (is_handshake ? server_.habits.shakes_hands : server_.habits.answers) { answer_all(0); }
        }
    }

    void serve() {
        if (!reading_ || arrived_.empty()) { return; }
        std::string& first = arrived_.front();
        const std::size_t size = std::min(first.size(), into_.size());
        std::memcpy(into_.data(), first.data(), size);
        first.erase(0, size);
        if (first.empty()) { arrived_.pop_front(); }
        end(reading_, {}, size);
    }

    void post(Callback callback, error_code error, std::size_t bytes) {
        asio::post(executor_, [callback = std::move(callback), error, bytes]() mutable { callback(error, bytes); });
    }
    void end(std::optional<Callback>& pending, error_code error, std::size_t bytes) {
        if (!pending) { return; }
        Callback callback = std::move(*pending);
        pending.reset();
        post(std::move(callback), error, bytes);
    }

    ScriptedServer& server_;
    luzia::redis::StreamExecutor executor_;
    bool is_open_ = true;
    bool is_to_be_dropped_ = false;
    std::optional<Callback> connecting_;
    std::optional<Callback> reading_;
    std::optional<Callback> writing_;
    asio::mutable_buffer into_;
    asio::const_buffer from_;
    std::string unwritten_;                               ///< of what was last handed over to be written
    std::deque<std::pair<Command, std::size_t>> written_; ///< and not accepted to the end, with their sizes
    std::size_t accepted_ = 0;                            ///< of the first of them
    std::deque<Command> asked_;                           ///< accepted, and not answered
    std::size_t handshake_left_;
    std::string answers_;             ///< said, and not delivered
    std::deque<std::string> arrived_; ///< delivered, and not read
};

} // namespace luzia_fuzz
