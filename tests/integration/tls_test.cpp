// rediss:// against a real Redis with TLS: the right server is talked to, any other is a miss that says why.
#include "../support/fake_server.hpp"
#include "../support/tls_server.hpp"

#include <luzia/cache_client.hpp>
#include <luzia/codec/raw_codec.hpp>

#include <string>

namespace luzia_test {
namespace {

using luzia::Outcome;
using Client = luzia::CacheClient<luzia::DefaultBackend, luzia::RawCodec>;

/// What one lookup of a key that the server has comes to.
luzia::Lookup<std::string> look(const std::string& url, const luzia::TlsOptions& tls, const LogLines& log = LogLines(),
                                std::chrono::milliseconds connect_timeout = 20s) {
    luzia::Lookup<std::string> result;
    run([&]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = url;
        options.transport = luzia::tls_transport(tls);
        options.logger = log.logger();
        options.command_timeout = 20s;
        options.connect_timeout = connect_timeout;
        Client cache{co_await asio::this_coro::executor, options};
        result = co_await cache.lookup("key");
    });
    return result;
}

TEST(Tls, TheRightServerIsTalkedToByNameAndByAddress) {
    TlsServer server("server");
    server.server.command({"SET", "key", "value"});
    for (const std::string host : {"localhost", "127.0.0.1"}) {
        const auto found = look(server.url(host), trusting("ca"));
        EXPECT_EQ(found.value, "value") << found.error.message();
    }
    luzia::TlsOptions newest = trusting("ca");
    newest.minimum_version = luzia::TlsOptions::Version::tls_1_3;
    EXPECT_EQ(look(server.url(), newest).outcome, Outcome::hit);
}

TEST(Tls, ALargeValueGoesBothWays) {
    TlsServer server("server");
    run([&]() -> asio::awaitable<void> {
        luzia::CacheOptions options;
        options.url = server.url();
        options.transport = luzia::tls_transport(trusting("ca"));
        options.command_timeout = 20s;
        Client cache{co_await asio::this_coro::executor, options};
        const std::string large(8'000'000, 'x');
        const luzia::Effect stored = co_await cache.set("large", large);
        EXPECT_EQ(stored.count, 1U);
        const auto found = co_await cache.get("large");
        EXPECT_TRUE(found && *found == large);
    });
}

TEST(Tls, AnUnknownAuthorityIsAMissThatSaysSo) {
    TlsServer server("server");
    LogLines log;
    EXPECT_EQ(look(server.url(), trusting("other-ca"), log).outcome, Outcome::unavailable);
    EXPECT_EQ(log.count("certificate"), 1U) << log.all();
}

TEST(Tls, AnotherNameIsAMissThatSaysSo) {
    TlsServer server("elsewhere");
    server.server.command({"SET", "key", "value"});
    LogLines log;
    EXPECT_EQ(look(server.url(), trusting("ca"), log).outcome, Outcome::unavailable);
    EXPECT_EQ(log.count("hostname mismatch"), 1U) << log.all();
    LogLines by_address;
    EXPECT_EQ(look(server.url("127.0.0.1"), trusting("ca"), by_address).outcome, Outcome::unavailable);
    EXPECT_EQ(by_address.count("IP address mismatch"), 1U) << by_address.all();

    luzia::TlsOptions named = trusting("ca");
    named.server_name = "elsewhere.example";
    EXPECT_EQ(look(server.url(), named).outcome, Outcome::hit);
    luzia::TlsOptions lax = trusting("ca");
    lax.verify = luzia::TlsOptions::Verify::certificate;
    EXPECT_EQ(look(server.url(), lax).outcome, Outcome::hit);
    luzia::TlsOptions blind;
    blind.verify = luzia::TlsOptions::Verify::nothing;
    EXPECT_EQ(look(server.url(), blind).outcome, Outcome::hit);
}

TEST(Tls, AnExpiredCertificateIsAMissThatSaysSo) {
    TlsServer server("expired");
    LogLines log;
    EXPECT_EQ(look(server.url(), trusting("ca"), log).outcome, Outcome::unavailable);
    EXPECT_EQ(log.count("certificate has expired"), 1U) << log.all();
}

TEST(Tls, AServerWithoutTlsIsAMiss) {
    LogLines log;
    const std::string url = "rediss://127.0.0.1:" + std::to_string(shared_redis().port());
    // It waits for the end of a line that never comes.
    EXPECT_EQ(look(url, trusting("ca"), log, 300ms).outcome, Outcome::unavailable);
    EXPECT_EQ(log.count("the TLS handshake timed out"), 1U) << log.all();
}

TEST(Tls, AClientCertificateIsShownWhereItIsAskedFor) {
    TlsServer server("server", "yes");
    server.server.command({"SET", "key", "value"});
    EXPECT_EQ(look(server.url(), trusting("ca")).outcome, Outcome::unavailable);
    luzia::TlsOptions known = trusting("ca");
    known.certificate_file = certificates().certificate("client");
    known.key_file = certificates().key("client");
    EXPECT_EQ(look(server.url(), known).outcome, Outcome::hit);
}

TEST(Tls, AServerThatSpeaksOnlyAnOlderVersionThanAllowedIsAMissThatSaysSo) {
    TlsServer server("server", "no", "TLSv1.2");
    server.server.command({"SET", "key", "value"});
    luzia::TlsOptions newest = trusting("ca");
    newest.minimum_version = luzia::TlsOptions::Version::tls_1_3;
    LogLines log;
    EXPECT_EQ(look(server.url(), newest, log).outcome, Outcome::unavailable);
    EXPECT_EQ(log.count("protocol version"), 1U) << log.all();
    EXPECT_EQ(look(server.url(), trusting("ca")).outcome, Outcome::hit);
}

TEST(Tls, ANameIsSentForTheServerToChooseByAndAnAddressIsNot) {
    for (const bool is_name : {true, false}) {
        FakeServer server;
        std::string hello;
        server.take_some(hello).hang_up();
        server.start();
        const std::string host = is_name ? "localhost" : "127.0.0.1";
        EXPECT_EQ(look("rediss://" + host + ":" + std::to_string(server.port()), trusting("ca")).outcome, Outcome::unavailable);
        server.finish();
        EXPECT_GE(hello.size(), 100U);
        // server_name (RFC 6066): its list, a host name, its length.
        const std::string sent = std::string("\0\x0c\0\0\x09", 5) + "localhost";
        EXPECT_EQ(hello.find(sent) != std::string::npos, is_name);
        EXPECT_EQ(hello.find("127.0.0.1"), std::string::npos);
        luzia::TlsOptions named = trusting("ca");
        named.server_name = "elsewhere.example";
        FakeServer other;
        std::string other_hello;
        other.take_some(other_hello).hang_up();
        other.start();
        EXPECT_EQ(look("rediss://" + host + ":" + std::to_string(other.port()), named).outcome, Outcome::unavailable);
        other.finish();
        EXPECT_NE(other_hello.find("elsewhere.example"), std::string::npos);
    }
}

TEST(Tls, WithoutANameToVerifyNothingIsTrusted) {
    LogLines log;
    EXPECT_EQ(look("unix://" + shared_redis().socket(), trusting("ca"), log).outcome, Outcome::unavailable);
    EXPECT_EQ(log.count("no server name to verify"), 1U) << log.all();
}

TEST(Tls, WhatCannotBeUsedThrowsAndNamesTheMember) {
    const auto problem_of = [](const luzia::TlsOptions& options) -> std::string {
        try {
            static_cast<void>(luzia::tls_transport(options));
        } catch (const std::invalid_argument& problem) { return problem.what(); }
        return "";
    };
    luzia::TlsOptions options;
    options.ca_file = "/no/such/file";
    EXPECT_NE(problem_of(options).find("ca_file"), std::string::npos);
    options = luzia::TlsOptions();
    options.certificate_file = certificates().certificate("client");
    EXPECT_NE(problem_of(options).find("key_file"), std::string::npos);
    options.key_file = certificates().key("server");
    EXPECT_NE(problem_of(options).find("key_file"), std::string::npos);
}

} // namespace
} // namespace luzia_test
