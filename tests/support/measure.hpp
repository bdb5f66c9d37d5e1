// tests/support/measure.hpp: what this process takes up: memory, processor time, descriptors.
#pragma once

#include <dirent.h>
#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>

namespace luzia_test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_instrumented = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool is_instrumented = true;
#else
inline constexpr bool is_instrumented = false;
#endif
#else
inline constexpr bool is_instrumented = false;
#endif

inline constexpr std::size_t mebibyte = std::size_t{1024} * 1024;

/// A line of /proc/self/status, in bytes.
[[nodiscard]] inline std::size_t status_bytes(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        if (word != name + ":") { continue; }
        std::size_t kibibytes = 0;
        status >> kibibytes;
        return kibibytes * 1024;
    }
    return 0;
}

/// Resident memory, and the most there has been since `begin_peak`. Under a sanitizer it is the sanitizer's: told, and not judged. Where the
/// system does not let a process forget its peak, it is not judged either, and says so.
[[nodiscard]] inline std::size_t resident_bytes() { return status_bytes("VmRSS"); }
[[nodiscard]] inline std::size_t peak_bytes() { return status_bytes("VmHWM"); }
[[nodiscard]] inline bool begin_peak() {
    std::ofstream file("/proc/self/clear_refs");
    file << "5" << std::flush;
    const bool is_known = file.good() && peak_bytes() != 0;
    if (!is_known) { std::printf("[ memory   ] the most that was used can't be known here: not judged\n"); }
    return is_known;
}

[[nodiscard]] inline std::size_t open_descriptors() {
    std::size_t count = 0;
    if (DIR* const directory = ::opendir("/proc/self/fd")) {
        while (::readdir(directory) != nullptr) {
            ++count;
        }
        ::closedir(directory);
    }
    return count - 3; // "." and "..", and the one that looks
}

/// Of this process, all its threads.
[[nodiscard]] inline std::chrono::microseconds processor_time() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto time = [](const timeval& value) { return std::chrono::seconds(value.tv_sec) + std::chrono::microseconds(value.tv_usec); };
    return time(usage.ru_utime) + time(usage.ru_stime);
}

} // namespace luzia_test
