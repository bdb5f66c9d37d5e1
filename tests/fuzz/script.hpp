// fuzz/script.hpp: an input read as a script, byte by byte; past its end there is nothing but zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace luzia_fuzz {

class Script {
public:
    Script(const std::uint8_t* data, std::size_t size) noexcept : rest_(reinterpret_cast<const char*>(data), size) {}

    [[nodiscard]] bool is_over() const noexcept { return rest_.empty(); }

    [[nodiscard]] unsigned next() noexcept {
        const std::string_view byte = take(1);
        return byte.empty() ? 0 : static_cast<unsigned char>(byte.front());
    }

    /// The next `size` bytes, or what is left.
    [[nodiscard]] std::string_view take(std::size_t size) noexcept {
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(taken.size());
        return taken;
    }

private:
    std::string_view rest_;
};

} // namespace luzia_fuzz
