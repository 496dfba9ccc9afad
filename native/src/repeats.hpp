// Finds an id that a row lists twice.
#ifndef SMH_REPEATS_HPP
#define SMH_REPEATS_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace smh {

class RepeatFinder {
  public:
    // A repeated id, or null. The pointer lives until the next call.
    const std::uint32_t* find(const std::uint32_t* ids, std::size_t size) {
        bool ascending = true;
        for (std::size_t i = 1; i < size; ++i) ascending &= ids[i - 1] < ids[i];
        if (ascending) return nullptr;
        sorted_.assign(ids, ids + size);
        std::sort(sorted_.begin(), sorted_.end());
        const auto twice = std::adjacent_find(sorted_.begin(), sorted_.end());
        return twice == sorted_.end() ? nullptr : &*twice;
    }

  private:
    std::vector<std::uint32_t> sorted_;
};

}  // namespace smh

#endif
