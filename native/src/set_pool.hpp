// Distinct sets with their multiplicities, in the order in which they were first added.
#ifndef SMH_SET_POOL_HPP
#define SMH_SET_POOL_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

#include "smh.hpp"

namespace smh {

class SetPool {
  public:
    void add(const std::uint32_t* items, std::size_t size, std::uint32_t multiplicity);
    void add(const SetPool& other);

    // The sets in canonical order; `items` gives the items for what was added.
    Sets canonical(const std::vector<std::uint32_t>& items, unsigned threads) const;

  private:
    void grow();
    void insert(std::uint64_t hash, const std::uint32_t* items, std::size_t size,
                std::uint32_t multiplicity);

    Sets sets_;
    std::vector<std::uint64_t> hashes_;  // of each set
    std::vector<std::uint32_t> slots_;   // one more than a set's number; 0 is empty
};

}  // namespace smh

#endif
