// tests/support/gate.hpp: a proxy in front of a real server, over TCP and Unix sockets, that does to the bytes what networks do.
#pragma once

#include "process.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {

/// Which way bytes go through a gate.
enum class Way { to_server, to_client };

/// Listens on a loopback port and on a Unix socket; each connection to it becomes one to the server behind it.
///
///     Gate gate(server.port());
///     gate.stall(Way::to_client);     // what the server says is kept back, from now on
///     gate.flow(Way::to_client);      // and goes on
///     gate.cut();                     // every connection is closed; new ones are taken
///
/// Each call returns when it is in force. Faults are for all connections, those to come included, until `heal`.
class Gate {
    using Endpoint = boost::asio::generic::stream_protocol::endpoint;
    using Socket = boost::asio::generic::stream_protocol::socket;

public:
    explicit Gate(std::uint16_t server_port)
        : Gate(Endpoint(boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), server_port))) {}
    explicit Gate(const std::string& server_socket) : Gate(Endpoint(boost::asio::local::stream_protocol::endpoint(server_socket))) {}
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate() {
        perform([this] {
            tcp_.close();
            unix_.close();
            end_all(End::cut);
        });
        guard_.reset();
        io_.stop();
        thread_.join();
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }
    [[nodiscard]] std::string socket_url() const { return "unix://" + directory_.file("gate.sock"); }

    /// Each piece waits this long before it goes on.
    void delay(Way way, std::chrono::milliseconds time) {
        perform([this, way, time] { faults(way).delay = time; });
    }
    /// Nothing goes this way until `flow`.
    void stall(Way way) {
        perform([this, way] { faults(way).is_stalled = true; });
    }
    void flow(Way way) {
        perform([this, way] {
            faults(way).is_stalled = false;
            for (const auto& session : sessions_) {
                session->resume(way);
            }
        });
    }
    /// So many bytes at a time, and then a pause.
    void throttle(Way way, std::size_t bytes, std::chrono::milliseconds pause) {
        perform([this, way, bytes, pause] { faults(way).rate = Rate{bytes, pause}; });
    }
    /// One bit of every so many bytes is turned.
    void corrupt(Way way, std::size_t every) {
        perform([this, way, every] { faults(way).corrupt_every = every; });
    }
    /// All is as it should be again. What was stalled goes on.
    void heal() {
        perform([this] {
            for (const Way way : {Way::to_server, Way::to_client}) {
                faults(way) = Faults();
                for (const auto& session : sessions_) {
                    session->resume(way);
                }
            }
            end_at_ = {};
        });
    }
    /// Every connection is closed in an orderly way.
    void cut() {
        perform([this] { end_all(End::cut); });
    }
    /// Every connection is reset.
    void reset() {
        perform([this] { end_all(End::reset); });
    }
    /// A connection is reset when it has carried so many bytes this way.
    void reset_after(Way way, std::size_t bytes) {
        perform([this, way, bytes] { end_at_[static_cast<std::size_t>(way)] = bytes; });
    }
    /// New connections are refused, as where nothing listens.
    void shut() {
        perform([this] {
            tcp_.cancel();
            ::shutdown(tcp_.native_handle(), SHUT_RD); // no listener any more, and nobody else gets the port
            unix_.close();
        });
    }
    void open() {
        perform([this] { listen(); });
    }

    /// How many connections have come.
    [[nodiscard]] std::size_t connections() const { return connections_.load(); }

private:
    enum class End { cut, reset };
    struct Rate {
        std::size_t bytes;
        std::chrono::milliseconds pause;
    };
    struct Faults {
        bool is_stalled = false;
        std::chrono::milliseconds delay{0};
        std::optional<Rate> rate;
        std::size_t corrupt_every = 0;
    };

    /// One connection through the gate: a pipe each way.
    class Session : public std::enable_shared_from_this<Session> {
    public:
        Session(Gate& gate, Socket client) : gate_(gate), client_(std::move(client)), server_(gate.io_) {}

        void start() {
            server_.async_connect(gate_.server_, [self = shared_from_this()](boost::system::error_code error) {
                if (error) { return self->end(End::cut); }
                self->read(Way::to_server);
                self->read(Way::to_client);
            });
        }

        void resume(Way way) {
            if (std::exchange(pipe(way).is_held, false)) { pass(way); }
        }

        void end(End how) {
            boost::system::error_code ignored;
            for (Socket* const socket : {&client_, &server_}) {
                if (how == End::reset) { socket->set_option(boost::asio::socket_base::linger(true, 0), ignored); }
                socket->close(ignored);
            }
            for (Pipe& each : pipes_) {
                each.timer.cancel();
                each.is_held = false;
            }
            gate_.sessions_.erase(shared_from_this());
        }

    private:
        struct Pipe {
            explicit Pipe(boost::asio::io_context& io) : timer(io) {}
            std::array<char, 16384> buffer{};
            std::size_t size = 0;
            std::size_t carried = 0;
            bool is_held = false;
            boost::asio::steady_timer timer;
        };

        [[nodiscard]] Pipe& pipe(Way way) { return pipes_[static_cast<std::size_t>(way)]; }
        [[nodiscard]] Socket& from(Way way) { return way == Way::to_server ? client_ : server_; }
        [[nodiscard]] Socket& to(Way way) { return way == Way::to_server ? server_ : client_; }

        void read(Way way) {
            const auto& rate = gate_.faults(way).rate;
            const std::size_t most = rate ? rate->bytes : pipe(way).buffer.size();
            from(way).async_read_some(boost::asio::buffer(pipe(way).buffer, most),
                                      [self = shared_from_this(), way](boost::system::error_code error, std::size_t size) {
                                          if (error) {
                                              return self->end(error == boost::asio::error::connection_reset ? End::reset : End::cut);
                                          }
                                          self->pipe(way).size = size;
                                          self->after(way, self->gate_.faults(way).delay, [self, way] { self->pass(way); });
                                      });
        }

        void pass(Way way) {
            Pipe& here = pipe(way);
            const Faults& faults = gate_.faults(way);
            if (faults.is_stalled) {
                here.is_held = true;
                return;
            }
            const std::size_t before = here.carried;
            here.carried += here.size;
            for (std::size_t at = 0; faults.corrupt_every != 0 && at < here.size; ++at) {
                if ((before + at + 1) % faults.corrupt_every == 0) { here.buffer[at] = static_cast<char>(here.buffer[at] ^ 1); }
            }
            const auto limit = gate_.end_at_[static_cast<std::size_t>(way)];
            const bool is_last = limit && here.carried >= *limit;
            if (is_last) { here.size = *limit > before ? *limit - before : 0; }
            boost::asio::async_write(to(way), boost::asio::buffer(here.buffer, here.size),
                                     [self = shared_from_this(), way, is_last](boost::system::error_code error, std::size_t) {
                                         if (error || is_last) { return self->end(is_last ? End::reset : End::cut); }
                                         const auto& rate = self->gate_.faults(way).rate;
                                         self->after(way, rate ? rate->pause : std::chrono::milliseconds(0),
                                                     [self, way] { self->read(way); });
                                     });
        }

        template <class Next>
        void after(Way way, std::chrono::milliseconds time, Next next) {
            if (time.count() == 0) { return next(); }
            pipe(way).timer.expires_after(time);
            pipe(way).timer.async_wait([next](boost::system::error_code error) {
                if (!error) { next(); }
            });
        }

        Gate& gate_;
        Socket client_;
        Socket server_;
        std::array<Pipe, 2> pipes_{Pipe(gate_.io_), Pipe(gate_.io_)};
    };

    explicit Gate(Endpoint server) : server_(std::move(server)) {
        using boost::asio::ip::tcp;
        const tcp::endpoint address(boost::asio::ip::make_address("127.0.0.1"), port_);
        tcp_.open(address.protocol());
        tcp_.set_option(tcp::acceptor::reuse_address(true));
        tcp_.bind(address);
        listen();
        thread_ = std::thread([this] { io_.run(); });
    }

    [[nodiscard]] Faults& faults(Way way) { return faults_[static_cast<std::size_t>(way)]; }

    /// On the gate's thread; returns when it has been done.
    void perform(const std::function<void()>& act) {
        std::promise<void> done;
        boost::asio::post(io_, [&] {
            act();
            done.set_value();
        });
        done.get_future().wait();
    }

    void listen() {
        tcp_.listen();
        accept(tcp_);
        const std::string path = directory_.file("gate.sock");
        ::unlink(path.c_str());
        const boost::asio::local::stream_protocol::endpoint socket(path);
        unix_.open(socket.protocol());
        unix_.bind(socket);
        unix_.listen();
        accept(unix_);
    }

    template <class Acceptor>
    void accept(Acceptor& acceptor) {
        acceptor.async_accept([this, &acceptor](boost::system::error_code error, auto socket) {
            if (error) { return; }
            ++connections_;
            const auto session = std::make_shared<Session>(*this, Socket(std::move(socket)));
            sessions_.insert(session);
            session->start();
            accept(acceptor);
        });
    }

    void end_all(End how) {
        for (const auto& session : std::vector<std::shared_ptr<Session>>(sessions_.begin(), sessions_.end())) {
            session->end(how);
        }
    }

    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_ = boost::asio::make_work_guard(io_);
    PrivateDirectory directory_;
    Endpoint server_;
    boost::asio::ip::tcp::acceptor tcp_{io_};
    boost::asio::local::stream_protocol::acceptor unix_{io_};
    std::uint16_t port_ = free_port();
    std::array<Faults, 2> faults_;
    std::array<std::optional<std::size_t>, 2> end_at_;
    std::set<std::shared_ptr<Session>> sessions_;
    std::atomic<std::size_t> connections_{0};
    std::thread thread_;
};

} // namespace luzia_test
