// Sets and links -> structures.
#include <algorithm>
#include <numeric>
#include <string>

#include "forest.hpp"
#include "ranks.hpp"

namespace smh {
namespace {

struct Structure {
    std::uint64_t sets = 0;
    std::vector<std::uint32_t> ids;
    std::vector<std::uint32_t> counts;
};

// Clusters as sets ordered by component; component c is [starts[c], starts[c + 1]) of order.
struct Clusters {
    std::vector<std::uint32_t> order;
    std::vector<std::size_t> starts{0};
    std::vector<std::uint64_t> weights;
};

Clusters collect(const Sets& sets, const std::vector<Link>& links) {
    Forest forest(sets.size());
    for (const Link link : links) {
        if (link.a >= sets.size() || link.b >= sets.size())
            throw Error("model: link " + std::to_string(link.a) + " " + std::to_string(link.b) +
                        " is beyond the " + std::to_string(sets.size()) + " sets");
        forest.join(link.a, link.b);
    }
    Clusters found;
    std::vector<std::uint32_t> number(sets.size());
    std::vector<std::size_t> sizes;
    for (std::uint32_t set = 0; set < sets.size(); ++set) {
        const std::uint32_t root = forest.find(set);
        if (root == set) {  // a component's root is its first set
            number[set] = static_cast<std::uint32_t>(sizes.size());
            sizes.push_back(0);
            found.weights.push_back(0);
        }
        ++sizes[number[root]];
        found.weights[number[root]] += sets.multiplicities[set];
    }
    for (const std::size_t size : sizes) found.starts.push_back(found.starts.back() + size);
    found.order.resize(sets.size());
    std::vector<std::size_t> next(found.starts.begin(), found.starts.end() - 1);
    for (std::uint32_t set = 0; set < sets.size(); ++set)
        found.order[next[number[forest.find(set)]]++] = set;
    return found;
}

bool comes_before(const Structure& a, const Structure& b) {
    if (a.sets != b.sets) return a.sets > b.sets;
    if (a.ids.size() != b.ids.size()) return a.ids.size() > b.ids.size();
    return a.ids < b.ids;
}

}  // namespace

Model model(const Sets& sets, const std::vector<Link>& links, std::uint32_t min_cluster_size) {
    const Clusters clusters = collect(sets, links);
    const Ranks ranks(sets.items);
    std::vector<std::uint64_t> counts(ranks.size(), 0);
    std::vector<std::uint32_t> touched;
    std::vector<Structure> structures;
    for (std::size_t c = 0; c + 1 < clusters.starts.size(); ++c) {
        if (clusters.weights[c] < min_cluster_size) continue;
        touched.clear();
        for (std::size_t i = clusters.starts[c]; i < clusters.starts[c + 1]; ++i) {
            const std::uint32_t set = clusters.order[i];
            for (std::uint64_t at = sets.offsets[set]; at < sets.offsets[set + 1]; ++at) {
                const std::uint32_t rank = ranks[sets.items[at]];
                if (counts[rank] == 0) touched.push_back(rank);
                counts[rank] += sets.multiplicities[set];
            }
        }
        std::sort(touched.begin(), touched.end(), [&](std::uint32_t a, std::uint32_t b) {
            return counts[a] != counts[b] ? counts[a] > counts[b] : a < b;
        });
        Structure structure;
        structure.sets = clusters.weights[c];
        for (const std::uint32_t rank : touched) {
            structure.ids.push_back(ranks.ids()[rank]);
            if (counts[rank] > UINT32_MAX)
                throw Error("model: item " + std::to_string(ranks.ids()[rank]) +
                            " is in more than 2^32 - 1 sets of a cluster");
            structure.counts.push_back(static_cast<std::uint32_t>(counts[rank]));
            counts[rank] = 0;
        }
        structures.push_back(std::move(structure));
    }
    std::vector<std::uint32_t> order(structures.size());
    std::iota(order.begin(), order.end(), 0U);
    // stable: structures alike in all that is listed stay in the order of their first sets
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return comes_before(structures[a], structures[b]);
    });
    Model result;
    for (const std::uint32_t at : order) {
        const Structure& structure = structures[at];
        result.structures.ids.insert(result.structures.ids.end(), structure.ids.begin(),
                                     structure.ids.end());
        result.structures.counts.insert(result.structures.counts.end(), structure.counts.begin(),
                                        structure.counts.end());
        result.structures.offsets.push_back(result.structures.ids.size());
        result.sets.push_back(structure.sets);
    }
    return result;
}

}  // namespace smh
