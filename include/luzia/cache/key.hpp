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
        char* const out = size_ > longest_short ? long_.get() : short_.data();
        std::copy(name.begin(), name.end(), std::copy(prefix.begin(), prefix.end(), out));
    }

    [[nodiscard]] std::string_view view() const noexcept { return {size_ > longest_short ? long_.get() : short_.data(), size_}; }
    [[nodiscard]] operator std::string_view() const noexcept { return view(); }

    /// Takes the key, and leaves so much of it.
    [[nodiscard]] Key take(std::size_t kept) {
        if (!long_) { return Key(size_, short_); }
        return std::exchange(*this, Key({}, view().substr(0, kept)));
    }

private:
    static constexpr std::size_t longest_short = 48;

    Key(std::size_t size, const std::array<char, longest_short>& bytes) noexcept : size_(size), short_(bytes) {}

    std::size_t size_;
    std::array<char, longest_short> short_; // as much of it as there is a key
    std::unique_ptr<char[]> long_;
};

} // namespace luzia::cache
