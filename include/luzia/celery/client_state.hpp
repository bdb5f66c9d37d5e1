// celery/client_state.hpp: what a client and the results it gave out share; lives until the last of them is gone.
#pragma once

#include <luzia/celery/composing.hpp>
#include <luzia/celery/options.hpp>
#include <luzia/celery/result_hub.hpp>
#include <luzia/celery/scripts.hpp>
#include <luzia/core/event_log.hpp>
#include <luzia/redis/context_service.hpp>
#include <luzia/redis/execute.hpp>
#include <luzia/redis/mapped.hpp>
#include <luzia/redis/subscriber.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/system_executor.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace luzia::celery::detail {

/// Connections are made on first use. Where the environment names no usable server there is none, and operations fail with `Error::disabled`.
class ClientState {
public:
    ClientState(const asio::any_io_executor& executor, const ServerOptions& options)
        : executor_(executor),
          log_(std::make_shared<EventLog>(options.logger)),
          composer_(options),
          key_prefix_(options.key_prefix),
          result_key_prefix_(options.result_key_prefix),
          result_expires_(options.result_expires) {
        validate(options);
        const std::optional<Server> broker = broker_of(options, *log_);
        const std::optional<Server> backend = backend_of(options, broker, *log_);
        if (broker) {
            broker_ = broker->connect(executor, log_);
            database_ = broker->url.database;
        }
        if (!backend) { return; }
        backend_ = broker && broker->is_same(*backend) ? broker_ : backend->connect(executor, log_);
        hub_ = std::make_shared<ResultHub>(executor, backend_, result_key_prefix_, options.timeout);
        patient_ = backend->connect(executor, log_, patience(options));
        hub_->start(patient_, redis::Subscriber::create(executor, backend->target, backend->options, log_, hub_));
    }

    [[nodiscard]] const asio::any_io_executor& executor() const noexcept { return executor_.get(); }
    [[nodiscard]] Composer& composer() noexcept { return composer_; }
    [[nodiscard]] const std::shared_ptr<redis::Connection>& broker() const noexcept { return broker_; }
    [[nodiscard]] const std::shared_ptr<redis::Connection>& backend() const noexcept { return backend_; }
    [[nodiscard]] const std::shared_ptr<ResultHub>& hub() const noexcept { return hub_; }
    [[nodiscard]] std::string key_of(const std::string& id) const { return result_key(result_key_prefix_, id); }
    /// The channel that workers hear commands on.
    [[nodiscard]] std::string control_channel() const { return key_prefix_ + "/" + std::to_string(database_) + ".celery.pidbox"; }
    [[nodiscard]] std::string group_key(const std::string& group, const char* part) const {
        return result_key_prefix_ + "celery-taskset-meta-" + group + part;
    }
    [[nodiscard]] std::chrono::seconds result_expires() const noexcept { return result_expires_; }

    void close() {
        if (hub_) { hub_->close(); }
        if (broker_) { broker_->close(); }
        if (backend_) { backend_->close(); }
        if (patient_) { patient_->close(); }
    }

private:
    redis::ContextExecutor executor_;
    std::shared_ptr<EventLog> log_;
    Composer composer_;
    std::string key_prefix_;
    std::string result_key_prefix_;
    std::chrono::seconds result_expires_;
    int database_ = 0;
    std::shared_ptr<redis::Connection> broker_;
    std::shared_ptr<redis::Connection> backend_;
    std::shared_ptr<redis::Connection> patient_; ///< to the results, for large ones
    std::shared_ptr<ResultHub> hub_;
};

/// Sends a command over `connection` (none: fails with `Error::disabled`) and makes the result of its reply: `map(error, reply)` returns a
/// pair of error and result.
template <class Result, class Token, class Map>
auto ask(std::shared_ptr<redis::Connection> connection, redis::Words words, const asio::any_io_executor& executor, Map map, Token&& token,
         error_code problem = {}, const redis::Script* script = nullptr) {
    return asio::async_initiate<Token, void(error_code, Result)>(
        [connection = std::move(connection), words = std::move(words), executor, map = std::move(map), problem,
         script](auto&& handler) mutable {
            using Handler = std::decay_t<decltype(handler)>;
            const auto finish = [map = std::move(map)](Handler&& waiting, error_code error, redis::Reply&& reply) mutable {
                auto [what, result] = map(error, std::move(reply));
                std::move(waiting)(what, std::move(result));
            };
            redis::Mapped mapped(Handler(std::forward<decltype(handler)>(handler)), std::move(finish));
            redis::Completion<error_code, redis::Reply> done(std::move(mapped), executor);
            if (!problem && !connection) { problem = Error::disabled; }
            if (problem) { return done(problem, redis::Reply()); }
            redis::detail::Execution::start(std::move(connection), std::move(words), script, std::move(done), executor);
        },
        token);
}

} // namespace luzia::celery::detail
