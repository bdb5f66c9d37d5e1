// redis/burst.hpp: what the replies of one read have ended, handed on together: at one lock, where each alone would take one.
#pragma once

#include <cstddef>
#include <utility>

namespace luzia::redis {

/// While one exists, it gathers on its thread what is handed to it for one sink; at its end the sink is given all of it.
class Burst {
public:
    /// Something that is handed on. Intrusive: gathering costs no memory.
    class Item {
    public:
        Item* next = nullptr;

    protected:
        Item() = default;
        ~Item() = default;
    };

    class Sink {
    public:
        /// A chain of so many, one at least. The items keep the sink alive until they are taken.
        virtual void take(Item& first, Item& last, std::size_t count) noexcept = 0;

    protected:
        ~Sink() = default;
    };

    Burst() noexcept : before_(std::exchange(current, this)) {}
    Burst(const Burst&) = delete;
    Burst& operator=(const Burst&) = delete;
    ~Burst() {
        current = before_;
        if (first_ != nullptr) { sink_->take(*first_, *last_, count_); }
    }

    /// False where nothing is gathered for this sink on this thread.
    [[nodiscard]] static bool gather(Sink& sink, Item& item) noexcept {
        Burst* const burst = current;
        if (burst == nullptr || (burst->first_ != nullptr && burst->sink_ != &sink)) { return false; }
        (burst->first_ == nullptr ? burst->first_ : burst->last_->next) = &item;
        burst->last_ = &item;
        ++burst->count_;
        burst->sink_ = &sink;
        return true;
    }

private:
    static inline thread_local Burst* current = nullptr;
    Burst* before_;
    Sink* sink_ = nullptr;
    Item* first_ = nullptr;
    Item* last_ = nullptr;
    std::size_t count_ = 0;
};

} // namespace luzia::redis
