// celery/queue.hpp: the names of keys, as kombu has them: a list for each queue and bucket of priorities. Pure.
#pragma once

#include <luzia/celery/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace luzia::celery {

/// Between the parts of a list's or a binding's name.
inline constexpr std::string_view separator("\x06\x16", 2);

/// Lowest priority of each bucket; 0 is served first.
inline constexpr std::array<int, 4> priority_steps{0, 3, 6, 9};

[[nodiscard]] constexpr int bucket_of(int priority) noexcept { return std::clamp(priority, 0, 9) / 3 * 3; }

/// The list that holds a queue's messages of this priority.
[[nodiscard]] inline std::string list_of(std::string_view prefix, std::string_view queue, int priority) {
    std::string name(prefix);
    name += queue;
    if (const int bucket = bucket_of(priority); bucket != 0) { name.append(separator).append(std::to_string(bucket)); }
    return name;
}

/// Fit for the name of a task or a queue: something, not endless, text without control bytes (the separator's among them).
[[nodiscard]] inline bool is_name(std::string_view text) noexcept {
    if (text.empty() || text.size() > 1024) { return false; }
    const bool has_control =
        std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    return !has_control && is_utf8(text);
}

/// Fit for a task id, which becomes part of a key and of a channel: as a name, and 256 bytes at most. Python takes any text.
[[nodiscard]] inline bool is_task_id(std::string_view text) noexcept { return text.size() <= 256 && is_name(text); }

} // namespace luzia::celery
