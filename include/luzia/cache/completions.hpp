// cache/completions.hpp: operations that have their answer and wait for a turn on the client's executor; a batch of them costs one post.
#pragma once

#include <luzia/cache/drain.hpp>
#include <luzia/cache/work.hpp>
#include <luzia/core/separate.hpp>
#include <luzia/redis/burst.hpp>
#include <luzia/redis/context_service.hpp>
#include <luzia/redis/short_mutex.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
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
    virtual void send_gathered() noexcept = 0;

protected:
    ~Sender() = default;
};

/// Calls `Completions::look` every few milliseconds, until that returns false.
class Watch {
public:
    virtual ~Watch() = default;
    /// Any thread. False where that can't be done.
    [[nodiscard]] virtual bool begin() noexcept = 0;
};

class Completions;
[[nodiscard]] LUZIA_DECL std::shared_ptr<Watch> watch(const std::shared_ptr<Completions>& completions);

/// How many of the handlers that wait are called before what they begin is sent, where `all` operations have not ended: about a sixth of all
/// that is under way, so that the server has some to work at while the rest is dealt with, and no more writes than that takes. So few that the
/// server sleeps in between anyway are sent at once. Parts are about equal: a short one at the end would cost a write like any other.
[[nodiscard]] constexpr std::size_t next_part_length(std::size_t waiting, std::size_t all) noexcept {
    if (all < 10) { return 10; }
    const std::size_t wanted = std::min<std::size_t>((all + 3) / 6, 256);
    const std::size_t parts = std::max<std::size_t>((waiting + wanted / 2) / wanted, 1);
    return (waiting + parts / 2) / parts;
}

/// The completions of one client, in the order of their answers, and the count of all its operations.
///
/// A turn is a task posted to the executor, which calls those that wait, a part of them at a time, and sends what each part has begun. It ends
/// when nobody waits, or with the part in which `longest_turn` has passed: others of the executor come between two turns.
///
/// Waking another thread costs more than most handlers take. So one turn calls them all, alone, while they are quick, and what they begin is
/// sent at the end of their part. Where they are slow, the next turn is posted before a handler is called, for whatever thread is free. One
/// that turns out to block is found by the watch: then all that waits for its end, to be called or to be sent, is taken off it.
/// What a handler throws out of the executor's `run` is no loss to those behind it.
class Completions final : public std::enable_shared_from_this<Completions>, private redis::Burst::Sink {
public:
    explicit Completions(const boost::asio::any_io_executor& executor) : executor_(executor) {}
    Completions(const Completions&) = delete;
    Completions& operator=(const Completions&) = delete;
    ~Completions() { abandon_all(); }

    [[nodiscard]] const boost::asio::any_io_executor& executor() const noexcept { return executor_.get(); }

    /// Once, before the first operation.
    void send_by(std::weak_ptr<Sender> sender) noexcept { sender_ = std::move(sender); }

    /// An operation begins; the executor has work until it has ended. Returns what `end` wants. Any thread.
    [[nodiscard]] std::size_t begin() noexcept {
        return drains_.enter([this] { work_.begin(executor()); }, [this] { work_.end(); });
    }
    void end(std::size_t half) noexcept {
        drains_.leave(half, [this] { work_.end(); });
    }
    [[nodiscard]] DrainBook& drains() noexcept { return drains_; }

    /// Whether what begins now, on this thread, is sent at the end of its part of a turn, or by the watch.
    [[nodiscard]] bool gathers() noexcept {
        Running* const running = Running::current;
        if (running == nullptr || &running->whose != this) { return false; }
        running->has_begun = true;
        const auto is_quick = [&] { return running->is_quick.load(std::memory_order_relaxed); };
        return is_quick() && is_watched() && is_quick();
    }

    /// An operation has its answer. Any thread.
    void push(Completion& completion) {
        if (!redis::Burst::gather(*this, completion)) { take(completion, completion, 1); }
    }

    /// Finds a handler that has not ended since the last look. False where there is nothing to look after. On the executor.
    [[nodiscard]] bool look() noexcept {
        std::unique_lock<redis::ShortMutex> lock(mutex_);
        const bool has_moved = std::exchange(seen_, called_) != called_;
        if (!has_moved && is_attended()) {
            leave_behind(lock);
        } else if (is_attended() || left_behind_ > 0) { // parts may be long, and one left behind may have been about to leave something
            lock.unlock();
        } else if (has_moved) {
            return true;
        } else {
            auto on = Watched::yes;
            return !watched_.compare_exchange_strong(on, Watched::no);
        }
        send();
        return true;
    }

    /// There is no memory to look, or to look again.
    [[gnu::cold]] void unwatch() noexcept {
        std::unique_lock<redis::ShortMutex> lock(mutex_);
        watched_ = Watched::no;
        leave_behind(lock);
    }

    /// What turns have left to be sent. On the executor.
    void send() noexcept {
        if (const auto sender = sender_.lock()) { sender->send_gathered(); }
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::microseconds longest_turn{500};
    // A part may be too short to tell quick handlers from one that was interrupted.
    static constexpr std::size_t fewest_timed = 8;
    /// Of handlers together: 5 us for each, about what waking a thread costs, and some for what few do not share.
    [[nodiscard]] static constexpr std::chrono::microseconds longest_quick(std::size_t handlers) noexcept {
        return std::chrono::microseconds(5 * (handlers + 4));
    }

    void take(redis::Burst::Item& first, redis::Burst::Item& last, std::size_t count) noexcept override {
        const auto self = shared_from_this(); // a turn on another thread may end the last operation, and with it what owns this
        bool is_due = false;
        bool is_watch_due = false;
        {
            const std::scoped_lock lock(mutex_);
            (last_ == nullptr ? first_ : last_->next) = &first;
            last_ = &last;
            waiting_ += count;
            is_due = is_turn_wanted();
            is_watch_due = is_attended() && watched_.load(std::memory_order_relaxed) == Watched::no;
            if (is_watch_due) { work_.begin(executor()); } // the turn may end, and with it what the executor has to do
        }
        if (is_due) { post_turn(); }
        if (is_watch_due) {
            begin_watch();
            work_.end();
        }
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

    /// A turn under way on this thread. Made under the lock; takes it again at its end.
    struct Running {
        Running(Completions& completions, std::unique_lock<redis::ShortMutex>& held)
            : whose(completions), lock(held), is_quick(!completions.is_slow_) {
            whose.work_.begin(whose.executor()); // or the count goes to zero and back where one ends that begins the next
            whose.attended_ = this;
            current = this;
        }
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        ~Running() { // also where a handler has thrown
            current = before;
            if (!lock.owns_lock()) { lock.lock(); }
            if (whose.attended_ == this) { whose.attended_ = nullptr; }
            if (is_left) { --whose.left_behind_; }
            const bool is_due = whose.is_turn_wanted();
            lock.unlock();
            if (is_due) { whose.post_turn(); }
            send();
            whose.work_.end();
        }

        void send() noexcept {
            if (std::exchange(has_begun, false)) { whose.send(); }
        }

        static inline thread_local Running* current = nullptr;

        Completions& whose;
        std::unique_lock<redis::ShortMutex>& lock;
        std::atomic<bool> is_quick; ///< and so alone: no other turn is wanted while it runs
        bool has_begun = false;     ///< operations, since the last sending
        bool is_left = false;       ///< behind: others do what there is to do
        Running* before = current;
    };

    [[nodiscard]] bool is_turn_wanted() noexcept {
        if (first_ == nullptr || is_turn_due_ || is_attended()) { return false; }
        is_turn_due_ = true;
        return true;
    }

    /// No more waits for the turn that is under way to be called. Ends the lock.
    [[gnu::cold]] void leave_behind(std::unique_lock<redis::ShortMutex>& lock) {
        is_slow_ = true;
        if (attended_ != nullptr) {
            attended_->is_quick.store(false, std::memory_order_relaxed);
            std::exchange(attended_, nullptr)->is_left = true;
            ++left_behind_;
        }
        const bool is_due = is_turn_wanted();
        lock.unlock();
        if (is_due) { post_turn(); }
    }

    /// Whether there is a watch now. Any thread.
    [[nodiscard]] bool is_watched() noexcept {
        if (watched_.load(std::memory_order_relaxed) == Watched::no) { begin_watch(); }
        return watched_.load(std::memory_order_relaxed) == Watched::yes;
    }

    [[gnu::cold]] void begin_watch() noexcept {
        auto off = Watched::no;
        if (!watched_.compare_exchange_strong(off, Watched::nearly)) { return; }
        bool is_made = false;
        try {
            if (!watch_) { watch_ = watch(shared_from_this()); }
            is_made = true;
        } catch (...) {} // no memory
        if (is_made) { watched_ = Watched::yes; }
        if (!is_made || !watch_->begin()) { unwatch(); }
    }

    [[nodiscard]] bool is_attended() const noexcept { return attended_ != nullptr && !is_slow_; }

    void post_turn() {
        if (!executor()) { return abandon_all(); } // the context is gone
        redis::Task turn([turn = Turn(shared_from_this())]() mutable { turn(); });
        if (!redis::Strand::follow(executor(), turn)) { executor_.post(std::move(turn)); }
    }

    void take_turn() {
        std::unique_lock<redis::ShortMutex> lock(mutex_);
        is_turn_due_ = false;
        if (first_ == nullptr || is_attended()) { return; }
        Running running(*this, lock);
        if (first_->next == nullptr && !is_slow_) { // one alone is not timed
            call_part(running, 1);
            if (first_ == nullptr) { return; }
        }
        const Clock::time_point latest = Clock::now() + longest_turn;
        Clock::duration taken{};
        std::size_t timed = 0;
        for (Clock::time_point begun = latest - longest_turn; begun < latest; begun = Clock::now()) {
            const std::size_t length = next_part_length(waiting_, drains_.count());
            timed += call_part(running, is_slow_ ? std::max(length, fewest_timed) : length);
            lock.unlock();
            taken += Clock::now() - begun;
            const bool is_slow = taken > longest_quick(std::max(timed, fewest_timed));
            running.send();
            lock.lock();
            if (attended_ != &running) { return; } // others are at it
            is_slow_ = is_slow;
            running.is_quick.store(!is_slow, std::memory_order_relaxed);
            if (is_slow || first_ == nullptr) { return; }
            if (timed >= fewest_timed) {
                taken = {};
                timed = 0;
            }
        }
    }

    /// Under the lock, which is free while a handler runs. Returns how many were called.
    std::size_t call_part(Running& running, std::size_t most) {
        std::size_t count = 0;
        for (; count < most && first_ != nullptr; ++count) {
            Completion& completion = pop();
            if (attended_ == &running) { ++called_; }
            const bool is_due = is_turn_wanted();
            const bool is_kept_waiting = first_ != nullptr && is_attended();
            running.lock.unlock();
            if (is_due) { post_turn(); }
            if (is_kept_waiting) { static_cast<void>(is_watched()); }
            completion.complete();
            running.lock.lock();
        }
        return count;
    }

    [[nodiscard]] Completion& pop() noexcept {
        redis::Burst::Item& item = *first_;
        first_ = std::exchange(item.next, nullptr);
        if (first_ == nullptr) { last_ = nullptr; }
        --waiting_;
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
    std::size_t waiting_ = 0;
    bool is_turn_due_ = false;    ///< one is posted, and has not begun
    bool is_slow_ = false;        ///< handlers are
    Running* attended_ = nullptr; ///< the turn that was begun last, where it has not ended
    std::size_t left_behind_ = 0; ///< turns
    std::size_t called_ = 0;
    std::size_t seen_ = 0; ///< of `called_`, at the last look
    enum class Watched { no, nearly, yes };
    std::atomic<Watched> watched_{Watched::no};
    std::shared_ptr<Watch> watch_; ///< of whom makes it `nearly`
    std::weak_ptr<Sender> sender_;
    DrainBook drains_;
    Work work_; ///< while a half of those has any, and for each turn
};

} // namespace luzia::cache

#if !defined(LUZIA_SEPARATE_COMPILATION)
#include <luzia/cache/turn_watch.hpp>
#endif
