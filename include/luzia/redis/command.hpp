// redis/command.hpp: commands as bytes. Written straight into the output, where hiredis's formatter would allocate one for each.
#pragma once

#include <luzia/redis/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace luzia::redis {

namespace detail {

/// Where a command is written: there is room for all of it.
class CommandWriter {
public:
    static constexpr std::size_t longest_header = 24; ///< its type and the end of its line included

    explicit CommandWriter(char* at) noexcept : at_(at) {}

    void header(char type, std::size_t number) noexcept {
        *at_++ = type;
        if (number < 10) {
            *at_++ = static_cast<char>('0' + number);
        } else {
            at_ = std::to_chars(at_, at_ + longest_header - 3, number).ptr;
        }
        line_end();
    }
    void text(std::string_view bytes) noexcept {
        at_ = std::copy(bytes.begin(), bytes.end(), at_);
        line_end();
    }
    [[nodiscard]] const char* end() const noexcept { return at_; }

private:
    void line_end() noexcept {
        *at_++ = '\r';
        *at_++ = '\n';
    }

    char* at_;
};

} // namespace detail

/// What `write_command` writes at most.
[[nodiscard]] inline std::size_t longest_command_size(std::span<const std::string_view> arguments) noexcept {
    std::size_t size = detail::CommandWriter::longest_header;
    for (const std::string_view argument : arguments) {
        size += detail::CommandWriter::longest_header + argument.size() + 2;
    }
    return size;
}

/// Writes one command in the form that every Redis reads, an array of bulk strings, to where there is room for it; returns its end. Arguments
/// are bytes; anything may be in them.
[[nodiscard]] inline const char* write_command(char* at, std::span<const std::string_view> arguments) noexcept {
    detail::CommandWriter writer(at);
    writer.header('*', arguments.size());
    for (const std::string_view argument : arguments) {
        writer.header('$', argument.size());
        writer.text(argument);
    }
    return writer.end();
}

/// A command without the bytes of one argument.
struct WrittenAround {
    const char* gap; ///< where they belong
    const char* end;
};

/// The same but for the bytes of the argument at `left_out`; there need be no room for them.
[[nodiscard]] inline WrittenAround write_command_around(char* at, std::span<const std::string_view> arguments,
                                                        std::size_t left_out) noexcept {
    detail::CommandWriter writer(at);
    WrittenAround written{};
    writer.header('*', arguments.size());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        writer.header('$', arguments[i].size());
        if (i == left_out) { written.gap = writer.end(); }
        writer.text(i == left_out ? std::string_view() : arguments[i]);
    }
    written.end = writer.end();
    return written;
}

/// Writes one command behind what there is.
inline void append_command(Bytes& out, std::span<const std::string_view> arguments) {
    out.end_at(write_command(out.room_for(longest_command_size(arguments)), arguments));
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
