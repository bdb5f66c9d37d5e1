// redis/read_size.hpp: how much is read at once. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

namespace luzia::redis {

/// Fits the reads of one stream to what comes.
///
/// Of small replies a read takes a quarter of what is under way: one that took all would leave the server nothing to do until they are dealt
/// with, and many that are too short cost more than they bring. Large ones are read as fast as can be. Figures: docs/engine.md.
class ReadSize {
public:
    static constexpr std::size_t usual = 16UL * 1024;
    static constexpr std::size_t largest = 64UL * 1024;
    /// So much more is read at the largest size where that ends a string.
    static constexpr std::size_t tail = 4UL * 1024;
    /// What no read exceeds.
    static constexpr std::size_t most = largest + tail;

    /// Of the next read. No further than `rest`, the end of a large string that is under way (0: of none): its value may be used, and its
    /// memory free, before the next one takes some.
    [[nodiscard]] std::size_t next(std::size_t rest) noexcept {
        ends_string_ = rest > 0 && rest <= (size_ == largest ? most : size_);
        return asked_ = ends_string_ ? rest : size_;
    }

    /// What that brought, the replies that it completed, and how many are still due; those are taken to be as large.
    /// @returns whether more is likely to wait: not behind a reply that came alone, unless the read had room for no more, and more is due.
    ///          One that ends a large string is always full; others of that size follow it soon
    [[nodiscard]] bool fit(std::size_t bytes, std::size_t replies, std::size_t due) noexcept {
        const bool is_full = bytes == asked_;
        adjust(bytes, replies, due, is_full);
        return replies != 1 || (is_full && due > 0);
    }

    /// What waits is to be read as fast as can be, from the read after the one that is under way on, until one finds less.
    void catch_up() noexcept {
        is_behind_ = true;
        size_ = largest;
    }

private:
    void adjust(std::size_t bytes, std::size_t replies, std::size_t due, bool is_full) noexcept {
        if (!is_full) { is_behind_ = false; }
        arrived_ += bytes;
        const std::size_t average = replies > 0 ? std::exchange(arrived_, 0) / replies : large_reply;
        if (ends_string_) { return; } // and says nothing of what comes behind
        if (average < large_reply && !is_behind_) {
            size_ = std::clamp(average * due / share, usual, largest);
        } else if (is_full) {
            size_ = largest;
        }
    }

    // Longer ones take more than a usual read in any case.
    static constexpr std::size_t large_reply = 20UL * 1024;
    static constexpr std::size_t share = 4;

    std::size_t size_ = usual;
    std::size_t asked_ = usual; ///< by the read that is under way, or the last
    std::size_t arrived_ = 0;   ///< since a reply was completed
    bool ends_string_ = false;  ///< nor goes further
    bool is_behind_ = false;
};

} // namespace luzia::redis
