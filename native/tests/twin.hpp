// The algorithm again, slow and short, on standard containers: what the library is compared with.
#ifndef SMH_TWIN_HPP
#define SMH_TWIN_HPP

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "smh.hpp"

namespace twin {

using Items = std::vector<std::uint32_t>;

inline std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline std::map<std::uint32_t, Items> sketch(const smh::Documents& documents,
                                             const smh::SketchOptions& options,
                                             const std::vector<double>& weights = {}) {
    const std::size_t width = std::size_t{options.tuple_size} * options.tables;
    const auto drawn = smh::draw_permutations(options.seed, width);
    std::map<std::uint32_t, Items> minima;
    for (std::size_t d = 0; d < documents.rows.size(); ++d)
        for (auto p = documents.rows.offsets[d]; p < documents.rows.offsets[d + 1]; ++p) {
            Items& row = minima.try_emplace(documents.rows.ids[p], width, UINT32_MAX).first->second;
            const std::uint32_t replicas = options.expand ? documents.rows.counts[p] : 1;
            for (std::uint32_t j = 0; j < replicas; ++j)
                for (std::size_t k = 0; k < width; ++k) {
                    const std::uint32_t key = documents.keys[d] + j * smh::replica_step;
                    std::uint32_t value = drawn.factor[k] * smh::fmix32(key) + drawn.summand[k];
                    if (!weights.empty())
                        value = bits_of(smh::weighted_value(value, weights[d]));
                    row[k] = std::min(row[k], value);
                }
        }
    return minima;
}

using SetCounts = std::map<std::pair<std::int64_t, Items>, std::uint32_t>;  // canonical order

inline SetCounts mine(const smh::Signatures& signatures, std::uint32_t min_set_size) {
    SetCounts sets;
    for (std::uint32_t table = 0; table < signatures.tables; ++table) {
        std::map<Items, Items> groups;
        for (std::size_t row = 0; row < signatures.items.size(); ++row) {
            const auto* tuple = signatures.values.data() + row * signatures.width() +
                                std::size_t{table} * signatures.tuple_size;
            groups[Items(tuple, tuple + signatures.tuple_size)].push_back(signatures.items[row]);
        }
        for (const auto& group : groups)
            if (group.second.size() >= min_set_size)
                ++sets[{-static_cast<std::int64_t>(group.second.size()), group.second}];
    }
    return sets;
}

// The smallest set index of each set's component.
inline Items components(const smh::Sets& sets, const smh::ClusterOptions& options) {
    const auto drawn = smh::draw_permutations(options.seed + 1,
                                              std::size_t{options.tuple_size} * options.tables);
    std::vector<Items> items;
    for (std::size_t s = 0; s < sets.size(); ++s)
        items.emplace_back(sets.items.begin() + static_cast<std::ptrdiff_t>(sets.offsets[s]),
                           sets.items.begin() + static_cast<std::ptrdiff_t>(sets.offsets[s + 1]));
    Items component(sets.size());
    for (std::size_t s = 0; s < sets.size(); ++s) component[s] = static_cast<std::uint32_t>(s);
    for (std::uint32_t table = 0; table < options.tables; ++table) {
        std::map<Items, std::size_t> hubs;
        for (std::size_t s = 0; s < sets.size(); ++s) {
            Items tuple;
            for (std::size_t k = 0; k < options.tuple_size; ++k) {
                const std::size_t at = std::size_t{table} * options.tuple_size + k;
                std::uint32_t least = UINT32_MAX;
                for (const auto item : items[s])
                    least = std::min(least,
                                     drawn.factor[at] * smh::fmix32(item) + drawn.summand[at]);
                tuple.push_back(least);
            }
            const std::size_t hub = hubs.try_emplace(tuple, s).first->second;
            Items common;
            std::set_intersection(items[hub].begin(), items[hub].end(), items[s].begin(),
                                  items[s].end(), std::back_inserter(common));
            const auto smaller = std::min(items[hub].size(), items[s].size());
            if (static_cast<double>(common.size()) / static_cast<double>(smaller) >
                options.overlap) {
                const auto from = std::max(component[hub], component[s]);
                const auto to = std::min(component[hub], component[s]);
                std::replace(component.begin(), component.end(), from, to);
            }
        }
    }
    return component;
}

inline Items components(const smh::Sets& sets, const std::vector<smh::Link>& links) {
    Items component(sets.size());
    for (std::size_t s = 0; s < sets.size(); ++s) component[s] = static_cast<std::uint32_t>(s);
    for (const auto link : links) {
        const auto from = std::max(component[link.a], component[link.b]);
        const auto to = std::min(component[link.a], component[link.b]);
        std::replace(component.begin(), component.end(), from, to);
    }
    return component;
}

inline std::vector<std::pair<std::uint64_t, std::map<std::uint32_t, std::uint32_t>>> structures(
    const smh::Sets& sets, const Items& component, std::uint64_t min_cluster_size) {
    std::map<std::uint32_t, std::pair<std::uint64_t, std::map<std::uint32_t, std::uint32_t>>> all;
    for (std::size_t s = 0; s < sets.size(); ++s) {
        auto& structure = all[component[s]];
        structure.first += sets.multiplicities[s];
        for (auto at = sets.offsets[s]; at < sets.offsets[s + 1]; ++at)
            structure.second[sets.items[at]] += sets.multiplicities[s];
    }
    std::vector<std::pair<std::uint64_t, std::map<std::uint32_t, std::uint32_t>>> kept;
    for (auto& entry : all)
        if (entry.second.first >= min_cluster_size) kept.push_back(entry.second);
    return kept;
}

// Groups word by word, as smh.hpp says it.
inline std::vector<Items> grow(const smh::WordLinks& links, const smh::GrowOptions& options) {
    std::map<std::uint32_t, std::map<std::uint32_t, std::uint32_t>> near;
    std::vector<std::size_t> starts;
    for (std::size_t link = 0; link < links.size(); ++link) {
        near[links.first[link]][links.second[link]] = links.strength[link];
        near[links.second[link]][links.first[link]] = links.strength[link];
        if (links.strong[link] != 0) starts.push_back(link);
    }
    std::stable_sort(starts.begin(), starts.end(), [&](std::size_t a, std::size_t b) {
        return links.strength[a] > links.strength[b];
    });
    using Rank = std::pair<std::size_t, std::uint64_t>;  // number of links, and their sum
    const auto rank = [&](std::uint32_t word, const std::set<std::uint32_t>& group) {
        Rank found{0, 0};
        for (const auto& [other, strength] : near[word])
            if (group.count(other) > 0) found = {found.first + 1, found.second + strength};
        return found;
    };
    std::vector<std::set<std::uint32_t>> grown;
    std::vector<Items> kept;
    for (const std::size_t start : starts) {
        const auto first = links.first[start], second = links.second[start];
        if (std::any_of(grown.begin(), grown.end(), [&](const auto& group) {
                return group.count(first) > 0 && group.count(second) > 0;
            }))
            continue;
        std::set<std::uint32_t> group{first, second};
        for (;;) {
            std::pair<Rank, std::uint32_t> best{{0, 0}, 0};
            for (const auto& entry : near) {
                if (group.count(entry.first) > 0) continue;
                const Rank own = rank(entry.first, group);
                if (own > best.first) best = {own, entry.first};
            }
            const auto size = static_cast<double>(group.size());
            const auto count = static_cast<double>(best.first.first);
            if (count < 2 || count < options.density * size) break;
            group.insert(best.second);
        }
        for (;;) {
            auto worst = group.begin();
            for (auto at = group.begin(); at != group.end(); ++at)
                if (rank(*at, group) <= rank(*worst, group)) worst = at;
            const auto others = static_cast<double>(group.size() - 1);
            if (static_cast<double>(rank(*worst, group).first) >= options.density * others) break;
            group.erase(worst);
        }
        grown.push_back(group);
        const Items words(group.begin(), group.end());
        const bool alike = std::any_of(kept.begin(), kept.end(), [&](const Items& other) {
            Items common;
            std::set_intersection(words.begin(), words.end(), other.begin(), other.end(),
                                  std::back_inserter(common));
            const auto both = static_cast<double>(words.size() + other.size() - common.size());
            return static_cast<double>(common.size()) >= options.max_similarity * both;
        });
        if (words.size() >= options.min_size && !alike) kept.push_back(words);
    }
    return kept;
}

// Random documents in which some groups of items tend to come together.
inline smh::Documents corpus(std::uint32_t seed, std::uint32_t documents, std::uint32_t items,
                             bool expand) {
    std::mt19937 random(seed);
    smh::Documents made;
    for (std::uint32_t d = 0; d < documents; ++d) {
        std::set<std::uint32_t> held;
        const std::uint32_t topic = static_cast<std::uint32_t>(random() % 5) * 6;
        for (std::uint32_t i = 0; i < 6; ++i)
            if (random() % 8 != 0) held.insert((topic + i) % items);
        for (auto n = random() % 5; n > 0; --n)
            held.insert(static_cast<std::uint32_t>(random() % items));
        if (random() % 10 == 0) held.clear();
        made.keys.push_back(static_cast<std::uint32_t>(random()));
        for (const auto item : held) {
            made.rows.ids.push_back(item * 2654435761U);  // ids far apart, and not ascending
            if (expand)
                made.rows.counts.push_back(static_cast<std::uint32_t>(1 + random() % 7));
        }
        made.rows.offsets.push_back(made.rows.ids.size());
    }
    return made;
}

}  // namespace twin

#endif
