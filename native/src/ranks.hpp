// Ranks of arbitrary 32-bit ids among the distinct ones: 0 for the smallest.
#ifndef SMH_RANKS_HPP
#define SMH_RANKS_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hash.hpp"

namespace smh {

class Ranks {
  public:
    explicit Ranks(const std::vector<std::uint32_t>& ids);

    // The distinct ids, ascending.
    const std::vector<std::uint32_t>& ids() const noexcept { return sorted_; }
    std::size_t size() const noexcept { return sorted_.size(); }

    // The id must be one of those given.
    std::uint32_t operator[](std::uint32_t id) const noexcept {
        if (!direct_.empty()) return direct_[id];
        std::size_t slot = mix(id) & mask_;
        while (slots_[slot].id != id) slot = (slot + 1) & mask_;
        return slots_[slot].rank;
    }

  private:
    struct Slot {
        std::uint32_t id;
        std::uint32_t rank;  // empty_slot where there is none
    };
    static constexpr std::uint32_t empty_slot = UINT32_MAX;

    void collect_dense(const std::vector<std::uint32_t>& ids, std::size_t bound);
    void collect_sparse(const std::vector<std::uint32_t>& ids);
    void insert(std::uint32_t id);

    std::vector<std::uint32_t> sorted_;
    std::vector<std::uint32_t> direct_;  // rank by id, where ids are dense enough
    std::vector<Slot> slots_;            // open addressing, where they are not
    std::size_t mask_ = 0;
};

}  // namespace smh

#endif
