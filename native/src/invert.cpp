// Corpus <-> inverted file, and weights from both.
#include <algorithm>
#include <cmath>
#include <string>

#include "smh.hpp"

namespace smh {

Rows invert(const Rows& rows, std::uint64_t row_limit) {
    if (rows.size() > std::uint64_t{UINT32_MAX} + 1)
        throw Error("invert: more than 2^32 rows have no 32-bit number");
    Rows turned;
    std::uint64_t count = 0;
    for (std::size_t row = 0; row < rows.size(); ++row)
        for (std::uint64_t p = rows.offsets[row]; p < rows.offsets[row + 1]; ++p) {
            count = std::max<std::uint64_t>(count, std::uint64_t{rows.ids[p]} + 1);
            if (count > row_limit)
                throw Error("row " + std::to_string(row) + ": id " + std::to_string(rows.ids[p]) +
                            " would make an inverted file of " + std::to_string(count) +
                            " lines; the limit is " + std::to_string(row_limit));
        }
    turned.offsets.assign(count + 1, 0);
    for (const std::uint32_t id : rows.ids) ++turned.offsets[std::size_t{id} + 1];
    for (std::size_t id = 0; id < count; ++id) turned.offsets[id + 1] += turned.offsets[id];
    std::vector<std::uint64_t> next(turned.offsets.begin(), turned.offsets.end() - 1);
    turned.ids.resize(rows.ids.size());
    turned.counts.resize(rows.counts.size());
    for (std::size_t row = 0; row < rows.size(); ++row)
        for (std::uint64_t p = rows.offsets[row]; p < rows.offsets[row + 1]; ++p) {
            const std::uint64_t at = next[rows.ids[p]]++;
            turned.ids[at] = static_cast<std::uint32_t>(row);
            if (!rows.counts.empty()) turned.counts[at] = rows.counts[p];
        }
    return turned;
}

std::vector<double> weigh(Weighting scheme, const Rows& corpus, const Rows& inverted) {
    std::vector<double> weights;
    if (scheme == Weighting::ids) {
        for (std::size_t d = 0; d < corpus.size(); ++d) {
            const std::uint64_t size = corpus.offsets[d + 1] - corpus.offsets[d];
            weights.push_back(1.0 / static_cast<double>(std::max<std::uint64_t>(size, 1)));
        }
        return weights;
    }
    for (std::size_t item = 0; item < inverted.size(); ++item) {
        const std::uint64_t holders = inverted.offsets[item + 1] - inverted.offsets[item];
        if (holders > corpus.size())
            throw Error("item " + std::to_string(item) + " is in " + std::to_string(holders) +
                        " documents of a corpus of " + std::to_string(corpus.size()));
        weights.push_back(std::log(static_cast<double>(std::max<std::size_t>(corpus.size(), 1)) /
                                   static_cast<double>(std::max<std::uint64_t>(holders, 1))));
    }
    return weights;
}

}  // namespace smh
