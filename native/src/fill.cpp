#include "fill.hpp"

#include <algorithm>

#include "hash.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace smh {
namespace {

constexpr std::size_t grain = 16;  // permutations, one AVX-512 vector of them

// The permutations of the range of tables.
Permutations draw_range(const SketchOptions& options, std::size_t width) {
    auto drawn =
        draw_permutations(options.seed, std::size_t{options.tuple_size} * options.tables);
    const std::size_t begin = std::size_t{options.tuple_size} * options.table_begin;
    for (auto* numbers : {&drawn.factor, &drawn.summand}) {
        numbers->erase(numbers->begin(), numbers->begin() + static_cast<std::ptrdiff_t>(begin));
        numbers->resize(width);
    }
    return drawn;
}

// Folds the replicas [from, to) of a document into its current minima.
void fold_replicas(const Kernels& run, const std::uint32_t* factor, const std::uint32_t* summand,
                   std::size_t width, std::uint32_t key, std::uint32_t from, std::uint32_t to,
                   const double* weight, std::uint32_t* current) {
    constexpr std::size_t tile = 256;
    std::uint32_t mixed[tile];
    while (from < to) {
        const auto count = std::min<std::size_t>(tile, to - from);
        for (std::size_t i = 0; i < count; ++i)
            mixed[i] = mix(key + (from + static_cast<std::uint32_t>(i)) * replica_step);
        if (weight == nullptr)
            run.minima(factor, summand, width, mixed, count, current);
        else
            for (std::size_t i = 0; i < count; ++i)
                run.weighted(factor, summand, width, mixed[i], *weight, current);
        from += static_cast<std::uint32_t>(count);
    }
}

}  // namespace

void fill(const ByItem& postings, const SketchOptions& options, Signatures& result) {
    const std::size_t width = result.width();
    const auto drawn = draw_range(options, width);
    const auto& run = kernels();
    const std::size_t threads = useful_threads(options.threads, (width + grain - 1) / grain);
    constexpr std::size_t tile = 4096;  // hashes that stay in the first-level cache
    run_threads(threads, [&](std::size_t thread) {
        const auto [begin, end] = share_of(width, thread, threads, grain);
        for (std::size_t row = 0; row < result.items.size(); ++row) {
            std::uint32_t* values = result.values.data() + row * width + begin;
            const std::uint64_t last = postings.offsets[row + 1];
            for (std::uint64_t at = postings.offsets[row]; at < last; at += tile)
                run.minima(drawn.factor.data() + begin, drawn.summand.data() + begin, end - begin,
                           postings.mixed.data() + at, std::min<std::uint64_t>(tile, last - at),
                           values);
        }
    });
}

void fill(const ByDocument& postings, const SketchOptions& options, Signatures& result) {
    const std::size_t width = result.width();
    const auto drawn = draw_range(options, width);
    const auto& run = kernels();
    const std::size_t threads = useful_threads(options.threads, (width + grain - 1) / grain);
    constexpr std::size_t block = 4 * grain;
    run_threads(threads, [&](std::size_t thread) {
        const auto share = share_of(width, thread, threads, grain);
        // The block's columns of all rows lie together here: rows come in any order, and those of
        // the matrix are pages apart.
        std::vector<std::uint32_t> minima(result.items.size() * block);
        std::uint32_t current[block];
        for (std::size_t begin = share.begin; begin < share.end; begin += block) {
            const std::size_t lanes = std::min(block, share.end - begin);
            std::fill(minima.begin(), minima.end(), UINT32_MAX);
            for (std::size_t d = 0; d + 1 < postings.offsets.size(); ++d) {
                const double* weight =
                    postings.weights.empty() ? nullptr : postings.weights.data() + d;
                std::uint32_t replicas = 0;
                std::fill_n(current, block, UINT32_MAX);
                for (std::uint64_t p = postings.offsets[d]; p < postings.offsets[d + 1]; ++p) {
                    const std::uint32_t wanted =
                        postings.frequencies.empty() ? 1 : postings.frequencies[p];
                    if (wanted > replicas)
                        fold_replicas(run, drawn.factor.data() + begin,
                                      drawn.summand.data() + begin, lanes, (*postings.keys)[d],
                                      replicas, wanted, weight, current);
                    replicas = wanted;
                    run.fold(current, block, minima.data() + postings.rows[p] * block);
                }
            }
            for (std::size_t row = 0; row < result.items.size(); ++row)
                std::copy_n(minima.data() + row * block, lanes,
                            result.values.data() + row * width + begin);
        }
    });
}

}  // namespace smh
