#include "ranks.hpp"

#include <algorithm>

namespace smh {

Ranks::Ranks(const std::vector<std::uint32_t>& ids) {
    if (ids.empty()) return;
    const std::size_t bound = std::size_t{*std::max_element(ids.begin(), ids.end())} + 1;
    if (bound <= 2 * ids.size() + (1U << 16U))
        collect_dense(ids, bound);
    else
        collect_sparse(ids);
}

void Ranks::collect_dense(const std::vector<std::uint32_t>& ids, std::size_t bound) {
    direct_.assign(bound, 0);
    for (const auto id : ids) direct_[id] = 1;
    for (std::size_t id = 0; id < bound; ++id) {
        if (direct_[id] == 0) continue;
        direct_[id] = static_cast<std::uint32_t>(sorted_.size());
        sorted_.push_back(static_cast<std::uint32_t>(id));
    }
}

void Ranks::insert(std::uint32_t id) {
    std::size_t slot = mix(id) & mask_;
    while (slots_[slot].rank != empty_slot && slots_[slot].id != id) slot = (slot + 1) & mask_;
    if (slots_[slot].rank != empty_slot) return;
    slots_[slot] = {id, 0};
    sorted_.push_back(id);
}

void Ranks::collect_sparse(const std::vector<std::uint32_t>& ids) {
    slots_.assign(1U << 10U, {0, empty_slot});
    mask_ = slots_.size() - 1;
    for (const auto id : ids) {
        if (2 * sorted_.size() >= slots_.size()) {
            slots_.assign(2 * slots_.size(), {0, empty_slot});
            mask_ = slots_.size() - 1;
            std::vector<std::uint32_t> again;
            again.swap(sorted_);
            for (const auto known : again) insert(known);
        }
        insert(id);
    }
    std::sort(sorted_.begin(), sorted_.end());
    for (std::size_t rank = 0; rank < sorted_.size(); ++rank) {
        std::size_t slot = mix(sorted_[rank]) & mask_;
        while (slots_[slot].id != sorted_[rank]) slot = (slot + 1) & mask_;
        slots_[slot].rank = static_cast<std::uint32_t>(rank);
    }
}

}  // namespace smh
