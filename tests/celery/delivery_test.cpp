// Between claim and end of a delivery: links that are slow or lose answers, keys of another type, contexts and workers that go.
#include "../support/gate.hpp"
#include "../support/run.hpp"
#include "../support/running_worker.hpp"

#include <luzia/celery/client.hpp>

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;

TEST(CeleryDelivery, ASlowLinkBringsLargeMessages) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    gate.throttle(Way::to_client, 50'000, 50ms); // at most 1 MB a second
    constexpr int count = 3;
    for (int i = 0; i < count; ++i) {
        books.push("cpp.length", "large-" + std::to_string(i), Json::array({std::string(750'000, 'x')}));
    }
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.prefetch = 64;
    options.timeout = 500ms;
    std::atomic<int> runs{0};
    RunningWorker worker(options, [&](celery::Worker& self) {
        self.task("cpp.length", [&](const std::string& text) {
            ++runs;
            return text.size();
        });
    });
    for (int i = 0; i < count; ++i) {
        EXPECT_TRUE(holds_soon([&] { return books.has_result("large-" + std::to_string(i)); })) << i << "\n" << log.all();
    }
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(runs, count);
    EXPECT_EQ(worker.stats().lost, 0U);
}

TEST(CeleryDelivery, AClaimThatTakesLongerThanItMayIsNotMadeAgain) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    gate.throttle(Way::to_client, 20'000, 100ms); // 256 KiB take 1.3 s
    constexpr int count = 8;
    for (int i = 0; i < count; ++i) {
        books.push("cpp.length", "m-" + std::to_string(i), Json::array({std::string(60'000, 'x')}));
    }
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.prefetch = 64;
    options.timeout = 400ms;
    std::atomic<int> runs{0};
    RunningWorker worker(options, [&](celery::Worker& self) {
        self.task("cpp.length", [&](const std::string& text) {
            ++runs;
            return text.size();
        });
    });
    for (int i = 0; i < count; ++i) {
        EXPECT_TRUE(holds_soon([&] { return books.has_result("m-" + std::to_string(i)); })) << i << "\n" << log.all();
    }
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(runs, count);
    EXPECT_GT(log.count("claim"), 0U) << "the link was not slow enough";
}

TEST(CeleryDelivery, WhatAClaimTookIsFoundWhenItsAnswerIsLost) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.timeout = 3s;
    options.poll_interval = 50ms;
    RunningWorker worker(options);
    books.push("cpp.add", "first", Json::array({1, 2}));
    ASSERT_TRUE(holds_soon([&] { return books.has_result("first") && books.left().empty(); }));
    gate.stall(Way::to_server); // one of its looks, every 50 ms, is on its way
    std::this_thread::sleep_for(300ms);
    books.push("cpp.add", "second", Json::array({1, 2}));
    gate.stall(Way::to_client);
    gate.flow(Way::to_server);
    ASSERT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "1"; })) << log.all();
    gate.reset();
    gate.heal();
    // The visibility timeout is an hour.
    EXPECT_TRUE(holds_soon([&] { return books.has_result("second"); })) << log.all();
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().succeeded, 2U);
}

TEST(CeleryDelivery, LargeMessagesThatWereNotReadAreGivenBack) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    gate.throttle(Way::to_client, 5'000, 50ms);
    for (int i = 0; i < 3; ++i) {
        books.push("cpp.length", "large-" + std::to_string(i), Json::array({std::string(750'000, 'x')}));
    }
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.broker_url = gate.url() + "/0";
    options.stop_grace = 20s;
    RunningWorker worker(options);
    ASSERT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "3"; }));
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "0") << log.all();
    EXPECT_EQ(std::stoul(books.broker({"LLEN", "cpp"})) + worker.stats().failed, 3U);
}

TEST(CeleryDelivery, WhatFollowsIsSentOnceHoweverOftenTheAnswerIsLost) {
    for (const bool is_one_database : {false, true}) {
        for (const std::string what : {"callback", "retry", "chord"}) {
            SCOPED_TRACE(what + (is_one_database ? ", one database" : ", two databases"));
            const LogLines log;
            RedisServer server;
            Gate gate(server.port());
            Books books(server);
            celery::WorkerOptions options = worker_options(server.url(), log);
            options.broker_url = gate.url() + (is_one_database ? "/1" : "/0");
            if (is_one_database) { options.result_backend = options.broker_url; }
            options.timeout = 150ms;
            std::atomic<bool> may_end{false};
            std::atomic<int> runs{0};
            std::atomic<int> followers{0};
            RunningWorker worker(options, [&](celery::Worker& self) {
                celery::TaskSettings settings;
                settings.retry_on_failure = what == "retry";
                settings.max_retries = 1;
                settings.retry_backoff = 1ms;
                self.task(
                    "cpp.waits",
                    [&](celery::TaskContext& context) -> asio::awaitable<int> {
                        ++runs;
                        asio::steady_timer timer(co_await asio::this_coro::executor);
                        while (!may_end) {
                            timer.expires_after(1ms);
                            co_await timer.async_wait(asio::use_awaitable);
                        }
                        if (what == "retry" && context.retries() == 0) { throw std::runtime_error("once"); }
                        co_return 1;
                    },
                    settings);
                self.task("cpp.follows", [&](const celery::Arguments&) { ++followers; });
            });
            Json embed = Json::object();
            if (what == "callback") { embed["callbacks"] = Json::array({signature_of("cpp.follows", "f", Json::array())}); }
            if (what == "chord") {
                embed["chord"] = signature_of("cpp.follows", "f", Json::array());
                books.results({"SET", "celery-taskset-meta-g.s", "1"});
            }
            const std::string message = envelope_with("cpp.waits", "a", Json::array(), embed, [&](celery::Message& made) {
                if (what != "chord") { return; }
                made.group = "g";
                made.group_index = 0;
            });
            static_cast<void>(is_one_database ? books.results({"LPUSH", "cpp", message}) : books.broker({"LPUSH", "cpp", message}));
            ASSERT_TRUE(holds_soon([&] { return runs == 1; })) << log.all();
            gate.stall(Way::to_client); // what is asked is done, and nobody hears of it
            may_end = true;
            std::this_thread::sleep_for(700ms);
            gate.reset();
            gate.heal();
            EXPECT_TRUE(holds_soon([&] { return books.result("a").state == "SUCCESS"; })) << log.all();
            if (what != "retry") {
                EXPECT_TRUE(holds_soon([&] { return followers > 0; })) << log.all();
            }
            const std::string database = is_one_database ? "1" : "0";
            EXPECT_TRUE(holds_soon([&] {
                static_cast<void>(server.command({"SELECT", database}));
                return server.command({"HLEN", "unacked"}) == "0" && server.command({"LLEN", "cpp"}) == "0";
            }));
            std::this_thread::sleep_for(50ms);
            EXPECT_FALSE(worker.stop());
            EXPECT_EQ(followers, what == "retry" ? 0 : 1);
            EXPECT_EQ(runs, what == "retry" ? 2 : 1);
            EXPECT_EQ(worker.stats().lost, 0U);
            static_cast<void>(server.command({"SELECT", database}));
            // That of a chord stays for who may be slower; the others go with what they are about.
            EXPECT_EQ(server.plain().list({"KEYS", "luzia-sent:*"}),
                      what == "chord" ? std::vector<std::string>{"luzia-sent:chord:g"} : std::vector<std::string>());
        }
    }
}

TEST(CeleryDelivery, KeysOfAnotherTypeLoseNothing) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.queues = {"odd", "cpp"};
    books.broker({"SET", "odd", "no list"});
    books.broker({"SET", "nowhere", "no list"});
    books.broker({"SET", "luzia.dead-letter", "no list"});
    books.broker({"LPUSH", "cpp", "no JSON at all"});
    books.results({"HSET", "celery-task-meta-stored", "a", "hash"});
    RunningWorker worker(options);
    // Where nothing can be put away, it stays.
    ASSERT_TRUE(holds_soon([&] { return log.count("claimed") > 0; })) << log.all();
    EXPECT_EQ(books.broker({"LLEN", "cpp"}), "1");
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "0");
    books.broker({"DEL", "luzia.dead-letter"});
    books.push("cpp.add", "stored", Json::array({1, 2}));
    EXPECT_TRUE(holds_soon([&] { return books.result("stored").value == 3; })) << log.all(); // the odd one does not stop the other
    EXPECT_EQ(books.broker({"LLEN", "luzia.dead-letter"}), "1");
    // What follows has a queue that is none.
    const Json embed = Json::object({{"callbacks", Json::array({signature_of("py.add", "f", Json::array({1}), "nowhere")})}});
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "leads", Json::array({2, 2}), embed)});
    EXPECT_TRUE(holds_soon([&] { return books.result("leads").value == 4; })) << log.all();
    EXPECT_TRUE(holds_soon([&] { return books.broker({"LLEN", "luzia.dead-letter"}) == "2"; }));
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_EQ(books.broker({"GET", "nowhere"}), "no list");
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, NothingButResultsIsTouchedWhereTheResultsAre) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    books.results({"SET", "unacked", "somebody else's"});
    books.results({"ACL", "SETUSER", "results", "on", ">secret", "~celery-task*", "&celery-task*", "+@all"}); // enough for Celery
    books.results({"SET", "celery-taskset-meta-g.s", "1"});
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.result_backend = "redis://results:secret@127.0.0.1:" + std::to_string(server.port()) + "/1";
    options.track_started = true;
    RunningWorker worker(options);
    books.push("cpp.add", "one", Json::array({1, 2}));
    EXPECT_TRUE(holds_soon([&] { return books.result("one").value == 3; })) << log.all();
    Json chord = Json::object({{"chord", signature_of("cpp.total", "body", Json::array())}});
    chord["chord"]["immutable"] = false;
    const Json follower = signature_of("cpp.add", "callback", Json::array({3, 4}));
    chord["callbacks"] = Json::array({follower});
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "member", Json::array({2, 2}), chord, [](celery::Message& made) {
                      made.group = "g";
                      made.group_index = 0;
                  })});
    EXPECT_TRUE(holds_soon([&] { return books.result("body").value == 4 && books.result("callback").value == 7; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(log.count("could not be"), 0U) << log.all();
    EXPECT_EQ(books.results({"GET", "unacked"}), "somebody else's");
}

TEST(CeleryDelivery, WhereNothingCanBeHeldNothingIsTaken) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    books.broker({"SET", "unacked", "no hash"});
    books.push("cpp.add", "a", Json::array({1, 2}));
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.poll_interval = 20ms;
    RunningWorker worker(options);
    ASSERT_TRUE(holds_soon([&] { return log.count("claimed") > 0; })) << log.all();
    EXPECT_EQ(books.broker({"LLEN", "cpp"}), "1");
    EXPECT_EQ(books.broker({"ZCARD", "unacked_index"}), "0");
    books.broker({"DEL", "unacked"});
    EXPECT_TRUE(holds_soon([&] { return books.result("a").value == 3; })) << log.all();
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, WhatADeadWorkerHeldOfAQueueThatIsNoneGoesToTheDeadLetters) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    books.broker({"SET", "odd", "no list"});
    books.broker({"HSET", "unacked", "t", "[" + envelope("cpp.add", "a", Json::array({1, 2})) + R"(, "", "odd"])"});
    books.broker({"ZADD", "unacked_index", "1000", "t"});
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_TRUE(holds_soon([&] { return books.broker({"LLEN", "luzia.dead-letter"}) == "1"; })) << log.all();
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "0");
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, AContextMayGoBeforeTheHandlersOfAPool) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    for (const bool is_worker_first : {true, false}) {
        books.push("cpp.computes", "a", Json::array());
        asio::thread_pool pool(1);
        std::atomic<bool> has_begun{false};
        std::atomic<bool> may_end{false};
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.handler_executor = pool.get_executor();
        {
            auto io = std::make_unique<asio::io_context>();
            std::optional<celery::Worker> worker(std::in_place, *io, options);
            worker->task("cpp.computes", [&](celery::TaskContext& context) {
                has_begun = true;
                while (!may_end) {
                    std::this_thread::sleep_for(1ms);
                }
                context.update_state("PROGRESS", Json(1)); // told to nobody
                return 1;
            });
            worker->run([](luzia::error_code) {});
            while (!has_begun) {
                io->run_one_for(10ms);
            }
            if (is_worker_first) { worker.reset(); }
            io.reset();
        }
        may_end = true;
        pool.join();
        EXPECT_EQ(books.broker({"HLEN", "unacked"}), "1"); // it comes back when its time is up
        books.broker({"DEL", "unacked", "unacked_index"});
    }
}

TEST(CeleryDelivery, NoHandlerBeginsWhenItsWorkerIsGone) {
    RedisServer server;
    Books books(server);
    for (int round = 0; round < 10; ++round) {
        const LogLines log;
        for (int i = 0; i < 200; ++i) {
            books.push("cpp.runs", "n-" + std::to_string(i), Json::array());
        }
        asio::thread_pool pool(1);
        asio::io_context io;
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.handler_executor = pool.get_executor();
        options.concurrency = 1;
        options.stop_grace = 0ms;
        std::atomic<int> runs{0};
        std::optional<celery::Worker> worker(std::in_place, io, options);
        worker->task("cpp.runs", [&] {
            ++runs;
            std::this_thread::sleep_for(1ms);
        });
        std::atomic<bool> has_ended{false};
        std::atomic<int> runs_at_end{0};
        worker->run([&](luzia::error_code) {
            pool.join(); // what runs at the end may come to its own
            runs_at_end = runs.load();
            has_ended = true;
        });
        std::thread thread([&] { io.run(); });
        EXPECT_TRUE(holds_soon([&] { return runs > 3; }));
        if (round % 2 == 0) {
            worker->stop();
        } else {
            worker.reset();
        }
        EXPECT_TRUE(holds_soon([&] { return has_ended.load(); }));
        std::this_thread::sleep_for(20ms);
        EXPECT_EQ(runs, runs_at_end);
        io.stop();
        thread.join();
        books.broker({"DEL", "unacked", "unacked_index", "cpp"});
    }
}

TEST(CeleryDelivery, WhatHasEndedIsNotToldAsRunningAgain) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    asio::thread_pool pool(1);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.handler_executor = pool.get_executor();
    options.track_started = true;
    std::atomic<bool> may_end{false};
    std::atomic<bool> has_told{false};
    RunningWorker worker(options, [&](celery::Worker& self) {
        celery::TaskSettings limited;
        limited.time_limit = 50ms;
        self.task(
            "cpp.late",
            [&](celery::TaskContext& context) {
                while (!may_end) {
                    std::this_thread::sleep_for(1ms);
                }
                context.update_state("PROGRESS", Json(1));
                has_told = true;
            },
            limited);
    });
    books.push("cpp.late", "late", Json::array());
    EXPECT_TRUE(holds_soon([&] { return books.result("late").state == "FAILURE"; })) << log.all();
    may_end = true;
    EXPECT_TRUE(holds_soon([&] { return has_told.load(); }));
    books.push("cpp.add", "after", Json::array({1, 2})); // behind it on the same connection
    EXPECT_TRUE(holds_soon([&] { return books.result("after").value == 3; }));
    EXPECT_EQ(books.result("late").state, "FAILURE");
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, NothingIsToldOfATaskThatIgnoresItsResult) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.track_started = true;
    std::atomic<int> ended{0};
    RunningWorker worker(options, [&](celery::Worker& self) {
        celery::TaskSettings ignored;
        ignored.ignore_result = true;
        ignored.max_retries = 1;
        self.task(
            "cpp.ignored",
            [&](celery::TaskContext& context, const std::string& how) {
                ++ended;
                if (how == "retry") { throw context.retry(1ms); }
                if (how == "fail") { throw std::runtime_error("bad"); }
            },
            ignored);
    });
    for (const std::string how : {"succeed", "retry", "fail"}) {
        books.push("cpp.ignored", how, Json::array({how}));
    }
    EXPECT_TRUE(holds_soon([&] { return ended == 4 && books.left().empty(); })) << ended << " " << books.left();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(books.results({"KEYS", "celery-task-meta-*"}), "");
}

TEST(CeleryDelivery, AFailureIsToldWhateverItsTextIs) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    RunningWorker worker(worker_options(server.url(), log), [&](celery::Worker& self) {
        self.task("cpp.fails", [] { throw celery::TaskFailure("ValueError", "\xff\xfe"); });
        self.task("cpp.throws", [] { throw std::runtime_error("caf\xc3"); });
    });
    books.push("cpp.fails", "fails", Json::array());
    books.push("cpp.throws", "throws", Json::array());
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "caf\xc3\xa9 au lait", Json::array({1, 2}), Json::object())});
    for (const std::string id : {"fails", "throws"}) {
        EXPECT_TRUE(holds_soon([&] { return books.result(id).state == "FAILURE"; })) << log.all();
    }
    EXPECT_TRUE(holds_soon([&] { return books.result("caf\xc3\xa9 au lait").value == 3; })) << log.all();
    EXPECT_EQ(books.result("fails").failure->exc_type(), "ValueError");
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, WhoWaitsBehindWhatCannotBeReadOrSentIsTold) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.max_message_bytes = 20'000;
    RunningWorker worker(options, [&](celery::Worker& self) { self.task("cpp.much", [] { return std::string(30'000, 'x'); }); });
    // Its arguments are no list; what it embeds can be read.
    Json broken = Json::parse(envelope("cpp.add", "broken", Json::array()));
    const Json last = signature_of("cpp.add", "behind-broken", Json::array({1, 2}));
    const Json errback = signature_of("cpp.note", "errback", Json::array({"told"}));
    const Json body = Json::array({"no list", Json::object(), {{"chain", Json::array({last})}, {"errbacks", Json::array({errback})}}});
    broken["body"] = celery::base64_encode(body.dump());
    books.broker({"LPUSH", "cpp", broken.dump()});
    EXPECT_TRUE(holds_soon([&] { return books.result("behind-broken").state == "FAILURE"; })) << log.all();
    EXPECT_EQ(books.result("broken").failure->exc_type(), "DecodeError");
    EXPECT_TRUE(holds_soon([&] { return books.results({"LLEN", "noted"}) == "1"; })) << log.all();
    EXPECT_EQ(books.broker({"LLEN", "luzia.dead-letter"}), "1");
    // What follows would be too large.
    Json taker = signature_of("cpp.add", "behind-much", Json::array());
    taker["immutable"] = false;
    books.broker({"LPUSH", "cpp", envelope_with("cpp.much", "much", Json::array(), Json::object({{"chain", Json::array({taker})}}))});
    EXPECT_TRUE(holds_soon([&] { return books.result("behind-much").state == "FAILURE"; })) << log.all();
    EXPECT_EQ(books.result("much").failure->exc_type(), "EncodeError");
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, AnIdThatIsUsedAgainIsRunThoughAnOldSuccessIsStored) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    std::atomic<int> runs{0};
    const auto push = [&] {
        const std::string message = *celery::redelivered(envelope("cpp.counts", "again", Json::array()));
        books.broker({"LPUSH", "cpp", message});
    };
    for (const bool is_deduplicated : {false, true}) {
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.deduplicate_successful_tasks = is_deduplicated;
        RunningWorker worker(options, [&](celery::Worker& self) { self.task("cpp.counts", [&] { return ++runs; }); });
        const int before = runs;
        books.results({"SET", "celery-task-meta-again",
                       R"({"status": "SUCCESS", "result": 7, "traceback": null, "children": [], "task_id": "again"})"});
        push();
        EXPECT_TRUE(holds_soon([&] { return books.broker({"LLEN", "cpp"}) == "0" && books.left().empty(); })) << books.left();
        EXPECT_FALSE(worker.stop());
        EXPECT_EQ(runs - before, is_deduplicated ? 0 : 1);
        EXPECT_EQ(worker.stats().deduplicated, is_deduplicated ? 1U : 0U);
    }
}

/// A task that computes until it may end, fails then, and has another behind it. Broker and results lie behind one gate.
struct Failing {
    explicit Failing(const Gate& gate, const std::string& url, const LogLines& log) : options(worker_options(url, log)) {
        options.broker_url = gate.url() + "/0";
        options.result_backend = options.broker_url;
        options.handler_executor = pool.get_executor();
    }
    void tell(celery::Worker& worker) {
        worker.task("cpp.computes", [this] {
            has_begun = true;
            while (!may_end) {
                std::this_thread::sleep_for(1ms);
            }
            throw std::runtime_error("only here");
        });
    }
    static void push(Books& books, const std::string& id) {
        const Json embed = Json::object({{"chain", Json::array({signature_of("cpp.add", "behind", Json::array({1, 2}), "other")})}});
        books.broker({"LPUSH", "cpp", envelope_with("cpp.computes", id, Json::array(), embed)});
    }

    asio::thread_pool pool{1};
    celery::WorkerOptions options;
    std::atomic<bool> has_begun{false};
    std::atomic<bool> may_end{false};
};

TEST(CeleryDelivery, WhatAnotherHasTakenOverIsNotToldOfWhenTheBrokerIsBack) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    Failing task(gate, server.url(), log);
    task.options.poll_interval = 20ms;
    RunningWorker worker(task.options, [&](celery::Worker& self) { task.tell(self); });
    Failing::push(books, "a");
    EXPECT_TRUE(holds_soon([&] { return task.has_begun.load(); })) << log.all();
    gate.shut();
    gate.reset();
    EXPECT_TRUE(holds_soon([&] { return log.count("for: Connection re") + log.count("claimed: Connection re") > 0; })) << log.all();
    books.broker({"DEL", "unacked", "unacked_index"});
    task.may_end = true;
    EXPECT_TRUE(holds_soon([&] { return log.count("can't be stored") > 0; })) << log.all();
    gate.open();
    EXPECT_TRUE(holds_soon([&] { return books.broker({"EXISTS", "celery-task-meta-a"}) == "1"; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().lost, 1U);
    EXPECT_EQ(books.broker({"EXISTS", "celery-task-meta-behind"}), "0") << log.all();
}

TEST(CeleryDelivery, WhatAnotherHasTakenOverIsCountedOnceThoughItEndsWhileItIsRenewed) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    Failing task(gate, server.url(), log);
    task.options.visibility_timeout = 1s; // renewed every 250 ms
    task.may_end = true;
    RunningWorker worker(task.options, [&](celery::Worker& self) { task.tell(self); });
    const auto is_stored = [&](const std::string& id) { return books.broker({"EXISTS", "celery-task-meta-" + id}) == "1"; };
    Failing::push(books, "before"); // from here on the server knows the scripts
    EXPECT_TRUE(holds_soon([&] { return is_stored("before"); })) << log.all();
    task.may_end = false;
    task.has_begun = false;
    Failing::push(books, "a");
    EXPECT_TRUE(holds_soon([&] { return task.has_begun.load(); })) << log.all();
    std::this_thread::sleep_for(400ms); // and that of renewing, which nothing else shows
    gate.stall(Way::to_client);
    books.broker({"DEL", "unacked", "unacked_index"});
    task.may_end = true;
    EXPECT_TRUE(holds_soon([&] { return is_stored("a"); })) << log.all();
    std::this_thread::sleep_for(600ms); // it is renewed behind that
    gate.flow(Way::to_client);
    EXPECT_TRUE(holds_soon([&] { return worker.stats().lost > 0; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().lost, 1U);
}

TEST(CeleryDelivery, WhetherATaskHasSucceededIsAskedUntilItIsKnown) {
    for (const bool is_stopped_before : {false, true}) {
        const LogLines log;
        RedisServer server;
        Gate gate(server.port());
        Books books(server);
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.result_backend = gate.url() + "/1";
        options.deduplicate_successful_tasks = true;
        options.stop_grace = 50ms;
        std::atomic<int> runs{0};
        RunningWorker worker(options, [&](celery::Worker& self) { self.task("cpp.counts", [&] { return ++runs; }); });
        books.push("cpp.counts", "first", Json::array());
        EXPECT_TRUE(holds_soon([&] { return books.has_result("first") && books.left().empty(); })) << log.all();
        gate.shut();
        gate.reset();
        EXPECT_TRUE(holds_soon([&] { return log.count("lost the connection") > 0; })) << log.all();
        const std::string message = *celery::redelivered(envelope("cpp.counts", "first", Json::array()));
        books.broker({"LPUSH", "cpp", message});
        EXPECT_TRUE(holds_soon([&] { return log.count("waits until it can be seen") > 0; })) << log.all();
        if (!is_stopped_before) {
            gate.open();
            EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
        }
        EXPECT_FALSE(worker.stop());
        EXPECT_EQ(runs, 1);
        EXPECT_EQ(worker.stats().deduplicated, is_stopped_before ? 0U : 1U);
        EXPECT_EQ(books.broker({"LRANGE", "cpp", "0", "-1"}), is_stopped_before ? message : "");
    }
}

/// What a remote control says.
std::string command_of(const std::string& method, const std::string& id) {
    const Json body = Json::object({{"method", method}, {"arguments", {{"task_id", id}}}});
    return Json::object({{"body", celery::base64_encode(body.dump())}, {"properties", {{"body_encoding", "base64"}}}}).dump();
}

TEST(CeleryDelivery, WhatIsRevokedBeforeItsHandlerBeginsDoesNotBegin) {
    for (const std::string method : {"revoke", "terminate"}) {
        const LogLines log;
        RedisServer server;
        Gate gate(server.port());
        Books books(server);
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.result_backend = gate.url() + "/1";
        options.deduplicate_successful_tasks = true;
        std::atomic<int> runs{0};
        RunningWorker worker(options, [&](celery::Worker& self) { self.task("cpp.counts", [&] { return ++runs; }); });
        books.push("cpp.add", "first", Json::array({1, 2}));
        EXPECT_TRUE(holds_soon([&] { return books.has_result("first") && books.left().empty(); })) << log.all();
        gate.stall(Way::to_client); // the look for a success is on its way
        books.broker({"LPUSH", "cpp", *celery::redelivered(envelope("cpp.counts", "a", Json::array()))});
        EXPECT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "1"; }));
        std::this_thread::sleep_for(300ms); // nothing outside shows that it has asked, nor that it has heard
        EXPECT_EQ(books.broker({"PUBLISH", "/0.celery.pidbox", command_of(method, "a")}), "1");
        std::this_thread::sleep_for(300ms);
        gate.flow(Way::to_client);
        EXPECT_TRUE(holds_soon([&] { return books.result("a").state == "REVOKED" && books.left().empty(); })) << log.all();
        EXPECT_FALSE(worker.stop());
        EXPECT_EQ(runs, 0);
    }
}

TEST(CeleryDelivery, WhatIsRevokedBeforeItsTimeIsToldThoughThereIsNoRoom) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.concurrency = 1;
    options.stop_grace = 50ms;
    RunningWorker worker(options);
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "later", Json::array({1, 2}), Json::object(), [](celery::Message& made) {
                      made.eta = celery::now() + std::chrono::hours(1);
                  })});
    books.push("cpp.sleep", "long", Json::array({3600}));
    EXPECT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "2"; }));
    EXPECT_TRUE(holds_soon([&] { // it may not be heard yet
        books.broker({"PUBLISH", "/0.celery.pidbox", command_of("revoke", "later")});
        std::this_thread::sleep_for(20ms);
        return books.result("later").state == "REVOKED";
    })) << log.all();
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, OnlyWhatIsAnObjectIsClaimed) {
    RedisServer server;
    Books books(server);
    const std::string good = envelope("cpp.add", "a", Json::array({1, 2}));
    const Json parts = Json::parse(good);
    std::vector<std::string> messages{good};
    for (const std::string name : {"headers", "properties"}) {
        for (const std::string part : {"[ ]", "[null]", "[[1]]", "1", "null"}) {
            Json odd = parts;
            odd[name] = "here";
            std::string text = odd.dump();
            text.replace(text.find("\"here\""), 6, part);
            messages.push_back(text);
        }
    }
    for (const std::string& message : messages) {
        books.broker({"LPUSH", "cpp", message});
    }
    const std::string script(celery::detail::claim_script.source());
    const std::string claimed =
        books.broker({"EVAL", script, "4", "unacked", "unacked_index", "dead", "cpp", "20", "100000", "100000", "tag:", "1", "\"cpp\""});
    EXPECT_EQ(claimed, "10  tag:1 0 " + good);
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "1");
    EXPECT_EQ(books.broker({"LLEN", "dead"}), "10");
}

TEST(CeleryDelivery, AMemberOfAChordThatRanTwiceCountsOnce) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    books.results({"SET", "celery-taskset-meta-g.s", "2"});
    const Json embed = Json::object({{"chord", signature_of("cpp.note", "body", Json::array())}});
    Json mutable_embed = embed;
    mutable_embed["chord"]["immutable"] = false;
    RunningWorker worker(worker_options(server.url(), log));
    const auto push = [&](const std::string& id, int index, int value) {
        books.broker({"LPUSH", "cpp", envelope_with("cpp.add", id, Json::array({value, 0}), mutable_embed, [&](celery::Message& made) {
                          made.group = "g";
                          made.group_index = index;
                      })});
        EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    };
    push("a", 0, 1);
    push("a", 0, 2);
    EXPECT_EQ(books.results({"EXISTS", "noted"}), "0");
    push("b", 1, 3);
    EXPECT_TRUE(holds_soon([&] { return books.results({"LLEN", "noted"}) == "1"; })) << log.all();
    EXPECT_EQ(books.results({"LRANGE", "noted", "0", "-1"}), "[[2,3]]");
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, WhatHasExpiredIsToldAtOnceThoughItsTimeIsToCome) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    RunningWorker worker(worker_options(server.url(), log));
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "late", Json::array({1, 2}), Json::object(), [](celery::Message& made) {
                      made.expires = celery::now() - std::chrono::seconds(1);
                      made.eta = celery::now() + std::chrono::hours(1);
                  })});
    EXPECT_TRUE(holds_soon([&] { return books.result("late").state == "REVOKED"; })) << log.all();
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, WhatWasTakenBackWhileItWaitedMakesRoom) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.max_scheduled = 1;
    options.visibility_timeout = 1s;
    RunningWorker worker(options);
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "later", Json::array({1, 2}), Json::object(), [](celery::Message& made) {
                      made.eta = celery::now() + std::chrono::hours(1);
                  })});
    ASSERT_TRUE(holds_soon([&] { return books.broker({"HLEN", "unacked"}) == "1"; }));
    books.push("cpp.add", "now", Json::array({1, 2}));
    books.broker({"DEL", "unacked", "unacked_index"}); // somebody else has it now
    EXPECT_TRUE(holds_soon([&] { return books.result("now").value == 3; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().lost, 1U);
}

TEST(CeleryDelivery, StoppingGivesBackWhatRunsWhateverItEndsWith) {
    RedisServer server;
    Books books(server);
    for (int round = 0; round < 8; ++round) {
        const LogLines log;
        asio::thread_pool pool(2);
        celery::WorkerOptions options = worker_options(server.url(), log);
        options.stop_grace = 20ms * (round % 2);
        options.concurrency = 34;
        std::atomic<int> begun{0};
        RunningWorker worker(options, [&](celery::Worker& self) {
            celery::TaskSettings in_pool;
            in_pool.executor = pool.get_executor();
            self.task(
                "cpp.obeys",
                [&](celery::TaskContext& context) {
                    ++begun;
                    int count = 0;
                    while (!context.stop_requested()) {
                        ++count;
                    }
                    return count;
                },
                in_pool);
            self.task("cpp.waits", [&]() -> asio::awaitable<int> {
                ++begun;
                asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(1));
                co_await timer.async_wait(asio::use_awaitable);
                co_return 1;
            });
        });
        for (int i = 0; i < 34; ++i) {
            books.push(i < 2 ? "cpp.obeys" : "cpp.waits", "n-" + std::to_string(i), Json::array());
        }
        EXPECT_TRUE(holds_soon([&] { return begun == 34; })) << begun;
        EXPECT_FALSE(worker.stop());
        pool.join();
        EXPECT_EQ(books.broker({"LLEN", "cpp"}), "34");
        EXPECT_EQ(books.broker({"HLEN", "unacked"}), "0");
        EXPECT_TRUE(server.plain().list({"KEYS", "celery-task-meta-*"}).empty());
        EXPECT_EQ(books.results({"DBSIZE"}), "0");
        books.broker({"FLUSHALL"});
    }
}

TEST(CeleryDelivery, LargeMessagesThatWaitForTheirTimeMakeRoom) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    for (int i = 0; i < 4; ++i) {
        books.broker({"LPUSH", "cpp",
                      envelope_with("cpp.echo", "later-" + std::to_string(i), Json::array({std::string(300'000, 'x')}), Json::object(),
                                    [](celery::Message& made) { made.eta = celery::now() + std::chrono::hours(1); })});
    }
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.prefetch = 4;
    RunningWorker worker(options);
    books.push("cpp.add", "now", Json::array({1, 2}));
    EXPECT_TRUE(holds_soon([&] { return books.result("now").value == 3; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(books.broker({"LLEN", "cpp"}), "4");
}

TEST(CeleryDelivery, AChordOfLargeResultsIsJoinedOverASlowLink) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    constexpr int count = 4;
    books.results({"SET", "celery-taskset-meta-g.s", std::to_string(count)});
    Json chord = Json::object({{"chord", signature_of("cpp.lengths", "body", Json::array())}});
    chord["chord"]["immutable"] = false;
    for (int i = 0; i < count; ++i) {
        books.broker(
            {"LPUSH", "cpp", envelope_with("cpp.large", "m-" + std::to_string(i), Json::array(), chord, [&](celery::Message& made) {
                 made.group = "g";
                 made.group_index = i;
             })});
    }
    gate.throttle(Way::to_client, 25'000, 50ms);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.result_backend = gate.url() + "/1";
    options.timeout = 500ms;
    RunningWorker worker(options, [](celery::Worker& self) {
        self.task("cpp.large", [] { return std::string(150'000, 'x'); });
        self.task("cpp.lengths", [](const std::vector<std::string>& all) { return all.size(); });
    });
    EXPECT_TRUE(holds_soon([&] { return books.result("body").value == count; })) << log.all();
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, AMessageAsLargeAsItMayBeCanBeTriedAgainAndPutBack) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    const std::string again = envelope("cpp.retry-once", "again", Json::array({std::string(5000, 'x')}));
    options.max_message_bytes = again.size();
    books.broker({"LPUSH", "cpp", again});
    books.broker(
        {"HSET", "unacked", "t", "[" + envelope("cpp.retry-once", "held", Json::array({std::string(5000, 'x')})) + R"(, "", "cpp"])"});
    books.broker({"ZADD", "unacked_index", "1000", "t"});
    RunningWorker worker(options, [](celery::Worker& self) {
        self.task("cpp.retry-once", [](celery::TaskContext& context, const std::string&) {
            if (context.retries() == 0) { throw context.retry(1ms); }
            return context.retries();
        });
    });
    EXPECT_TRUE(holds_soon([&] { return books.result("again").value == 1 && books.result("held").value == 1; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(worker.stats().dead, 0U);
}

TEST(CeleryDelivery, WhatCannotBeClaimedIsNotTriedWithoutAPause) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    books.broker({"SET", "luzia.dead-letter", "no list"});
    books.broker({"LPUSH", "cpp", "no JSON"});
    RunningWorker worker(worker_options(server.url(), log));
    ASSERT_TRUE(holds_soon([&] { return log.count("claimed") > 0; })) << log.all();
    const auto commands = [&] {
        const std::string stats = server.command({"INFO", "stats"});
        return std::stol(stats.substr(stats.find("total_commands_processed:") + 25));
    };
    const long before = commands();
    std::this_thread::sleep_for(1s);
    EXPECT_LT(commands() - before, 200); // some 20 for each of five tries
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, WhoeverWaitsBehindWhatIsRefusedIsTold) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    Json group = signature_of("celery.group", "group", Json::array());
    group["subtask_type"] = "group";
    group["kwargs"]["tasks"] =
        Json::array({signature_of("cpp.add", "of-group-1", Json::array()), signature_of("cpp.add", "of-group-2", Json::array())});
    RunningWorker worker(worker_options(server.url(), log));
    books.broker({"LPUSH", "cpp", envelope_with("cpp.add", "chain", Json::array({1, 2}), Json::object({{"chain", Json::array({group})}}))});
    for (const std::string id : {"chain", "of-group-1", "of-group-2"}) {
        EXPECT_TRUE(holds_soon([&] { return books.result(id).state == "FAILURE"; })) << id << log.all();
    }
    books.broker({"FLUSHALL"});
    books.broker({"LPUSH", "cpp",
                  envelope_with("cpp.add", "member", Json::array({1, 2}), Json::object({{"chord", group}}), [](celery::Message& made) {
                      made.group = "g";
                      made.group_index = 0;
                  })});
    for (const std::string id : {"member", "of-group-1", "of-group-2"}) {
        EXPECT_TRUE(holds_soon([&] { return books.result(id).state == "FAILURE"; })) << id << log.all();
    }
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, WhatCannotBePutBackNowKeepsNoOtherFromIt) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    books.broker({"SET", "_kombu.binding.odd", "no set"});
    for (int i = 0; i < 230; ++i) {
        const std::string tag = "t-" + std::to_string(i);
        const bool is_good = i == 229;
        books.broker({"HSET", "unacked", tag,
                      "[" + envelope("cpp.add", tag, Json::array({1, 2})) + (is_good ? R"(, "", "cpp"])" : R"(, "odd", "cpp"])")});
        books.broker({"ZADD", "unacked_index", std::to_string(1000 + i), tag});
    }
    RunningWorker worker(worker_options(server.url(), log));
    EXPECT_TRUE(holds_soon([&] { return books.result("t-229").value == 3; })) << log.all();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(books.broker({"HLEN", "unacked"}), "229");
}

TEST(CeleryDelivery, AStoredSuccessOfPythonsIsNotReplaced) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    const std::string stored = R"({"status": "SUCCESS", "result": "\ud800", "traceback": null, "children": [], "task_id": "half"})";
    books.results({"SET", "celery-task-meta-half", stored});
    RunningWorker worker(worker_options(server.url(), log));
    books.push("cpp.throw", "half", Json::array());
    EXPECT_TRUE(holds_soon([&] { return log.count("failed") > 0 && books.left().empty(); })) << log.all();
    EXPECT_EQ(books.results({"GET", "celery-task-meta-half"}), stored);
    EXPECT_FALSE(worker.stop());
}

TEST(CeleryDelivery, AStoredLargeResultIsReadOverASlowLink) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    celery::ResultDetails details;
    details.id = "large";
    books.results(
        {"SET", "celery-task-meta-large", *celery::encode_result("SUCCESS", Json(std::string(600'000, 'x')), details, celery::now())});
    gate.throttle(Way::to_client, 25'000, 50ms);
    run([&]() -> asio::awaitable<void> {
        celery::ClientOptions options;
        options.broker_url = gate.url() + "/0";
        options.result_backend = gate.url() + "/1";
        options.timeout = 400ms;
        options.logger = log.logger();
        celery::Client client{co_await asio::this_coro::executor, options};
        auto [error, result] = co_await client.result("large").wait(25s, asio::as_tuple(asio::use_awaitable));
        EXPECT_FALSE(error) << error.message();
        EXPECT_EQ(result.state, "SUCCESS");
    });
}

TEST(CeleryDelivery, ALargeResultIsStoredOverASlowLink) {
    const LogLines log;
    RedisServer server;
    Gate gate(server.port());
    Books books(server);
    gate.throttle(Way::to_server, 50'000, 50ms);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.result_backend = gate.url() + "/1";
    options.timeout = 500ms;
    std::atomic<int> runs{0};
    RunningWorker worker(options, [&](celery::Worker& self) {
        self.task("cpp.large", [&] {
            ++runs;
            return std::string(900'000, 'x');
        });
    });
    books.push("cpp.large", "a", Json::array());
    EXPECT_TRUE(holds_soon([&] { return books.has_result("a"); })) << log.all();
    EXPECT_TRUE(holds_soon([&] { return books.left().empty(); })) << books.left();
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(log.count("can't be stored"), 0U) << log.all();
}

} // namespace
} // namespace luzia_test
