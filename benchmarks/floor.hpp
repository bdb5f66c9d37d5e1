// floor.hpp: the floor: what redisReader and Asio alone cost, in a loop written by hand for one command. No deadlines, no cancellation,
// no reconnects; threads only where its executor is a strand.
#pragma once

#include "measure.hpp"

#include <luzia/hiredis/version.hpp>
#include <luzia/redis/command.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace benchmark {

namespace asio = boost::asio;

/// How bytes come in and go out.
struct FloorTuning {
    std::size_t read_bytes = 16 * 1024;
    std::size_t slice_bytes = 2 * 1024; ///< fed to hiredis at a time: it compacts its buffer
    std::size_t early = 12;             ///< replies after which what they allow is sent, inside a read
    bool takes_payloads = false;        ///< around hiredis

    /// The server is given the next ones before the last reply is read, or one of the two would always wait; where few are in flight, a few at a
    /// time, so that it never sleeps: to wake it costs more than a write. How many is best depends on the machine.
    [[nodiscard]] static FloorTuning for_loop_of(std::size_t depth, std::size_t reply_bytes, std::size_t share = 8) {
        FloorTuning tuning;
        if (are_long(reply_bytes)) {
            tuning.read_bytes = 64 * 1024;
            tuning.slice_bytes = 64 * 1024;
            tuning.early = 1;
            tuning.takes_payloads = true;
            return tuning;
        }
        // What a read takes is answered late: a quarter of what is under way, at most.
        tuning.read_bytes = std::clamp<std::size_t>(depth * reply_bytes / 4, 16 * 1024, 64 * 1024);
        tuning.early = std::max<std::size_t>(depth / share, 1);
        tuning.slice_bytes = std::min(tuning.slice_bytes, (tuning.early + 1) * reply_bytes);
        return tuning;
    }
    [[nodiscard]] static constexpr bool are_long(std::size_t reply_bytes) { return reply_bytes >= 8 * 1024; }
};

/// One connection. The owner has `on_value(std::string&&)`, called for each string, and `on_replies(count)`, called for each slice that was
/// read.
template <class Owner>
class FloorConnection {
public:
    FloorConnection(const asio::any_io_executor& executor, std::uint16_t port, Owner& owner, FloorTuning tuning = FloorTuning())
        : tuning_(tuning), socket_(executor), owner_(owner), buffer_(tuning.read_bytes) {
        socket_.connect({asio::ip::make_address("127.0.0.1"), port});
        socket_.set_option(asio::ip::tcp::no_delay(true));
        socket_.non_blocking(true);
        reader_ = ::redisReaderCreateWithFunctions(&functions());
        reader_->privdata = this;
    }
    FloorConnection(const FloorConnection&) = delete;
    FloorConnection& operator=(const FloorConnection&) = delete;
    ~FloorConnection() { ::redisReaderFree(reader_); }

    /// A long command is not copied, and has to stay where it is.
    void queue(const std::string& command, std::size_t count = 1) {
        if (command.size() >= 8 * 1024) {
            waiting_long_.insert(waiting_long_.end(), count, asio::buffer(command));
            return;
        }
        for (std::size_t i = 0; i < count; ++i) {
            waiting_ += command;
        }
    }

    void flush() {
        if (is_writing_ || (waiting_.empty() && waiting_long_.empty())) { return; }
        is_writing_ = true;
        if (!waiting_long_.empty()) {
            write_long();
            return;
        }
        writing_.swap(waiting_);
        waiting_.clear();
        boost::system::error_code error;
        const std::size_t written = socket_.write_some(asio::buffer(writing_), error); // mostly all of it, and then no handler is needed
        if (written == writing_.size()) {
            is_writing_ = false;
            return;
        }
        require(!error || error == asio::error::would_block, "a write failed");
        asio::async_write(socket_, asio::buffer(writing_) + written, written_handler());
    }

    void read() {
        socket_.async_read_some(asio::buffer(buffer_), [this](boost::system::error_code error, std::size_t size) {
            if (error == asio::error::operation_aborted) { return; }
            require(!error, "a read failed");
            take(size);
            if (socket_.is_open()) { read(); }
        });
    }

    void close() { socket_.close(); }

private:
    void write_long() {
        writing_long_.swap(waiting_long_);
        waiting_long_.clear();
        first_unwritten_ = 0;
        write_on();
    }

    /// As much at once as the socket takes: `async_write` would hand it 64 KiB at a time.
    void write_on() {
        while (first_unwritten_ < writing_long_.size()) {
            const auto rest = std::span<const asio::const_buffer>(writing_long_).subspan(first_unwritten_);
            boost::system::error_code error;
            const std::size_t written = socket_.write_some(rest, error);
            if (error == asio::error::would_block) {
                socket_.async_write_some(rest, [this](boost::system::error_code problem, std::size_t some) {
                    if (problem == asio::error::operation_aborted) { return; }
                    require(!problem, "a write failed");
                    skip(some);
                    write_on();
                });
                return;
            }
            require(!error, "a write failed");
            skip(written);
        }
        is_writing_ = false;
        flush();
    }

    void skip(std::size_t written) {
        while (written > 0) {
            asio::const_buffer& buffer = writing_long_[first_unwritten_];
            const std::size_t part = std::min(written, buffer.size());
            buffer += part;
            written -= part;
            if (buffer.size() == 0) { ++first_unwritten_; }
        }
    }

    auto written_handler() {
        return [this](boost::system::error_code error, std::size_t) {
            if (error == asio::error::operation_aborted) { return; }
            require(!error, "a write failed");
            is_writing_ = false;
            flush();
        };
    }

    void take(std::size_t size) {
        for (std::size_t start = 0; start < size; start += tuning_.slice_bytes) {
            const std::size_t slice = std::min(tuning_.slice_bytes, size - start);
            const std::string_view bytes(buffer_.data() + start, slice);
            const std::size_t replies = tuning_.takes_payloads ? take_payloads(bytes) : take_replies(bytes);
            if (replies != 0) { owner_.on_replies(replies); }
            unsent_ += replies;
            if (unsent_ >= tuning_.early) {
                unsent_ = 0;
                flush();
            }
        }
        unsent_ = 0;
        if (socket_.is_open()) { flush(); }
    }

    std::size_t take_replies(std::string_view bytes) {
        require(::redisReaderFeed(reader_, bytes.data(), bytes.size()) == REDIS_OK, "hiredis takes no more");
        std::size_t replies = 0;
        void* reply = nullptr;
        while (::redisReaderGetReply(reader_, &reply) == REDIS_OK && reply != nullptr) {
            ++replies;
        }
        require(reader_->err == 0, "no reply that hiredis understands");
        return replies;
    }

    /// Where every reply is a long string, or a short line: from what was read to where it stays, copied once.
    std::size_t take_payloads(std::string_view bytes) {
        std::size_t replies = 0;
        while (!bytes.empty()) {
            if (payload_left_ > 0) {
                const std::string_view some = bytes.substr(0, payload_left_);
                payload_.append(some.substr(0, payload_left_ > 2 ? payload_left_ - 2 : 0));
                payload_left_ -= some.size();
                bytes.remove_prefix(some.size());
                if (payload_left_ > 0) { break; }
                owner_.on_value(std::exchange(payload_, {}));
                ++replies;
                continue;
            }
            const std::size_t end = bytes.find('\n');
            line_ += bytes.substr(0, end);
            bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
            if (end == bytes.npos) { break; }
            require(line_.size() > 1 && (line_[0] == '$' || line_[0] == '+') && line_[1] != '-', "no such reply");
            if (line_[0] == '$') {
                const std::size_t size = std::strtoull(line_.c_str() + 1, nullptr, 10);
                payload_.reserve(size);
                payload_left_ = size + 2;
            } else {
                ++replies;
            }
            line_.clear();
        }
        return replies;
    }

    static redisReplyObjectFunctions& functions() {
        static redisReplyObjectFunctions all = [] {
            redisReplyObjectFunctions made{};
            made.createString = [](const redisReadTask* task, char* text, std::size_t size) -> void* {
                auto& self = *static_cast<FloorConnection*>(task->privdata);
                require(task->type != REDIS_REPLY_ERROR, "the server refused");
                if (task->type == REDIS_REPLY_STRING) { self.owner_.on_value(std::string(text, size)); } // a value of one's own
                return &self;
            };
            made.createArray = [](const redisReadTask* task, auto) -> void* { return task->privdata; };
            made.createNil = [](const redisReadTask*) -> void* {
                require(false, "no such key");
                return nullptr;
            };
            made.freeObject = [](void*) {};
            return made;
        }();
        return all;
    }

    FloorTuning tuning_;
    asio::ip::tcp::socket socket_;
    Owner& owner_;
    redisReader* reader_ = nullptr;
    std::string waiting_;
    std::string writing_;
    std::vector<asio::const_buffer> waiting_long_;
    std::vector<asio::const_buffer> writing_long_;
    std::size_t first_unwritten_ = 0; ///< of those
    bool is_writing_ = false;
    std::size_t unsent_ = 0;
    std::vector<char> buffer_;
    std::string line_;
    std::string payload_;
    std::size_t payload_left_ = 0; ///< with its line end
};

[[nodiscard]] inline std::string command_of(std::span<const std::string_view> arguments) {
    luzia::redis::Bytes command;
    luzia::redis::append_command(command, arguments);
    return std::string(command.view());
}
[[nodiscard]] inline std::string command_of(std::initializer_list<std::string_view> arguments) {
    return command_of(std::span(arguments.begin(), arguments.size()));
}

/// The closed loop: `depth` commands kept in flight, what is read answered with as many new ones. `use` gets each value.
template <class Use>
class FloorLoop {
public:
    FloorLoop(const asio::any_io_executor& executor, std::uint16_t port, Run& run, std::string command, Use use,
              FloorTuning tuning = FloorTuning())
        : run_(run), command_(std::move(command)), use_(std::move(use)), connection_(executor, port, *this, tuning) {
        run_.start();
        connection_.queue(command_, run_.begin(run_.depth()));
        connection_.flush();
        connection_.read();
    }
    void on_value(std::string&& value) { use_(std::move(value)); }
    void on_replies(std::size_t count) {
        if (run_.end(count)) {
            connection_.close();
            return;
        }
        connection_.queue(command_, run_.begin(count));
    }

private:
    Run& run_;
    std::string command_;
    Use use_;
    FloorConnection<FloorLoop> connection_;
};

/// Runs a loop with the tuning that is the fastest here and now, after a moment's trial of each. `begin(executor, run, tuning)` makes the loop.
template <class Begin>
void run_tuned(Run& run, std::size_t reply_bytes, const Begin& begin) {
    const auto run_with = [&](Run& one, const FloorTuning& tuning) {
        asio::io_context io(1);
        const auto loop = begin(io.get_executor(), one, tuning);
        io.run();
    };
    FloorTuning best = FloorTuning::for_loop_of(run.depth(), reply_bytes);
    double least = std::numeric_limits<double>::max();
    for (const std::size_t share : {8, 4, 5, 16, 64, 8, 4, 5, 16, 64}) {
        if (run.depth() < 4 || FloorTuning::are_long(reply_bytes)) { break; }
        const FloorTuning tuning = FloorTuning::for_loop_of(run.depth(), reply_bytes, share);
        Run trial(run.depth(), 100 * run.depth());
        run_with(trial, tuning);
        if (trial.seconds() < least) {
            least = trial.seconds();
            best = tuning;
        }
    }
    run_with(run, best);
}

template <class Use>
void run_floor_loop(std::uint16_t port, Run& run, const std::string& command, std::size_t reply_bytes, const Use& use) {
    run_tuned(run, reply_bytes, [&](const asio::any_io_executor& executor, Run& one, const FloorTuning& tuning) {
        return std::make_unique<FloorLoop<Use>>(executor, port, one, command, use, tuning);
    });
}

} // namespace benchmark
