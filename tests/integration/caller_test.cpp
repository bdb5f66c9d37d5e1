// What callers do: block the thread, throw, hang up on a signal, run elsewhere, start other programs.
#include "../support/client.hpp"
#include "../support/gate.hpp"
#include "../support/measure.hpp"
#include "../support/operations.hpp"
#include "../support/tls_server.hpp"

#include <luzia/backend/redis_backend.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <poll.h>
#include <signal.h>

#include <atomic>
#include <fstream>
#include <future>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace luzia_test {
namespace {

using luzia::Outcome;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

TEST(Caller, WhoBlocksTheThreadForTwoSecondsLosesNoReplyThatHasArrived) {
    const TlsServer tls;
    LogLines log;
    for (const luzia::CacheOptions& options : {options_for(shared_redis().url(), log), tls_options_for(tls.tls_port, log)}) {
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options};
            const std::string value(4'000, 'v');
            const std::size_t count =
                is_instrumented ? 5 : 12; // more than one read, and well within the 64 KiB that a socket keeps unread at first
            const luzia::Effect stored = co_await cache.set("busy", value);
            EXPECT_EQ(stored.count, 1U);
            std::vector<Outcome> outcomes;
            for (std::size_t i = 0; i < count; ++i) {
                cache.lookup("busy", [&](luzia::Lookup<std::string> found) { outcomes.push_back(found.outcome); });
            }
            co_await pause_for(1ms);  // the commands are written
            ::poll(nullptr, 0, 2000); // user code that blocks the only thread
            const bool all = co_await eventually([&] { return outcomes.size() == count; });
            EXPECT_TRUE(all);
            EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), Outcome::hit), static_cast<std::ptrdiff_t>(count));
            EXPECT_EQ(cache.stats().reconnects, 0U);
        });
    }
    EXPECT_EQ(log.count("warning"), 0U) << log.all();
}

TEST(Caller, TheExecutorOfAHandlerHasWorkWhileItsOperationIsPending) {
    RedisServer server;
    LogLines log;
    asio::io_context io;
    auto options = options_for(server.url(), log);
    options.command_timeout = 20s;
    Client cache{io, options};
    bool is_warm = false;
    cache.ping([&](bool) { is_warm = true; });
    ASSERT_TRUE(run_until(io, [&] { return is_warm; }));
    server.pause();

    asio::io_context elsewhere;
    std::thread::id where;
    cache.get("key", asio::bind_executor(elsewhere, [&](std::optional<std::string>) { where = std::this_thread::get_id(); }));
    std::promise<std::size_t> ran;
    std::thread other([&] { ran.set_value(elsewhere.run()); }); // would return at once if it had no work
    auto count = ran.get_future();
    io.restart();
    io.run_for(50ms);
    EXPECT_EQ(count.wait_for(0s), std::future_status::timeout);
    server.resume();
    EXPECT_TRUE(run_until(io, [&] { return count.wait_for(0s) == std::future_status::ready; }));
    EXPECT_EQ(count.get(), 1U);
    EXPECT_EQ(where, other.get_id());
    other.join();
}

/// A document that takes as long to decode as the test wants.
struct SlowDocument {
    static inline std::atomic<std::latch*> may_end = nullptr;
    static inline std::atomic<bool> is_decoding = false;
    std::size_t size = 0;
};
[[maybe_unused]] void from_json(const nlohmann::json& json, SlowDocument& document) {
    document.size = json.size();
    SlowDocument::is_decoding = true;
    SlowDocument::may_end.load()->wait();
}

TEST(Caller, ADocumentBeingDecodedStallsNoOtherKey) {
    LogLines log;
    const std::string text = nlohmann::json(std::vector<std::string>(80'000, std::string(98, 'x'))).dump();
    ASSERT_GE(text.size(), 8'000'000U);
    shared_redis().command({"SET", "document", text});
    shared_redis().command({"SET", "other", "1"});
    asio::thread_pool pool(1);
    run([&]() -> asio::awaitable<void> {
        auto options = options_for(shared_redis().url(), log);
        options.command_timeout = 20s;
        luzia::CacheClient cache{co_await asio::this_coro::executor, options};
        std::latch may_end(1);
        SlowDocument::may_end = &may_end;
        std::atomic<std::size_t> size = 0;
        cache.get<SlowDocument>("document",
                                asio::bind_executor(pool, [&](std::optional<SlowDocument> document) { size = document->size; }));
        const bool is_decoding = co_await eventually([] { return SlowDocument::is_decoding.load(); });
        EXPECT_TRUE(is_decoding);
        for (int i = 0; i < 100; ++i) { // on the same connection, while the document is being decoded
            const auto other = co_await cache.get<int>("other");
            EXPECT_EQ(other, 1);
        }
        EXPECT_EQ(size, 0U);
        may_end.count_down();
        const bool is_there = co_await eventually([&] { return size == 80'000U; });
        EXPECT_TRUE(is_there);
    });
    pool.join();
    shared_redis().command({"DEL", "document"});
}

TEST(Caller, WhoWaitsInAHandlerForAnotherOperationGetsItWhereThereIsAThreadForIt) {
    LogLines log;
    auto options = options_for(shared_redis().url(), log);
    options.command_timeout = 20s;
    asio::thread_pool pool(2);
    Client cache{pool, options};
    ASSERT_TRUE(cache.set("waited for", "value", asio::use_future).get());
    for (int i = 0; i < 20; ++i) {
        std::promise<std::optional<std::string>> got;
        cache.get("waited for", [&](const std::optional<std::string>& outer) {
            auto inner = cache.get("waited for", asio::use_future);
            got.set_value(outer && inner.wait_for(10s) == std::future_status::ready ? inner.get() : std::nullopt);
        });
        ASSERT_EQ(got.get_future().get(), "value");
    }
    cache.close();
    pool.join();
}

/// Hands every question on as it is, and knows nothing of what follows some of them.
class Forwarding {
public:
    explicit Forwarding(luzia::RedisBackend next) : next_(std::move(next)) {}
    [[nodiscard]] asio::any_io_executor get_executor() const { return next_.get_executor(); }
    void submit(const luzia::backend::Request& request, luzia::backend::Operation& operation) { next_.submit(request, operation); }
    void cancel(luzia::backend::Operation& operation) { next_.cancel(operation); }
    void close() { next_.close(); }
    [[nodiscard]] luzia::backend::Status status() const { return next_.status(); }

private:
    luzia::RedisBackend next_;
};

TEST(Caller, WhatOneHandlerBeginsAfterAnotherIsSentThroughABackendOfTheUsersOwn) {
    LogLines log;
    const auto options = options_for(shared_redis().url(), log);
    run([&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        const auto ask = [](auto& cache) -> asio::awaitable<void> {
            for (int i = 0; i < 5; ++i) {
                const luzia::Effect stored = co_await cache.set("forwarded", std::to_string(i));
                EXPECT_EQ(stored.count, 1U);
                const std::optional<std::string> got = co_await cache.get("forwarded");
                EXPECT_EQ(got, std::to_string(i));
            }
        };
        luzia::CacheClient<Forwarding, luzia::RawCodec> known(Forwarding(luzia::RedisBackend(executor, options)));
        co_await ask(known);
        luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec> chosen(
            luzia::DefaultBackend(Forwarding(luzia::RedisBackend(executor, options))));
        co_await ask(chosen);
    });
}

TEST(Caller, WhatEachHandlerThrowsComesOutOfRunAndTheClientStaysWhole) {
    LogLines log;
    asio::io_context io;
    Client cache{io, options_for(shared_redis().url(), log)};
    std::size_t begun = 0;
    for (const auto& operation : every_operation<Client>()) {
        operation.begin(cache, asio::cancellation_slot(), io.get_executor(), [] { throw std::runtime_error("from a handler"); });
        ++begun;
    }
    std::size_t thrown = 0;
    for (const auto limit = Clock::now() + 20s; thrown < begun && Clock::now() < limit;) {
        try {
            io.run_one_for(100ms);
        } catch (const std::runtime_error& problem) { thrown += std::string(problem.what()) == "from a handler" ? 1U : 0U; }
    }
    EXPECT_EQ(thrown, begun);
    bool answers = false;
    bool is_drained = false;
    cache.ping([&](bool is_there) { answers = is_there; });
    EXPECT_TRUE(run_until(io, [&] { return answers; }));
    cache.drain([&](bool drained) { is_drained = drained; }); // those that threw have ended as well
    EXPECT_TRUE(run_until(io, [&] { return is_drained; }));
    EXPECT_EQ(cache.stats().reconnects, 0U);
}

TEST(Caller, ALoggerThatThrowsLosesNoOperation) {
    struct Full final : spdlog::sinks::sink {
        void log(const spdlog::details::log_msg&) override { throw std::runtime_error("the disk is full"); }
        void flush() override {}
        void set_pattern(const std::string&) override {}
        void set_formatter(std::unique_ptr<spdlog::formatter>) override {}
    };
    auto logger = std::make_shared<spdlog::logger>("full", std::make_shared<Full>());
    logger->set_error_handler([](const std::string& problem) { throw std::runtime_error(problem); });
    RedisServer server;
    asio::io_context io;
    luzia::CacheOptions options;
    options.url = server.url();
    options.logger = logger;
    options.command_timeout = 100ms;
    Client cache{io, options};
    EndCounts counts;
    bool is_warm = false;
    cache.ping([&](bool) { is_warm = true; });
    ASSERT_TRUE(run_until(io, [&] { return is_warm; }));
    server.command({"RPUSH", "a", "no string"});
    begin_every_operation(cache, io.get_executor(), counts); // some are refused
    EXPECT_TRUE(run_until(io, [&] { return counts.all_ended(); }));
    server.pause();
    begin_every_operation(cache, io.get_executor(), counts); // all time out, and the connection is lost
    EXPECT_TRUE(run_until(io, [&] { return counts.all_ended(); }));
    server.resume();
    bool answers = false;
    EXPECT_TRUE(run_until(io, [&] {
        cache.ping([&](bool is_there) { answers = answers || is_there; });
        return answers;
    }));
    counts.expect_each_once("with a logger that throws");
}

std::atomic<int> pipe_signals = 0;

TEST(Caller, SigpipeIsNeverRaised) {
    struct sigaction counting {};
    struct sigaction before {};
    counting.sa_handler = [](int) { ++pipe_signals; };
    ::sigaction(SIGPIPE, &counting, &before);
    const TlsServer tls;
    LogLines log;
    Gate plain_gate(shared_redis().port());
    Gate tls_gate(tls.tls_port);
    for (Gate* const gate : {&plain_gate, &tls_gate}) {
        run([&]() -> asio::awaitable<void> {
            auto options = gate == &plain_gate ? options_for(gate->url(), log) : tls_options_for(gate->port(), log);
            options.backoff = luzia::redis::Backoff(1ms, 5ms);
            Client cache{co_await asio::this_coro::executor, options};
            const std::string value(200'000, 'v');
            for (int round = 0; round < 50; ++round) {
                const bool is_there = co_await serves_again(cache);
                EXPECT_TRUE(is_there);
                for (int i = 0; i < 10; ++i) {
                    cache.set("key", value, [](luzia::Effect) {});
                }
                co_await pause_for(1ms);
                if (round % 2 == 0) {
                    gate->cut();
                } else {
                    gate->reset();
                }
            }
            EXPECT_GE(cache.stats().reconnects, 10U);
        });
    }
    ::sigaction(SIGPIPE, &before, nullptr);
    EXPECT_EQ(pipe_signals, 0);
}

/// The sockets that a program started now would find open, without those that were open before the test.
int inherited_sockets() {
    PrivateDirectory directory;
    const std::string list = directory.file("list");
    Process({"sh", "-c", "ls -l /proc/self/fd >" + list}).wait();
    std::ifstream lines(list);
    int sockets = 0;
    for (std::string line; std::getline(lines, line);) {
        sockets += line.find("socket:") != std::string::npos ? 1 : 0;
    }
    return sockets;
}

TEST(Caller, NoSocketIsLeftToAProgramThatIsStarted) {
    const TlsServer tls;
    LogLines log;
    const int before = inherited_sockets();
    for (const luzia::CacheOptions& options : {options_for(shared_redis().url(), log),
                                               options_for("unix://" + shared_redis().socket(), log), tls_options_for(tls.tls_port, log)}) {
        run([&]() -> asio::awaitable<void> {
            Client cache{co_await asio::this_coro::executor, options};
            const bool answers = co_await serves_again(cache);
            EXPECT_TRUE(answers);
            EXPECT_EQ(inherited_sockets(), before);
        });
    }
}

} // namespace
} // namespace luzia_test
