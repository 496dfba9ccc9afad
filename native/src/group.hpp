// Rows with equal tuples, found by hashing instead of sorting.
#ifndef SMH_GROUP_HPP
#define SMH_GROUP_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

namespace smh {

// Group g has the rows [starts[g], starts[g + 1]) of rows, ascending.
struct Groups {
    const std::vector<std::uint32_t>& rows;
    const std::vector<std::size_t>& starts;
    std::size_t size() const noexcept { return starts.size() - 1; }
};

// Rows are dealt out to parts by their hash, so that what follows stays in the first-level cache.
// In each part most rows are alone: counting hashes in a small table takes them out at once, and
// only the rest goes through a hash table, where tuples are compared, not only their hashes.
class Grouper {
  public:
    // The tuple of row i is `size` values at values + i * stride. Calls visit(groups) with the
    // groups of at least min_count rows, some hundred rows' worth at a time. The order of groups
    // is a function of the tuples and the number of rows.
    template <class Visit>
    void group(const std::uint32_t* values, std::size_t rows, std::size_t stride,
               std::uint32_t size, std::size_t min_count, Visit&& visit) {
        deal(values, rows, stride, size);
        for (std::size_t part = 0; part + 1 < parts_.size(); ++part) {
            find_candidates(parts_[part], parts_[part + 1], values, stride, min_count);
            group_candidates(values, stride, size, min_count);
            visit(Groups{members_, starts_});
        }
    }

  private:
    void deal(const std::uint32_t* values, std::size_t rows, std::size_t stride,
              std::uint32_t size);
    void find_candidates(std::size_t begin, std::size_t end, const std::uint32_t* values,
                         std::size_t stride, std::size_t min_count);
    void group_candidates(const std::uint32_t* values, std::size_t stride, std::uint32_t size,
                          std::size_t min_count);

    std::vector<std::uint32_t> hashes_;      // of the rows
    std::vector<std::size_t> parts_;         // where each part's records begin
    std::vector<std::uint64_t> records_;     // hash and row, part by part
    std::vector<std::uint8_t> seen_;         // how often a hash was seen, up to a bound
    std::vector<std::uint64_t> candidates_;  // records of the part that may not be alone
    std::size_t candidate_count_ = 0;
    std::vector<std::uint32_t> slots_;    // number of a group; 0 is empty
    std::vector<std::uint32_t> groups_;   // of each candidate
    std::vector<std::uint64_t> firsts_;   // first record of each group
    std::vector<std::uint32_t> cursors_;  // rows of each group, then where its next one goes
    std::vector<std::size_t> starts_;     // of the groups that are large enough, in members_
    std::vector<std::uint32_t> members_;
};

}  // namespace smh

#endif
