// Rows with equal tuples, found by a hash pass instead of a sort.
#ifndef SMH_GROUP_HPP
#define SMH_GROUP_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

namespace smh {

class Grouper {
  public:
    // The tuple of row i is `size` values at values + i * stride. Tuples are compared, not only
    // their hashes. Groups are numbered in the order of their first rows.
    void group(const std::uint32_t* values, std::size_t rows, std::size_t stride,
               std::uint32_t size);

    // visit(members, count) for every group of at least min_count rows, in order; rows ascend.
    template <class Visit>
    void visit(std::size_t min_count, Visit&& visit) {
        collect(min_count);
        for (std::size_t g = 0; g + 1 < starts_.size(); ++g)
            visit(members_.data() + starts_[g], starts_[g + 1] - starts_[g]);
    }

  private:
    void collect(std::size_t min_count);

    std::vector<std::uint64_t> hashes_;
    std::vector<std::uint64_t> slots_;    // hash tag and group
    std::vector<std::uint32_t> groups_;   // of each row
    std::vector<std::uint32_t> firsts_;   // first row of each group
    std::vector<std::uint32_t> counts_;   // rows of each group
    std::vector<std::uint32_t> cursors_;  // where the next row of a group goes
    std::vector<std::size_t> starts_;     // of the groups that are large enough
    std::vector<std::uint32_t> members_;
};

}  // namespace smh

#endif
