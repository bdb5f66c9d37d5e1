// redis/transport.hpp: a byte stream behind one small virtual interface, so that TLS is another object and not another type.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/redis/strand.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <fcntl.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace luzia::redis {

using Endpoint = asio::generic::stream_protocol::endpoint;

/// Who is told that a transport has done something. Owned through the callback, so that buffers outlive the operation.
class TransportListener {
public:
    enum class Event { connected, secured, read, written };
    virtual void on_transport(Event event, error_code error, std::size_t bytes) = 0;

protected:
    ~TransportListener() = default;
};

/// The completion handler of every transport operation: one concrete type, small enough that Asio keeps it without an allocation of ours.
class TransportCallback {
public:
    TransportCallback(std::shared_ptr<TransportListener> listener, TransportListener::Event event) noexcept
        : listener_(std::move(listener)), event_(event) {}

    void operator()(error_code error, std::size_t bytes = 0) { listener_->on_transport(event_, error, bytes); }

private:
    std::shared_ptr<TransportListener> listener_;
    TransportListener::Event event_;
};

/// A stream to one server. Used on one strand; at most one read and one write are under way.
///
/// Each callback runs on the strand, never inside the call that started it. After `close` those under way complete with an error.
class Transport {
public:
    Transport() = default;
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    virtual ~Transport() = default;

    virtual void connect(const Endpoint& endpoint, TransportCallback callback) = 0;
    /// The TLS handshake; nothing to do where there is no TLS.
    virtual void secure(TransportCallback callback) = 0;
    virtual void read_some(asio::mutable_buffer buffer, TransportCallback callback) = 0;
    virtual void write_some(asio::const_buffer buffer, TransportCallback callback) = 0;
    /// Writes what can be written at once, and returns how much that was. What is wrong, if anything, the next `write_some` tells.
    [[nodiscard]] virtual std::size_t try_write(asio::const_buffer) noexcept { return 0; }
    /// True where bytes wait in the socket that no read has taken yet.
    [[nodiscard]] virtual bool has_unread() = 0;
    /// An error of its own operations, for the log.
    [[nodiscard]] virtual std::string describe(const error_code& error) { return error.message(); }
    virtual void close() noexcept = 0;
};

/// Makes the transport of each connection attempt. `host` is the server's name, for its certificate.
using TransportFactory = std::function<std::unique_ptr<Transport>(const StreamExecutor& executor, const std::string& host)>;

namespace detail {

/// What every socket is given. A Unix socket refuses the options of TCP; it needs none of them.
template <class Socket>
void prepare(Socket& socket) {
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    socket.non_blocking(true, ignored);
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC); // a program that a fork becomes has no use for a login of ours
}

} // namespace detail

/// TCP and Unix sockets.
class PlainTransport final : public Transport {
public:
    explicit PlainTransport(const StreamExecutor& executor) : strand_(executor.strand()), socket_(strand_->outer()) {}

    [[gnu::cold]] void connect(const Endpoint& endpoint, TransportCallback callback) override {
        error_code error;
        socket_.open(endpoint.protocol(), error);
        if (error) { return fail(error, std::move(callback)); }
        detail::prepare(socket_);
        socket_.async_connect(endpoint, on_strand(std::move(callback)));
    }

    [[gnu::cold]] void secure(TransportCallback callback) override { fail(error_code(), std::move(callback)); }

    void read_some(asio::mutable_buffer buffer, TransportCallback callback) override {
        socket_.async_read_some(buffer, on_strand(std::move(callback)));
    }

    void write_some(asio::const_buffer buffer, TransportCallback callback) override {
        socket_.async_write_some(buffer, on_strand(std::move(callback)));
    }

    [[nodiscard]] std::size_t try_write(asio::const_buffer buffer) noexcept override {
        error_code ignored;
        return socket_.write_some(buffer, ignored);
    }

    [[nodiscard]] bool has_unread() override {
        error_code ignored;
        return socket_.available(ignored) > 0;
    }

    [[gnu::cold]] void close() noexcept override {
        error_code ignored;
        socket_.close(ignored);
    }

private:
    /// The socket itself is not on the strand: what is done hops there by a task, which is cheaper to run and to compile.
    class OnStrand {
    public:
        OnStrand(std::shared_ptr<Strand> strand, TransportCallback callback) noexcept
            : strand_(std::move(strand)), callback_(std::move(callback)) {}

        void operator()(error_code error, std::size_t bytes = 0) {
            strand_->dispatch([callback = std::move(callback_), error, bytes]() mutable { callback(error, bytes); });
        }

    private:
        std::shared_ptr<Strand> strand_;
        TransportCallback callback_;
    };

    [[nodiscard]] OnStrand on_strand(TransportCallback callback) const noexcept { return {strand_, std::move(callback)}; }

    [[gnu::cold]] void fail(error_code error, TransportCallback callback) {
        strand_->post([error, callback = std::move(callback)]() mutable { callback(error); });
    }

    std::shared_ptr<Strand> strand_;
    asio::basic_stream_socket<asio::generic::stream_protocol, asio::any_io_executor> socket_;
};

} // namespace luzia::redis
