// core/separate.hpp: whether the engine is compiled with each file that makes a client, or once, where a program includes luzia/src.hpp.
#pragma once

/// Define LUZIA_SEPARATE_COMPILATION for the whole program, and include luzia/src.hpp in one of its files: the others compile in about half
/// the time. What is said of a function is the same in both ways.
#if defined(LUZIA_SEPARATE_COMPILATION)
#define LUZIA_DECL
#else
#define LUZIA_DECL inline
#endif
