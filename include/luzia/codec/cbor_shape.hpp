// codec/cbor_shape.hpp: walks over a CBOR document without calling itself, to see whether a parser that does may be let at it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

namespace luzia::codec {

/// Reads heads and skips payloads (RFC 8949, section 3). What ends early, nests deeper than `limit`, or puts a string of unknown length
/// into another, which the RFC forbids and some parsers follow by recursion, is not well-shaped.
class CborWalk {
public:
    static constexpr std::size_t limit = 256;

    explicit CborWalk(std::string_view bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] bool is_well_shaped() {
        left_.push_back(1);
        while (!left_.empty()) {
            if (left_.back() == 0) {
                left_.pop_back();
                continue;
            }
            if (left_.back() != until_break) { --left_.back(); }
            if (!take_item()) { return false; }
        }
        return true;
    }

private:
    enum Major : unsigned { unsigned_number, negative_number, byte_string, text_string, array, map, tag, simple };
    static constexpr std::uint64_t until_break = std::numeric_limits<std::uint64_t>::max();
    static constexpr unsigned unknown_length = 31;

    struct Head {
        unsigned major;
        unsigned info;
        std::uint64_t argument;
    };

    [[nodiscard]] bool take_item() {
        const auto head = take_head();
        if (!head) { return false; }
        switch (head->major) {
        // Down to -2^64 by the RFC: what does not fit 64 bits would be read as another number.
        case negative_number: return head->argument <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        case byte_string:
        case text_string: return head->info == unknown_length ? skip_chunks(head->major) : skip(head->argument);
        case array: return open(head->info == unknown_length ? until_break : head->argument);
        case map:
            if (head->info == unknown_length) { return open(until_break); }
            return head->argument <= bytes_.size() && open(head->argument * 2);
        case tag: return open(1);
        case simple:
            if (head->info != unknown_length) { return true; }
            if (left_.back() != until_break) { return false; } // an end of nothing
            left_.pop_back();
            return true;
        default: return true;
        }
    }

    [[nodiscard]] std::optional<Head> take_head() {
        if (bytes_.empty()) { return std::nullopt; }
        const auto first = static_cast<unsigned char>(bytes_.front());
        bytes_.remove_prefix(1);
        Head head{static_cast<unsigned>(first) >> 5U, first & 0x1fU, first & 0x1fU};
        if (head.info < 24 || head.info == unknown_length) { return head; }
        if (head.info > 27) { return std::nullopt; }
        const std::size_t size = std::size_t{1} << (head.info - 24);
        if (bytes_.size() < size) { return std::nullopt; }
        head.argument = 0;
        for (const char byte : bytes_.substr(0, size)) {
            head.argument = head.argument << 8U | static_cast<unsigned char>(byte);
        }
        bytes_.remove_prefix(size);
        return head;
    }

    [[nodiscard]] bool skip_chunks(unsigned major) {
        for (;;) {
            const auto chunk = take_head();
            if (!chunk) { return false; }
            if (chunk->major == simple && chunk->info == unknown_length) { return true; }
            if (chunk->major != major || chunk->info == unknown_length || !skip(chunk->argument)) { return false; }
        }
    }

    [[nodiscard]] bool skip(std::uint64_t size) {
        if (size > bytes_.size()) { return false; }
        bytes_.remove_prefix(static_cast<std::size_t>(size));
        return true;
    }

    [[nodiscard]] bool open(std::uint64_t items) {
        left_.push_back(items);
        return left_.size() <= limit + 1;
    }

    std::string_view bytes_;
    std::vector<std::uint64_t> left_; // of each level, how many items are still to come
};

} // namespace luzia::codec
