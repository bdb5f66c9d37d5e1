// pace.hpp: the open loop: operations begun at a fixed rate whatever becomes of those before, each timed from when it was due.
#pragma once

#include "measure.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace benchmark {

/// The clock is looked at whenever the loop comes round, without sleeping: how late a timer wakes a thread is the machine's affair, not the
/// contestant's. An operation that was due while the loop was busy counts from then.
class Pace {
public:
    Pace(double rate, std::size_t total) : rate_(rate), total_(total), took_(total) {}

    /// `send(i)` begins one.
    void start(boost::asio::io_context& io, std::function<void(std::size_t)> send) {
        io_ = &io;
        send_ = std::move(send);
        start_ = Clock::now();
        step();
    }
    /// True for the last one.
    [[nodiscard]] bool end(std::size_t index) {
        took_[index] = seconds_since(start_) - static_cast<double>(index) / rate_;
        if (++ended_ < total_) { return false; }
        seconds_ = seconds_since(start_);
        return true;
    }
    void print() {
        require(ended_ == total_, "the run ended before its last operation");
        print_figure("op/s", static_cast<double>(total_) / seconds_);
        // The first tenth warms up.
        std::vector<double> sorted(took_.begin() + static_cast<std::ptrdiff_t>(total_ / 10), took_.end());
        std::sort(sorted.begin(), sorted.end());
        const auto at = [&](double part) { return sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))] * 1e6; };
        print_figure("p50 us", at(0.5));
        print_figure("p99 us", at(0.99));
        print_figure("p99.9 us", at(0.999));
    }

private:
    void step() {
        const auto due = std::min(total_, static_cast<std::size_t>(seconds_since(start_) * rate_) + 1);
        while (begun_ < due) {
            send_(begun_++);
        }
        if (begun_ < total_) {
            boost::asio::post(*io_, [this] { step(); });
        }
    }

    double rate_;
    std::size_t total_;
    std::size_t begun_ = 0;
    std::size_t ended_ = 0;
    boost::asio::io_context* io_ = nullptr;
    std::function<void(std::size_t)> send_;
    Clock::time_point start_;
    double seconds_ = 0;
    std::vector<double> took_;
};

} // namespace benchmark
