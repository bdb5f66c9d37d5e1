// backend/named_server.hpp: what the URL of the options says, and what is wrong with it.
#pragma once

#include <luzia/backend/memory_store.hpp>
#include <luzia/backend/options.hpp>
#include <luzia/core/text.hpp>
#include <luzia/core/url.hpp>
#include <luzia/redis/options.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace luzia::backend {

/// `memory://?max_entries=1000&max_bytes=1048576`; throws `std::invalid_argument` where the query says anything else.
[[gnu::cold]] [[nodiscard]] inline MemoryLimits memory_limits(const Url& url) {
    MemoryLimits limits;
    for (const auto& [name, value] : url.parameters) {
        const auto number = luzia::detail::whole_number<std::size_t>(value);
        if (!number) { throw std::invalid_argument("luzia: url: " + printable(name) + " of memory:// must be a number from 0 up"); }
        if (name == "max_entries") {
            limits.entries = *number;
        } else if (name == "max_bytes") {
            limits.bytes = *number;
        } else {
            throw std::invalid_argument("luzia: url: memory:// takes max_entries and max_bytes, not " + printable(name));
        }
    }
    return limits;
}

/// The URL taken apart; throws `std::invalid_argument` where it can't be, or needs what is not there.
[[gnu::cold]] [[nodiscard]] inline Url checked_url(const BackendOptions& options) {
    auto url = parse_url(options.url);
    if (!url) { throw std::invalid_argument("luzia: url \"" + masked_url(options.url) + "\" " + std::move(url).error()); }
    if (url->scheme == "rediss" && !options.transport) {
        throw std::invalid_argument(
            "luzia: url \"" + masked_url(options.url) +
            "\" asks for TLS: include <luzia/tls.hpp>, link luzia::tls, and set options.transport = luzia::tls_transport(...)");
    }
    if (url->scheme == "memory") { static_cast<void>(memory_limits(*url)); }
    return std::move(*url);
}

/// The options with what the URL says filled in, where they do not say it themselves.
[[gnu::cold]] [[nodiscard]] inline redis::ConnectionOptions with_credentials(redis::ConnectionOptions options, const Url& url) {
    // The password of the URL belongs to the user of the URL; a password from elsewhere may be that user's as well.
    if (!options.username) {
        options.username = url.username;
        if (!options.password) { options.password = url.password; }
    }
    if (!options.database) { options.database = url.database; }
    return options;
}

} // namespace luzia::backend
