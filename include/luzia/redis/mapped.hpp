// redis/mapped.hpp: a handler behind a function that makes its results of others; associated with all that the handler is.
#pragma once

#include <boost/asio/associator.hpp>

#include <utility>

namespace luzia::redis {

/// Called with whatever `map` takes after the handler. `map` calls the handler, once.
template <class Handler, class Map>
class Mapped {
public:
    Mapped(Handler handler, Map map) : handler_(std::move(handler)), map_(std::move(map)) {}

    template <class... Results>
    void operator()(Results&&... results) {
        map_(std::move(handler_), std::forward<Results>(results)...);
    }

    [[nodiscard]] const Handler& handler() const noexcept { return handler_; }

private:
    Handler handler_;
    Map map_;
};

} // namespace luzia::redis

template <template <class, class> class Associator, class Handler, class Map, class Default>
struct boost::asio::associator<Associator, luzia::redis::Mapped<Handler, Map>, Default> : Associator<Handler, Default> {
    static auto get(const luzia::redis::Mapped<Handler, Map>& mapped) noexcept {
        return Associator<Handler, Default>::get(mapped.handler());
    }
    static auto get(const luzia::redis::Mapped<Handler, Map>& mapped, const Default& fallback) noexcept {
        return Associator<Handler, Default>::get(mapped.handler(), fallback);
    }
};
