// cache/pending.hpp: one cache operation under way: begun on any thread, finished on the handler's executor, exactly once or not at all.
#pragma once

#include <luzia/backend/operation.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace luzia::cache {

namespace asio = boost::asio;

/// The operation that `Call` describes, with the handler that waits for it.
///
/// `Call` is asked twice: `begin` hands the question to the backend, on the thread that begins it; `finish` makes the result of the answer,
/// on the handler's executor, so that decoding a large value holds up nobody else. The handler's executor has work while this is pending.
/// Memory comes from the handler's allocator and is given back before the handler runs.
template <class State, class Call, class Handler>
class Pending final : public backend::Operation {
    using Executor = asio::associated_executor_t<Handler, asio::any_io_executor>;
    using TrackedExecutor = std::decay_t<decltype(asio::prefer(std::declval<Executor>(), asio::execution::outstanding_work.tracked))>;
    using Allocator = typename std::allocator_traits<
        asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>>::template rebind_alloc<Pending>;

public:
    static void start(std::shared_ptr<State> state, Call call, Handler handler) {
        Allocator allocator(asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
        Pending* const memory = std::allocator_traits<Allocator>::allocate(allocator, 1);
        Pending* pending = nullptr;
        try {
            pending = ::new (static_cast<void*>(memory)) Pending(std::move(state), std::move(call), std::move(handler));
        } catch (...) {
            std::allocator_traits<Allocator>::deallocate(allocator, memory, 1);
            throw;
        }
        pending->begin();
    }

    void on_answer(backend::Answer&& answer) noexcept override {
        answer_ = std::move(answer);
        // Taken out, since this may be gone before post returns. From here on what is posted is the executor's work.
        const TrackedExecutor executor = std::move(work_);
        Resumption resumption(this);
        const auto allocator = resumption.get_allocator();
        // What asio::post does, for executors as well that can't promise never to block, and prefer it only.
        asio::prefer(executor, asio::execution::blocking.never, asio::execution::relationship.fork, asio::execution::allocator(allocator))
            .execute(std::move(resumption));
    }

    void on_abandon() noexcept override { static_cast<void>(Released(this)); }

private:
    Pending(std::shared_ptr<State> state, Call call, Handler handler)
        : state_(std::move(state)),
          call_(std::move(call)),
          handler_(std::move(handler)),
          work_(asio::prefer(asio::get_associated_executor(handler_, state_->executor()), asio::execution::outstanding_work.tracked)),
          half_(state_->drains.enter()) {}

    ~Pending() {
        if (state_) { state_->drains.leave(half_); }
    }

    void begin() {
        const auto state = state_; // the operation may end, on another thread, before begin returns
        try {
            auto slot = asio::get_associated_cancellation_slot(handler_);
            if (slot.is_connected()) {
                slot.assign([this](asio::cancellation_type type) {
                    if (type == asio::cancellation_type::none || !std::exchange(is_cancellable, false)) { return; }
                    state_->backend.cancel(*this);
                });
            }
            call_.begin(*state, *this);
        } catch (...) { // no memory; nothing was submitted
            on_answer(backend::Answer::failure(make_error_code(boost::system::errc::not_enough_memory)));
        }
    }

    /// Destroys the operation and gives its memory back. Holds the allocator itself: by then the handler may have been moved away.
    struct Release {
        explicit Release(const Pending& pending) noexcept
            : allocator(asio::get_associated_allocator(pending.handler_, asio::recycling_allocator<void>())) {}
        void operator()(Pending* pending) noexcept {
            pending->~Pending();
            std::allocator_traits<Allocator>::deallocate(allocator, pending, 1);
        }
        Allocator allocator;
    };
    class Released : public std::unique_ptr<Pending, Release> {
    public:
        explicit Released(Pending* pending) noexcept : std::unique_ptr<Pending, Release>(pending, Release(*pending)) {}
    };

    /// What is posted to the handler's executor. Destroyed unrun, with its context, it takes the operation along.
    class Resumption {
    public:
        using allocator_type = asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>;

        explicit Resumption(Pending* pending) noexcept : pending_(pending) {}
        [[nodiscard]] allocator_type get_allocator() const noexcept {
            return asio::get_associated_allocator(pending_->handler_, asio::recycling_allocator<void>());
        }
        void operator()() { finish(std::move(pending_)); }

    private:
        Released pending_;
    };

    static void finish(Released pending) {
        auto slot = asio::get_associated_cancellation_slot(pending->handler_);
        if (slot.is_connected()) { slot.clear(); }
        auto state = std::move(pending->state_);
        state->drains.leave(pending->half_);
        Call call = std::move(pending->call_);
        backend::Answer answer = std::move(pending->answer_);
        Handler handler = std::move(pending->handler_);
        pending.reset();
        auto result = call.finish(*state, std::move(answer));
        state.reset(); // the handler may tell others that they can take everything down
        std::move(handler)(std::move(result));
    }

    std::shared_ptr<State> state_;
    Call call_;
    Handler handler_;
    TrackedExecutor work_;
    std::size_t half_;
    backend::Answer answer_;
};

/// What `async_initiate` is given: begins the operation when the token says so, which for `deferred` is later, or never.
template <class State, class Call>
class Initiation {
public:
    using executor_type = asio::any_io_executor;

    Initiation(std::shared_ptr<State> state, Call call) : state_(std::move(state)), call_(std::move(call)) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return state_->executor(); }

    template <class Handler>
    void operator()(Handler&& handler) {
        Pending<State, Call, std::decay_t<Handler>>::start(std::move(state_), std::move(call_), std::forward<Handler>(handler));
    }

private:
    std::shared_ptr<State> state_;
    Call call_;
};

} // namespace luzia::cache
