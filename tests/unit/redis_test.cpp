// unit/redis_test.cpp: the decisions of a connection: commands as bytes, pauses, phases, books, handshake.
#include <luzia/redis/backoff.hpp>
#include <luzia/redis/burst.hpp>
#include <luzia/redis/command.hpp>
#include <luzia/redis/handshake.hpp>
#include <luzia/redis/lifecycle.hpp>
#include <luzia/redis/link.hpp>
#include <luzia/redis/pipeline.hpp>
#include <luzia/redis/short_mutex.hpp>
#include <luzia/redis/strand.hpp>
#include <luzia/redis/target.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <gtest/gtest.h>

#include <hiredis/hiredis.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using luzia::redis::append_command;
using luzia::redis::Backoff;
using luzia::redis::Bytes;
using luzia::redis::IntegerArgument;
using luzia::redis::next_backoff;
using std::chrono::milliseconds;

std::string encoded(const std::vector<std::string>& arguments) {
    const std::vector<std::string_view> views(arguments.begin(), arguments.end());
    Bytes bytes;
    append_command(bytes, views);
    return std::string(bytes.view());
}

// Bytes.

TEST(Bytes, AreAppendedToAndGiveAwayWhatTheyHold) {
    Bytes bytes;
    EXPECT_TRUE(bytes.empty());
    EXPECT_EQ(bytes.view(), "");
    bytes.append("");
    std::string expected;
    int times_grown = 0;
    for (std::size_t size = 0; size < 300; ++size) {
        const std::string more(size, static_cast<char>('a' + size % 26));
        const std::size_t capacity = bytes.capacity();
        bytes.append(more);
        expected += more;
        ASSERT_EQ(bytes.view(), expected);
        ASSERT_LE(bytes.size(), bytes.capacity());
        times_grown += bytes.capacity() > capacity ? 1 : 0;
    }
    EXPECT_LT(times_grown, 20);
    const char* const where = bytes.view().data();
    Bytes moved = std::move(bytes);
    EXPECT_EQ(moved.view().data(), where);
    EXPECT_EQ(moved.view(), expected);
    bytes = Bytes();
    bytes.append("new");
    bytes.swap(moved);
    EXPECT_EQ(moved.view(), "new");
    EXPECT_EQ(bytes.view(), expected);
    moved = std::move(bytes);
    EXPECT_EQ(moved.view().data(), where);
}

TEST(Bytes, KeepTheirRoomWhereTheyAreCleared) {
    Bytes bytes;
    bytes.reserve(1000);
    const std::size_t capacity = bytes.capacity();
    EXPECT_GE(capacity, 1000U);
    char* const at = bytes.room_for(3);
    std::copy_n("abcd", 4, at);
    bytes.end_at(at + 3);
    EXPECT_EQ(bytes.view(), "abc");
    bytes.clear();
    EXPECT_TRUE(bytes.empty());
    bytes.append("de");
    EXPECT_EQ(bytes.view(), "de");
    EXPECT_EQ(bytes.view().data(), at);
    bytes.reserve(10);
    EXPECT_EQ(bytes.capacity(), capacity);
}

// Commands.

std::string formatted_by_hiredis(const std::vector<std::string>& arguments) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const std::string& argument : arguments) {
        texts.push_back(argument.data());
        sizes.push_back(argument.size());
    }
    char* formatted = nullptr;
    const auto size = redisFormatCommandArgv(&formatted, static_cast<int>(arguments.size()), texts.data(), sizes.data());
    std::string bytes(formatted, static_cast<std::size_t>(size));
    redisFreeCommand(formatted);
    return bytes;
}

TEST(Command, IsAnArrayOfBulkStrings) {
    EXPECT_EQ(encoded({"SETEX", "key", "300", "{\"a\":1}"}), "*4\r\n$5\r\nSETEX\r\n$3\r\nkey\r\n$3\r\n300\r\n$7\r\n{\"a\":1}\r\n");
    EXPECT_EQ(encoded({"GET", ""}), "*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
    EXPECT_EQ(encoded({"GET", "a\0b\r\nc"s}), "*2\r\n$3\r\nGET\r\n$6\r\na\0b\r\nc\r\n"s);
}

TEST(Command, IsAppendedToWhatIsThere) {
    Bytes bytes;
    bytes.append("before");
    const std::vector<std::string_view> ping{"PING"};
    append_command(bytes, ping);
    append_command(bytes, ping);
    EXPECT_EQ(bytes.view(), "before*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n");
}

TEST(Command, EqualsWhatHiredisFormatsForAnyArguments) {
    std::mt19937 random(42);
    const auto below = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
    for (int round = 0; round < 5'000; ++round) {
        std::vector<std::string> arguments(1 + below(round % 100 == 0 ? 300 : 8));
        for (std::string& argument : arguments) {
            const std::size_t size = below(10) == 0 ? below(2'000) : below(24);
            for (std::size_t i = 0; i < size; ++i) {
                static constexpr std::string_view nasty("\0\r\n$*", 5);
                argument += below(3) == 0 ? nasty[below(nasty.size())] : static_cast<char>(below(256));
            }
        }
        ASSERT_EQ(encoded(arguments), formatted_by_hiredis(arguments)) << "round " << round;
    }
    for (const std::size_t size : {9U, 10U, 99U, 100U, 999U, 1'000U, 100'000U}) {
        const std::vector<std::string> arguments{std::string(size, 'x')};
        ASSERT_EQ(encoded(arguments), formatted_by_hiredis(arguments));
    }
}

TEST(Command, AnIntegerArgumentIsItsDecimalText) {
    EXPECT_EQ(IntegerArgument(0).view(), "0");
    EXPECT_EQ(IntegerArgument(-1).view(), "-1");
    EXPECT_EQ(IntegerArgument(300'000).view(), "300000");
    EXPECT_EQ(IntegerArgument(std::numeric_limits<std::int64_t>::max()).view(), "9223372036854775807");
    EXPECT_EQ(IntegerArgument(std::numeric_limits<std::int64_t>::min()).view(), "-9223372036854775808");
}

TEST(Command, ACopiedIntegerArgumentHasItsOwnText) {
    auto first = std::make_unique<IntegerArgument>(123);
    const IntegerArgument second = *first;
    first.reset();
    EXPECT_EQ(second.view(), "123");
}

// Backoff.

TEST(Backoff, DoublesUpToItsCap) {
    const Backoff backoff(50ms, 2000ms);
    const std::vector<milliseconds> expected{50ms, 100ms, 200ms, 400ms, 800ms, 1600ms, 2000ms, 2000ms};
    for (unsigned failures = 1; failures <= expected.size(); ++failures) {
        EXPECT_EQ(next_backoff(backoff, failures, 0.0), expected[failures - 1]) << failures;
    }
}

TEST(Backoff, KeepsItsJitterWithinTheUpperHalf) {
    const Backoff backoff(50ms, 2000ms);
    std::set<milliseconds> seen;
    for (unsigned failures = 1; failures < 20; ++failures) {
        const milliseconds full = next_backoff(backoff, failures, 0.0);
        for (int i = 0; i < 1000; ++i) {
            const milliseconds pause = next_backoff(backoff, failures, i / 1000.0);
            EXPECT_GE(pause, std::max(backoff.min, full / 2));
            EXPECT_LE(pause, full);
            if (failures == 19) { seen.insert(pause); }
        }
    }
    EXPECT_GT(seen.size(), 900U);
    EXPECT_EQ(next_backoff(backoff, 10, 0.5), 1500ms);
    EXPECT_EQ(next_backoff(backoff, 3, 0.5), 150ms);
}

TEST(Backoff, EndsForAnyNumberOfFailures) {
    EXPECT_EQ(next_backoff(Backoff(50ms, 2000ms), std::numeric_limits<unsigned>::max(), 0.0), 2000ms);
    EXPECT_EQ(next_backoff(Backoff(1ms, std::chrono::hours(24 * 365)), std::numeric_limits<unsigned>::max(), 0.0),
              std::chrono::hours(24 * 365));
    EXPECT_EQ(next_backoff(Backoff(50ms, 2000ms), 0, 0.0), 50ms);
}

TEST(Backoff, WithOneLengthForBothIsConstant) {
    for (unsigned failures = 1; failures < 10; ++failures) {
        EXPECT_EQ(next_backoff(Backoff(70ms, 70ms), failures, 0.99), 70ms);
    }
}

TEST(Backoff, IsFrom50MillisecondsTo2SecondsByDefault) {
    EXPECT_EQ(Backoff().min, 50ms);
    EXPECT_EQ(Backoff().max, 2s);
}

} // namespace

// Lifecycle.

namespace luzia::redis {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{100s};

/// A lifecycle brought to a phase by the shortest way.
Lifecycle in_phase(Phase phase) {
    Lifecycle life{Backoff(50ms, 2000ms)};
    if (phase == Phase::closed) { life.close(); }
    if (phase == Phase::idle || phase == Phase::closed) { return life; }
    static_cast<void>(life.wanted());
    if (phase == Phase::resolving) { return life; }
    if (phase == Phase::backing_off) {
        static_cast<void>(life.lost(start, 0.0));
        return life;
    }
    static_cast<void>(life.resolved(1));
    if (phase == Phase::connecting) { return life; }
    static_cast<void>(life.connected());
    if (phase == Phase::securing) { return life; }
    static_cast<void>(life.secured());
    if (phase == Phase::handshaking) { return life; }
    static_cast<void>(life.shaken_hands(start));
    return life;
}

constexpr Phase all_phases[] = {Phase::idle,        Phase::resolving, Phase::connecting,  Phase::securing,
                                Phase::handshaking, Phase::ready,     Phase::backing_off, Phase::closed};

TEST(Lifecycle, GoesFromIdleToReadyStepByStep) {
    Lifecycle life{Backoff()};
    EXPECT_EQ(life.phase(), Phase::idle);
    EXPECT_EQ(life.wanted(), Step::resolve);
    EXPECT_EQ(life.phase(), Phase::resolving);
    EXPECT_EQ(life.resolved(2), Step::connect);
    EXPECT_EQ(life.phase(), Phase::connecting);
    EXPECT_EQ(life.address(), 0U);
    EXPECT_EQ(life.connected(), Step::secure);
    EXPECT_EQ(life.phase(), Phase::securing);
    EXPECT_EQ(life.secured(), Step::handshake);
    EXPECT_EQ(life.phase(), Phase::handshaking);
    EXPECT_FALSE(life.has_been_ready());
    EXPECT_EQ(life.shaken_hands(start), Step::open);
    EXPECT_EQ(life.phase(), Phase::ready);
    EXPECT_TRUE(life.has_been_ready());
    EXPECT_EQ(life.failures(), 0U);
}

TEST(Lifecycle, IsBegunOnceHoweverOftenItIsWanted) {
    for (const Phase phase : all_phases) {
        Lifecycle life = in_phase(phase);
        ASSERT_EQ(life.phase(), phase);
        EXPECT_EQ(life.wanted(), phase == Phase::idle ? Step::resolve : Step::none);
        EXPECT_EQ(life.phase(), phase == Phase::idle ? Phase::resolving : phase);
    }
}

TEST(Lifecycle, OnlyAPauseEndsWithAnAttempt) {
    for (const Phase phase : all_phases) {
        Lifecycle life = in_phase(phase);
        EXPECT_EQ(life.paused(), phase == Phase::backing_off ? Step::resolve : Step::none);
        EXPECT_EQ(life.phase(), phase == Phase::backing_off ? Phase::resolving : phase);
    }
}

TEST(Lifecycle, ALossInAnyStageOfAnAttemptBacksOff) {
    for (const Phase phase : {Phase::resolving, Phase::connecting, Phase::securing, Phase::handshaking}) {
        Lifecycle life = in_phase(phase);
        EXPECT_EQ(life.lost(start, 0.0), Step::back_off);
        EXPECT_EQ(life.phase(), Phase::backing_off);
        EXPECT_EQ(life.failures(), 1U);
        EXPECT_EQ(life.pause(), 50ms);
        EXPECT_FALSE(life.is_first_attempt());
    }
}

TEST(Lifecycle, ALossWhereThereIsNothingToLoseIsNothing) {
    for (const Phase phase : {Phase::idle, Phase::backing_off, Phase::closed}) {
        Lifecycle life = in_phase(phase);
        const unsigned failures = life.failures();
        EXPECT_EQ(life.lost(start, 0.0), Step::none);
        EXPECT_EQ(life.phase(), phase);
        EXPECT_EQ(life.failures(), failures);
    }
}

TEST(Lifecycle, EveryAddressIsTriedBeforeAnAttemptHasFailed) {
    for (const int stages : {0, 1, 2}) {
        Lifecycle life{Backoff()};
        static_cast<void>(life.wanted());
        ASSERT_EQ(life.resolved(3), Step::connect);
        for (std::size_t address = 0; address < 3; ++address) {
            EXPECT_EQ(life.address(), address);
            EXPECT_EQ(life.phase(), Phase::connecting);
            EXPECT_TRUE(life.is_first_attempt());
            EXPECT_EQ(life.admission(), Admission::wait);
            if (stages > 0) { static_cast<void>(life.connected()); }
            if (stages > 1) { static_cast<void>(life.secured()); }
            EXPECT_EQ(life.lost(start, 0.0), address < 2 ? Step::connect : Step::back_off);
        }
        EXPECT_EQ(life.failures(), 1U);
        EXPECT_EQ(life.admission(), Admission::refuse);
    }
}

TEST(Lifecycle, TheNextAttemptBeginsWithTheFirstAddressOfANewLookUp) {
    Lifecycle life{Backoff()};
    static_cast<void>(life.wanted());
    static_cast<void>(life.resolved(2));
    static_cast<void>(life.lost(start, 0.0));
    static_cast<void>(life.lost(start, 0.0));
    ASSERT_EQ(life.paused(), Step::resolve);
    EXPECT_EQ(life.resolved(1), Step::connect);
    EXPECT_EQ(life.address(), 0U);
    EXPECT_EQ(life.lost(start, 0.0), Step::back_off);
}

TEST(Lifecycle, AFailedLookUpDoesNotTryTheAddressesOfTheOneBefore) {
    Lifecycle life{Backoff()};
    static_cast<void>(life.wanted());
    static_cast<void>(life.resolved(5));
    static_cast<void>(life.connected());
    static_cast<void>(life.secured());
    static_cast<void>(life.shaken_hands(start));
    ASSERT_EQ(life.lost(start + 1h, 0.0), Step::resolve);
    EXPECT_EQ(life.lost(start + 1h, 0.0), Step::back_off);
}

TEST(Lifecycle, ALookUpWithoutAddressesIsAFailedAttempt) {
    Lifecycle life{Backoff()};
    static_cast<void>(life.wanted());
    static_cast<void>(life.resolved(0));
    EXPECT_EQ(life.lost(start, 0.0), Step::back_off);
    EXPECT_EQ(life.failures(), 1U);
}

TEST(Lifecycle, TheFirstAttemptIsWaitedForAndAfterAFailureOperationsAreRefused) {
    for (const Phase phase : {Phase::idle, Phase::resolving, Phase::connecting, Phase::securing, Phase::handshaking}) {
        EXPECT_EQ(in_phase(phase).admission(), Admission::wait);
    }
    Lifecycle life = in_phase(Phase::backing_off);
    EXPECT_EQ(life.admission(), Admission::refuse);
    static_cast<void>(life.paused());
    EXPECT_EQ(life.admission(), Admission::refuse);
    static_cast<void>(life.resolved(1));
    EXPECT_EQ(life.admission(), Admission::refuse);
    static_cast<void>(life.connected());
    static_cast<void>(life.secured());
    EXPECT_EQ(life.admission(), Admission::refuse);
    static_cast<void>(life.shaken_hands(start));
    EXPECT_EQ(life.admission(), Admission::send);
}

TEST(Lifecycle, AFirstAttemptThatWasOutwaitedIsNotWaitedForButGoesOn) {
    Lifecycle life = in_phase(Phase::idle);
    static_cast<void>(life.wanted());
    EXPECT_EQ(life.admission(), Admission::wait);
    life.outwaited();
    EXPECT_EQ(life.admission(), Admission::refuse);
    EXPECT_EQ(life.phase(), Phase::resolving);
    EXPECT_EQ(life.resolved(1), Step::connect);
    static_cast<void>(life.connected());
    static_cast<void>(life.secured());
    EXPECT_EQ(life.shaken_hands(start), Step::open);
    EXPECT_EQ(life.admission(), Admission::send);
}

TEST(Lifecycle, AReadyConnectionThatIsLostRefusesUntilItIsReadyAgain) {
    Lifecycle life = in_phase(Phase::ready);
    EXPECT_EQ(life.admission(), Admission::send);
    ASSERT_EQ(life.lost(start + 1h, 0.0), Step::resolve);
    EXPECT_EQ(life.admission(), Admission::refuse);
    static_cast<void>(life.resolved(1));
    static_cast<void>(life.connected());
    static_cast<void>(life.secured());
    EXPECT_EQ(life.admission(), Admission::refuse);
    static_cast<void>(life.shaken_hands(start + 2h));
    EXPECT_EQ(life.admission(), Admission::send);
}

TEST(Lifecycle, AConnectionThatHeldIsMadeAnewAtOnce) {
    Lifecycle life = in_phase(Phase::ready);
    EXPECT_EQ(life.lost(start + life.stable_after(), 0.0), Step::resolve);
    EXPECT_EQ(life.phase(), Phase::resolving);
    EXPECT_EQ(life.failures(), 0U);
}

TEST(Lifecycle, AConnectionThatDidNotHoldCountsAsAFailure) {
    Lifecycle life = in_phase(Phase::ready);
    EXPECT_EQ(life.lost(start + life.stable_after() - 1ns, 0.0), Step::back_off);
    EXPECT_EQ(life.phase(), Phase::backing_off);
    EXPECT_EQ(life.failures(), 1U);
}

TEST(Lifecycle, AServerThatAcceptsAndHangsUpIsAskedLessAndLess) {
    Lifecycle life{Backoff(50ms, 2000ms)};
    static_cast<void>(life.wanted());
    for (const auto pause : {50ms, 100ms, 200ms, 400ms, 800ms, 1600ms, 2000ms, 2000ms}) {
        static_cast<void>(life.resolved(1));
        static_cast<void>(life.connected());
        static_cast<void>(life.secured());
        static_cast<void>(life.shaken_hands(start));
        ASSERT_EQ(life.lost(start + 1ms, 0.0), Step::back_off);
        EXPECT_EQ(life.pause(), pause);
        ASSERT_EQ(life.paused(), Step::resolve);
    }
}

TEST(Lifecycle, AConnectionThatHeldMakesTheFailuresForgotten) {
    Lifecycle life{Backoff(50ms, 2000ms)};
    static_cast<void>(life.wanted());
    for (int i = 0; i < 5; ++i) {
        static_cast<void>(life.lost(start, 0.0));
        static_cast<void>(life.paused());
    }
    EXPECT_EQ(life.failures(), 5U);
    static_cast<void>(life.resolved(1));
    static_cast<void>(life.connected());
    static_cast<void>(life.secured());
    static_cast<void>(life.shaken_hands(start));
    ASSERT_EQ(life.lost(start + 1h, 0.0), Step::resolve);
    ASSERT_EQ(life.lost(start + 1h, 0.0), Step::back_off);
    EXPECT_EQ(life.pause(), 50ms);
}

TEST(Lifecycle, TheRandomNumberShortensThePause) {
    Lifecycle life{Backoff(50ms, 2000ms)};
    static_cast<void>(life.wanted());
    for (int i = 0; i < 10; ++i) {
        static_cast<void>(life.lost(start, 0.0));
        static_cast<void>(life.paused());
    }
    static_cast<void>(life.lost(start, 0.5));
    EXPECT_EQ(life.pause(), 1500ms);
}

TEST(Lifecycle, ClosedIsTheEndWhateverComesLate) {
    const std::vector<std::pair<const char*, std::function<Step(Lifecycle&)>>> events = {
        {"wanted", [](Lifecycle& life) { return life.wanted(); }},
        {"resolved", [](Lifecycle& life) { return life.resolved(1); }},
        {"connected", [](Lifecycle& life) { return life.connected(); }},
        {"secured", [](Lifecycle& life) { return life.secured(); }},
        {"shaken_hands", [](Lifecycle& life) { return life.shaken_hands(start); }},
        {"lost", [](Lifecycle& life) { return life.lost(start, 0.0); }},
        {"paused", [](Lifecycle& life) { return life.paused(); }},
    };
    for (const Phase phase : all_phases) {
        for (const auto& [name, happen] : events) {
            Lifecycle life = in_phase(phase);
            life.close();
            const Step step = happen(life);
            const bool is_still_closed = step == Step::none && life.phase() == Phase::closed && life.admission() == Admission::closed;
            EXPECT_TRUE(is_still_closed) << name << " after close in phase " << static_cast<int>(phase);
        }
    }
}

// Pipeline.

class Handler final : public ReplyHandler {
public:
    explicit Handler(int number = 0) : number_(number) {}
    [[nodiscard]] Verdict on_reply(Reply&) noexcept override { return Verdict::fits; }
    void on_failure(error_code) noexcept override {}
    void on_abandon() noexcept override {}
    [[nodiscard]] int number() const { return number_; }

private:
    int number_;
};

constexpr std::size_t overhead = overhead_of(1);

/// One command with one argument, its size known.
Ticket append(Outbox& outbox, std::string_view argument, ReplyHandler* handler, TimePoint deadline = start) {
    return outbox.append(std::span(&argument, 1), handler, deadline).ticket;
}

/// What goes over the wire.
std::string joined(const Wire& wire) {
    std::string bytes;
    wire.for_each_piece([&](std::string_view piece) { bytes += piece; });
    EXPECT_EQ(bytes.size(), wire.size());
    return bytes;
}

/// Every batch, one behind the other.
std::size_t move_all(Outbox& outbox, std::string& buffer, InFlight& in_flight) {
    std::size_t dropped = 0;
    while (!outbox.empty()) {
        Wire batch;
        dropped += outbox.move_batch(batch, in_flight);
        buffer += joined(batch);
    }
    return dropped;
}

std::string wire(std::string_view argument) { return encoded({std::string(argument)}); }

TEST(Outbox, WritesCommandsInTheOrderInWhichTheyCame) {
    Outbox outbox;
    InFlight in_flight;
    Handler first(1);
    Handler second(2);
    std::string buffer;
    EXPECT_TRUE(outbox.empty());

    const Ticket one = append(outbox, "one", &first);
    const Ticket two = append(outbox, "two", &second);
    EXPECT_FALSE(outbox.empty());
    EXPECT_EQ(outbox.bytes(), wire("one").size() + wire("two").size());
    EXPECT_EQ(outbox.first_ticket(), one);
    EXPECT_EQ(move_all(outbox, buffer, in_flight), 0U);

    EXPECT_LT(one, two);
    EXPECT_EQ(buffer, wire("one") + wire("two"));
    EXPECT_TRUE(outbox.empty());
    EXPECT_EQ(outbox.bytes(), 0U);
    EXPECT_EQ(in_flight.front().handler, &first);
    EXPECT_EQ(in_flight.front().ticket, one);
    EXPECT_EQ(in_flight.pop().bytes, wire("one").size());
    EXPECT_EQ(in_flight.pop().handler, &second);
    EXPECT_TRUE(in_flight.empty());
}

TEST(Outbox, ACommandThatThereIsNoMemoryForLeavesNothingBehind) {
    Outbox outbox;
    InFlight in_flight;
    Handler first(1);
    Handler second(2);
    std::string buffer;
    append(outbox, "one", &first);
    // Nothing can be that long, so that the attempt fails as an exhausted memory would; the bytes are never looked at.
    const std::array<std::string_view, 3> huge{"SET", "key", std::string_view("", Bytes::max_size())};
    EXPECT_THROW(static_cast<void>(outbox.append(huge, &second, TimePoint())), std::length_error);
    append(outbox, "two", &second);

    EXPECT_EQ(move_all(outbox, buffer, in_flight), 0U);
    EXPECT_EQ(buffer, wire("one") + wire("two"));
}

TEST(Outbox, WhatIsCancelledBeforeItIsWrittenIsNeverSent) {
    Outbox outbox;
    InFlight in_flight;
    Handler handlers[3];
    std::string buffer;
    append(outbox, "one", &handlers[0]);
    const Ticket two = append(outbox, "second", &handlers[1]);
    append(outbox, "three", &handlers[2]);

    EXPECT_EQ(outbox.take(two), &handlers[1]);
    EXPECT_EQ(outbox.take(two), nullptr);
    EXPECT_EQ(move_all(outbox, buffer, in_flight), wire("second").size() + overhead);

    EXPECT_EQ(buffer, wire("one") + wire("three"));
    EXPECT_EQ(in_flight.pop().handler, &handlers[0]);
    EXPECT_EQ(in_flight.pop().handler, &handlers[2]);
    EXPECT_TRUE(in_flight.empty());
    EXPECT_TRUE(outbox.empty());
    EXPECT_EQ(outbox.bytes(), 0U);
}

TEST(Outbox, WhereEverythingIsCancelledNothingIsSent) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    std::string buffer;
    const Ticket one = append(outbox, "one", &handler);
    const Ticket two = append(outbox, "two", &handler);
    EXPECT_EQ(outbox.take(one), &handler);
    EXPECT_EQ(outbox.take(two), &handler);

    EXPECT_EQ(move_all(outbox, buffer, in_flight), wire("one").size() + wire("two").size() + 2 * overhead);

    EXPECT_TRUE(buffer.empty());
    EXPECT_TRUE(in_flight.empty());
    EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, WhatTimedOutBeforeItWasWrittenIsNeverSent) {
    Outbox outbox;
    InFlight in_flight;
    Handler early;
    Handler late;
    std::string buffer;
    append(outbox, "early", &early, start);
    append(outbox, "late", &late, start + 1ms);
    std::vector<ReplyHandler*> expired;

    outbox.take_expired(start, expired);

    EXPECT_EQ(expired, std::vector<ReplyHandler*>{&early});
    EXPECT_GT(move_all(outbox, buffer, in_flight), 0U);
    EXPECT_EQ(buffer, wire("late"));
}

TEST(Outbox, AnUnattendedCommandIsSent) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    std::string buffer;
    append(outbox, "PING", nullptr);
    const Ticket two = append(outbox, "two", &handler);
    append(outbox, "QUIT", nullptr);
    EXPECT_EQ(outbox.take(two), &handler);

    EXPECT_EQ(move_all(outbox, buffer, in_flight), wire("two").size() + overhead);

    EXPECT_EQ(buffer, wire("PING") + wire("QUIT"));
    EXPECT_EQ(in_flight.front().handler, nullptr);
    EXPECT_TRUE(in_flight.pop().is_unattended);
    EXPECT_TRUE(in_flight.pop().is_unattended);
    EXPECT_TRUE(in_flight.empty());
}

TEST(Outbox, AnUnattendedCommandHasNoDeadlineAndHidesNone) {
    Outbox outbox;
    Handler handler;
    append(outbox, "PING", nullptr, start);
    EXPECT_EQ(outbox.next_deadline(), std::nullopt);
    append(outbox, "GET", &handler, start + 5ms);
    EXPECT_EQ(outbox.next_deadline(), start + 5ms);
    std::vector<ReplyHandler*> expired;
    outbox.take_expired(start + 5ms, expired);
    EXPECT_EQ(expired, std::vector<ReplyHandler*>{&handler});
    EXPECT_EQ(outbox.next_deadline(), std::nullopt);
}

TEST(Outbox, TicketsAreNeverUsedTwice) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    std::set<Ticket> tickets;
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 10; ++i) {
            const Ticket ticket = append(outbox, "x", &handler);
            EXPECT_TRUE(tickets.empty() || *tickets.rbegin() < ticket);
            EXPECT_NE(ticket, 0U);
            tickets.insert(ticket);
        }
        std::string buffer;
        std::vector<ReplyHandler*> handlers;
        if (round % 2 == 0) {
            static_cast<void>(move_all(outbox, buffer, in_flight));
        } else {
            static_cast<void>(outbox.take_all(handlers));
        }
    }
    EXPECT_EQ(tickets.size(), 100U);
}

TEST(Outbox, TakeAllGivesBackEveryHandlerAndEveryByte) {
    Outbox outbox;
    InFlight in_flight;
    Handler first;
    Handler second;
    Handler third;
    append(outbox, "one", &first);
    const Ticket gone = append(outbox, "two", &second);
    append(outbox, "PING", nullptr);
    append(outbox, "three", &third);
    static_cast<void>(outbox.take(gone));
    std::vector<ReplyHandler*> handlers;

    const std::size_t bytes = outbox.take_all(handlers);

    EXPECT_EQ(handlers, (std::vector<ReplyHandler*>{&first, &third}));
    EXPECT_EQ(bytes, wire("one").size() + wire("two").size() + wire("PING").size() + wire("three").size() + 4 * overhead);
    EXPECT_TRUE(outbox.empty());
    EXPECT_EQ(outbox.bytes(), 0U);
    std::string buffer;
    EXPECT_EQ(move_all(outbox, buffer, in_flight), 0U);
    EXPECT_TRUE(buffer.empty());
}

TEST(Outbox, NothingOfABatchIsLeftForTheNext) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    std::string buffer = std::string();
    for (const std::size_t size : {3U, 2U * 1024U * 1024U, 5U, 100'000U, 1U}) {
        const std::string argument(size, 'x');
        append(outbox, argument, &handler);
        static_cast<void>(move_all(outbox, buffer, in_flight));
        EXPECT_EQ(buffer, wire(argument));
        buffer.clear();
    }
}

TEST(Outbox, ABatchIsSmallUnlessItsOneCommandIsNot) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    const std::string small(1000, 's');
    const std::string large(3 * Outbox::batch_bytes, 'l');
    constexpr int count = 500;
    std::string expected;
    for (int i = 0; i < count; ++i) {
        const std::string& argument = i % 100 == 50 ? large : small;
        append(outbox, argument, &handler);
        expected += wire(argument);
    }
    EXPECT_EQ(outbox.bytes(), expected.size());

    std::string moved;
    int batches = 0;
    while (!outbox.empty()) {
        Wire batch;
        EXPECT_EQ(outbox.move_batch(batch, in_flight), 0U);
        EXPECT_TRUE(batch.payloads().empty());
        EXPECT_LE(batch.size(), std::max(Outbox::batch_bytes, wire(large).size()));
        EXPECT_GT(batch.size(), 0U);
        moved += batch.text.view();
        ++batches;
    }
    EXPECT_TRUE(moved == expected);
    EXPECT_EQ(outbox.bytes(), 0U);
    EXPECT_GT(batches, 10);
    EXPECT_LT(batches, 30);
    for (int i = 0; i < count; ++i) {
        EXPECT_EQ(in_flight.pop().ticket, static_cast<Ticket>(i + 1));
    }
    EXPECT_TRUE(in_flight.empty());
}

/// A command with a value that may be taken.
Ticket append_payload(Outbox& outbox, std::string& value, ReplyHandler* handler) {
    const std::array<std::string_view, 3> arguments{"SET", "key", value};
    return outbox.append(arguments, handler, start, &value).ticket;
}

std::string wire_of_set(std::string_view value) { return encoded({"SET", "key", std::string(value)}); }

class Gathered final : public Burst::Sink {
public:
    struct Item : Burst::Item {
        explicit Item(int its_number) : number(its_number) {}
        int number;
    };
    void take(Burst::Item& first, Burst::Item& last, std::size_t count) noexcept override {
        EXPECT_EQ(&last == &first, count == 1);
        const std::size_t before = numbers.size();
        for (Burst::Item* item = &first; item != nullptr; item = item == &last ? nullptr : item->next) {
            numbers.push_back(static_cast<Item*>(item)->number);
        }
        EXPECT_EQ(numbers.size(), before + count);
        ++times;
    }
    std::vector<int> numbers;
    int times = 0;
};

TEST(ShortMutex, IsHeldByOneAtATimeAndWhoSleepsOverItIsWoken) {
    redis::ShortMutex mutex;
    constexpr int rounds = 20'000;
    int count = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < rounds; ++round) {
                const std::scoped_lock lock(mutex);
                ++count;
                if (round % 2000 == i) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); } // the others try, then sleep
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(count, 4 * rounds);
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();
}

TEST(ShortMutex, MayBeDestroyedByWhoHasItNext) {
    for (int round = 0; round < 500; ++round) {
        auto mutex = std::make_unique<redis::ShortMutex>();
        mutex->lock();
        std::thread next([&] {
            mutex->lock();
            mutex->unlock();
            mutex.reset();
        });
        if (round % 2 == 0) { std::this_thread::sleep_for(std::chrono::microseconds(200)); } // `next` sleeps by then
        mutex->unlock();
        next.join();
    }
}

TEST(Burst, HandsOverAtItsEndWhatWasGatheredForOneSink) {
    Gathered sink;
    Gathered other;
    std::vector<Gathered::Item> items;
    for (int i = 0; i < 4; ++i) {
        items.emplace_back(i);
    }
    EXPECT_FALSE(Burst::gather(sink, items[0])) << "nothing gathers here";
    {
        const Burst burst;
        EXPECT_TRUE(Burst::gather(sink, items[0]));
        EXPECT_TRUE(Burst::gather(sink, items[1]));
        EXPECT_FALSE(Burst::gather(other, items[2])) << "another's goes by itself";
        EXPECT_EQ(sink.times, 0);
        {
            const Burst inner;
            EXPECT_TRUE(Burst::gather(other, items[2]));
        }
        EXPECT_EQ(other.numbers, std::vector<int>{2});
        EXPECT_TRUE(Burst::gather(sink, items[3]));
    }
    EXPECT_EQ(sink.numbers, (std::vector<int>{0, 1, 3}));
    EXPECT_EQ(sink.times, 1);
    { const Burst empty; }
    EXPECT_EQ(sink.times, 1);
}

TEST(Outbox, ALargePayloadIsTakenAndNotCopied) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler(1);
    const std::string value(Outbox::least_payload, 'v');
    std::string taken = value;
    std::string copied(Outbox::least_payload - 1, 'c');
    const char* const place = taken.data();
    append(outbox, "before", &handler);
    append_payload(outbox, taken, &handler);
    append(outbox, "behind", &handler);
    append_payload(outbox, copied, &handler);
    EXPECT_TRUE(taken.empty());
    EXPECT_EQ(copied.size(), Outbox::least_payload - 1);

    const std::string expected = wire("before") + wire_of_set(value) + wire("behind") + wire_of_set(copied);
    EXPECT_EQ(outbox.bytes(), expected.size());
    std::string moved;
    bool is_seen = false;
    while (!outbox.empty()) {
        Wire batch;
        EXPECT_EQ(outbox.move_batch(batch, in_flight), 0U);
        for (const Payload& payload : batch.payloads()) {
            is_seen = is_seen || payload.bytes.data() == place;
        }
        moved += joined(batch);
    }
    EXPECT_TRUE(is_seen);
    EXPECT_TRUE(moved == expected);
    EXPECT_EQ(outbox.bytes(), 0U);
    EXPECT_EQ(in_flight.size(), 4U);
}

TEST(Outbox, APayloadThatIsNoArgumentStaysWhereItIs) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    std::string payload(Outbox::least_payload, 'p');
    for (const std::size_t size : {std::size_t{3}, payload.size(), 2 * payload.size()}) {
        const std::string sent(size, 's');
        const std::array<std::string_view, 3> arguments{"SET", "key", sent};
        static_cast<void>(outbox.append(arguments, &handler, start, &payload));
        std::string moved;
        static_cast<void>(move_all(outbox, moved, in_flight));
        EXPECT_TRUE(moved == wire_of_set(sent));
    }
    EXPECT_EQ(payload, std::string(Outbox::least_payload, 'p'));
}

TEST(Outbox, PayloadsShareABatchWithWhatStandsAround) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler(1);
    const std::string value(Outbox::least_payload, 'v');
    std::string expected;
    std::vector<std::string> values(3, value);
    std::vector<Ticket> tickets;
    for (std::string& one : values) {
        tickets.push_back(append(outbox, "before", &handler));
        tickets.push_back(append_payload(outbox, one, &handler));
    }
    EXPECT_EQ(outbox.take(tickets[0]), &handler); // text before a payload
    EXPECT_EQ(outbox.take(tickets[3]), &handler); // a payload between two
    expected = wire_of_set(value) + wire("before") + wire("before") + wire_of_set(value);
    Wire batch;
    EXPECT_EQ(outbox.move_batch(batch, in_flight), wire("before").size() + overhead + wire_of_set(value).size() + overhead_of(3));
    EXPECT_EQ(batch.payloads().size(), 2U);
    EXPECT_TRUE(joined(batch) == expected);
    EXPECT_TRUE(outbox.empty());
    EXPECT_EQ(outbox.bytes(), 0U);
    EXPECT_EQ(in_flight.size(), 4U);
}

TEST(Outbox, APayloadThatIsCancelledBeforeItIsWrittenIsNeverSent) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler(1);
    std::string value(2 * Outbox::least_payload, 'v');
    const std::size_t cost = wire_of_set(value).size() + overhead_of(3);
    const Ticket ticket = append_payload(outbox, value, &handler);
    append(outbox, "behind", &handler);
    EXPECT_EQ(outbox.take(ticket), &handler);

    std::string buffer;
    EXPECT_EQ(move_all(outbox, buffer, in_flight), cost);
    EXPECT_EQ(buffer, wire("behind"));
    EXPECT_EQ(outbox.bytes(), 0U);
    EXPECT_EQ(in_flight.size(), 1U);
}

TEST(Outbox, APayloadCostsTheRoomThatItHas) {
    Outbox outbox;
    Handler handler;
    std::string roomy;
    roomy.reserve(4 * Outbox::least_payload);
    roomy.assign(Outbox::least_payload, 'v');
    const std::size_t room = roomy.capacity() - roomy.size();
    const std::string value = roomy;
    const std::array<std::string_view, 3> arguments{"SET", "key", roomy};
    const PendingCommand& command = outbox.append(arguments, &handler, start, &roomy);
    EXPECT_EQ(command.bytes, wire_of_set(value).size());
    EXPECT_EQ(command.cost, command.bytes + room + overhead_of(3));
}

TEST(Outbox, ACommandCostsMoreThanItsBytesAndMoreForEachOfManyArguments) {
    Outbox outbox;
    const std::vector<std::string_view> many(500, "key");
    EXPECT_EQ(append(outbox, "x", nullptr), 1U);
    const PendingCommand& command = outbox.append(many, nullptr, start);
    EXPECT_GT(command.bytes, 500U * 9);
    EXPECT_GT(command.cost, command.bytes + 500U * 100);
    std::vector<ReplyHandler*> handlers;
    EXPECT_EQ(outbox.take_all(handlers), wire("x").size() + overhead + 500U * 9 + 6 + overhead_of(500));
}

TEST(InFlight, OwingALotOfRepliesThatNobodyWaitsForCostsNothingEachTime) {
    InFlight in_flight;
    Handler handler;
    constexpr Ticket count = 300'000;
    for (Ticket ticket = 1; ticket <= count; ++ticket) {
        in_flight.push({&handler, ticket, start, 1, 1, false});
    }
    std::vector<ReplyHandler*> expired;
    in_flight.take_expired(start, expired);
    EXPECT_EQ(expired.size(), count);
    in_flight.push({&handler, count + 1, start + 1ms, 1, 1, false});
    // Looked at one by one each time, this would be 90,000,000,000 steps.
    for (Ticket ticket = 1; ticket <= count; ++ticket) {
        ASSERT_EQ(in_flight.next_deadline(), start + 1ms);
        expired.clear();
        in_flight.take_expired(start, expired);
        ASSERT_TRUE(expired.empty());
        ASSERT_EQ(in_flight.pop().ticket, ticket);
    }
    EXPECT_EQ(in_flight.next_deadline(), start + 1ms);
    EXPECT_EQ(in_flight.pop().handler, &handler);
    EXPECT_EQ(in_flight.next_deadline(), std::nullopt);
}

/// Looks at what is kept.
class Keeping : public InFlight {
public:
    [[nodiscard]] std::size_t kept() const {
        std::size_t count = 0;
        for (const Batch& batch : batches_) {
            count += batch.written.size();
        }
        return count;
    }
};

TEST(InFlight, KeepsWhatWasWrittenUntilTheLastReplyOfItsBatch) {
    Outbox outbox;
    Keeping in_flight;
    Handler handler;
    const auto send = [&](std::size_t values) {
        for (std::size_t i = 0; i < values; ++i) {
            std::string value(Outbox::least_payload, 'v');
            append_payload(outbox, value, &handler);
        }
        Wire batch;
        static_cast<void>(outbox.move_batch(batch, in_flight));
        in_flight.keep(batch.take_payloads());
        in_flight.keep({}); // nothing was written meanwhile
    };
    send(2);
    send(1);
    EXPECT_EQ(in_flight.kept(), 3U);
    static_cast<void>(in_flight.pop());
    EXPECT_EQ(in_flight.kept(), 3U);
    static_cast<void>(in_flight.pop());
    EXPECT_EQ(in_flight.kept(), 1U);
    static_cast<void>(in_flight.pop());
    EXPECT_EQ(in_flight.kept(), 0U);
    in_flight.keep(std::vector<Payload>(1)); // its replies came first
    EXPECT_EQ(in_flight.kept(), 0U);

    send(1);
    std::vector<ReplyHandler*> handlers;
    static_cast<void>(in_flight.take_all(handlers));
    EXPECT_EQ(in_flight.kept(), 0U);
}

TEST(InFlight, ACancelledCommandStaysUntilItsReply) {
    Outbox outbox;
    InFlight in_flight;
    Handler first;
    Handler second;
    std::string buffer;
    const Ticket one = append(outbox, "one", &first);
    append(outbox, "two", &second);
    static_cast<void>(move_all(outbox, buffer, in_flight));

    EXPECT_EQ(in_flight.take(one), &first);

    EXPECT_EQ(in_flight.take(one), nullptr);
    EXPECT_FALSE(in_flight.empty());
    const PendingCommand swallowed = in_flight.pop();
    EXPECT_EQ(swallowed.handler, nullptr);
    EXPECT_FALSE(swallowed.is_unattended);
    EXPECT_EQ(swallowed.ticket, one);
    EXPECT_EQ(in_flight.pop().handler, &second);
}

TEST(InFlight, KnowsNoTicketThatIsNotItsOwn) {
    Outbox outbox;
    InFlight in_flight;
    Handler handler;
    std::string buffer;
    EXPECT_EQ(in_flight.take(1), nullptr);
    const Ticket one = append(outbox, "one", &handler);
    const Ticket two = append(outbox, "two", &handler);
    const Ticket three = append(outbox, "three", &handler);
    static_cast<void>(outbox.take(two));
    static_cast<void>(move_all(outbox, buffer, in_flight));
    EXPECT_EQ(in_flight.take(two), nullptr);
    EXPECT_EQ(in_flight.take(0), nullptr);
    EXPECT_EQ(in_flight.take(three + 1), nullptr);
    static_cast<void>(in_flight.pop());
    EXPECT_EQ(in_flight.take(one), nullptr);
    EXPECT_EQ(in_flight.take(three), &handler);
}

TEST(InFlight, DeadlinesExpireAtTheirTimeAndInOrder) {
    InFlight in_flight;
    Handler handlers[3];
    for (int i = 0; i < 3; ++i) {
        in_flight.push({&handlers[i], static_cast<Ticket>(i + 1), start + i * 10ms, 1, 1, false});
    }
    std::vector<ReplyHandler*> expired;
    EXPECT_EQ(in_flight.next_deadline(), start);

    in_flight.take_expired(start - 1ns, expired);
    EXPECT_TRUE(expired.empty());
    in_flight.take_expired(start + 10ms, expired);
    EXPECT_EQ(expired, (std::vector<ReplyHandler*>{&handlers[0], &handlers[1]}));
    EXPECT_EQ(in_flight.next_deadline(), start + 20ms);
    in_flight.take_expired(start + 10ms, expired);
    EXPECT_EQ(expired.size(), 2U);
    EXPECT_EQ(in_flight.take(3), &handlers[2]);
    EXPECT_EQ(in_flight.next_deadline(), std::nullopt);
    EXPECT_FALSE(in_flight.empty());
}

/// What the books say, kept in the plainest way.
struct Model {
    struct Command {
        Ticket ticket;
        int number;
        TimePoint deadline;
        std::string bytes;
        bool has_handler;
        bool is_unattended;
    };
    std::deque<Command> waiting;
    std::deque<Command> written;
    std::size_t counted = 0;

    static int take(std::deque<Command>& commands, Ticket ticket) {
        for (Command& command : commands) {
            if (command.ticket == ticket && command.has_handler) {
                command.has_handler = false;
                return command.number;
            }
        }
        return 0;
    }
    static std::vector<int> take_expired(std::deque<Command>& commands, TimePoint now) {
        std::vector<int> expired;
        for (Command& command : commands) {
            if (command.has_handler && command.deadline <= now) {
                command.has_handler = false;
                expired.push_back(command.number);
            }
        }
        return expired;
    }
};

std::vector<int> numbers(const std::vector<ReplyHandler*>& handlers) {
    std::vector<int> result;
    for (const ReplyHandler* const handler : handlers) {
        result.push_back(static_cast<const Handler*>(handler)->number());
    }
    return result;
}

TEST(Pipeline, BehavesAsItsModelUnderRandomCalls) {
    std::mt19937 random(11);
    const auto below = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
    std::deque<Handler> handlers;
    handlers.emplace_back(0);
    Outbox outbox;
    InFlight in_flight;
    Model model;
    TimePoint now = start;
    std::size_t counted = 0;
    Ticket last = 0;
    int sent = 0;
    int swallowed = 0;
    for (int round = 0; round < 50'000; ++round) {
        now += std::chrono::milliseconds(below(2));
        switch (below(16)) {
        default: {
            std::string argument(below(200) == 0 ? Outbox::least_payload + below(9'000) : below(40), static_cast<char>('a' + below(26)));
            const std::string kept = argument;
            const bool is_unattended = below(8) == 0;
            handlers.emplace_back(static_cast<int>(handlers.size()));
            const std::size_t before = outbox.bytes();
            const std::string_view one(argument);
            last = outbox.append(std::span(&one, 1), is_unattended ? nullptr : &handlers.back(), now + 20ms, &argument).ticket;
            counted += outbox.bytes() - before + overhead;
            model.waiting.push_back({last, handlers.back().number(), now + 20ms, wire(kept), !is_unattended, is_unattended});
            model.counted += wire(kept).size() + overhead;
            break;
        }
        case 0:
        case 1:
        case 2: {
            const Ticket ticket = last - std::min<Ticket>(last, below(40));
            const auto* const taken = static_cast<Handler*>(outbox.take(ticket));
            ASSERT_EQ(taken == nullptr ? 0 : taken->number(), Model::take(model.waiting, ticket));
            const auto* const written = static_cast<Handler*>(in_flight.take(ticket));
            ASSERT_EQ(written == nullptr ? 0 : written->number(), Model::take(model.written, ticket));
            break;
        }
        case 3: {
            std::string buffer;
            std::string expected;
            counted -= move_all(outbox, buffer, in_flight);
            for (Model::Command& command : model.waiting) {
                if (command.has_handler || command.is_unattended) {
                    expected += command.bytes;
                    model.written.push_back(command);
                    ++sent;
                } else {
                    model.counted -= command.bytes.size() + overhead;
                }
            }
            model.waiting.clear();
            ASSERT_TRUE(buffer == expected);
            break;
        }
        case 4:
        case 5:
            for (std::size_t i = below(10); i > 0 && !in_flight.empty(); --i) {
                ASSERT_FALSE(model.written.empty());
                const PendingCommand command = in_flight.pop();
                const Model::Command expected = model.written.front();
                model.written.pop_front();
                ASSERT_EQ(command.ticket, expected.ticket);
                ASSERT_EQ(command.handler != nullptr, expected.has_handler);
                ASSERT_EQ(command.is_unattended, expected.is_unattended);
                if (command.handler == nullptr && !command.is_unattended) { ++swallowed; }
                counted -= command.cost;
                model.counted -= expected.bytes.size() + overhead;
            }
            break;
        case 6: {
            std::vector<ReplyHandler*> expired;
            outbox.take_expired(now, expired);
            ASSERT_EQ(numbers(expired), Model::take_expired(model.waiting, now));
            expired.clear();
            in_flight.take_expired(now, expired);
            ASSERT_EQ(numbers(expired), Model::take_expired(model.written, now));
            break;
        }
        case 7:
            if (below(20) == 0) {
                std::vector<ReplyHandler*> all;
                counted -= in_flight.take_all(all);
                counted -= outbox.take_all(all);
                std::vector<int> expected;
                for (auto* const commands : {&model.written, &model.waiting}) {
                    for (const Model::Command& command : *commands) {
                        if (command.has_handler) { expected.push_back(command.number); }
                    }
                    commands->clear();
                }
                model.counted = 0;
                ASSERT_EQ(numbers(all), expected);
            }
            break;
        }
        ASSERT_EQ(counted, model.counted);
        ASSERT_EQ(outbox.empty(), model.waiting.empty());
        ASSERT_EQ(in_flight.empty(), model.written.empty());
    }
    EXPECT_GT(sent, 1'000);
    EXPECT_GT(swallowed, 100);
}

// Handshake.

Reply status(std::string_view text) {
    Reply reply;
    reply.set_text(Reply::Kind::status, text);
    return reply;
}

Reply error(std::string_view text) {
    Reply reply;
    reply.set_text(Reply::Kind::error, text);
    return reply;
}

ConnectionOptions full_options() {
    ConnectionOptions options;
    options.username = "app";
    options.password = "s3cret";
    options.database = 3;
    options.client_name = "worker-1";
    return options;
}

using Progress = Handshake::Progress;

std::string commands(const std::vector<std::vector<std::string_view>>& all) {
    Bytes bytes;
    for (const auto& command : all) {
        append_command(bytes, command);
    }
    return std::string(bytes.view());
}

TEST(Handshake, SaysWhatTheOptionsAskForAndPingWhereNothingIsDue) {
    ConnectionOptions options;
    EXPECT_EQ(Handshake(options).bytes(), commands({{"PING"}}));
    options.database = 0;
    EXPECT_EQ(Handshake(options).bytes(), commands({{"PING"}}));
    options.database = 15;
    EXPECT_EQ(Handshake(options).bytes(), commands({{"SELECT", "15"}}));
    options.client_name = "me";
    EXPECT_EQ(Handshake(options).bytes(), commands({{"SELECT", "15"}, {"CLIENT", "SETNAME", "me"}}));
    options.database.reset();
    EXPECT_EQ(Handshake(options).bytes(), commands({{"CLIENT", "SETNAME", "me"}}));
    EXPECT_EQ(Handshake(full_options()).bytes(), commands({{"AUTH", "app", "s3cret"}, {"SELECT", "3"}, {"CLIENT", "SETNAME", "worker-1"}}));
}

TEST(Handshake, AuthenticatesWithAUserOnlyWhereThereIsOne) {
    ConnectionOptions options;
    options.password = "s3cret";
    EXPECT_EQ(Handshake(options).bytes(), commands({{"AUTH", "s3cret"}}));
    options.username = "app";
    EXPECT_EQ(Handshake(options).bytes(), commands({{"AUTH", "app", "s3cret"}}));
    options.password.reset();
    EXPECT_EQ(Handshake(options).bytes(), commands({{"AUTH", "app", ""}}));
}

TEST(Handshake, IsBinarySafe) {
    ConnectionOptions options;
    options.username = "a b\r\n";
    options.password = std::string("p\0w", 3);
    EXPECT_EQ(Handshake(options).bytes(), commands({{"AUTH", "a b\r\n", std::string_view("p\0w", 3)}}));
}

TEST(Handshake, IsDoneWhenEveryAnswerIsThere) {
    Handshake handshake(full_options());
    EXPECT_EQ(handshake.next(status("OK")), Progress::waiting);
    EXPECT_EQ(handshake.next(status("OK")), Progress::waiting);
    EXPECT_EQ(handshake.next(status("OK")), Progress::done);
    EXPECT_TRUE(handshake.problem().empty());

    Handshake ping{ConnectionOptions()};
    EXPECT_EQ(ping.next(status("PONG")), Progress::done);
}

TEST(Handshake, ARefusedPasswordNamesTheUserAndNeverThePassword) {
    for (const char* const answer :
         {"WRONGPASS invalid username-password pair or user is disabled.", "ERR invalid password", "NOAUTH Authentication required.",
          "ERR Client sent AUTH, but no password is set", "ERR wrong number of arguments for 'auth' command",
          "ERR unknown command `AUTH`, with args beginning with: `app`, `s3cret`, ",
          "ERR unknown command 'AUTH', with args beginning with: 'app' 's3cret' ", "LOADING Redis is loading the dataset in memory"}) {
        Handshake handshake(full_options());
        EXPECT_EQ(handshake.next(error(answer)), Progress::refused);
        EXPECT_NE(handshake.problem().find("app"), std::string::npos) << handshake.problem();
        EXPECT_NE(handshake.problem().find("AUTH"), std::string::npos) << handshake.problem();
        EXPECT_NE(handshake.problem().find(std::string_view(answer).substr(0, 6)), std::string::npos) << handshake.problem();
        EXPECT_EQ(handshake.problem().find("s3cret"), std::string::npos) << handshake.problem();
    }
}

TEST(Handshake, APasswordThatTheServerRepeatsIsNotInTheProblem) {
    for (const char* const answer : {"ERR invalid password s3cret", "ERR AUTH app s3cret: no such user", "s3cret"}) {
        Handshake handshake(full_options());
        EXPECT_EQ(handshake.next(error(answer)), Progress::refused);
        EXPECT_EQ(handshake.problem().find("s3cret"), std::string::npos) << handshake.problem();
    }
}

TEST(Handshake, ARefusedPasswordWithoutAUserNamesTheDefaultUser) {
    ConnectionOptions options;
    options.password = "s3cret";
    Handshake handshake(options);
    EXPECT_EQ(handshake.next(error("WRONGPASS no")), Progress::refused);
    EXPECT_NE(handshake.problem().find("\"default\""), std::string::npos) << handshake.problem();
    EXPECT_EQ(handshake.problem().find("s3cret"), std::string::npos) << handshake.problem();
}

TEST(Handshake, TheProblemIsFitForALogLine) {
    ConnectionOptions options = full_options();
    options.username = "a\nb\x01";
    Handshake handshake(options);
    EXPECT_EQ(handshake.next(error("ERR a\nb\x7f" + std::string(10'000, 'x'))), Progress::refused);
    EXPECT_EQ(handshake.problem().find_first_of("\n\x01\x7f"), std::string::npos) << handshake.problem();
    EXPECT_LT(handshake.problem().size(), 1000U);
}

TEST(Handshake, ARefusedDatabaseIsARefusal) {
    Handshake handshake(full_options());
    EXPECT_EQ(handshake.next(status("OK")), Progress::waiting);
    EXPECT_EQ(handshake.next(error("ERR DB index is out of range")), Progress::refused);
    EXPECT_EQ(handshake.problem(), "SELECT was refused: ERR DB index is out of range");
}

TEST(Handshake, ARefusedNameIsHarmless) {
    for (const char* const answer : {"ERR unknown subcommand 'SETNAME'", "NOPERM this user has no permissions", "ERR unknown command"}) {
        Handshake handshake(full_options());
        static_cast<void>(handshake.next(status("OK")));
        static_cast<void>(handshake.next(status("OK")));
        EXPECT_EQ(handshake.next(error(answer)), Progress::done) << answer;
    }
}

TEST(Handshake, ANameRefusedForWhatTheServerIsIsARefusal) {
    for (const char* const answer :
         {"NOAUTH Authentication required.", "LOADING Redis is loading the dataset in memory", "MASTERDOWN Link"}) {
        ConnectionOptions options;
        options.client_name = "me";
        Handshake handshake(options);
        EXPECT_EQ(handshake.next(error(answer)), Progress::refused) << answer;
        EXPECT_NE(handshake.problem().find("CLIENT SETNAME"), std::string::npos);
    }
}

TEST(Handshake, ARefusedPingIsARefusal) {
    for (const char* const answer : {"NOAUTH Authentication required.", "LOADING Redis is loading", "MASTERDOWN Link with MASTER is down",
                                     "DENIED Redis is running in protected mode", "ERR max number of clients reached"}) {
        Handshake handshake{ConnectionOptions()};
        EXPECT_EQ(handshake.next(error(answer)), Progress::refused) << answer;
        EXPECT_EQ(handshake.problem(), "PING was refused: "s + answer);
    }
}

TEST(Handshake, APingRefusedByAServerThatServesReadsIsHarmless) {
    for (const char* const answer : {"MISCONF Redis is configured to save RDB snapshots", "NOPERM this user has no permissions"}) {
        Handshake handshake{ConnectionOptions()};
        EXPECT_EQ(handshake.next(error(answer)), Progress::done) << answer;
    }
}

TEST(Handshake, AnAnswerOfAnotherKindIsARefusal) {
    Reply integer;
    integer.set_integer(Reply::Kind::integer, 1);
    Reply text;
    text.set_text(Reply::Kind::string, "OK");
    Reply array;
    array.set_kind(Reply::Kind::array);
    for (const Reply& answer : {integer, text, array, Reply(), status("QUEUED"), status("PONG"), status("ok"), status("OK ")}) {
        for (int stage = 0; stage < 3; ++stage) {
            Handshake handshake(full_options());
            for (int i = 0; i < stage; ++i) {
                static_cast<void>(handshake.next(status("OK")));
            }
            EXPECT_EQ(handshake.next(answer), Progress::refused) << stage;
            EXPECT_FALSE(handshake.problem().empty());
        }
    }
    Handshake ping{ConnectionOptions()};
    EXPECT_EQ(ping.next(status("OK")), Progress::refused);
}

// Target.

TEST(Target, IsFitForALogLine) {
    Url url;
    url.host = "ho\nst";
    url.port = 6380;
    EXPECT_EQ(Target(url).text(), "ho\\x0ast:6380");
    EXPECT_FALSE(Target(url).is_socket_path());
    url.path = "/run/\x01.sock";
    EXPECT_EQ(Target(url).text(), "/run/\\x01.sock");
    EXPECT_TRUE(Target(url).is_socket_path());
}

// The strand.

namespace asio = boost::asio;
using luzia::redis::Strand;
using luzia::redis::Task;

TEST(Strand, RunsTasksInTheirOrderAndWhatComesMeanwhileBehindThem) {
    asio::io_context io;
    const auto strand = std::make_shared<Strand>(io.get_executor());
    std::string order;
    strand->post([&] {
        order += 'a';
        strand->dispatch([&] { order += 'c'; });
        EXPECT_EQ(order, "0a");
    });
    strand->post([&] { order += 'b'; });
    strand->dispatch([&] { order += 'x'; });
    EXPECT_EQ(order, "");
    Task first([&] {
        order += '0';
        Task busy([&] { order += 'y'; });
        EXPECT_TRUE(strand->overtake(busy));
        EXPECT_EQ(order, "0");
    });
    EXPECT_TRUE(strand->overtake(first));
    EXPECT_EQ(order, "0abxy"); // with what waited, once: others of the executor come before the rest
    io.run();
    EXPECT_EQ(order, "0abxyc");
    strand->dispatch([&] { order += 'd'; });
    EXPECT_EQ(order, "0abxycd");
}

TEST(Strand, WhatATaskThrowsIsNoLossToThoseBehindIt) {
    asio::io_context io;
    const auto strand = std::make_shared<Strand>(io.get_executor());
    bool has_run = false;
    strand->post([] { throw 1; });
    strand->post([&] { has_run = true; });
    EXPECT_THROW(io.run(), int);
    io.run();
    EXPECT_TRUE(has_run);
}

TEST(Strand, WhatFollowsRunsBehindItAndOnlyOnItsExecutor) {
    asio::io_context io;
    asio::io_context other;
    const auto strand = std::make_shared<Strand>(io.get_executor());
    std::string order;
    Task outside([] {});
    EXPECT_FALSE(Strand::follow(io.get_executor(), outside));
    strand->dispatch([&] {
        Task task([&] {
            order += 'b';
            Task inside([] {});
            EXPECT_FALSE(Strand::follow(io.get_executor(), inside)); // what follows may take its time
            strand->dispatch([&] { order += 'c'; });                 // the strand is free
        });
        EXPECT_FALSE(Strand::follow(other.get_executor(), task));
        EXPECT_TRUE(Strand::follow(io.get_executor(), task));
        Task second([] {});
        EXPECT_FALSE(Strand::follow(io.get_executor(), second));
        order += 'a';
    });
    EXPECT_EQ(order, "abc");
}

TEST(Strand, NothingFollowsInsideACallThatOvertakes) {
    asio::io_context io;
    const auto strand = std::make_shared<Strand>(io.get_executor());
    bool has_followed = false;
    const auto follow = [&] {
        Task task([] {});
        has_followed = has_followed || Strand::follow(io.get_executor(), task);
    };
    strand->post(follow);
    Task overtaking(follow);
    EXPECT_TRUE(strand->overtake(overtaking));
    EXPECT_FALSE(has_followed);
}

TEST(Strand, RunsOneTaskAtATime) {
    asio::thread_pool pool(4);
    const auto strand = std::make_shared<Strand>(pool.get_executor());
    int count = 0; // ThreadSanitizer watches
    for (int i = 0; i < 2000; ++i) {
        asio::post(pool, [&] { strand->dispatch([&] { ++count; }); });
        strand->post([&] { ++count; });
    }
    pool.join();
    EXPECT_EQ(count, 4000);
}

/// Notes how much is asked for, and brings nothing.
class NotingTransport final : public Transport {
public:
    explicit NotingTransport(std::vector<std::size_t>& asked) : asked_(&asked) {}
    void connect(const Endpoint&, TransportCallback) override {}
    void secure(TransportCallback) override {}
    void read_some(asio::mutable_buffer buffer, TransportCallback) override { asked_->push_back(buffer.size()); }
    void write_some(asio::const_buffer, TransportCallback) override {}
    bool has_unread() override { return false; }
    void close() noexcept override {}

private:
    std::vector<std::size_t>* asked_;
};

/// A link whose reads are noted.
class Link : public testing::Test {
protected:
    static constexpr std::size_t usual = ReadSize::usual;
    static constexpr std::size_t large = ReadSize::largest;

    /// What the read under way brings, and the next one; so many replies are due then.
    void read(std::size_t bytes, std::size_t replies, std::size_t due = 0) {
        static_cast<void>(link->fit_read_size(bytes, replies, due));
        link->read();
    }
    /// Of a string that is so long only the beginning has come.
    void begin_string(std::size_t size, std::size_t missing) {
        EXPECT_FALSE(receive("$" + std::to_string(size) + "\r\n" + std::string(size + 2 - missing, 'v')));
    }
    /// Whether that completes a reply.
    [[nodiscard]] bool receive(std::string bytes) {
        received = std::move(bytes);
        EXPECT_FALSE(link->reader.feed(received));
        error_code error;
        const bool is_complete = link->reader.next(error) != nullptr;
        EXPECT_FALSE(error);
        return is_complete;
    }

    std::vector<std::size_t> asked;
    std::string received;
    const std::shared_ptr<redis::Link> link =
        std::make_shared<redis::Link>(std::make_unique<NotingTransport>(asked), hiredis::ReaderLimits(), nullptr);
};

TEST_F(Link, ReadsMuchAtOnceWhereRepliesAreLarge) {
    link->read();
    read(usual - 1, 0);
    read(usual, 160); // more of the same waits: a part of it at a time
    read(usual, 3);
    read(usual, 0);
    read(large, 0);
    read(large, 2);
    read(large - 1, 2);
    read(900, 9);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, usual, usual, usual, large, large, large, large, usual}));
}

TEST_F(Link, ReadsAQuarterOfTheSmallRepliesThatAreUnderWay) {
    link->read();
    read(16'000, 160, 600);
    read(16'000, 160, 800);
    read(16'000, 16, 80);
    read(20'000, 20, 10'000);
    read(64'000, 640, 0);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, usual, 20'000, 20'000, large, usual}));
}

TEST_F(Link, ReadsMuchAtOnceWhereItIsBehind) {
    link->read();
    link->catch_up(); // while one is under way
    read(usual, 160);
    read(large, 600);     // there may be more
    read(large - 1, 600); // that was all
    link->catch_up();
    read(usual - 1, 160); // it was not behind
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, large, large, usual, usual}));
}

TEST_F(Link, JudgesAReplyByAllOfItAndNotByItsEnd) {
    link->read();
    read(usual, 0);
    read(14'000, 1);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, large, large}));
}

TEST_F(Link, ReadsNoFurtherThanTheEndOfALargeString) {
    link->read();
    begin_string(large, large);
    read(usual, 0);
    EXPECT_FALSE(receive(std::string(large - 1000, 'v')));
    read(large, 0);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, large, 1000}));
}

TEST_F(Link, ReadsALittleMoreWhereThatEndsALargeString) {
    link->read();
    begin_string(2 * large, large + ReadSize::tail + 1);
    read(usual, 0);
    EXPECT_FALSE(receive("v"));
    read(1, 0);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, large, ReadSize::most}));
}

TEST_F(Link, ReadsNoMoreThanUsualOnceWhereReadsAreShort) {
    link->read();
    begin_string(large, usual + 1);
    read(usual - 1, 0);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, usual}));
}

TEST_F(Link, ExpectsMoreUnlessAReplyCameAlone) {
    link->read();
    EXPECT_FALSE(link->fit_read_size(100, 1, 7));
    EXPECT_TRUE(link->fit_read_size(200, 2, 0));
    EXPECT_TRUE(link->fit_read_size(50, 0, 7));
    EXPECT_TRUE(link->fit_read_size(usual, 1, 7));  // there was room for no more
    EXPECT_FALSE(link->fit_read_size(usual, 1, 0)); // and nothing is due
    begin_string(large, 1000);
    link->read();
    EXPECT_TRUE(link->fit_read_size(1000, 1, 7)); // it was to end there
    EXPECT_FALSE(link->fit_read_size(1000, 1, 0));
}

TEST_F(Link, AShortReadThatEndsAStringSaysNothingOfTheNextOne) {
    link->read();
    begin_string(large, 1000);
    read(usual, 0);
    EXPECT_TRUE(receive(std::string(998, 'v') + "\r\n"));
    read(1000, 1);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, 1000, large}));
}

TEST_F(Link, ReadsPastTheEndOfAStringThatIsNotLarge) {
    link->read();
    begin_string(large - 1, 1000);
    read(usual, 0);
    EXPECT_EQ(asked, (std::vector<std::size_t>{usual, large}));
}

TEST(Strand, WhatWaitsWhenTheContextGoesIsLetGo) {
    const auto alive = std::make_shared<int>();
    {
        asio::io_context io;
        const auto strand = std::make_shared<Strand>(io.get_executor());
        strand->post([alive, strand] { FAIL() << "nobody runs"; });
    }
    EXPECT_EQ(alive.use_count(), 1);
}

} // namespace
} // namespace luzia::redis
