#include "set_pool.hpp"

#include <algorithm>
#include <numeric>

namespace smh {
namespace {

constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15ULL;

std::uint64_t hash_items(const std::uint32_t* items, std::size_t size) {
    std::uint64_t hash = size;
    for (std::size_t i = 0; i < size; ++i) {
        hash = (hash ^ items[i]) * multiplier;
        hash ^= hash >> 29U;
    }
    return hash * multiplier;
}

}  // namespace

void SetPool::grow() {
    slots_.assign(slots_.empty() ? 1024 : 2 * slots_.size(), 0);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t set = 0; set < hashes_.size(); ++set) {
        std::size_t slot = (hashes_[set] >> 32U) & mask;
        while (slots_[slot] != 0) slot = (slot + 1) & mask;
        slots_[slot] = static_cast<std::uint32_t>(set + 1);
    }
}

void SetPool::insert(std::uint64_t hash, const std::uint32_t* items, std::size_t size,
                     std::uint32_t multiplicity) {
    if (2 * sets_.size() >= slots_.size()) grow();
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = (hash >> 32U) & mask;
    for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
        const std::size_t set = slots_[slot] - 1;
        const std::uint64_t begin = sets_.offsets[set];
        if (hashes_[set] != hash || sets_.offsets[set + 1] - begin != size) continue;
        if (!std::equal(items, items + size, sets_.items.data() + begin)) continue;
        sets_.multiplicities[set] += multiplicity;
        return;
    }
    if (sets_.size() >= UINT32_MAX - 1) throw Error("mine: more than 2^32 - 2 distinct sets");
    hashes_.push_back(hash);
    sets_.items.insert(sets_.items.end(), items, items + size);
    sets_.offsets.push_back(sets_.items.size());
    sets_.multiplicities.push_back(multiplicity);
    slots_[slot] = static_cast<std::uint32_t>(sets_.size());
}

void SetPool::add(const std::uint32_t* items, std::size_t size, std::uint32_t multiplicity) {
    insert(hash_items(items, size), items, size, multiplicity);
}

void SetPool::add(const SetPool& other) {
    for (std::size_t set = 0; set < other.sets_.size(); ++set)
        insert(other.hashes_[set], other.sets_.items.data() + other.sets_.offsets[set],
               other.sets_.offsets[set + 1] - other.sets_.offsets[set],
               other.sets_.multiplicities[set]);
}

Sets SetPool::canonical(const std::vector<std::uint32_t>& items) const {
    const auto size_of = [&](std::uint32_t set) {
        return sets_.offsets[set + 1] - sets_.offsets[set];
    };
    std::vector<std::uint32_t> order(sets_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        if (size_of(a) != size_of(b)) return size_of(a) > size_of(b);
        const auto* left = sets_.items.data() + sets_.offsets[a];
        const auto* right = sets_.items.data() + sets_.offsets[b];
        return std::lexicographical_compare(left, left + size_of(a), right, right + size_of(b));
    });
    Sets result;
    result.items.reserve(sets_.items.size());
    result.offsets.reserve(order.size() + 1);
    result.multiplicities.reserve(order.size());
    for (const std::uint32_t set : order) {
        for (std::uint64_t at = sets_.offsets[set]; at < sets_.offsets[set + 1]; ++at)
            result.items.push_back(items[sets_.items[at]]);
        result.offsets.push_back(result.items.size());
        result.multiplicities.push_back(sets_.multiplicities[set]);
    }
    return result;
}

}  // namespace smh
