// redis/plain_transport.hpp: TCP and Unix sockets as a transport.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/redis/strand.hpp>
#include <luzia/redis/transport.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <fcntl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace luzia::redis {

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

    [[nodiscard]] std::size_t try_write(std::span<const asio::const_buffer> pieces) noexcept override {
        error_code ignored;
        return pieces.size() == 1 ? socket_.write_some(pieces.front(), ignored) : socket_.write_some(pieces, ignored);
    }

    [[nodiscard]] bool gathers() const noexcept override { return true; }

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
