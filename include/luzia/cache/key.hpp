// cache/key.hpp: a key on its way to the server.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

namespace luzia::cache {

/// A key in full. Most are short, and stand in here: they cost no allocation, and move in a few instructions.
///
/// Moved from, it can only be destroyed or assigned to.
class Key {
public:
    Key(std::string_view prefix, std::string_view name) : size_(prefix.size() + name.size()) {
        if (size_ > longest_short) { long_ = std::make_unique_for_overwrite<char[]>(size_); }
        char* const out = long_ ? long_.get() : short_.data();
        std::copy(name.begin(), name.end(), std::copy(prefix.begin(), prefix.end(), out));
    }
    Key(const Key& other) : Key({}, other) {}
    Key& operator=(const Key& other) { return *this = Key(other); }
    Key(Key&&) noexcept = default;
    Key& operator=(Key&&) noexcept = default;
    ~Key() = default;

    [[nodiscard]] operator std::string_view() const noexcept { return {long_ ? long_.get() : short_.data(), size_}; }

private:
    static constexpr std::size_t longest_short = 40;

    std::size_t size_;
    std::unique_ptr<char[]> long_;
    std::array<char, longest_short> short_{};
};

} // namespace luzia::cache
