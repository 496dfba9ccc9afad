// Work shared among threads.
#ifndef SMH_PARALLEL_HPP
#define SMH_PARALLEL_HPP

#include <algorithm>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace smh {

// Runs work(thread) for thread = 0 .. threads - 1, the first on the caller's thread. The first
// exception, in the order of thread numbers, is thrown again when all have ended.
template <class Work>
void run_threads(std::size_t threads, Work&& work) {
    std::vector<std::exception_ptr> failures(threads);
    const auto guarded = [&](std::size_t thread) {
        try {
            work(thread);
        } catch (...) {
            failures[thread] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(threads);
    std::size_t started = 1;
    try {
        for (; started < threads; ++started) others.emplace_back(guarded, started);
    } catch (...) {  // the system has no more threads: the work is done by those there are
    }
    guarded(0);
    for (auto& other : others) other.join();
    for (; started < threads; ++started) guarded(started);
    for (const auto& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

// The thread's share of [0, count), in steps of `grain`.
struct Share {
    std::size_t begin;
    std::size_t end;
};
inline Share share_of(std::size_t count, std::size_t thread, std::size_t threads,
                      std::size_t grain = 1) {
    const std::size_t pieces = (count + grain - 1) / grain;
    const auto bound = [&](std::size_t t) {
        return std::min(count, pieces * t / threads * grain);
    };
    return {bound(thread), thread + 1 == threads ? count : bound(thread + 1)};
}

// No more threads than there are pieces of work, and at least one.
inline std::size_t useful_threads(unsigned wanted, std::size_t pieces) {
    return std::max<std::size_t>(1, std::min<std::size_t>(wanted, pieces));
}

// std::sort by several threads; `before` must order all elements strictly.
template <class Element, class Before>
void sort_parallel(std::vector<Element>& elements, Before before, std::size_t threads) {
    threads = useful_threads(static_cast<unsigned>(threads), elements.size() / 4096);
    const auto at = [&](std::size_t place) {
        return elements.begin() + static_cast<std::ptrdiff_t>(place);
    };
    run_threads(threads, [&](std::size_t thread) {
        const Share share = share_of(elements.size(), thread, threads);
        std::sort(at(share.begin), at(share.end), before);
    });
    for (std::size_t thread = 1; thread < threads; ++thread) {
        const Share share = share_of(elements.size(), thread, threads);
        std::inplace_merge(elements.begin(), at(share.begin), at(share.end), before);
    }
}

}  // namespace smh

#endif
