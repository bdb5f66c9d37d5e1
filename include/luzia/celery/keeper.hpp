// celery/keeper.hpp: says that what this worker holds is worked on, and takes back what dead ones held.
#pragma once

#include <luzia/celery/restoring.hpp>
#include <luzia/celery/worker_core.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace luzia::celery::detail {

/// Says again and again that what is held here is worked on. It goes on while the worker stops, until all has ended.
[[nodiscard]] inline asio::awaitable<void> keep(CorePtr core) {
    const auto pause = std::min<std::chrono::milliseconds>(core->options.visibility_timeout / 4, std::chrono::seconds(60));
    while (!core->is_abandoned) {
        co_await core->io->keeping.wait(pause);
        std::vector<DeliveryPtr> held;
        for (const auto& [tag, delivery] : core->active) {
            held.push_back(delivery);
        }
        held.insert(held.end(), core->ready.begin(), core->ready.end());
        held.insert(held.end(), core->arriving.begin(), core->arriving.end());
        for (const auto& [time, delivery] : core->scheduled) {
            held.push_back(delivery);
        }
        const auto is_over = [](const DeliveryPtr& delivery) { return delivery->is_acked || delivery->is_lost || delivery->is_given_back; };
        std::erase_if(held, is_over);
        constexpr std::size_t some = 500;
        for (std::size_t begin = 0; begin < held.size(); begin += some) {
            const std::size_t end = std::min(held.size(), begin + some);
            redis::Words keys{core->key("unacked"), core->key("unacked_index")};
            redis::Words tags;
            for (std::size_t i = begin; i < end; ++i) {
                tags.push_back(held[i]->tag);
            }
            auto [error, reply] =
                co_await redis::execute(core->broker, renew_script, std::move(keys), std::move(tags), core->strand(), quietly);
            for (std::size_t i = begin; !error && i < end && i - begin < reply.elements().size(); ++i) {
                const bool is_unknown = reply.elements()[i - begin].integer() == 0;
                // What runs finds out at its end, which may have come meanwhile.
                if (!is_unknown || is_over(held[i]) || core->active.count(held[i]->tag) != 0) { continue; }
                // Taken back while it waited here: theirs now.
                std::erase(core->ready, held[i]);
                std::erase(core->arriving, held[i]);
                std::erase_if(core->scheduled, [&](const auto& entry) { return entry.second == held[i]; });
                ++core->counters.lost;
                core->io->hungry.set();
            }
        }
    }
}

/// Looks for messages that nobody has renewed: at once, and then every quarter of the visibility timeout.
[[nodiscard]] inline asio::awaitable<void> sweep(CorePtr core) {
    const auto pause = std::min<std::chrono::milliseconds>(core->options.visibility_timeout / 4, std::chrono::seconds(60));
    const std::string seconds =
        std::to_string(std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(core->options.visibility_timeout).count()));
    const std::string lock_time = std::to_string(std::min<std::int64_t>(5000, core->options.visibility_timeout.count()));
    while (!core->is_stopping) {
        for (const auto& [first, count] : std::exchange(core->lost_answers, {})) {
            co_await look_again(core, first, count);
        }
        const std::string whose = core->composer.next_id();
        // Short: whoever dies with it would keep the others from looking. Each is looked at again when it is moved, so that
        // two who look do no harm.
        redis::Words lock{"SET", core->key("unacked_mutex"), whose, "PX", lock_time, "NX"};
        auto [lock_error, locked] = co_await redis::execute(core->broker, std::move(lock), core->strand(), quietly);
        if (!lock_error && locked.is_status("OK")) {
            constexpr std::size_t page = 100;
            std::size_t stuck = 0; // those that can't be put back now are passed over
            for (bool is_more = true; is_more && !core->is_stopping;) {
                redis::Words keys{core->key("unacked"), core->key("unacked_index")};
                redis::Words arguments{seconds, std::to_string(page), std::to_string(stuck)};
                auto [error, found] =
                    co_await redis::execute(core->broker, overdue_script, std::move(keys), std::move(arguments), core->strand(), quietly);
                for (std::size_t i = 0; !error && i + 1 < found.elements().size(); i += 2) {
                    std::string tag = std::move(found.elements()[i]).text();
                    const auto size = static_cast<std::size_t>(found.elements()[i + 1].integer());
                    const bool is_gone = co_await restore(core, std::move(tag), size, seconds);
                    stuck += is_gone ? 0 : 1;
                }
                is_more = !error && found.elements().size() == 2 * page;
            }
            redis::Words keys{core->key("unacked_mutex")};
            redis::Words arguments{whose};
            co_await redis::execute(core->broker, unlock_script, std::move(keys), std::move(arguments), core->strand(), quietly);
        }
        co_await core->io->sweeping.wait(lock_error ? std::min(pause, std::chrono::milliseconds(1000)) : pause);
    }
}

} // namespace luzia::celery::detail
