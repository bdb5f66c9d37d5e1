// Celery over TLS, and at more lists than a worker has connections to wait with.
#include "../support/run.hpp"
#include "../support/running_worker.hpp"
#include "../support/tls_server.hpp"

#include <luzia/celery/client.hpp>

#include <string>

namespace luzia_test {
namespace {

namespace celery = luzia::celery;
using celery::Json;

TEST(CeleryTransport, TasksAndResultsGoOverTls) {
    const LogLines log;
    TlsServer server;
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.transport = luzia::tls_transport(trusting("ca"));
    RunningWorker worker(options);
    // Python sends to the same broker, without.
    EXPECT_EQ(CeleryPeer(CelerySettings(server.server), {"basics"}).wait(), 0) << log.all();
    run([&]() -> asio::awaitable<void> {
        celery::ClientOptions of_client;
        of_client.broker_url = options.broker_url;
        of_client.result_backend = options.result_backend;
        of_client.default_queue = "cpp";
        of_client.transport = options.transport;
        of_client.logger = log.logger();
        celery::Client client{co_await asio::this_coro::executor, of_client};
        celery::AsyncResult small = co_await client.send_task("cpp.add", celery::args(1, 2), asio::use_awaitable);
        const int sum = co_await small.get<int>(20s);
        EXPECT_EQ(sum, 3);
        celery::AsyncResult large = co_await client.send_task("cpp.echo", celery::args(std::string(3'000'000, 'x')), asio::use_awaitable);
        const Json echoed = co_await large.get<Json>(20s);
        EXPECT_EQ(echoed[0][0].get_ref<const std::string&>().size(), 3'000'000U);
    });
    EXPECT_FALSE(worker.stop());
    EXPECT_EQ(leftovers(server.server, {"cpp"}), "");
}

TEST(CeleryTransport, ListsBeyondThoseThatAreWaitedAtAreLookedAt) {
    const LogLines log;
    RedisServer server;
    Books books(server);
    celery::WorkerOptions options = worker_options(server.url(), log);
    options.queues.clear();
    for (int i = 0; i < 6; ++i) {
        options.queues.push_back("q" + std::to_string(i));
    }
    options.poll_interval = 50ms;
    RunningWorker worker(options);
    for (int i = 0; i < 6; ++i) {
        const std::string queue = "q" + std::to_string(i);
        for (const int priority : {0, 9}) {
            const std::string id = queue + "-" + std::to_string(priority);
            books.broker({"LPUSH", celery::list_of("", queue, priority), envelope("cpp.add", id, Json::array({1, 2}), queue)});
            EXPECT_TRUE(holds_soon([&] { return books.result(id).value == 3; })) << id << "\n" << log.all();
        }
    }
    EXPECT_FALSE(worker.stop());
}

} // namespace
} // namespace luzia_test
