// codec/tree_builder.hpp: a parser's events as a tree of JSON values, built over an older tree whose memory it takes. Pure.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace luzia::codec {

/// Makes the tree that nlohmann_json's own parser makes: of members with one name the last one stays. Where the tree that it finds has the
/// same shape, as that of the document before often has, no memory is asked for: strings, elements and members are overwritten. What the
/// older tree had more is freed, and room that is more than twice what is needed too, so that a tree never keeps more than a few times the
/// memory of its last document. It ends a parse that nests too deep.
class TreeBuilder {
public:
    using Json = nlohmann::json;
    using number_integer_t = Json::number_integer_t;
    using number_unsigned_t = Json::number_unsigned_t;
    using number_float_t = Json::number_float_t;
    using string_t = Json::string_t;
    using binary_t = Json::binary_t;

    explicit TreeBuilder(std::size_t deepest) noexcept : deepest_(deepest) {}

    /// What the last parse has made of its document, if it succeeded.
    [[nodiscard]] Json& tree() noexcept { return tree_; }

    /// For another document.
    void restart(std::size_t deepest) noexcept {
        deepest_ = deepest;
        open_.clear();
        read_.clear();
    }

    bool null() { return put(nullptr); }
    bool boolean(bool value) { return put(value); }
    bool number_integer(number_integer_t value) { return put(value); }
    bool number_unsigned(number_unsigned_t value) { return put(value); }
    bool number_float(number_float_t value, const string_t& /*text*/) { return put(value); }
    bool binary(binary_t& value) { return put(Json::binary(std::move(value))); }

    bool string(const string_t& value) {
        Json& place = next();
        if (auto* const older = place.get_ptr<string_t*>(); older != nullptr && older->capacity() / 2 <= value.size() + spare) {
            *older = value;
        } else {
            place = value;
        }
        return true;
    }

    bool start_object(std::size_t /*size*/) {
        Json& place = next();
        if (!place.is_object()) { place = Json::object(); }
        return open({&place, read_.size(), !place.empty()});
    }

    bool key(const string_t& name) {
        const Level& level = open_.back();
        Json& object = *level.value;
        const auto older = level.has_older ? object.find(name) : object.end();
        read_.push_back(older != object.end() ? &*older : &object[name]);
        return true;
    }

    bool end_object() {
        const Level level = close();
        const auto first = read_.begin() + static_cast<std::ptrdiff_t>(level.start);
        if (level.has_older) {
            auto& members = level.value->get_ref<Json::object_t&>();
            std::sort(first, read_.end());
            const auto last = std::unique(first, read_.end());
            if (static_cast<std::size_t>(last - first) < members.size()) {
                std::erase_if(members, [&](const auto& member) { return !std::binary_search(first, last, &member.second); });
            }
        }
        read_.erase(first, read_.end());
        return true;
    }

    bool start_array(std::size_t /*size*/) {
        Json& place = next();
        if (!place.is_array()) { place = Json::array(); }
        return open({&place, 0, false});
    }

    bool end_array() {
        const Level level = close();
        auto& elements = level.value->get_ref<Json::array_t&>();
        elements.resize(level.start);
        if (elements.capacity() / 2 > elements.size() + spare) { *level.value = Json(std::as_const(*level.value)); }
        return true;
    }

    bool parse_error(std::size_t /*where*/, const std::string& /*token*/, const Json::exception& /*error*/) { return false; }

private:
    /// An array or object that is being read.
    struct Level {
        Json* value;
        std::size_t start; ///< elements of the array, or where the members of the object begin in `read_`
        bool has_older;    ///< an object that has members of the older one
    };

    static constexpr std::size_t spare = 32; ///< so much room is never too much

    template <class Value>
    bool put(Value&& value) {
        next() = std::forward<Value>(value);
        return true;
    }

    bool open(const Level& level) {
        open_.push_back(level);
        return open_.size() <= deepest_;
    }

    Level close() {
        const Level level = open_.back();
        open_.pop_back();
        return level;
    }

    /// Where the next value belongs.
    [[nodiscard]] Json& next() {
        if (open_.empty()) { return tree_; }
        Level& level = open_.back();
        auto* const elements = level.value->get_ptr<Json::array_t*>();
        if (elements == nullptr) { return *read_.back(); }
        const std::size_t place = level.start++;
        return place < elements->size() ? (*elements)[place] : level.value->emplace_back();
    }

    Json tree_;
    std::size_t deepest_;
    std::vector<Level> open_;
    std::vector<Json*> read_; ///< members of what is open, the last one's value being what comes next where that is an object
};

} // namespace luzia::codec
