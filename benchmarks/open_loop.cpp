// open_loop.cpp: GETs begun at a fixed rate: the floor, or luzia with a callback each. One run of one contestant.
#include "floor.hpp"
#include "library.hpp"
#include "pace.hpp"

#include <string>

namespace {

using namespace benchmark;

constexpr std::string_view key = "value:100";

class FloorOpenLoop {
public:
    FloorOpenLoop(asio::io_context& io, std::uint16_t port, Pace& pace) : pace_(pace), connection_(io.get_executor(), port, *this) {
        connection_.read();
        // What is due at the same time goes into one write.
        pace.start(io, [this, &io](std::size_t) {
            connection_.queue(command_);
            if (std::exchange(is_flush_due_, true)) { return; }
            asio::post(io, [this] {
                is_flush_due_ = false;
                connection_.flush();
            });
        });
    }
    void on_value(std::string&& value) {
        require(value.size() == 100, "not the value");
        is_over_ = pace_.end(ended_++);
    }
    void on_replies(std::size_t) {
        if (is_over_) { connection_.close(); }
    }

private:
    Pace& pace_;
    std::string command_ = command_of({"GET", key});
    std::size_t ended_ = 0;
    bool is_flush_due_ = false;
    bool is_over_ = false;
    FloorConnection<FloorOpenLoop> connection_;
};

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 4, "PORT floor|luzia RATE TOTAL");
    spdlog::set_level(spdlog::level::warn);
    Pace pace(static_cast<double>(given.number(3)), given.number(4));
    asio::io_context io(1);
    if (given.text(2) == "floor") {
        FloorOpenLoop loop(io, given.port(), pace);
        io.run();
    } else {
        RawClient cache(io, options_for(given.port()));
        cache.ping([&](bool is_there) {
            require(is_there, "no server");
            pace.start(io, [&](std::size_t index) {
                cache.get(key, [&, index](const std::optional<std::string>& value) {
                    require(value && value->size() == 100, "not the value");
                    if (pace.end(index)) { cache.close(); }
                });
            });
        });
        io.run();
    }
    pace.print();
    return 0;
}
