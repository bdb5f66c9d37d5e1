// counted.cpp: loaded before a program (LD_PRELOAD), counts its allocations, the bytes that it holds, and the bytes that memcpy, memmove
// and realloc copy. Copies that the compiler made part of the code are not seen: those are small ones, of a known size.
#include <dlfcn.h>
#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdio>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

using Number = std::atomic<std::size_t>;
Number allocations{0};
Number copied{0};
Number held{0};
Number most_held{0};

void* came(void* block) {
    if (block == nullptr) { return block; }
    allocations.fetch_add(1, std::memory_order_relaxed);
    const std::size_t size = ::malloc_usable_size(block) + sizeof(std::size_t); // and the allocator's own word
    const std::size_t now = held.fetch_add(size, std::memory_order_relaxed) + size;
    std::size_t most = most_held.load(std::memory_order_relaxed);
    while (now > most && !most_held.compare_exchange_weak(most, now, std::memory_order_relaxed)) {}
    return block;
}

void goes(void* block) {
    if (block != nullptr) { held.fetch_sub(::malloc_usable_size(block) + sizeof(std::size_t), std::memory_order_relaxed); }
}

using Copy = void* (*)(void*, const void*, std::size_t);

void* copy(std::atomic<Copy>& real, const char* name, void* to, const void* from, std::size_t size) {
    copied.fetch_add(size, std::memory_order_relaxed);
    Copy function = real.load(std::memory_order_relaxed);
    if (function == nullptr) {
        function = reinterpret_cast<Copy>(::dlsym(RTLD_NEXT, name));
        real.store(function, std::memory_order_relaxed);
    }
    return function(to, from, size);
}

std::atomic<Copy> real_memcpy{nullptr};
std::atomic<Copy> real_memmove{nullptr};

// A block mapped by itself grows by moving its pages; glibc marks it with the second bit of the word before it.
bool is_mapped(void* block) { return (static_cast<std::size_t*>(block)[-1] & 2U) != 0; }

struct AtExit {
    ~AtExit() { std::fprintf(stderr, "allocations,%zu\ncopied,%zu\nmost held,%zu\n", allocations.load(), copied.load(), most_held.load()); }
} at_exit;

} // namespace

extern "C" {

/// What the program holds now; idle.cpp asks.
std::size_t counted_bytes_held() { return held.load(std::memory_order_relaxed); }

void* malloc(std::size_t size) noexcept { return came(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) noexcept { return came(__libc_calloc(count, size)); }
void* memalign(std::size_t alignment, std::size_t size) noexcept { return came(__libc_memalign(alignment, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept { return came(__libc_memalign(alignment, size)); }
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
    *block = came(__libc_memalign(alignment, size));
    return *block != nullptr ? 0 : 12; // ENOMEM
}
void free(void* block) noexcept {
    goes(block);
    __libc_free(block);
}
void* realloc(void* block, std::size_t size) noexcept {
    if (block == nullptr) { return malloc(size); }
    const std::size_t before = ::malloc_usable_size(block);
    const bool was_mapped = is_mapped(block);
    goes(block);
    void* const moved = __libc_realloc(block, size);
    if (moved != nullptr && moved != block && !(was_mapped && is_mapped(moved))) {
        copied.fetch_add(before < size ? before : size, std::memory_order_relaxed);
    }
    return came(moved);
}

void* memcpy(void* to, const void* from, std::size_t size) noexcept { return copy(real_memcpy, "memcpy", to, from, size); }
void* memmove(void* to, const void* from, std::size_t size) noexcept { return copy(real_memmove, "memmove", to, from, size); }
void* __memcpy_chk(void* to, const void* from, std::size_t size, std::size_t) noexcept {
    return copy(real_memcpy, "memcpy", to, from, size);
}
void* __memmove_chk(void* to, const void* from, std::size_t size, std::size_t) noexcept {
    return copy(real_memmove, "memmove", to, from, size);
}

} // extern "C"
