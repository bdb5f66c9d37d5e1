// celery/identity.hpp: names nobody else has: task ids, delivery tags, node names.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <random>
#include <string>

namespace luzia::celery {

/// Makes random (version 4) UUIDs. Safe to share between threads.
class IdSource {
public:
    IdSource() {
        std::random_device device;
        std::array<std::uint32_t, 8> seed{};
        for (std::uint32_t& word : seed) {
            word = device();
        }
        std::seed_seq sequence(seed.begin(), seed.end());
        random_.seed(sequence);
    }

    [[nodiscard]] std::string next() {
        std::array<std::uint64_t, 2> bits{};
        {
            const std::scoped_lock lock(mutex_);
            bits = {random_(), random_()};
        }
        bits[0] = (bits[0] & ~0xf000ULL) | 0x4000ULL;
        bits[1] = (bits[1] & ~(3ULL << 62U)) | (2ULL << 62U);
        std::string text;
        text.reserve(36);
        for (unsigned i = 0; i < 32; ++i) {
            if (i == 8 || i == 12 || i == 16 || i == 20) { text += '-'; }
            text += "0123456789abcdef"[(bits[i / 16] >> (60 - 4 * (i % 16))) & 0xfU];
        }
        return text;
    }

private:
    std::mutex mutex_;
    std::mt19937_64 random_;
};

[[nodiscard]] inline std::string host_name() {
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') { return "localhost"; }
    return name;
}

/// Who sent a message, for people who read it.
[[nodiscard]] inline std::string origin() { return std::to_string(::getpid()) + "@" + host_name(); }

} // namespace luzia::celery
