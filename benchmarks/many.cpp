// many.cpp: the values of many keys: get_many, as many gets, MGET by hand, as many GETs by hand.
#include "floor.hpp"
#include "library.hpp"

#include <string>
#include <vector>

namespace {

using namespace benchmark;

std::vector<std::string> make_keys(std::size_t count) {
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < count; ++i) {
        keys.push_back("many:" + std::to_string(i));
    }
    return keys;
}

void store(std::uint16_t port, const std::vector<std::string>& keys) {
    asio::io_context io(1);
    RawClient cache(io, options_for(port));
    std::vector<std::pair<std::string, std::string>> entries;
    for (const std::string& key : keys) {
        entries.emplace_back(key, std::string(100, 'v'));
    }
    cache.set_many(entries, luzia::no_expiry, [&](luzia::Effect stored) {
        require(stored.count == keys.size(), "not all is stored");
        cache.close();
    });
    io.run();
}

asio::awaitable<void> get_many(RawClient& cache, const std::vector<std::string>& keys, std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) {
        const auto values = co_await cache.get_many(keys);
        require(values.size() == keys.size() && values.back(), "a value is missing");
    }
    cache.close();
}

/// All gets of a round at once, with a callback each; the next round when the last has come.
class Gets {
public:
    Gets(RawClient& cache, const std::vector<std::string>& keys, std::size_t rounds) : cache_(cache), keys_(keys), rounds_(rounds) {}
    void begin() {
        values_.assign(keys_.size(), {});
        left_ = keys_.size();
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            cache_.get(keys_[i], [this, i](std::optional<std::string> value) {
                require(value.has_value(), "a value is missing");
                values_[i] = std::move(value);
                if (--left_ != 0) { return; }
                if (--rounds_ == 0) {
                    cache_.close();
                } else {
                    begin();
                }
            });
        }
    }

private:
    RawClient& cache_;
    const std::vector<std::string>& keys_;
    std::size_t rounds_;
    std::size_t left_ = 0;
    std::vector<std::optional<std::string>> values_;
};

/// One command, or one a key, for each round.
class ByHand {
public:
    ByHand(asio::io_context& io, std::uint16_t port, const std::vector<std::string>& keys, std::size_t rounds, bool is_one_command)
        : keys_(keys.size()), replies_(is_one_command ? 1 : keys_), rounds_(rounds), connection_(io.get_executor(), port, *this) {
        std::vector<std::string_view> arguments{"MGET"};
        arguments.insert(arguments.end(), keys.begin(), keys.end());
        if (is_one_command) {
            command_ = command_of(arguments);
        } else {
            for (const std::string& key : keys) {
                command_ += command_of({"GET", key});
            }
        }
        begin();
        connection_.read();
    }
    void on_value(std::string&& value) { values_.emplace_back(std::move(value)); }
    void on_replies(std::size_t count) {
        came_ += count;
        if (came_ < replies_) { return; }
        require(values_.size() == keys_, "a value is missing");
        if (--rounds_ == 0) {
            connection_.close();
        } else {
            begin();
        }
    }

private:
    void begin() {
        came_ = 0;
        values_ = {};
        values_.reserve(keys_);
        connection_.queue(command_);
        connection_.flush();
    }

    std::size_t keys_;
    std::size_t replies_;
    std::size_t rounds_;
    std::size_t came_ = 0;
    std::string command_;
    std::vector<std::optional<std::string>> values_;
    FloorConnection<ByHand> connection_;
};

} // namespace

int main(int count, char** arguments) {
    const Arguments given(count, arguments, 4, "PORT get_many|gets|mget-by-hand|gets-by-hand KEYS ROUNDS");
    spdlog::set_level(spdlog::level::warn);
    const auto keys = make_keys(given.number(3));
    const std::size_t rounds = given.number(4);
    store(given.port(), keys);
    asio::io_context io(1);
    const auto start = Clock::now();
    if (given.text(2) == "mget-by-hand" || given.text(2) == "gets-by-hand") {
        ByHand loop(io, given.port(), keys, rounds, given.text(2) == "mget-by-hand");
        io.run();
    } else {
        RawClient cache(io, options_for(given.port()));
        Gets gets(cache, keys, rounds);
        if (given.text(2) == "get_many") {
            asio::co_spawn(io, get_many(cache, keys, rounds), asio::detached);
        } else {
            gets.begin();
        }
        io.run();
    }
    print_figure("us", seconds_since(start) / static_cast<double>(rounds) * 1e6);
    return 0;
}
