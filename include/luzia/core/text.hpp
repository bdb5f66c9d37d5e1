// core/text.hpp: bytes made fit for a log line: escaped, cut, secrets masked. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace luzia {

/// `bytes` with control bytes, quotes, backslashes and non-ASCII as escapes, cut after `limit` bytes of input.
[[gnu::cold]] [[nodiscard]] inline std::string printable(std::string_view bytes, std::size_t limit = 64) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes.substr(0, limit)) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\\' || c == '"') {
            text += '\\';
            text += c;
        } else if (byte >= 0x20 && byte < 0x7f) {
            text += c;
        } else {
            text += "\\x";
            text += digits[byte >> 4U];
            text += digits[byte & 0xfU];
        }
    }
    if (bytes.size() > limit) { text += "..."; }
    return text;
}

/// An error reply without the arguments that Redis repeats of a command it does not know: passwords and values among them.
[[gnu::cold]] [[nodiscard]] inline std::string_view without_echo(std::string_view text) noexcept {
    const std::size_t cut = text.find("args beginning with");
    if (cut == std::string_view::npos) { return text; }
    text = text.substr(0, cut);
    for (const std::string_view rest : {std::string_view(", with "), std::string_view(" with ")}) {
        if (text.ends_with(rest)) { return text.substr(0, text.size() - rest.size()); }
    }
    return text;
}

/// An error reply made fit for the log.
[[gnu::cold]] [[nodiscard]] inline std::string printable_server_text(std::string_view text) { return printable(without_echo(text), 200); }

} // namespace luzia
