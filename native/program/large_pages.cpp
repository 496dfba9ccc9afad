// Large pieces of memory in large pages: otherwise the first touch of every 4 KiB costs a page
// fault, a twentieth of a run in all, and most of it before several threads can share the work.
// This is the program's choice and not the library's: it replaces operator new for the process.
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)

#include <sys/mman.h>

void* operator new(std::size_t size) {
    constexpr std::size_t page = std::size_t{1} << 21U;
    void* memory = nullptr;
    if (size < 2 * page || size > SIZE_MAX - page) {
        memory = std::malloc(size == 0 ? 1 : size);
    } else {
        const std::size_t rounded = (size + page - 1) / page * page;
        memory = std::aligned_alloc(page, rounded);
        // a wish: where the system has no large pages, nothing changes
        if (memory != nullptr) ::madvise(memory, rounded, MADV_HUGEPAGE);
    }
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

#endif
