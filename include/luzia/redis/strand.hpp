// redis/strand.hpp: tasks of one connection, one at a time, on an executor; what follows from them runs behind them, without another post.
#pragma once

#include <luzia/redis/short_mutex.hpp>
#include <luzia/redis/task.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/relationship.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace luzia::redis {

namespace asio = boost::asio;

/// The executor as one that only posts: asked for once, since each question costs a copy.
[[nodiscard]] inline asio::any_io_executor posting(const asio::any_io_executor& executor) {
    return asio::prefer(asio::require(executor, asio::execution::blocking.never), asio::execution::relationship.fork);
}

/// What `asio::strand` is, for one type of task: that one makes a dozen functions for each handler's type, and posts where this one need not.
///
/// Tasks run in their order, in batches. What comes meanwhile is one more batch, and what comes after that waits until others of the executor
/// have been.
class Strand : public std::enable_shared_from_this<Strand> {
public:
    explicit Strand(const asio::any_io_executor& executor) : outer_(executor), posting_(redis::posting(executor)) {}
    Strand(const Strand&) = delete;
    Strand& operator=(const Strand&) = delete;
    ~Strand() = default;

    /// Where the strand runs.
    [[nodiscard]] const asio::any_io_executor& outer() const noexcept { return outer_; }

    /// Any thread.
    void post(Task task) {
        const std::scoped_lock lock(mutex_);
        if (!posting_) { return; }
        if (!is_running_) { schedule(); } // first: where there is no memory for it, nothing has happened
        waiting_.push_back(std::move(task));
    }

    /// At once, where nothing else waits for the strand. On a thread of the executor.
    void dispatch(Task task) {
        {
            const std::scoped_lock lock(mutex_);
            if (is_running_ || !is_idle()) { return waiting_.push_back(std::move(task)); }
            is_running_ = true;
        }
        Run run(*this);
        task();
        run.end();
    }

    /// At once, where nothing runs on the strand at this moment; nothing follows inside the call. False where there is no memory to wait: nothing has
    /// happened. On a thread of the executor.
    [[nodiscard]] bool overtake(Task& task) {
        {
            const std::scoped_lock lock(mutex_);
            if (is_running_) {
                try {
                    waiting_.push_back(std::move(task));
                } catch (...) { return false; }
                return true;
            }
            is_running_ = true;
        }
        Run run(*this, Run::Followed::no);
        task();
        run.end();
        return true;
    }

    /// On the executor, beside the strand.
    void post_outside(Task task) { posting_.execute(std::move(task)); }

    /// The context is going: lets go of everything, the executor included.
    [[gnu::cold]] void abandon() noexcept {
        std::vector<Task> waiting;
        const std::scoped_lock lock(mutex_);
        waiting.swap(waiting_);
        outer_ = nullptr;
        posting_ = nullptr;
    }

    /// Keeps `task` for when the strand that runs on this thread is free, if one does, on `executor`, and nothing else follows it. False where the
    /// caller has to post it.
    [[nodiscard]] static bool follow(const asio::any_io_executor& executor, Task& task) noexcept {
        Run* const run = current;
        if (run == nullptr || !run->is_followed || run->follower || run->strand.outer_ != executor) { return false; }
        run->follower.emplace(std::move(task));
        return true;
    }

private:
    /// The strand while this thread has it, and what follows.
    struct Run {
        enum class Followed { no, yes };
        explicit Run(Strand& taken, Followed by = Followed::yes) noexcept
            : strand(taken), is_followed(by == Followed::yes), before(std::exchange(current, this)) {}
        Run(const Run&) = delete;
        Run& operator=(const Run&) = delete;
        ~Run() {
            if (is_over) { return; } // else something was thrown
            current = before;
            strand.release();
            if (follower && strand.posting_) { strand.posting_.execute(std::move(*follower)); }
        }

        void end() {
            if (!strand.release_or_take()) {
                strand.run_ready();
                strand.release();
            }
            is_over = true;
            current = before;
            if (!follower) { return; }
            // What follows may be a user's code: it finds no strand to follow.
            struct Restored {
                Run* saved = std::exchange(current, nullptr);
                ~Restored() { current = saved; }
            } const restored;
            (*follower)();
        }

        Strand& strand;
        bool is_followed;
        Run* before;
        bool is_over = false;
        std::optional<Task> follower;
    };

    /// What is posted. Destroyed unrun, with its context, it takes along what waits: tasks may hold what holds the strand.
    class Turn {
    public:
        explicit Turn(std::shared_ptr<Strand> strand) noexcept : strand_(std::move(strand)) {}
        Turn(Turn&&) noexcept = default;
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (strand_ && scheduling != strand_.get()) { strand_->abandon(); }
        }
        void operator()() { std::exchange(strand_, nullptr)->run(); }

    private:
        std::shared_ptr<Strand> strand_;
    };

    static inline thread_local Run* current = nullptr;
    static inline thread_local const Strand* scheduling = nullptr; ///< whose turn could not be posted, if it is destroyed now

    void schedule() {
        if (is_scheduled_) { return; }
        struct Scheduling {
            explicit Scheduling(const Strand* strand) noexcept { scheduling = strand; }
            ~Scheduling() { scheduling = nullptr; }
        } const until_posted(this);
        posting_.execute(Task([turn = Turn(shared_from_this())]() mutable { turn(); }));
        is_scheduled_ = true;
    }

    void run() {
        {
            const std::scoped_lock lock(mutex_);
            is_scheduled_ = false;
            if (is_running_ || is_idle()) { return; }
            is_running_ = true;
            if (next_ == ready_.size()) { take_batch(); }
        }
        Run run(*this);
        run_ready();
        run.end();
    }

    void run_ready() {
        while (next_ < ready_.size()) { // where one throws, the rest stays for the next run
            Task task = std::move(ready_[next_++]);
            task();
        }
    }

    [[nodiscard]] bool is_idle() const noexcept { return waiting_.empty() && next_ == ready_.size(); }

    void take_batch() noexcept {
        ready_.clear();
        next_ = 0;
        ready_.swap(waiting_);
    }

    void release() {
        const std::scoped_lock lock(mutex_);
        let_go();
    }

    /// False where others wait for the strand: then they are to be run. Once: after that others of the executor come between.
    [[nodiscard]] bool release_or_take() {
        const std::scoped_lock lock(mutex_);
        if (waiting_.empty() || next_ < ready_.size()) {
            let_go();
            return true;
        }
        take_batch();
        return false;
    }

    void let_go() {
        if (!is_idle() && posting_) { schedule(); } // first: where there is no memory for it, the strand is not let go of
        is_running_ = false;
    }

    ShortMutex mutex_; // guards all but `ready_` and `next_`, which belong to who runs
    asio::any_io_executor outer_;
    asio::any_io_executor posting_;
    std::vector<Task> waiting_;
    bool is_scheduled_ = false;
    bool is_running_ = false;
    std::vector<Task> ready_;
    std::size_t next_ = 0;
};

/// The strand as an Asio executor, for streams that work in steps of their own.
class StreamExecutor {
public:
    explicit StreamExecutor(std::shared_ptr<Strand> strand) noexcept : strand_(std::move(strand)) {}

    [[nodiscard]] const std::shared_ptr<Strand>& strand() const noexcept { return strand_; }

    [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const {
        return asio::query(strand_->outer(), asio::execution::context);
    }
    [[nodiscard]] static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    [[nodiscard]] StreamExecutor require(asio::execution::blocking_t::never_t) const { return *this; }

    template <class Act>
    void execute(Act&& act) const {
        strand_->post([kept = std::make_unique<std::decay_t<Act>>(std::forward<Act>(act))] { std::move (*kept)(); });
    }

    friend bool operator==(const StreamExecutor& left, const StreamExecutor& right) noexcept { return left.strand_ == right.strand_; }
    friend bool operator!=(const StreamExecutor& left, const StreamExecutor& right) noexcept { return !(left == right); }

private:
    std::shared_ptr<Strand> strand_;
};

} // namespace luzia::redis
