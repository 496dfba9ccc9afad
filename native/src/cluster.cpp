// Sets -> links between sets that overlap.
//
// Candidates come from MinHash tables over the sets: the members of a bucket are compared with its
// hub only, the first set in canonical order, which is the largest. What is joined already is not
// compared again. Threads take blocks of a few tables, so that memory stays at some 48 hashes a set
// and thread, and learn from each other what is joined.
#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

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

constexpr std::size_t block_width = 48;  // hashes of a set kept at a time; three AVX-512 vectors

// Where a set's items are.
struct Span {
    std::uint64_t begin;
    std::uint64_t size;
};

// What every thread reads.
struct Shared {
    const Sets& sets;
    const ClusterOptions& options;
    Permutations drawn;
    std::size_t universe = 0;               // number of distinct items
    std::vector<std::uint32_t> ranks = {};  // of the items, where the sets hold ids
    std::vector<std::uint32_t> mixed = {};  // hashes of the items
    std::vector<std::int64_t> allowed = {};

    Span span(std::uint32_t set) const noexcept {
        return {sets.offsets[set], sets.offsets[set + 1] - sets.offsets[set]};
    }
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

// One thread's work on blocks of tables.
class Linker {
  public:
    explicit Linker(const Shared& shared)
        : shared_(shared), forest_(shared.sets.size()), hub_items_(shared.universe) {}

    // The links of some tables that join what was apart in the tables learnt or run before.
    std::vector<Link> run(std::size_t begin, std::size_t end) {
        const std::size_t tuple = shared_.options.tuple_size;
        hash(begin, end - begin);
        for (std::size_t table = 0; table < end - begin; ++table)
            grouper_.group(values_.data() + table * shared_.sets.size() * tuple,
                           shared_.sets.size(), tuple, shared_.options.tuple_size, 2,
                           [&](const Groups& groups) { link(groups); });
        return std::exchange(links_, {});
    }

    void learn(const std::vector<Link>& links) {
        for (const Link link : links) forest_.join(link.a, link.b);
    }

  private:
    // Tuples of all sets in some tables, table by table.
    void hash(std::size_t first, std::size_t tables) {
        const Sets& sets = shared_.sets;
        const std::size_t tuple = shared_.options.tuple_size;
        const std::size_t width = tables * tuple;
        values_.resize(sets.size() * width);
        minima_.resize(width);
        for (std::size_t set = 0; set < sets.size(); ++set) {
            std::fill(minima_.begin(), minima_.end(), UINT32_MAX);
            const Span span = shared_.span(static_cast<std::uint32_t>(set));
            kernels().minima(shared_.drawn.factor.data() + first * tuple,
                             shared_.drawn.summand.data() + first * tuple, width,
                             shared_.mixed.data() + span.begin, span.size, minima_.data());
            for (std::size_t table = 0; table < tables; ++table)
                for (std::size_t k = 0; k < tuple; ++k)
                    values_[(table * sets.size() + set) * tuple + k] = minima_[table * tuple + k];
        }
    }

    // Joins the members of each group to its hub where they overlap. What is needed is asked for
    // well before it is used: sets lie all over the memory.
    void link(const Groups& groups) {
        for (const std::uint32_t set : groups.rows) forest_.prefetch(set);
        pairs_.clear();
        for (std::size_t g = 0; g < groups.size(); ++g) {
            const std::uint32_t hub = groups.rows[groups.starts[g]];
            const std::uint32_t root = forest_.find(hub);
            for (std::size_t i = groups.starts[g] + 1; i < groups.starts[g + 1]; ++i) {
                const std::uint32_t member = groups.rows[i];
                if (forest_.find(member) == root) continue;
                pairs_.push_back({hub, member});
                __builtin_prefetch(shared_.ranks.data() + shared_.span(hub).begin);
                __builtin_prefetch(shared_.ranks.data() + shared_.span(member).begin);
            }
        }
        std::uint32_t marked = UINT32_MAX;
        for (const Link pair : pairs_) {
            if (forest_.find(pair.a) == forest_.find(pair.b)) continue;  // since then
            const Span hub = shared_.span(pair.a), member = shared_.span(pair.b);
            if (marked != pair.a) hub_items_.set(shared_.ranks.data() + hub.begin, hub.size);
            marked = pair.a;
            if (!hub_items_.holds(shared_.ranks.data() + member.begin, member.size,
                                  shared_.allowed[member.size]))
                continue;
            forest_.join(pair.a, pair.b);
            links_.push_back(pair);
        }
    }

    const Shared& shared_;
    Forest forest_;
    Grouper grouper_;
    HubItems hub_items_;
    std::vector<std::uint32_t> minima_;  // of one set
    std::vector<std::uint32_t> values_;
    std::vector<Link> pairs_;  // hub and member, apart when they were met
    std::vector<Link> links_;
};

// The blocks of tables, taken in order by several threads, and the links found in each.
//
// The links joined in their order are those that one thread finds, whichever thread was faster: a
// thread that leaves out a pair as joined knows this from tables before, because blocks are taken
// in order, so that the pair would join nothing at its place in the order either.
class Blocks {
  public:
    explicit Blocks(std::size_t count) : found_(count), done_(count, false) {}

    // Works through blocks until there are no more: run(block) gives the links of a block, and
    // before, learn(links) is told of those that others have found.
    template <class Run, class Learn>
    void work(Run&& run, Learn&& learn) {
        std::vector<bool> known(found_.size(), false);
        std::vector<std::size_t> news;
        for (;;) {
            std::size_t block = 0;
            {
                const std::lock_guard<std::mutex> lock(mutex_);
                if (next_ == found_.size()) return;
                block = next_++;
                news.clear();
                for (std::size_t other = 0; other < block; ++other)
                    if (done_[other] && !known[other]) news.push_back(other);
            }
            for (const std::size_t other : news) {
                learn(found_[other]);
                known[other] = true;
            }
            auto links = run(block);
            known[block] = true;
            const std::lock_guard<std::mutex> lock(mutex_);
            found_[block] = std::move(links);
            done_[block] = true;
        }
    }

    std::vector<Link> joined(std::size_t sets) const {
        Forest forest(sets);
        std::vector<Link> links;
        for (const auto& block : found_)
            for (const Link link : block)
                if (forest.join(link.a, link.b)) links.push_back(link);
        return links;
    }

  private:
    std::mutex mutex_;
    std::vector<std::vector<Link>> found_;
    std::vector<bool> done_;
    std::size_t next_ = 0;
};

}  // namespace

std::vector<Link> cluster(const Sets& sets, const ClusterOptions& options) {
    check(sets, options);
    const std::size_t end =
        checked_table_end(options.table_begin, options.table_end, options.tables);
    if (sets.size() < 2) return {};
    Shared shared{sets, options,
                  draw_permutations(options.seed + 1,
                                    std::size_t{options.tuple_size} * options.tables)};
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
    const std::size_t per_block = std::max<std::size_t>(1, block_width / options.tuple_size);
    const std::size_t count = (tables + per_block - 1) / per_block;
    Blocks blocks(count);
    run_threads(useful_threads(options.threads, count), [&](std::size_t) {
        Linker linker(shared);
        blocks.work(
            [&](std::size_t block) {
                const std::size_t begin = options.table_begin + block * per_block;
                return linker.run(begin, std::min(begin + per_block, end));
            },
            [&](const std::vector<Link>& links) { linker.learn(links); });
    });
    return blocks.joined(sets.size());
}

}  // namespace smh
