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
    static constexpr std::size_t longest_header = 24; ///< and the end of a line

    explicit CommandWriter(char* at) noexcept : at_(at) {}

    void header(char type, std::size_t number) noexcept {
        *at_++ = type;
        if (number < 10) {
            *at_++ = static_cast<char>('0' + number);
        } else {
            at_ = std::to_chars(at_, at_ + longest_header, number).ptr;
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

/// What `append_command` appends at most.
[[nodiscard]] inline std::size_t longest_command_size(std::span<const std::string_view> arguments) noexcept {
    std::size_t size = detail::CommandWriter::longest_header;
    for (const std::string_view argument : arguments) {
        size += detail::CommandWriter::longest_header + argument.size() + 2;
    }
    return size;
}

/// Appends one command in the form that every Redis reads: an array of bulk strings. Arguments are bytes; anything may be in them.
inline void append_command(Bytes& out, std::span<const std::string_view> arguments) {
    detail::CommandWriter writer(out.room_for(longest_command_size(arguments)));
    writer.header('*', arguments.size());
    for (const std::string_view argument : arguments) {
        writer.header('$', argument.size());
        writer.text(argument);
    }
    out.end_at(writer.end());
}

/// The same but for the bytes of `payload`, which is one of the arguments. Returns where they belong.
inline std::size_t append_command_around(Bytes& out, std::span<const std::string_view> arguments, std::string_view payload) {
    detail::CommandWriter writer(out.room_for(longest_command_size(arguments) - payload.size()));
    writer.header('*', arguments.size());
    std::size_t place = 0;
    for (const std::string_view argument : arguments) {
        writer.header('$', argument.size());
        if (argument.data() == payload.data()) {
            out.end_at(writer.end());
            place = out.size();
            writer.text({});
        } else {
            writer.text(argument);
        }
    }
    out.end_at(writer.end());
    return place;
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
