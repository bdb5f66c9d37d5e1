// redis/transport.hpp: a byte stream behind one small virtual interface, so that TLS is another object and not another type.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/redis/strand.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <cstddef>
#include <memory>
#include <span>
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
    /// Writes what can be written at once of what lies in these pieces, and returns how much that was. What is wrong, if anything, the next `write_some` tells.
    [[nodiscard]] virtual std::size_t try_write(std::span<const asio::const_buffer>) noexcept { return 0; }
    /// Whether many small pieces cost `try_write` no more than one. What can't gather is given a value with what stands around it, as one.
    [[nodiscard]] virtual bool gathers() const noexcept { return false; }
    /// True where bytes wait in the socket that no read has taken yet.
    [[nodiscard]] virtual bool has_unread() = 0;
    /// An error of its own operations, for the log.
    [[nodiscard]] virtual std::string describe(const error_code& error) { return error.message(); }
    virtual void close() noexcept = 0;
};

} // namespace luzia::redis
