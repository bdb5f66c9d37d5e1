// tests/support/fake_server.hpp: a scripted server with control over every byte, for what a real one can't be made to do.
#pragma once

#include <gtest/gtest.h>
#include <luzia/redis/command.hpp>

#include <poll.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace luzia_test {

/// Plays one script to each connection it accepts, in turn, on a thread of its own:
///
///     server.expect({"AUTH", "secret"}).reply("+OK\r\n").expect({"GET", "k"}).reply("$1\r\nv\r\n").expect_close();
///     server.next_connection().expect({"PING"}).hang_up();
///
/// What comes and was not expected is a failure of the test, told by `finish` (or the destructor).
class FakeServer {
public:
    FakeServer() : acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}) {}
    FakeServer(const FakeServer&) = delete;
    FakeServer& operator=(const FakeServer&) = delete;
    ~FakeServer() { finish(); }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }

    FakeServer& expect(std::initializer_list<std::string_view> command) {
        luzia::redis::Bytes bytes;
        luzia::redis::append_command(bytes, {command.begin(), command.size()});
        return add([this, text = std::string(bytes.view())](Socket& socket) { read_exactly(socket, text); });
    }
    FakeServer& expect(const std::vector<std::string>& command) {
        luzia::redis::Bytes bytes;
        luzia::redis::append_command(bytes, std::vector<std::string_view>(command.begin(), command.end()));
        return add([this, text = std::string(bytes.view())](Socket& socket) { read_exactly(socket, text); });
    }
    FakeServer& reply(std::string bytes) {
        return add([bytes = std::move(bytes)](Socket& socket) { send(socket, bytes); });
    }
    FakeServer& reply_error(const std::string& text) { return reply("-" + text + "\r\n"); }
    /// In two writes, the first of so many bytes.
    FakeServer& reply_split(const std::string& bytes, std::size_t at) { return reply(bytes.substr(0, at)).reply(bytes.substr(at)); }
    /// Before anything is asked: the same as a reply, named for what it is.
    FakeServer& say(std::string bytes) { return reply(std::move(bytes)); }
    /// The same piece again and again, until the client has enough or so many bytes are sent.
    FakeServer& flood(std::string piece, std::size_t bytes) {
        return add([piece = std::move(piece), bytes](Socket& socket) {
            for (std::size_t sent = 0; sent < bytes && send(socket, piece); sent += piece.size()) {}
        });
    }
    /// Whatever comes, so many bytes of it.
    FakeServer& take(std::size_t bytes) {
        return add([this, bytes](Socket& socket) {
            std::vector<char> buffer(std::min<std::size_t>(bytes, 64 * 1024));
            boost::system::error_code error;
            for (std::size_t got = 0; got < bytes && !error;) {
                if (!wait_readable(socket.native_handle())) { return problems_.emplace_back("the client sends nothing more"), void(); }
                got += socket.read_some(boost::asio::buffer(buffer, bytes - got), error);
            }
            if (error) { problems_.emplace_back("the client has gone, and had more to send"); }
        });
    }
    /// Whatever the next read brings.
    FakeServer& take_some(std::string& into) {
        return add([this, &into](Socket& socket) {
            char buffer[4096];
            boost::system::error_code error;
            if (!wait_readable(socket.native_handle())) { return problems_.emplace_back("the client sends nothing"), void(); }
            into.assign(buffer, socket.read_some(boost::asio::buffer(buffer), error));
        });
    }
    /// No more will be said; what the client says is still heard.
    FakeServer& half_close() {
        return add([](Socket& socket) {
            boost::system::error_code ignored;
            socket.shutdown(Socket::shutdown_send, ignored);
        });
    }
    /// One byte a write.
    FakeServer& dribble(std::string bytes) {
        return add([bytes = std::move(bytes)](Socket& socket) {
            for (const char byte : bytes) {
                send(socket, {&byte, 1});
            }
        });
    }
    /// The client must close; what it still sends is read and dropped.
    FakeServer& expect_close() {
        return add([this](Socket& socket) {
            char buffer[4096];
            boost::system::error_code error;
            while (!error) {
                if (!wait_readable(socket.native_handle())) {
                    problems_.emplace_back("the client did not close");
                    return;
                }
                socket.read_some(boost::asio::buffer(buffer), error);
            }
        });
    }
    FakeServer& hang_up() {
        return add([](Socket& socket) {
            boost::system::error_code ignored;
            socket.close(ignored);
        });
    }
    FakeServer& reset() {
        return add([](Socket& socket) {
            boost::system::error_code ignored;
            socket.set_option(boost::asio::socket_base::linger(true, 0), ignored);
            socket.close(ignored);
        });
    }
    /// Runs in the middle of the script, for the test to look at things.
    FakeServer& then(std::function<void()> look) {
        return add([look = std::move(look)](Socket&) { look(); });
    }
    FakeServer& next_connection() {
        scripts_.emplace_back();
        return *this;
    }

    /// The script is complete: play it.
    void start() {
        thread_ = std::thread([this] { play(); });
    }

    /// Waits until the script has been played.
    void finish() {
        if (thread_.joinable()) { thread_.join(); }
        for (const std::string& problem : std::exchange(problems_, {})) {
            ADD_FAILURE() << "fake server: " << problem;
        }
    }

private:
    using Socket = boost::asio::ip::tcp::socket;
    using Act = std::function<void(Socket&)>;

    FakeServer& add(Act act) {
        if (scripts_.empty()) { scripts_.emplace_back(); }
        scripts_.back().push_back(std::move(act));
        return *this;
    }

    void play() {
        for (const auto& script : scripts_) {
            boost::system::error_code error;
            Socket socket(io_);
            if (!wait_readable(acceptor_.native_handle())) {
                problems_.emplace_back("nobody connected");
                return;
            }
            acceptor_.accept(socket, error);
            for (const Act& act : script) {
                act(socket);
            }
        }
        boost::system::error_code ignored;
        acceptor_.close(ignored);
    }

    void read_exactly(Socket& socket, const std::string& expected) {
        std::string got;
        while (got.size() < expected.size()) {
            char buffer[4096];
            boost::system::error_code error;
            if (!wait_readable(socket.native_handle())) { break; }
            const std::size_t size =
                socket.read_some(boost::asio::buffer(buffer, std::min(sizeof buffer, expected.size() - got.size())), error);
            got.append(buffer, size);
            if (error || expected.compare(0, got.size(), got) != 0) { break; }
        }
        if (got != expected) { problems_.push_back("expected " + expected + " and got " + got); }
    }

    static bool wait_readable(int descriptor) {
        pollfd entry{descriptor, POLLIN, 0};
        return ::poll(&entry, 1, 20000) == 1;
    }

    static bool send(Socket& socket, std::string_view bytes) {
        boost::system::error_code error;
        boost::asio::write(socket, boost::asio::buffer(bytes), error);
        return !error;
    }

    boost::asio::io_context io_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::uint16_t port_ = acceptor_.local_endpoint().port();
    std::vector<std::vector<Act>> scripts_;
    std::vector<std::string> problems_;
    std::thread thread_;
};

} // namespace luzia_test
