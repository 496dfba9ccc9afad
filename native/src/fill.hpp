// Fills the minima of signatures whose items are known.
//
// Two orders of work. Plain minima go item by item: the hashes of an item's documents stream
// through a block of permutations held in registers. Weighted or expanded ones go document by
// document: their values are costly, so each is computed once and folded into the document's items.
// Threads own ranges of permutations, so every value is written by one thread.
#ifndef SMH_FILL_HPP
#define SMH_FILL_HPP

#include <cstdint>
#include <vector>

#include "smh.hpp"

namespace smh {

// `offsets` delimit documents, `rows` are rows of the signatures.
struct ByDocument {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> rows;
    std::vector<std::uint32_t> frequencies;  // empty, or ascending within a document
    const std::vector<std::uint32_t>* keys = nullptr;
    std::vector<double> weights;                   // one a document, or none
};

// `offsets` delimit rows of the signatures, `mixed` are the hashes of their documents.
struct ByItem {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> mixed;
};

// All values of the signatures must be UINT32_MAX.
void fill(const ByItem& postings, const SketchOptions& options, Signatures& signatures);
void fill(const ByDocument& postings, const SketchOptions& options, Signatures& signatures);

}  // namespace smh

#endif
