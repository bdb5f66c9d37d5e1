// codec/json_value.hpp: a parsed JSON value as a `T`, as codecs read it.
#pragma once

#include <luzia/core/json_value.hpp>

namespace luzia::codec {

using detail::number_of;
using detail::value_of;

} // namespace luzia::codec
