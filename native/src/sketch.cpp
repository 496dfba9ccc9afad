// Documents -> signatures: checks, counts, and the two orders of postings that fill.hpp works on.
#include <algorithm>
#include <cstdio>
#include <string>

#include "fill.hpp"
#include "hash.hpp"
#include "options.hpp"
#include "parallel.hpp"
#include "ranks.hpp"

namespace smh {
namespace {

// Checks the options; the result has no items yet.
Signatures empty_signatures(const SketchOptions& options) {
    check_tuples(options.tuple_size, options.tables, "sketch");
    check_threads(options.threads);
    const std::uint32_t end =
        checked_table_end(options.table_begin, options.table_end, options.tables);
    if (options.table_begin == end) throw Error("sketch: the range of tables is empty");
    Signatures result;
    result.tuple_size = options.tuple_size;
    result.tables = end - options.table_begin;
    return result;
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

void mix_all(std::vector<std::uint32_t>& keys, unsigned wanted) {
    const std::size_t threads = useful_threads(wanted, keys.size() / 4096);
    run_threads(threads, [&](std::size_t thread) {
        const auto share = share_of(keys.size(), thread, threads);
        for (std::size_t i = share.begin; i < share.end; ++i) keys[i] = mix(keys[i]);
    });
}

// Enters the items into the signatures and puts their rows in the place of their ids.
void rank_items(std::vector<std::uint32_t>& ids, Signatures& result) {
    const Ranks ranks(ids);
    std::transform(ids.begin(), ids.end(), ids.begin(),
                   [&](std::uint32_t id) { return ranks[id]; });
    result.items = ranks.ids();
    result.documents.assign(result.items.size(), 0);
    result.occurrences.assign(result.items.size(), 0);
}

// Counts documents and occurrences of each row.
void count_postings(const Documents& documents, bool expand, Signatures& result) {
    std::vector<std::uint32_t> last(result.items.size(), UINT32_MAX);
    for (std::size_t d = 0; d < documents.rows.size(); ++d) {
        for (std::uint64_t p = documents.rows.offsets[d]; p < documents.rows.offsets[d + 1]; ++p) {
            const std::uint32_t row = documents.rows.ids[p], item = result.items[row];
            if (last[row] == d)
                throw Error(place("document", d, "item", item) + " is listed twice");
            last[row] = static_cast<std::uint32_t>(d);
            if (expand) check_frequency(documents.rows.counts[p], "document", d, "item", item);
            ++result.documents[row];
            result.occurrences[row] += expand ? documents.rows.counts[p] : 1;
        }
    }
}

ByItem turn(const Documents& documents, const Signatures& result) {
    const std::vector<std::uint32_t>& rows = documents.rows.ids;
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

void check_weight(double weight, const std::string& where) {
    if (!(weight >= 0 && weight <= max_weight) || (weight > 0 && weight < min_weight)) {
        char text[40];
        std::snprintf(text, sizeof text, ": weight %g", weight);
        throw Error(where + text + " is not within " + weight_range());
    }
}

}  // namespace

Signatures sketch(Documents documents, const SketchOptions& options) {
    Signatures result = empty_signatures(options);
    if (options.expand && documents.rows.counts.size() != documents.rows.ids.size())
        throw Error("sketch: expansion needs the frequencies of the items");
    if (documents.rows.size() >= UINT32_MAX)
        throw Error("sketch: more than 2^32 - 2 documents at once");

    rank_items(documents.rows.ids, result);
    count_postings(documents, options.expand, result);
    if (!options.expand) {
        const ByItem postings = turn(documents, result);
        documents = {};  // before the signatures take their memory
        result.values.assign(result.items.size() * result.width(), UINT32_MAX);
        fill(postings, options, result);
        return result;
    }
    result.values.assign(result.items.size() * result.width(), UINT32_MAX);
    ByDocument postings;
    postings.offsets = std::move(documents.rows.offsets);
    postings.rows = std::move(documents.rows.ids);
    postings.frequencies = std::move(documents.rows.counts);
    postings.keys = &documents.keys;
    order_by_frequency(postings);
    fill(postings, options, result);
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
    Signatures result = empty_signatures(options);
    if (options.expand && inverted.counts.size() != inverted.ids.size())
        throw Error("sketch: expansion needs the frequencies of the items");
    for (std::size_t d = 0; d < weights.size(); ++d)
        check_weight(weights[d], "document " + std::to_string(d));
    keep_occurring(inverted, weights, options.expand, result);
    result.values.assign(result.items.size() * result.width(), UINT32_MAX);
    if (weights.empty() && !options.expand) {
        ByItem postings{std::move(inverted.offsets), std::move(inverted.ids)};
        mix_all(postings.mixed, options.threads);
        fill(postings, options, result);
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
    if (!weights.empty())
        for (const auto id : documents.ids()) postings.weights.push_back(weights[id]);
    postings.keys = &documents.ids();
    if (options.expand) order_by_frequency(postings);
    fill(postings, options, result);
    return result;
}

}  // namespace smh
