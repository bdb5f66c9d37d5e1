// celery/delivery.hpp: one message that is held, the run of its handler, and what coroutines of the worker wait with.
#pragma once

#include <luzia/celery/handler.hpp>
#include <luzia/celery/message.hpp>
#include <luzia/celery/task_context.hpp>
#include <luzia/redis/context_service.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace luzia::celery::detail {

namespace asio = boost::asio;

inline constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

/// One run of a handler. The handler's side holds this and nothing else of the worker's: it may go on when worker and context are gone.
///
/// Between the worker and the executor that the handler waits for, one decides: it is begun, once, or withdrawn, and then never begun.
class Run {
public:
    /// @param where     the handler's own strand: what cancels it is done there
    /// @param is_over   set when its worker, or the worker's context, is gone
    Run(std::shared_ptr<TaskContext> of, const asio::any_io_executor& where, std::shared_ptr<const std::atomic<bool>> is_over)
        : context(std::move(of)), home_(where), is_over_(std::move(is_over)) {}

    /// Whether the handler may begin. Any thread.
    [[nodiscard]] bool begin() noexcept {
        if (*is_over_) { withdraw(); }
        State state = State::waiting;
        return state_.compare_exchange_strong(state, State::begun);
    }
    /// Whether it has not begun, and now never will. Any thread.
    bool withdraw() noexcept {
        State state = State::waiting;
        return state_.compare_exchange_strong(state, State::withdrawn);
    }
    [[nodiscard]] bool has_begun() const noexcept { return state_ == State::begun; }

    /// What the handler is cancelled with. Once, before it begins; its completion handler keeps it.
    [[nodiscard]] std::shared_ptr<asio::cancellation_signal> make_signal() {
        auto signal = std::make_shared<asio::cancellation_signal>();
        signal_ = signal;
        return signal;
    }

    [[nodiscard]] const asio::any_io_executor& home() const noexcept { return home_.get(); }

    /// Asks the handler to end, each time once more.
    void request_stop() {
        context->request_stop();
        if (!home_.get()) { return; }
        asio::post(home_.get(), [weak = signal_] {
            if (const auto signal = weak.lock()) { signal->emit(asio::cancellation_type::terminal); }
        });
    }

    /// The handler has ended. Any thread.
    void finish(HandlerEnd end) {
        if (state_ == State::withdrawn) { return; }
        const std::scoped_lock lock(mutex_);
        end_ = std::move(end);
    }
    [[nodiscard]] bool has_ended() {
        const std::scoped_lock lock(mutex_);
        return end_.has_value();
    }
    [[nodiscard]] std::optional<HandlerEnd> take_end() {
        const std::scoped_lock lock(mutex_);
        return std::exchange(end_, std::nullopt);
    }

    const std::shared_ptr<TaskContext> context;
    bool is_abandoned = false; ///< the worker waits no longer. On its strand

private:
    enum class State { waiting, begun, withdrawn };

    redis::ContextExecutor home_;
    const std::shared_ptr<const std::atomic<bool>> is_over_;
    std::atomic<State> state_{State::waiting};
    std::weak_ptr<asio::cancellation_signal> signal_;
    std::mutex mutex_;
    std::optional<HandlerEnd> end_;
};

/// One message that is held.
struct Delivery {
    std::string tag;
    std::string queue;
    std::string list; ///< it was taken from; empty where that is not known
    std::string raw;  ///< empty while it has not been read
    Message message;
    std::chrono::steady_clock::time_point begun{};
    std::shared_ptr<const TaskSettings> settings; ///< of its task; null where that is not known
    std::shared_ptr<Run> run;
    std::optional<asio::steady_timer> event; ///< of its run: set off by the end, and by what ends the wait for it
    bool is_terminated = false;              ///< somebody revoked it while it ran
    bool is_ending = false;                  ///< how it ended is being told
    bool is_acked = false;
    bool is_lost = false;   ///< somebody took it back
    bool is_untold = false; ///< it has ended, and that could not be said
    bool is_given_back = false;

    /// Whether this state is told.
    [[nodiscard]] bool stores(std::string_view state) const {
        return is_stored(state, settings ? *settings : TaskSettings(), message.ignore_result);
    }
};
using DeliveryPtr = std::shared_ptr<Delivery>;

/// A flag that a coroutine waits for.
class Event {
public:
    explicit Event(const asio::any_io_executor& executor) : timer_(executor) {}

    void set() {
        is_set_ = true;
        timer_.cancel();
    }

    /// Ends when it is set, or after `limit`; it is not set any more then. Throws nothing.
    [[nodiscard]] asio::awaitable<void> wait(std::chrono::milliseconds limit) {
        if (!is_set_) {
            timer_.expires_after(limit);
            co_await timer_.async_wait(quietly);
        }
        is_set_ = false;
    }

private:
    asio::steady_timer timer_;
    bool is_set_ = false;
};

} // namespace luzia::celery::detail
