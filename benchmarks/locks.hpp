// locks.hpp: what a watched mutex tells: when it is taken, whether somebody else had it, when it is given back.
#pragma once

#include <cstdint>

namespace benchmark {

/// For how long a mutex was held, in ticks; from 0 where that is not known.
struct Hold {
    std::uint64_t since = 0;
    std::uint64_t until = 0;
};

void lock_begins(const void* mutex, bool was_free) noexcept;
/// Just before it is given back; `note` after it, when others have it already.
[[nodiscard]] Hold lock_ends(const void* mutex) noexcept;
void note(Hold hold) noexcept;

} // namespace benchmark
