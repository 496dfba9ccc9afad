#include <cstdio>
#include <string>

#include "commands.hpp"
#include "smh.hpp"

namespace {

smh::Rows read_rows_of(const std::string& path) {
    return smh::read_rows(*smh::open_source(path), path);
}

void ifindex(const Arguments& arguments) {
    const auto& paths = arguments.operands();
    smh::check_sink(paths[1]);
    const smh::Rows corpus = read_rows_of(paths[0]);
    smh::Rows inverted;
    try {
        inverted = smh::invert(corpus);
    } catch (const smh::Error& error) {
        throw smh::Error(paths[0] + ": " + error.what());
    }
    const auto sink = smh::open_sink(paths[1]);
    smh::write_rows(*sink, inverted);
    std::fprintf(stderr, "ifindex: %zu rows of %s, %zu rows of %s, %zu entries\n", corpus.size(),
                 paths[0].c_str(), inverted.size(), paths[1].c_str(), corpus.ids.size());
}

void weights(const Arguments& arguments) {
    const auto& paths = arguments.operands();
    const std::string scheme = arguments.text("weights", "idf");
    if (scheme != "idf" && scheme != "ids")
        throw UsageError("--weights must be idf or ids, got '" + scheme + "'");
    smh::check_sink(paths[2]);
    const smh::Rows corpus = read_rows_of(paths[0]);
    const smh::Rows inverted = read_rows_of(paths[1]);
    const auto weighed = smh::weigh(
        scheme == "idf" ? smh::Weighting::idf : smh::Weighting::ids, corpus, inverted);
    const auto sink = smh::open_sink(paths[2]);
    smh::write_weights(*sink, weighed);
    std::fprintf(stderr, "weights: %zu %s weights in %s\n", weighed.size(), scheme.c_str(),
                 paths[2].c_str());
}

bool is_power_of_two(std::uint32_t number) { return (number & (number - 1)) == 0; }

struct Discovery {
    smh::SketchOptions sketch;
    smh::MineOptions mine;
    smh::ClusterOptions cluster;
    std::uint32_t min_cluster_size = 3;
    std::string weights;
};

// Checks all options, and prints those that count.
Discovery settle(const Arguments& arguments) {
    Discovery settled;
    const std::uint32_t any = UINT32_MAX;
    settled.sketch.tuple_size = arguments.number("tuple-size", 3, 1, smh::max_permutations);
    settled.sketch.tables = arguments.number("number-of-tuples", 255, 1, smh::max_permutations);
    settled.sketch.seed = arguments.number("seed", smh::default_seed, 0, any);
    settled.sketch.expand = arguments.has("expand");
    settled.sketch.threads = arguments.number("threads", 1, 1, smh::max_threads);
    settled.mine.min_set_size = arguments.number("min-set-size", 3, 1, any);
    settled.mine.threads = settled.sketch.threads;
    settled.cluster.tuple_size = arguments.number("cluster-tuple-size", 3, 1, smh::max_permutations);
    settled.cluster.tables =
        arguments.number("cluster-number-of-tuples", 255, 1, smh::max_permutations);
    settled.cluster.overlap = arguments.real("overlap", 0.7, 0, 1);
    settled.cluster.seed = settled.sketch.seed;
    settled.cluster.threads = settled.sketch.threads;
    settled.min_cluster_size = arguments.number("min-cluster-size", 3, 1, any);
    settled.weights = arguments.text("weights");

    const auto check_product = [](const char* what, std::uint64_t r, std::uint64_t l) {
        if (r * l > smh::max_permutations)
            throw UsageError(std::string(what) + ": tuple size times number of tuples is " +
                             std::to_string(r * l) + "; the limit is " +
                             std::to_string(smh::max_permutations));
    };
    check_product("mining", settled.sketch.tuple_size, settled.sketch.tables);
    check_product("clustering", settled.cluster.tuple_size, settled.cluster.tables);
    if (!is_power_of_two(arguments.number("table-size", 1, 1, any)))
        throw UsageError("--table-size must be a power of two, got '" +
                         arguments.text("table-size") + "'");
    arguments.number("cluster-table-size", 1, 1, any);

    std::fprintf(stderr,
                 "discover: tuple_size %u, number_of_tuples %u, min_set_size %u, "
                 "cluster_tuple_size %u, cluster_number_of_tuples %u, overlap %g, "
                 "min_cluster_size %u, expand %s, weights %s, seed %u, threads %u\n",
                 settled.sketch.tuple_size, settled.sketch.tables, settled.mine.min_set_size,
                 settled.cluster.tuple_size, settled.cluster.tables, settled.cluster.overlap,
                 settled.min_cluster_size, settled.sketch.expand ? "yes" : "no",
                 settled.weights.empty() ? "none" : settled.weights.c_str(), settled.sketch.seed,
                 settled.sketch.threads);
    return settled;
}

std::vector<double> read_weights_of(const std::string& path, const smh::Rows& inverted) {
    auto read = smh::read_weights(*smh::open_source(path), path);
    std::size_t documents = 0;
    for (const std::uint32_t document : inverted.ids)
        documents = std::max<std::size_t>(documents, std::size_t{document} + 1);
    if (read.size() < documents)
        throw smh::Error(path + ": " + std::to_string(read.size()) +
                         " weights for documents up to number " + std::to_string(documents - 1));
    if (read.size() > documents)
        std::fprintf(stderr,
                     "discover: %s has %zu weights, the highest document is %zu of them: right "
                     "only when the last documents are empty\n",
                     path.c_str(), read.size(), documents);
    return read;
}

void discover(const Arguments& arguments) {
    const Discovery settled = settle(arguments);
    const auto& paths = arguments.operands();
    smh::check_sink(paths[1]);
    smh::Signatures signatures;
    {
        smh::Rows inverted = smh::read_rows(*smh::open_source(paths[0]), paths[0],
                                            settled.sketch.expand, settled.sketch.threads);
        std::vector<double> read;
        if (!settled.weights.empty()) read = read_weights_of(settled.weights, inverted);
        std::fprintf(stderr, "discover: %zu items, %zu entries\n", inverted.size(),
                     inverted.ids.size());
        try {
            signatures = smh::sketch(std::move(inverted), read, settled.sketch);
        } catch (const smh::Error& error) {
            throw smh::Error(paths[0] + ": " + error.what());
        }
    }
    const smh::Sets sets = smh::mine(signatures, settled.mine);
    signatures = {};
    std::uint64_t mined = 0;
    for (const std::uint32_t multiplicity : sets.multiplicities) mined += multiplicity;
    std::fprintf(stderr, "discover: %llu mined sets, %zu distinct\n",
                 static_cast<unsigned long long>(mined), sets.size());
    const auto links = smh::cluster(sets, settled.cluster);
    const smh::Model model = smh::model(sets, links, settled.min_cluster_size);
    std::fprintf(stderr, "discover: %zu structures\n", model.structures.size());
    const auto sink = smh::open_sink(paths[1]);
    smh::write_rows(*sink, model.structures);
}

}  // namespace

std::vector<Command> text_commands() {
    const std::string forms =
        "Files are text, one row a line: SIZE id:frequency id:frequency ... ; an empty row is 0.\n"
        "In a corpus a row is a document and ids are items; in an inverted file it is the other\n"
        "way round. Both are numbered from 0. \"-\" is standard input or output.";
    return {
        {"ifindex", "CORPUS IFS", 2, 2, "Turns a corpus into its inverted file.",
         forms + "\nThe same command turns an inverted file back into a corpus.", {}, ifindex},
        {"weights", "CORPUS IFS WEIGHTS", 3, 3,
         "Writes weights, one decimal a line, from a corpus and its inverted file.",
         forms + "\n\nidf: ln(documents / documents that hold the item), one line an item.\n"
                 "ids: 1 / size of the document, one line a document; the weights that discover\n"
                 "needs for an inverted file, because documents are what it hashes.",
         {{'w', "weights", "idf|ids", "Which weights (idf)."}},
         weights},
        {"discover", "IFS MODEL", 2, 2, "Finds sets of items that occur together.",
         forms +
             "\nThe model has one structure a row, its items by falling frequency.\n\n"
             "Two items meet in one of the l tables with probability J^r, J being the Jaccard\n"
             "similarity of their document lists. For items of similarity eta to meet with even\n"
             "chance, take l = ln 0.5 / ln(1 - eta^r).\n\n"
             "  smh ifindex corpus.words corpus.ifs\n"
             "  smh discover -r 2 -l 432 corpus.ifs corpus.model",
         {{'r', "tuple-size", "R", "MinHashes in a tuple (3)."},
          {'l', "number-of-tuples", "L", "Number of tuples, one hash table each (255)."},
          {'t', "table-size", "N",
           "A power of two. Checked for compatibility and not used:\ntables grow by themselves."},
          {'s', "min-set-size", "N", "Fewest items of a mined set (3)."},
          {'x', "cluster-tuple-size", "R", "MinHashes in a tuple of the clustering (3)."},
          {'y', "cluster-number-of-tuples", "L", "Number of tuples of the clustering (255)."},
          {'z', "cluster-table-size", "N", "A count. Checked for compatibility and not used."},
          {'o', "overlap", "X",
           "Sets join when |A & B| / min(|A|, |B|) is above this (0.7)."},
          {'c', "min-cluster-size", "N", "Fewest sets of a structure (3)."},
          {'e', "expand", "",
           "A document with frequency f of an item counts f times\n(similarity of multisets)."},
          {'w', "weights", "FILE", "One weight >= 0 a line for each document."},
          {0, "seed", "N", "Seed of the permutations (12345678)."},
          {0, "threads", "N", "Threads; the result does not depend on it (1)."}},
         discover}};
}
