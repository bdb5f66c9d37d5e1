// celery/worker_core.hpp: what the parts of a worker share: connections, keys, what it holds, what wakes it. Confined to one strand.
#pragma once

#include <luzia/celery/composing.hpp>
#include <luzia/celery/delivery.hpp>
#include <luzia/celery/handler.hpp>
#include <luzia/celery/result.hpp>
#include <luzia/celery/scripts.hpp>
#include <luzia/celery/worker_options.hpp>
#include <luzia/celery/worker_stats.hpp>
#include <luzia/redis/context_service.hpp>
#include <luzia/redis/execute.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace luzia::celery {

namespace asio = boost::asio;

namespace detail {

inline constexpr std::chrono::milliseconds for_ever = std::chrono::hours(24 * 365);

class WorkerCore final : public redis::ContextMember, public std::enable_shared_from_this<WorkerCore> {
public:
    struct Io {
        explicit Io(const asio::any_io_executor& outer)
            : executor(outer),
              strand(asio::make_strand(outer)),
              hungry(strand),
              stopping(strand),
              idle(strand),
              keeping(strand),
              sweeping(strand),
              scheduled(strand),
              arriving(strand) {}
        asio::any_io_executor executor;
        asio::any_io_executor strand;
        Event hungry;    ///< there may be something to claim
        Event stopping;  ///< `stop` was called
        Event idle;      ///< a task or a loop has ended
        Event keeping;   ///< ends the pause of the heartbeat
        Event sweeping;  ///< ends the pause between two looks for what others left behind
        Event scheduled; ///< the earliest time of what waits for its time has changed
        Event arriving;  ///< there is something to read that is held already
    };

    WorkerCore(const asio::any_io_executor& executor, WorkerOptions given)
        : options(checked(std::move(given))), log(std::make_shared<EventLog>(options.logger)), composer(options), outer_(executor) {
        io.emplace(executor);
        const std::optional<Server> broker_server = broker_of(options, *log);
        backend_server_ = backend_of(options, broker_server, *log);
        if (!broker_server || !backend_server_) { return; }
        server = broker_server;
        broker = broker_server->connect(executor, log);
        is_one_server = broker_server->is_same(*backend_server_);
        backend = is_one_server ? broker : backend_server_->connect(executor, log);
        node = options.hostname.find('@') == std::string::npos ? options.hostname + "@" + host_name() : options.hostname;
        tag_prefix = composer.next_id() + ":";
    }

    ~WorkerCore() {
        drop_deliveries();
        io.reset();
        if (members_) { members_->remove(this); }
    }

    /// Once, right after construction.
    void join_context() {
        members_ = asio::use_service<redis::ContextService>(asio::query(io->executor, asio::execution::context)).members();
        members_->add(this, std::weak_ptr<WorkerCore>(shared_from_this()));
    }

    [[nodiscard]] const asio::any_io_executor& strand() const noexcept { return io->strand; }
    [[nodiscard]] const asio::any_io_executor& outer() const noexcept { return outer_.get(); }
    [[nodiscard]] std::string key(std::string_view name) const { return options.key_prefix + std::string(name); }
    [[nodiscard]] std::string result_key_of(const std::string& id) const { return result_key(options.result_key_prefix, id); }
    [[nodiscard]] std::string group_key(const std::string& group, const char* part) const {
        return options.result_key_prefix + "celery-taskset-meta-" + group + part;
    }
    [[nodiscard]] std::string result_seconds() const { return std::to_string(options.result_expires.count()); }

    /// Taken and neither ended nor waiting for their time.
    [[nodiscard]] std::size_t load() const noexcept { return ready.size() + active.size() + arriving.size(); }

    /// Whether the message with this tag is here.
    [[nodiscard]] bool holds(const std::string& tag) const {
        const auto is_it = [&](const DeliveryPtr& delivery) { return delivery->tag == tag; };
        return active.count(tag) != 0 || std::any_of(ready.begin(), ready.end(), is_it) ||
               std::any_of(arriving.begin(), arriving.end(), is_it) ||
               std::any_of(scheduled.begin(), scheduled.end(), [&](const auto& entry) { return is_it(entry.second); });
    }

    /// The connection for something of this size: what is large has its own. Made on first use.
    [[nodiscard]] const std::shared_ptr<redis::Connection>& connection_for(const std::shared_ptr<redis::Connection>& usual,
                                                                           std::size_t bytes) {
        if (bytes <= large) { return usual; }
        std::shared_ptr<redis::Connection>& patient = usual == broker ? patient_broker_ : patient_backend_;
        if (!patient) {
            const Server& where = usual == broker ? *server : *backend_server_;
            patient = where.connect(outer(), log, patience(options));
            if (*is_closed || is_cut_off_) { patient->close(); }
        }
        return patient;
    }

    void warn(const std::string& kind, const std::string& text) const { log->event(spdlog::level::warn, kind, "luzia: " + text); }

    /// Any thread.
    void stop() {
        const std::scoped_lock lock(stop_mutex_);
        if (is_gone_ || is_stop_posted_) { return; }
        is_stop_posted_ = true;
        asio::post(io->strand, [self = shared_from_this()] {
            if (!self->io) { return; }
            self->is_stopping = true;
            self->io->stopping.set();
            self->io->hungry.set();
            self->io->keeping.set();
            self->io->sweeping.set();
            self->io->scheduled.set();
            self->io->arriving.set();
        });
    }

    /// Calls `function` on the strand, or not at all where the context is gone. Any thread.
    template <class Function>
    void post(Function function) {
        const std::scoped_lock lock(stop_mutex_);
        if (!is_gone_) { asio::post(io->strand, std::move(function)); }
    }

    /// Everything that is pending fails from here on. Any thread.
    void abandon() {
        *is_closed = true;
        stop();
        if (broker) { broker->close(); }
        if (backend) { backend->close(); }
        post([self = shared_from_this()] {
            self->close_connections();
            self->give_up_runs();
        });
    }

    /// On the strand.
    void close_connections() {
        is_cut_off_ = true;
        for (const auto& connection : {broker, backend, patient_broker_, patient_backend_}) {
            if (connection) { connection->close(); }
        }
    }

    /// On the strand: handlers that have not ended are not waited for any more, whatever they end with. Whoever waits for them asks them to stop.
    void give_up_runs() {
        is_abandoned = true;
        for (asio::steady_timer* const pause : pauses) {
            pause->cancel();
        }
        for (const auto& [tag, delivery] : active) {
            if (!delivery->run || delivery->is_ending || delivery->run->has_ended()) { continue; }
            delivery->run->is_abandoned = true;
            if (delivery->event) { delivery->event->cancel(); }
        }
        if (io) { io->idle.set(); }
    }

    WorkerOptions options;
    std::shared_ptr<EventLog> log;
    Composer composer;
    std::optional<Io> io;
    std::optional<Server> server; ///< none: the environment names no usable one
    std::shared_ptr<redis::Connection> broker;
    std::shared_ptr<redis::Connection> backend;
    bool is_one_server = false;
    std::string node;
    std::string tag_prefix;
    std::uint64_t next_tag = 1;

    std::map<std::string, Registered, std::less<>> tasks;

    WorkerCounters counters; ///< counted on the strand, read by anybody

    // Confined to the strand.
    bool is_started = false;
    const std::shared_ptr<std::atomic<bool>> is_closed = std::make_shared<std::atomic<bool>>(false); ///< destroyed, or its context
    bool is_stopping = false;
    bool is_consuming = true;                       ///< more may be claimed
    bool is_abandoned = false;                      ///< nothing is begun, awaited or told any more
    std::size_t loops = 0;                          ///< coroutines of the worker itself
    std::unordered_set<asio::steady_timer*> pauses; ///< between two tries to say something
    std::deque<DeliveryPtr> ready;
    std::multimap<Time, DeliveryPtr> scheduled;
    std::unordered_map<std::string, DeliveryPtr> active;
    std::deque<DeliveryPtr> arriving;                                  ///< claimed and not read yet
    std::vector<std::pair<std::uint64_t, std::uint64_t>> lost_answers; ///< first number and count of claims that are looked at again
    std::unordered_set<std::string> revoked;
    std::deque<std::string> revoked_order;
    std::map<std::string, std::uint64_t> totals; ///< runs of each task

private:
    void on_context_shutdown() noexcept override {
        const std::scoped_lock lock(stop_mutex_);
        is_gone_ = true;
        *is_closed = true;
        drop_deliveries();
        tasks.clear();
        options.handler_executor.reset();
        io.reset();
        members_.reset();
    }

    void drop_deliveries() noexcept {
        ready.clear();
        scheduled.clear();
        active.clear();
        arriving.clear();
    }

    redis::ContextExecutor outer_;
    std::optional<Server> backend_server_;
    std::shared_ptr<redis::Connection> patient_broker_;
    std::shared_ptr<redis::Connection> patient_backend_;
    std::shared_ptr<redis::ContextMembers> members_;
    std::mutex stop_mutex_;
    bool is_cut_off_ = false; ///< no connection is open any more. On the strand
    bool is_gone_ = false;
    bool is_stop_posted_ = false;
};
using CorePtr = std::shared_ptr<WorkerCore>;

/// One of the worker's own loops: begun again where it ends by an exception, for want of memory.
template <class Body>
[[nodiscard]] asio::awaitable<void> keep_going(CorePtr core, Body body) {
    asio::steady_timer timer(core->strand());
    while (true) {
        try {
            co_await body(core);
            co_return;
        } catch (const std::exception& problem) {
            core->warn("loop", std::string("a part of the worker begins again: ") + printable(problem.what(), 100));
        }
        timer.expires_after(std::chrono::seconds(1));
        co_await timer.async_wait(quietly);
    }
}

/// Runs a loop on the strand, and counts it until it has ended.
template <class Body>
void start_loop(const CorePtr& core, Body body) {
    ++core->loops;
    asio::co_spawn(core->strand(), keep_going(core, body), [core](const std::exception_ptr&) {
        --core->loops;
        if (core->io) { core->io->idle.set(); }
    });
}

} // namespace detail

} // namespace luzia::celery
