// Union-find.
#ifndef SMH_FOREST_HPP
#define SMH_FOREST_HPP

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace smh {

class Forest {
  public:
    explicit Forest(std::size_t size) : parents_(size) {
        std::iota(parents_.begin(), parents_.end(), 0U);
    }

    // The smallest element of the component.
    std::uint32_t find(std::uint32_t element) noexcept {
        while (parents_[element] != element) {
            parents_[element] = parents_[parents_[element]];
            element = parents_[element];
        }
        return element;
    }

    // Whether the two were apart until now.
    bool join(std::uint32_t a, std::uint32_t b) noexcept {
        a = find(a);
        b = find(b);
        if (a == b) return false;
        parents_[a < b ? b : a] = a < b ? a : b;
        return true;
    }

    // Announces a find.
    void prefetch(std::uint32_t element) const noexcept { __builtin_prefetch(&parents_[element]); }

  private:
    std::vector<std::uint32_t> parents_;
};

}  // namespace smh

#endif
