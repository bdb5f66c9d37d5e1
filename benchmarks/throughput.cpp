// throughput.cpp: GETs and SETs of raw bytes in a closed loop, so many in flight: the floor, or luzia. One run of one contestant. With `give`
// each SET has a value of its own, made for it and given away.
#include "floor.hpp"
#include "library.hpp"

#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace {

using namespace benchmark;

/// The floor's loop, with commands that are made one by one and kept until their replies are there.
class GivingLoop {
public:
    GivingLoop(const asio::any_io_executor& executor, std::uint16_t port, Run& run, const std::string& command, FloorTuning tuning)
        : run_(run), command_(command), connection_(executor, port, *this, tuning) {
        run_.start();
        queue(run_.begin(run_.depth()));
        connection_.flush();
        connection_.read();
    }
    void on_value(std::string&&) {}
    void on_replies(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            sent_.pop_front();
        }
        if (run_.end(count)) {
            connection_.close();
            return;
        }
        queue(run_.begin(count));
    }

private:
    void queue(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            connection_.queue(sent_.emplace_back(command_));
        }
    }

    Run& run_;
    const std::string& command_;
    std::deque<std::string> sent_;
    FloorConnection<GivingLoop> connection_;
};

void run_floor(std::uint16_t port, std::string_view operation, std::string_view key, const std::string& value, Run& run) {
    if (operation == "give") {
        const std::string command = command_of({"SET", key, value});
        run_tuned(run, 5, [&](const asio::any_io_executor& executor, Run& one, const FloorTuning& tuning) {
            return std::make_unique<GivingLoop>(executor, port, one, command, tuning);
        });
    } else if (operation == "get") {
        run_floor_loop(port, run, command_of({"GET", key}), value.size() + 7,
                       [&](std::string&& got) { require(got.size() == value.size(), "wrong value"); });
    } else {
        run_floor_loop(port, run, command_of({"SET", key, value}), 5, [](std::string&&) {});
    }
}

void run_luzia(std::uint16_t port, std::string_view operation, std::string_view key, const std::string& value, Run& run) {
    asio::io_context io(1);
    RawClient cache(io, options_for(port));
    if (operation == "get") {
        run_library(
            io, cache, run, [&] { return cache.get(key); },
            [&](const std::optional<std::string>& got) { return got && got->size() == value.size(); });
    } else {
        const bool gives = operation == "give";
        run_library(
            io, cache, run,
            [&] { return gives ? cache.set(key, std::string(value), luzia::no_expiry) : cache.set(key, value, luzia::no_expiry); },
            [](const luzia::Effect& stored) { return stored.count == 1; });
    }
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 5, "PORT floor|luzia get|set|give DEPTH TOTAL [VALUE_BYTES]   (get: the key is there)");
    spdlog::set_level(spdlog::level::warn);
    const std::size_t bytes = given.number(6, 100);
    const std::string value(bytes, 'v');
    const std::string key = "value:" + std::to_string(bytes);
    Run run(given.number(4), given.number(5));
    (given.text(2) == "floor" ? run_floor : run_luzia)(given.port(), given.text(3), key, value, run);
    run.print(bytes >= 1024 ? bytes : 0);
    return 0;
}
