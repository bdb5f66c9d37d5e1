// redis/wire.hpp: what is written as one, large arguments from where they are.
#pragma once

#include <luzia/redis/bytes.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia::redis {

/// A large argument that is written from where it is, and not copied: `bytes` belong into the text at `place`.
struct Payload {
    std::string bytes;
    std::size_t place = 0;
};

/// What is written as one: text, and payloads in the order of their places.
class Wire {
public:
    Bytes text;

    [[nodiscard]] const std::vector<Payload>& payloads() const noexcept { return payloads_; }
    [[nodiscard]] std::size_t size() const noexcept { return text.size() + payload_bytes_; }

    /// Makes room for one more.
    void reserve_payload() {
        if (payloads_.size() == payloads_.capacity()) { payloads_.reserve(payloads_.size() + most_payloads); }
    }
    void add(Payload payload) {
        payload_bytes_ += payload.bytes.size();
        payloads_.push_back(std::move(payload));
    }
    [[nodiscard]] std::vector<Payload> take_payloads() noexcept {
        payload_bytes_ = 0;
        return std::exchange(payloads_, {});
    }
    /// Calls `use` with every piece, in the order of the wire; some are empty.
    template <class Use>
    void for_each_piece(Use use) const {
        const std::string_view whole = text.view();
        std::size_t begin = 0;
        for (const Payload& payload : payloads_) {
            use(whole.substr(begin, payload.place - begin));
            use(std::string_view(payload.bytes));
            begin = payload.place;
        }
        use(whole.substr(begin));
    }
    /// Makes text of everything.
    void join() {
        if (payloads_.empty()) { return; }
        Bytes joined;
        joined.reserve(size());
        for_each_piece([&](std::string_view piece) { joined.append(piece); });
        text = std::move(joined);
        payloads_ = {};
        payload_bytes_ = 0;
    }
    void swap(Wire& other) noexcept {
        text.swap(other.text);
        payloads_.swap(other.payloads_);
        std::swap(payload_bytes_, other.payload_bytes_);
    }
    /// Forgets everything; the text's room stays.
    void clear() noexcept {
        text.clear();
        if (!payloads_.empty()) { payloads_ = {}; }
        payload_bytes_ = 0;
    }

private:
    static constexpr std::size_t most_payloads = 4; // of a batch
    std::vector<Payload> payloads_;
    std::size_t payload_bytes_ = 0;
};

} // namespace luzia::redis
