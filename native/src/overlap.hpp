// Does the overlap coefficient of two sets exceed a bound?
#ifndef SMH_OVERLAP_HPP
#define SMH_OVERLAP_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "smh.hpp"

namespace smh {

// Largest number of items of the smaller set that may be missing from the larger one, for every
// size of the smaller set; -1 where no pair can pass. From the definition |A & B| / min(|A|, |B|) >
// bound in doubles, which grows with |A & B|.
inline std::vector<std::int64_t> allowed_misses(std::size_t largest, double bound) {
    std::vector<std::int64_t> allowed(largest + 1, -1);
    for (std::size_t size = 1; size <= largest; ++size) {
        const auto passes = [&](std::size_t common) {
            return static_cast<double>(common) / static_cast<double>(size) > bound;
        };
        std::size_t low = 0, high = size + 1;  // the smallest common count that passes
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (passes(middle))
                high = middle;
            else
                low = middle + 1;
        }
        allowed[size] = static_cast<std::int64_t>(size) - static_cast<std::int64_t>(low);
    }
    return allowed;
}

// The items of one set (the hub), against which many smaller ones are tested.
class HubItems {
  public:
    explicit HubItems(std::size_t universe) : marks_(universe, 0) {}

    void set(const std::uint32_t* ranks, std::size_t size) {
        if (++current_ == 0) {
            std::fill(marks_.begin(), marks_.end(), 0U);
            current_ = 1;
        }
        for (std::size_t i = 0; i < size; ++i) marks_[ranks[i]] = current_;
    }

    // Whether at most `allowed` of the items are missing from the hub.
    bool holds(const std::uint32_t* ranks, std::size_t size, std::int64_t allowed) const noexcept {
        for (std::size_t i = 0; i < size; ++i) {
            allowed -= marks_[ranks[i]] != current_;
            if (allowed < 0) return false;
        }
        return true;
    }

  private:
    std::vector<std::uint32_t> marks_;
    std::uint32_t current_ = 0;
};

}  // namespace smh

#endif
