// redis/transport_factory.hpp: how a transport is asked for, without what it is made of.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace luzia::redis {

class StreamExecutor;
class Transport;

/// Makes the transport of each connection attempt. `host` is the server's name, for its certificate.
using TransportFactory = std::function<std::unique_ptr<Transport>(const StreamExecutor& executor, const std::string& host)>;

} // namespace luzia::redis
