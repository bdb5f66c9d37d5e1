// cache/key.hpp: a key on its way to the server.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

namespace luzia::cache {

/// A key in full. Most are short, and stand in here: they cost no allocation, and move in a few instructions. Moved from, it is empty.
class Key {
public:
    Key(std::string_view prefix, std::string_view name) : size_(prefix.size() + name.size()) {
        if (size_ > longest_short) { long_ = std::make_unique_for_overwrite<char[]>(size_); }
        char* const out = long_ ? long_.get() : short_.data();
        std::copy(name.begin(), name.end(), std::copy(prefix.begin(), prefix.end(), out));
    }
    Key(const Key& other) : Key({}, other) {}
    Key(Key&& other) noexcept : size_(std::exchange(other.size_, 0)), long_(std::move(other.long_)), short_(other.short_) {}
    Key& operator=(const Key& other) { return *this = Key(other); }
    Key& operator=(Key&& other) noexcept {
        long_ = std::move(other.long_);
        short_ = other.short_;
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    ~Key() = default;

    [[nodiscard]] operator std::string_view() const noexcept { return {long_ ? long_.get() : short_.data(), size_}; }

private:
    static constexpr std::size_t longest_short = 40;

    std::size_t size_;
    std::unique_ptr<char[]> long_;
    std::array<char, longest_short> short_{};
};

} // namespace luzia::cache
