#include <chrono>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "commands.hpp"
#include "smh.hpp"

namespace {

std::string name_of(const std::string& path) { return path == "-" ? "standard input" : path; }

void check_product(std::uint64_t tuple_size, std::uint64_t tables) {
    if (tuple_size * tables > smh::max_permutations)
        throw UsageError("--tuple-size times --tables is " + std::to_string(tuple_size * tables) +
                         "; the limit is " + std::to_string(smh::max_permutations));
}

// The one operand of mine, cluster and grow.
std::string input_of(const Arguments& arguments) {
    return arguments.operands().empty() ? "-" : arguments.operands()[0];
}

struct Tables {
    std::uint32_t begin;
    std::uint32_t end;
};
Tables range_of(const Arguments& arguments) {
    const Tables range{arguments.number("table-begin", 0, 0, smh::max_permutations),
                       arguments.number("table-end", UINT32_MAX, 0, smh::max_permutations)};
    if (range.begin > range.end)
        throw UsageError("--table-begin " + std::to_string(range.begin) + " is after --table-end " +
                         std::to_string(range.end));
    return range;
}

smh::Signatures signatures_of_documents(const Arguments& arguments) {
    smh::SketchOptions options;
    options.tuple_size = arguments.required("tuple-size", 1, smh::max_permutations);
    options.tables = arguments.required("tables", 1, smh::max_permutations);
    check_product(options.tuple_size, options.tables);
    options.seed = arguments.number("seed", smh::default_seed, 0, UINT32_MAX);
    options.expand = arguments.has("expand");
    options.threads = arguments.number("threads", 1, 1, smh::max_threads);
    const Tables range = range_of(arguments);
    options.table_begin = range.begin;
    options.table_end = range.end;
    smh::Documents documents =
        smh::read_documents(*smh::open_source("-"), name_of("-"), options.expand);
    return smh::sketch(std::move(documents), options);
}

smh::MineOptions mine_options(const Arguments& arguments) {
    smh::MineOptions options;
    options.min_set_size = arguments.number("min-set-size", 3, 1, UINT32_MAX);
    options.threads = arguments.number("threads", 1, 1, smh::max_threads);
    return options;
}

void sketch(const Arguments& arguments) {
    smh::write_signatures(*smh::open_sink("-"), signatures_of_documents(arguments));
}

void find(const Arguments& arguments) {
    const smh::MineOptions options = mine_options(arguments);
    const smh::Signatures signatures = signatures_of_documents(arguments);
    smh::write_sets(*smh::open_sink("-"), smh::mine(signatures, options));
}

void merge(const Arguments& arguments) {
    std::vector<std::unique_ptr<smh::Source>> sources;
    std::vector<std::string> names;
    for (const std::string& path : arguments.operands()) {
        sources.push_back(smh::open_source(path));
        names.push_back(name_of(path));
    }
    smh::merge_streams(sources, names, *smh::open_sink("-"));
}

void mine(const Arguments& arguments) {
    const smh::MineOptions options = mine_options(arguments);
    const Tables range = range_of(arguments);
    const std::string path = input_of(arguments);
    const smh::Signatures signatures =
        smh::read_signatures(*smh::open_source(path), name_of(path), range.begin, range.end);
    smh::write_sets(*smh::open_sink("-"), smh::mine(signatures, options));
}

void cluster(const Arguments& arguments) {
    smh::ClusterOptions options;
    options.tuple_size = arguments.number("tuple-size", 3, 1, smh::max_permutations);
    options.tables = arguments.number("tables", 255, 1, smh::max_permutations);
    check_product(options.tuple_size, options.tables);
    options.overlap = arguments.real("overlap", 0.7, 0, 1);
    options.seed = arguments.number("seed", smh::default_seed, 0, UINT32_MAX);
    options.threads = arguments.number("threads", 1, 1, smh::max_threads);
    const Tables range = range_of(arguments);
    options.table_begin = range.begin;
    options.table_end = range.end;
    const std::string path = input_of(arguments);
    const smh::Sets sets = smh::read_sets(*smh::open_source(path), name_of(path));
    smh::write_links(*smh::open_sink("-"), smh::cluster(sets, options));
}

// Prints how far it is, at most once a second.
class Ticker {
  public:
    void operator()(std::size_t done, std::size_t all) {
        const auto now = std::chrono::steady_clock::now();
        if (now < next_) return;
        next_ = now + std::chrono::seconds(1);
        std::fprintf(stderr, "progress %zu %zu\n", done, all);
    }

  private:
    std::chrono::steady_clock::time_point next_{};
};

void grow(const Arguments& arguments) {
    smh::GrowOptions options;
    options.density = arguments.real("density", 0.5, 0, 1);
    options.min_size = arguments.number("min-size", 3, 3, UINT32_MAX);
    options.max_similarity =
        arguments.real("max-similarity", 0.5, std::numeric_limits<double>::min(), 1);
    options.threads = arguments.number("threads", 1, 1, smh::max_threads);
    if (arguments.has("progress")) options.progress = Ticker();
    const std::string path = input_of(arguments);
    const smh::WordLinks links = smh::read_word_links(*smh::open_source(path), name_of(path));
    smh::write_word_groups(*smh::open_sink("-"), smh::grow(links, options));
}

}  // namespace

std::vector<Command> stream_commands() {
    const Option seed{0, "seed", "N", "Seed of the permutations (12345678)."};
    const Option threads{0, "threads", "N", "Threads; the result does not depend on it (1)."};
    const Option begin{0, "table-begin", "N", "First table (0)."};
    const Option end{0, "table-end", "N", "One after the last table (all)."};
    const Option tuple{'r', "tuple-size", "R", "MinHashes in a tuple. Must be given."};
    const Option tables{'l', "tables", "L", "Number of tuples. Must be given."};
    const Option expand{'e', "expand", "",
                        "Documents carry frequencies, and an item of frequency\nf counts f times."};
    const Option smallest{'s', "min-set-size", "N", "Fewest items of a set (3)."};
    return {
        {"sketch", "< DOCUMENTS > SMHS", 0, 0, "Computes the MinHash minima of items.",
         "Reads documents, little endian, one after the other: u32 key, u32 n,\n"
         "u32 item[n] [, u32 frequency[n]]. Writes an SMHS stream: the minima of these documents.\n"
         "Streams of parts merge into what the whole would have given (smh merge). A stream of a\n"
         "range of tables has only these, numbered from 0 again.",
         {tuple, tables, seed, expand, begin, end, threads},
         sketch},
        {"merge", "FILE...", 1, SIZE_MAX, "Merges SMHS streams into one on standard output.",
         "Minima are combined by min, counts added. Memory does not grow with the number of\n"
         "items. \"-\" is standard input.",
         {},
         merge},
        {"mine", "[FILE]", 0, 1, "Finds sets of items with equal tuples of minima.",
         "Reads an SMHS stream (standard input without FILE), writes an SMHC stream: distinct\n"
         "sets with the number of tables in which each was found, in canonical order. Only the\n"
         "given tables are kept in memory.",
         {smallest, begin, end, threads},
         mine},
        {"find", "< DOCUMENTS > SMHC", 0, 0, "Does what sketch and then mine do.",
         "Reads documents as sketch does, writes the SMHC stream that mine would. The minima of\n"
         "all given tables are kept in memory.",
         {tuple, tables, seed, expand, smallest, begin, end, threads},
         find},
        {"cluster", "[FILE]", 0, 1, "Links sets that overlap.",
         "Reads a canonical SMHC stream (standard input without FILE), writes an SMHL stream: a\n"
         "spanning forest of the links that the given tables find. Forests of several ranges of\n"
         "tables taken together have the components of all tables.",
         {{'r', "tuple-size", "R", "MinHashes in a tuple (3)."},
          {'l', "tables", "L", "Number of tuples (255)."},
          {'o', "overlap", "X", "Sets join when |A & B| / min(|A|, |B|) is above this (0.7)."},
          {0, "seed", "N", "Seed of the mining (12345678); one is added for\nthe clustering."},
          begin,
          end,
          threads},
         cluster},
        {"grow", "[FILE]", 0, 1, "Grows groups of words from links between words.",
         "Reads an SMHW stream (standard input without FILE), writes an SMHG stream. Groups start\n"
         "at strong links, strongest first, and grow by average link; a word may be in several.",
         {{'d', "density", "X", "A word needs links to this share of the group, and to two (0.5)."},
          {'s', "min-size", "N", "Fewest words of a group (3)."},
          {0, "max-similarity", "X",
           "A group whose Jaccard similarity with an earlier one\nis this or more is dropped (0.5)."},
          {0, "progress", "", "Lines \"progress DONE ALL\" on standard error, one a second."},
          threads},
         grow}};
}
