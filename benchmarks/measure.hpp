// measure.hpp: what every benchmark needs: arguments, a clock, the processor's time, and one line a figure for report.py.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace benchmark {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Ends the program where something is not as it must be: a figure that was measured on errors is worth nothing.
inline void require(bool condition, const char* what) {
    if (condition) { return; }
    std::fprintf(stderr, "benchmark: %s\n", what);
    std::abort();
}

/// User and system time of this process, all threads.
[[nodiscard]] inline double processor_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// How often a thread of this process has gone to sleep: for a lock, or for want of work.
[[nodiscard]] inline std::size_t voluntary_switches() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_nvcsw);
}

/// The command line, in the order that the usage line has.
class Arguments {
public:
    Arguments(int count, char** arguments, int least, const char* usage) : count_(count), arguments_(arguments) {
        if (count > least) { return; }
        std::fprintf(stderr, "usage: %s %s\n", arguments[0], usage);
        std::exit(2);
    }
    [[nodiscard]] std::string_view text(int index) const { return index < count_ ? arguments_[index] : ""; }
    [[nodiscard]] std::size_t number(int index, std::size_t otherwise = 0) const {
        return index < count_ ? std::strtoull(arguments_[index], nullptr, 10) : otherwise;
    }
    [[nodiscard]] std::uint16_t port() const { return static_cast<std::uint16_t>(number(1)); }

private:
    int count_;
    char** arguments_;
};

/// One figure; benchmarks/run puts the part, the case and the contestant before it.
inline void print_figure(const char* unit, double value) { std::printf("%s,%.6g\n", unit, value); }

/// How often something is done, how many at a time, and how long it took: shared by the tasks of one run.
class Run {
public:
    Run(std::size_t depth, std::size_t total) : depth_(depth < total ? depth : total), left_to_begin_(total), left_(total), total_(total) {}

    void start() {
        processor_ = processor_seconds();
        start_ = Clock::now();
    }
    [[nodiscard]] std::size_t depth() const { return depth_; }
    /// How many of `wanted` may still be begun.
    [[nodiscard]] std::size_t begin(std::size_t wanted) {
        const std::size_t taken = wanted < left_to_begin_ ? wanted : left_to_begin_;
        left_to_begin_ -= taken;
        return taken;
    }
    /// True for the last one.
    [[nodiscard]] bool end(std::size_t count = 1) {
        left_ -= count;
        if (left_ != 0) { return false; }
        took_ = seconds_since(start_);
        processor_ = processor_seconds() - processor_;
        return true;
    }
    [[nodiscard]] double seconds() const { return took_; }
    /// Operations a second, or bytes of values a second where they have a size, and processor time an operation.
    void print(std::size_t value_bytes = 0) const {
        require(left_ == 0, "the run ended before its last operation");
        const auto count = static_cast<double>(total_);
        if (value_bytes == 0) {
            print_figure("op/s", count / took_);
        } else {
            print_figure("MB/s", count * static_cast<double>(value_bytes) / took_ / 1e6);
        }
        print_figure("cpu ns/op", processor_ / count * 1e9);
    }

private:
    std::size_t depth_;
    std::size_t left_to_begin_;
    std::size_t left_;
    std::size_t total_;
    Clock::time_point start_;
    double processor_ = 0;
    double took_ = 0;
};

} // namespace benchmark
