#include "set_pool.hpp"

#include <algorithm>

#include "parallel.hpp"

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

Sets SetPool::canonical(const std::vector<std::uint32_t>& items, unsigned threads) const {
    // Size and the first two items decide nearly all comparisons without a look at the sets.
    struct Key {
        std::uint64_t size;
        std::uint64_t head;
        std::uint32_t set;
    };
    const auto items_of = [&](std::uint32_t set) {
        return sets_.items.data() + sets_.offsets[set];
    };
    std::vector<Key> order(sets_.size());
    for (std::uint32_t set = 0; set < order.size(); ++set) {
        const std::uint64_t size = sets_.offsets[set + 1] - sets_.offsets[set];
        const std::uint64_t second = size > 1 ? items_of(set)[1] : 0;
        order[set] = {size, std::uint64_t{items_of(set)[0]} << 32U | second, set};
    }
    const auto before = [&](const Key& a, const Key& b) {
        if (a.size != b.size) return a.size > b.size;
        if (a.head != b.head) return a.head < b.head;
        return std::lexicographical_compare(items_of(a.set), items_of(a.set) + a.size,
                                            items_of(b.set), items_of(b.set) + b.size);
    };
    sort_parallel(order, before, threads);
    Sets result;
    result.items.resize(sets_.items.size());
    result.offsets.resize(order.size() + 1);
    result.multiplicities.resize(order.size());
    for (std::size_t to = 0; to < order.size(); ++to)
        result.offsets[to + 1] = result.offsets[to] + order[to].size;
    const std::size_t used = useful_threads(threads, order.size());
    run_threads(used, [&](std::size_t thread) {
        const Share share = share_of(order.size(), thread, used);
        for (std::size_t to = share.begin; to < share.end; ++to) {
            const std::uint32_t* from = items_of(order[to].set);
            for (std::uint64_t i = 0; i < order[to].size; ++i)
                result.items[result.offsets[to] + i] = items[from[i]];
            result.multiplicities[to] = sets_.multiplicities[order[to].set];
        }
    });
    return result;
}

}  // namespace smh
