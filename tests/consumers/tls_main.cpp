// A program of somebody else's that wants TLS.
#include <luzia/cache_client.hpp>
#include <luzia/tls.hpp>

#include <boost/asio/io_context.hpp>

#include <cstdio>

int main() {
    boost::asio::io_context io;
    luzia::CacheOptions options;
    options.url = "rediss://localhost";
    options.transport = luzia::tls_transport();
    luzia::CacheClient cache(io, options);
    std::puts("works");
    return 0;
}
