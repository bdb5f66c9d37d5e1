// redis/command.hpp: commands as bytes. Appended straight to the output buffer, where hiredis's formatter would allocate one for each.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace luzia::redis {

namespace detail {

inline void append_header(std::string& out, char type, std::size_t number) {
    char text[24];
    text[0] = type;
    char* end = std::to_chars(text + 1, text + sizeof text - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(text, static_cast<std::size_t>(end - text));
}

} // namespace detail

/// Appends one command in the form that every Redis reads: an array of bulk strings. Arguments are bytes; anything may be in them.
inline void append_command(std::string& out, std::span<const std::string_view> arguments) {
    detail::append_header(out, '*', arguments.size());
    for (const std::string_view argument : arguments) {
        detail::append_header(out, '$', argument.size());
        out.append(argument).append("\r\n", 2);
    }
}

/// What `append_command` appends at most.
[[nodiscard]] inline std::size_t longest_command_size(std::span<const std::string_view> arguments) noexcept {
    constexpr std::size_t header = 24;
    std::size_t size = header;
    for (const std::string_view argument : arguments) {
        size += header + argument.size() + 2;
    }
    return size;
}

/// An integer as an argument, without a string of its own.
class IntegerArgument {
public:
    explicit IntegerArgument(std::int64_t value) noexcept
        : size_(static_cast<std::size_t>(std::to_chars(text_, text_ + sizeof text_, value).ptr - text_)) {}
    [[nodiscard]] std::string_view view() const noexcept { return {text_, size_}; }

private:
    char text_[20];
    std::size_t size_;
};

} // namespace luzia::redis
