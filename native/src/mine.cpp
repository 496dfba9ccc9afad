// Signatures -> sets of items with an equal tuple of minima in some table.
#include "group.hpp"
#include "options.hpp"
#include "parallel.hpp"
#include "set_pool.hpp"

namespace smh {

Sets mine(const Signatures& signatures, const MineOptions& options) {
    check_threads(options.threads);
    const std::uint32_t end =
        checked_table_end(options.table_begin, options.table_end, signatures.tables);
    if (options.min_set_size == 0) throw Error("mine: the minimum set size must be at least 1");
    if (signatures.items.empty()) return {};
    const std::size_t tables = end - options.table_begin;
    const std::size_t threads = useful_threads(options.threads, tables);
    std::vector<SetPool> pools(threads);
    run_threads(threads, [&](std::size_t thread) {
        const auto share = share_of(tables, thread, threads);
        Grouper grouper;
        for (std::size_t table = share.begin; table < share.end; ++table) {
            grouper.group(signatures.values.data() +
                              (options.table_begin + table) * signatures.tuple_size,
                          signatures.items.size(), signatures.width(), signatures.tuple_size,
                          options.min_set_size,
                          // rows stand for items: both ascend together
                          [&](const Groups& groups) {
                              for (std::size_t g = 0; g < groups.size(); ++g)
                                  pools[thread].add(groups.rows.data() + groups.starts[g],
                                                    groups.starts[g + 1] - groups.starts[g], 1);
                          });
        }
    });
    for (std::size_t thread = 1; thread < threads; ++thread) {
        pools[0].add(pools[thread]);
        pools[thread] = SetPool();
    }
    return pools[0].canonical(signatures.items, options.threads);
}

}  // namespace smh
