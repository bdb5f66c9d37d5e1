// redis/link.hpp: what belongs to one attempt at a connection: the stream, its buffers, its parser. A new attempt gets a new one.
#pragma once

#include <luzia/hiredis/reader.hpp>
#include <luzia/redis/bytes.hpp>
#include <luzia/redis/pipeline.hpp>
#include <luzia/redis/transport.hpp>

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
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
        // No further than the end of a large string: its value may be used, and its memory free, before the next one takes some.
        const std::size_t rest = reader.rest_of_string(largest_read);
        asked_ = rest > 0 ? std::min(read_size_, rest) : read_size_;
        if (read_buffer_.size() < asked_) { read_buffer_ = std::vector<char>(largest_read); }
        transport_->read_some(asio::buffer(read_buffer_, asked_), callback(Event::read));
    }
    /// What the last read brought, until the next.
    [[nodiscard]] std::string_view received(std::size_t bytes) const noexcept { return {read_buffer_.data(), bytes}; }
    /// What that completed, and how many replies are still due: they will be as large. Of small ones a read takes a quarter of what is under way:
    /// one that took all had left the server nothing to do until they are dealt with.
    void fit_read_size(std::size_t bytes, std::size_t replies, std::size_t due) noexcept {
        constexpr std::size_t large_reply = 20UL * 1024;
        constexpr std::size_t share = 4;
        if (bytes < asked_) { is_behind_ = false; }
        if (asked_ < read_size_) { return; } // it was to end there
        if (replies > 0 && bytes < replies * large_reply && !is_behind_) {
            read_size_ = std::clamp(bytes / replies * due / share, usual_read, largest_read);
        } else if (bytes == asked_) {
            read_size_ = largest_read;
        }
    }
    /// What waits in the socket is to be read as fast as can be, from the read after the one that is under way on.
    void catch_up() noexcept {
        is_behind_ = true;
        read_size_ = largest_read;
    }
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
    // Large only where a reply may be: most connections are idle most of the time.
    static constexpr std::size_t usual_read = 16UL * 1024;
    static constexpr std::size_t largest_read = 64UL * 1024;
    std::size_t read_size_ = usual_read; ///< of the next read
    std::size_t asked_ = usual_read;     ///< of the one under way, or the last
    bool is_behind_ = false;
    std::vector<char> read_buffer_ = std::vector<char>(usual_read);
};

} // namespace luzia::redis
