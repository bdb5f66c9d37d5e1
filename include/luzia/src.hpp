// src.hpp: what LUZIA_SEPARATE_COMPILATION takes out of the other headers, for one source file of a program.
#pragma once

#if !defined(LUZIA_SEPARATE_COMPILATION)
#error "define LUZIA_SEPARATE_COMPILATION for the whole program, or leave luzia/src.hpp out"
#endif
#define LUZIA_SOURCE

#include <luzia/backend/choose.hpp>
#include <luzia/cache/drain_waiter.hpp>
#include <luzia/cache/environment.hpp>
#include <luzia/cache/turn_watch.hpp>
#include <luzia/core/event_lines.hpp>
