// backend/operation.hpp: what a cache asks of a backend, what it is told, and the concept that a backend of your own models.
#pragma once

#include <luzia/core/outcome.hpp>
#include <luzia/core/ttl.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia::backend {

/// What is to be done.
enum class Verb {
    get,             ///< one key; hit with `value`, or miss
    get_many,        ///< `values`, one for each key, in order
    set,             ///< as many values as keys, one ttl; `count` = stored. A ttl that is a removal erases, and counts 0
    erase,           ///< `count` = keys that were there
    touch,           ///< one key, a new ttl (a removal erases); `count` = 1 where it was there
    contains,        ///< one key; hit or miss
    time_to_live,    ///< one key; hit with `ttl`, or miss
    remove_matching, ///< the one key is a glob pattern in Redis's grammar; `count` = removed
    ping
};

/// One question. What it points to lives only until `submit` returns.
struct Request {
    Verb verb = Verb::ping;
    std::span<const std::string_view> keys;
    std::span<const std::string_view> values;
    Ttl ttl;
    /// Of a single value, the string that holds it, where that may be taken.
    std::string* payload = nullptr;
    /// More may follow, and after it `send_gathered`: what is to be sent may wait until then. Only where the backend has that member.
    bool is_gathered = false;
};

/// One answer. Where something failed, `count` and `values` hold what was done before.
struct Answer {
    Outcome outcome = Outcome::done;
    error_code error;
    std::size_t count = 0;
    Ttl ttl; ///< for ever where the key has none
    std::string value;
    std::vector<std::optional<std::string>> values;

    [[nodiscard]] static Answer failure(error_code reason) {
        Answer answer;
        answer.outcome = outcome_of(reason);
        answer.error = reason;
        return answer;
    }
};

/// One question under way. Made by the cache, kept by the backend until it has called exactly one of the two functions, once.
class Operation {
public:
    Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    /// From any thread, also inside `submit` and `cancel`. Never runs the caller's code: that happens on the caller's executor.
    void on_answer(Answer&& answer) noexcept {
        answer_ = std::move(answer);
        on_answered();
    }
    /// The same in two steps: an answer that is made where it stays, and the word that it is there.
    [[nodiscard]] Answer& answer() noexcept { return answer_; }
    virtual void on_answered() noexcept = 0;
    /// The execution context is going away: let go, call nobody.
    virtual void on_abandon() noexcept = 0;

    /// Room for the backend's own bookkeeping, so that a simple operation costs no allocation.
    template <class T, class... Arguments>
    T& emplace_state(Arguments&&... arguments) {
        static_assert(sizeof(T) <= room && alignof(T) <= alignof(std::max_align_t) && std::is_trivially_destructible_v<T>);
        return *::new (static_cast<void*>(room_)) T(std::forward<Arguments>(arguments)...);
    }
    template <class T>
    [[nodiscard]] T& state() noexcept {
        return *std::launder(reinterpret_cast<T*>(room_));
    }
    /// For bookkeeping that does not fit, or outlives the operation.
    std::shared_ptr<void> attachment;

    /// The cache's own note: handed to a backend, and not cancelled yet. Backends leave it alone.
    bool is_cancellable = false;

protected:
    ~Operation() = default;

private:
    Answer answer_;
    static constexpr std::size_t room = 64;
    alignas(std::max_align_t) std::byte room_[room];
};

/// How a backend is at the moment.
struct Status {
    bool is_ready = false;
    std::uint64_t reconnects = 0;
};

/// What `CacheClient` needs of a backend. `docs/backends.md` shows one of 40 lines; tests/contract holds it to its promises.
///
/// `submit` may be called by several threads at once, never throws, never blocks, and answers each operation exactly once. `cancel` ends
/// an operation with `Error::cancelled` where that can be done; it is called at most once for an operation, after its `submit` has begun, and
/// may come when the answer has been given already. `close` ends all that is pending, and answers all that comes later, with `Error::closed`.
template <class B>
concept Backend = std::move_constructible<B> && requires(B backend, const B& constant, const Request& request, Operation& operation) {
    { constant.get_executor() } -> std::convertible_to<boost::asio::any_io_executor>;
    { backend.submit(request, operation) } -> std::same_as<void>;
    { backend.cancel(operation) } -> std::same_as<void>;
    { backend.close() } -> std::same_as<void>;
    { constant.status() } -> std::same_as<Status>;
};

} // namespace luzia::backend

namespace luzia {

template <class B>
concept CacheBackend = backend::Backend<B>;

} // namespace luzia
