// codec/document.hpp: bytes as a `T`, through a tree of JSON values of which each thread keeps the last.
#pragma once

#include <luzia/codec/tree_builder.hpp>
#include <luzia/core/json_value.hpp>

#include <nlohmann/json.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace luzia::codec {

/// What a thread keeps between two documents, so that the next one need not ask for its memory again: a tree of at most 16 KiB of text.
/// Whoever reads a document takes it, and whoever comes meanwhile, a `from_json` that decodes something itself, has one of his own.
template <class Json = nlohmann::json>
class KeptBuilder {
public:
    using Builder = TreeBuilder<Json>;
    static constexpr std::size_t largest_kept = 16 * 1024;

    [[nodiscard]] static std::unique_ptr<Builder> take(std::size_t deepest) {
        if (kept == nullptr) { return std::make_unique<Builder>(deepest); }
        kept->restart(deepest);
        return std::unique_ptr<Builder>(std::exchange(kept, nullptr));
    }

    static void give_back(std::unique_ptr<Builder> builder) {
        [[maybe_unused]] static thread_local const AtThreadsEnd freed_then;
        if (!is_over && kept == nullptr) { kept = builder.release(); }
    }

private:
    /// What has a static lifetime may decode when what is the thread's own has gone: hence the plain pointer, which no destructor ends.
    struct AtThreadsEnd {
        ~AtThreadsEnd() {
            is_over = true;
            delete std::exchange(kept, nullptr);
        }
    };

    static inline thread_local Builder* kept = nullptr;
    static inline thread_local bool is_over = false;
};

/// Reads a document with nlohmann_json: `parse(TreeBuilder<>&)` says whether it succeeded. It may nest `limit` deep. Throws what a user's
/// `from_json` throws.
template <class T, class Parse>
[[nodiscard]] std::optional<T> read_document(std::string_view bytes, std::size_t limit, Parse parse) {
    static_assert(!std::is_pointer_v<T> && !std::same_as<T, std::string_view>, "the document that it would point into is gone");
    auto builder = KeptBuilder<>::take(limit);
    if (!parse(*builder)) { return std::nullopt; }
    std::optional<T> value = detail::value_of<T>(std::move(builder->tree()));
    if (bytes.size() <= KeptBuilder<>::largest_kept) { KeptBuilder<>::give_back(std::move(builder)); }
    return value;
}

template <class T>
[[nodiscard]] std::optional<T> read_json(std::string_view bytes, std::size_t limit) {
    return read_document<T>(bytes, limit, [bytes](TreeBuilder<>& builder) {
#if NLOHMANN_JSON_VERSION_MAJOR == 3 && NLOHMANN_JSON_VERSION_MINOR <= 12
        // What `sax_parse` does. But that one chooses a format when it is called: each file would compile its readers of four binary ones.
        auto input = nlohmann::detail::input_adapter(bytes);
        return nlohmann::detail::parser<nlohmann::json, decltype(input)>(std::move(input)).sax_parse(&builder);
#else
        return nlohmann::json::sax_parse(bytes, &builder);
#endif
    });
}

template <class T>
[[nodiscard]] std::optional<T> read_binary(std::string_view bytes, nlohmann::json::input_format_t format, std::size_t limit) {
    return read_document<T>(bytes, limit, [&](TreeBuilder<>& builder) { return nlohmann::json::sax_parse(bytes, &builder, format); });
}

} // namespace luzia::codec
