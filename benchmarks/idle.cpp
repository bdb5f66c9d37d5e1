// idle.cpp: what a connected client holds while nothing is asked of it. Wants counted.so loaded before it.
#include "floor.hpp"
#include "library.hpp"

#include <deque>

extern "C" __attribute__((weak)) std::size_t counted_bytes_held();

namespace {

using namespace benchmark;

struct NoOwner {
    void on_value(std::string&&) {}
    void on_replies(std::size_t) {}
};

template <class Make>
double bytes_each(std::size_t clients, const Make& make) {
    make(); // what the first one needs for all
    const std::size_t before = counted_bytes_held();
    for (std::size_t i = 0; i < clients; ++i) {
        make();
    }
    return static_cast<double>(counted_bytes_held() - before) / static_cast<double>(clients);
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 2, "PORT floor|luzia");
    require(counted_bytes_held != nullptr, "to be started with LD_PRELOAD=counted.so");
    spdlog::set_level(spdlog::level::warn);
    constexpr std::size_t clients = 100;
    asio::io_context io(1);
    NoOwner owner;
    std::deque<FloorConnection<NoOwner>> connections;
    std::deque<RawClient> caches;
    if (given.text(2) == "floor") {
        print_figure("bytes", bytes_each(clients, [&] { connections.emplace_back(io.get_executor(), given.port(), owner); }));
        return 0;
    }
    print_figure("bytes", bytes_each(clients, [&] {
                     bool is_there = false;
                     caches.emplace_back(io, options_for(given.port())).ping([&](bool is) { is_there = is; });
                     while (!is_there) {
                         io.run_one();
                     }
                 }));
    return 0;
}
