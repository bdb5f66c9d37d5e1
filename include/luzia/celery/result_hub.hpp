// celery/result_hub.hpp: who waits for which result, and how it gets there: by subscription, with a slow look as a safety net.
#pragma once

#include <luzia/celery/result.hpp>
#include <luzia/celery/result_wait.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/redis/context_service.hpp>
#include <luzia/redis/execute.hpp>
#include <luzia/redis/subscriber.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace luzia::celery {

namespace asio = boost::asio;

/// Waits for results, thousands at a time, on two connections.
///
/// The order of events for one id: SUBSCRIBE, its confirmation, GET (the result may have come before), then messages. Each new link of the
/// subscriber confirms anew and is followed by a GET again, and every two seconds all that is waited for is looked up once more: messages
/// of Redis are sent once, to who is there. One timer serves all deadlines.
///
/// What comes is read on the client's executor and not on the connections' strands, where it would hold up all others; of one id in the order in
/// which it came, of several at the same time. Who waits for less time than a command may take gets one look that is answered, however late.
class ResultHub final : public redis::Subscriber::Listener, public redis::ContextMember, public std::enable_shared_from_this<ResultHub> {
public:
    using Done = detail::ResultWaiter::Done;
    using Clock = detail::ResultWaiter::Clock;

    /// @param look_time  how long a command may take
    ResultHub(const asio::any_io_executor& executor, std::shared_ptr<redis::Connection> connection, std::string prefix,
              std::chrono::milliseconds look_time)
        : connection_(std::move(connection)), prefix_(std::move(prefix)), look_time_(look_time) {
        io_.emplace(executor);
    }

    ~ResultHub() {
        io_.reset();
        if (members_) { members_->remove(this); }
    }

    /// Once, right after construction. `patient` is asked for what took too long.
    void start(std::shared_ptr<redis::Connection> patient, std::shared_ptr<redis::Subscriber> subscriber) {
        patient_ = std::move(patient);
        subscriber_ = std::move(subscriber);
        members_ = asio::use_service<redis::ContextService>(asio::query(io_->executor, asio::execution::context)).members();
        members_->add(this, std::weak_ptr<ResultHub>(shared_from_this()));
    }

    /// Completes with the result, or when `timeout` is up. A lost connection is waited for as long. Returns what `cancel` takes.
    std::uint64_t wait(const std::string& id, std::chrono::milliseconds timeout, Done done) {
        constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365);
        auto slot = done.slot();
        std::uint64_t number = 0;
        {
            const std::scoped_lock lock(mutex_);
            number = ++last_number_;
        }
        if (slot.is_connected()) {
            slot.assign([weak = weak_from_this(), number](asio::cancellation_type type) {
                const auto self = weak.lock();
                if (self && type != asio::cancellation_type::none) { self->cancel(number); }
            });
        }
        const std::scoped_lock lock(mutex_);
        if (is_closed_ || !io_) {
            done(Error::closed, TaskResult());
            return number;
        }
        const auto deadline = Clock::now() + std::clamp(timeout, std::chrono::milliseconds(0), longest);
        EntryPtr& entry = waited_for_[id];
        const bool is_new = entry == nullptr;
        if (is_new) { entry = std::make_shared<Entry>(); }
        entry->numbers.push_back(number);
        deadlines_.emplace(deadline, number);
        waiters_.emplace(number, Waiter{id, std::move(done), deadline, deadline + look_time_, timeout >= look_time_});
        if (is_new) {
            subscriber_->subscribe(channel_of(id));
        } else {
            fetch(id); // it may have come since the first one asked
        }
        arm();
        return number;
    }

    /// Ends one wait with `Error::cancelled`, if it has not ended. Any thread.
    void cancel(std::uint64_t number) {
        Done done;
        {
            const std::scoped_lock lock(mutex_);
            done = remove(number);
        }
        if (done) { done(Error::cancelled, TaskResult()); }
    }

    /// Ends every wait with `Error::closed`. Any thread.
    void close() {
        std::vector<Done> ended;
        {
            const std::scoped_lock lock(mutex_);
            if (std::exchange(is_closed_, true)) { return; }
            for (auto& [number, waiter] : waiters_) {
                ended.push_back(std::move(waiter.done));
            }
            waiters_.clear();
            waited_for_.clear();
            deadlines_.clear();
            if (io_) { io_->timer.cancel(); }
        }
        subscriber_->close();
        for (Done& done : ended) {
            done(Error::closed, TaskResult());
        }
    }

private:
    using Waiter = detail::ResultWaiter;
    using Entry = detail::AwaitedResult;
    using EntryPtr = std::shared_ptr<Entry>;
    using Source = Entry::Source;
    using Arrival = Entry::Arrival;
    struct Io {
        explicit Io(const asio::any_io_executor& outer) : executor(outer), timer(outer) {}
        asio::any_io_executor executor;
        asio::steady_timer timer;
    };

    static constexpr std::chrono::seconds look_interval{2};
    static constexpr std::size_t ids_of_one_look = 128;
    static constexpr std::size_t most_unread = 64;

    [[nodiscard]] std::string channel_of(std::string_view id) const { return result_key(prefix_, id); }

    void on_subscribed(const std::string& name) noexcept override {
        const std::scoped_lock lock(mutex_);
        if (const std::string id = id_of(name); waited_for_.count(id) != 0) { fetch(id); }
    }

    void on_message(const std::string& channel, std::string&& payload) noexcept override {
        const std::scoped_lock lock(mutex_);
        arrive(id_of(channel), std::move(payload), Source::told);
    }

    [[nodiscard]] std::string id_of(std::string_view channel) const {
        return std::string(channel.substr(std::min(channel.size(), result_key(prefix_, "").size())));
    }

    /// Under the lock.
    void fetch(const std::string& id) {
        if (!io_) { return; }
        redis::execute(connection_, {"GET", channel_of(id)}, io_->executor,
                       [self = shared_from_this(), id, last = last_number_](error_code error, redis::Reply reply) {
                           if (is_final(error)) { return self->finish(id, error, TaskResult()); }
                           const std::scoped_lock lock(self->mutex_);
                           if (!error) { self->note_look(id, last, std::move(reply)); }
                           if (error == make_error_code(Error::timed_out)) { self->fetch_patiently(id); }
                       });
    }

    /// Under the lock: a look took too long, and would take as long again.
    void fetch_patiently(const std::string& id) {
        const auto found = waited_for_.find(id);
        if (!io_ || found == waited_for_.end() || std::exchange(found->second->is_large, true)) { return; }
        redis::execute(patient_, {"GET", channel_of(id)}, io_->executor,
                       [self = shared_from_this(), id, entry = found->second, last = last_number_](error_code error, redis::Reply reply) {
                           if (is_final(error)) { return self->finish(id, error, TaskResult()); }
                           const std::scoped_lock lock(self->mutex_);
                           entry->is_large = false;
                           if (!error) { self->note_look(id, last, std::move(reply)); }
                       });
    }

    /// Under the lock: what was asked for when `last` was the latest to wait.
    void note_look(const std::string& id, std::uint64_t last, redis::Reply&& reply) {
        const auto found = waited_for_.find(id);
        if (found == waited_for_.end()) { return; }
        for (const std::uint64_t number : found->second->numbers) {
            if (number <= last) { waiters_.find(number)->second.is_looked_up = true; }
        }
        if (!reply.is_nil()) { arrive(id, std::move(reply).text(), Source::stored); }
    }

    /// What another look would not change.
    [[nodiscard]] static bool is_final(const error_code& error) noexcept {
        return error == make_error_code(ServerError::wrongtype) || error == make_error_code(ServerError::noperm) ||
               error == make_error_code(Error::closed);
    }

    /// Under the lock: to be read when its turn comes.
    void arrive(const std::string& id, std::string&& bytes, Source source) {
        const auto found = waited_for_.find(id);
        if (found == waited_for_.end() || !io_) { return; }
        // A task may say how far it is faster than that can be read: of many the last ones count, and what is stored is looked at anyway.
        if (found->second->arrivals.size() == most_unread) { found->second->arrivals.pop_front(); }
        found->second->arrivals.push_back({std::move(bytes), source});
        if (!std::exchange(found->second->is_being_read, true)) { read_later(id, found->second); }
    }

    /// Under the lock.
    void read_later(const std::string& id, const EntryPtr& entry) {
        asio::post(io_->executor, [self = shared_from_this(), id, entry] { self->read(id, entry); });
    }

    /// Reads the oldest of what has come. Nobody else does of this entry, meanwhile.
    void read(const std::string& id, const EntryPtr& entry) {
        Arrival oldest;
        {
            const std::scoped_lock lock(mutex_);
            oldest = std::move(entry->arrivals.front());
            entry->arrivals.pop_front();
        }
        std::optional<TaskResult> result = decode_result(oldest.bytes);
        if (result && is_ready(result->state)) { return finish(id, {}, std::move(*result), entry); }
        if (!result && oldest.source == Source::stored) { return finish(id, Error::undecodable, TaskResult(), entry); }
        const std::scoped_lock lock(mutex_);
        entry->is_being_read = !entry->arrivals.empty() && io_;
        if (entry->is_being_read) { read_later(id, entry); }
    }

    /// @param entry  null: whoever waits for the id
    void finish(const std::string& id, error_code error, TaskResult result, const EntryPtr& entry = nullptr) {
        std::vector<Done> ended;
        {
            const std::scoped_lock lock(mutex_);
            const auto found = waited_for_.find(id);
            if (found == waited_for_.end() || (entry && found->second != entry)) { return; }
            for (const std::uint64_t number : found->second->numbers) {
                const auto waiter = waiters_.find(number);
                deadlines_.erase({waiter->second.deadline, number});
                ended.push_back(std::move(waiter->second.done));
                waiters_.erase(waiter);
            }
            waited_for_.erase(found);
            subscriber_->unsubscribe(channel_of(id));
        }
        for (std::size_t i = 0; i < ended.size(); ++i) {
            ended[i](error, i + 1 < ended.size() ? result : std::move(result));
        }
    }

    /// Under the lock.
    [[nodiscard]] Done remove(std::uint64_t number) {
        const auto waiter = waiters_.find(number);
        if (waiter == waiters_.end()) { return {}; }
        Done done = std::move(waiter->second.done);
        deadlines_.erase({waiter->second.deadline, number});
        const auto found = waited_for_.find(waiter->second.id);
        std::erase(found->second->numbers, number);
        if (found->second->numbers.empty()) {
            subscriber_->unsubscribe(channel_of(found->first));
            waited_for_.erase(found);
        }
        waiters_.erase(waiter);
        return done;
    }

    /// Under the lock.
    void arm() {
        if (!io_ || waiters_.empty()) { return; }
        const auto now = Clock::now();
        if (!next_look_ || *next_look_ < now - look_interval) { next_look_ = now + look_interval; }
        const auto due = deadlines_.empty() ? *next_look_ : std::min(deadlines_.begin()->first, *next_look_);
        if (armed_ && *armed_ <= due) { return; }
        armed_ = due;
        io_->timer.expires_at(due);
        io_->timer.async_wait([weak = weak_from_this()](error_code error) {
            const auto self = weak.lock();
            if (self && !error) { self->on_timer(); }
        });
    }

    void on_timer() {
        std::vector<Done> ended;
        bool is_connected = false;
        {
            const std::scoped_lock lock(mutex_);
            armed_.reset();
            const auto now = Clock::now();
            while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
                const std::uint64_t number = deadlines_.begin()->second;
                Waiter& waiter = waiters_.find(number)->second;
                if (waited_for_.find(waiter.id)->second->is_being_read && now < waiter.latest) {
                    put_off(number, waiter, now + std::chrono::milliseconds(1)); // it may have come
                } else if (!waiter.is_looked_up) {
                    put_off(number, waiter, now + std::chrono::hours(1)); // the answer puts it back
                    look_once(number, waiter);
                } else {
                    ended.push_back(remove(number));
                }
            }
            if (next_look_ && *next_look_ <= now) {
                next_look_ = now + look_interval;
                look();
            }
            is_connected = connection_->is_ready();
            arm();
        }
        for (Done& done : ended) {
            done(is_connected ? Error::timed_out : Error::not_connected, TaskResult());
        }
    }

    /// Under the lock.
    void put_off(std::uint64_t number, Waiter& waiter, Clock::time_point to) {
        deadlines_.erase({waiter.deadline, number});
        waiter.deadline = to;
        deadlines_.emplace(to, number);
    }

    /// Under the lock: the one look of who has no time to wait; it ends with the answer, whatever that is.
    void look_once(std::uint64_t number, Waiter& waiter) {
        waiter.is_looked_up = true;
        redis::execute(connection_, {"GET", channel_of(waiter.id)}, io_->executor,
                       [self = shared_from_this(), id = waiter.id, number](error_code error, redis::Reply reply) {
                           if (is_final(error)) { return self->finish(id, error, TaskResult()); }
                           const std::scoped_lock lock(self->mutex_);
                           if (!error && !reply.is_nil()) { self->arrive(id, std::move(reply).text(), Source::stored); }
                           const auto found = self->waiters_.find(number);
                           if (found == self->waiters_.end()) { return; }
                           self->put_off(number, found->second, Clock::now());
                           self->arm();
                       });
    }

    /// Under the lock: asks for all that is waited for.
    void look() {
        std::vector<std::string> ids;
        for (const auto& [id, entry] : waited_for_) {
            if (!entry->is_large) { ids.push_back(id); }
            if (ids.size() == ids_of_one_look) { look_for(std::exchange(ids, {})); }
        }
        if (!ids.empty()) { look_for(std::move(ids)); }
    }

    void look_for(std::vector<std::string> ids) {
        redis::Words words{"MGET"};
        for (const std::string& id : ids) {
            words.push_back(channel_of(id));
        }
        redis::execute(connection_, std::move(words), io_->executor,
                       [self = shared_from_this(), ids = std::move(ids), last = last_number_](error_code error, redis::Reply reply) {
                           const std::scoped_lock lock(self->mutex_);
                           for (std::size_t i = 0; !error && i < ids.size() && i < reply.elements().size(); ++i) {
                               self->note_look(ids[i], last, std::move(reply.elements()[i]));
                           }
                           if (error != make_error_code(Error::timed_out)) { return; }
                           for (const std::string& id : ids) {
                               self->fetch_patiently(id);
                           }
                       });
    }

    void on_context_shutdown() noexcept override {
        std::map<std::uint64_t, Waiter> dropped;
        const std::scoped_lock lock(mutex_);
        is_closed_ = true;
        dropped.swap(waiters_);
        waited_for_.clear();
        deadlines_.clear();
        io_.reset();
        members_.reset();
    }

    std::shared_ptr<redis::Connection> connection_;
    std::shared_ptr<redis::Connection> patient_;
    std::shared_ptr<redis::Subscriber> subscriber_;
    std::string prefix_;
    std::chrono::milliseconds look_time_;
    std::shared_ptr<redis::ContextMembers> members_;

    std::mutex mutex_; // guards the rest
    std::optional<Io> io_;
    std::map<std::uint64_t, Waiter> waiters_;
    std::unordered_map<std::string, EntryPtr> waited_for_;
    std::set<std::pair<Clock::time_point, std::uint64_t>> deadlines_;
    std::optional<Clock::time_point> armed_;
    std::optional<Clock::time_point> next_look_;
    std::uint64_t last_number_ = 0;
    bool is_closed_ = false;
};

} // namespace luzia::celery
