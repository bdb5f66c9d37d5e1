// tls.hpp: rediss:// through OpenSSL. A header and a target (luzia::tls) of its own, so that nobody pays for it unasked.
#pragma once

#include <luzia/redis/tls_transport.hpp>

namespace luzia {

using redis::tls_transport;
using redis::TlsOptions;

} // namespace luzia
