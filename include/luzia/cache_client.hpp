// cache_client.hpp: the cache client with its default backend and codec; what most programs include.
#pragma once

#include <luzia/cache/client.hpp>
