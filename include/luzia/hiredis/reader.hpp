// hiredis/reader.hpp: redisReader behind a guard: bytes in, `Reply` values out, every size that the peer chooses bounded.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/hiredis/reply.hpp>
#include <luzia/hiredis/version.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace luzia::hiredis {

/// What a peer may make us hold.
struct ReaderLimits {
    std::size_t line_bytes = 16 * 1024;             ///< of a status, an error, a number, a length
    std::size_t bulk_bytes = 512 * 1024 * 1024;     ///< of one string
    std::size_t elements = std::size_t{1} << 24U;   ///< of one array
    int depth = 7;                                  ///< arrays within one another; 0.14 takes one more, 1.x any number
    std::size_t reply_bytes = 1024UL * 1024 * 1024; ///< of one reply, its arrays' bookkeeping included

    ReaderLimits() noexcept {} // no aggregate: GCC 12 destroys aggregate temporaries beside co_await twice
};

/// Parses replies with hiredis, building each as a C++ value on the way, without intermediate nodes.
///
/// hiredis leaves gaps that are closed here. 0.14 scans an unfinished line from its start on each feed (quadratic), so it is asked
/// only when a line can be complete, and lines have a cap. No version checks the two bytes after a string's payload. Array lengths
/// are taken on trust: elements are made as they arrive, so that an announced length costs nothing, and counted. Newer versions take any
/// nesting. Its buffer is compacted at each reply, so that it is fed a little at a time; and a long string that is a reply of its own, as
/// values are, goes around that buffer, where it would be copied twice more. After an error the reader is of no further use.
class Reader {
public:
    explicit Reader(ReaderLimits limits = ReaderLimits()) : limits_(limits), reader_(create(*this)) {
        if (!reader_) { throw std::bad_alloc(); }
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// Between two replies.
    void set_limits(const ReaderLimits& limits) noexcept { limits_ = limits; }

    /// What came from the peer next. Has to stay where it is until `next` returns null.
    [[nodiscard]] error_code feed(std::string_view bytes) {
        while (!input_.empty() && !error_) { // nobody asked for the replies in between
            feed_slice();
        }
        input_ = bytes;
        return problem();
    }

    /// The next complete reply, valid until the next call; null where more bytes are needed. The error stays once there is one.
    [[nodiscard]] Reply* next(error_code& error) {
        Reply* reply = nullptr;
        while (!error_) {
            if (payload_left_ > 0 || begin_payload()) {
                reply = continue_payload();
            } else if (unparsed() > 0 && !is_inside_line()) {
                reply = parse();
            }
            if (reply != nullptr || input_.empty()) { break; }
            if (payload_left_ == 0 && !error_) { feed_slice(); }
        }
        error = problem();
        return error_ ? nullptr : reply;
    }

    /// Of a string under way that is a reply of its own, and `least` bytes long or more: what is missing, the line end included. Otherwise 0.
    [[nodiscard]] std::size_t rest_of_string(std::size_t least) const noexcept { return payload_size_ >= least ? payload_left_ : 0; }

private:
    struct Release {
        void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
    };

    void fail(Error error) noexcept { error_ = error; }

    [[nodiscard]] error_code problem() const noexcept { return error_ ? make_error_code(*error_) : error_code(); }

    /// Hands hiredis a little more.
    void feed_slice() {
        const std::string_view slice = input_.substr(0, slice_bytes);
        input_.remove_prefix(slice.size());
        if (redisReaderFeed(reader_.get(), slice.data(), slice.size()) != REDIS_OK) { fail(Error::reply_too_large); }
        if (slice.find('\n') != std::string_view::npos) { may_complete_line_ = true; }
    }

    /// Asks hiredis; null where it wants more.
    [[nodiscard]] Reply* parse() {
        if (held_bytes_ == 0) { root_.reset(); }
        void* parsed = nullptr;
        if (redisReaderGetReply(reader_.get(), &parsed) != REDIS_OK || error_) {
            if (!error_) { fail(Error::protocol); }
            return nullptr;
        }
        if (parsed == nullptr) {
            check_unfinished();
            return nullptr;
        }
        held_bytes_ = 0;
        return &root_;
    }

    /// Between two replies, where the next is a long string: from here on its bytes are taken, not hiredis's business.
    [[nodiscard]] bool begin_payload() {
        if (reader_->ridx >= 0) { return false; }
        const std::string_view ahead = pending();
        constexpr std::size_t most_digits = 10;
        if (ahead.size() < 4 || ahead[0] != '$' || ahead[1] < '1' || ahead[1] > '9') { return false; }
        std::size_t length = 0;
        std::size_t at = 1;
        for (; at < ahead.size() && at <= most_digits && ahead[at] >= '0' && ahead[at] <= '9'; ++at) {
            length = length * 10 + static_cast<std::size_t>(ahead[at] - '0');
        }
        if (length < least_payload || ahead.substr(at, 2) != "\r\n") { return false; }
        if (length > limits_.bulk_bytes || length + sizeof(Reply) > limits_.reply_bytes) {
            fail(Error::reply_too_large);
            return false;
        }
        root_.reset();
        payload_size_ = length;
        payload_left_ = length + 2;
        consume(at + 2);
        return true;
    }

    /// The long string, once it is whole with the line end behind it.
    [[nodiscard]] Reply* continue_payload() {
        while (payload_left_ > 0) {
            const std::string_view some = pending().substr(0, payload_left_);
            if (some.empty() || !take_payload(some)) { return nullptr; }
            payload_left_ -= some.size();
            consume(some.size());
        }
        return &root_;
    }

    [[nodiscard]] bool take_payload(std::string_view some) {
        const std::size_t of_text = payload_left_ > 2 ? std::min(some.size(), payload_left_ - 2) : 0;
        for (std::size_t i = of_text; i < some.size(); ++i) {
            if (some[i] == (payload_left_ - i == 2 ? '\r' : '\n')) { continue; }
            fail(Error::protocol);
            return false;
        }
        try {
            std::string& text = root_.begin_text();
            const std::size_t arrived = text.size() + of_text;
            if (arrived > text.capacity()) { text.reserve(room_for(arrived)); }
            text.append(some.substr(0, of_text));
        } catch (...) {
            fail(Error::reply_too_large);
            return false;
        }
        return true;
    }

    /// An announced length alone costs nothing: room is made for a multiple of what has come. That is all of a MiB after a first read of 16 KiB.
    /// Otherwise for half of it at most: strings grow to twice their size at least, and would outgrow a length that is nearer.
    [[nodiscard]] std::size_t room_for(std::size_t arrived) const noexcept {
        constexpr std::size_t ready_for = 80;
        if (arrived >= payload_size_ / ready_for) { return payload_size_; }
        return std::min(ready_for * arrived, payload_size_ / 2);
    }

    /// What no reply has been made of: in hiredis's buffer, or else not yet fed.
    [[nodiscard]] std::string_view pending() const noexcept {
        return unparsed() > 0 ? std::string_view(reader_->buf + reader_->pos, unparsed()) : input_;
    }

    void consume(std::size_t bytes) noexcept {
        if (unparsed() > 0) {
            reader_->pos += bytes;
        } else {
            input_.remove_prefix(bytes);
        }
    }

    [[nodiscard]] std::size_t unparsed() const noexcept { return reader_->len - reader_->pos; }

    /// Of the line's end, the first byte may be there already.
    [[nodiscard]] bool is_line_too_long() const noexcept { return unparsed() > limits_.line_bytes + 1; }

    /// A line is unfinished and no newline has come since: parsing again would only scan it again.
    [[nodiscard]] bool is_inside_line() noexcept {
        if (!inside_line_ || may_complete_line_) { return false; }
        if (is_line_too_long()) { fail(Error::reply_too_large); }
        return true;
    }

    /// hiredis wants more. Of what it wants, only a string's payload, whose length was checked, may be long.
    void check_unfinished() noexcept {
        may_complete_line_ = false;
        inside_line_ = unparsed() > 0 && reader_->ridx >= 0 && !is_inside_payload();
        if (inside_line_ && is_line_too_long()) { fail(Error::reply_too_large); }
    }

    /// The pending bytes start with a complete `<length>\r\n`, and the payload is what is missing. The length is read here as well:
    /// a string too long is refused when it is announced, not when it has been gathered.
    [[nodiscard]] bool is_inside_payload() noexcept {
        if (current_task(*reader_).type != REDIS_REPLY_STRING) { return false; }
        const std::string_view pending(reader_->buf + reader_->pos, unparsed());
        const std::size_t end = pending.substr(0, 32).find("\r\n");
        if (end == std::string_view::npos) {
            if (pending.size() >= 32) { fail(Error::protocol); }
            return false;
        }
        std::size_t length = 0;
        for (const char digit : pending.substr(0, end)) {
            if (digit < '0' || digit > '9' || length > limits_.bulk_bytes) { break; }
            length = length * 10 + static_cast<std::size_t>(digit - '0');
        }
        if (length > limits_.bulk_bytes) { fail(Error::reply_too_large); }
        return true;
    }

    /// Where the value that `task` announces goes. Elements are appended one by one, so a parent never moves while it is filled.
    Reply* place(const redisReadTask* task, std::size_t bytes) {
        held_bytes_ += bytes + 2 * sizeof(Reply); // an array that grows by doubling may take up twice as much
        if (held_bytes_ > limits_.reply_bytes) {
            fail(Error::reply_too_large);
            return nullptr;
        }
        if (task->parent == nullptr) { return &root_; }
        auto* const parent = static_cast<Reply*>(task->parent->obj);
        return &parent->elements().emplace_back();
    }

    static Reader& self(const redisReadTask* task) noexcept { return *static_cast<Reader*>(task->privdata); }

    /// hiredis is C: nothing may be thrown through it. Null makes it stop with an error.
    template <class Fill>
    static void* build(const redisReadTask* task, std::size_t bytes, Fill fill) noexcept {
        Reader& reader = self(task);
        try {
            Reply* const reply = reader.place(task, bytes);
            if (reply != nullptr) { fill(*reply); }
            return reader.error_ ? nullptr : reply;
        } catch (...) {
            reader.fail(Error::reply_too_large);
            return nullptr;
        }
    }

    static Reply::Kind text_kind(int type) noexcept {
        switch (type) {
        case REDIS_REPLY_STATUS: return Reply::Kind::status;
        case REDIS_REPLY_ERROR: return Reply::Kind::error;
        case REDIS_REPLY_STRING: return Reply::Kind::string;
        default: return Reply::Kind::number; // of RESP3: big numbers, and verbatim texts, which nobody asks for
        }
    }

    static void* on_string(const redisReadTask* task, char* bytes, std::size_t size) {
        const bool is_payload = task->type == REDIS_REPLY_STRING;
        if (size > (is_payload ? self(task).limits_.bulk_bytes : self(task).limits_.line_bytes)) {
            self(task).fail(Error::reply_too_large);
            return nullptr;
        }
        // The two bytes after a payload are in the buffer when hiredis hands it over, and unchecked.
        if (is_payload && (bytes[size] != '\r' || bytes[size + 1] != '\n')) {
            self(task).fail(Error::protocol);
            return nullptr;
        }
        return build(task, size, [&](Reply& reply) { reply.set_text(text_kind(task->type), {bytes, size}); });
    }

    static void* on_array(const redisReadTask* task, ElementCount count) {
        const Reader& reader = self(task);
        // A reply is destroyed level by level, on the stack.
        if (static_cast<std::size_t>(count) > reader.limits_.elements || reader.reader_->ridx >= reader.limits_.depth) {
            self(task).fail(Error::reply_too_large);
            return nullptr;
        }
        return build(task, 0, [&](Reply& reply) {
#if HIREDIS_MAJOR >= 1
            reply.set_kind(task->type == REDIS_REPLY_PUSH ? Reply::Kind::push : Reply::Kind::array);
#else
            reply.set_kind(Reply::Kind::array);
#endif
        });
    }

    static void* on_integer(const redisReadTask* task, long long value) {
        return build(task, 0, [&](Reply& reply) { reply.set_integer(Reply::Kind::integer, value); });
    }

    static void* on_nil(const redisReadTask* task) {
        return build(task, 0, [](Reply& reply) { reply.set_kind(Reply::Kind::nil); });
    }

#if HIREDIS_MAJOR >= 1
    static void* on_double(const redisReadTask* task, double, char* text, std::size_t size) {
        return build(task, size, [&](Reply& reply) { reply.set_text(Reply::Kind::number, {text, size}); });
    }

    static void* on_bool(const redisReadTask* task, int value) {
        return build(task, 0, [&](Reply& reply) { reply.set_integer(Reply::Kind::boolean, value != 0 ? 1 : 0); });
    }
#endif

    // Called for the root of a reply that failed half-way; the value lives in the reader itself.
    static void on_free(void*) {}

    static redisReader* create(Reader& self) {
        static redisReplyObjectFunctions functions = make_functions();
        redisReader* const reader = redisReaderCreateWithFunctions(&functions);
        if (reader != nullptr) { reader->privdata = &self; }
        return reader;
    }

    static redisReplyObjectFunctions make_functions() noexcept {
        redisReplyObjectFunctions functions{};
        functions.createString = on_string;
        functions.createArray = on_array;
        functions.createInteger = on_integer;
        functions.createNil = on_nil;
        functions.freeObject = on_free;
#if HIREDIS_MAJOR >= 1
        functions.createDouble = on_double;
        functions.createBool = on_bool;
#endif
        return functions;
    }

    // Hiredis moves what is left of its buffer to the front whenever it has made replies of a KiB.
    static constexpr std::size_t slice_bytes = 2048;
    static constexpr std::size_t least_payload = 512;

    ReaderLimits limits_;
    Reply root_;
    std::string_view input_; ///< not fed yet
    std::size_t payload_size_ = 0;
    std::size_t payload_left_ = 0; ///< of a long string under way, its line end included
    std::size_t held_bytes_ = 0;
    bool inside_line_ = false;
    bool may_complete_line_ = false;
    std::optional<Error> error_; ///< stays
    std::unique_ptr<redisReader, Release> reader_;
};

} // namespace luzia::hiredis
