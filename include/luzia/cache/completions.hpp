// cache/completions.hpp: operations that have their answer and wait for a turn on the client's executor; a batch of them costs one post.
#pragma once

#include <luzia/cache/work.hpp>
#include <luzia/redis/burst.hpp>
#include <luzia/redis/context_service.hpp>
#include <luzia/redis/short_mutex.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

namespace luzia::cache {

/// What calls one handler, once. Intrusive: waiting costs no memory.
class Completion : public redis::Burst::Item {
public:
    Completion() = default;
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;

    /// Calls the handler. This is gone by then.
    virtual void complete() = 0;
    /// Lets go of everything and calls nobody.
    virtual void abandon() noexcept = 0;

protected:
    ~Completion() = default;
};

/// Who gathers what operations have to say, to say it at once.
class Sender {
public:
    /// `idle_only`: where nothing is on its way that would bring more to be sent along.
    virtual void send_gathered(bool idle_only) noexcept = 0;

protected:
    ~Sender() = default;
};

/// How many handlers a turn calls where `all` operations have not ended. What they begin is written as one: a part of all that is under way, so
/// that the server has some to work at while the rest is dealt with, and no more writes than that takes.
[[nodiscard]] constexpr std::size_t next_turn_length(std::size_t all) noexcept {
    constexpr std::size_t shortest = 8;
    constexpr std::size_t longest = 256;
    return std::clamp(all / 4, shortest, longest);
}

/// The completions of one client, in the order of their answers, and the count of all its operations.
///
/// A turn is a task posted to the executor, which calls some of the handlers that wait. While there are any a turn is on its way, even where
/// another runs: a handler that blocks its thread keeps back nobody where the executor has other threads, and what a handler throws out of
/// the executor's `run` is no loss to those behind it. At its end, what its handlers have begun is sent, unless the next read
/// is likely to bring more of the same.
class Completions final : public std::enable_shared_from_this<Completions>, private redis::Burst::Sink {
public:
    explicit Completions(const boost::asio::any_io_executor& executor) : executor_(executor) {}
    Completions(const Completions&) = delete;
    Completions& operator=(const Completions&) = delete;
    ~Completions() { abandon_all(); }

    [[nodiscard]] const boost::asio::any_io_executor& executor() const noexcept { return executor_.get(); }

    /// Once, before the first operation.
    void send_by(std::weak_ptr<Sender> sender) noexcept { sender_ = std::move(sender); }

    /// An operation begins; the executor has work until it has ended. Any thread.
    void begin() { work_.begin(executor()); }
    void end() noexcept { work_.end(); }

    /// An operation has its answer. Any thread.
    void push(Completion& completion) {
        if (!redis::Burst::gather(*this, completion)) { take(completion, completion); }
    }

private:
    void take(redis::Burst::Item& first, redis::Burst::Item& last) noexcept override {
        const auto self = shared_from_this(); // a turn on another thread may end the last operation, and with it what owns this
        bool is_due = false;
        {
            const std::scoped_lock lock(mutex_);
            (last_ == nullptr ? first_ : last_->next) = &first;
            last_ = &last;
            is_due = is_turn_wanted();
        }
        if (is_due) { post_turn(); }
    }

    /// What is posted. Destroyed unrun, with its context, it takes along what waits for it.
    class Turn {
    public:
        explicit Turn(std::shared_ptr<Completions> completions) noexcept : completions_(std::move(completions)) {}
        Turn(Turn&&) noexcept = default;
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (completions_) { completions_->abandon_all(); }
        }
        void operator()() { std::exchange(completions_, nullptr)->take_turn(); }

    private:
        std::shared_ptr<Completions> completions_;
    };

    [[nodiscard]] bool is_turn_wanted() noexcept {
        if (first_ == nullptr || is_turn_due_) { return false; }
        is_turn_due_ = true;
        return true;
    }

    void post_turn() {
        if (!executor()) { return abandon_all(); } // the context is gone
        redis::Task turn([turn = Turn(shared_from_this())]() mutable { turn(); });
        if (!redis::Strand::follow(executor(), turn)) { executor_.post(std::move(turn)); }
    }

    void take_turn() {
        std::unique_lock<redis::ShortMutex> lock(mutex_);
        is_turn_due_ = false;
        for (std::size_t left = next_turn_length(work_.count()); left > 0 && first_ != nullptr; --left) {
            Completion& completion = pop();
            const bool is_due = is_turn_wanted();
            lock.unlock();
            if (is_due) { post_turn(); }
            completion.complete();
            lock.lock();
        }
        const bool is_part = first_ != nullptr;
        lock.unlock();
        if (const auto sender = sender_.lock()) { sender->send_gathered(!is_part); }
    }

    [[nodiscard]] Completion& pop() noexcept {
        redis::Burst::Item& item = *first_;
        first_ = std::exchange(item.next, nullptr);
        if (first_ == nullptr) { last_ = nullptr; }
        return static_cast<Completion&>(item);
    }

    [[gnu::cold]] void abandon_all() noexcept {
        std::unique_lock<redis::ShortMutex> lock(mutex_);
        is_turn_due_ = false;
        while (first_ != nullptr) {
            Completion& completion = pop();
            lock.unlock();
            completion.abandon();
            lock.lock();
        }
    }

    redis::ContextExecutor executor_;
    redis::ShortMutex mutex_;
    redis::Burst::Item* first_ = nullptr;
    redis::Burst::Item* last_ = nullptr;
    bool is_turn_due_ = false; ///< one is posted, and has not begun
    std::weak_ptr<Sender> sender_;
    Work work_;
};

} // namespace luzia::cache
