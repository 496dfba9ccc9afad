// Sets -> links between sets that overlap.
//
// Candidates come from MinHash tables over the sets: the members of a bucket are compared with its
// hub only, the first set in canonical order, which is the largest. What is joined already is not
// compared again. A few tables are hashed at a time, so that memory stays at some 64 hashes a set.
#include <algorithm>
#include <string>

#include "forest.hpp"
#include "group.hpp"
#include "hash.hpp"
#include "kernels.hpp"
#include "options.hpp"
#include "overlap.hpp"
#include "parallel.hpp"
#include "ranks.hpp"

namespace smh {
namespace {

constexpr std::size_t block_width = 64;  // hashes of a set kept at a time

// What every thread reads.
struct Shared {
    const Sets& sets;
    const ClusterOptions& options;
    const Permutations& drawn;
    std::vector<std::uint32_t> ranks;  // of the items, where the sets hold ids
    std::vector<std::uint32_t> mixed;  // hashes of the items
    std::vector<std::int64_t> allowed;
    std::size_t universe;
};

void check(const Sets& sets, const ClusterOptions& options) {
    check_tuples(options.tuple_size, options.tables, "cluster");
    check_threads(options.threads);
    if (!(options.overlap >= 0 && options.overlap <= 1))
        throw Error("cluster: the overlap must be within 0..1, got " +
                    std::to_string(options.overlap));
    for (std::size_t set = 1; set < sets.size(); ++set)
        if (sets.offsets[set + 1] - sets.offsets[set] > sets.offsets[set] - sets.offsets[set - 1])
            throw Error("cluster: sets are not ordered by size at set " + std::to_string(set));
}

// Links of the tables [begin, end): those that join components of these tables.
std::vector<Link> link_tables(const Shared& shared, std::size_t begin, std::size_t end) {
    const Sets& sets = shared.sets;
    const std::size_t tuple = shared.options.tuple_size;
    const std::size_t per_block = std::max<std::size_t>(1, block_width / tuple);
    const auto size_of = [&](std::uint32_t set) {
        return sets.offsets[set + 1] - sets.offsets[set];
    };
    Forest forest(sets.size());
    Grouper grouper;
    HubItems hub_items(shared.universe);
    std::vector<std::uint32_t> values;
    std::vector<Link> links;
    for (std::size_t first = begin; first < end; first += per_block) {
        const std::size_t tables = std::min(per_block, end - first);
        const std::size_t width = tables * tuple;
        values.assign(sets.size() * width, UINT32_MAX);
        for (std::size_t set = 0; set < sets.size(); ++set)
            kernels().minima(shared.drawn.factor.data() + first * tuple,
                             shared.drawn.summand.data() + first * tuple, width,
                             shared.mixed.data() + sets.offsets[set],
                             sets.offsets[set + 1] - sets.offsets[set],
                             values.data() + set * width);
        for (std::size_t table = 0; table < tables; ++table) {
            grouper.group(values.data() + table * tuple, sets.size(), width,
                          shared.options.tuple_size);
            grouper.visit(2, [&](const std::uint32_t* members, std::size_t count) {
                const std::uint32_t hub = members[0];
                bool marked = false;
                for (std::size_t i = 1; i < count; ++i) {
                    const std::uint32_t member = members[i];
                    if (forest.find(member) == forest.find(hub)) continue;
                    if (!marked)
                        hub_items.set(shared.ranks.data() + sets.offsets[hub], size_of(hub));
                    marked = true;
                    if (!hub_items.holds(shared.ranks.data() + sets.offsets[member],
                                         size_of(member), shared.allowed[size_of(member)]))
                        continue;
                    forest.join(hub, member);
                    links.push_back({hub, member});
                }
            });
        }
    }
    return links;
}

}  // namespace

std::vector<Link> cluster(const Sets& sets, const ClusterOptions& options) {
    check(sets, options);
    const std::size_t end =
        checked_table_end(options.table_begin, options.table_end, options.tables);
    if (sets.size() < 2) return {};
    const Permutations drawn = draw_permutations(
        options.seed + 1, std::size_t{options.tuple_size} * options.tables);
    Shared shared{sets, options, drawn, {}, {}, {}, 0};
    {
        const Ranks ranks(sets.items);
        shared.universe = ranks.size();
        shared.ranks.resize(sets.items.size());
        shared.mixed.resize(sets.items.size());
        for (std::size_t i = 0; i < sets.items.size(); ++i) {
            shared.ranks[i] = ranks[sets.items[i]];
            shared.mixed[i] = mix(sets.items[i]);
        }
    }
    shared.allowed = allowed_misses(sets.offsets[1], options.overlap);

    const std::size_t tables = end - options.table_begin;
    const std::size_t threads = useful_threads(options.threads, tables);
    std::vector<std::vector<Link>> found(threads);
    run_threads(threads, [&](std::size_t thread) {
        const auto share = share_of(tables, thread, threads);
        found[thread] = link_tables(shared, options.table_begin + share.begin,
                                    options.table_begin + share.end);
    });
    if (threads == 1) return std::move(found[0]);
    // A link that joins nothing within its thread's tables joins nothing after the tables before
    // them either, so that going through the threads' links in order leaves the same forest.
    Forest forest(sets.size());
    std::vector<Link> links;
    for (const auto& part : found)
        for (const Link link : part)
            if (forest.join(link.a, link.b)) links.push_back(link);
    return links;
}

}  // namespace smh
