// How often large values are in memory, and how long. A program of its own: it counts what is allocated.
#include "support/fake_server.hpp"
#include "support/run.hpp"

#include <malloc.h>

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>
#include <luzia/hiredis/reader.hpp>
#include <luzia/redis/read_size.hpp>

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <future>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t large = 256UL * 1024;
constexpr std::size_t very_large = 64 * large; ///< more than a socket takes
std::atomic<int> large_blocks{0};              ///< that are allocated
std::atomic<int> large_blocks_made{0};

void* allocate(std::size_t size) noexcept {
    void* const memory = std::malloc(size); // NOLINT
    if (memory != nullptr && malloc_usable_size(memory) >= large) {
        ++large_blocks;
        ++large_blocks_made;
    }
    return memory;
}

void* allocate_or_throw(std::size_t size) {
    if (void* const memory = allocate(size)) { return memory; }
    throw std::bad_alloc();
}

void release(void* memory) noexcept {
    if (memory != nullptr && malloc_usable_size(memory) >= large) { --large_blocks; }
    std::free(memory); // NOLINT
}

} // namespace

void* operator new(std::size_t size) { return allocate_or_throw(size); }
void* operator new[](std::size_t size) { return allocate_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { release(memory); }

namespace luzia_test {
namespace {

/// A client on a thread of its own, and a server that can look into its memory.
class Memory : public testing::Test {
protected:
    using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

    /// The server has everything of it when the script goes on, and the client knows: a small command comes behind.
    void expect_set(const std::string& key, std::size_t size = large) { server.take(bytes_of_set(key, size)).expect({"GET", key}); }
    void begin_set(Client& cache, const std::string& key, std::size_t size = large) {
        cache.set(key, std::string(size, 'v'), luzia::no_expiry, [&, key](luzia::Effect) {
            blocks_at_end.push_back(large_blocks - before);
            if (blocks_at_end.size() == 1) { first_end.set_value(); }
            if (key == "one") { begin_get(cache, "next"); }
        });
        begin_get(cache, key);
    }
    void begin_get(Client& cache, const std::string& key) {
        ++pending;
        cache.get(key, [&](std::optional<std::string>) {
            if (--pending == 0) { cache.close(); }
        });
    }
    void note_blocks() {
        server.then([this] { blocks_seen.push_back(large_blocks - before); });
    }
    void run_client(const std::function<void(Client&)>& body) {
        before = large_blocks;
        server.start();
        luzia::CacheOptions options;
        options.url = server.url();
        options.command_timeout = 20s;
        options.logger = log.logger();
        asio::io_context io;
        {
            Client cache{io, options};
            body(cache);
            io.run();
        }
        server.finish();
        EXPECT_EQ(large_blocks, before);
    }

    LogLines log;
    FakeServer server;
    int before = 0;
    int pending = 0;
    std::vector<int> blocks_seen;   ///< by the server
    std::vector<int> blocks_at_end; ///< by the handlers
    std::promise<void> first_end;

    [[nodiscard]] static std::size_t bytes_of_set(const std::string& key, std::size_t size) {
        luzia::redis::Bytes bytes;
        const std::string value(size, 'v');
        luzia::redis::append_command(bytes, std::vector<std::string_view>{"SET", key, value});
        return bytes.size();
    }
};

/// A string of a reader, fed as a connection reads it.
class LongString {
public:
    explicit LongString(std::size_t size) : bytes_("$" + std::to_string(size) + "\r\n" + std::string(size, 'v') + "\r\n") {}

    /// Its next bytes.
    void feed(std::size_t size) {
        luzia::error_code error;
        EXPECT_FALSE(reader_.feed(std::string_view(bytes_).substr(fed_, size)));
        reply = reader_.next(error);
        EXPECT_FALSE(error);
        fed_ += size;
    }
    void feed_all() {
        for (std::size_t size = luzia::redis::ReadSize::usual; fed_ < bytes_.size(); size = luzia::redis::ReadSize::largest) {
            feed(std::min(size, bytes_.size() - fed_));
        }
    }

    luzia::hiredis::Reply* reply = nullptr;

private:
    std::string bytes_;
    std::size_t fed_ = 0;
    luzia::hiredis::Reader reader_;
};

TEST(Reader, MakesRoomForALargeStringOnceAndForALargerOneTwiceAndNoMoreThanItTakes) {
    for (const auto& [size, times] :
         {std::pair(large, 1), {4 * large, 1}, {4 * large + 1, 1}, {5 * large + 1, 2}, {8 * large, 2}, {64 * large, 2}}) {
        LongString string(size);
        const int before = large_blocks_made;
        string.feed_all();
        ASSERT_NE(string.reply, nullptr) << size;
        EXPECT_EQ(string.reply->text().capacity(), size);
        EXPECT_EQ(large_blocks_made - before, times) << size;
    }
}

TEST(Reader, MakesNoRoomForWhatIsOnlyAnnounced) {
    LongString string(very_large);
    const int before = large_blocks_made;
    string.feed(2000);
    EXPECT_EQ(large_blocks_made - before, 0);
    string.feed(100'000);
    EXPECT_EQ(large_blocks_made - before, 0);
    string.feed(100'000); // of half of it
    EXPECT_EQ(large_blocks_made - before, 1);
}

TEST_F(Memory, AWrittenValueIsFreedWithItsReply) {
    server.expect({"PING"}).reply("+PONG\r\n");
    expect_set("one");
    expect_set("two");
    note_blocks();
    server.reply("+OK\r\n$-1\r\n").expect({"GET", "next"}).reply("+OK\r\n$-1\r\n$-1\r\n").expect_close();
    run_client([&](Client& cache) {
        begin_set(cache, "one");
        begin_set(cache, "two");
    });
    EXPECT_EQ(blocks_seen, std::vector<int>{2});
    EXPECT_EQ(blocks_at_end, (std::vector<int>{1, 0}));
}

TEST_F(Memory, AValueThatIsAnsweredBeforeItIsWrittenIsFreedWhenItIs) {
    server.expect({"PING"}).reply("+PONG\r\n").take(1000).reply("-ERR no\r\n");
    server.then([this] { first_end.get_future().wait(); });
    server.take(bytes_of_set("early", very_large) - 1000).expect({"GET", "early"});
    note_blocks();
    server.reply("$-1\r\n").expect_close();
    run_client([&](Client& cache) { begin_set(cache, "early", very_large); });
    EXPECT_EQ(blocks_at_end, std::vector<int>{1}); // there is more to be written
    EXPECT_EQ(blocks_seen, std::vector<int>{0});
}

TEST_F(Memory, AWrittenValueIsFreedWithItsConnection) {
    server.expect({"PING"}).reply("+PONG\r\n");
    expect_set("lost", very_large);
    note_blocks();
    server.hang_up();
    run_client([&](Client& cache) { begin_set(cache, "lost", very_large); });
    EXPECT_EQ(blocks_seen, std::vector<int>{1});
    EXPECT_EQ(blocks_at_end, std::vector<int>{0});
}

} // namespace
} // namespace luzia_test
