// redis/bytes.hpp: bytes to be sent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace luzia::redis {

/// A string whose room is written to directly: a `std::string` would fill it with zeros first.
class Bytes {
public:
    Bytes() = default;
    Bytes(Bytes&& other) noexcept { swap(other); }
    Bytes& operator=(Bytes&& other) noexcept {
        Bytes(std::move(other)).swap(*this);
        return *this;
    }

    [[nodiscard]] std::string_view view() const noexcept { return {data_.get(), size_}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] static constexpr std::size_t max_size() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// The room stays.
    void clear() noexcept { size_ = 0; }

    void reserve(std::size_t capacity) {
        if (capacity <= capacity_) { return; }
        if (capacity > max_size()) { throw std::length_error("more bytes than there can be"); }
        auto larger = std::make_unique_for_overwrite<char[]>(capacity);
        std::copy_n(data_.get(), size_, larger.get());
        data_ = std::move(larger);
        capacity_ = capacity;
    }

    [[nodiscard]] char* begin() noexcept { return data_.get(); }
    /// The room behind what there is.
    [[nodiscard]] char* end() noexcept { return data_.get() + size_; }
    /// The same, with room for so many more.
    [[nodiscard]] char* room_for(std::size_t more) {
        if (more > capacity_ - size_) { reserve(std::max(size_ + more, 2 * capacity_)); }
        return end();
    }
    /// As far as this, it was written to.
    void end_at(const char* end) noexcept { size_ = static_cast<std::size_t>(end - data_.get()); }

    void append(std::string_view bytes) { end_at(std::copy(bytes.begin(), bytes.end(), room_for(bytes.size()))); }

    void swap(Bytes& other) noexcept {
        data_.swap(other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

private:
    std::unique_ptr<char[]> data_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace luzia::redis
