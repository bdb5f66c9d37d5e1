// fuzz/url.cpp: a URL that is accepted makes sense, and no log line made of one, accepted or not, holds its password.
#include "check.hpp"

#include <luzia/core/url.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

using luzia::masked_url;
using luzia::parse_url;
using luzia::Url;
using luzia_fuzz::check;

bool is_made_of(std::string_view text, std::string_view bytes) { return text.find_first_not_of(bytes) == std::string_view::npos; }

bool is_printable(std::string_view text) {
    for (const char c : text) {
        if (c < 0x20 || c > 0x7e) { return false; }
    }
    return true;
}

/// From the scheme to the last `@`: where secrets stand.
std::string_view userinfo_of(std::string_view text) {
    const std::size_t begin = text.find("://") + 3;
    const std::size_t end = text.rfind('@');
    return end == std::string_view::npos || end < begin ? std::string_view() : text.substr(begin, end - begin);
}

void check_sense(const Url& url) {
    const bool is_of_network = url.scheme == "redis" || url.scheme == "rediss";
    check(is_of_network || url.scheme == "unix" || url.scheme == "memory" || url.scheme == "disabled", "the scheme is known", url.scheme);
    check(is_of_network != url.host.empty(), "there is a host where one is needed, and only there");
    for (const char c : url.host) {
        check(static_cast<unsigned char>(c) > 0x20 && c != 0x7f, "a host has no spaces and no control bytes");
    }
    check(url.port != 0, "the port is one");
    check((url.scheme == "unix") != url.path.empty(), "there is a path where one is needed, and only there");
    check(url.path.empty() || (url.path.front() == '/' && url.path.size() < 108 && url.path.find('\0') == std::string::npos),
          "a path is one that a socket can have");
    check(url.database >= 0, "the database is one");
    check(!url.username || !url.username->empty(), "an empty user is none");
    check(!url.password || !url.password->empty(), "an empty password is none");
}

/// `password` is a secret where it can't be told from what stands around the userinfo.
void check_hidden(std::string_view password, std::string_view text, std::string_view masked, std::string_view what) {
    if (password.size() < 8 || password.find('*') != std::string_view::npos) { return; } // may be part of the mask itself
    const std::string_view userinfo = userinfo_of(text);
    std::string around(text);
    around.replace(static_cast<std::size_t>(userinfo.data() - text.data()), userinfo.size(), "\n");
    for (const std::string& seen : {around, luzia::printable(around, around.size())}) {
        if (seen.find(password) != std::string::npos) { return; }
    }
    check(masked.find(password) == std::string_view::npos, what, masked);
}

void check_masked(std::string_view text) {
    const std::string masked = masked_url(text);
    check(is_printable(masked) && masked.size() <= 4 * 256 + 3, "a masked URL fits into a log line", masked);
    // Whatever was left of it has the form of an address: nothing that a password could look like but a host or a number.
    std::string_view left = masked;
    if (const std::size_t mark = left.find("://"); mark != std::string_view::npos) { left.remove_prefix(mark + 3); }
    if (masked.size() <= 256 && !masked.starts_with("unix://")) {
        check(is_made_of(left, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:[]/*@?"), "only an address is left",
              masked);
        check(left.find('@') == std::string_view::npos || left.starts_with("***@"), "what was before the @ is masked", masked);
        check(left.find('?') == std::string_view::npos || left.ends_with("?***"), "a query is masked", masked);
    }
    const auto parsed = parse_url(text);
    if (!parsed) {
        check(is_printable(parsed.error()) && parsed.error().size() < 120, "a refusal is a sentence", parsed.error());
        return;
    }
    check_sense(*parsed);
    if (!parsed->password) { return; }
    const std::string_view userinfo = userinfo_of(text);
    check_hidden(userinfo.substr(userinfo.find(':') + 1), text, masked, "a password as it stands in the URL is masked");
    check_hidden(*parsed->password, text, masked, "a password is masked");
    check_hidden(luzia::printable(*parsed->password, masked.size()), text, masked, "an escaped password is masked");
}

std::string percent_encoded(std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        encoded.append({'%', digits[byte >> 4U], digits[byte & 0xfU]});
    }
    return encoded;
}

/// Whatever bytes user and password are made of: encoded they are read as they were.
void check_encoded(std::string_view user, std::string_view password) {
    const std::string text = "redis://" + percent_encoded(user) + ':' + percent_encoded(password) + "@[::1]:7/3";
    const auto url = parse_url(text);
    check(url.has_value(), "an encoded URL is accepted", text);
    check(url->username.value_or("") == user && url->password.value_or("") == password, "encoded credentials are read as they were", text);
    check(url->host == "::1" && url->port == 7 && url->database == 3, "the rest is read as it stands", text);
    check(masked_url(text) == "redis://***@[::1]:7/3", "of a good URL the address is shown", text);
}

} // namespace

/// A URL; up to the first `:` and from there on, a user and a password as well.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_masked(text);
    const std::size_t colon = std::min(text.find(':'), size);
    check_encoded(text.substr(0, colon), text.substr(std::min(colon + 1, size)));
    return 0;
}
