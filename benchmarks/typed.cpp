// typed.cpp: GETs of a JSON document as a struct: luzia's typed get, or the floor and then nlohmann_json by hand.
#include "document.hpp"
#include "floor.hpp"
#include "library.hpp"

#include <string>

namespace {

using namespace benchmark;

constexpr std::string_view key = "document";

bool is_right(const Document& document) { return document.members.size() == 4 && document.tags.size() == 3; }

void store(std::uint16_t port) {
    require(nlohmann::json(make_document()).dump().size() == 437, "not the size that is told");
    asio::io_context io(1);
    JsonClient cache(io, options_for(port));
    cache.set(key, make_document(), luzia::no_expiry, [&](luzia::Effect stored) {
        require(stored.count == 1, "no server");
        cache.close();
    });
    io.run();
}

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 4, "PORT floor|luzia DEPTH TOTAL");
    spdlog::set_level(spdlog::level::warn);
    store(given.port());
    Run run(given.number(3), given.number(4));
    asio::io_context io(1);
    if (given.text(2) == "floor") {
        FloorLoop loop(
            io.get_executor(), given.port(), run, command_of({"GET", key}),
            [](std::string&& text) {
                const auto document = nlohmann::json::parse(text).get<Document>();
                require(is_right(document), "not the document");
            },
            FloorTuning::for_loop_of(run.depth(), 445));
        io.run();
    } else {
        JsonClient cache(io, options_for(given.port()));
        run_library(
            io, cache, run, [&] { return cache.get<Document>(key); },
            [](const std::optional<Document>& document) { return document && is_right(*document); });
    }
    run.print();
    return 0;
}
