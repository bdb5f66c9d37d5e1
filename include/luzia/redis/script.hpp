// redis/script.hpp: a Lua script with the digest that names it on the server, computed when the program is compiled. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace luzia::redis {

namespace detail {

/// SHA-1 (FIPS 180-4) as 40 hexadecimal digits: what EVALSHA calls a script by. For names, not for secrets.
class Sha1 {
public:
    [[nodiscard]] static constexpr std::array<char, 40> hex(std::string_view text) {
        Sha1 sha;
        const std::uint64_t bits = static_cast<std::uint64_t>(text.size()) * 8;
        for (const char c : text) {
            sha.put(static_cast<std::uint8_t>(c));
        }
        sha.put(0x80);
        while (sha.filled_ != 56) {
            sha.put(0);
        }
        for (int shift = 56; shift >= 0; shift -= 8) {
            sha.put(static_cast<std::uint8_t>(bits >> static_cast<unsigned>(shift)));
        }
        std::array<char, 40> digits{};
        for (std::size_t i = 0; i < digits.size(); ++i) {
            digits[i] = "0123456789abcdef"[(sha.state_[i / 8] >> (28 - 4 * (i % 8))) & 0xfU];
        }
        return digits;
    }

private:
    constexpr void put(std::uint8_t byte) {
        block_[filled_++] = byte;
        if (filled_ == block_.size()) { mix(); }
    }

    [[nodiscard]] static constexpr std::uint32_t turn(std::uint32_t word, unsigned by) { return (word << by) | (word >> (32 - by)); }

    constexpr void mix() {
        std::array<std::uint32_t, 80> w{};
        for (std::size_t i = 0; i < 80; ++i) {
            if (i < 16) {
                for (std::size_t k = 0; k < 4; ++k) {
                    w[i] = (w[i] << 8U) | block_[4 * i + k];
                }
            } else {
                w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
            }
        }
        auto [a, b, c, d, e] = state_;
        for (std::size_t i = 0; i < 80; ++i) {
            const std::uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            constexpr std::array<std::uint32_t, 4> k{0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
            const std::uint32_t next = turn(a, 5) + f + e + k[i / 20] + w[i];
            e = d;
            d = c;
            c = turn(b, 30);
            b = a;
            a = next;
        }
        state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d, state_[4] + e};
        filled_ = 0;
    }

    std::array<std::uint32_t, 5> state_{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    std::array<std::uint8_t, 64> block_{};
    std::size_t filled_ = 0;
};

} // namespace detail

/// A script that runs on the server as one step. Make it `constexpr`: its text must outlive every call.
class Script {
public:
    explicit constexpr Script(std::string_view source) : source_(source), digest_(detail::Sha1::hex(source)) {}

    [[nodiscard]] constexpr std::string_view source() const noexcept { return source_; }
    [[nodiscard]] constexpr std::string_view digest() const noexcept { return {digest_.data(), digest_.size()}; }

private:
    std::string_view source_;
    std::array<char, 40> digest_;
};

} // namespace luzia::redis
