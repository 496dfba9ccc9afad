// Documents -> signatures.
//
// Two orders of work. Plain minima go item by item: the hashes of an item's documents stream
// through a block of permutations held in registers. Weighted or expanded ones go document by
// document: their values are costly, so each is computed once and folded into the document's items.
// Threads own ranges of permutations, so every value is written by one thread.
#include <algorithm>
#include <string>

#include "hash.hpp"
#include "kernels.hpp"
#include "options.hpp"
#include "parallel.hpp"
#include "ranks.hpp"

namespace smh {
namespace {

constexpr std::size_t grain = 16;  // permutations, one AVX-512 vector of them

// What the two entry points have in common: rows of the signature matrix, and postings that refer
// to it. By document: `offsets` delimit documents, `rows` are signature rows.
struct ByDocument {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> rows;
    std::vector<std::uint32_t> frequencies;  // empty, or ascending within a document
    const std::vector<std::uint32_t>* keys = nullptr;
    const std::vector<double>* weights = nullptr;  // may be empty
};

// By item: `offsets` delimit signature rows, `mixed` are the hashes of their documents.
struct ByItem {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> mixed;
};

// Checks the options; the result has no items yet.
Signatures empty_signatures(const SketchOptions& options, bool weighted) {
    check_tuples(options.tuple_size, options.tables, "sketch");
    check_threads(options.threads);
    const std::uint32_t end =
        checked_table_end(options.table_begin, options.table_end, options.tables);
    if (options.table_begin == end) throw Error("sketch: the range of tables is empty");
    Signatures result;
    result.kind = weighted ? Kind::weighted : Kind::minima;
    result.tuple_size = options.tuple_size;
    result.tables = end - options.table_begin;
    return result;
}

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

void mix_all(std::vector<std::uint32_t>& keys, unsigned wanted) {
    const std::size_t threads = useful_threads(wanted, keys.size() / 4096);
    run_threads(threads, [&](std::size_t thread) {
        const auto share = share_of(keys.size(), thread, threads);
        for (std::size_t i = share.begin; i < share.end; ++i) keys[i] = mix(keys[i]);
    });
}

void fill_by_item(const ByItem& postings, const SketchOptions& options, Signatures& result) {
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

void fill_by_document(const ByDocument& postings, const SketchOptions& options,
                      Signatures& result) {
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
                    postings.weights->empty() ? nullptr : postings.weights->data() + d;
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

// Orders the postings of each document by frequency, so that its replicas are hashed once.
void order_by_frequency(ByDocument& postings) {
    std::vector<std::uint64_t> packed;
    for (std::size_t d = 0; d + 1 < postings.offsets.size(); ++d) {
        packed.clear();
        for (std::uint64_t p = postings.offsets[d]; p < postings.offsets[d + 1]; ++p)
            packed.push_back(std::uint64_t{postings.frequencies[p]} << 32U | postings.rows[p]);
        std::sort(packed.begin(), packed.end());
        for (std::size_t i = 0; i < packed.size(); ++i) {
            const std::uint64_t p = postings.offsets[d] + i;
            postings.frequencies[p] = static_cast<std::uint32_t>(packed[i] >> 32U);
            postings.rows[p] = static_cast<std::uint32_t>(packed[i]);
        }
    }
}

std::string place(const char* row_name, std::size_t row, const char* id_name, std::uint32_t id) {
    return std::string(row_name) + " " + std::to_string(row) + ", " + id_name + " " +
           std::to_string(id);
}

void check_frequency(std::uint32_t frequency, const char* row_name, std::size_t row,
                     const char* id_name, std::uint32_t id) {
    if (frequency == 0) throw Error(place(row_name, row, id_name, id) + " has frequency 0");
    if (frequency > max_expanded_frequency)
        throw Error(place(row_name, row, id_name, id) + " has frequency " +
                    std::to_string(frequency) + "; with expansion the limit is " +
                    std::to_string(max_expanded_frequency));
}

// Counts documents and occurrences of each row.
void count_postings(const Documents& documents, const std::vector<std::uint32_t>& rows,
                    bool expand, Signatures& result) {
    std::vector<std::uint32_t> last(result.items.size(), UINT32_MAX);
    for (std::size_t d = 0; d < documents.rows.size(); ++d) {
        for (std::uint64_t p = documents.rows.offsets[d]; p < documents.rows.offsets[d + 1]; ++p) {
            const std::uint32_t row = rows[p];
            if (last[row] == d)
                throw Error(place("document", d, "item", documents.rows.ids[p]) +
                            " is listed twice");
            last[row] = static_cast<std::uint32_t>(d);
            if (expand)
                check_frequency(documents.rows.counts[p], "document", d, "item",
                                documents.rows.ids[p]);
            ++result.documents[row];
            result.occurrences[row] += expand ? documents.rows.counts[p] : 1;
        }
    }
}

ByItem turn(const Documents& documents, const std::vector<std::uint32_t>& rows,
            const Signatures& result) {
    ByItem postings;
    for (const auto count : result.documents)
        postings.offsets.push_back(postings.offsets.back() + count);
    postings.mixed.resize(rows.size());
    std::vector<std::uint64_t> next(postings.offsets.begin(), postings.offsets.end() - 1);
    for (std::size_t d = 0; d < documents.rows.size(); ++d) {
        const std::uint32_t mixed = mix(documents.keys[d]);
        for (std::uint64_t p = documents.rows.offsets[d]; p < documents.rows.offsets[d + 1]; ++p)
            postings.mixed[next[rows[p]]++] = mixed;
    }
    return postings;
}

void check_weight(double weight, double least, const std::string& where) {
    if (!(weight >= least && weight <= max_weight) || (weight > 0 && weight < min_weight)) {
        char text[128];
        std::snprintf(text, sizeof text, ": weight %g is not within [%g, %g]", weight, min_weight,
                      max_weight);
        throw Error(where + text);
    }
}

}  // namespace

Signatures sketch(const Documents& documents, const SketchOptions& options) {
    Signatures result = empty_signatures(options, !documents.weights.empty());
    if (options.expand && documents.rows.counts.size() != documents.rows.ids.size())
        throw Error("sketch: expansion needs the frequencies of the items");
    if (documents.rows.size() >= UINT32_MAX)
        throw Error("sketch: more than 2^32 - 2 documents at once");
    for (std::size_t d = 0; d < documents.weights.size(); ++d)
        check_weight(documents.weights[d], min_weight, "document " + std::to_string(d));

    std::vector<std::uint32_t> rows(documents.rows.ids.size());
    {
        const Ranks ranks(documents.rows.ids);
        std::transform(documents.rows.ids.begin(), documents.rows.ids.end(), rows.begin(),
                       [&](std::uint32_t id) { return ranks[id]; });
        result.items = ranks.ids();
    }
    result.documents.assign(result.items.size(), 0);
    result.occurrences.assign(result.items.size(), 0);
    count_postings(documents, rows, options.expand, result);
    result.values.assign(result.items.size() * result.width(), UINT32_MAX);
    if (!options.expand && documents.weights.empty()) {
        const ByItem postings = turn(documents, rows, result);
        rows = {};
        fill_by_item(postings, options, result);
        return result;
    }
    ByDocument postings;
    postings.offsets = documents.rows.offsets;
    postings.rows = std::move(rows);
    if (options.expand) postings.frequencies = documents.rows.counts;
    postings.keys = &documents.keys;
    postings.weights = &documents.weights;
    if (options.expand) order_by_frequency(postings);
    fill_by_document(postings, options, result);
    return result;
}

namespace {

// Moves the postings [begin, end) of an item down to `kept`, without the documents of weight 0, and
// returns their occurrences.
std::uint64_t keep_row(Rows& inverted, std::size_t item, std::uint64_t begin, std::uint64_t end,
                       const std::vector<double>& weights, bool expand, std::uint64_t& kept) {
    std::uint64_t occurrences = 0;
    for (std::uint64_t p = begin; p < end; ++p) {
        const std::uint32_t document = inverted.ids[p];
        if (expand) check_frequency(inverted.counts[p], "item", item, "document", document);
        if (!weights.empty()) {
            if (document >= weights.size())
                throw Error(place("item", item, "document", document) +
                            " has no weight: there are " + std::to_string(weights.size()));
            if (weights[document] == 0) continue;
        }
        occurrences += expand ? inverted.counts[p] : 1;
        inverted.ids[kept] = document;
        if (expand) inverted.counts[kept] = inverted.counts[p];
        ++kept;
    }
    return occurrences;
}

// Leaves the rows of items that occur and enters these items into the signatures.
void keep_occurring(Rows& inverted, const std::vector<double>& weights, bool expand,
                    Signatures& result) {
    const bool all = weights.empty() && !expand;  // every posting stays where it is
    std::uint64_t kept = 0, end = 0;
    std::size_t rows = 0;
    for (std::size_t item = 0; item < inverted.size(); ++item) {
        const std::uint64_t begin = end, kept_before = kept;
        end = inverted.offsets[item + 1];  // offsets are overwritten behind this place
        const std::uint64_t occurrences =
            all ? end - begin : keep_row(inverted, item, begin, end, weights, expand, kept);
        if (all) kept = end;
        if (kept == kept_before) continue;
        inverted.offsets[++rows] = kept;
        result.items.push_back(static_cast<std::uint32_t>(item));
        result.documents.push_back(static_cast<std::uint32_t>(kept - kept_before));
        result.occurrences.push_back(occurrences);
    }
    inverted.offsets.resize(rows + 1);
    inverted.ids.resize(kept);
    inverted.counts.resize(expand ? kept : 0);
}

}  // namespace

Signatures sketch(Rows inverted, const std::vector<double>& weights,
                  const SketchOptions& options) {
    Signatures result = empty_signatures(options, !weights.empty());
    if (options.expand && inverted.counts.size() != inverted.ids.size())
        throw Error("sketch: expansion needs the frequencies of the items");
    for (std::size_t d = 0; d < weights.size(); ++d)
        check_weight(weights[d], 0.0, "document " + std::to_string(d));
    keep_occurring(inverted, weights, options.expand, result);
    result.values.assign(result.items.size() * result.width(), UINT32_MAX);
    if (weights.empty() && !options.expand) {
        ByItem postings{std::move(inverted.offsets), std::move(inverted.ids)};
        mix_all(postings.mixed, options.threads);
        fill_by_item(postings, options, result);
        return result;
    }
    const Rows& kept = inverted;
    const Ranks documents(kept.ids);
    std::vector<std::uint64_t> next(documents.size() + 1, 0);
    for (const auto id : kept.ids) ++next[documents[id] + 1];
    for (std::size_t d = 0; d < documents.size(); ++d) next[d + 1] += next[d];
    ByDocument postings;
    postings.offsets = next;
    postings.rows.resize(kept.ids.size());
    postings.frequencies.resize(kept.counts.size());
    for (std::size_t row = 0; row < kept.size(); ++row)
        for (std::uint64_t p = kept.offsets[row]; p < kept.offsets[row + 1]; ++p) {
            const std::uint64_t at = next[documents[kept.ids[p]]]++;
            postings.rows[at] = static_cast<std::uint32_t>(row);
            if (options.expand) postings.frequencies[at] = kept.counts[p];
        }
    std::vector<double> chosen;
    if (!weights.empty())
        for (const auto id : documents.ids()) chosen.push_back(weights[id]);
    postings.keys = &documents.ids();
    postings.weights = &chosen;
    if (options.expand) order_by_frequency(postings);
    fill_by_document(postings, options, result);
    return result;
}

}  // namespace smh
