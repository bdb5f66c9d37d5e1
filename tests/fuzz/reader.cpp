// fuzz/reader.cpp: what a peer sends is read the same in whatever pieces it comes, byte for byte as it was sent, and costs no more than the
// limits say.
#include "check.hpp"

#include <luzia/hiredis/reader.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

// Of AddressSanitizer; null where it is not there.
extern "C" __attribute__((weak)) std::size_t __sanitizer_get_current_allocated_bytes();

namespace {

using luzia::Error;
using luzia::error_code;
using luzia::hiredis::Reader;
using luzia::hiredis::ReaderLimits;
using luzia::hiredis::Reply;
using luzia_fuzz::check;
using Kind = Reply::Kind;

ReaderLimits limits_of(unsigned choice) {
    ReaderLimits limits;
    if (choice % 4 == 0) { return limits; }
    // No less than the longest number, which is a line as well.
    limits.line_bytes = (luzia::hiredis::has_resp3 ? 330 : 20) + (choice % 4 == 1 ? 4 : 40);
    limits.bulk_bytes = choice % 4 == 2 ? 10 : 300;
    limits.elements = 5;
    limits.depth = static_cast<int>(choice % 4) + 1;
    limits.reply_bytes = 1200;
    return limits;
}

/// Appends `reply` as it stands on the wire. Whether a nil was written as a string or as an array is looked up in `sent`.
void append(std::string& text, const Reply& reply, std::string_view sent) {
    const auto line = [&](std::string_view type, std::string_view content) { text.append(type).append(content).append("\r\n"); };
    switch (reply.kind()) {
    case Kind::nil: line(sent.substr(std::min(text.size(), sent.size()), 1) == "*" ? "*" : "$", "-1"); return;
    case Kind::string:
        line("$", std::to_string(reply.text().size()));
        line("", reply.text());
        return;
    case Kind::status: line("+", reply.text()); return;
    case Kind::error: line("-", reply.text()); return;
    case Kind::integer: line(":", std::to_string(reply.integer())); return;
    case Kind::number: line(",", reply.text()); return;
    case Kind::boolean: line("#", reply.integer() != 0 ? "t" : "f"); return;
    case Kind::array:
    case Kind::push:
        line(reply.kind() == Kind::push ? ">" : "*", std::to_string(reply.elements().size()));
        for (const Reply& element : reply.elements()) {
            append(text, element, sent);
        }
    }
}

struct Parsed {
    std::string replies;
    error_code error;
};

/// Feeds `bytes` in pieces of `sizes`, taken in turn; whole where there are none.
Parsed parse(std::string_view bytes, std::string_view sizes, const ReaderLimits& limits) {
    const auto allocated = [] { return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0; };
    Parsed parsed;
    parsed.replies.reserve(2 * bytes.size() + 64);
    const std::size_t before = allocated();
    Reader reader(limits);
    std::size_t fed = 0;
    for (std::size_t piece = 0; fed < bytes.size() && !parsed.error; ++piece) {
        const std::size_t size = sizes.empty() ? bytes.size() : 1 + static_cast<unsigned char>(sizes[piece % sizes.size()]);
        const std::string_view next = bytes.substr(fed, size);
        fed += next.size();
        check(!reader.feed(next), "a reader without an error takes what comes");
        while (const Reply* const reply = reader.next(parsed.error)) {
            append(parsed.replies, *reply, bytes);
        }
        const std::size_t held = allocated() - before;
        check(held <= 4096 + 104 * fed, "a reader holds no more than a multiple of what came, whatever was announced");
        // Buffers and arrays that grow keep as much again in reserve; 1 KiB that was read already may still be there.
        const std::size_t unread = 1024 + limits.bulk_bytes + limits.line_bytes + std::max(next.size(), std::size_t{256});
        check(held <= 4096 + 2 * (limits.reply_bytes + unread), "a reader holds no more than its limits say");
    }
    if (parsed.error) {
        const error_code first = parsed.error;
        check(reader.feed("+OK\r\n") == first, "an error stays when more comes");
        check(reader.next(parsed.error) == nullptr && parsed.error == first, "an error stays");
    }
    return parsed;
}

/// RESP2 read by the book, without hiredis: says how the bytes end. How a reader counts what a reply takes up is its own business, within
/// bounds: between them `either` is said.
class Referee {
public:
    enum class End { between_replies, inside, broken, either };

    Referee(std::string_view bytes, const ReaderLimits& limits) : rest_(bytes), limits_(limits) {}

    [[nodiscard]] End judge() {
        while (!rest_.empty()) {
            least_ = most_ = 0;
            if (!take(0)) { return end_; }
            if (most_ > limits_.reply_bytes) { return End::either; }
        }
        return End::between_replies;
    }

private:
    [[nodiscard]] bool stop(End end) {
        end_ = end == End::inside && most_ > limits_.reply_bytes ? End::either : end;
        return false;
    }

    [[nodiscard]] bool take(int depth) {
        if (rest_.empty()) { return stop(End::inside); }
        const char type = rest_.front();
        if (std::string_view("+-:$*").find(type) == std::string_view::npos) { return stop(End::broken); }
        rest_.remove_prefix(1);
        const std::size_t length = rest_.find("\r\n");
        if (length == std::string_view::npos) {
            const std::size_t longest = type == '$' ? std::min(limits_.line_bytes + 1, std::size_t{31}) : limits_.line_bytes + 1;
            return stop(rest_.size() > longest ? End::broken : End::inside);
        }
        const std::string_view line = rest_.substr(0, length);
        rest_.remove_prefix(length + 2);
        if (type == '+' || type == '-') { return (length <= limits_.line_bytes && hold(length)) || stop(End::broken); }

        std::int64_t number = 0;
        std::from_chars(line.data(), line.data() + line.size(), number);
        if (std::to_string(number) != line) { return stop(End::broken); }
        if (type == ':' || number == -1) { return hold(0) || stop(End::broken); }
        if (number < 0) { return stop(End::broken); }
        const auto size = static_cast<std::size_t>(number);
        if (type == '$') {
            if (size > limits_.bulk_bytes) { return stop(End::broken); }
            // Half a line end that is none may be refused before the other half is there.
            if (rest_.size() < size + 2) { return stop(rest_.size() > size && rest_[size] != '\r' ? End::either : End::inside); }
            if (rest_.substr(size, 2) != "\r\n" || !hold(size)) { return stop(End::broken); }
            rest_.remove_prefix(size + 2);
            return true;
        }
        if (size > limits_.elements || depth >= limits_.depth || !hold(0)) { return stop(End::broken); }
        for (std::size_t i = 0; i < size; ++i) {
            if (!take(depth + 1)) { return false; }
        }
        return true;
    }

    [[nodiscard]] bool hold(std::size_t bytes) {
        least_ += bytes + sizeof(Reply);
        most_ += 2 * (bytes + sizeof(Reply));
        return least_ <= limits_.reply_bytes;
    }

    std::string_view rest_;
    const ReaderLimits& limits_;
    std::size_t least_ = 0;
    std::size_t most_ = 0;
    End end_ = End::inside;
};

} // namespace

/// The first byte chooses the limits; the last says how many of those before it are the sizes of the pieces.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) { return 0; }
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const ReaderLimits limits = limits_of(data[0]);
    const std::size_t count = std::min<std::size_t>(data[size - 1] % 16, size - 2);
    const std::string_view sizes = bytes.substr(size - 1 - count, count);
    bytes = bytes.substr(1, size - 2 - count);

    const Parsed whole = parse(bytes, {}, limits);
    const std::string_view pieces = sizes.empty() ? std::string_view("\0", 1) : sizes;
    Parsed split = parse(bytes, pieces, limits);

    check(whole.replies == split.replies, "pieces are read as the same replies", split.replies);
    // A length line too long to be one is looked at again when a line end comes, or when it is as long as any line may be.
    if (whole.error && !split.error) { split = parse(std::string(bytes) + '\n', pieces, limits); }
    check(whole.error.failed() == split.error.failed(), "pieces end in an error where the whole does");
    if constexpr (!luzia::hiredis::has_resp3) {
        check(bytes.starts_with(whole.replies), "replies are what was sent", whole.replies);
        const Referee::End end = Referee(bytes, limits).judge();
        if (end == Referee::End::either) { return 0; }
        check(whole.error.failed() == (end == Referee::End::broken),
              "it is an error where the protocol or a limit is broken, and only there");
        check((end == Referee::End::between_replies) == (!whole.error && whole.replies.size() == bytes.size()),
              "nothing complete is held back");
    }
    return 0;
}
