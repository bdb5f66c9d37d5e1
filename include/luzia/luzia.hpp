// luzia.hpp: everything.
#pragma once

#include <luzia/backend/disabled_backend.hpp>
#include <luzia/backend/memory_backend.hpp>
#include <luzia/backend/redis_backend.hpp>
#include <luzia/cache_client.hpp>
#include <luzia/celery/client.hpp>
#include <luzia/celery/worker.hpp>
#include <luzia/codec/binary_codecs.hpp>
#include <luzia/codec/raw_codec.hpp>
