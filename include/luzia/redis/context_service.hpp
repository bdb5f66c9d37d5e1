// redis/context_service.hpp: tells what may outlive its execution context that it is being destroyed, while it can still be touched.
#pragma once

#include <luzia/redis/strand.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>

#include <algorithm>
#include <atomic>
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

/// The members of one execution context. Outlives the context where a member does.
class ContextMembers {
public:
    [[gnu::cold]] void add(ContextMember* member, std::weak_ptr<ContextMember> handle) {
        const std::scoped_lock lock(mutex_);
        members_.push_back({member, std::move(handle)});
    }

    /// The last thing a member does with the context: its I/O objects are gone by now.
    [[gnu::cold]] void remove(ContextMember* member) {
        const std::scoped_lock lock(mutex_);
        const auto found = std::find_if(members_.begin(), members_.end(), [&](const Member& each) { return each.member == member; });
        if (found == members_.end()) { return; }
        std::swap(*found, members_.back());
        members_.pop_back();
        removals_.fetch_add(1);
        removals_.notify_all();
    }

    /// Ends when no member has anything of the context any more, those included that another thread is destroying at this moment.
    [[gnu::cold]] void shut_down() noexcept {
        std::vector<std::shared_ptr<ContextMember>> alive;
        {
            const std::scoped_lock lock(mutex_);
            for (Member& each : members_) {
                if (auto held = each.handle.lock()) {
                    alive.push_back(std::move(held));
                    each.member = nullptr;
                }
            }
            std::erase_if(members_, [](const Member& each) { return each.member == nullptr; });
        }
        for (unsigned removals = removals_.load(); !is_empty(); removals = removals_.load()) {
            removals_.wait(removals);
        }
        for (const auto& member : alive) {
            member->on_context_shutdown();
        }
    }

private:
    struct Member {
        ContextMember* member;
        std::weak_ptr<ContextMember> handle;
    };

    [[nodiscard]] bool is_empty() {
        const std::scoped_lock lock(mutex_);
        return members_.empty();
    }

    std::mutex mutex_;
    std::vector<Member> members_;
    std::atomic<unsigned> removals_{0};
};

/// What makes Asio tell us. Services are shut down before any is destroyed, newest first.
class ContextService final : public boost::asio::execution_context::service {
public:
    using key_type = ContextService;
    static inline boost::asio::execution_context::id id;

    [[gnu::cold]] explicit ContextService(boost::asio::execution_context& context) : service(context) {}

    [[nodiscard]] const std::shared_ptr<ContextMembers>& members() const noexcept { return members_; }

private:
    [[gnu::cold]] void shutdown() noexcept override { members_->shut_down(); }

    std::shared_ptr<ContextMembers> members_ = std::make_shared<ContextMembers>();
};

/// An executor for what may outlive its context: empty from the context's end on. A strand is not just a pointer; destroyed later than its
/// context, it would touch what is gone.
class ContextExecutor {
public:
    [[gnu::cold]] explicit ContextExecutor(const boost::asio::any_io_executor& executor) : holder_(std::make_shared<Holder>(executor)) {
        holder_->join(holder_);
    }

    [[nodiscard]] const boost::asio::any_io_executor& get() const noexcept { return holder_->executor; }

    /// Never inside the call. Only where the context is there.
    void post(Task task) const { holder_->posting.execute(std::move(task)); }

private:
    struct Holder final : ContextMember {
        [[gnu::cold]] explicit Holder(const boost::asio::any_io_executor& held) : executor(held), posting(redis::posting(held)) {}
        Holder(const Holder&) = delete;
        Holder& operator=(const Holder&) = delete;
        [[gnu::cold]] ~Holder() {
            executor = posting = nullptr;
            if (members) { members->remove(this); }
        }

        [[gnu::cold]] void join(const std::shared_ptr<Holder>& self) {
            auto& context = boost::asio::query(executor, boost::asio::execution::context);
            members = boost::asio::use_service<ContextService>(context).members();
            members->add(this, self);
        }
        [[gnu::cold]] void on_context_shutdown() noexcept override {
            executor = posting = nullptr;
            members.reset();
        }

        boost::asio::any_io_executor executor;
        boost::asio::any_io_executor posting;
        std::shared_ptr<ContextMembers> members;
    };

    std::shared_ptr<Holder> holder_;
};

} // namespace luzia::redis
