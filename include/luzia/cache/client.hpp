// cache/client.hpp: CacheClient: typed values in a cache that may be there or not.
#pragma once

#include <luzia/backend/default_backend.hpp>
#include <luzia/cache/calls.hpp>
#include <luzia/cache/drain.hpp>
#include <luzia/cache/many_calls.hpp>
#include <luzia/cache/options.hpp>
#include <luzia/cache/pending.hpp>
#include <luzia/cache/results.hpp>
#include <luzia/cache/state.hpp>
#include <luzia/codec/json_codec.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution_context.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia {

namespace cache {

template <class T>
concept StringLike = std::convertible_to<const T&, std::string_view>;

template <class R>
concept KeyRange = std::ranges::input_range<R> && StringLike<std::ranges::range_value_t<R>>;

/// A vector of pairs, a map: elements whose first is a key.
template <class R>
concept EntryRange = std::ranges::input_range<R> && requires(const std::ranges::range_value_t<R>& entry) {
    { entry.first } -> StringLike;
    entry.second;
};

template <class C>
concept ExecutionContext = std::derived_from<C, boost::asio::execution_context>;

template <class E>
concept ExecutorLike = std::convertible_to<const E&, boost::asio::any_io_executor> && !ExecutionContext<E>;

template <class Token>
concept NotOptions = !std::convertible_to<Token, SetOptions>;

template <class Token>
concept NotDuration = !std::convertible_to<Token, std::chrono::milliseconds>;

} // namespace cache

/// A cache of typed values on a server that may be there or not.
///
/// Nothing that happens to the server reaches the caller as an error: an operation that can't be done is a miss, at the latest after
/// `command_timeout`, logged and counted. The client connects on first use and reconnects by itself; there is nothing to run.
///
/// Every operation is an Asio initiating function whose last parameter is a completion token, by default `asio::deferred`, so that
/// `co_await` works as it stands. Completion signatures carry the result alone: `void(std::optional<T>)`. Arguments are copied (or
/// taken, where they are given away), and values encoded, before the call returns; the rest begins when the token says so. Handlers run on
/// their associated executor, or on the client's, and never inside the call that began the operation.
///
/// Threads: one client may be shared by all. A key always travels on the same connection: operations on one key keep the order in which
/// they were begun.
///
/// Cancellation: all types. Before the command is written, it is never sent; after that the operation completes now with
/// `Outcome::cancelled`, and the late reply is dropped.
///
/// Lifetime: movable; a moved-from client can only be destroyed or assigned to. Destroying or closing it completes what is pending, as
/// misses, on its handlers' executors. Where the execution context is destroyed first, handlers are destroyed uninvoked. From its
/// first use on, connected or not, a client keeps `io_context::run()` from returning until it is closed or destroyed.
template <CacheBackend Backend = DefaultBackend, ValueCodec Codec = JsonCodec>
class CacheClient {
    using State = cache::State<Backend, Codec>;

public:
    using executor_type = boost::asio::any_io_executor;
    using backend_type = Backend;
    using codec_type = Codec;
    using deferred_t = boost::asio::deferred_t;
    /// What `get(key)` reads.
    using default_value = codec::default_value_t<Codec>;

    /// @param options  by default from REDIS_URL and CACHE_TTL
    /// @throws std::invalid_argument  for options that make no sense, naming the member; never for what the environment says
    template <cache::ExecutorLike Executor>
    requires std::constructible_from<Backend, executor_type, const CacheOptions&>
    explicit CacheClient(const Executor& executor, CacheOptions options = CacheOptions::from_environment(), Codec codec = Codec())
        : CacheClient(Checked(), executor, detail::checked(std::move(options)), std::move(codec)) {}

    template <cache::ExecutionContext Context>
    requires std::constructible_from<Backend, executor_type, const CacheOptions&>
    explicit CacheClient(Context& context, CacheOptions options = CacheOptions::from_environment(), Codec codec = Codec())
        : CacheClient(context.get_executor(), std::move(options), std::move(codec)) {}

    /// On a backend of one's own. Of the options, those that are not about a server matter: `default_ttl`, `key_prefix`,
    /// `max_value_bytes`, `logger`.
    explicit CacheClient(Backend backend, Codec codec = Codec(), const CacheOptions& options = CacheOptions())
        : state_(State::create(std::move(backend), std::move(codec), detail::checked(options))) {}

    CacheClient(Backend backend, const CacheOptions& options) : CacheClient(std::move(backend), Codec(), options) {}

    CacheClient(CacheClient&&) noexcept = default;
    CacheClient& operator=(CacheClient&& other) noexcept {
        if (this != &other) {
            close();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~CacheClient() { close(); }

    [[nodiscard]] executor_type get_executor() const noexcept { return state_->executor(); }

    /// Reads the value stored under `key`.
    ///
    /// An absent or expired key, a value that is not a `T`, and every failure of the server are all an empty optional; `lookup` tells them
    /// apart. A number is checked: 1.9, `true` or 5e9 are no `int`.
    ///
    /// @param token  completion signature `void(std::optional<T>)`
    /// @cost         one round trip, shared with whatever else is pending
    template <class T = default_value, class Token = deferred_t>
    [[nodiscard]] auto get(std::string_view key, Token&& token = Token()) {
        return start([&] { return cache::GetCall<T>{{state_->full_key(key)}}; }, std::forward<Token>(token));
    }

    /// `get`, with the reason where there is no value. @param token  completion signature `void(Lookup<T>)`
    template <class T = default_value, class Token = deferred_t>
    [[nodiscard]] auto lookup(std::string_view key, Token&& token = Token()) {
        return start([&] { return cache::LookupCall<T>{state_->full_key(key)}; }, std::forward<Token>(token));
    }

    /// Stores `value` under `key` for `default_ttl`. A write that timed out may still be applied.
    ///
    /// @param value  encoded before the call returns; what can't be encoded is `Outcome::invalid`, and nothing is sent
    /// @param token  completion signature `void(Effect)`, 1 = stored
    template <class T, cache::NotOptions Token = deferred_t>
    [[nodiscard]] auto set(std::string_view key, const T& value, Token&& token = Token()) {
        return start_set(key, value, SetOptions(), std::forward<Token>(token));
    }

    /// Stores `value` for a time of its own: any duration, `no_expiry`, or `SetOptions`.
    template <class T, class Token = deferred_t>
    [[nodiscard]] auto set(std::string_view key, const T& value, SetOptions options, Token&& token = Token()) {
        return start_set(key, value, options, std::forward<Token>(token));
    }

    /// The same with a string that is given away, which spares `RawCodec` its copy.
    template <std::same_as<std::string> T, cache::NotOptions Token = deferred_t>
    [[nodiscard]] auto set(std::string_view key, T&& value, Token&& token = Token()) {
        return start_set(key, std::move(value), SetOptions(), std::forward<Token>(token));
    }

    template <std::same_as<std::string> T, class Token = deferred_t>
    [[nodiscard]] auto set(std::string_view key, T&& value, SetOptions options, Token&& token = Token()) {
        return start_set(key, std::move(value), options, std::forward<Token>(token));
    }

    /// Removes `key`. @param token  completion signature `void(Effect)`, 1 = there was such a key
    template <class Token = deferred_t>
    [[nodiscard]] auto erase(std::string_view key, Token&& token = Token()) {
        return start([&] { return cache::EffectCall{backend::Verb::erase, state_->full_key(key), {}}; }, std::forward<Token>(token));
    }

    /// Gives `key` a new time to live; zero or negative removes it. @param token  `void(Effect)`, 1 = there was such a key
    template <class Token = deferred_t>
    [[nodiscard]] auto touch(std::string_view key, Ttl ttl, Token&& token = Token()) {
        return start([&] { return cache::EffectCall{backend::Verb::touch, state_->full_key(key), ttl}; }, std::forward<Token>(token));
    }

    /// Removes every key that matches `glob`, in Redis's grammar: `*`, `?`, `[a-c]`, `[^x]`, `\` before a byte that stands for itself. The
    /// `key_prefix` before it is literal. Keys written while it runs may stay.
    ///
    /// @param token  `void(Effect)`: how many were removed, also where it stopped half-way
    /// @cost         one pass over all keys of the database, in pages of about 500; other clients are served between two pages
    template <class Token = deferred_t>
    [[nodiscard]] auto invalidate_pattern(std::string_view glob, Token&& token = Token()) {
        return start(
            [&] {
                return cache::EffectCall{backend::Verb::remove_matching, state_->full_pattern(glob), {}};
            },
            std::forward<Token>(token));
    }

    /// Reads many keys at once. @param token  `void(std::vector<std::optional<T>>)`, in the order asked
    template <class T = default_value, cache::KeyRange Keys, class Token = deferred_t>
    [[nodiscard]] auto get_many(Keys&& keys, Token&& token = Token()) {
        return start(
            [&] {
                return cache::GetManyCall<T>{std::make_shared<const std::vector<std::string>>(full_keys(keys)), {}};
            },
            std::forward<Token>(token));
    }

    /// Stores many values at once. @param entries  any range of pairs: a vector, a map. @param token  `void(Effect)`: how many were stored
    template <cache::EntryRange Entries, cache::NotOptions Token = deferred_t>
    [[nodiscard]] auto set_many(Entries&& entries, Token&& token = Token()) {
        return set_many(std::forward<Entries>(entries), SetOptions(), std::forward<Token>(token));
    }

    template <cache::EntryRange Entries, class Token = deferred_t>
    [[nodiscard]] auto set_many(Entries&& entries, SetOptions options, Token&& token = Token()) {
        return start(
            [&] {
                cache::SetManyCall call;
                for (auto&& entry : entries) {
                    call.keys.push_back(state_->full_text(entry.first));
                    call.encoded.push_back(cache::encode(state_->codec, entry.second, state_->max_value_bytes));
                }
                call.ttl = options.ttl.value_or(state_->default_ttl);
                return call;
            },
            std::forward<Token>(token));
    }

    /// Removes many keys at once. @param token  `void(Effect)`: how many there were
    template <cache::KeyRange Keys, class Token = deferred_t>
    [[nodiscard]] auto erase_many(Keys&& keys, Token&& token = Token()) {
        return start(
            [&] {
                cache::EraseManyCall call;
                call.keys = full_keys(keys);
                return call;
            },
            std::forward<Token>(token));
    }

    /// Whether there is such a key. @param token  `void(bool)`
    template <class Token = deferred_t>
    [[nodiscard]] auto contains(std::string_view key, Token&& token = Token()) {
        return start([&] { return cache::ContainsCall{state_->full_key(key)}; }, std::forward<Token>(token));
    }

    /// Whether the server answers. @param token  `void(bool)`
    template <class Token = deferred_t>
    [[nodiscard]] auto ping(Token&& token = Token()) {
        return start([] { return cache::PingCall(); }, std::forward<Token>(token));
    }

    /// How long `key` still lives; empty where it has no ttl, or is not there. @param token  `void(std::optional<std::chrono::milliseconds>)`
    template <class Token = deferred_t>
    [[nodiscard]] auto time_to_live(std::string_view key, Token&& token = Token()) {
        return start([&] { return cache::TimeToLiveCall{state_->full_key(key)}; }, std::forward<Token>(token));
    }

    /// Waits until every operation begun before has ended, 5 s at most: before a shutdown, so that detached ones are not lost. One has ended when
    /// its result is there; on several threads its handler may be just about to run.
    ///
    /// @param token  `void(bool)`: false where the time was up, or on cancellation
    template <cache::NotDuration Token = deferred_t>
    [[nodiscard]] auto drain(Token&& token = Token()) {
        return drain(std::chrono::seconds(5), std::forward<Token>(token));
    }

    template <class Token = deferred_t>
    [[nodiscard]] auto drain(std::chrono::milliseconds timeout, Token&& token = Token()) {
        return boost::asio::async_initiate<Token, void(bool)>(DrainInitiation(state_), token, timeout);
    }

    /// Counts since the client was made. Any thread.
    [[nodiscard]] CacheStats stats() const { return state_->counters.snapshot(state_->backend.status()); }

    /// Completes what is pending as misses, and whatever comes later as well, with `Outcome::closed`. Any thread.
    [[gnu::cold]] void close() {
        if (state_) { state_->backend.close(); }
    }

private:
    struct Checked {};

    class DrainInitiation {
    public:
        using executor_type = boost::asio::any_io_executor;
        explicit DrainInitiation(std::shared_ptr<State> state) : state_(std::move(state)) {}
        [[nodiscard]] executor_type get_executor() const noexcept { return state_->executor(); }

        template <class Handler>
        void operator()(Handler&& handler, std::chrono::milliseconds timeout) {
            const auto state = std::move(state_); // the handler may end whatever this is in
            cache::start_drain(state->executor(), state->completions->drains(), std::forward<Handler>(handler), timeout);
        }

    private:
        std::shared_ptr<State> state_;
    };

    [[gnu::cold]] CacheClient(Checked, const executor_type& executor, const CacheOptions& options, Codec codec)
        : state_(State::create(detail::make_with(options, [&](const CacheOptions& usable) { return Backend(executor, usable); }),
                               std::move(codec), options)) {}

    /// The operation that `make` returns, made where it is kept.
    template <class Make, class Token>
    auto start(Make make, Token&& token) {
        using Call = std::invoke_result_t<Make&>;
        using Result = typename Call::Result;
        return boost::asio::async_initiate<Token, void(Result)>(cache::Initiation<State, Call>(state_, make), token);
    }

    template <class T, class Token>
    auto start_set(std::string_view key, T&& value, SetOptions options, Token&& token) {
        return start(
            [&] {
                return cache::SetCall{state_->full_key(key), cache::encode(state_->codec, std::forward<T>(value), state_->max_value_bytes),
                                      options.ttl.value_or(state_->default_ttl)};
            },
            std::forward<Token>(token));
    }

    template <class Keys>
    [[nodiscard]] std::vector<std::string> full_keys(Keys& keys) const {
        std::vector<std::string> full;
        for (auto&& key : keys) {
            full.push_back(state_->full_text(key));
        }
        return full;
    }

    std::shared_ptr<State> state_;
};

template <cache::ExecutorLike Executor>
explicit CacheClient(const Executor&) -> CacheClient<>;
template <cache::ExecutorLike Executor>
CacheClient(const Executor&, CacheOptions) -> CacheClient<>;
template <cache::ExecutorLike Executor, ValueCodec Codec>
CacheClient(const Executor&, CacheOptions, Codec) -> CacheClient<DefaultBackend, Codec>;
template <cache::ExecutionContext Context>
explicit CacheClient(Context&) -> CacheClient<>;
template <cache::ExecutionContext Context>
CacheClient(Context&, CacheOptions) -> CacheClient<>;
template <cache::ExecutionContext Context, ValueCodec Codec>
CacheClient(Context&, CacheOptions, Codec) -> CacheClient<DefaultBackend, Codec>;
template <CacheBackend Backend>
explicit CacheClient(Backend) -> CacheClient<Backend>;
template <CacheBackend Backend>
CacheClient(Backend, CacheOptions) -> CacheClient<Backend>;
template <CacheBackend Backend, ValueCodec Codec>
CacheClient(Backend, Codec) -> CacheClient<Backend, Codec>;
template <CacheBackend Backend, ValueCodec Codec>
CacheClient(Backend, Codec, CacheOptions) -> CacheClient<Backend, Codec>;

} // namespace luzia

#if !defined(LUZIA_SEPARATE_COMPILATION)
#include <luzia/cache/drain_waiter.hpp>
#endif
