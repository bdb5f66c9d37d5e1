// redis/completion.hpp: a completion handler whose type is forgotten: called once on its own executor, or destroyed uncalled.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace luzia::redis {

namespace asio = boost::asio;

/// Holds a handler for `void(Results...)`, with outstanding work on the handler's executor.
///
/// Calling it posts the results there, never runs the handler inside the call, and leaves this empty. Destroyed without a call, it
/// destroys the handler uninvoked. Memory comes from the handler's allocator and is given back before the handler runs.
template <class... Results>
class Completion {
public:
    Completion() noexcept = default;

    template <class Handler>
    requires(!std::same_as<std::decay_t<Handler>, Completion>) Completion(Handler&& handler, const asio::any_io_executor& fallback)
        : node_(Held<std::decay_t<Handler>>::create(std::forward<Handler>(handler), fallback)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return node_ != nullptr; }

    /// Any thread.
    void operator()(Results... results) noexcept { node_.release()->complete(std::tuple<Results...>(std::move(results)...)); }

    /// Where cancellation arrives; assigned before anything can complete, and cleared by the completion.
    [[nodiscard]] asio::cancellation_slot slot() const noexcept { return node_->slot(); }

private:
    class Node {
    public:
        Node() = default;
        Node(const Node&) = delete;
        Node& operator=(const Node&) = delete;
        virtual void complete(std::tuple<Results...>&& results) noexcept = 0;
        virtual void destroy() noexcept = 0;
        [[nodiscard]] virtual asio::cancellation_slot slot() const noexcept = 0;

    protected:
        ~Node() = default;
    };

    struct Destroy {
        void operator()(Node* node) const noexcept { node->destroy(); }
    };

    template <class Handler>
    class Held final : public Node {
        using Executor = asio::associated_executor_t<Handler, asio::any_io_executor>;
        using TrackedExecutor = std::decay_t<decltype(asio::prefer(std::declval<Executor>(), asio::execution::outstanding_work.tracked))>;
        using BaseAllocator = asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>;
        using Allocator = typename std::allocator_traits<BaseAllocator>::template rebind_alloc<Held>;

    public:
        template <class From>
        [[nodiscard]] static Held* create(From&& handler, const asio::any_io_executor& fallback) {
            Allocator allocator(asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
            Held* const memory = std::allocator_traits<Allocator>::allocate(allocator, 1);
            try {
                return ::new (static_cast<void*>(memory)) Held(std::forward<From>(handler), fallback);
            } catch (...) {
                std::allocator_traits<Allocator>::deallocate(allocator, memory, 1);
                throw;
            }
        }

        void complete(std::tuple<Results...>&& results) noexcept override {
            results_.emplace(std::move(results));
            // Taken out, since this may be gone before the call returns. From here on what is posted is the executor's work.
            const TrackedExecutor executor = std::move(work_);
            Resumption resumption(this);
            const auto allocator = resumption.get_allocator();
            asio::prefer(executor, asio::execution::blocking.never, asio::execution::relationship.fork,
                         asio::execution::allocator(allocator))
                .execute(std::move(resumption));
        }

        void destroy() noexcept override {
            Allocator allocator(asio::get_associated_allocator(handler_, asio::recycling_allocator<void>()));
            this->~Held();
            std::allocator_traits<Allocator>::deallocate(allocator, this, 1);
        }

        [[nodiscard]] asio::cancellation_slot slot() const noexcept override {
            if constexpr (std::convertible_to<asio::associated_cancellation_slot_t<Handler>, asio::cancellation_slot>) {
                return asio::get_associated_cancellation_slot(handler_);
            } else {
                return {};
            }
        }

    private:
        template <class From>
        Held(From&& handler, const asio::any_io_executor& fallback)
            : handler_(std::forward<From>(handler)),
              work_(asio::prefer(asio::get_associated_executor(handler_, fallback), asio::execution::outstanding_work.tracked)) {}

        ~Held() = default;

        /// What is posted. Destroyed unrun, with its context, it takes the handler along.
        class Resumption {
        public:
            using allocator_type = BaseAllocator;
            explicit Resumption(Held* held) noexcept : held_(held) {}
            [[nodiscard]] allocator_type get_allocator() const noexcept {
                return asio::get_associated_allocator(static_cast<Held*>(held_.get())->handler_, asio::recycling_allocator<void>());
            }
            void operator()() {
                Held& held = *static_cast<Held*>(held_.get());
                if (auto slot = held.slot(); slot.is_connected()) { slot.clear(); }
                Handler handler = std::move(held.handler_);
                std::tuple<Results...> results = std::move(*held.results_);
                held_.reset();
                std::apply(std::move(handler), std::move(results));
            }

        private:
            std::unique_ptr<Node, Destroy> held_;
        };

        Handler handler_;
        TrackedExecutor work_;
        std::optional<std::tuple<Results...>> results_;
    };

    std::unique_ptr<Node, Destroy> node_;
};

} // namespace luzia::redis
