// tests/contract/backend_contract.hpp: what every backend promises, as one suite. For a backend of your own:
//
//     struct MyFactory {
//         using Backend = MyBackend;
//         static Backend make(boost::asio::any_io_executor executor);   // empty each time
//     };
//     INSTANTIATE_TYPED_TEST_SUITE_P(Mine, BackendContract, MyFactory);
#pragma once

#include "../support/run.hpp"

#include <luzia/cache_client.hpp>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace luzia_test {

/// A range that can't be walked when it is const, as a filtered view can't.
template <class T>
struct OnlyMutable {
    std::vector<T> items;
    auto begin() { return items.begin(); }
    auto end() { return items.end(); }
};

template <class Factory>
class BackendContract : public ::testing::Test {
public:
    using Backend = typename Factory::Backend;
    using Client = luzia::CacheClient<Backend>;

    static Client make(asio::any_io_executor executor, luzia::CacheOptions options = luzia::CacheOptions()) {
        return Client(Factory::make(std::move(executor)), luzia::JsonCodec(), options);
    }

    /// Runs `body` with a client on an empty backend.
    template <class Body>
    static void with_client(Body body, luzia::CacheOptions options = luzia::CacheOptions()) {
        asio::io_context io;
        auto client = make(io.get_executor(), options);
        run(io, body(client));
    }
};

TYPED_TEST_SUITE_P(BackendContract);

TYPED_TEST_P(BackendContract, WhatIsSetIsRead) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        const nlohmann::json value{{"a", 1}, {"b", {1, 2, 3}}};
        const luzia::Effect stored = co_await cache.set("key", value);
        EXPECT_EQ(stored.count, 1U);
        EXPECT_EQ(stored.outcome, luzia::Outcome::done);
        const auto found = co_await cache.get("key");
        EXPECT_EQ(found, value);
        const auto lookup = co_await cache.lookup("key");
        EXPECT_EQ(lookup.outcome, luzia::Outcome::hit);
    });
}

TYPED_TEST_P(BackendContract, AnAbsentKeyIsAMiss) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        const auto found = co_await cache.get("absent");
        EXPECT_FALSE(found);
        const auto lookup = co_await cache.lookup("absent");
        EXPECT_EQ(lookup.outcome, luzia::Outcome::miss);
        EXPECT_FALSE(lookup.error);
        const luzia::Effect erased = co_await cache.erase("absent");
        EXPECT_EQ(erased.count, 0U);
        EXPECT_EQ(erased.outcome, luzia::Outcome::done);
        const luzia::Effect touched = co_await cache.touch("absent", 10s);
        EXPECT_EQ(touched.count, 0U);
        EXPECT_EQ(touched.outcome, luzia::Outcome::done);
        const bool is_there = co_await cache.contains("absent");
        EXPECT_FALSE(is_there);
        const auto left = co_await cache.time_to_live("absent");
        EXPECT_FALSE(left);
    });
}

TYPED_TEST_P(BackendContract, AnExpiredKeyIsAMiss) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        co_await cache.set("brief", 1, 20ms);
        const auto start = std::chrono::steady_clock::now();
        for (;;) {
            const auto found = co_await cache.template get<int>("brief");
            if (!found) { break; }
            const bool is_late = std::chrono::steady_clock::now() - start > 20s;
            EXPECT_FALSE(is_late);
            if (is_late) { break; }
        }
        EXPECT_GE(std::chrono::steady_clock::now() - start, 15ms);
    });
}

TYPED_TEST_P(BackendContract, ATtlIsTheDefaultOneUnlessGiven) {
    luzia::CacheOptions options;
    options.default_ttl = 100s;
    this->with_client(
        [](auto& cache) -> asio::awaitable<void> {
            co_await cache.set("default", 1);
            co_await cache.set("given", 1, 1h);
            co_await cache.set("forever", 1, luzia::no_expiry);
            co_await cache.set("huge", 1, std::chrono::hours::max());
            co_await cache.set("tiny", 1, 1us);
            const auto of_default = co_await cache.time_to_live("default");
            const auto of_given = co_await cache.time_to_live("given");
            const auto of_forever = co_await cache.time_to_live("forever");
            const auto of_huge = co_await cache.time_to_live("huge");
            const bool is_forever_there = co_await cache.contains("forever");
            const bool is_huge_there = co_await cache.contains("huge");
            EXPECT_TRUE(of_default && *of_default > 60s && *of_default <= 100s);
            EXPECT_TRUE(of_given && *of_given > 59min && *of_given <= 1h);
            EXPECT_FALSE(of_forever);
            EXPECT_FALSE(of_huge);
            EXPECT_TRUE(is_forever_there);
            EXPECT_TRUE(is_huge_there);
        },
        options);
}

TYPED_TEST_P(BackendContract, ATtlOfNothingRemovesAndStoresNothing) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        for (const auto ttl : {0s, -5s}) {
            co_await cache.set("key", 1);
            const luzia::Effect stored = co_await cache.set("key", 2, ttl);
            EXPECT_EQ(stored.count, 0U);
            EXPECT_EQ(stored.outcome, luzia::Outcome::done);
            const bool is_there = co_await cache.contains("key");
            EXPECT_FALSE(is_there);
        }
        co_await cache.set("key", 1);
        const luzia::Effect touched = co_await cache.touch("key", 0s);
        EXPECT_EQ(touched.count, 1U);
        const bool is_there = co_await cache.contains("key");
        EXPECT_FALSE(is_there);
    });
}

TYPED_TEST_P(BackendContract, TouchGivesANewTimeToLive) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        co_await cache.set("key", 1, 10s);
        const luzia::Effect longer = co_await cache.touch("key", 1h);
        const auto left = co_await cache.time_to_live("key");
        EXPECT_EQ(longer.count, 1U);
        EXPECT_TRUE(left && *left > 59min);
        const luzia::Effect forever = co_await cache.touch("key", luzia::no_expiry);
        const auto none_left = co_await cache.time_to_live("key");
        const luzia::Effect again = co_await cache.touch("key", luzia::no_expiry);
        EXPECT_EQ(forever.count, 1U);
        EXPECT_EQ(again.count, 1U);
        EXPECT_FALSE(none_left);
        const auto value = co_await cache.template get<int>("key");
        EXPECT_EQ(value, 1);
    });
}

TYPED_TEST_P(BackendContract, EraseTakesAwayWhatWasThere) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        co_await cache.set("key", 1);
        const luzia::Effect erased = co_await cache.erase("key");
        EXPECT_EQ(erased.count, 1U);
        const auto found = co_await cache.get("key");
        EXPECT_FALSE(found);
    });
}

TYPED_TEST_P(BackendContract, ManyKeysAreReadInTheOrderAsked) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        std::map<std::string, int> entries;
        std::vector<std::string> keys;
        for (int i = 0; i < 1500; ++i) {
            const std::string key = "many:" + std::to_string(i);
            if (i % 3 != 0) { entries[key] = i; }
            keys.push_back(key);
        }
        const luzia::Effect stored = co_await cache.set_many(entries, 1min);
        EXPECT_EQ(stored.count, entries.size());
        const auto found = co_await cache.template get_many<int>(keys);
        EXPECT_EQ(found.size(), keys.size());
        for (int i = 0; i < 1500; ++i) {
            EXPECT_EQ(found[static_cast<std::size_t>(i)], i % 3 != 0 ? std::optional(i) : std::nullopt);
        }
        const luzia::Effect erased = co_await cache.erase_many(keys);
        EXPECT_EQ(erased.count, entries.size());
        const auto gone = co_await cache.template get_many<int>(keys);
        for (const auto& value : gone) {
            EXPECT_FALSE(value);
        }
    });
}

TYPED_TEST_P(BackendContract, NoKeysAtAllIsNoQuestion) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        const std::vector<std::string_view> none;
        const std::vector<std::pair<std::string, int>> nothing;
        const auto found = co_await cache.get_many(none);
        const luzia::Effect stored = co_await cache.set_many(nothing);
        const luzia::Effect erased = co_await cache.erase_many(none);
        EXPECT_TRUE(found.empty());
        EXPECT_EQ(stored.outcome, luzia::Outcome::done);
        EXPECT_EQ(erased.outcome, luzia::Outcome::done);
    });
}

TYPED_TEST_P(BackendContract, APatternTakesAwayWhatItMatchesAndNothingElse) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        const std::vector<std::pair<std::string, int>> entries{
            {"org:1:a", 1}, {"org:1:b", 1}, {"org:2:a", 1}, {"org:[1]:a", 1}, {"other", 1}};
        co_await cache.set_many(entries);
        const std::size_t removed = co_await cache.invalidate_pattern("org:1:*");
        EXPECT_EQ(removed, 2U);
        const std::size_t literal = co_await cache.invalidate_pattern("org:\\[1\\]:?");
        EXPECT_EQ(literal, 1U);
        const std::size_t none = co_await cache.invalidate_pattern("nothing:*");
        EXPECT_EQ(none, 0U);
        const bool is_other_there = co_await cache.contains("other");
        const bool is_second_there = co_await cache.contains("org:2:a");
        EXPECT_TRUE(is_other_there);
        EXPECT_TRUE(is_second_there);
    });
}

TYPED_TEST_P(BackendContract, APatternWalksOverManyPages) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        std::vector<std::pair<std::string, int>> entries;
        for (int i = 0; i < 5000; ++i) {
            entries.emplace_back((i % 2 == 0 ? "even:" : "odd:") + std::to_string(i), i);
        }
        co_await cache.set_many(entries);
        const luzia::Effect removed = co_await cache.invalidate_pattern("even:*");
        EXPECT_EQ(removed.count, 2500U);
        EXPECT_EQ(removed.outcome, luzia::Outcome::done);
        const luzia::Effect rest = co_await cache.invalidate_pattern("*");
        EXPECT_EQ(rest.count, 2500U);
    });
}

TYPED_TEST_P(BackendContract, APrefixIsLiteralEvenInPatterns) {
    luzia::CacheOptions options;
    options.key_prefix = "app*[x]?\\:";
    this->with_client(
        [](auto& cache) -> asio::awaitable<void> {
            co_await cache.set("a", 1);
            co_await cache.set("b", 2);
            const auto found = co_await cache.template get<int>("a");
            EXPECT_EQ(found, 1);
            const std::size_t removed = co_await cache.invalidate_pattern("*");
            EXPECT_EQ(removed, 2U);
        },
        options);
}

TYPED_TEST_P(BackendContract, KeysAndValuesAreBytes) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        const std::vector<std::string> keys{
            std::string("nul\0key", 7), "line\r\nbreak", "*?[a]\\", "\xff\xfe\x80", std::string(1024 * 1024, 'k'), " "};
        for (const std::string& key : keys) {
            const std::string value = "value of\r\n" + std::string("\0", 1) + std::to_string(key.size());
            const luzia::Effect stored = co_await cache.set(key, value);
            EXPECT_EQ(stored.count, 1U);
            const auto found = co_await cache.template get<std::string>(key);
            EXPECT_EQ(found, value);
            const luzia::Effect erased = co_await cache.erase(key);
            EXPECT_EQ(erased.count, 1U);
        }
    });
}

TYPED_TEST_P(BackendContract, AnEmptyKeyIsInvalid) {
    LogLines log;
    luzia::CacheOptions options;
    options.logger = log.logger();
    options.key_prefix = "prefix:"; // which does not make it a key
    this->with_client(
        [](auto& cache) -> asio::awaitable<void> {
            const auto lookup = co_await cache.lookup("");
            const luzia::Effect stored = co_await cache.set("", 1);
            const luzia::Effect erased = co_await cache.erase("");
            const bool is_there = co_await cache.contains("");
            EXPECT_EQ(lookup.outcome, luzia::Outcome::invalid);
            EXPECT_EQ(stored.outcome, luzia::Outcome::invalid);
            EXPECT_EQ(erased.outcome, luzia::Outcome::invalid);
            EXPECT_EQ(erased.error, luzia::make_error_code(luzia::Error::invalid_key));
            EXPECT_FALSE(is_there);

            const std::array<std::string_view, 3> keys{"a", "", "b"};
            const std::vector<std::pair<std::string_view, int>> entries{{"a", 1}, {"", 2}, {"b", 3}};
            const luzia::Effect most = co_await cache.set_many(entries);
            EXPECT_EQ(most.count, 2U);
            EXPECT_EQ(most.outcome, luzia::Outcome::invalid);
            const auto found = co_await cache.template get_many<int>(keys);
            EXPECT_EQ(found[0], 1);
            EXPECT_FALSE(found[1]);
            EXPECT_EQ(found[2], 3);
        },
        options);
    EXPECT_GE(log.count("invalid key"), 1U);
}

TYPED_TEST_P(BackendContract, WhatIsNoSuchValueIsAMissAndStays) {
    LogLines log;
    luzia::CacheOptions options;
    options.logger = log.logger();
    this->with_client(
        [](auto& cache) -> asio::awaitable<void> {
            const std::string secret = "hidden-value";
            co_await cache.set("shape", secret);
            const auto lookup = co_await cache.template lookup<std::vector<int>>("shape");
            EXPECT_EQ(lookup.outcome, luzia::Outcome::undecodable);
            EXPECT_FALSE(lookup.value);
            const auto stays = co_await cache.template get<std::string>("shape");
            EXPECT_EQ(stays, secret);
            const auto stats = cache.stats();
            EXPECT_EQ(stats.undecodable, 1U);
            EXPECT_EQ(stats.misses, 1U);
            EXPECT_EQ(stats.hits, 1U);
        },
        options);
    EXPECT_EQ(log.count("warning luzia: key \"shape\""), 1U) << log.all();
    EXPECT_EQ(log.count("hidden-value"), 0U);
}

TYPED_TEST_P(BackendContract, AfterCloseEverythingIsClosed) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        co_await cache.set("key", 1);
        cache.close();
        cache.close();
        const auto lookup = co_await cache.lookup("key");
        const luzia::Effect stored = co_await cache.set("key", 2);
        const std::size_t removed = co_await cache.invalidate_pattern("*");
        const bool answers = co_await cache.ping();
        EXPECT_EQ(lookup.outcome, luzia::Outcome::closed);
        EXPECT_EQ(stored.outcome, luzia::Outcome::closed);
        EXPECT_EQ(removed, 0U);
        EXPECT_FALSE(answers);
        EXPECT_FALSE(cache.stats().ready);
    });
}

TYPED_TEST_P(BackendContract, HandlersRunOnTheirOwnExecutorAndNeverInsideTheCall) {
    asio::io_context io;
    asio::thread_pool other(1);
    auto cache = this->make(io.get_executor());
    bool is_inside = true;
    bool was_inside = false;
    std::promise<bool> ran_elsewhere;
    std::atomic<int> left{2}; // each may go over a connection of its own, and either be the last
    const auto stop_after_both = [&] {
        if (--left == 0) { io.stop(); }
    };
    cache.set("key", 1, asio::bind_executor(other, [&](luzia::Effect) {
                  ran_elsewhere.set_value(other.get_executor().running_in_this_thread());
                  stop_after_both();
              }));
    cache.ping([&](bool) {
        was_inside = is_inside;
        stop_after_both();
    });
    is_inside = false;
    io.run_for(20s);
    EXPECT_FALSE(was_inside);
    EXPECT_TRUE(ran_elsewhere.get_future().get());
    other.join();
}

TYPED_TEST_P(BackendContract, AnyTokenWorks) {
    asio::io_context io;
    auto cache = this->make(io.get_executor());
    auto guard = asio::make_work_guard(io);
    std::thread thread([&] { io.run(); });
    cache.set("detached", 1, asio::detached);
    auto stored = cache.set("future", 2, asio::use_future);
    EXPECT_EQ(stored.get().count, 1U);
    auto found = cache.template get<int>("future", asio::use_future);
    EXPECT_EQ(found.get(), 2);
    auto later = cache.template get<int>("future"); // deferred: nothing has begun
    auto once = later(asio::use_future);
    EXPECT_EQ(once.get(), 2);
    auto again = std::move(later)(asio::use_future);
    EXPECT_EQ(again.get(), 2);
    for (const std::size_t size : {1U, 40U, 41U, 300U}) {
        const std::string key(size, 'k');
        const auto write = cache.set(key, 3);
        const auto read = cache.template get<int>(key);
        for (int i = 0; i < 2; ++i) {
            auto written = write(asio::use_future);
            EXPECT_EQ(written.get().count, 1U);
            auto readers = read(asio::use_future);
            EXPECT_EQ(readers.get(), 3);
        }
    }
    auto drained = cache.drain(asio::use_future);
    EXPECT_TRUE(drained.get());
    auto detached = cache.template get<int>("detached", asio::use_future);
    EXPECT_EQ(detached.get(), 1);
    cache.close();
    guard.reset();
    thread.join();
}

TYPED_TEST_P(BackendContract, CancellingWhatNeverReachedTheBackendIsHarmless) {
    asio::io_context io;
    auto cache = this->make(io.get_executor());
    int ended = 0;
    const auto check = [&](auto begin) {
        asio::cancellation_signal signal;
        const int before = ended;
        begin(asio::bind_cancellation_slot(signal.slot(), [&](auto&&...) { ++ended; }));
        signal.emit(asio::cancellation_type::terminal);
        signal.emit(asio::cancellation_type::total);
        EXPECT_EQ(ended, before);
        io.restart();
        while (ended == before && io.run_one_for(20s) > 0) {}
        io.poll();
        EXPECT_EQ(ended, before + 1);
    };
    const std::vector<std::string> no_keys;
    const std::vector<std::pair<std::string, std::string>> unencodable{{"key", "\xff"}};
    check([&](auto token) { cache.get("", std::move(token)); });
    check([&](auto token) { cache.erase("", std::move(token)); });
    check([&](auto token) { cache.set("key", std::string("\xff"), std::move(token)); });
    check([&](auto token) { cache.get_many(no_keys, std::move(token)); });
    check([&](auto token) { cache.erase_many(no_keys, std::move(token)); });
    check([&](auto token) { cache.set_many(unencodable, std::move(token)); });
}

TYPED_TEST_P(BackendContract, AnyRangeAndAnyHandlerWillDo) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        OnlyMutable<std::pair<std::string_view, int>> entries{{{"a", 1}, {"bb", 2}}};
        const luzia::Effect stored = co_await cache.set_many(entries);
        EXPECT_EQ(stored.count, 2U);
        OnlyMutable<const char*> keys{{"a", "c"}};
        const auto found = co_await cache.template get_many<int>(keys);
        EXPECT_EQ(found, (std::vector<std::optional<int>>{1, std::nullopt}));
        OnlyMutable<std::string> gone{{"a", "bb", "c"}};
        const luzia::Effect erased = co_await cache.erase_many(gone);
        EXPECT_EQ(erased.count, 2U);

        std::optional<bool> answer;
        asio::any_completion_handler<void(bool)> erased_handler = [&](bool is_there) { answer = is_there; };
        cache.contains("a", std::move(erased_handler));
        const bool is_told = co_await eventually([&] { return answer.has_value(); });
        EXPECT_TRUE(is_told);
        EXPECT_EQ(answer, false);
    });
}

TYPED_TEST_P(BackendContract, CountsArePerKey) {
    this->with_client([](auto& cache) -> asio::awaitable<void> {
        const std::map<std::string, int> entries{{"a", 1}, {"b", 2}};
        const std::vector<std::string> keys{"a", "b", "c"};
        co_await cache.set_many(entries);
        co_await cache.get_many(keys);
        co_await cache.get("a");
        co_await cache.get("z");
        co_await cache.erase_many(keys);
        const auto stats = cache.stats();
        EXPECT_EQ(stats.stored, 2U);
        EXPECT_EQ(stats.hits, 3U);
        EXPECT_EQ(stats.misses, 2U);
        EXPECT_EQ(stats.erased, 2U);
        EXPECT_EQ(stats.failures, 0U);
        EXPECT_TRUE(stats.ready);
    });
}

TYPED_TEST_P(BackendContract, DestroyingTheContextFirstDestroysHandlersUninvoked) {
    struct Witness {
        explicit Witness(int& alive) : count(&alive) { ++*count; }
        Witness(Witness&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
        Witness(const Witness&) = delete;
        Witness& operator=(const Witness&) = delete;
        ~Witness() {
            if (count != nullptr) { --*count; }
        }
        int* count;
    };
    int alive = 0;
    bool was_called = false;
    {
        auto io = std::make_unique<asio::io_context>();
        auto cache = this->make(io->get_executor());
        for (int i = 0; i < 10; ++i) {
            cache.get("key", [witness = Witness(alive), &was_called](std::optional<nlohmann::json>) { was_called = true; });
        }
        EXPECT_EQ(alive, 10);
        io.reset();
        EXPECT_EQ(alive, 0);
        cache.close();
    }
    EXPECT_FALSE(was_called);
}

REGISTER_TYPED_TEST_SUITE_P(BackendContract, WhatIsSetIsRead, AnAbsentKeyIsAMiss, AnExpiredKeyIsAMiss, ATtlIsTheDefaultOneUnlessGiven,
                            ATtlOfNothingRemovesAndStoresNothing, TouchGivesANewTimeToLive, EraseTakesAwayWhatWasThere,
                            ManyKeysAreReadInTheOrderAsked, NoKeysAtAllIsNoQuestion, APatternTakesAwayWhatItMatchesAndNothingElse,
                            APatternWalksOverManyPages, APrefixIsLiteralEvenInPatterns, KeysAndValuesAreBytes, AnEmptyKeyIsInvalid,
                            WhatIsNoSuchValueIsAMissAndStays, AfterCloseEverythingIsClosed,
                            HandlersRunOnTheirOwnExecutorAndNeverInsideTheCall, AnyTokenWorks,
                            CancellingWhatNeverReachedTheBackendIsHarmless, AnyRangeAndAnyHandlerWillDo, CountsArePerKey,
                            DestroyingTheContextFirstDestroysHandlersUninvoked);

} // namespace luzia_test
