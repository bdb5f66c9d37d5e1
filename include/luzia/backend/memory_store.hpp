// backend/memory_store.hpp: a bounded map of bytes with times to live, evicting what was used longest ago. Pure: the time is passed in.
#pragma once

#include <luzia/backend/glob.hpp>
#include <luzia/core/ttl.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace luzia::backend {

/// How much a memory store may hold. A value larger than the whole store is not kept.
struct MemoryLimits {
    std::size_t entries = 100'000;
    std::size_t bytes = std::size_t{64} * 1024 * 1024; ///< keys and values, and 128 for each entry's bookkeeping

    MemoryLimits() noexcept {}
};

/// Not thread-safe.
class MemoryStore {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    explicit MemoryStore(MemoryLimits limits = MemoryLimits()) noexcept : limits_(limits) {}
    MemoryStore(const MemoryStore&) = delete; // its maps point into its own list
    MemoryStore& operator=(const MemoryStore&) = delete;

    /// The bytes, until the next call; null where there are none. Counts as a use.
    [[nodiscard]] const std::string* get(std::string_view key, TimePoint now) {
        const auto found = find_alive(key, now);
        if (found == index_.end()) { return nullptr; }
        entries_.splice(entries_.begin(), entries_, found->second);
        return &found->second->value;
    }

    /// False where the value alone is more than the store may hold; the old one is gone then as well, it would be wrong.
    bool set(std::string_view key, std::string_view value, Ttl ttl, TimePoint now) {
        erase(key, now);
        if (ttl.is_removal()) { return true; }
        const std::size_t size = cost(key, value);
        if (size > limits_.bytes || limits_.entries == 0) { return false; }
        remove_expired(now);
        while (index_.size() >= limits_.entries || bytes_ + size > limits_.bytes) {
            remove(std::prev(entries_.end()));
        }
        entries_.push_front({std::string(key), std::string(value), expiries_.end()});
        try {
            index_.emplace(entries_.front().key, entries_.begin());
        } catch (...) { // no memory: as if it had never come
            entries_.pop_front();
            throw;
        }
        bytes_ += size;
        set_expiry(entries_.begin(), ttl, now);
        return true;
    }

    /// Whether there was such a key.
    bool erase(std::string_view key, TimePoint now) {
        const auto found = find_alive(key, now);
        if (found == index_.end()) { return false; }
        remove(found->second);
        return true;
    }

    /// Whether there was such a key. A ttl that is a removal removes it.
    bool touch(std::string_view key, Ttl ttl, TimePoint now) {
        const auto found = find_alive(key, now);
        if (found == index_.end()) { return false; }
        if (ttl.is_removal()) {
            remove(found->second);
        } else {
            set_expiry(found->second, ttl, now);
        }
        return true;
    }

    /// What is left, rounded up; for ever where the key has no ttl; none where there is no such key.
    [[nodiscard]] std::optional<Ttl> time_to_live(std::string_view key, TimePoint now) {
        const auto found = find_alive(key, now);
        if (found == index_.end()) { return std::nullopt; }
        const auto expiry = found->second->expiry;
        return expiry == expiries_.end() ? Ttl() : Ttl(expiry->first - now);
    }

    std::size_t remove_matching(std::string_view pattern, TimePoint now) {
        remove_expired(now);
        std::size_t removed = 0;
        for (auto entry = entries_.begin(); entry != entries_.end();) {
            const auto next = std::next(entry);
            if (glob_matches(pattern, entry->key)) {
                remove(entry);
                ++removed;
            }
            entry = next;
        }
        return removed;
    }

    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    struct Entry;
    using Entries = std::list<Entry>;
    using Expiries = std::multimap<TimePoint, Entries::iterator>;
    struct Entry {
        std::string key;
        std::string value;
        Expiries::iterator expiry; // end() where it has none
    };
    using Index = std::unordered_map<std::string_view, Entries::iterator>; // keyed by the entry's own key

    [[nodiscard]] static std::size_t cost(std::string_view key, std::string_view value) noexcept { return key.size() + value.size() + 128; }

    [[nodiscard]] Index::iterator find_alive(std::string_view key, TimePoint now) {
        const auto found = index_.find(key);
        if (found == index_.end()) { return found; }
        const auto expiry = found->second->expiry;
        if (expiry == expiries_.end() || expiry->first > now) { return found; }
        remove(found->second);
        return index_.end();
    }

    void set_expiry(Entries::iterator entry, Ttl ttl, TimePoint now) {
        if (entry->expiry != expiries_.end()) { expiries_.erase(entry->expiry); }
        // What the clock can't count to is for ever.
        const bool is_countable =
            !ttl.is_forever() && ttl.value() < std::chrono::duration_cast<std::chrono::milliseconds>(TimePoint::max() - now);
        entry->expiry = is_countable ? expiries_.emplace(now + ttl.value(), entry) : expiries_.end();
    }

    void remove_expired(TimePoint now) {
        while (!expiries_.empty() && expiries_.begin()->first <= now) {
            remove(expiries_.begin()->second);
        }
    }

    void remove(Entries::iterator entry) {
        if (entry->expiry != expiries_.end()) { expiries_.erase(entry->expiry); }
        index_.erase(entry->key);
        bytes_ -= cost(entry->key, entry->value);
        entries_.erase(entry);
    }

    MemoryLimits limits_;
    Entries entries_; // the most recently used first
    Index index_;
    Expiries expiries_;
    std::size_t bytes_ = 0;
};

} // namespace luzia::backend
