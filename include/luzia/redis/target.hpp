// redis/target.hpp: where a server is, in the terms of a connection.
#pragma once

#include <luzia/core/text.hpp>
#include <luzia/core/url.hpp>

#include <cstdint>
#include <string>

namespace luzia::redis {

/// `host` and `port`, or the `path` of a Unix socket.
struct Target {
    [[gnu::cold]] explicit Target(const Url& url) : host(url.host), port(url.port), path(url.path) {}

    [[gnu::cold]] [[nodiscard]] bool is_socket_path() const noexcept { return !path.empty(); }

    /// For log lines.
    [[gnu::cold]] [[nodiscard]] std::string text() const {
        return is_socket_path() ? printable(path, 256) : printable(host, 256) + ':' + std::to_string(port);
    }

    std::string host;
    std::uint16_t port;
    std::string path;
};

} // namespace luzia::redis
