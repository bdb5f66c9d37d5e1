// fuzz/connection.cpp: whatever a server does, every operation ends exactly once, in time, with no answer but its own; what was cancelled is
// not sent, nothing is sent twice, no secret is logged, and nothing is left behind.
#define BOOST_ASIO_DISABLE_EPOLL // with it, Asio leaves timers to the kernel, whose clock is not the script's

#include "check.hpp"
#include "script.hpp"
#include "scripted_server.hpp"
#include "watched_operation.hpp"

#include <luzia/cache_client.hpp>

#include <spdlog/sinks/sink.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

std::chrono::steady_clock::time_point script_time{std::chrono::hours(1)};

} // namespace

// Time goes by when the script says so. A definition in the program stands before that of the standard library.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept { return script_time; }

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using luzia_fuzz::check;
using luzia_fuzz::Circumstances;
using luzia_fuzz::Command;
using luzia_fuzz::Kind;
using luzia_fuzz::Script;
using luzia_fuzz::ScriptedServer;
using luzia_fuzz::ScriptedTransport;
using luzia_fuzz::WatchedOperation;
using luzia_fuzz::WatchingHandler;

constexpr std::string_view password = "a secret password";
constexpr std::string_view value_mark = "value of";
constexpr auto command_timeout = 50ms;

/// Reads every line, and writes none.
struct Censor final : spdlog::sinks::sink {
    void log(const spdlog::details::log_msg& message) override {
        const std::string_view line(message.payload.data(), message.payload.size());
        check(line.find(value_mark) == std::string_view::npos, "no value is logged", line);
        check(line.find(password) == std::string_view::npos, "no password is logged", line);
    }
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}
};

/// One run of a script.
///
/// Its letters, of which the lower five bits count, so that every byte is one: `g l s e t c y m w d i z p` begin an operation, with a byte
/// that says on what; `x` cancels one; `[` closes the client, `\\` destroys it, `]` destroys the context before it. `r` runs some handlers,
/// `a` all there are, `v` lets time go by. Of the server, `o` takes a connection, `b` takes bytes, `h` answers, `n` refuses, `u` delivers,
/// `j` says junk, `q` says what nobody asked for, `f` breaks the line, and `k` changes what it does by itself.
class Run {
    using Client = luzia::CacheClient<luzia::RedisBackend>;

public:
    explicit Run(Script script) : script_(script) {
        const unsigned habits = script_.next();
        server_.habits.connects = (habits & 1U) == 0;
        server_.habits.accepts = (habits & 2U) == 0;
        server_.habits.shakes_hands = (habits & 4U) == 0;
        server_.habits.answers = (habits & 8U) == 0;
        server_.habits.delivers = (habits & 16U) == 0;
        server_.on_written = [this](const Command& command) { on_written(command); };
        client_.emplace(luzia::RedisBackend(io_->get_executor(), options_of(script_.next())), luzia::JsonCodec(), cache_options_);
    }

    void play() {
        bool is_context_first = false;
        while (!script_.is_over() && !is_context_first) {
            const unsigned step = script_.next() & 0x1fU;
            if (step == code(']')) {
                is_context_first = true;
            } else {
                take_step(step);
            }
        }
        if (!is_context_first) { end_in_time(); }
        end(is_context_first);
    }

private:
    const luzia::CacheOptions& options_of(unsigned choice) {
        static const auto logger = [] {
            auto made = std::make_shared<spdlog::logger>("fuzz", std::make_shared<Censor>());
            made->set_level(spdlog::level::trace);
            return made;
        }();
        luzia::CacheOptions& options = cache_options_;
        options.key_prefix = "p[:";
        options.url = "redis://127.0.0.1:1";
        options.command_timeout = command_timeout;
        options.connect_timeout = 80ms;
        options.backoff = luzia::redis::Backoff(30ms, 30ms); // no randomness
        options.health_check_interval = 200ms;
        options.logger = logger;
        options.connections = std::max(1U, choice % 4);
        std::size_t handshake = 0;
        if ((choice & 4U) != 0) { options.password = password, ++handshake; }
        if ((choice & 8U) != 0) { options.database = 3, ++handshake; }
        if ((choice & 16U) != 0) { options.client_name = "fuzz", ++handshake; }
        server_.handshake_size = std::max(handshake, std::size_t{1});
        if ((choice & 32U) != 0) { options.max_pending_bytes = 1500; }
        if ((choice & 64U) != 0) { options.max_value_bytes = 30; }
        if ((choice & 128U) != 0) { handlers_.emplace(asio::make_strand(*io_)); }
        options.transport = [this](const luzia::redis::StreamExecutor& executor, const std::string&) {
            return std::make_unique<ScriptedTransport>(server_, executor);
        };
        return options;
    }

    static constexpr unsigned code(char letter) { return static_cast<unsigned char>(letter) & 0x1fU; }

    void take_step(unsigned step) {
        const bool was_settled = std::exchange(is_settled_, false);
        const bool was_idle = was_settled && is_idle();
        switch (step) {
        case code('r'): poll(1 + script_.next() % 8); return;
        case code('a'): return settle();
        case code('v'): return pass(std::chrono::milliseconds(script_.next()));
        case code('x'): return cancel(script_.next());
        case code('k'): return change_habits(script_.next());
        case code('['): return close();
        case code('\\'): is_closed_ = true; return client_.reset();
        case code('o'):
        case code('b'):
        case code('f'):
        case code('h'):
        case code('n'):
        case code('j'):
        case code('u'): return server_.transports.empty() ? void() : serve(step);
        case code('q'): return was_settled ? interrupt() : void();
        default: break;
        }
        const unsigned choice = script_.next();
        if (choice < 128) { return begin(step, choice, was_idle); }
        asio::post(*io_, [this, step, choice] { // inside a handler
            circumstances_.is_running = false;
            begin(step, choice, false);
            circumstances_.is_running = true;
        });
    }

    // What the server does.

    void serve(unsigned step) {
        const unsigned choice = script_.next();
        ScriptedTransport& transport = *server_.transports[choice % server_.transports.size()];
        const std::size_t size = 1 + choice / 4;
        switch (step) {
        case code('o'): return transport.end_connect({});
        case code('b'): return transport.accept(size);
        case code('u'): return transport.deliver(size);
        case code('h'): return transport.answer(script_.next());
        case code('n'): server_.may_break = true; return transport.refuse(script_.next());
        case code('j'): circumstances_.is_lying = server_.may_break = true; return transport.say(script_.take(size));
        default: break;
        }
        server_.may_break = true;
        switch (choice / 4 % 4) {
        case 0: return transport.end_read(asio::error::eof);
        case 1: return transport.end_read(asio::error::connection_reset);
        case 2: return transport.end_write(asio::error::broken_pipe);
        default: return transport.end_connect(asio::error::connection_refused);
        }
    }

    void interrupt() {
        circumstances_.is_lying = server_.may_break = true;
        for (ScriptedTransport* const transport : server_.transports) {
            transport->interrupt();
        }
    }

    void change_habits(unsigned choice) {
        if (choice >= 224) {
            server_.habits.takes_at_once = !server_.habits.takes_at_once;
            return;
        }
        bool* const habits[] = {&server_.habits.connects, &server_.habits.accepts,  &server_.habits.shakes_hands,
                                &server_.habits.answers,  &server_.habits.delivers, &server_.habits.has_unread};
        bool& habit = *habits[choice % std::size(habits)];
        habit = !habit;
    }

    void on_written(const Command& command) {
        const bool is_scan = command[0] == "SCAN";
        const std::string& key = is_scan ? command[3] : command[command.size() > 1 ? 1 : 0];
        const std::size_t number = key.find("key-");
        if (number == std::string::npos) { return; }
        WatchedOperation& operation = operations_.at(std::stoul(key.substr(number + 4)));
        check(!operation.must_not_be_written, "what was cancelled before it was written is never sent", key);
        operation.was_written = true;
        if (is_scan && circumstances_.is_lying) { return; } // it may have been sent in circles
        check(written_.insert(command[0] + ' ' + key + (is_scan ? ' ' + command[1] : "")).second, "nothing is sent twice", key);
    }

    // What the program does.

    void begin(unsigned step, unsigned choice, bool is_idle) {
        if (!client_ || operations_.size() >= 32) { return; }
        WatchedOperation& operation = operations_.emplace_back();
        const std::string stem = "key-" + std::to_string(operations_.size() - 1) + '.';
        const std::string key = choice % 4 == 3 ? "" : stem;
        const std::vector<std::string> keys{stem + 'a', choice % 4 == 3 ? "" : stem + 'b', stem + 'c'};
        operation.key = cache_options_.key_prefix + stem;
        operation.is_named = std::string_view("glsetcymwdi").find(static_cast<char>('`' + step)) != std::string_view::npos &&
                             (choice % 4 != 3 || std::string_view("mwdi").find(static_cast<char>('`' + step)) != std::string_view::npos);
        operation.was_closed = is_closed_;
        operation.may_be_shed = !is_idle;
        auto handler = asio::bind_cancellation_slot(operation.cancellation.slot(), WatchingHandler(circumstances_, operation));
        const asio::any_io_executor executor = handlers_ ? asio::any_io_executor(*handlers_) : asio::any_io_executor(io_->get_executor());
        auto token = asio::bind_executor(executor, std::move(handler));
        Client& client = *client_;
        switch (step) {
        case code('g'): ++reads_; return client.get<std::string>(key, std::move(token));
        case code('l'): ++reads_; return client.lookup<std::string>(key, std::move(token));
        case code('s'): return client.set(key, value_of(choice), ttl_of(choice), std::move(token));
        case code('e'): return client.erase(key, std::move(token));
        case code('t'):
            operation.may_be_shed = true; // it may be two commands
            return client.touch(key, ttl_of(choice).ttl.value_or(60s), std::move(token));
        case code('c'): return client.contains(key, std::move(token));
        case code('y'): return client.time_to_live(key, std::move(token));
        case code('m'): reads_ += keys.size(); return client.get_many<std::string>(keys, std::move(token));
        case code('w'): {
            operation.may_be_shed = true;
            std::vector<std::pair<std::string, std::string>> entries;
            for (const std::string& one : keys) {
                entries.emplace_back(one, value_of(choice));
            }
            return client.set_many(entries, ttl_of(choice), std::move(token));
        }
        case code('d'): return client.erase_many(keys, std::move(token));
        case code('i'):
            operation.kind = Kind::walk;
            operation.may_be_shed = true; // by what is begun between two pages
            return client.invalidate_pattern(stem + '*', std::move(token));
        case code('z'): operation.kind = Kind::drain; return client.drain(100ms, std::move(token));
        default: return client.ping(std::move(token));
        }
    }

    static std::string value_of(unsigned choice) {
        return std::string(value_mark) + ' ' +
               (choice / 16 % 4 == 3 ? std::string("\xff") : std::string(choice / 16 % 4 == 2 ? 300 : 5, 'x'));
    }

    static luzia::SetOptions ttl_of(unsigned choice) {
        switch (choice / 4 % 4) {
        case 0: return {};
        case 1: return luzia::SetOptions(0s);
        case 2: return luzia::SetOptions(luzia::no_expiry);
        default: return luzia::SetOptions(60s);
        }
    }

    void cancel(unsigned choice) {
        if (operations_.empty()) { return; }
        WatchedOperation& operation = operations_[choice / 4 % operations_.size()];
        // A close on its way comes before a cancellation, and does not keep back what is written meanwhile.
        if (operation.completed == 0 && !operation.was_written && !is_closed_) { operation.must_not_be_written = true; }
        operation.is_cancelled = true;
        static constexpr asio::cancellation_type types[] = {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                                            asio::cancellation_type::total, asio::cancellation_type::all};
        operation.cancellation.emit(types[choice % 4]);
    }

    void close() {
        if (client_) { client_->close(); }
        is_closed_ = true;
    }

    // Time and work.

    /// Runs so many handlers; true where there were fewer.
    bool poll(unsigned handlers) {
        io_->restart();
        circumstances_.is_running = true;
        unsigned run = 0;
        while (run < handlers && io_->poll_one() > 0) {
            ++run;
        }
        circumstances_.is_running = false;
        return run < handlers;
    }

    /// Runs all there is to run at this moment.
    void settle() {
        check(poll(20'000), "work comes to rest while time stands still");
        is_settled_ = true;
        for (const WatchedOperation& operation : operations_) {
            const bool is_over = operation.is_cancelled || (is_closed_ && operation.kind != Kind::drain);
            check(!is_over || operation.completed == 1, "what was cancelled or closed ends at once", operation.key);
        }
        if (is_free_to_write()) {
            for (const WatchedOperation& operation : operations_) {
                check(operation.completed == 1 || operation.was_written || !operation.is_named, "what can be written is", operation.key);
            }
        }
        for (const ScriptedTransport* const transport : server_.transports) {
            check(transport->is_dropped_where_due(), "a reply that nobody asked for ends the connection");
        }
        if (!server_.may_break) {
            check(server_.transports_made <= cache_options_.connections, "a connection that has no reason to break is kept");
        }
    }

    void pass(std::chrono::milliseconds time) {
        server_.may_break = true; // of silence
        script_time += time;
    }

    /// All is quiet, and a client that is ready owes and is owed nothing.
    [[nodiscard]] bool is_idle() const {
        return client_ && client_->stats().ready &&
               std::all_of(operations_.begin(), operations_.end(),
                           [](const WatchedOperation& operation) { return operation.completed == 1; }) &&
               std::all_of(server_.transports.begin(), server_.transports.end(),
                           [](const auto* transport) { return transport->is_quiet(); });
    }

    [[nodiscard]] bool is_free_to_write() const {
        return client_ && !is_closed_ && client_->stats().ready &&
               std::none_of(server_.transports.begin(), server_.transports.end(),
                            [](const auto* transport) { return transport->is_writing(); });
    }

    // The end.

    /// The server falls silent: nothing may wait for longer than it is allowed to.
    void end_in_time() {
        server_.habits = luzia_fuzz::Habits();
        server_.habits.connects = server_.habits.accepts = server_.habits.shakes_hands = server_.habits.answers = false;
        settle();
        for (auto passed = 0ms; passed < 2 * command_timeout + 60ms; passed += 10ms) {
            pass(10ms);
            settle();
        }
        for (const WatchedOperation& operation : operations_) {
            check(operation.completed == 1 && operation.dropped == 0, "an operation ends in time", operation.key);
        }
        if (client_) {
            const luzia::CacheStats stats = client_->stats();
            check(stats.hits + stats.misses == reads_, "every read is a hit or a miss");
        }
    }

    void end(bool is_context_first) {
        handlers_.reset();
        if (is_context_first) { io_.reset(); }
        client_.reset();
        if (!is_context_first) {
            settle();
            check(io_->stopped(), "a client that is gone leaves no work behind");
            io_.reset();
        }
        check(server_.transports.empty(), "every transport is destroyed");
        for (const WatchedOperation& operation : operations_) {
            check(operation.completed + operation.dropped == 1, "an operation ends once, or is destroyed", operation.key);
            check(operation.dropped == 0 || is_context_first, "only with its context is an operation destroyed", operation.key);
        }
    }

    Script script_;
    Circumstances circumstances_;
    ScriptedServer server_{circumstances_};
    luzia::CacheOptions cache_options_;
    std::unique_ptr<asio::io_context> io_ = std::make_unique<asio::io_context>(1);
    std::optional<asio::strand<asio::io_context::executor_type>> handlers_;
    std::deque<WatchedOperation> operations_;
    std::set<std::string> written_;
    std::size_t reads_ = 0;
    bool is_settled_ = false;
    bool is_closed_ = false;
    std::optional<Client> client_;
};

} // namespace

/// The server's habits, the client's options, and then what happens, step by step.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // What must not be logged must not be what a server was told to say.
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.find(value_mark) != std::string_view::npos || input.find(password) != std::string_view::npos) { return 0; }
    Run(Script(data, size)).play();
    return 0;
}
