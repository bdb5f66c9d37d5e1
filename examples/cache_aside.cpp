// cache_aside.cpp: a cache in front of a database. The database has the truth; Redis only makes it faster, and may go away.
//
// Half-way the program kills the Redis whose process id is in LUZIA_EXAMPLE_REDIS_PID; without that variable it leaves the server alone and
// takes a client for a port where nothing listens.
#include <luzia/cache_client.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <signal.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct Revenue {
    long long orders = 0, customers = 0, cents = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Revenue, orders, customers, cents)

// 300,000 orders of ten organisations, without an index: an aggregate reads them all. Queries block, so they run on a thread of their own,
// not on one that serves the network.
class Database {
public:
    Database() {
        sqlite3* opened = nullptr;
        const int status = sqlite3_open(":memory:", &opened);
        handle_.reset(opened);
        check(status == SQLITE_OK);
        execute("CREATE TABLE orders (org INTEGER, customer INTEGER, cents INTEGER)");
        execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299999) "
                "INSERT INTO orders SELECT i % 10, i * 7919 % 50021, 100 + i % 9000 FROM n");
    }

    asio::awaitable<Revenue> revenue(int org) {
        const auto query = [this, org]() -> asio::awaitable<Revenue> { co_return read_revenue(org); };
        co_return co_await asio::co_spawn(thread_, query, asio::use_awaitable);
    }

    asio::awaitable<void> add_order(int org, int customer, int cents) {
        const auto values = std::to_string(org) + ", " + std::to_string(customer) + ", " + std::to_string(cents);
        const auto insert = [this, values]() -> asio::awaitable<void> { co_return execute("INSERT INTO orders VALUES (" + values + ")"); };
        co_await asio::co_spawn(thread_, insert, asio::use_awaitable);
    }

private:
    Revenue read_revenue(int org) {
        const char* const sql = "SELECT count(*), count(DISTINCT customer), total(cents) FROM orders WHERE org = ?";
        sqlite3_stmt* prepared = nullptr;
        check(sqlite3_prepare_v2(handle_.get(), sql, -1, &prepared, nullptr) == SQLITE_OK);
        const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement(prepared, sqlite3_finalize);
        sqlite3_bind_int(prepared, 1, org);
        check(sqlite3_step(prepared) == SQLITE_ROW);
        return Revenue{sqlite3_column_int64(prepared, 0), sqlite3_column_int64(prepared, 1), sqlite3_column_int64(prepared, 2)};
    }

    void execute(const std::string& sql) { check(sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK); }

    void check(bool succeeded) {
        if (!succeeded) { throw std::runtime_error(sqlite3_errmsg(handle_.get())); }
    }

    std::unique_ptr<sqlite3, decltype(&sqlite3_close)> handle_{nullptr, sqlite3_close};
    asio::thread_pool thread_{1};
};

// The pattern: ask the cache; where it has no answer, for whatever reason, ask the database and leave the answer in the cache.
asio::awaitable<void> show_revenue(luzia::CacheClient<>& cache, Database& database, const char* label) {
    const auto begin = std::chrono::steady_clock::now();
    luzia::Lookup<Revenue> found = co_await cache.lookup<Revenue>("org:3:revenue");
    Revenue revenue;
    if (found) {
        revenue = *found.value;
    } else {
        revenue = co_await database.revenue(3);
        co_await cache.set("org:3:revenue", revenue, 60s);
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    std::cout << std::left << std::setw(16) << label << std::setw(10) << (found ? "cache" : "database") << std::right << std::fixed
              << std::setprecision(2) << std::setw(7) << took.count() << " ms   " << revenue.orders << " orders, " << revenue.customers
              << " customers, " << revenue.cents << " cents (outcome: " << luzia::to_string(found.outcome) << ")\n";
}

// A change: the database first, then the key goes, so that the next read finds no old answer.
asio::awaitable<void> add_order(luzia::CacheClient<>& cache, Database& database) {
    co_await database.add_order(3, 99999, 500);
    co_await cache.erase("org:3:revenue");
}

asio::awaitable<void> example(asio::io_context& context, Database& database) {
    luzia::CacheClient cache{context};
    co_await cache.erase("org:3:revenue"); // from an earlier run
    co_await show_revenue(cache, database, "first read");
    co_await show_revenue(cache, database, "second read");
    co_await add_order(cache, database);
    co_await show_revenue(cache, database, "after an order");
    co_await show_revenue(cache, database, "one more read");

    const char* const variable = std::getenv("LUZIA_EXAMPLE_REDIS_PID");
    const pid_t pid = variable ? std::atoi(variable) : 0;
    if (pid > 1) { // 0 and less would mean whole groups of processes
        std::cout << "-- killing Redis\n";
        kill(pid, SIGKILL);
    } else {
        std::cout << "-- leaving Redis alone; from here on, a client for a port where nothing listens\n";
        luzia::CacheOptions nowhere;
        nowhere.url = "redis://127.0.0.1:1";
        cache = luzia::CacheClient{context, nowhere};
    }
    co_await show_revenue(cache, database, "without Redis");
    co_await add_order(cache, database);
    co_await show_revenue(cache, database, "one order more");
}

int main() {
    Database database;
    asio::io_context context;
    asio::co_spawn(context, example(context, database), [](std::exception_ptr problem) {
        if (problem) { std::rethrow_exception(problem); }
    });
    context.run();
}
