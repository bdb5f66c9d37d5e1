// core/url.hpp: the URLs that name a server, taken apart. Pure; every refusal is a sentence that says what is allowed.
#pragma once

#include <luzia/core/text.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace luzia {

/// `scheme://[user[:password]@]host[:port][/database]`, or `unix://[user[:password]@]/path?db=N`, or `memory://`.
struct Url {
    std::string scheme;
    std::optional<std::string> username;
    std::optional<std::string> password;
    std::string host; ///< a name or an address, IPv6 without its brackets; empty for `unix`, `memory`, `disabled`
    std::uint16_t port = 6379;
    std::string path; ///< of a Unix socket
    int database = 0;
    std::vector<std::pair<std::string, std::string>> parameters; ///< of the query, `db` aside
};

namespace detail {

/// `host`, `host:port` or `[address]:port`, with a number behind a `/` or nothing; or a path, for a Unix socket. Anything else, in a URL that
/// went wrong, may be a password whose `@` was forgotten or encoded.
[[gnu::cold]] [[nodiscard]] inline bool is_plain_address(std::string_view text, bool is_socket_path) noexcept {
    constexpr std::string_view digits = "0123456789";
    constexpr std::string_view host_bytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const auto is_made_of = [](std::string_view part, std::string_view bytes) {
        return part.find_first_not_of(bytes) == std::string_view::npos;
    };
    if (is_socket_path) { return !text.empty() && text.front() == '/'; }
    const std::string_view authority = text.substr(0, text.find('/'));
    const std::string_view path = text.substr(authority.size());
    if (!path.empty() && !is_made_of(path.substr(1), digits)) { return false; }
    const std::size_t bracket = authority.find(']');
    if (!authority.empty() && authority.front() == '[' && bracket != std::string_view::npos) {
        const std::string_view port = authority.substr(bracket + 1);
        return is_made_of(authority.substr(1, bracket - 1), "0123456789abcdefABCDEF:.") &&
               (port.empty() || (port.front() == ':' && is_made_of(port.substr(1), digits)));
    }
    const std::string_view host = authority.substr(0, authority.find(':'));
    const std::string_view port = authority.substr(host.size());
    return !host.empty() && is_made_of(host, host_bytes) && (port.empty() || is_made_of(port.substr(1), digits));
}

} // namespace detail

/// A URL made fit for the log: whatever may be a secret is masked, also where a part is missing, and the rest escaped.
[[gnu::cold]] [[nodiscard]] inline std::string masked_url(std::string_view url) {
    static constexpr std::string_view scheme_bytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-";
    std::string_view scheme;
    if (const std::size_t mark = url.find("://"); mark != std::string_view::npos && url.find_first_not_of(scheme_bytes) == mark) {
        scheme = url.substr(0, mark + 3);
        url.remove_prefix(mark + 3);
    }
    std::string text(scheme);
    const std::size_t at = url.rfind('@');
    if (at != std::string_view::npos) {
        text += "***@";
        url.remove_prefix(at + 1);
    }
    const std::string_view query = url.substr(std::min(url.size(), url.find('?')));
    url.remove_suffix(query.size());
    text += url.empty() || detail::is_plain_address(url, scheme == "unix://") ? url : std::string_view("***");
    if (!query.empty()) { text += "?***"; }
    return printable(text, 256);
}

namespace detail {

template <class T>
[[nodiscard]] std::optional<T> whole_number(std::string_view text) {
    T number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) { return std::nullopt; }
    return number;
}

[[gnu::cold]] [[nodiscard]] inline std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        unsigned byte = 0;
        const char* const digits = text.data() + i + 1;
        if (i + 2 >= text.size()) { return std::nullopt; }
        const auto [end, error] = std::from_chars(digits, digits + 2, byte, 16);
        if (error != std::errc{} || end != digits + 2) { return std::nullopt; }
        decoded += static_cast<char>(byte);
        i += 2;
    }
    return decoded;
}

/// Fills a `Url` part by part; `problem` is what the first part that does not fit has to say.
class UrlParser {
public:
    [[gnu::cold]] [[nodiscard]] bool parse(std::string_view text) {
        const std::size_t mark = text.find("://");
        if (mark == std::string_view::npos) { return fail("has no scheme (expected redis://, rediss://, unix:// or memory://)"); }
        url.scheme = lower(text.substr(0, mark));
        std::string_view rest = text.substr(mark + 3);
        if (rest.substr(rest.rfind('@') + 1).find('#') != std::string_view::npos) { return fail("has a fragment (write # as %23)"); }
        if (!is_known_scheme()) { return fail("has an unknown scheme (allowed: redis, rediss, unix, memory, disabled)"); }
        // The userinfo ends at the last @, so that a password may hold one. The path of a Unix socket may hold one as well.
        const bool is_socket_path = url.scheme == "unix" && !rest.empty() && rest.front() == '/';
        if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos && !is_socket_path) {
            // Read one way it is a password, read the other way a query: guessing wrong would talk to another server.
            if (rest.find('?') < at) { return fail("has a ? before its last @ (write ? as %3F in a password, @ as %40 in the query)"); }
            if (!parse_userinfo(rest.substr(0, at))) { return false; }
            rest.remove_prefix(at + 1);
        }
        if (const std::size_t query = rest.find('?'); query != std::string_view::npos) {
            if (!parse_query(rest.substr(query + 1))) { return false; }
            rest = rest.substr(0, query);
        }
        if (url.scheme == "memory" || url.scheme == "disabled") {
            return rest.empty() || rest == "/" || fail("has a host (" + url.scheme + ":// takes none)");
        }
        if (!(url.scheme == "unix" ? parse_socket_path(rest) : parse_authority(rest))) { return false; }
        if (database_of_query_) { url.database = *database_of_query_; } // as redis-py reads a URL that has both
        return true;
    }

    Url url;
    std::string problem;

private:
    [[gnu::cold]] [[nodiscard]] bool fail(std::string what) {
        problem = std::move(what);
        return false;
    }

    [[gnu::cold]] [[nodiscard]] static std::string lower(std::string_view text) {
        std::string result(text);
        for (char& c : result) {
            if (c >= 'A' && c <= 'Z') { c = static_cast<char>(c - 'A' + 'a'); }
        }
        return result;
    }

    [[gnu::cold]] [[nodiscard]] bool is_known_scheme() const {
        for (const std::string_view known : {"redis", "rediss", "unix", "memory", "disabled"}) {
            if (url.scheme == known) { return true; }
        }
        return false;
    }

    [[gnu::cold]] [[nodiscard]] bool parse_userinfo(std::string_view text) {
        const std::size_t colon = text.find(':');
        const auto user = percent_decoded(text.substr(0, colon));
        if (!user) { return fail("has a % in its user name that is not followed by two hexadecimal digits"); }
        if (!user->empty()) { url.username = *user; }
        if (colon != std::string_view::npos) {
            const auto password = percent_decoded(text.substr(colon + 1));
            if (!password) { return fail("has a % in its password that is not followed by two hexadecimal digits (write % as %25)"); }
            if (!password->empty()) { url.password = *password; }
        }
        return true;
    }

    [[gnu::cold]] [[nodiscard]] bool parse_authority(std::string_view rest) {
        const std::size_t slash = rest.find('/');
        const std::string_view authority = rest.substr(0, slash);
        if (slash != std::string_view::npos && slash + 1 < rest.size()) {
            const auto database = parse_database(rest.substr(slash + 1));
            if (!database) { return fail("has a database that is not a number from 0 up"); }
            url.database = *database;
        }

        std::string_view port;
        if (!authority.empty() && authority.front() == '[') {
            const std::size_t bracket = authority.find(']');
            if (bracket == std::string_view::npos) { return fail("has a [ without ] around its IPv6 address"); }
            const std::string_view address = authority.substr(1, bracket - 1);
            url.host = percent_decoded(address).value_or(std::string(address)); // a zone may stand behind % or %25
            const std::string_view after = authority.substr(bracket + 1);
            if (!after.empty() && after.front() != ':') { return fail("has text between its IPv6 address and the port"); }
            port = after;
        } else {
            const std::size_t colon = authority.find(':');
            const auto host = percent_decoded(authority.substr(0, colon));
            if (!host) { return fail("has a % in its host that is not followed by two hexadecimal digits"); }
            url.host = *host;
            if (colon != std::string_view::npos) { port = authority.substr(colon); }
            if (port.size() > 1 && port.find(':', 1) != std::string_view::npos) {
                return fail("has more than one : after its host (an IPv6 address stands in brackets)");
            }
        }
        if (url.host.empty()) { return fail("names no host"); }
        for (const char c : url.host) {
            if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) { return fail("has a space or a control byte in its host"); }
        }
        if (port.empty()) { return true; }
        const auto number = whole_number<unsigned>(port.substr(1));
        if (!number || *number == 0 || *number > 65535) { return fail("has a port that is not a number from 1 to 65535"); }
        url.port = static_cast<std::uint16_t>(*number);
        return true;
    }

    [[gnu::cold]] [[nodiscard]] bool parse_socket_path(std::string_view rest) {
        const auto path = percent_decoded(rest);
        if (!path) { return fail("has a % in its path that is not followed by two hexadecimal digits"); }
        if (path->empty() || path->front() != '/') { return fail("needs an absolute path (unix:///path/to/socket)"); }
        if (path->find('\0') != std::string::npos) { return fail("has a NUL in its path"); }
        // What sun_path holds on Linux, its terminating NUL included.
        if (path->size() >= 108) { return fail("has a path of 108 bytes or more, beyond what a Unix socket takes"); }
        url.path = *path;
        return true;
    }

    [[gnu::cold]] [[nodiscard]] static std::optional<int> parse_database(std::string_view text) {
        const auto number = whole_number<int>(text);
        return number && *number >= 0 ? number : std::nullopt;
    }

    [[gnu::cold]] [[nodiscard]] bool parse_query(std::string_view text) {
        while (!text.empty()) {
            const std::string_view item = text.substr(0, text.find('&'));
            text.remove_prefix(item.size() == text.size() ? item.size() : item.size() + 1);
            const std::size_t equals = item.find('=');
            const auto name = percent_decoded(item.substr(0, equals));
            const auto value = percent_decoded(equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1));
            if (!name || !value) { return fail("has a % in its query that is not followed by two hexadecimal digits"); }
            if (*name != "db") {
                url.parameters.emplace_back(*name, *value);
                continue;
            }
            database_of_query_ = parse_database(*value);
            if (!database_of_query_) { return fail("has a db that is not a number from 0 up"); }
        }
        return true;
    }

    std::optional<int> database_of_query_;
};

} // namespace detail

/// A URL, or what is wrong with the text. As `boost::system::result`, without what that includes.
class ParsedUrl {
public:
    explicit ParsedUrl(Url url) : is_url_(true), url_(std::move(url)) {}
    explicit ParsedUrl(std::string problem) : is_url_(false), problem_(std::move(problem)) {}

    [[nodiscard]] bool has_value() const noexcept { return is_url_; }
    [[nodiscard]] explicit operator bool() const noexcept { return is_url_; }
    [[nodiscard]] Url& operator*() noexcept { return url_; }
    [[nodiscard]] const Url& operator*() const noexcept { return url_; }
    [[nodiscard]] Url* operator->() noexcept { return &url_; }
    [[nodiscard]] const Url* operator->() const noexcept { return &url_; }
    [[nodiscard]] const std::string& error() const& noexcept { return problem_; }
    [[nodiscard]] std::string&& error() && noexcept { return std::move(problem_); }

private:
    bool is_url_;
    Url url_;
    std::string problem_;
};

/// Takes a URL apart, or says in a sentence (without the URL, which may hold a password) what is wrong with it.
[[gnu::cold]] [[nodiscard]] inline ParsedUrl parse_url(std::string_view text) {
    detail::UrlParser parser;
    const bool is_url = parser.parse(text);
    return is_url ? ParsedUrl(std::move(parser.url)) : ParsedUrl(std::move(parser.problem));
}

} // namespace luzia
