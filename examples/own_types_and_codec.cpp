// own_types_and_codec.cpp: what a value may be, and what it looks like in Redis.
//
// Types become JSON through nlohmann_json: by its macros, or by a to_json and a from_json of one's own. A codec turns values into bytes:
// JSON by default; RawCodec, CborCodec and MessagePackCodec are there as well, and any class with encode and decode will do.
#include <luzia/cache_client.hpp>
#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asio = boost::asio;

enum class Plan { free, team };
NLOHMANN_JSON_SERIALIZE_ENUM(Plan, {{Plan::free, "free"}, {Plan::team, "team"}})

// By hand, where the JSON has another shape than the type: minutes, but "1h30m".
struct Quota {
    std::chrono::minutes time{0};
};
void to_json(nlohmann::json& json, const Quota& quota) {
    json = std::to_string(quota.time.count() / 60) + "h" + std::to_string(quota.time.count() % 60) + "m";
}
void from_json(const nlohmann::json& json, Quota& quota) {
    const auto text = json.get<std::string>();
    std::size_t length = 0;
    const int hours = std::stoi(text, &length); // throws where there is no number: the value is undecodable, a miss
    quota.time = std::chrono::minutes(hours * 60 + std::stoi(text.substr(length + 1)));
}

struct Account {
    std::string name;
    Plan plan = Plan::free;
    Quota quota;
    std::vector<std::string> tags;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Account, name, plan, quota, tags) // members missing from the JSON keep their defaults

// A codec of one's own: JSON behind a mark for the schema. Values of another schema are misses, not half-filled accounts.
class VersionedCodec {
public:
    explicit VersionedCodec(int schema) : mark_("v" + std::to_string(schema) + ":") {}

    template <class T>
    [[nodiscard]] std::string encode(const T& value) const {
        return mark_ + luzia::JsonCodec().encode(value);
    }

    template <class T>
    [[nodiscard]] std::optional<T> decode(std::string_view bytes) const {
        if (!bytes.starts_with(mark_)) { return std::nullopt; }
        return luzia::JsonCodec().decode<T>(bytes.substr(mark_.size()));
    }

private:
    std::string mark_;
};
static_assert(luzia::ValueCodec<VersionedCodec, Account>);

asio::awaitable<void> types(asio::io_context& context, luzia::CacheOptions options) {
    luzia::CacheClient cache{context, options};
    Account account;
    account.name = "acme";
    account.plan = Plan::team;
    account.quota.time = std::chrono::minutes(90);
    account.tags.push_back("new");
    co_await cache.set("account:1", account);

    luzia::RawCodec as_they_are;
    luzia::CacheClient bytes{context, options, as_they_are};
    std::optional<std::string> stored = co_await bytes.get("account:1");
    std::cout << "stored:     " << stored.value_or("nothing") << '\n';
    std::optional<Account> read = co_await cache.get<Account>("account:1");
    std::cout << "read:       " << (read ? read->name + ", " + std::to_string(read->quota.time.count()) + " minutes" : "nothing") << '\n';

    VersionedCodec first(1);
    VersionedCodec second(2);
    luzia::CacheClient old_program{context, options, first};
    luzia::CacheClient new_program{context, options, second};
    co_await old_program.set("account:2", account);
    stored = co_await bytes.get("account:2");
    std::cout << "versioned:  " << stored.value_or("nothing").substr(0, 17) << "...\n";
    luzia::Lookup<Account> same = co_await old_program.lookup<Account>("account:2");
    luzia::Lookup<Account> other = co_await new_program.lookup<Account>("account:2");
    std::cout << "schema 1:   " << luzia::to_string(same.outcome) << "\nschema 2:   " << luzia::to_string(other.outcome) << '\n';
}

asio::awaitable<void> sizes(asio::io_context& context, luzia::CacheOptions options) {
    std::vector<std::int16_t> samples;
    for (int i = 0; i < 1000; ++i) {
        samples.push_back(static_cast<std::int16_t>(i * 7919 % 4001 - 2000));
    }
    const auto raw = std::as_bytes(std::span(samples));
    std::cout << "1000 numbers: " << luzia::JsonCodec().encode(samples).size() << " bytes as JSON, "
              << luzia::CborCodec().encode(samples).size() << " as CBOR, " << luzia::RawCodec().encode(raw).size() << " as they are\n";

    luzia::CborCodec cbor;
    luzia::CacheClient cache{context, options, cbor};
    co_await cache.set("samples", samples);
    std::optional<std::vector<std::int16_t>> read = co_await cache.get<std::vector<std::int16_t>>("samples");
    std::cout << "CBOR, read back the same: " << (read == samples ? "yes" : "no") << '\n';
}

asio::awaitable<void> example(asio::io_context& context) {
    luzia::CacheOptions options = luzia::CacheOptions::from_environment();
    options.key_prefix = "own-types:";
    co_await types(context, options);
    co_await sizes(context, options);
}

int main() {
    asio::io_context context;
    asio::co_spawn(context, example(context), [](std::exception_ptr problem) {
        if (problem) { std::rethrow_exception(problem); }
    });
    context.run();
}
