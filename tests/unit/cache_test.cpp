// unit/cache_test.cpp: options and what the environment says, results, counts, drains, turns, and which client is deduced from what.
#include <luzia/backend/disabled_backend.hpp>
#include <luzia/backend/memory_backend.hpp>
#include <luzia/cache/completions.hpp>
#include <luzia/cache/counters.hpp>
#include <luzia/cache/drain.hpp>
#include <luzia/cache/options.hpp>
#include <luzia/cache/results.hpp>
#include <luzia/cache/state.hpp>
#include <luzia/cache/work.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <gtest/gtest.h>

#include <spdlog/sinks/ostream_sink.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace luzia {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_literals;

/// The options that a backend is made with in the end.
CacheOptions options_as_used(const CacheOptions& options) {
    return detail::make_with(detail::checked(options), [](const CacheOptions& usable) {
        static_cast<void>(backend::checked_url(usable));
        return usable;
    });
}

/// Sets or unsets a variable of the environment, and puts back what was there.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* const before = std::getenv(name)) { before_ = before; }
        put(value);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() { put(before_ ? before_->c_str() : nullptr); }

private:
    void put(const char* value) const {
        if (value != nullptr) {
            ::setenv(name_, value, 1);
        } else {
            ::unsetenv(name_);
        }
    }

    const char* name_;
    std::optional<std::string> before_;
};

/// spdlog's default logger, for as long as this lives: "level text" lines in a string.
class DefaultLog {
public:
    DefaultLog()
        : before_(spdlog::default_logger()),
          logger_(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream_))) {
        logger_->set_pattern("%l %v");
        spdlog::set_default_logger(logger_);
    }
    DefaultLog(const DefaultLog&) = delete;
    DefaultLog& operator=(const DefaultLog&) = delete;
    ~DefaultLog() { spdlog::set_default_logger(before_); }

    [[nodiscard]] const std::shared_ptr<spdlog::logger>& logger() const { return logger_; }
    [[nodiscard]] std::vector<std::string> lines() const {
        std::vector<std::string> lines;
        std::istringstream text(stream_.str());
        for (std::string line; std::getline(text, line);) {
            lines.push_back(line);
        }
        return lines;
    }

private:
    std::ostringstream stream_;
    std::shared_ptr<spdlog::logger> before_;
    std::shared_ptr<spdlog::logger> logger_;
};

std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& problem) { return problem.what(); }
    return "";
}

// Options.

TEST(CacheOptions, TheDefaultsAreThoseOfTheDocumentation) {
    const CacheOptions options;
    EXPECT_EQ(options.url, "redis://localhost:6379");
    EXPECT_EQ(options.default_ttl, 300s);
    EXPECT_EQ(options.key_prefix, "");
    EXPECT_EQ(options.command_timeout, 500ms);
    EXPECT_EQ(options.connect_timeout, 1s);
    EXPECT_EQ(options.connections, 1U);
    EXPECT_EQ(options.max_pending_bytes, std::size_t{64} << 20U);
    EXPECT_EQ(options.max_value_bytes, std::size_t{512} << 20U);
    EXPECT_EQ(options.backoff.min, 50ms);
    EXPECT_EQ(options.backoff.max, 2s);
    EXPECT_EQ(options.health_check_interval, 15s);
    EXPECT_EQ(options.logger, nullptr);
    EXPECT_FALSE(options.is_url_from_environment());
    static_assert(!std::is_aggregate_v<CacheOptions> && !std::is_aggregate_v<SetOptions> && !std::is_aggregate_v<Effect>);
}

TEST(CacheOptions, AnEmptyEnvironmentGivesTheDefaults) {
    const Variable url("REDIS_URL", nullptr);
    const Variable ttl("CACHE_TTL", nullptr);
    const DefaultLog log;
    const CacheOptions options = CacheOptions::from_environment();
    EXPECT_EQ(options.url, "redis://localhost:6379");
    EXPECT_EQ(options.default_ttl, 300s);
    EXPECT_FALSE(options.is_url_from_environment());
    EXPECT_TRUE(log.lines().empty());
}

TEST(CacheOptions, TheEnvironmentNamesTheServerAndTheTtl) {
    const Variable url("REDIS_URL", "redis://cache:6380/2");
    const Variable ttl("CACHE_TTL", "60");
    const DefaultLog log;
    const CacheOptions options = CacheOptions::from_environment();
    EXPECT_EQ(options.url, "redis://cache:6380/2");
    EXPECT_EQ(options.default_ttl, 60s);
    EXPECT_TRUE(options.is_url_from_environment());
    EXPECT_EQ(options_as_used(options).url, "redis://cache:6380/2");
    EXPECT_TRUE(log.lines().empty());
}

TEST(CacheOptions, AGoodCacheTtlIsTaken) {
    const Variable url("REDIS_URL", nullptr);
    const DefaultLog log;
    const std::vector<std::pair<const char*, Ttl>> cases = {
        {"1", 1s}, {"0300", 300s}, {"86400", 24h}, {"9223372036854775807", no_expiry}, {"9223372036854775", no_expiry}};
    for (const auto& [text, expected] : cases) {
        const Variable ttl("CACHE_TTL", text);
        EXPECT_EQ(CacheOptions::from_environment().default_ttl, expected) << text;
    }
    EXPECT_TRUE(log.lines().empty());
}

TEST(CacheOptions, ABadCacheTtlIsLoggedAnd300Taken) {
    const Variable url("REDIS_URL", nullptr);
    for (const char* const bad : {"", " ", "abc", "0", "-1", "-300", "60s", " 60", "60 ", "60\n", "1.5", "1e3", "0x10", "+60",
                                  "9223372036854775808", "99999999999999999999999", "-99999999999999999999999", "\x1b[2J"}) {
        const Variable ttl("CACHE_TTL", bad);
        const DefaultLog log;
        EXPECT_EQ(CacheOptions::from_environment().default_ttl, 300s) << bad;
        ASSERT_EQ(log.lines().size(), 1U) << bad;
        EXPECT_EQ(log.lines()[0].rfind("warning ", 0), 0U) << log.lines()[0];
        EXPECT_NE(log.lines()[0].find("CACHE_TTL"), std::string::npos) << log.lines()[0];
        EXPECT_EQ(log.lines()[0].find('\x1b'), std::string::npos) << log.lines()[0];
    }
}

TEST(CacheOptions, ABadUrlOfTheEnvironmentIsLoggedAndDisablesTheClient) {
    const Variable ttl("CACHE_TTL", nullptr);
    for (const char* const bad : {"", "localhost:6379", "http://host", "redis://app:s3cret@host:0", "redis://app:s3cret@", "redis://host/x",
                                  "rediss://app:s3cret@host", "memory://?max_entries=many", "redis://app:s3?cret@host"}) {
        const Variable url("REDIS_URL", bad);
        const DefaultLog log;
        const CacheOptions options = CacheOptions::from_environment();
        EXPECT_TRUE(log.lines().empty());

        const CacheOptions usable = options_as_used(options);

        EXPECT_EQ(usable.url, "disabled://") << bad;
        ASSERT_EQ(log.lines().size(), 1U) << bad;
        EXPECT_EQ(log.lines()[0].rfind("error ", 0), 0U) << log.lines()[0];
        EXPECT_NE(log.lines()[0].find("REDIS_URL"), std::string::npos) << log.lines()[0];
        EXPECT_NE(log.lines()[0].find("disabled"), std::string::npos) << log.lines()[0];
        EXPECT_EQ(log.lines()[0].find("s3"), std::string::npos) << log.lines()[0];
    }
}

TEST(CacheOptions, ABadUrlOfTheEnvironmentIsOneLogLineWhateverItHolds) {
    const Variable url("REDIS_URL", "redis://ho\nst\x1b[2J/\nerror forged line");
    const DefaultLog log;
    EXPECT_EQ(options_as_used(CacheOptions::from_environment()).url, "disabled://");
    EXPECT_EQ(log.lines().size(), 1U);
    EXPECT_EQ(log.lines().at(0).find('\x1b'), std::string::npos);
}

TEST(CacheOptions, TheErrorGoesToTheLoggerOfTheOptions) {
    const Variable url("REDIS_URL", "nonsense");
    const DefaultLog own;
    const DefaultLog standard;
    CacheOptions options = CacheOptions::from_environment();
    options.logger = own.logger();
    static_cast<void>(options_as_used(options));
    EXPECT_EQ(own.lines().size(), 1U);
    EXPECT_TRUE(standard.lines().empty());
}

TEST(CacheOptions, AClientWithABadUrlOfTheEnvironmentRunsDisabled) {
    const Variable url("REDIS_URL", "redis://app:s3cret@host:0");
    const DefaultLog log;
    asio::io_context io;
    EXPECT_NO_THROW({
        const CacheClient client{io};
        EXPECT_FALSE(client.stats().ready);
    });
    EXPECT_EQ(log.lines().size(), 1U);
}

TEST(CacheOptions, TheSameUrlGivenInCodeThrowsAndNamesTheField) {
    const Variable url("REDIS_URL", "redis://host");
    asio::io_context io;
    for (const char* const bad :
         {"", "localhost:6379", "redis://app:s3cret@host:0", "rediss://app:s3cret@host", "memory://?max_entries=many"}) {
        const DefaultLog log;
        CacheOptions options;
        options.url = bad;
        const std::string message = message_of([&] { const CacheClient client(io, options); });
        EXPECT_EQ(message.rfind("luzia: url", 0), 0U) << bad << ": " << message;
        EXPECT_EQ(message.find("s3cret"), std::string::npos) << message;

        CacheOptions changed = CacheOptions::from_environment();
        changed.url = bad;
        EXPECT_EQ(message_of([&] { const CacheClient client(io, changed); }), message);
        EXPECT_TRUE(log.lines().empty());
    }
}

TEST(CacheOptions, AGoodUrlGivenInCodeStandsOverABadOneOfTheEnvironment) {
    const Variable url("REDIS_URL", "nonsense");
    const DefaultLog log;
    CacheOptions options = CacheOptions::from_environment();
    options.url = "memory://";
    EXPECT_EQ(options_as_used(options).url, "memory://");
    EXPECT_TRUE(log.lines().empty());
}

TEST(CacheOptions, OtherBadValuesGivenInCodeThrowAndNameTheField) {
    asio::io_context io;
    const auto message = [&](const std::function<void(CacheOptions&)>& change) {
        CacheOptions options;
        change(options);
        return message_of([&] { const CacheClient client(io, options); });
    };
    EXPECT_NE(message([](CacheOptions& o) { o.default_ttl = 0s; }).find("default_ttl"), std::string::npos);
    EXPECT_NE(message([](CacheOptions& o) { o.default_ttl = -1s; }).find("default_ttl"), std::string::npos);
    EXPECT_NE(message([](CacheOptions& o) { o.command_timeout = 0ms; }).find("command_timeout"), std::string::npos);
    EXPECT_NE(message([](CacheOptions& o) { o.connections = 0; }).find("connections"), std::string::npos);
    EXPECT_NE(message([](CacheOptions& o) {
                  o.url = "memory://";
                  o.max_value_bytes = 0;
              }).find("max_value_bytes"),
              std::string::npos);
    EXPECT_EQ(message([](CacheOptions& o) { o.default_ttl = no_expiry; }), "");
    EXPECT_EQ(message([](CacheOptions& o) { o.default_ttl = 1ns; }), "");
}

TEST(SetOptions, AreMadeFromAnyDuration) {
    EXPECT_EQ(SetOptions().ttl, std::nullopt);
    EXPECT_EQ(SetOptions(60s).ttl, Ttl(60s));
    EXPECT_EQ(SetOptions(1ns).ttl, Ttl(1ms));
    EXPECT_EQ(SetOptions(std::chrono::duration<double>(0.5)).ttl, Ttl(500ms));
    EXPECT_EQ(SetOptions(no_expiry).ttl, no_expiry);
    EXPECT_EQ(SetOptions(Ttl(1h)).ttl, Ttl(1h));
    EXPECT_TRUE(SetOptions(0s).ttl->is_removal());
    const SetOptions converted = 60s;
    EXPECT_EQ(converted.ttl, Ttl(1min));
    static_assert(std::is_convertible_v<std::chrono::hours, SetOptions> && std::is_convertible_v<Ttl, SetOptions>);
    static_assert(!std::is_convertible_v<int, SetOptions> && !std::is_convertible_v<asio::deferred_t, SetOptions>);
}

// Results.

TEST(Effect, ReadsAsItsCount) {
    const Effect nothing;
    EXPECT_EQ(nothing, 0U);
    EXPECT_EQ(nothing.outcome, Outcome::done);
    EXPECT_FALSE(nothing.error);
    const Effect three(3, Outcome::timed_out, Error::timed_out);
    const std::size_t count = three;
    EXPECT_EQ(count, 3U);
    EXPECT_TRUE(three ? true : false);
    EXPECT_FALSE(nothing ? true : false);
    EXPECT_EQ(three.outcome, Outcome::timed_out);
    EXPECT_EQ(three.error, luzia::make_error_code(Error::timed_out));
}

TEST(Lookup, SaysWhetherThereIsAValueNotWhetherItIsTrue) {
    EXPECT_FALSE(Lookup<int>());
    EXPECT_EQ(Lookup<int>().outcome, Outcome::miss);
    const Lookup<bool> found(false, Outcome::hit);
    EXPECT_TRUE(found);
    EXPECT_EQ(found.value, false);
    const Lookup<std::string> failed(std::nullopt, Outcome::refused, ServerError::wrongtype);
    EXPECT_FALSE(failed);
    EXPECT_EQ(failed.error, luzia::make_error_code(ServerError::wrongtype));
    const Lookup<std::unique_ptr<int>> moved(std::make_unique<int>(1), Outcome::hit);
    EXPECT_EQ(**moved.value, 1);
}

// Counts.

using Counts = std::vector<std::uint64_t>;

Counts counts(const cache::Counters& counters) {
    const CacheStats stats = counters.snapshot(backend::Status());
    return {stats.hits, stats.misses, stats.stored, stats.erased, stats.failures, stats.timeouts, stats.undecodable, stats.shed};
}

TEST(Counters, AnOutcomeMovesItsOwnCounts) {
    // Hits, misses, stored, erased, failures, timeouts, undecodable, shed, after two keys of each outcome.
    const std::vector<std::pair<Outcome, Counts>> cases = {
        {Outcome::hit, {0, 0, 0, 0, 0, 0, 0, 0}},         {Outcome::miss, {0, 0, 0, 0, 0, 0, 0, 0}},
        {Outcome::done, {0, 0, 0, 0, 0, 0, 0, 0}},        {Outcome::unavailable, {0, 0, 0, 0, 2, 0, 0, 0}},
        {Outcome::timed_out, {0, 0, 0, 0, 2, 2, 0, 0}},   {Outcome::refused, {0, 0, 0, 0, 2, 0, 0, 0}},
        {Outcome::undecodable, {0, 0, 0, 0, 0, 0, 2, 0}}, {Outcome::invalid, {0, 0, 0, 0, 0, 0, 0, 0}},
        {Outcome::shed, {0, 0, 0, 0, 0, 0, 0, 2}},        {Outcome::cancelled, {0, 0, 0, 0, 0, 0, 0, 0}},
        {Outcome::closed, {0, 0, 0, 0, 0, 0, 0, 0}},
    };
    for (const auto& [outcome, expected] : cases) {
        cache::Counters failed;
        failed.failed(outcome, 2);
        EXPECT_EQ(counts(failed), expected) << to_string(outcome);
        cache::Counters missed;
        missed.missed(outcome, 2);
        Counts with_misses = expected;
        with_misses[1] = 2;
        EXPECT_EQ(counts(missed), with_misses) << to_string(outcome);
    }
}

TEST(Counters, CountPerKey) {
    cache::Counters counters;
    counters.hit();
    counters.hit(4);
    counters.stored(3);
    counters.erased(2);
    counters.missed(Outcome::miss);
    counters.stored(0);
    EXPECT_EQ(counts(counters), (Counts{5, 1, 3, 2, 0, 0, 0, 0}));
}

TEST(Counters, ASnapshotHasTheStatusOfTheBackend) {
    backend::Status status;
    status.is_ready = true;
    status.reconnects = 7;
    const CacheStats stats = cache::Counters().snapshot(status);
    EXPECT_TRUE(stats.ready);
    EXPECT_EQ(stats.reconnects, 7U);
    EXPECT_FALSE(cache::Counters().snapshot(backend::Status()).ready);
}

// Keys.

cache::StateBase state_with(const std::string& prefix) {
    CacheOptions options;
    options.key_prefix = prefix;
    return cache::StateBase(options);
}

std::string text_of(const cache::Key& key) { return std::string(std::string_view(key)); }

TEST(Keys, ThePrefixStandsBeforeEveryKeyAndIsLiteralInPatterns) {
    const cache::StateBase plain = state_with("");
    EXPECT_EQ(text_of(plain.full_key("key")), "key");
    EXPECT_EQ(text_of(plain.full_pattern("org:*")), "org:*");
    const cache::StateBase nasty = state_with("a*[b]?\\:");
    EXPECT_EQ(text_of(nasty.full_key("k\0y"s)), "a*[b]?\\:k\0y"s);
    EXPECT_TRUE(backend::glob_matches(nasty.full_pattern("org:*"), nasty.full_key("org:1")));
    EXPECT_FALSE(backend::glob_matches(nasty.full_pattern("org:*"), "aXb?\\:org:1"));
    EXPECT_FALSE(backend::glob_matches(nasty.full_pattern("*"), "abX\\:org:1"));
}

TEST(Keys, OfEveryLengthAreWholeWhereverTheyGo) {
    std::string text;
    for (std::size_t size = 0; size <= 200; ++size, text += static_cast<char>('a' + size % 26)) {
        for (const std::size_t cut : {std::size_t{0}, size / 2, size}) {
            cache::Key key(text.substr(0, cut), text.substr(cut));
            ASSERT_EQ(text_of(key), text);
            const cache::Key copy = key;
            cache::Key moved = std::move(key);
            ASSERT_EQ(text_of(moved), text);
            ASSERT_EQ(text_of(key), "");
            key = std::move(moved);
            ASSERT_EQ(text_of(key), text);
            key = cache::Key("an", "other");
            ASSERT_EQ(text_of(key), "another");
            key = copy;
            ASSERT_EQ(text_of(key), text);
            ASSERT_EQ(text_of(copy), text);
            moved = std::move(key);
            ASSERT_EQ(text_of(key), "");
            ASSERT_EQ(text_of(cache::Key(key)), "");
        }
    }
}

TEST(Keys, AnEmptyOrOversizedKeyIsInvalid) {
    EXPECT_EQ(state_with("").check_key(""), luzia::make_error_code(Error::invalid_key));
    EXPECT_FALSE(state_with("").check_key("k"));
    EXPECT_EQ(state_with("prefix:").check_key("prefix:"), luzia::make_error_code(Error::invalid_key));
    EXPECT_FALSE(state_with("prefix:").check_key("prefix:k"));
    constexpr std::size_t longest = std::size_t{512} << 20U;
    // Only its size is looked at.
    EXPECT_FALSE(state_with("").check_key(std::string_view("k", longest)));
    EXPECT_EQ(state_with("").check_key(std::string_view("k", longest + 1)), luzia::make_error_code(Error::invalid_key));
}

// Drains.

using cache::DrainBook;
using cache::DrainWaiter;

/// A waiter with what it was told.
class Waiting {
public:
    explicit Waiting(asio::io_context& io, std::chrono::milliseconds timeout = 1h)
        : waiter_(std::make_shared<DrainWaiter>(io.get_executor(), [told = told_](bool is_drained) { told->push_back(is_drained); })) {
        waiter_->start(timeout);
    }
    void ask(DrainBook& book) const { book.wait(waiter_); }
    [[nodiscard]] const std::vector<bool>& told() const { return *told_; }
    [[nodiscard]] DrainWaiter& waiter() const { return *waiter_; }

private:
    std::shared_ptr<std::vector<bool>> told_ = std::make_shared<std::vector<bool>>();
    std::shared_ptr<DrainWaiter> waiter_;
};

const std::vector<bool> nothing_told;
const std::vector<bool> drained{true};
const std::vector<bool> time_up{false};

TEST(DrainBook, WithNothingUnderWayADrainIsDone) {
    asio::io_context io;
    DrainBook book;
    const Waiting waiting(io);
    waiting.ask(book);
    EXPECT_EQ(waiting.told(), nothing_told); // never inside the call
    io.run();
    EXPECT_EQ(waiting.told(), drained);
}

TEST(DrainBook, WaitsForWhatBeganBefore) {
    asio::io_context io;
    DrainBook book;
    const std::size_t first = book.enter();
    const std::size_t second = book.enter();
    const Waiting waiting(io);
    waiting.ask(book);
    io.poll();
    EXPECT_EQ(waiting.told(), nothing_told);
    book.leave(second);
    io.poll();
    EXPECT_EQ(waiting.told(), nothing_told);
    book.leave(first);
    io.run();
    EXPECT_EQ(waiting.told(), drained);
}

TEST(DrainBook, DoesNotWaitForWhatBeganAfter) {
    asio::io_context io;
    DrainBook book;
    const std::size_t before = book.enter();
    const Waiting waiting(io);
    waiting.ask(book);
    const std::size_t after = book.enter();
    book.leave(before);
    io.run();
    EXPECT_EQ(waiting.told(), drained);
    book.leave(after);
}

TEST(DrainBook, WhatEndedAlreadyIsNotWaitedFor) {
    asio::io_context io;
    DrainBook book;
    for (int i = 0; i < 100; ++i) {
        book.leave(book.enter());
    }
    const Waiting waiting(io);
    waiting.ask(book);
    io.run();
    EXPECT_EQ(waiting.told(), drained);
}

TEST(DrainBook, OneWhoAsksDuringADrainWaitsForWhatBeganUntilThen) {
    asio::io_context io;
    DrainBook book;
    const std::size_t first = book.enter();
    const Waiting early(io);
    early.ask(book);
    const std::size_t second = book.enter();
    const Waiting late(io);
    late.ask(book);
    const Waiting later(io);
    later.ask(book);

    book.leave(first);
    io.poll();
    EXPECT_EQ(early.told(), drained);
    EXPECT_EQ(late.told(), nothing_told);
    const std::size_t third = book.enter();
    book.leave(second);
    io.poll();
    EXPECT_EQ(late.told(), drained);
    EXPECT_EQ(later.told(), drained);
    book.leave(third);
    io.run();
}

TEST(DrainBook, TheLaterOperationsMayEndFirst) {
    asio::io_context io;
    DrainBook book;
    const std::size_t first = book.enter();
    const Waiting early(io);
    early.ask(book);
    const std::size_t second = book.enter();
    const Waiting late(io);
    late.ask(book);
    book.leave(second);
    io.poll();
    EXPECT_EQ(early.told(), nothing_told);
    EXPECT_EQ(late.told(), nothing_told);
    book.leave(first);
    io.run();
    EXPECT_EQ(early.told(), drained);
    EXPECT_EQ(late.told(), drained);
}

TEST(DrainBook, CanBeUsedAgainAndAgain) {
    asio::io_context io;
    DrainBook book;
    for (int round = 0; round < 20; ++round) {
        const std::size_t half = book.enter();
        const Waiting waiting(io);
        waiting.ask(book);
        io.restart();
        io.poll();
        EXPECT_EQ(waiting.told(), nothing_told);
        book.leave(half);
        io.restart();
        io.poll();
        EXPECT_EQ(waiting.told(), drained);
    }
}

TEST(DrainBook, AWaiterThatIsGoneIsNotTold) {
    asio::io_context io;
    DrainBook book;
    const std::size_t half = book.enter();
    book.wait(std::weak_ptr<DrainWaiter>());
    const Waiting waiting(io);
    waiting.ask(book);
    book.leave(half);
    io.run();
    EXPECT_EQ(waiting.told(), drained);
}

TEST(DrainBook, WhileManyThreadsWorkEveryDrainEndsAndNoneEndsEarly) {
    struct Worker {
        std::atomic<int> begun{0};
        std::atomic<int> ended{0};
        std::thread thread;
    };
    asio::io_context io;
    DrainBook book;
    std::array<Worker, 4> workers;
    std::atomic<std::size_t> working{workers.size()};
    std::atomic<int> times_first{0};
    std::atomic<int> times_last{0};
    for (Worker& worker : workers) {
        worker.thread = std::thread([&] {
            for (int i = 0; i < 5'000; ++i) {
                const std::size_t half = book.enter([&] { ++times_first; }, [&] { ++times_last; });
                ++worker.begun;
                std::this_thread::yield(); // under way for a while, so that a drain may fall into it
                ++worker.ended;
                book.leave(half, [&] { ++times_last; });
            }
            --working;
        });
    }
    int drains = 0;
    bool is_last = false;
    while (!std::exchange(is_last, working == 0) || drains == 0) {
        std::array<int, 4> begun{};
        for (std::size_t i = 0; i < workers.size(); ++i) {
            begun[i] = workers[i].begun;
        }
        const Waiting waiting(io);
        waiting.ask(book);
        io.restart();
        io.run();
        EXPECT_EQ(waiting.told(), drained);
        for (std::size_t i = 0; i < workers.size(); ++i) {
            EXPECT_GE(workers[i].ended, begun[i]);
        }
        ++drains;
    }
    for (Worker& worker : workers) {
        worker.thread.join();
    }
    EXPECT_GT(times_first, 0);
    EXPECT_EQ(times_last, times_first);
    EXPECT_EQ(book.count(), 0U);
}

TEST(DrainBook, SaysWhenAHalfGetsItsFirstAndLosesItsLast) {
    asio::io_context io;
    DrainBook book;
    std::string said;
    const auto on_first = [&] { said += "first "; };
    const auto on_last = [&] { said += "last "; };
    const std::size_t one = book.enter(on_first, on_last);
    const std::size_t two = book.enter(on_first, on_last);
    EXPECT_EQ(book.count(), 2U);
    EXPECT_EQ(said, "first ");
    book.leave(one, on_last);
    EXPECT_EQ(said, "first ");
    const Waiting waiting(io);
    waiting.ask(book); // what comes now is in the other half
    const std::size_t three = book.enter(on_first, on_last);
    EXPECT_EQ(said, "first first ");
    book.leave(two, on_last);
    book.leave(three, on_last);
    EXPECT_EQ(said, "first first last last ");
    EXPECT_EQ(book.count(), 0U);
    io.run();
    EXPECT_EQ(waiting.told(), drained);
}

TEST(DrainWaiter, TellsThatItsTimeIsUp) {
    asio::io_context io;
    DrainBook book;
    const std::size_t half = book.enter();
    const Waiting waiting(io, 0ms);
    waiting.ask(book);
    io.run();
    EXPECT_EQ(waiting.told(), time_up);
    book.leave(half);
    io.restart();
    io.run();
    EXPECT_EQ(waiting.told(), time_up);
}

TEST(DrainWaiter, IsToldOnce) {
    asio::io_context io;
    const Waiting waiting(io);
    waiting.waiter().finish(true);
    waiting.waiter().finish(false);
    waiting.waiter().finish(true);
    EXPECT_EQ(waiting.told(), nothing_told);
    io.run(); // returns at once: the timer is cancelled
    EXPECT_EQ(waiting.told(), drained);
}

TEST(DrainWaiter, IsToldOnTheExecutorOfItsHandlerWhichHasWorkUntilThen) {
    asio::io_context io;
    asio::io_context other;
    int told = 0;
    auto waiter = std::make_shared<DrainWaiter>(io.get_executor(), asio::bind_executor(other.get_executor(), [&](bool is_drained) {
                                                    EXPECT_TRUE(is_drained);
                                                    ++told;
                                                }));
    waiter->start(1h);
    other.poll();
    EXPECT_FALSE(other.stopped());
    waiter->finish(true);
    io.run();
    EXPECT_EQ(told, 0);
    other.run();
    EXPECT_EQ(told, 1);
    EXPECT_TRUE(other.stopped());
}

TEST(DrainWaiter, CanBeCancelled) {
    asio::io_context io;
    asio::cancellation_signal signal;
    std::vector<bool> told;
    auto waiter = std::make_shared<DrainWaiter>(
        io.get_executor(), asio::bind_cancellation_slot(signal.slot(), [&](bool is_drained) { told.push_back(is_drained); }));
    waiter->start(1h);
    io.poll();
    signal.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(told.empty());
    io.run();
    EXPECT_EQ(told, time_up);
    signal.emit(asio::cancellation_type::terminal);
    io.restart();
    io.run();
    EXPECT_EQ(told, time_up);
}

TEST(DrainWaiter, IsReleasedWhereTheContextGoesFirst) {
    auto alive = std::make_shared<int>();
    {
        DrainBook book;
        std::size_t half = book.enter();
        {
            asio::io_context io;
            auto waiter = std::make_shared<DrainWaiter>(io.get_executor(), [alive](bool) { FAIL() << "nobody runs"; });
            waiter->start(1h);
            book.wait(waiter);
        }
        book.leave(half);
    }
    EXPECT_EQ(alive.use_count(), 1);
}

// Turns.

using cache::Completion;
using cache::Completions;

/// A completion that does what it is told, and notes that it was called or let go.
class Told final : public Completion {
public:
    Told(std::vector<std::string>& notes, std::string name, std::function<void()> act = {})
        : notes_(&notes), name_(std::move(name)), act_(std::move(act)) {}
    void complete() override {
        note(name_);
        if (act_) { act_(); }
    }
    void abandon() noexcept override { note("let go of " + name_); }

private:
    void note(const std::string& what) {
        static std::mutex several; // may be called at once
        const std::scoped_lock lock(several);
        notes_->push_back(what);
    }

    std::vector<std::string>* notes_;
    std::string name_;
    std::function<void()> act_;
};

TEST(Completions, TakeTurnsOnTheExecutorInTheirOrderNeverInsideTheCall) {
    asio::io_context io;
    std::vector<std::string> notes;
    const auto completions = std::make_shared<Completions>(io.get_executor());
    Told first(notes, "first");
    Told second(notes, "second");
    completions->push(first);
    completions->push(second);
    EXPECT_TRUE(notes.empty());
    io.run();
    EXPECT_EQ(notes, (std::vector<std::string>{"first", "second"}));
}

TEST(Completions, APartIsASixthOfAllThatIsUnderWay) {
    const auto of_all = [](std::size_t all) { return cache::next_part_length(all, all); };
    EXPECT_EQ(of_all(9), 10U);
    EXPECT_EQ(of_all(10), 2U);
    EXPECT_EQ(of_all(16), 3U);
    EXPECT_EQ(of_all(64), 11U);
    EXPECT_EQ(of_all(128), 21U);
    EXPECT_EQ(of_all(256), 43U);
    EXPECT_EQ(of_all(400), 67U);
    EXPECT_EQ(of_all(1'024'000), 256U);
}

TEST(Completions, PartsAreAboutEqualHoweverManyWait) {
    EXPECT_EQ(cache::next_part_length(15, 64), 15U); // and not 11 and 4
    EXPECT_EQ(cache::next_part_length(4, 64), 4U);
    for (std::size_t all = 10; all <= 2000; ++all) {
        const std::size_t wanted = std::min<std::size_t>((all + 3) / 6, 256);
        for (std::size_t waiting = all; waiting > 0;) {
            const std::size_t length = cache::next_part_length(waiting, all);
            ASSERT_GT(length, 0U);
            ASSERT_LE(length, waiting);
            ASSERT_LE(length, wanted + wanted / 2) << waiting << " of " << all;
            if (waiting >= wanted) { ASSERT_GT(length, wanted / 2) << waiting << " of " << all; }
            waiting -= length;
        }
    }
}

[[nodiscard]] bool eventually_in(std::chrono::seconds limit, const std::function<bool()>& condition) {
    for (const auto start = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - start < limit;) {
        if (condition()) { return true; }
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

void keep_busy_for(std::chrono::microseconds time) {
    for (const auto start = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - start < time;) {}
}

/// What has been called when something else of the executor gets its turn.
[[nodiscard]] std::size_t count_before_others(std::size_t all, std::chrono::microseconds each) {
    asio::io_context io;
    std::vector<std::string> notes;
    const auto completions = std::make_shared<Completions>(io.get_executor());
    std::deque<Told> many;
    for (std::size_t i = 0; i < all; ++i) {
        completions->push(many.emplace_back(notes, "many", [=] { keep_busy_for(each); }));
    }
    std::size_t before = 0;
    asio::post(io, [&] { before = notes.size(); });
    io.run();
    EXPECT_EQ(notes.size(), all);
    return before;
}

TEST(Completions, OthersOfTheExecutorComeBetweenTwoTurns) {
    EXPECT_EQ(count_before_others(25, 100us), 10U); // after one part, since they are slow
    EXPECT_LT(count_before_others(2000, 2us), 2000U);
}

TEST(Completions, WhatAHandlerThrowsIsNoLossToThoseBehindIt) {
    asio::io_context io;
    std::vector<std::string> notes;
    const auto completions = std::make_shared<Completions>(io.get_executor());
    Told throwing(notes, "throws", [] { throw std::runtime_error("out of run()"); });
    Told behind(notes, "behind");
    completions->push(throwing);
    completions->push(behind);
    EXPECT_THROW(io.run(), std::runtime_error);
    io.run();
    EXPECT_EQ(notes, (std::vector<std::string>{"throws", "behind"}));
}

TEST(Completions, AHandlerThatBlocksItsThreadKeepsBackNobody) {
    asio::thread_pool pool(2);
    std::vector<std::string> notes;
    const auto completions = std::make_shared<Completions>(pool.get_executor());
    std::promise<void> freed;
    std::promise<void> ended;
    Told blocked(notes, "blocked", [&] {
        EXPECT_EQ(freed.get_future().wait_for(30s), std::future_status::ready);
        ended.set_value();
    });
    std::vector<std::string> other_notes;
    Told behind(other_notes, "behind", [&] { freed.set_value(); });
    completions->push(blocked);
    completions->push(behind);
    EXPECT_EQ(ended.get_future().wait_for(30s), std::future_status::ready);
    pool.join();
}

struct Counting final : cache::Sender {
    void send_gathered() noexcept override { ++sent; }
    std::atomic<int> sent{0};
};

/// Completions that send by a count.
struct Turns {
    template <class Executor>
    explicit Turns(const Executor& executor) : completions(std::make_shared<Completions>(executor)) {
        completions->send_by(sender);
    }
    std::shared_ptr<Counting> sender = std::make_shared<Counting>();
    std::shared_ptr<Completions> completions;
};

TEST(Completions, WhatAPartHasBegunIsSentAtItsEnd) {
    asio::io_context io;
    std::vector<std::string> notes;
    const Turns turns(io.get_executor());
    std::deque<Told> many;
    for (int i = 0; i < 25; ++i) {
        turns.completions->push(many.emplace_back(notes, "many", [&] { static_cast<void>(turns.completions->gathers()); }));
    }
    io.run();
    EXPECT_EQ(notes.size(), 25U);
    EXPECT_EQ(turns.sender->sent, 3); // 10, 10, 5
    Told idle(notes, "begins nothing");
    turns.completions->push(idle);
    io.restart();
    io.run();
    EXPECT_EQ(turns.sender->sent, 3);
}

TEST(Completions, OfTwelveUnderWayTwoAreCalledBeforeWhatTheyBeginIsSent) {
    asio::io_context io;
    std::vector<std::string> notes;
    const Turns turns(io.get_executor());
    std::vector<std::size_t> halves;
    std::vector<int> sent_before;
    std::deque<Told> some;
    for (int i = 0; i < 12; ++i) {
        halves.push_back(turns.completions->begin());
        turns.completions->push(some.emplace_back(notes, "one", [&] {
            sent_before.push_back(turns.sender->sent);
            static_cast<void>(turns.completions->gathers());
        }));
    }
    io.poll();
    ASSERT_EQ(sent_before.size(), 12U);
    EXPECT_EQ(std::vector<int>(sent_before.begin(), sent_before.begin() + 3), (std::vector<int>{0, 0, 1}));
    for (const std::size_t half : halves) {
        turns.completions->end(half);
    }
}

TEST(Completions, WhatOneReadBringsIsOnePartOrSomeThatAreAboutEqual) {
    asio::io_context io;
    std::vector<std::string> notes;
    const Turns turns(io.get_executor());
    std::vector<std::size_t> halves(64);
    std::generate(halves.begin(), halves.end(), [&] { return turns.completions->begin(); });
    std::vector<int> sent;
    for (const int count : {15, 30, 4, 64, 15}) {
        std::deque<Told> some;
        {
            const luzia::redis::Burst burst;
            for (int i = 0; i < count; ++i) {
                turns.completions->push(some.emplace_back(notes, "one", [&] { static_cast<void>(turns.completions->gathers()); }));
            }
        }
        const int before = turns.sender->sent;
        const std::size_t called = notes.size() + static_cast<std::size_t>(count);
        while (notes.size() < called) {
            io.poll();
        }
        sent.push_back(turns.sender->sent - before);
    }
    EXPECT_EQ(sent, (std::vector<int>{1, 3, 1, 6, 1}));
    for (const std::size_t half : halves) {
        turns.completions->end(half);
    }
}

TEST(Completions, WithoutASenderNothingIsSent) {
    asio::io_context io;
    std::vector<std::string> notes;
    Turns turns(io.get_executor());
    turns.sender.reset();
    Told last(notes, "last", [&] { EXPECT_TRUE(turns.completions->gathers()); });
    turns.completions->push(last);
    io.run();
    EXPECT_EQ(notes.back(), "last");
}

TEST(Completions, NothingIsGatheredOutsideATurnOrInThatOfAnother) {
    asio::io_context io;
    std::vector<std::string> notes;
    const Turns turns(io.get_executor());
    const Turns others(io.get_executor());
    EXPECT_FALSE(turns.completions->gathers());
    Told foreign(notes, "foreign", [&] { EXPECT_FALSE(turns.completions->gathers()); });
    others.completions->push(foreign);
    io.run();
    EXPECT_EQ(notes.size(), 1U);
    EXPECT_EQ(turns.sender->sent, 0);
}

TEST(Completions, WhatAHandlerHasBegunBeforeItThrowsIsSent) {
    asio::io_context io;
    std::vector<std::string> notes;
    const Turns turns(io.get_executor());
    Told throwing(notes, "throws", [&] {
        EXPECT_TRUE(turns.completions->gathers());
        throw std::runtime_error("out of run()");
    });
    turns.completions->push(throwing);
    EXPECT_THROW(io.run(), std::runtime_error);
    EXPECT_EQ(turns.sender->sent, 1);
    EXPECT_FALSE(turns.completions->gathers());
}

TEST(Completions, WhatAHandlerHasBegunIsSentWhereItBlocks) {
    asio::thread_pool pool(2);
    std::vector<std::string> notes;
    const Turns turns(pool.get_executor());
    std::promise<void> has_been_sent;
    Told blocked(notes, "blocked", [&] {
        EXPECT_TRUE(turns.completions->gathers());
        EXPECT_TRUE(eventually_in(30s, [&] { return turns.sender->sent > 0; }));
        // Left behind it is on its own, and once more what it has begun is sent, which may have come too late for the times before.
        EXPECT_TRUE(eventually_in(30s, [&] { return !turns.completions->gathers(); }));
        const int sent = turns.sender->sent;
        EXPECT_TRUE(eventually_in(30s, [&] { return turns.sender->sent > sent; }));
        has_been_sent.set_value();
    });
    turns.completions->push(blocked);
    has_been_sent.get_future().wait();
    pool.join(); // which the watch does not keep from ending
}

TEST(Completions, WhatAHandlerHasBegunDoesNotWaitForALongPart) {
    std::vector<std::string> notes;
    std::deque<Told> many;
    std::atomic<bool> is_sent_meanwhile{false};
    asio::thread_pool pool(2);
    const Turns turns(pool.get_executor());
    std::vector<std::size_t> halves(2000); // so that 256 are one part
    std::generate(halves.begin(), halves.end(), [&] { return turns.completions->begin(); });
    std::latch may_begin(1);
    asio::post(pool, [&] { may_begin.wait(); });
    asio::post(pool, [&] { may_begin.wait(); });
    many.emplace_back(notes, "begins", [&] { static_cast<void>(turns.completions->gathers()); });
    for (int i = 1; i < 256; ++i) {
        many.emplace_back(notes, "slow", [&] {
            if (turns.sender->sent > 0) { is_sent_meanwhile = true; }
            if (!is_sent_meanwhile) { keep_busy_for(1ms); }
        });
    }
    for (Told& each : many) {
        turns.completions->push(each);
    }
    may_begin.count_down();
    EXPECT_TRUE(eventually_in(30s, [&] { return is_sent_meanwhile.load(); }));
    for (const std::size_t half : halves) {
        turns.completions->end(half);
    }
    pool.join();
    EXPECT_EQ(notes.size(), 256U);
}

TEST(Completions, ATurnLeftBehindIsFollowedByOthersAndEndsLikeAny) {
    std::vector<std::string> notes;
    std::vector<std::string> other_notes;
    std::deque<Told> others;
    std::promise<void> is_running;
    std::promise<void> freed;
    std::atomic<int> called{0};
    asio::thread_pool pool(2);
    const Turns turns(pool.get_executor());
    Told blocked(notes, "blocked", [&] { // alone, and with nothing to be sent
        is_running.set_value();
        EXPECT_EQ(freed.get_future().wait_for(60s), std::future_status::ready);
    });
    turns.completions->push(blocked);
    is_running.get_future().wait();
    for (int i = 0; i < 100; ++i) { // of which each needs the one before to have ended
        turns.completions->push(others.emplace_back(other_notes, "other", [&] { ++called; }));
        EXPECT_TRUE(eventually_in(30s, [&] { return called == i + 1; }));
    }
    freed.set_value();
    pool.join();
    EXPECT_EQ(notes.size() + other_notes.size(), 101U);
}

TEST(Completions, NothingIsKeptForTheEndOfAPartWhereHandlersAreSlow) {
    asio::io_context io;
    std::vector<std::string> notes;
    const Turns turns(io.get_executor());
    std::deque<Told> slow;
    for (int i = 0; i < 3; ++i) {
        turns.completions->push(slow.emplace_back(notes, "slow", [] { keep_busy_for(1ms); }));
    }
    io.run();
    const auto gathers = [&] {
        bool is_kept = false;
        Told next(notes, "next", [&] { is_kept = turns.completions->gathers(); });
        turns.completions->push(next);
        io.restart();
        io.run();
        return is_kept;
    };
    EXPECT_FALSE(gathers());
    EXPECT_TRUE(eventually_in(30s, gathers)); // they are quick again, as far as the machine lets them
}

TEST(Completions, AHandlerMayRunTheContextItself) {
    for (const bool is_alone : {false, true}) {
        asio::io_context io;
        std::vector<std::string> notes;
        const Turns turns(io.get_executor());
        bool is_behind_called = false;
        Told behind(notes, "behind", [&] { is_behind_called = true; });
        Told running(notes, "runs", [&] {
            if (is_alone) {
                turns.completions->push(behind);
            } else {
                EXPECT_TRUE(turns.completions->gathers());
            }
            while (!is_behind_called || (!is_alone && turns.sender->sent == 0)) {
                io.run_one();
            }
        });
        turns.completions->push(running);
        if (!is_alone) { turns.completions->push(behind); }
        io.run();
        EXPECT_EQ(notes, (std::vector<std::string>{"runs", "behind"}));
    }
}

TEST(Completions, TheWatchEndsWithTheContextAndWithTheTurns) {
    std::vector<std::string> notes;
    std::shared_ptr<Completions> completions;
    {
        asio::io_context io;
        completions = std::make_shared<Completions>(io.get_executor());
        Told first(notes, "first", [&] { EXPECT_TRUE(completions->gathers()); });
        completions->push(first);
        io.run(); // returns: nothing is left to be watched
        Told second(notes, "second", [&] { EXPECT_TRUE(completions->gathers()); });
        completions->push(second);
        io.restart();
        EXPECT_EQ(io.poll_one(), 1U); // the watch's time has not come
    }
    EXPECT_EQ(notes.size(), 2U);
}

TEST(Completions, WhatWaitsWhenTheContextGoesIsLetGo) {
    std::vector<std::string> notes;
    Told waiting(notes, "waiting");
    Told late(notes, "late");
    std::shared_ptr<Completions> completions;
    {
        asio::io_context io;
        completions = std::make_shared<Completions>(io.get_executor());
        completions->push(waiting);
    }
    EXPECT_EQ(notes, (std::vector<std::string>{"let go of waiting"}));
    completions->push(late);
    EXPECT_EQ(notes.back(), "let go of late");
}

TEST(Completions, MayGoWithTheLastOfThoseThatWait) {
    // As an operation keeps its client's state: the only owner there is.
    struct Owner final : Completion {
        void complete() override {}
        void abandon() noexcept override { owned.reset(); }
        std::shared_ptr<Completions> owned;
    };
    Owner last;
    {
        asio::io_context io;
        last.owned = std::make_shared<Completions>(io.get_executor());
    }
    last.owned->push(last); // AddressSanitizer would tell
    EXPECT_EQ(last.owned, nullptr);
}

TEST(Completions, KeepTheExecutorAtWorkWhileAnOperationIsUnderWay) {
    asio::io_context io;
    Completions completions(io.get_executor());
    const std::size_t first = completions.begin();
    const std::size_t second = completions.begin();
    completions.end(first);
    io.poll();
    EXPECT_FALSE(io.stopped());
    completions.end(second);
    io.poll();
    EXPECT_TRUE(io.stopped());
}

TEST(Completions, KeepTheExecutorAtWorkAcrossADrain) {
    asio::io_context io;
    Completions completions(io.get_executor());
    const std::size_t before = completions.begin();
    bool is_drained = false;
    cache::start_drain(
        io.get_executor(), completions.drains(), [&](bool is_in_time) { is_drained = is_in_time; }, 1h);
    const std::size_t after = completions.begin();
    EXPECT_NE(before, after);
    completions.end(before);
    io.poll();
    EXPECT_TRUE(is_drained);
    EXPECT_FALSE(io.stopped());
    completions.end(after);
    io.poll();
    EXPECT_TRUE(io.stopped());
}

/// An executor that can't be asked to keep its context at work, so many times.
class Grudging {
public:
    Grudging(asio::any_io_executor executor, int& refusals) : executor_(std::move(executor)), refusals_(&refusals) {}

    [[nodiscard]] Grudging require(asio::execution::outstanding_work_t::tracked_t wanted) const {
        if (*refusals_ > 0) {
            --*refusals_;
            throw std::bad_alloc();
        }
        return {asio::prefer(executor_, wanted), *refusals_};
    }
    [[nodiscard]] Grudging require(asio::execution::outstanding_work_t::untracked_t wanted) const {
        return {asio::prefer(executor_, wanted), *refusals_};
    }
    [[nodiscard]] Grudging require(asio::execution::blocking_t::never_t wanted) const {
        return {asio::require(executor_, wanted), *refusals_};
    }
    [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept { return executor_.context(); }
    template <class Function>
    void execute(Function&& function) const {
        executor_.execute(std::forward<Function>(function));
    }
    bool operator==(const Grudging& other) const noexcept { return executor_ == other.executor_; }
    bool operator!=(const Grudging& other) const noexcept { return !(*this == other); }

private:
    asio::any_io_executor executor_;
    int* refusals_;
};

TEST(Work, OneThatCannotBeTakenHoldOfIsTriedAgainByTheNext) {
    asio::io_context io;
    int refusals = 1;
    const asio::any_io_executor executor = Grudging(io.get_executor(), refusals);
    cache::Work work;
    work.begin(executor);
    EXPECT_EQ(refusals, 0);
    work.end();
    io.poll();
    EXPECT_TRUE(io.stopped());
    io.restart();
    work.begin(executor);
    io.poll();
    EXPECT_FALSE(io.stopped());
    work.end();
    io.poll();
    EXPECT_TRUE(io.stopped());
}

// What clients do with what they are given.

/// Notes where the bytes of a value lie, which it is free to take.
class Address {
public:
    Address(asio::any_io_executor executor, const void*& address) : executor_(std::move(executor)), address_(&address) {}
    [[nodiscard]] asio::any_io_executor get_executor() const { return executor_; }
    void submit(const backend::Request& request, backend::Operation& operation) {
        *address_ = request.payload->data();
        backend::Answer answer;
        answer.count = 1;
        operation.on_answer(std::move(answer));
    }
    void cancel(backend::Operation&) {}
    void close() {}
    [[nodiscard]] backend::Status status() const { return {}; }

private:
    asio::any_io_executor executor_;
    const void** address_;
};

TEST(CacheClient, AStringThatIsGivenAwayIsNotCopied) {
    asio::io_context io;
    const void* address = nullptr;
    const auto ignore = [](const Effect&) {};
    CacheClient raw(Address(io.get_executor(), address), RawCodec());
    std::string value(1000, 'v');
    const void* const place = value.data();
    raw.set("key", value, ignore);
    EXPECT_NE(address, place);
    EXPECT_EQ(value, std::string(1000, 'v'));
    raw.set("key", std::as_const(value), 1s, ignore);
    EXPECT_NE(address, place);
    raw.set<std::string>("key", value, ignore);
    EXPECT_NE(address, place);
    raw.set("key", std::move(value), ignore);
    EXPECT_EQ(address, place);
    std::string other(1000, 'v');
    const void* const other_place = other.data();
    raw.set("key", std::move(other), no_expiry, ignore);
    EXPECT_EQ(address, other_place);

    std::string roomy;
    roomy.reserve(5000);
    roomy = "little";
    raw.set("key", std::move(roomy), ignore);
    EXPECT_NE(address, roomy.data());
    EXPECT_EQ(roomy, "little"); // NOLINT(bugprone-use-after-move)

    CacheClient json(MemoryBackend(io.get_executor()));
    std::optional<std::string> read;
    json.set("key", std::string("text"), ignore);
    json.get<std::string>("key", [&](std::optional<std::string> found) { read = std::move(found); });
    io.run();
    EXPECT_EQ(read, "text");
}

/// Takes values as the concept of codecs says, and no other way.
struct StrictCodec {
    using default_value = std::string;
    template <class T>
    [[nodiscard]] std::string encode(T& value) const {
        static_assert(std::is_const_v<T>);
        return value;
    }
    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string&& bytes) const {
        return std::move(bytes);
    }
};

TEST(CacheClient, HandsACodecWhatItTakes) {
    asio::io_context io;
    CacheClient cache(MemoryBackend(io.get_executor()), StrictCodec());
    std::map<std::string, std::string> many{{"b", "2"}};
    std::string one = "1";
    std::size_t stored = 0;
    const auto count = [&](const Effect& effect) { stored += effect; };
    cache.set("a", std::string("0"), count);
    cache.set("a", one, count);
    cache.set("a", std::move(one), 1s, count);
    cache.set_many(many, count);
    asio::co_spawn(
        io, [&]() -> asio::awaitable<void> { stored += co_await cache.set("c", std::string("3")); }, asio::detached);
    io.run();
    EXPECT_EQ(stored, 5U);
}

TEST(CacheClient, SaysHowLargeAValueIsThatIsTooLarge) {
    const DefaultLog log;
    asio::io_context io;
    CacheOptions options;
    options.max_value_bytes = 10;
    CacheClient cache(MemoryBackend(io.get_executor()), options);
    Effect stored;
    cache.set("key", std::string(20, 'x'), [&](const Effect& effect) { stored = effect; });
    io.run();
    EXPECT_EQ(stored.error, make_error_code(Error::value_too_large));
    EXPECT_EQ(log.lines(), (std::vector<std::string>{"warning luzia: key \"key\": the value has 22 bytes, more than max_value_bytes"}));
}

TEST(CacheClient, NamesTheKeyOfAValueThatIsNoneHoweverLongItIs) {
    for (const std::size_t size : {3U, 41U, 64U, 256U, 257U, 5000U}) {
        const DefaultLog log;
        asio::io_context io;
        CacheClient cache(MemoryBackend(io.get_executor()));
        const std::string key(size, 'k');
        cache.set(key, "no number", [&](const Effect&) { cache.get<int>(key, [](const std::optional<int>&) {}); });
        io.run();
        const std::string shown = size <= 64 ? key : key.substr(0, 64) + "...";
        EXPECT_EQ(log.lines(),
                  (std::vector<std::string>{"warning luzia: key \"" + shown + "\": the stored bytes are no such value; a miss"}));
    }
}

TEST(CacheClient, MayEndWithTheCoroutineThatWaitsForItsDrain) {
    asio::thread_pool pool(3);
    std::atomic<int> ended{0};
    constexpr int count = 300;
    for (int i = 0; i < count; ++i) {
        asio::co_spawn(
            pool,
            [&]() -> asio::awaitable<void> {
                CacheClient cache{MemoryBackend(co_await asio::this_coro::executor)};
                cache.set("key", 1, asio::detached);
                if (co_await cache.drain(1h)) { ++ended; }
            },
            asio::detached);
    }
    pool.join();
    EXPECT_EQ(ended, count);
}

// What a backend may rely on.

/// Answers at once, and looks at the question when the handler has been called on another thread.
class LateReader {
public:
    LateReader(asio::any_io_executor executor, const std::atomic<bool>& is_called, std::string& seen)
        : executor_(std::move(executor)), is_called_(&is_called), seen_(&seen) {}
    [[nodiscard]] asio::any_io_executor get_executor() const { return executor_; }
    void submit(const backend::Request& request, backend::Operation& operation) {
        operation.on_answer(backend::Answer());
        EXPECT_TRUE(eventually_in(30s, [&] { return is_called_->load(); }));
        for (const std::string_view key : request.keys) {
            seen_->append(key).append(" ");
        }
        for (const std::string_view value : request.values) {
            seen_->append(value).append(" ");
        }
    }
    void cancel(backend::Operation&) {}
    void close() {}
    [[nodiscard]] backend::Status status() const { return {}; }

private:
    asio::any_io_executor executor_;
    const std::atomic<bool>* is_called_;
    std::string* seen_;
};

TEST(CacheBackend, WhatAQuestionPointsToOutlivesTheOperation) {
    asio::thread_pool pool(1);
    std::atomic<bool> is_called{false};
    std::string seen;
    CacheClient cache(LateReader(pool.get_executor(), is_called, seen), RawCodec());
    const auto seen_of = [&](auto begin) {
        seen.clear();
        is_called = false;
        begin([&](const auto&) { is_called = true; });
        return seen;
    };
    const std::string key = "a-key-that-is-not-kept-in-the-string-itself";
    const std::vector<std::string> keys{key, key};
    EXPECT_EQ(seen_of([&](auto token) { cache.get(key, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.get(std::string(1000, 'k'), token); }), std::string(1000, 'k') + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.lookup(key, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.set(key, std::string(100, 'v'), token); }), key + " " + std::string(100, 'v') + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.erase(key, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.touch(key, 1s, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.invalidate_pattern(key, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.contains(key, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.time_to_live(key, token); }), key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.get_many(keys, token); }), key + " " + key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.erase_many(keys, token); }), key + " " + key + " ");
    EXPECT_EQ(seen_of([&](auto token) { cache.set_many(std::map<std::string, std::string>{{key, "value"}}, token); }), key + " value ");
    pool.join();
}

// Which client is made of what.

template <class... Arguments>
using Deduced = decltype(CacheClient{std::declval<Arguments>()...});

TEST(CacheClient, IsDeducedFromAnExecutorOrAContext) {
    using Default = CacheClient<DefaultBackend, JsonCodec>;
    using Executor = asio::io_context::executor_type;
    static_assert(std::same_as<CacheClient<>, Default>);
    static_assert(std::same_as<Deduced<asio::io_context&>, Default>);
    static_assert(std::same_as<Deduced<asio::thread_pool&>, Default>);
    static_assert(std::same_as<Deduced<Executor>, Default>);
    static_assert(std::same_as<Deduced<const Executor&>, Default>);
    static_assert(std::same_as<Deduced<asio::any_io_executor>, Default>);
    static_assert(std::same_as<Deduced<asio::any_io_executor&>, Default>);
    static_assert(std::same_as<Deduced<asio::strand<Executor>>, Default>);
    static_assert(std::same_as<Deduced<asio::io_context&, CacheOptions>, Default>);
    static_assert(std::same_as<Deduced<asio::io_context&, CacheOptions&>, Default>);
    static_assert(std::same_as<Deduced<Executor, CacheOptions>, Default>);
    static_assert(std::same_as<Deduced<asio::any_io_executor&, const CacheOptions&>, Default>);
    static_assert(std::same_as<Deduced<Executor, CacheOptions, RawCodec>, CacheClient<DefaultBackend, RawCodec>>);
    static_assert(std::same_as<Deduced<asio::io_context&, CacheOptions&, CborCodec>, CacheClient<DefaultBackend, CborCodec>>);
}

TEST(CacheClient, IsDeducedFromABackend) {
    static_assert(std::same_as<Deduced<MemoryBackend>, CacheClient<MemoryBackend, JsonCodec>>);
    static_assert(std::same_as<Deduced<MemoryBackend, CacheOptions>, CacheClient<MemoryBackend, JsonCodec>>);
    static_assert(std::same_as<Deduced<MemoryBackend, const CacheOptions&>, CacheClient<MemoryBackend, JsonCodec>>);
    static_assert(std::same_as<Deduced<MemoryBackend, CborCodec>, CacheClient<MemoryBackend, CborCodec>>);
    static_assert(std::same_as<Deduced<MemoryBackend, MessagePackCodec, CacheOptions>, CacheClient<MemoryBackend, MessagePackCodec>>);
    static_assert(std::same_as<Deduced<DefaultBackend>, CacheClient<DefaultBackend, JsonCodec>>);
}

TEST(CacheClient, CanBeMadeOfEachOfThese) {
    const Variable url("REDIS_URL", "memory://");
    const Variable ttl("CACHE_TTL", nullptr);
    asio::io_context io;
    const asio::any_io_executor executor = io.get_executor();
    CacheOptions options;
    options.url = "memory://";
    EXPECT_TRUE(CacheClient{io}.stats().ready);
    EXPECT_TRUE(CacheClient{executor}.stats().ready);
    EXPECT_TRUE((CacheClient{executor, options}.stats().ready));
    EXPECT_TRUE((CacheClient{executor, options, RawCodec{}}.stats().ready));
    EXPECT_TRUE((CacheClient{io, options, CborCodec{}}.stats().ready));
    EXPECT_TRUE(CacheClient{MemoryBackend(executor)}.stats().ready);
    EXPECT_TRUE((CacheClient{MemoryBackend(executor), CborCodec{}}.stats().ready));
    EXPECT_TRUE((CacheClient{MemoryBackend(executor), options}.stats().ready));
    EXPECT_TRUE((CacheClient{MemoryBackend(executor), MessagePackCodec{}, options}.stats().ready));
    EXPECT_TRUE(CacheClient{DefaultBackend(MemoryBackend(executor))}.stats().ready);
    EXPECT_EQ(CacheClient{io}.get_executor(), executor);
}

TEST(CacheClient, CanBeMovedAndNotCopied) {
    using Client = CacheClient<MemoryBackend>;
    static_assert(std::is_move_constructible_v<Client> && std::is_move_assignable_v<Client>);
    static_assert(std::is_nothrow_move_constructible_v<Client> && std::is_nothrow_move_assignable_v<Client>);
    static_assert(!std::is_copy_constructible_v<Client> && !std::is_copy_assignable_v<Client>);
    static_assert(std::is_move_constructible_v<CacheClient<>> && !std::is_copy_constructible_v<CacheClient<>>);
    static_assert(!std::is_convertible_v<asio::io_context&, CacheClient<>>);
    asio::io_context io;
    CacheClient first{MemoryBackend(io.get_executor())};
    CacheClient second{std::move(first)};
    static_assert(std::same_as<decltype(second), Client>);
    EXPECT_TRUE(second.stats().ready);
    CacheClient third{MemoryBackend(io.get_executor())};
    third = std::move(second);
    EXPECT_TRUE(third.stats().ready);
    third.close();
    EXPECT_FALSE(third.stats().ready);
    first = CacheClient{MemoryBackend(io.get_executor())};
    EXPECT_TRUE(first.stats().ready);
}

/// The smallest backend there can be.
class OwnBackend {
public:
    explicit OwnBackend(asio::any_io_executor executor) : executor_(std::move(executor)) {}
    [[nodiscard]] asio::any_io_executor get_executor() const { return executor_; }
    void submit(const backend::Request&, backend::Operation& operation) { operation.on_answer(backend::Answer()); }
    void cancel(backend::Operation&) {}
    void close() {}
    [[nodiscard]] backend::Status status() const { return {}; }

private:
    asio::any_io_executor executor_;
};

struct NoBackend {
    void close() {}
};

TEST(CacheBackend, IsModelledByThoseOfTheLibraryAndByOnesOwn) {
    static_assert(CacheBackend<DefaultBackend> && CacheBackend<MemoryBackend> && CacheBackend<DisabledBackend> && CacheBackend<OwnBackend>);
    static_assert(!CacheBackend<NoBackend> && !CacheBackend<int> && !CacheBackend<CacheOptions> && !CacheBackend<asio::any_io_executor>);
    static_assert(std::same_as<Deduced<OwnBackend>, CacheClient<OwnBackend, JsonCodec>>);
}

} // namespace
} // namespace luzia
