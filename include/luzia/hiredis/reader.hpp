// hiredis/reader.hpp: redisReader behind a guard: bytes in, `Reply` values out, every size that the peer chooses bounded.
#pragma once

#include <luzia/core/error.hpp>
#include <luzia/hiredis/reply.hpp>
#include <luzia/hiredis/version.hpp>

#include <cstddef>
#include <memory>
#include <new>
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
/// nesting. After an error the reader is of no further use.
class Reader {
public:
    explicit Reader(ReaderLimits limits = ReaderLimits()) : limits_(limits), reader_(create(*this)) {
        if (!reader_) { throw std::bad_alloc(); }
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// Between two replies.
    void set_limits(const ReaderLimits& limits) noexcept { limits_ = limits; }

    /// Appends what came from the peer. At most 16 KiB at a time: hiredis compacts its buffer at each reply.
    [[nodiscard]] error_code feed(std::string_view bytes) {
        if (error_) { return error_; }
        if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK) { return fail(Error::reply_too_large); }
        if (bytes.find('\n') != std::string_view::npos) { may_complete_line_ = true; }
        return {};
    }

    /// The next complete reply, valid until the next call; null where more bytes are needed. The error stays once there is one.
    [[nodiscard]] Reply* next(error_code& error) {
        if (error_ || is_inside_line()) {
            error = error_;
            return nullptr;
        }
        if (held_bytes_ == 0) { root_ = Reply(); }

        void* parsed = nullptr;
        const int status = redisReaderGetReply(reader_.get(), &parsed);
        if (status != REDIS_OK || error_) {
            error = error_ ? error_ : fail(Error::protocol);
            return nullptr;
        }
        if (parsed == nullptr) {
            error = check_unfinished();
            return nullptr;
        }
        error = error_code();
        held_bytes_ = 0;
        return &root_;
    }

private:
    struct Release {
        void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
    };

    error_code fail(Error error) noexcept {
        error_ = error;
        return error_;
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
    error_code check_unfinished() noexcept {
        may_complete_line_ = false;
        inside_line_ = unparsed() > 0 && reader_->ridx >= 0 && !is_inside_payload();
        if (inside_line_ && is_line_too_long()) { fail(Error::reply_too_large); }
        return error_;
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

    ReaderLimits limits_;
    Reply root_;
    std::size_t held_bytes_ = 0;
    bool inside_line_ = false;
    bool may_complete_line_ = false;
    error_code error_;
    std::unique_ptr<redisReader, Release> reader_;
};

} // namespace luzia::hiredis
