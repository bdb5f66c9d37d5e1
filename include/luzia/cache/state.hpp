// cache/state.hpp: what a client and its operations share; lives until the last of them has ended.
#pragma once

#include <luzia/backend/glob.hpp>
#include <luzia/cache/completions.hpp>
#include <luzia/cache/counters.hpp>
#include <luzia/cache/key.hpp>
#include <luzia/cache/options.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/core/text.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::cache {

/// The part that does not depend on backend or codec.
class StateBase {
public:
    [[gnu::cold]] explicit StateBase(const CacheOptions& options)
        : events(options.events ? options.events : std::make_shared<EventLog>(options.logger)),
          log(*events),
          default_ttl(options.default_ttl),
          max_value_bytes(options.max_value_bytes),
          prefix_(options.key_prefix),
          escaped_prefix_(backend::glob_escaped(options.key_prefix)) {}

    [[nodiscard]] Key full_key(std::string_view key) const { return {prefix_, key}; }
    [[nodiscard]] std::string full_text(std::string_view key) const { return std::string(prefix_).append(key); } ///< the same as a string
    [[nodiscard]] Key full_pattern(std::string_view glob) const { return {escaped_prefix_, glob}; }

    /// What is wrong with a key; the prefix does not make an empty one whole.
    [[nodiscard]] error_code check_key(std::string_view full) const noexcept {
        constexpr std::size_t longest = std::size_t{512} * 1024 * 1024;
        if (full.size() <= prefix_.size() || full.size() > longest) { return Error::invalid_key; }
        return {};
    }

    /// What was received and is more than the client wants.
    [[nodiscard]] bool is_too_large(std::string_view bytes) const noexcept { return bytes.size() > max_value_bytes; }

    [[gnu::cold]] void log_problem(std::string_view kind, std::string_view key, std::string_view what) {
        log.event(spdlog::level::warn, kind, "luzia: key \"" + printable(key) + "\": " + std::string(what));
    }

    std::shared_ptr<EventLog> events; ///< the backend's as well
    EventLog& log;
    Counters counters;
    Ttl default_ttl;
    std::size_t max_value_bytes;

private:
    std::string prefix_;
    std::string escaped_prefix_;
};

template <class Backend, class Codec>
class State final : public StateBase, public Sender {
public:
    [[nodiscard]] static std::shared_ptr<State> create(Backend chosen, Codec with, const CacheOptions& options) {
        const auto state = std::make_shared<State>(std::move(chosen), std::move(with), options);
        state->completions->send_by(state);
        return state;
    }

    State(Backend chosen, Codec with, const CacheOptions& options)
        : StateBase(options),
          backend(std::move(chosen)),
          codec(std::move(with)),
          completions(std::make_shared<Completions>(backend.get_executor())) {}

    [[nodiscard]] const boost::asio::any_io_executor& executor() const noexcept { return completions->executor(); }

    static constexpr bool can_gather = requires(Backend chosen) { chosen.send_gathered(); };

    void send_gathered() noexcept override {
        if constexpr (can_gather) { backend.send_gathered(); }
    }

    Backend backend;
    Codec codec;
    std::shared_ptr<Completions> completions; ///< turns under way keep it
};

} // namespace luzia::cache
