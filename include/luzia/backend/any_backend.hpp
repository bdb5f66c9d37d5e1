// backend/any_backend.hpp: whichever backend it is, behind one small virtual interface.
#pragma once

#include <luzia/backend/operation.hpp>
#include <luzia/backend/options.hpp>
#include <luzia/core/separate.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <memory>
#include <utility>

namespace luzia::backend {

class AnyBackend {
public:
    AnyBackend() = default;
    AnyBackend(const AnyBackend&) = delete;
    AnyBackend& operator=(const AnyBackend&) = delete;
    virtual ~AnyBackend() = default;
    [[nodiscard]] virtual boost::asio::any_io_executor get_executor() const = 0;
    virtual void submit(const Request& request, Operation& operation) = 0;
    virtual void cancel(Operation& operation) = 0;
    virtual void send_gathered() noexcept = 0;
    virtual void close() = 0;
    [[nodiscard]] virtual Status status() const = 0;
};

template <class B>
class AnyBackendOf final : public AnyBackend {
public:
    explicit AnyBackendOf(B chosen) : backend_(std::move(chosen)) {}
    [[nodiscard]] boost::asio::any_io_executor get_executor() const override { return backend_.get_executor(); }
    void submit(const Request& request, Operation& operation) override {
        if constexpr (can_gather) {
            backend_.submit(request, operation);
        } else { // nor may one behind it, to which it hands the question on
            Request plain = request;
            plain.is_gathered = false;
            backend_.submit(plain, operation);
        }
    }
    void cancel(Operation& operation) override { backend_.cancel(operation); }
    void send_gathered() noexcept override {
        if constexpr (can_gather) { backend_.send_gathered(); }
    }
    void close() override { backend_.close(); }
    [[nodiscard]] Status status() const override { return backend_.status(); }

private:
    static constexpr bool can_gather = requires(B backend) { backend.send_gathered(); };
    B backend_;
};

/// What the URL of the options names; throws `std::invalid_argument` where an option or the URL makes no sense.
[[nodiscard]] LUZIA_DECL std::unique_ptr<AnyBackend> choose(const boost::asio::any_io_executor& executor, const BackendOptions& options);

} // namespace luzia::backend
