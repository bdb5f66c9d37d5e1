// redis/tls_transport.hpp: a transport that encrypts, and makes sure of whom it talks to. Needs OpenSSL; no other header includes it.
#pragma once

#include <luzia/redis/plain_transport.hpp>
#include <luzia/redis/transport.hpp>
#include <luzia/redis/transport_factory.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/system/system_error.hpp>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace luzia::redis {

/// How TLS is done. Set members by name.
struct TlsOptions {
    enum class Verify {
        host,        ///< the certificate is of a known authority, and for the server's name
        certificate, ///< the certificate is of a known authority, whatever name it has
        nothing      ///< encrypted, with anybody
    };
    enum class Version { tls_1_2, tls_1_3 };

    TlsOptions() {} // no aggregate: GCC 12 destroys aggregate temporaries beside co_await twice

    Verify verify = Verify::host;
    Version minimum_version = Version::tls_1_2;
    /// PEM file of the authorities to trust; empty = those of the system.
    std::string ca_file;
    /// PEM files of the client's own certificate (with its chain) and key; both or neither.
    std::string certificate_file;
    std::string key_file;
    /// The name to ask for and to expect; empty = the host of the URL.
    std::string server_name;
};

/// TLS over TCP.
class TlsTransport final : public Transport {
public:
    TlsTransport(const StreamExecutor& executor, std::shared_ptr<asio::ssl::context> context, TlsOptions::Verify verify, std::string host)
        : context_(std::move(context)), stream_(executor, *context_) {
        // Names are sent, so that a server with several certificates can choose; addresses must not be.
        error_code not_an_address;
        asio::ip::make_address(host, not_an_address);
        if (not_an_address && !host.empty()) { ::SSL_set_tlsext_host_name(stream_.native_handle(), host.c_str()); }
        if (verify != TlsOptions::Verify::host) { return; }
        X509_VERIFY_PARAM* const expected = ::SSL_get0_param(stream_.native_handle());
        // An empty name would switch the check off.
        const bool is_expecting = !host.empty() && (not_an_address ? ::X509_VERIFY_PARAM_set1_host(expected, host.c_str(), host.size()) == 1
                                                                   : ::X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1);
        if (!is_expecting) { throw std::invalid_argument("TLS has no server name to verify: set TlsOptions::server_name"); }
    }

    void connect(const Endpoint& endpoint, TransportCallback callback) override {
        auto& socket = stream_.next_layer();
        error_code error;
        socket.open(endpoint.protocol(), error);
        if (!error) { detail::prepare(socket); }
        // Where it could not be opened, connecting reports the same.
        socket.async_connect(endpoint, std::move(callback));
    }

    void secure(TransportCallback callback) override { stream_.async_handshake(asio::ssl::stream_base::client, std::move(callback)); }

    void read_some(asio::mutable_buffer buffer, TransportCallback callback) override {
        stream_.async_read_some(buffer, std::move(callback));
    }

    void write_some(asio::const_buffer buffer, TransportCallback callback) override {
        stream_.async_write_some(buffer, std::move(callback));
    }

    [[nodiscard]] bool has_unread() override {
        error_code ignored;
        return ::SSL_pending(stream_.native_handle()) > 0 || stream_.next_layer().available(ignored) > 0;
    }

    /// Says what was wrong with the certificate, where that was it.
    [[nodiscard]] std::string describe(const error_code& error) override {
        const long verdict = ::SSL_get_verify_result(stream_.native_handle());
        std::string text = error.message();
        if (verdict != X509_V_OK) { text.append(": ").append(::X509_verify_cert_error_string(verdict)); }
        return text;
    }

    void close() noexcept override {
        // Without a closing handshake: what is pending is a miss already, and a peer that is gone would not answer.
        error_code ignored;
        stream_.next_layer().close(ignored);
    }

private:
    std::shared_ptr<asio::ssl::context> context_;
    asio::ssl::stream<asio::basic_stream_socket<asio::generic::stream_protocol, StreamExecutor>> stream_;
};

/// For `CacheOptions::transport`, with a `rediss://` URL. The files are read now.
///
/// @throws std::invalid_argument  where a file can't be used; the message names the member
[[nodiscard]] inline TransportFactory tls_transport(const TlsOptions& options = TlsOptions()) {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
    const auto use = [](const char* member, const std::string& file, auto load) {
        if (file.empty()) { return; }
        error_code error;
        load(error);
        if (error) { throw std::invalid_argument("luzia: TlsOptions: " + std::string(member) + " can't be used: " + error.message()); }
    };
    if (options.certificate_file.empty() != options.key_file.empty()) {
        throw std::invalid_argument("luzia: TlsOptions: certificate_file and key_file go together");
    }
    use("ca_file", options.ca_file, [&](error_code& error) { context->load_verify_file(options.ca_file, error); });
    use("certificate_file", options.certificate_file,
        [&](error_code& error) { context->use_certificate_chain_file(options.certificate_file, error); });
    use("key_file", options.key_file,
        [&](error_code& error) { context->use_private_key_file(options.key_file, asio::ssl::context::pem, error); });
    if (options.ca_file.empty()) {
        error_code ignored; // a machine without authorities trusts nobody, which each handshake will say
        context->set_default_verify_paths(ignored);
    }
    const bool is_verifying = options.verify != TlsOptions::Verify::nothing;
    context->set_verify_mode(is_verifying ? asio::ssl::verify_peer : asio::ssl::verify_none);
    ::SSL_CTX_set_min_proto_version(context->native_handle(),
                                    options.minimum_version == TlsOptions::Version::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    return [context, verify = options.verify, name = options.server_name](const StreamExecutor& executor, const std::string& host) {
        return std::make_unique<TlsTransport>(executor, context, verify, name.empty() ? host : name);
    };
}

} // namespace luzia::redis
