// fuzz/check.hpp: how a fuzzer says that something does not hold.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace luzia_fuzz {

[[noreturn]] inline void fail(std::string_view what, std::string_view detail = {}) {
    std::fprintf(stderr, "does not hold: %.*s", static_cast<int>(what.size()), what.data());
    if (!detail.empty()) {
        std::fputs(": ", stderr);
        std::fwrite(detail.data(), 1, detail.size(), stderr);
    }
    std::fputc('\n', stderr);
    std::abort();
}

/// `promise` is what should be true.
inline void check(bool holds, std::string_view promise, std::string_view detail = {}) {
    if (!holds) { fail(promise, detail); }
}

} // namespace luzia_fuzz
