// Checks of options, shared by the steps and the readers of streams.
#ifndef SMH_OPTIONS_HPP
#define SMH_OPTIONS_HPP

#include <cstdint>
#include <cstdio>
#include <string>

#include "smh.hpp"

namespace smh {

inline void check_tuples(std::uint32_t tuple_size, std::uint32_t tables, const std::string& what) {
    if (tuple_size == 0) throw Error(what + ": the tuple size must be at least 1");
    if (tables == 0) throw Error(what + ": the number of tables must be at least 1");
    if (std::uint64_t{tuple_size} * tables > max_permutations)
        throw Error(what + ": tuple size " + std::to_string(tuple_size) + " times " +
                    std::to_string(tables) + " tables is more than the limit of " +
                    std::to_string(max_permutations) + " permutations");
}

inline void check_threads(unsigned threads) {
    if (threads == 0 || threads > max_threads)
        throw Error("threads must be within 1.." + std::to_string(max_threads) + ", got " +
                    std::to_string(threads));
}

// The bounds of weights, for messages.
inline std::string weight_range() {
    char text[64];
    std::snprintf(text, sizeof text, "[%g, %g]", min_weight, max_weight);
    return text;
}

// Sums of counts when signatures are merged; more than the streams can hold is an error.
inline void add_documents(std::uint32_t& sum, std::uint32_t more, std::uint32_t item) {
    if (more > UINT32_MAX - sum)
        throw Error("merge: item " + std::to_string(item) + " is in more than 2^32 - 1 documents");
    sum += more;
}
inline void add_occurrences(std::uint64_t& sum, std::uint64_t more, std::uint32_t item) {
    if (more > UINT64_MAX - sum)
        throw Error("merge: item " + std::to_string(item) + " occurs more than 2^64 - 1 times");
    sum += more;
}

// Clips the end of a range of tables to their number.
inline std::uint32_t checked_table_end(std::uint32_t begin, std::uint32_t end,
                                       std::uint32_t tables) {
    if (end == UINT32_MAX) end = tables;
    if (begin > end || end > tables)
        throw Error("tables " + std::to_string(begin) + ".." + std::to_string(end) +
                    " are not a range within the " + std::to_string(tables) + " there are");
    return end;
}

}  // namespace smh

#endif
