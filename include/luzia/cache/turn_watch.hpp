// cache/turn_watch.hpp: a timer that looks after the turns of one client while there are any.
#pragma once

#if defined(LUZIA_SEPARATE_COMPILATION) && !defined(LUZIA_SOURCE)
#error "with LUZIA_SEPARATE_COMPILATION this is for luzia/src.hpp alone"
#endif

#include <luzia/cache/completions.hpp>
#include <luzia/core/separate.hpp>
#include <luzia/redis/context_service.hpp>

#include <boost/asio/query.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <optional>

namespace luzia::cache {

/// Kept by the `Completions` that it looks after, which begin it where it is not under way; else it begins by itself: never two at once.
class TurnWatch final : public Watch, public redis::ContextMember, public std::enable_shared_from_this<TurnWatch> {
public:
    static constexpr std::chrono::milliseconds period{2};

    [[gnu::cold]] explicit TurnWatch(const std::shared_ptr<Completions>& completions) : completions_(completions) {
        timer_.emplace(completions->executor());
    }
    TurnWatch(const TurnWatch&) = delete;
    TurnWatch& operator=(const TurnWatch&) = delete;
    [[gnu::cold]] ~TurnWatch() override {
        timer_.reset();
        if (members_) { members_->remove(this); }
    }

    /// Once, right after construction.
    [[gnu::cold]] void join_context() {
        auto& context = boost::asio::query(timer_->get_executor(), boost::asio::execution::context);
        members_ = boost::asio::use_service<redis::ContextService>(context).members();
        members_->add(this, weak_from_this());
    }

    [[nodiscard]] bool begin() noexcept override {
        if (!timer_) { return false; }
        try {
            timer_->expires_after(period);
            timer_->async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
                if (const auto self = error ? nullptr : weak.lock()) { self->look(); }
            });
        } catch (...) { return false; } // no memory
        return true;
    }

private:
    void look() {
        const auto completions = completions_.lock();
        if (!completions || !completions->look() || begin()) { return; }
        completions->unwatch();
        completions->send();
    }

    [[gnu::cold]] void on_context_shutdown() noexcept override {
        timer_.reset();
        members_.reset();
    }

    std::weak_ptr<Completions> completions_;
    std::optional<boost::asio::steady_timer> timer_;
    std::shared_ptr<redis::ContextMembers> members_;
};

[[gnu::cold]] LUZIA_DECL std::shared_ptr<Watch> watch(const std::shared_ptr<Completions>& completions) {
    const auto made = std::make_shared<TurnWatch>(completions);
    made->join_context();
    return made;
}

} // namespace luzia::cache
