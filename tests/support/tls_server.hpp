// tests/support/tls_server.hpp: a real redis-server that speaks TLS, and what a client needs to trust it.
#pragma once

#include "certificates.hpp"
#include "client.hpp"
#include "redis_server.hpp"

#include <luzia/tls.hpp>

#include <cstdint>
#include <string>

namespace luzia_test {

inline const Certificates& certificates() {
    static const Certificates made;
    return made;
}

inline luzia::TlsOptions trusting(const std::string& authority) {
    luzia::TlsOptions options;
    options.ca_file = certificates().certificate(authority);
    return options;
}

/// A server with TLS on a port of its own, beside the plain one that the test talks through.
struct TlsServer {
    explicit TlsServer(const std::string& name = "server", const std::string& asks_for_client_certificates = "no",
                       const std::string& protocols = "TLSv1.2 TLSv1.3")
        : tls_port(free_port()),
          server({"--tls-port", std::to_string(tls_port), "--tls-cert-file", certificates().certificate(name), "--tls-key-file",
                  certificates().key(name), "--tls-ca-cert-file", certificates().certificate("ca"), "--tls-auth-clients",
                  asks_for_client_certificates, "--tls-protocols", protocols}) {}

    [[nodiscard]] std::string url(const std::string& host = "localhost") const {
        return "rediss://" + host + ":" + std::to_string(tls_port);
    }

    std::uint16_t tls_port;
    RedisServer server;
};

/// For a client that trusts the server behind `port`: its own one, or that of a gate before it.
inline luzia::CacheOptions tls_options_for(std::uint16_t port, const LogLines& log) {
    auto options = options_for("rediss://127.0.0.1:" + std::to_string(port), log);
    options.transport = luzia::tls_transport(trusting("ca"));
    return options;
}

} // namespace luzia_test
