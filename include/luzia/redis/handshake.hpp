// redis/handshake.hpp: what is said before a connection is ready, and whether the answers let it be. Pure.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/core/text.hpp>
#include <luzia/hiredis/reply.hpp>
#include <luzia/redis/bytes.hpp>
#include <luzia/redis/command.hpp>
#include <luzia/redis/options.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::redis {

/// AUTH, SELECT and CLIENT SETNAME as far as they are wanted, sent together; PING where none is, since a stopped server still accepts
/// connections. A refused name is no reason to do without a cache, nor is a PING refused by a server that serves reads; everything else is.
class Handshake {
public:
    enum class Progress { waiting, done, refused };

    [[gnu::cold]] explicit Handshake(const ConnectionOptions& options) {
        if (options.username || options.password) {
            const std::string& password = password_ = options.password.value_or("");
            user_ = options.username.value_or("default");
            if (options.username) {
                add(Stage::auth, {"AUTH", *options.username, password});
            } else {
                add(Stage::auth, {"AUTH", password});
            }
        }
        if (options.database.value_or(0) != 0) { add(Stage::select, {"SELECT", IntegerArgument(*options.database).view()}); }
        if (!options.client_name.empty()) { add(Stage::name, {"CLIENT", "SETNAME", options.client_name}); }
        if (stages_.empty()) { add(Stage::ping, {"PING"}); }
    }

    [[nodiscard]] std::string_view bytes() const noexcept { return bytes_.view(); }

    /// Takes the next answer.
    [[gnu::cold]] [[nodiscard]] Progress next(const hiredis::Reply& reply) {
        const Stage stage = stages_[answered_++];
        const bool is_expected = reply.is_status(stage == Stage::ping ? "PONG" : "OK");
        if (!is_expected && !is_harmless(stage, reply)) {
            problem_ = describe(stage, reply);
            return Progress::refused;
        }
        return answered_ == stages_.size() ? Progress::done : Progress::waiting;
    }

    /// Why it was refused; names the user, never the password.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

private:
    enum class Stage { auth, select, name, ping };

    [[gnu::cold]] void add(Stage stage, std::initializer_list<std::string_view> arguments) {
        append_command(bytes_, {arguments.begin(), arguments.size()});
        stages_.push_back(stage);
    }

    [[gnu::cold]] [[nodiscard]] static bool is_harmless(Stage stage, const hiredis::Reply& reply) {
        if (!reply.is_error()) { return false; }
        const ServerError error = server_error(reply.text());
        switch (stage) {
        // A server that can't save refuses PING and writes, and serves reads; one that grants this user no PING may grant the rest.
        case Stage::ping: return error == ServerError::misconf || error == ServerError::noperm;
        case Stage::name: return error != ServerError::noauth && error != ServerError::loading && error != ServerError::masterdown;
        default: return false;
        }
    }

    [[gnu::cold]] [[nodiscard]] std::string describe(Stage stage, const hiredis::Reply& reply) const {
        std::string text;
        switch (stage) {
        case Stage::auth: text = "AUTH for user \"" + printable(user_) + "\""; break;
        case Stage::select: text = "SELECT"; break;
        case Stage::name: text = "CLIENT SETNAME"; break;
        case Stage::ping: text = "PING"; break;
        }
        if (!reply.is_error()) { return text + " was answered with something that is no answer to it"; }
        if (!password_.empty() && without_echo(reply.text()).find(password_) != std::string_view::npos) {
            return text + " was refused, in words that repeat the password";
        }
        return text + " was refused: " + printable_server_text(reply.text());
    }

    Bytes bytes_;
    std::vector<Stage> stages_;
    std::size_t answered_ = 0;
    std::string user_;
    std::string password_;
    std::string problem_;
};

} // namespace luzia::redis
