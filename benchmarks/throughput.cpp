// throughput.cpp: GETs and SETs of raw bytes in a closed loop, so many in flight: the floor, or luzia. One run of one contestant.
#include "floor.hpp"
#include "library.hpp"

#include <string>
#include <string_view>

namespace {

using namespace benchmark;

void run_floor(std::uint16_t port, std::string_view operation, std::string_view key, const std::string& value, Run& run) {
    if (operation == "get") {
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
        run_library(
            io, cache, run, [&] { return cache.set(key, value, luzia::no_expiry); },
            [](const luzia::Effect& stored) { return stored.count == 1; });
    }
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 5, "PORT floor|luzia get|set DEPTH TOTAL [VALUE_BYTES]   (get: the key is there)");
    spdlog::set_level(spdlog::level::warn);
    const std::size_t bytes = given.number(6, 100);
    const std::string value(bytes, 'v');
    const std::string key = "value:" + std::to_string(bytes);
    Run run(given.number(4), given.number(5));
    (given.text(2) == "floor" ? run_floor : run_luzia)(given.port(), given.text(3), key, value, run);
    run.print(bytes >= 1024 ? bytes : 0);
    return 0;
}
