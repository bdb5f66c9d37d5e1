// hiredis/version.hpp: the one place that knows how hiredis 0.14 and 1.x differ.
#pragma once

#include <hiredis/hiredis.h>
#include <hiredis/read.h>

#include <cstddef>

#define LUZIA_HIREDIS_VERSION (HIREDIS_MAJOR * 10000 + HIREDIS_MINOR * 100 + HIREDIS_PATCH)
static_assert(LUZIA_HIREDIS_VERSION >= 1401, "luzia needs hiredis 0.14.1 or newer");

namespace luzia::hiredis {

#if HIREDIS_MAJOR >= 1
using ElementCount = std::size_t;
inline constexpr bool has_resp3 = true;
#else
// 0.14 passes the number of elements as an int.
using ElementCount = int;
inline constexpr bool has_resp3 = false;
#endif

/// What the reader is in the middle of; meaningful only while `reader.ridx >= 0`.
[[nodiscard]] inline const redisReadTask& current_task(const redisReader& reader) noexcept {
#if HIREDIS_MAJOR >= 1
    return *reader.task[reader.ridx];
#else
    return reader.rstack[reader.ridx];
#endif
}

} // namespace luzia::hiredis
