// throughput.cpp: GETs a second through the public API, beside a hand-written loop over redisReader and Asio, at several depths.
#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>
#include <luzia/hiredis/version.hpp>
#include <luzia/redis/command.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::string_view key = "benchmark:key";

/// The floor: one connection, `depth` GETs kept in flight, one write for all the replies of a read.
class Floor {
public:
    Floor(asio::io_context& io, std::uint16_t port, std::size_t depth, std::size_t total)
        : socket_(io), left_to_send_(total), left_(total) {
        socket_.connect({asio::ip::make_address("127.0.0.1"), port});
        socket_.set_option(asio::ip::tcp::no_delay(true));
        const std::array<std::string_view, 2> get{"GET", key};
        luzia::redis::append_command(command_, get);
        reader_ = ::redisReaderCreateWithFunctions(&functions());
        reader_->privdata = this;
        queue(depth);
        flush();
        read();
    }
    Floor(const Floor&) = delete;
    Floor& operator=(const Floor&) = delete;
    ~Floor() { ::redisReaderFree(reader_); }

    [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
    void queue(std::size_t count) {
        count = std::min(count, left_to_send_);
        left_to_send_ -= count;
        for (std::size_t i = 0; i < count; ++i) {
            waiting_ += command_;
        }
    }

    void flush() {
        if (is_writing_ || waiting_.empty()) { return; }
        is_writing_ = true;
        writing_.swap(waiting_);
        waiting_.clear();
        asio::async_write(socket_, asio::buffer(writing_), [this](boost::system::error_code error, std::size_t) {
            if (error) { std::abort(); }
            is_writing_ = false;
            flush();
        });
    }

    void read() {
        socket_.async_read_some(asio::buffer(buffer_), [this](boost::system::error_code error, std::size_t size) {
            if (error || ::redisReaderFeed(reader_, buffer_.data(), size) != REDIS_OK) { std::abort(); }
            std::size_t replies = 0;
            void* reply = nullptr;
            while (::redisReaderGetReply(reader_, &reply) == REDIS_OK && reply != nullptr) {
                ++replies;
            }
            left_ -= replies;
            if (left_ == 0) { return; }
            queue(replies);
            flush();
            read();
        });
    }

    static redisReplyObjectFunctions& functions() {
        static redisReplyObjectFunctions all = [] {
            redisReplyObjectFunctions made{};
            made.createString = [](const redisReadTask* task, char* text, std::size_t size) -> void* {
                auto& self = *static_cast<Floor*>(task->privdata);
                self.value_ = std::string(text, size); // a value of one's own, as any caller wants
                self.bytes_ += size;
                return &self;
            };
            made.createNil = [](const redisReadTask*) -> void* { std::abort(); };
            made.freeObject = [](void*) {};
            return made;
        }();
        return all;
    }

    asio::ip::tcp::socket socket_;
    redisReader* reader_ = nullptr;
    std::string command_;
    std::string waiting_;
    std::string writing_;
    std::string value_;
    bool is_writing_ = false;
    std::size_t left_to_send_;
    std::size_t left_;
    std::size_t bytes_ = 0;
    std::array<char, 16384> buffer_{};
};

double floor_rate(std::uint16_t port, std::size_t depth, std::size_t total) {
    asio::io_context io(1);
    const auto start = Clock::now();
    Floor floor(io, port, depth, total);
    io.run();
    if (floor.bytes() != total * 100) { std::abort(); }
    return static_cast<double>(total) / std::chrono::duration<double>(Clock::now() - start).count();
}

using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

asio::awaitable<void> reader(Client& cache, std::size_t& left_to_begin, std::size_t& left) {
    while (left_to_begin > 0) {
        --left_to_begin;
        const auto value = co_await cache.get(key);
        if (!value || value->size() != 100) { std::abort(); }
        if (--left == 0) { cache.close(); }
    }
}

double library_rate(std::uint16_t port, std::size_t depth, std::size_t total) {
    asio::io_context io(1);
    luzia::CacheOptions options;
    options.url = "redis://127.0.0.1:" + std::to_string(port);
    options.command_timeout = std::chrono::seconds(20);
    Client cache(io, options);
    std::size_t left_to_begin = total;
    std::size_t left = total;
    const auto start = Clock::now();
    for (std::size_t i = 0; i < depth; ++i) {
        asio::co_spawn(io, reader(cache, left_to_begin, left), asio::detached);
    }
    io.run();
    return static_cast<double>(total) / std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) {
        std::fputs("usage: throughput PORT [RUNS]\n", stderr);
        return 2;
    }
    const auto port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
    const int runs = count > 2 ? std::atoi(arguments[2]) : 5;
    spdlog::set_level(spdlog::level::warn);
    {
        asio::io_context io;
        luzia::CacheOptions options;
        options.url = "redis://127.0.0.1:" + std::to_string(port);
        Client cache(io, options);
        const std::string value(100, 'v');
        cache.set(key, value, luzia::no_expiry, [&](luzia::Effect) { cache.close(); });
        io.run();
    }
    std::printf("%8s %14s %14s %8s\n", "depth", "floor, op/s", "luzia, op/s", "ratio");
    for (const std::size_t depth : {1UL, 64UL, 256UL, 1024UL}) {
        const std::size_t total = depth == 1 ? 30'000 : 600'000;
        std::vector<double> floors;
        std::vector<double> libraries;
        for (int run = 0; run < runs; ++run) { // in turn, so that a slow moment of the machine meets both
            floors.push_back(floor_rate(port, depth, total));
            libraries.push_back(library_rate(port, depth, total));
        }
        std::printf("%8zu %14.0f %14.0f %8.2f\n", depth, median(floors), median(libraries), median(libraries) / median(floors));
    }
    return 0;
}
