#include "group.hpp"

#include <algorithm>

namespace smh {
namespace {

constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15ULL;
constexpr std::size_t part_rows = 1024;
constexpr unsigned most_part_bits = 12;

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

// Whether a row opens a group, and whether that group is large enough, is as good as random: both
// are computed without branches.
void Grouper::group_candidates(const std::uint32_t* values, std::size_t stride, std::uint32_t size,
                               std::size_t min_count) {
    const std::size_t count = candidate_count_;
    slots_.assign(power_of_two(4 * count), 0);
    groups_.resize(count);
    firsts_.resize(count + 1);  // groups are numbered from 1
    cursors_.assign(count + 1, 0);
    starts_.resize(count + 1);
    members_.resize(2 * count);
    const std::size_t mask = slots_.size() - 1;
    std::uint32_t group_count = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t record = candidates_[i];
        std::size_t slot = hash_of(record) & mask;
        for (;; slot = (slot + 1) & mask) {
            const std::uint32_t known = slots_[slot];
            const bool opens = known == 0;
            const std::uint64_t first = opens ? record : firsts_[known];
            const std::uint32_t* left = values + row_of(first) * stride;
            const std::uint32_t* right = values + row_of(record) * stride;
            std::uint32_t difference = hash_of(first) ^ hash_of(record);
            for (std::uint32_t k = 0; k < size; ++k) difference |= left[k] ^ right[k];
            if (difference != 0) continue;
            group_count += opens;
            const std::uint32_t group = opens ? group_count : known;
            slots_[slot] = group;
            firsts_[group] = first;
            groups_[i] = group;
            ++cursors_[group];
            break;
        }
    }
    // rows of groups that are too small go behind all others and are forgotten
    std::size_t large = 0, end = 0, behind = count;
    for (std::uint32_t group = 1; group <= group_count; ++group) {
        const std::uint32_t rows = cursors_[group];
        const bool enough = rows >= min_count;
        cursors_[group] = static_cast<std::uint32_t>(enough ? end : behind);
        starts_[large] = end;
        large += enough;
        end += enough ? rows : 0;
        behind += enough ? 0 : rows;
    }
    for (std::size_t i = 0; i < count; ++i)
        members_[cursors_[groups_[i]]++] = row_of(candidates_[i]);
    starts_.resize(large + 1);
    starts_[large] = end;
    members_.resize(end);
}

}  // namespace smh
