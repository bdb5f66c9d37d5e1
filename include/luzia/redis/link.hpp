// redis/link.hpp: what belongs to one attempt at a connection: the stream, its buffers, its parser. A new attempt gets a new one.
#pragma once

#include <luzia/hiredis/reader.hpp>
#include <luzia/redis/bytes.hpp>
#include <luzia/redis/pipeline.hpp>
#include <luzia/redis/read_size.hpp>
#include <luzia/redis/transport.hpp>

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::redis {

/// Hands what its transport reports on to the connection, unless the connection has moved on to another link: then the report is stale.
/// Kept alive by the callbacks under way, so that no buffer is freed beneath them.
class Link final : public TransportListener, public std::enable_shared_from_this<Link> {
public:
    /// What a link tells its connection. Called on the strand.
    class Owner {
    public:
        virtual void on_link_event(Event event, error_code error, std::size_t bytes) = 0;

    protected:
        ~Owner() = default;
    };

    Link(std::unique_ptr<Transport> transport, hiredis::ReaderLimits limits, std::shared_ptr<Owner> owner)
        : reader(limits), transport_(std::move(transport)), owner_(std::move(owner)) {}

    void connect(const Endpoint& endpoint) { transport_->connect(endpoint, callback(Event::connected)); }
    void secure() { transport_->secure(callback(Event::secured)); }
    void read() {
        const std::size_t size = read_size_.next(reader.rest_of_string(ReadSize::largest));
        if (size > read_buffer_.size()) { grow_read_buffer(); }
        transport_->read_some(asio::buffer(read_buffer_, size), callback(Event::read));
    }
    /// What the last read brought, until the next.
    [[nodiscard]] std::string_view received(std::size_t bytes) const noexcept { return {read_buffer_.data(), bytes}; }
    /// The replies that the last read completed, and how many are still due. Returns whether more is likely to wait.
    [[nodiscard]] bool fit_read_size(std::size_t bytes, std::size_t replies, std::size_t due) noexcept {
        return read_size_.fit(bytes, replies, due);
    }
    /// What waits in the socket is to be read as fast as can be.
    void catch_up() noexcept { read_size_.catch_up(); }
    [[nodiscard]] bool has_unread() { return transport_->has_unread(); }
    [[nodiscard]] std::string describe(const error_code& error) { return transport_->describe(error); }

    /// Writes what stands in `outgoing`, or the rest of it. Where all of it could be written at once nothing is reported.
    void write() {
        is_writing_ = true;
        if (!transport_->gathers() && outgoing.size() <= largest_joined) { outgoing.join(); }
        for (;;) {
            const Pieces next = unwritten();
            const std::size_t bytes = transport_->try_write(next.all());
            if (wrote(bytes)) { return; }
            if (bytes < next.size()) { return transport_->write_some(unwritten().all().front(), callback(Event::written)); }
        }
    }

    /// Counts what was written; true once all of `outgoing` was, which is empty then.
    [[nodiscard]] bool wrote(std::size_t bytes) {
        written_ += bytes;
        if (written_ < outgoing.size()) { return false; }
        written_ = 0;
        is_writing_ = false;
        written_payloads_ = outgoing.take_payloads();
        outgoing.clear();
        if (outgoing.text.capacity() > largest_kept) { outgoing.text = Bytes(); }
        return true;
    }

    /// The payloads that were written last: they may be needed no longer.
    [[nodiscard]] std::vector<Payload> take_written() noexcept { return std::exchange(written_payloads_, {}); }

    [[nodiscard]] bool is_writing() const noexcept { return is_writing_; }

    /// Nothing is reported from here on.
    void close() noexcept {
        owner_.reset();
        transport_->close();
    }

    hiredis::Reader reader;
    Wire outgoing;

private:
    /// Of the bytes that are written next: where they lie.
    class Pieces {
    public:
        [[nodiscard]] std::span<const asio::const_buffer> all() const noexcept { return {pieces_.data(), count_}; }
        [[nodiscard]] std::size_t size() const noexcept { return size_; }
        void add(std::string_view piece) noexcept {
            if (piece.empty() || count_ == pieces_.size()) { return; }
            pieces_[count_++] = asio::buffer(piece);
            size_ += piece.size();
        }

    private:
        std::array<asio::const_buffer, 9> pieces_; // four payloads and what stands around them
        std::size_t count_ = 0;
        std::size_t size_ = 0;
    };

    [[nodiscard]] Pieces unwritten() const noexcept {
        Pieces pieces;
        std::size_t written = written_;
        outgoing.for_each_piece([&](std::string_view piece) {
            const std::size_t part = std::min(written, piece.size());
            written -= part;
            pieces.add(piece.substr(part));
        });
        return pieces;
    }

    static constexpr std::size_t largest_kept = 1024UL * 1024;
    static constexpr std::size_t largest_joined = 64UL * 1024;

    [[gnu::cold]] void grow_read_buffer() noexcept {
        try {
            read_buffer_ = std::vector<char>(ReadSize::most);
        } catch (const std::bad_alloc&) {} // the smaller one will do
    }

    TransportCallback callback(Event event) { return {shared_from_this(), event}; }

    void on_transport(Event event, error_code error, std::size_t bytes) override {
        // A copy: the connection may drop this link, and the link its owner, meanwhile.
        if (const auto owner = owner_) { owner->on_link_event(event, error, bytes); }
    }

    std::unique_ptr<Transport> transport_;
    std::shared_ptr<Owner> owner_;
    std::size_t written_ = 0;
    std::vector<Payload> written_payloads_;
    bool is_writing_ = false;
    ReadSize read_size_;
    // Larger once that is asked for: most connections are idle most of the time.
    std::vector<char> read_buffer_ = std::vector<char>(ReadSize::usual);
};

} // namespace luzia::redis
