// hiredis/reply.hpp: one reply of the server as a C++ value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace luzia::hiredis {

/// A reply, built once while it is parsed. Aggregates of RESP3 (maps, sets, pushes) are arrays here; a map's keys and values alternate.
class Reply {
public:
    enum class Kind : std::uint8_t { nil, string, status, error, integer, number, boolean, array, push };

    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    [[nodiscard]] bool is_nil() const noexcept { return kind_ == Kind::nil; }
    [[nodiscard]] bool is_error() const noexcept { return kind_ == Kind::error; }
    [[nodiscard]] bool is_status(std::string_view text) const noexcept { return kind_ == Kind::status && text_ == text; }

    /// The bytes of a string, status, error or number (a verbatim text of RESP3 counts as one); empty otherwise.
    [[nodiscard]] const std::string& text() const& noexcept { return text_; }
    [[nodiscard]] std::string&& text() && noexcept { return std::move(text_); }
    /// The value of an integer, or 0 and 1 for a boolean.
    [[nodiscard]] std::int64_t integer() const noexcept { return integer_; }
    [[nodiscard]] const std::vector<Reply>& elements() const& noexcept { return elements_; }
    [[nodiscard]] std::vector<Reply>& elements() & noexcept { return elements_; }

    /// As new.
    void reset() noexcept {
        kind_ = Kind::nil;
        integer_ = 0;
        text_.clear();
        constexpr std::size_t kept = 4096;
        if (text_.capacity() > kept || !elements_.empty()) { release(); }
    }
    void set_kind(Kind kind) noexcept { kind_ = kind; }
    void set_text(Kind kind, std::string_view text) {
        kind_ = kind;
        if (text.size() <= text_.capacity()) {
            text_.assign(text);
        } else {
            text_ = std::string(text); // cheaper than to assign
        }
    }
    /// A string that is still to be filled in.
    std::string& begin_text() noexcept {
        kind_ = Kind::string;
        return text_;
    }
    void set_integer(Kind kind, std::int64_t integer) noexcept {
        kind_ = kind;
        integer_ = integer;
    }

private:
    [[gnu::cold]] void release() noexcept {
        text_ = std::string();
        std::vector<Reply>().swap(elements_);
    }

    Kind kind_ = Kind::nil;
    std::int64_t integer_ = 0;
    std::string text_;
    std::vector<Reply> elements_;
};

} // namespace luzia::hiredis
