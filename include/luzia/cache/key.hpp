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
    static constexpr std::size_t longest_short = 72;

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

    /// Takes the key. A long one leaves its start, a short one stays as it is.
    [[nodiscard]] Key take() noexcept {
        Key whole(short_, size_);
        if (long_) {
            std::copy_n(long_.get(), longest_short, short_.data());
            size_ = longest_short;
            whole.long_ = std::move(long_);
        }
        return whole;
    }

private:
    Key(const std::array<char, longest_short>& bytes, std::size_t size) noexcept : short_(bytes), size_(size) {}

    std::array<char, longest_short> short_{};
    std::size_t size_;
    std::unique_ptr<char[]> long_;
};

} // namespace luzia::cache
