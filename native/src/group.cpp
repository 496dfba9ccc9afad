#include "group.hpp"

#include <algorithm>

namespace smh {
namespace {

constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15ULL;
constexpr std::uint32_t not_visited = UINT32_MAX;

inline std::uint64_t hash_tuple(const std::uint32_t* tuple, std::uint32_t size) {
    std::uint64_t hash = 0;
    for (std::uint32_t i = 0; i < size; ++i) {
        hash = (hash ^ tuple[i]) * multiplier;
        hash ^= hash >> 32U;
    }
    return hash * multiplier;
}

}  // namespace

void Grouper::group(const std::uint32_t* values, std::size_t rows, std::size_t stride,
                    std::uint32_t size) {
    unsigned bits = 4;
    while ((std::size_t{1} << bits) < 2 * rows) ++bits;
    const unsigned shift = 64 - bits;
    const std::size_t mask = (std::size_t{1} << bits) - 1;
    slots_.assign(mask + 1, 0);
    groups_.resize(rows);
    hashes_.resize(rows);
    firsts_.clear();
    counts_.clear();
    for (std::size_t row = 0; row < rows; ++row)
        hashes_[row] = hash_tuple(values + row * stride, size);

    // A slot holds the low half of the hash (the slot number comes from the high bits) and one more
    // than the group's number; 0 is an empty slot.
    constexpr std::size_t ahead = 12;
    for (std::size_t row = 0; row < rows; ++row) {
        if (row + ahead < rows) __builtin_prefetch(&slots_[hashes_[row + ahead] >> shift]);
        const std::uint64_t tag = hashes_[row] << 32U;
        std::size_t slot = hashes_[row] >> shift;
        for (;; slot = (slot + 1) & mask) {
            const std::uint64_t entry = slots_[slot];
            if (entry == 0) {
                slots_[slot] = tag | (firsts_.size() + 1);
                groups_[row] = static_cast<std::uint32_t>(firsts_.size());
                firsts_.push_back(static_cast<std::uint32_t>(row));
                counts_.push_back(1);
                break;
            }
            if ((entry ^ tag) >> 32U != 0) continue;
            const auto found = static_cast<std::uint32_t>(entry) - 1;
            const std::uint32_t* first = values + firsts_[found] * stride;
            if (!std::equal(first, first + size, values + row * stride)) continue;
            groups_[row] = found;
            ++counts_[found];
            break;
        }
    }
}

void Grouper::collect(std::size_t min_count) {
    starts_.assign(1, 0);
    cursors_.resize(counts_.size());
    for (std::size_t g = 0; g < counts_.size(); ++g) {
        const bool visited = counts_[g] >= min_count;
        cursors_[g] = visited ? static_cast<std::uint32_t>(starts_.back()) : not_visited;
        if (visited) starts_.push_back(starts_.back() + counts_[g]);
    }
    members_.resize(starts_.back());
    for (std::size_t row = 0; row < groups_.size(); ++row) {
        std::uint32_t& cursor = cursors_[groups_[row]];
        if (cursor != not_visited) members_[cursor++] = static_cast<std::uint32_t>(row);
    }
}

}  // namespace smh
