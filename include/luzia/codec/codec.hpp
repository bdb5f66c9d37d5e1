// codec/codec.hpp: the concept of what turns values into bytes and back, and where a failure of it leads.
#pragma once

#include <nlohmann/json.hpp>

#include <concepts>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace luzia {

namespace codec {

template <class Codec>
struct DefaultValue {
    using type = nlohmann::json;
};
template <class Codec>
requires requires { typename Codec::default_value; }
struct DefaultValue<Codec> {
    using type = typename Codec::default_value;
};

/// What `get(key)` reads where no type is named: `Codec::default_value`, or `nlohmann::json`.
template <class Codec>
using default_value_t = typename DefaultValue<Codec>::type;

} // namespace codec

/// What `CacheClient` needs of a codec to read and write a `T`.
///
/// `encode` returns the bytes, or throws: the operation is `invalid`, and nothing is sent. `decode` returns the value; an empty optional and
/// any exception mean that the bytes are no `T`: `undecodable`, a miss. It is handed the bytes as an rvalue `std::string` and may take
/// them as that, or as a `std::string_view`; so is `encode` where a `std::string` is given away to `set`, if it takes one. Both
/// are called from any thread: a codec has no state that they change.
template <class C, class T = codec::default_value_t<C>>
concept ValueCodec = std::copy_constructible<C> && requires(const C& codec, const T& value, std::string bytes) {
    { codec.encode(value) } -> std::convertible_to<std::string>;
    { codec.template decode<T>(std::move(bytes)) } -> std::convertible_to<std::optional<T>>;
};

} // namespace luzia
