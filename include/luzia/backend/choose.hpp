// backend/choose.hpp: the backend that a URL names. With it comes the whole engine.
#pragma once

#if defined(LUZIA_SEPARATE_COMPILATION) && !defined(LUZIA_SOURCE)
#error "with LUZIA_SEPARATE_COMPILATION this is for luzia/src.hpp alone"
#endif

#include <luzia/backend/any_backend.hpp>
#include <luzia/backend/disabled_backend.hpp>
#include <luzia/backend/memory_backend.hpp>
#include <luzia/backend/named_server.hpp>
#include <luzia/backend/options.hpp>
#include <luzia/backend/redis_backend.hpp>
#include <luzia/core/separate.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <memory>

namespace luzia::backend {

[[gnu::cold]] LUZIA_DECL std::unique_ptr<AnyBackend> choose(const boost::asio::any_io_executor& executor, const BackendOptions& options) {
    validate(options);
    const Url url = checked_url(options);
    if (url.scheme == "disabled") { return std::make_unique<AnyBackendOf<DisabledBackend>>(DisabledBackend(executor)); }
    if (url.scheme == "memory") { return std::make_unique<AnyBackendOf<MemoryBackend>>(MemoryBackend(executor, memory_limits(url))); }
    return std::make_unique<AnyBackendOf<RedisBackend>>(RedisBackend(executor, options));
}

} // namespace luzia::backend
