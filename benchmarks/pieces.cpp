// pieces.cpp: the pieces that need no server, one by one, with Google Benchmark: codecs, reply reader, commands, globs, the memory backend.
#include "document.hpp"

#include <luzia/backend/glob.hpp>
#include <luzia/backend/memory_backend.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/json_codec.hpp>
#include <luzia/codec/raw_codec.hpp>
#include <luzia/hiredis/reader.hpp>
#include <luzia/redis/command.hpp>

#include <benchmark/benchmark.h>
#include <boost/asio/io_context.hpp>

#include <array>
#include <cstdlib>
#include <string>

namespace {

using ::benchmark::Document;
using ::benchmark::State;

template <class Codec>
void encode(State& state) {
    const Document document = ::benchmark::make_document();
    const Codec codec;
    for (auto _ : state) {
        ::benchmark::DoNotOptimize(codec.encode(document));
    }
}
BENCHMARK(encode<luzia::JsonCodec>)->Name("encode a document as JSON");
BENCHMARK(encode<luzia::CborCodec>)->Name("encode a document as CBOR");
BENCHMARK(encode<luzia::MessagePackCodec>)->Name("encode a document as MessagePack");

template <class Codec>
void decode(State& state) {
    const Codec codec;
    const std::string text = codec.encode(::benchmark::make_document());
    for (auto _ : state) {
        ::benchmark::DoNotOptimize(codec.template decode<Document>(std::string(text)));
    }
}
BENCHMARK(decode<luzia::JsonCodec>)->Name("decode a document from JSON");
BENCHMARK(decode<luzia::CborCodec>)->Name("decode a document from CBOR");
BENCHMARK(decode<luzia::MessagePackCodec>)->Name("decode a document from MessagePack");

void decode_by_hand(State& state) {
    const std::string text = nlohmann::json(::benchmark::make_document()).dump();
    for (auto _ : state) {
        ::benchmark::DoNotOptimize(std::string(text)); // as above
        ::benchmark::DoNotOptimize(nlohmann::json::parse(text).get<Document>());
    }
}
BENCHMARK(decode_by_hand)->Name("parse and get by hand");

/// What is left where no tree of values is made: the least that a decoder could take which fills its target while it parses.
void scan_by_hand(State& state) {
    const std::string text = nlohmann::json(::benchmark::make_document()).dump();
    for (auto _ : state) {
        ::benchmark::DoNotOptimize(nlohmann::json::accept(text));
    }
}
BENCHMARK(scan_by_hand)->Name("scan by hand");

void read_replies(State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    const std::string reply = "$" + std::to_string(size) + "\r\n" + std::string(size, 'v') + "\r\n";
    std::string slice;
    do {
        slice += reply;
    } while (slice.size() + reply.size() <= 2048);
    const std::size_t replies = slice.size() / reply.size();
    luzia::hiredis::Reader reader;
    luzia::error_code error;
    for (auto _ : state) {
        std::size_t read = 0;
        for (std::size_t start = 0; start < slice.size(); start += 16 * 1024) { // as a connection reads
            if (reader.feed(std::string_view(slice).substr(start, 16 * 1024))) { std::abort(); }
            while (auto* const value = reader.next(error)) {
                std::string text = std::move(*value).text(); // as an operation takes it
                ::benchmark::DoNotOptimize(text);
                ++read;
            }
        }
        if (read != replies) { std::abort(); }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(replies) * state.iterations());
}
BENCHMARK(read_replies)->Name("read a reply of bytes:")->Arg(1)->Arg(100)->Arg(1024)->Arg(16 * 1024);

void append_command(State& state) {
    luzia::redis::Bytes out;
    const std::array<std::string_view, 2> get{"GET", "org:123:metrics"};
    for (auto _ : state) {
        if (out.size() > 60'000) { out.clear(); }
        luzia::redis::append_command(out, get);
        ::benchmark::DoNotOptimize(out.view().data());
    }
}
BENCHMARK(append_command)->Name("append a GET");

void match(State& state, const char* pattern) {
    const std::string key = "org:123:user:456:metrics:daily";
    for (auto _ : state) {
        ::benchmark::DoNotOptimize(luzia::backend::glob_matches(pattern, key));
    }
}
BENCHMARK_CAPTURE(match, prefix, "org:123:*")->Name("glob org:123:*");
BENCHMARK_CAPTURE(match, inner, "org:*:user:*:daily")->Name("glob org:*:user:*:daily");
BENCHMARK_CAPTURE(match, sets, "org:[0-9]*:user:[^a]*")->Name("glob org:[0-9]*:user:[^a]*");

void memory_get(State& state) {
    boost::asio::io_context io(1);
    luzia::CacheOptions options;
    luzia::CacheClient<luzia::MemoryBackend, luzia::RawCodec> cache(luzia::MemoryBackend(io.get_executor()), options);
    cache.set("key", std::string(100, 'v'), [](luzia::Effect) {});
    for (auto _ : state) {
        cache.get("key", [](const std::optional<std::string>& value) {
            if (!value) { std::abort(); }
        });
        io.restart();
        io.poll();
    }
}
BENCHMARK(memory_get)->Name("get from the memory backend");

void store_get(State& state) {
    luzia::backend::MemoryLimits limits;
    luzia::backend::MemoryStore store(limits);
    const auto now = std::chrono::steady_clock::now();
    const auto keys = static_cast<std::size_t>(state.range(0));
    std::vector<std::string> names;
    for (std::size_t i = 0; i < keys; ++i) {
        names.push_back("key:" + std::to_string(i));
        store.set(names.back(), "value", std::chrono::seconds(300), now);
    }
    std::size_t at = 0;
    for (auto _ : state) {
        ::benchmark::DoNotOptimize(store.get(names[at], now));
        at = (at + 7919) % keys;
    }
}
BENCHMARK(store_get)->Name("look up in a memory store of keys:")->Arg(10)->Arg(1'000)->Arg(100'000);

} // namespace

BENCHMARK_MAIN();
