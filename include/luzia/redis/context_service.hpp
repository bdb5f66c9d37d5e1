// redis/context_service.hpp: tells connections that their execution context is being destroyed, while it can still be touched.
#pragma once

#include <boost/asio/execution_context.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace luzia::redis {

/// Something that holds I/O objects of an execution context and may outlive it.
class ContextMember {
public:
    /// Drop every I/O object and executor now. Called once, with no thread running the context.
    virtual void on_context_shutdown() noexcept = 0;

protected:
    ~ContextMember() = default;
};

/// The members of one execution context. Asio shuts services down before it destroys any, newest first.
class ContextService final : public boost::asio::execution_context::service {
public:
    using key_type = ContextService;
    static inline boost::asio::execution_context::id id;

    explicit ContextService(boost::asio::execution_context& context) : service(context) {}

    void add(ContextMember* member, std::weak_ptr<ContextMember> handle) {
        const std::scoped_lock lock(mutex_);
        members_.emplace(member, std::move(handle));
    }

    void remove(ContextMember* member) {
        const std::scoped_lock lock(mutex_);
        members_.erase(member);
    }

private:
    void shutdown() noexcept override {
        std::vector<std::shared_ptr<ContextMember>> alive;
        {
            const std::scoped_lock lock(mutex_);
            for (const auto& [address, member] : members_) {
                if (auto held = member.lock()) { alive.push_back(std::move(held)); }
            }
            members_.clear();
        }
        for (const auto& member : alive) {
            member->on_context_shutdown();
        }
    }

    std::mutex mutex_;
    std::map<ContextMember*, std::weak_ptr<ContextMember>> members_;
};

} // namespace luzia::redis
