#include "group.hpp"

#include <algorithm>

namespace smh {
namespace {

constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15ULL;
constexpr std::size_t part_rows = 1024;
constexpr unsigned most_part_bits = 12;
constexpr std::uint32_t too_small = UINT32_MAX;

inline std::uint32_t hash_tuple(const std::uint32_t* tuple, std::uint32_t size) {
    std::uint64_t hash = 0;
    for (std::uint32_t i = 0; i < size; ++i) {
        hash = (hash ^ tuple[i]) * multiplier;
        hash ^= hash >> 32U;
    }
    return static_cast<std::uint32_t>(hash * multiplier >> 32U);
}

void hash_rows(const std::uint32_t* values, std::size_t rows, std::size_t stride,
               std::uint32_t size, std::uint32_t* hashes) {
    if (size == 2)  // the usual sizes as constants, so that the loop over the tuple goes away
        for (std::size_t row = 0; row < rows; ++row)
            hashes[row] = hash_tuple(values + row * stride, 2);
    else if (size == 3)
        for (std::size_t row = 0; row < rows; ++row)
            hashes[row] = hash_tuple(values + row * stride, 3);
    else
        for (std::size_t row = 0; row < rows; ++row)
            hashes[row] = hash_tuple(values + row * stride, size);
}

// The smallest power of two that is at least `least`.
std::size_t power_of_two(std::size_t least) {
    std::size_t power = 16;
    while (power < least) power *= 2;
    return power;
}

// The high bits of a hash choose its part, the low bits its place there.
constexpr std::uint32_t hash_of(std::uint64_t record) {
    return static_cast<std::uint32_t>(record >> 32U);
}
constexpr std::uint32_t row_of(std::uint64_t record) { return static_cast<std::uint32_t>(record); }

}  // namespace

void Grouper::deal(const std::uint32_t* values, std::size_t rows, std::size_t stride,
                   std::uint32_t size) {
    unsigned bits = 0;
    while (bits < most_part_bits && (rows >> bits) > part_rows) ++bits;
    const auto part_of = [&](std::uint32_t hash) {
        return static_cast<std::size_t>(std::uint64_t{hash} << bits >> 32U);
    };
    hashes_.resize(rows);
    records_.resize(rows);
    hash_rows(values, rows, stride, size, hashes_.data());
    parts_.assign((std::size_t{1} << bits) + 1, 0);
    for (const std::uint32_t hash : hashes_) ++parts_[part_of(hash) + 1];
    for (std::size_t part = 1; part < parts_.size(); ++part) parts_[part] += parts_[part - 1];
    for (std::size_t row = 0; row < rows; ++row)
        records_[parts_[part_of(hashes_[row])]++] = std::uint64_t{hashes_[row]} << 32U | row;
    // each entry has run to the end of its part, which is where the next one begins
    for (std::size_t part = parts_.size() - 1; part > 0; --part) parts_[part] = parts_[part - 1];
    parts_[0] = 0;
}

void Grouper::find_candidates(std::size_t begin, std::size_t end, const std::uint32_t* values,
                              std::size_t stride, std::size_t min_count) {
    seen_.assign(power_of_two(8 * (end - begin)), 0);
    candidates_.resize(std::max(candidates_.size(), end - begin + 1));
    const std::size_t mask = seen_.size() - 1;
    const auto enough = static_cast<std::uint8_t>(std::min<std::size_t>(min_count, UINT8_MAX));
    for (std::size_t i = begin; i < end; ++i) {
        std::uint8_t& seen = seen_[hash_of(records_[i]) & mask];
        seen = static_cast<std::uint8_t>(seen + (seen < enough));
    }
    std::size_t count = 0;
    for (std::size_t i = begin; i < end; ++i) {
        candidates_[count] = records_[i];
        count += seen_[hash_of(records_[i]) & mask] >= enough;
    }
    candidate_count_ = count;
    for (std::size_t i = 0; i < count; ++i)
        __builtin_prefetch(values + row_of(candidates_[i]) * stride);
}

void Grouper::group_candidates(const std::uint32_t* values, std::size_t stride, std::uint32_t size,
                               std::size_t min_count) {
    slots_.assign(power_of_two(4 * candidate_count_), 0);
    const std::size_t mask = slots_.size() - 1;
    groups_.resize(candidate_count_);
    firsts_.clear();
    cursors_.clear();
    const auto equals = [&](std::uint64_t a, std::uint64_t b) {
        if (hash_of(a) != hash_of(b)) return false;
        const std::uint32_t* left = values + row_of(a) * stride;
        const std::uint32_t* right = values + row_of(b) * stride;
        for (std::uint32_t i = 0; i < size; ++i)
            if (left[i] != right[i]) return false;
        return true;
    };
    for (std::size_t i = 0; i < candidate_count_; ++i) {
        const std::uint64_t record = candidates_[i];
        std::size_t slot = hash_of(record) & mask;
        while (slots_[slot] != 0 && !equals(firsts_[slots_[slot] - 1], record))
            slot = (slot + 1) & mask;
        if (slots_[slot] == 0) {
            firsts_.push_back(record);
            cursors_.push_back(0);
            slots_[slot] = static_cast<std::uint32_t>(firsts_.size());
        }
        groups_[i] = slots_[slot] - 1;
        ++cursors_[groups_[i]];
    }
    starts_.assign(1, 0);
    for (std::uint32_t& cursor : cursors_) {
        const bool large = cursor >= min_count;
        const std::size_t start = starts_.back();
        if (large) starts_.push_back(start + cursor);
        cursor = large ? static_cast<std::uint32_t>(start) : too_small;
    }
    members_.resize(starts_.back());
    for (std::size_t i = 0; i < candidate_count_; ++i) {
        std::uint32_t& next = cursors_[groups_[i]];
        if (next != too_small) members_[next++] = row_of(candidates_[i]);
    }
}

}  // namespace smh
