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
/// older tree had more is freed, and so is room of more than twice what is needed, so that a tree never grows to more than a few times what
/// its document takes. It ends a parse that nests too deep. `Json` is `nlohmann::json`, whose name says how it was configured.
template <class Json = nlohmann::json>
class TreeBuilder {
public:
    using number_integer_t = typename Json::number_integer_t;
    using number_unsigned_t = typename Json::number_unsigned_t;
    using number_float_t = typename Json::number_float_t;
    using string_t = typename Json::string_t;
    using binary_t = typename Json::binary_t;

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
    bool binary(binary_t& value) { return put(std::move(value)); }

    bool string(const string_t& value) {
        Json& place = next();
        if (auto* const older = place.template get_ptr<string_t*>();
            older != nullptr && older->capacity() / 2 <= value.size() + spare_bytes) {
            *older = value;
        } else {
            place = value;
        }
        return true;
    }

    bool start_object(std::size_t /*size*/) {
        Json& place = next();
        if (!place.is_object()) { place = Json::object(); }
        return open({&place, !place.empty(), nullptr, read_.size()});
    }

    bool key(const string_t& name) {
        Level& level = open_.back();
        const auto older = level.has_older ? level.value->find(name) : level.value->end();
        level.member = older != level.value->end() ? &*older : &(*level.value)[name];
        if (level.has_older) { read_.push_back(level.member); }
        return true;
    }

    bool end_object() {
        const Level level = close();
        if (!level.has_older) { return true; }
        auto& members = level.value->template get_ref<typename Json::object_t&>();
        const auto first = read_.begin() + static_cast<std::ptrdiff_t>(level.start);
        std::sort(first, read_.end());
        const auto last = std::unique(first, read_.end()); // a name may stand twice
        if (static_cast<std::size_t>(last - first) < members.size()) {
            std::erase_if(members, [&](const auto& member) { return !std::binary_search(first, last, &member.second); });
        }
        read_.erase(first, read_.end());
        return true;
    }

    bool start_array(std::size_t /*size*/) {
        Json& place = next();
        if (!place.is_array()) { place = Json::array(); }
        return open({&place, false, nullptr, 0});
    }

    bool end_array() {
        const Level level = close();
        auto& elements = level.value->template get_ref<Array&>();
        elements.resize(level.start);
        if (elements.capacity() / 2 > elements.size() + spare_elements) {
            *level.value = Array(std::make_move_iterator(elements.begin()), std::make_move_iterator(elements.end()));
        }
        return true;
    }

    bool parse_error(std::size_t /*where*/, const std::string& /*token*/, const typename Json::exception& /*error*/) { return false; }

private:
    using Array = typename Json::array_t;

    /// An array or object that is being read.
    struct Level {
        Json* value;
        bool has_older;    ///< an object that had members when its reading began
        Json* member;      ///< of an object, what comes next
        std::size_t start; ///< of an array, how much has come; of an object, where its members begin in `read_`
    };

    // So much room is never too much.
    static constexpr std::size_t spare_bytes = 32;
    static constexpr std::size_t spare_elements = 2;

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
        if (!level.value->is_array()) { return *level.member; }
        auto& elements = level.value->template get_ref<Array&>();
        const std::size_t place = level.start++;
        return place < elements.size() ? elements[place] : level.value->emplace_back();
    }

    Json tree_;
    std::size_t deepest_;
    std::vector<Level> open_;
    std::vector<Json*> read_; ///< of each open object that has older members, those that have come
};

} // namespace luzia::codec
