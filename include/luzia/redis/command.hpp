// redis/command.hpp: commands as bytes. Appended straight to the output buffer, where hiredis's formatter would allocate one for each.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace luzia::redis {

namespace detail {

/// Gathers what is short, so that a command of short arguments is appended as one. The room for it is the caller's: in here, each byte
/// written could be one of the pointers.
class CommandWriter {
public:
    static constexpr std::size_t longest_gathered = 128;
    using Room = char[2 * longest_gathered];

    CommandWriter(std::string& out, Room& room) noexcept : out_(&out), room_(room), end_(room) {}

    void header(char type, std::size_t number) {
        make_room(longest_header);
        *end_++ = type;
        if (number < 10) {
            *end_++ = static_cast<char>('0' + number);
        } else {
            end_ = std::to_chars(end_, end_ + longest_header - 3, number).ptr;
        }
        line_end();
    }

    void text(std::string_view bytes) {
        if (bytes.size() > longest_gathered) {
            flush();
            out_->append(bytes);
            make_room(longest_header);
        } else {
            make_room(bytes.size() + longest_header);
            end_ = std::copy(bytes.begin(), bytes.end(), end_);
        }
        line_end();
    }

    void flush() {
        out_->append(room_, static_cast<std::size_t>(end_ - room_));
        end_ = room_;
    }

private:
    static constexpr std::size_t longest_header = 24;

    void make_room(std::size_t size) {
        if (static_cast<std::size_t>(room_ + sizeof(Room) - end_) < size) { flush(); }
    }

    void line_end() noexcept {
        *end_++ = '\r';
        *end_++ = '\n';
    }

    std::string* out_;
    char* room_;
    char* end_;
};

} // namespace detail

/// Appends one command in the form that every Redis reads: an array of bulk strings. Arguments are bytes; anything may be in them.
inline void append_command(std::string& out, std::span<const std::string_view> arguments) {
    detail::CommandWriter::Room room;
    detail::CommandWriter writer(out, room);
    writer.header('*', arguments.size());
    for (const std::string_view argument : arguments) {
        writer.header('$', argument.size());
        writer.text(argument);
    }
    writer.flush();
}

/// The same but for the bytes of `payload`, which is one of the arguments. Returns where they belong.
inline std::size_t append_command_around(std::string& out, std::span<const std::string_view> arguments, const std::string& payload) {
    std::size_t place = 0;
    detail::CommandWriter::Room room;
    detail::CommandWriter writer(out, room);
    writer.header('*', arguments.size());
    for (const std::string_view argument : arguments) {
        writer.header('$', argument.size());
        if (argument.data() == payload.data()) {
            writer.flush();
            place = out.size();
            writer.text({});
        } else {
            writer.text(argument);
        }
    }
    writer.flush();
    return place;
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
