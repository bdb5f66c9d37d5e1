// redis/dialer.hpp: makes a link to a server and makes it again when it is lost: performs what `Lifecycle` decides.
#pragma once

#include <luzia/core/event_log.hpp>
#include <luzia/redis/burst.hpp>
#include <luzia/redis/context_service.hpp>
#include <luzia/redis/handshake.hpp>
#include <luzia/redis/lifecycle.hpp>
#include <luzia/redis/link.hpp>
#include <luzia/redis/options.hpp>
#include <luzia/redis/plain_transport.hpp>
#include <luzia/redis/reply_handler.hpp>
#include <luzia/redis/resolver.hpp>
#include <luzia/redis/target.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::redis {

/// The base of what talks to one server over a link that comes and goes. Everything but the two counters is confined to the strand.
///
/// What derives from it says what a reply means (`on_reply`), what to do when the link is there, has written all it was given, or is gone.
/// When the execution context is destroyed before the owner, the I/O objects are dropped in time (see `ContextService`).
class Dialer : public std::enable_shared_from_this<Dialer>, public Link::Owner, public ContextMember {
public:
    using Clock = std::chrono::steady_clock;

    Dialer(const Dialer&) = delete;
    Dialer& operator=(const Dialer&) = delete;

    [[nodiscard]] bool is_ready() const noexcept { return is_ready_.load(std::memory_order_relaxed); }
    /// Nobody has asked for anything yet, so that there is no link to have.
    [[nodiscard]] bool is_unused() const noexcept { return is_unused_.load(std::memory_order_relaxed); }
    /// How often a link was made again.
    [[nodiscard]] std::uint64_t reconnects() const noexcept { return reconnects_.load(std::memory_order_relaxed); }

protected:
    [[gnu::cold]] Dialer(const asio::any_io_executor& executor, Target target, ConnectionOptions options, std::shared_ptr<EventLog> log)
        : options_(std::move(options)), log_(std::move(log)), target_(std::move(target)), lifecycle_(options_.backoff) {
        io_.emplace(executor);
        // Names of keys, which a walk reads, are strings as well; a value between the two limits costs nobody the link.
        limits_.bulk_bytes = std::max(options_.max_value_bytes, std::size_t{1024} * 1024);
        limits_.elements = most_elements;
        limits_.reply_bytes = std::min(limits_.reply_bytes, most_values * limits_.bulk_bytes);
        if (!options_.transport) {
            options_.transport = [](const StreamExecutor& strand, const std::string&) { return std::make_unique<PlainTransport>(strand); };
        }
    }

    [[gnu::cold]] ~Dialer() {
        if (lookup_) { lookup_->abandon(); }
        drop_link();
        drop_io();
        if (members_) { members_->remove(this); }
    }

    /// Once, right after construction.
    [[gnu::cold]] void join_context() {
        members_ = asio::use_service<ContextService>(asio::query(io_->strand->outer(), asio::execution::context)).members();
        members_->add(this, std::weak_ptr<Dialer>(shared_from_this()));
    }

    virtual void on_link_ready() = 0;
    /// The link, or an attempt at one, is gone; `admission` is what becomes of operations now.
    virtual void on_link_lost(error_code reason, Admission admission) = 0;
    /// False where the link was lost over it.
    [[nodiscard]] virtual bool on_reply(Reply& reply) = 0;
    /// All replies that one read brought have been passed on. Returns how many are still due, where that is known.
    [[nodiscard]] virtual std::size_t on_replies_end(std::size_t bytes, std::size_t replies) = 0;
    /// Some of what the link was given has been written; `is_all`: it is free for more.
    virtual void on_progress(bool is_all) = 0;
    /// No callback comes from here on, and I/O must not be touched.
    virtual void on_gone() noexcept = 0;

    // The vocabulary of what derives from it.

    void dial() {
        is_unused_.store(false, std::memory_order_relaxed);
        perform(lifecycle_.wanted());
    }

    [[gnu::cold]] void hang_up() noexcept {
        lifecycle_.close();
        is_ready_.store(false, std::memory_order_relaxed);
        drop_link();
        if (lookup_) { std::exchange(lookup_, nullptr)->abandon(); }
        io_->attempt_timer.cancel();
    }

    /// Somebody waited for the first attempt as long as they could.
    [[gnu::cold]] void outwaited() noexcept { lifecycle_.outwaited(); }

    /// `detail` goes to the log as it is.
    [[gnu::cold]] void lose(error_code reason, std::string_view detail) {
        const Phase phase = lifecycle_.phase();
        if (phase == Phase::idle || phase == Phase::backing_off || phase == Phase::closed) { return; }
        const bool was_ready = phase == Phase::ready;
        is_ready_.store(false, std::memory_order_relaxed);
        drop_link();
        const Step step = lifecycle_.lost(Clock::now(), random());
        const Admission admission = lifecycle_.admission();
        if (step != Step::connect && !std::exchange(is_known_to_be_down_, true)) {
            log_->transition(spdlog::level::warn, "luzia: " + std::string(was_ready ? "lost the connection to " : "no connection to ") +
                                                      target_.text() + ": " + std::string(detail));
        }
        on_link_lost(reason, admission);
        perform(step);
    }

    [[gnu::cold]] void lose_for_protocol(error_code reason, std::string_view detail) {
        log_->event(spdlog::level::err, "protocol error", "luzia: " + target_.text() + " broke the protocol: " + std::string(detail));
        lose(reason, detail);
    }

    /// What is to be looked at, and for which attempt, where that matters.
    struct Judge {
        void (*act)(Dialer&, std::uint64_t);
        std::uint64_t attempt = 0;
    };

    /// Runs `judge` after what has arrived by now has been dealt with: completions that a busy thread kept waiting stand in the queue of
    /// the context, and each leads to another on the strand.
    void after_arrivals(Judge judge) {
        io_->strand->post_outside([self = shared_from_this(), judge] {
            self->io_->strand->post_outside([self, judge] { self->io_->strand->post([self, judge] { judge.act(*self, judge.attempt); }); });
        });
    }

    /// Calls `act` on the strand when the timer fires; never where it is set anew.
    template <class Act>
    void wait(asio::steady_timer& timer, Act act) {
        timer.async_wait(OnTimer(io_->strand, Task(std::move(act))));
    }

    [[nodiscard]] Phase phase() const noexcept { return lifecycle_.phase(); }
    [[nodiscard]] Link& link() noexcept { return *link_; }
    [[nodiscard]] asio::steady_timer& deadline_timer() noexcept { return io_->deadline_timer; }
    [[nodiscard]] Strand& strand() const noexcept { return *io_->strand; }
    [[nodiscard]] const Target& target() const noexcept { return target_; }

    ConnectionOptions options_;
    std::shared_ptr<EventLog> log_;

private:
    // No command of ours is answered with as many: the longest answers are a page of SCAN, and the values of an MGET.
    static constexpr std::size_t most_elements = std::size_t{1} << 20U;
    static constexpr std::size_t most_values = 512;

    struct Io {
        [[gnu::cold]] explicit Io(const asio::any_io_executor& executor)
            : strand(std::make_shared<Strand>(executor)), attempt_timer(executor), deadline_timer(executor) {}
        std::shared_ptr<Strand> strand;
        asio::steady_timer attempt_timer;
        asio::steady_timer deadline_timer;
    };

    /// The one completion handler of the timers.
    class OnTimer {
    public:
        OnTimer(std::shared_ptr<Strand> strand, Task task) noexcept : strand_(std::move(strand)), task_(std::move(task)) {}
        void operator()(error_code error) {
            if (!error) { strand_->dispatch(std::move(task_)); }
        }

    private:
        std::shared_ptr<Strand> strand_;
        Task task_;
    };

    void perform(Step step) {
        switch (step) {
        case Step::none: return;
        case Step::resolve: return resolve();
        case Step::connect: return connect();
        case Step::secure: return link_->secure();
        case Step::handshake: return shake_hands();
        case Step::open: return open();
        case Step::back_off: return back_off();
        }
    }

    [[gnu::cold]] void resolve() {
        attempt_begun_ = Clock::now();
        limit_attempt();
        if (target_.is_socket_path()) {
            endpoints_.assign(1, asio::local::stream_protocol::endpoint(target_.path));
            return perform(lifecycle_.resolved(1));
        }
        if (!late_endpoints_.empty()) { return on_resolved(std::exchange(late_endpoints_, {})); }
        if (lookup_ && attempt_begun_ - look_up_begun_ < longest_look_up) { return; } // still under way from an attempt before
        if (lookup_) { lookup_->abandon(); }
        look_up_begun_ = attempt_begun_;
        lookup_ = std::make_shared<Lookup>(io_->strand, [weak = weak_from_this()](std::vector<Endpoint> endpoints) {
            if (const auto self = weak.lock()) { self->on_resolved(std::move(endpoints)); }
        });
        lookup_->start(target_.host, target_.port);
    }

    [[gnu::cold]] void on_resolved(std::vector<Endpoint> endpoints) {
        lookup_.reset();
        if (lifecycle_.phase() == Phase::backing_off) { late_endpoints_ = std::move(endpoints); } // in time for the next attempt
        if (lifecycle_.phase() != Phase::resolving) { return; }
        if (endpoints.empty()) { return lose(Error::no_such_host, "the name does not resolve"); }
        endpoints_ = std::move(endpoints);
        perform(lifecycle_.resolved(endpoints_.size()));
    }

    [[gnu::cold]] void connect() {
        limit_attempt();
        auto owner = std::shared_ptr<Link::Owner>(shared_from_this(), this);
        try {
            link_ =
                std::make_shared<Link>(options_.transport(StreamExecutor(io_->strand), target_.host), handshake_limits(), std::move(owner));
        } catch (const std::exception& problem) { // of a transport that is not ours, or of TLS without a name to expect
            return lose(Error::not_connected, problem.what());
        }
        link_->connect(endpoints_[lifecycle_.address()]);
    }

    /// Who has not been let in is owed no memory: the answers of a handshake are lines.
    [[gnu::cold]] [[nodiscard]] static hiredis::ReaderLimits handshake_limits() noexcept {
        hiredis::ReaderLimits limits;
        limits.bulk_bytes = limits.reply_bytes = limits.line_bytes;
        limits.elements = 16;
        return limits;
    }

    [[gnu::cold]] void shake_hands() {
        handshake_.emplace(options_);
        link_->outgoing.text.append(handshake_->bytes());
        link_->write();
        link_->read();
    }

    [[gnu::cold]] void open() {
        handshake_.reset();
        link_->reader.set_limits(limits_);
        io_->attempt_timer.cancel();
        if (std::exchange(has_been_open_, true)) { reconnects_.fetch_add(1, std::memory_order_relaxed); }
        is_ready_.store(true, std::memory_order_relaxed);
        if (std::exchange(is_known_to_be_down_, false)) {
            log_->transition(spdlog::level::warn, "luzia: the connection to " + target_.text() + " is back");
        } else {
            log_->transition(spdlog::level::info, "luzia: connected to " + target_.text());
        }
        on_link_ready();
    }

    /// Pauses count from one attempt's begin to the next one's: what took long to fail has waited already.
    [[gnu::cold]] void back_off() {
        io_->attempt_timer.expires_at(std::max(attempt_begun_ + lifecycle_.pause(), Clock::now() + options_.backoff.min));
        wait(io_->attempt_timer, [self = shared_from_this()] { self->perform(self->lifecycle_.paused()); });
    }

    /// Gives the step that begins now, and those up to the end of the handshake, `connect_timeout`.
    [[gnu::cold]] void limit_attempt() {
        const std::uint64_t attempt = ++attempt_;
        io_->attempt_timer.expires_after(options_.connect_timeout);
        wait(io_->attempt_timer, [self = shared_from_this(), attempt] {
            self->after_arrivals({[](Dialer& dialer, std::uint64_t begun) { dialer.on_attempt_timeout(begun); }, attempt});
        });
    }

    [[gnu::cold]] void on_attempt_timeout(std::uint64_t attempt) {
        if (attempt != attempt_) { return; }
        switch (lifecycle_.phase()) {
        case Phase::resolving: return lose(Error::not_connected, "the look-up of its name timed out");
        case Phase::connecting: return lose(Error::not_connected, "connecting timed out");
        case Phase::securing: return lose(Error::not_connected, "the TLS handshake timed out (is it TLS that it speaks?)");
        case Phase::handshaking: return lose(Error::not_connected, "it accepts connections and does not answer");
        default: return;
        }
    }

    void on_link_event(Link::Event event, error_code error, std::size_t bytes) override {
        if (error) {
            const bool was_ready = lifecycle_.phase() == Phase::ready;
            return lose(was_ready ? make_error_code(Error::connection_lost) : error, link_->describe(error));
        }
        switch (event) {
        case Link::Event::connected: return perform(lifecycle_.connected());
        case Link::Event::secured: return perform(lifecycle_.secured());
        case Link::Event::read: return on_read(bytes);
        case Link::Event::written: return on_written(bytes);
        }
    }

    void on_written(std::size_t bytes) {
        if (!link_->wrote(bytes)) { link_->write(); } // the rest may go at once
        if (lifecycle_.phase() == Phase::ready) { on_progress(!link_->is_writing()); }
    }

    void on_read(std::size_t bytes) {
        const auto link = link_; // a reply may cost us the link
        const Burst burst;
        error_code error = link->reader.feed(link->received(bytes));
        std::size_t replies = 0;
        const bool is_in_handshake = handshake_.has_value();
        while (Reply* const reply = link->reader.next(error)) {
            ++replies;
            if (is_in_handshake && !handshake_) { // nothing had been asked when this was sent
                lose_for_protocol(Error::protocol, "a reply that nobody asked for");
                break;
            }
            if (!(handshake_ ? on_handshake_reply(*reply) : on_reply(*reply))) { break; }
        }
        const std::size_t due = lifecycle_.phase() == Phase::ready ? on_replies_end(bytes, replies) : 0;
        if (link != link_) { return; }
        if (error) { return lose_for_protocol(error, error.message()); }
        if (link->fit_read_size(bytes, replies, due)) { return link->read(); }
        // One alone is mostly all there was: who has it goes first, and what that sends is not kept by a read that finds nothing.
        io_->strand->post_outside([self = shared_from_this(), link] {
            self->io_->strand->dispatch([self, link] {
                if (link == self->link_) { link->read(); }
            });
        });
    }

    [[gnu::cold]] [[nodiscard]] bool on_handshake_reply(const Reply& reply) {
        switch (handshake_->next(reply)) {
        case Handshake::Progress::waiting: return true;
        case Handshake::Progress::done: perform(lifecycle_.shaken_hands(Clock::now())); return true;
        case Handshake::Progress::refused: break;
        }
        const std::string problem = handshake_->problem();
        log_->transition(spdlog::level::err, "luzia: " + target_.text() + ": " + problem);
        lose(Error::handshake_refused, problem);
        return false;
    }

    void drop_link() noexcept {
        handshake_.reset();
        if (link_) { std::exchange(link_, nullptr)->close(); }
    }

    [[gnu::cold]] void on_context_shutdown() noexcept override {
        on_gone();
        lifecycle_.close();
        is_ready_.store(false, std::memory_order_relaxed);
        drop_link();
        if (lookup_) { std::exchange(lookup_, nullptr)->abandon(); }
        drop_io();
        members_.reset();
    }

    /// In [0, 1). For pauses that must differ between clients: SplitMix64, stirred by the time.
    [[gnu::cold]] [[nodiscard]] double random() noexcept {
        random_ += 0x9e3779b97f4a7c15U ^ static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
        std::uint64_t mixed = (random_ ^ (random_ >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        return static_cast<double>((mixed ^ (mixed >> 31U)) >> 11U) * 0x1p-53;
    }

    [[gnu::cold]] void drop_io() noexcept {
        if (!io_) { return; }
        const auto strand = io_->strand;
        io_.reset();
        strand->abandon();
    }

    Target target_;
    Lifecycle lifecycle_;
    hiredis::ReaderLimits limits_;
    std::optional<Io> io_;
    std::shared_ptr<ContextMembers> members_;
    std::shared_ptr<Link> link_;
    std::shared_ptr<Lookup> lookup_;
    std::vector<Endpoint> endpoints_;
    std::vector<Endpoint> late_endpoints_;
    std::optional<Handshake> handshake_;
    std::uint64_t attempt_ = 0;
    Clock::time_point attempt_begun_{};
    // One that takes longer will never end; another one is begun beside it.
    static constexpr std::chrono::seconds longest_look_up{60};
    Clock::time_point look_up_begun_{};
    bool has_been_open_ = false;
    bool is_known_to_be_down_ = false;
    std::uint64_t random_ = reinterpret_cast<std::uintptr_t>(this);
    std::atomic<bool> is_ready_{false};
    std::atomic<bool> is_unused_{true};
    std::atomic<std::uint64_t> reconnects_{0};
};

} // namespace luzia::redis
