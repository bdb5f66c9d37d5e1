// redis/task.hpp: something to be called once, whatever it is. Asio makes a dozen functions for each type that it is handed; this is one type.
#pragma once

#include <concepts>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace luzia::redis {

/// A function object of up to 64 bytes, kept without an allocation. Movable; called once at most, or destroyed uncalled.
class Task {
public:
    template <class Act>
    requires(!std::same_as<Act, Task>) Task(Act act)
    noexcept : perform_(&perform<Act>) { // NOLINT(google-explicit-constructor)
        static_assert(sizeof(Act) <= sizeof room_ && alignof(Act) <= alignof(std::max_align_t) &&
                      std::is_nothrow_move_constructible_v<Act>);
        ::new (static_cast<void*>(room_)) Act(std::move(act));
    }
    Task(Task&& other) noexcept : perform_(std::exchange(other.perform_, nullptr)) {
        if (perform_ != nullptr) { perform_(What::move, other.room_, room_); }
    }
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (perform_ != nullptr) { perform_(What::destroy, room_, nullptr); }
    }

    void operator()() { perform_(What::call, room_, nullptr); }

private:
    enum class What { call, move, destroy };

    template <class Act>
    static void perform(What what, void* from, void* to) {
        Act& act = *std::launder(static_cast<Act*>(from));
        switch (what) {
        case What::call: return act();
        case What::move: ::new (to) Act(std::move(act)); break;
        case What::destroy: break;
        }
        act.~Act();
    }

    void (*perform_)(What, void*, void*);
    alignas(std::max_align_t) std::byte room_[64];
};

} // namespace luzia::redis
