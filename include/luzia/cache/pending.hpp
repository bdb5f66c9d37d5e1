// cache/pending.hpp: one cache operation under way: begun on any thread, finished on the handler's executor, exactly once or not at all.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/cache/completions.hpp>
#include <luzia/redis/task.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace luzia::cache {

namespace asio = boost::asio;

/// An executor that is not the client's, with work until something is posted there.
class Elsewhere {
public:
    Elsewhere() = default;
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;
    virtual ~Elsewhere() = default;
    virtual void post(redis::Task task) = 0;
};

template <class Executor>
class ElsewhereOn final : public Elsewhere {
public:
    explicit ElsewhereOn(const Executor& executor) : executor_(asio::prefer(executor, asio::execution::outstanding_work.tracked)) {}
    void post(redis::Task task) override {
        asio::prefer(executor_, asio::execution::blocking.never, asio::execution::relationship.fork).execute(std::move(task));
    }

private:
    std::decay_t<decltype(asio::prefer(std::declval<const Executor&>(), asio::execution::outstanding_work.tracked))> executor_;
};

/// The part of an operation that does not depend on its handler's type.
///
/// The answer is kept until the handler's turn. On the client's own executor, where most handlers are, operations take turns together; one
/// whose handler has another executor is posted there, which has work until then.
class PendingBase : public backend::Operation, public Completion {
public:
    void on_answered() noexcept override {
        if (!elsewhere_) { return completions_->push(*this); }
        // Taken out, since this may be gone before the call returns. From here on what is posted is the executor's work.
        const auto elsewhere = std::move(elsewhere_);
        elsewhere->post([resumption = Resumption(this)]() mutable { resumption(); });
    }

    void on_abandon() noexcept override { abandon(); }

protected:
    PendingBase() = default;
    ~PendingBase() = default;

    template <class Executor>
    void complete_on(Completions& completions, const Executor& executor) {
        completions_ = &completions;
        if (!is_executor_of(completions, executor)) { elsewhere_ = std::make_unique<ElsewhereOn<Executor>>(executor); }
    }

private:
    /// What is posted to an executor that is not the client's. Destroyed unrun, with its context, it takes the operation along.
    class Resumption {
    public:
        explicit Resumption(PendingBase* pending) noexcept : pending_(pending) {}
        void operator()() { pending_.release()->complete(); }

    private:
        struct Abandon {
            void operator()(PendingBase* pending) const noexcept { pending->abandon(); }
        };
        std::unique_ptr<PendingBase, Abandon> pending_;
    };

    template <class Executor>
    [[nodiscard]] static bool is_executor_of(const Completions& completions, const Executor& executor) {
        if constexpr (std::same_as<Executor, asio::any_io_executor>) {
            return executor == completions.executor();
        } else {
            const Executor* const target = completions.executor().template target<Executor>();
            return target != nullptr && *target == executor;
        }
    }

    Completions* completions_ = nullptr; // of the state that the operation keeps alive
    std::unique_ptr<Elsewhere> elsewhere_;
};

/// The operation that `Call` describes, with the handler that waits for it.
///
/// `Call` is asked twice: `begin` hands the question to the backend, on the thread that begins it; `finish` makes the result of the answer,
/// on the handler's executor, so that decoding a large value holds up nobody else. Memory comes from the handler's allocator and is given
/// back before the handler runs.
template <class State, class Call, class Handler>
class Pending final : public PendingBase {
    using Allocator = typename std::allocator_traits<
        asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>>::template rebind_alloc<Pending>;

public:
    template <class Given>
    static void start(std::shared_ptr<State> state, Call&& call, Given&& handler) {
        Allocator allocator(asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
        Pending* const memory = std::allocator_traits<Allocator>::allocate(allocator, 1);
        Pending* pending = nullptr;
        try {
            pending = ::new (static_cast<void*>(memory)) Pending(state, std::move(call), std::forward<Given>(handler));
        } catch (...) {
            std::allocator_traits<Allocator>::deallocate(allocator, memory, 1);
            throw;
        }
        pending->begin(*state); // which may end, on another thread, before it returns
    }

    void complete() override {
        auto slot = asio::get_associated_cancellation_slot(handler_);
        if (slot.is_connected()) { slot.clear(); }
        Handler handler = std::move(handler_);
        std::move(handler)(take_result(handler)); // which may tell others that they can take everything down
    }

    void abandon() noexcept override { release(asio::get_associated_allocator(handler_, asio::recycling_allocator<void>())); }

private:
    template <class Given>
    Pending(const std::shared_ptr<State>& state, Call&& call, Given&& handler)
        : state_(state), call_(std::move(call)), handler_(std::forward<Given>(handler)) {
        complete_on(*state_->completions, asio::get_associated_executor(handler_, state_->executor()));
        half_ = state_->completions->begin();
    }

    ~Pending() { state_->completions->end(half_); }

    void begin(State& state) {
        try {
            auto slot = asio::get_associated_cancellation_slot(handler_);
            if (slot.is_connected()) {
                slot.assign([this](asio::cancellation_type type) {
                    if (type == asio::cancellation_type::none || !std::exchange(is_cancellable, false)) { return; }
                    state_->backend.cancel(*this);
                });
            }
            call_.begin(state, *this);
        } catch (...) { // no memory; nothing was submitted
            on_answer(backend::Answer::failure(make_error_code(boost::system::errc::not_enough_memory)));
        }
    }

    /// The end of this: nothing is left of it when the handler is called.
    [[nodiscard]] typename Call::Result take_result(const Handler& handler) {
        auto result = call_.finish(*state_, std::move(answer()));
        release(asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
        return result;
    }

    void release(Allocator allocator) noexcept {
        this->~Pending();
        std::allocator_traits<Allocator>::deallocate(allocator, this, 1);
    }

    std::shared_ptr<State> state_;
    Call call_;
    Handler handler_;
    std::size_t half_ = 0;
};

/// What `async_initiate` is given: begins the operation when the token says so, which for `deferred` is later, or never.
template <class State, class Call>
class Initiation {
public:
    using executor_type = asio::any_io_executor;

    template <class Make>
    Initiation(const std::shared_ptr<State>& state, Make& make) : state_(state), call_(make()) {}

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
