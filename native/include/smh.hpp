// libsmh: Sampled Min-Hashing.
//
// Finds sets of items that occur in the same documents far more often than chance would have it.
// Method: Fuentes-Pineda, Koga, Watanabe 2011 (IEICE E94-D(10):2024-2035); Fuentes-Pineda,
// Meza-Ruiz 2019 (ESWA 136:62-72). The steps, in order; each one's result is the next one's input:
//
//   sketch   documents  -> Signatures   MinHash minima of every item
//   merge    Signatures -> Signatures   element-wise minimum; any partitioning gives the same result
//   mine     Signatures -> Sets         items with an equal tuple of minima form a set
//   cluster  Sets       -> Links        sets that overlap belong together
//   model    Sets+Links -> Model        the union of the sets of a cluster is a structure
//
// Results depend on the documents, the options and the seed only: not on the order of documents,
// their partitioning, the number of threads or the processor. native/README.md has the formats,
// the memory law and the limits. Functions report bad input by throwing smh::Error.
#ifndef SMH_HPP
#define SMH_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace smh {

inline constexpr const char* version = "0.1.0";

// ------------------------------------------------------------------------------------- limits

inline constexpr std::uint32_t default_seed = 12345678;
inline constexpr std::uint32_t replica_step = 0x9E3779B9;      // between keys of a document's replicas
inline constexpr std::uint32_t max_expanded_frequency = 1U << 20;  // one posting, with expansion
inline constexpr std::uint32_t max_permutations = 1U << 24;    // tuple size times tables
inline constexpr std::uint32_t max_inverted_rows = 1U << 28;   // lines of a text inverted file
inline constexpr double min_weight = 1e-30;  // within these no weighted minimum leaves float32
inline constexpr double max_weight = 1e30;
inline constexpr unsigned max_threads = 256;
inline constexpr std::uint32_t max_strength = 1U << 20;      // of a link: similarity 1
inline constexpr std::uint32_t max_linked_words = 1U << 20;  // so that sums of strengths fit

// What the input, an option or the machine did wrong; the message names it.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// ------------------------------------------------------------------------------------- hashing

// Finaliser of MurmurHash3, a bijection of the 32-bit numbers.
std::uint32_t fmix32(std::uint32_t key) noexcept;

// value_k(key) = factor[k] * fmix32(key) + summand[k] mod 2^32, factors odd.
struct Permutations {
    std::vector<std::uint32_t> factor;
    std::vector<std::uint32_t> summand;
};

// The permutations that datasketch 2.0 draws: MinHash(num_perm=count, seed=seed, scheme="affine32").
Permutations draw_permutations(std::uint32_t seed, std::size_t count);

// -ln((value + 1) / 2^32) / weight, from correctly rounded operations only: equal bits everywhere.
float weighted_value(std::uint32_t value, double weight) noexcept;

// ------------------------------------------------------------------------------------- data

// Rows of `id:count` entries: a corpus (row = document, id = item), an inverted file (row = item,
// id = document) or a model (row = structure, id = item). Row i is [offsets[i], offsets[i + 1]).
struct Rows {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> ids;
    std::vector<std::uint32_t> counts;
    std::size_t size() const noexcept { return offsets.size() - 1; }
};

// Documents as they come from a DOCUMENTS stream. Two documents may share a key.
struct Documents {
    Rows rows;                        // counts are empty unless frequencies were given
    std::vector<std::uint32_t> keys;  // what is hashed, one a document
};

// Minima of the items that occur, ascending by item. `values` is row-major with
// tables * tuple_size columns, column = table * tuple_size + position. Weighted minima are kept as
// the bit patterns of their float32: these are never negative, so both compare as integers.
struct Signatures {
    std::uint32_t tuple_size = 1;
    std::uint32_t tables = 1;
    std::vector<std::uint32_t> items;
    std::vector<std::uint32_t> documents;    // number of documents that hold the item
    std::vector<std::uint64_t> occurrences;  // sum of frequencies; documents when there are none
    std::vector<std::uint32_t> values;
    std::size_t width() const noexcept { return std::size_t{tuple_size} * tables; }
};

// Distinct sets. Canonical order: by size descending, then by items lexicographically ascending.
struct Sets {
    std::vector<std::uint32_t> multiplicities;  // in how many tables the set was found
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> items;  // ascending within a set
    std::size_t size() const noexcept { return multiplicities.size(); }
};

// Two set indices, a < b.
struct Link {
    std::uint32_t a;
    std::uint32_t b;
};

// Links between words that occur together more often than chance explains, strictly ascending by
// (first, second), first < second.
struct WordLinks {
    std::vector<std::uint32_t> first;
    std::vector<std::uint32_t> second;
    std::vector<std::uint32_t> strength;  // at most max_strength
    std::vector<std::uint8_t> strong;     // 1 where a group may start, else 0
    std::size_t size() const noexcept { return first.size(); }
};

// Groups of words; one word may be in several.
struct WordGroups {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> words;  // ascending within a group
    std::size_t size() const noexcept { return offsets.size() - 1; }
};

struct Model {
    Rows structures;                  // ids by falling count, ties by ascending id
    std::vector<std::uint64_t> sets;  // sets of each structure, equal ones counted each time
};

// ------------------------------------------------------------------------------------- steps

struct SketchOptions {
    std::uint32_t tuple_size = 3;
    std::uint32_t tables = 255;
    std::uint32_t seed = default_seed;
    bool expand = false;  // an item of frequency f counts as f elements of the document
    std::uint32_t table_begin = 0;         // a range of the tables, for signatures that would not
    std::uint32_t table_end = UINT32_MAX;  // fit at once; at most the number of tables
    unsigned threads = 1;
};

// Signatures of documents.
Signatures sketch(Documents documents, const SketchOptions& options);

// The same from an inverted file (row = item), where a document's key is its number. `weights`
// holds one weight a document, or nothing; documents of weight 0 are left out. Counts are needed
// with expansion only. Moving the rows in saves a copy.
Signatures sketch(Rows inverted, const std::vector<double>& weights,
                  const SketchOptions& options);

// Element-wise minimum; counts add up.
Signatures merge(const std::vector<Signatures>& parts);

struct MineOptions {
    std::uint32_t min_set_size = 3;
    std::uint32_t table_begin = 0;
    std::uint32_t table_end = UINT32_MAX;  // at most the number of tables
    unsigned threads = 1;
};

// Sets in canonical order.
Sets mine(const Signatures& signatures, const MineOptions& options);

struct ClusterOptions {
    std::uint32_t tuple_size = 3;
    std::uint32_t tables = 255;
    double overlap = 0.7;
    std::uint32_t seed = default_seed;  // of the mining; the clustering's own is one more
    std::uint32_t table_begin = 0;
    std::uint32_t table_end = UINT32_MAX;  // at most `tables`
    unsigned threads = 1;
};

// A spanning forest of the links between sets, which must be in canonical order: the links that
// joined two components when the pairs of hub and member are gone through in a fixed order, which
// the number of threads does not change. Forests of several ranges of tables, taken together, have
// the components of all tables.
std::vector<Link> cluster(const Sets& sets, const ClusterOptions& options);

// Structures of at least min_cluster_size sets, ordered by number of sets descending, number of
// items descending, items lexicographically.
Model model(const Sets& sets, const std::vector<Link>& links, std::uint32_t min_cluster_size);

struct GrowOptions {
    double density = 0.5;         // share of a group that a word needs links to, and at least two
    std::uint32_t min_size = 3;   // smaller groups are dropped, at least 3
    double max_similarity = 0.5;  // a group as similar to an earlier one (Jaccard) is dropped
    unsigned threads = 1;
    // Called by one thread at a time, with the starts looked at and the number of all.
    std::function<void(std::size_t, std::size_t)> progress;
};

// Grows groups from strong links, in the order of their strength, but for those that lie within a
// group already. To a group is added, one by one, the word with most links into it (then the
// largest sum of strengths, then the smallest number) as long as it has enough; in the end those
// that have too few now leave again, least links first.
WordGroups grow(const WordLinks& links, const GrowOptions& options);

// Turns a corpus into its inverted file and back. `row_limit` bounds the rows of the result.
Rows invert(const Rows& rows, std::uint64_t row_limit = max_inverted_rows);

enum class Weighting { idf, ids };
// idf: ln(documents / documents that hold it), one an item; ids: 1 / size, one a document.
std::vector<double> weigh(Weighting scheme, const Rows& corpus, const Rows& inverted);

// ------------------------------------------------------------------------------------- streams

class Source {
  public:
    virtual ~Source() = default;
    // Fills at most `size` bytes; 0 means the end.
    virtual std::size_t read(char* buffer, std::size_t size) = 0;
};

class Sink {
  public:
    virtual ~Sink() = default;
    virtual void write(const char* bytes, std::size_t size) = 0;
    // Everything is delivered, or Error is thrown. Nothing may be written afterwards.
    virtual void finish() = 0;
};

// A file, or standard input for "-".
std::unique_ptr<Source> open_source(const std::string& path);
std::unique_ptr<Source> memory_source(const void* bytes, std::size_t size);

// A file, or standard output for "-". A regular file appears under its name only when finish()
// succeeds and is left as it was otherwise; a device or a pipe is written directly.
std::unique_ptr<Sink> open_sink(const std::string& path);
// Throws where open_sink() would for lack of a folder or permission: before long work, not after.
void check_sink(const std::string& path);
std::unique_ptr<Sink> memory_sink(std::string& bytes);

// Text: one line a row, `SIZE id:count id:count ...`. `name` is used in messages. Counts may be
// left out, where they are not needed; they are checked all the same.
Rows read_rows(Source& source, const std::string& name, bool with_counts = true,
               unsigned threads = 1);
void write_rows(Sink& sink, const Rows& rows);
std::vector<double> read_weights(Source& source, const std::string& name);
void write_weights(Sink& sink, const std::vector<double>& weights);

// Binary, little endian; see native/README.md.
Documents read_documents(Source& source, const std::string& name, bool expand);
void write_documents(Sink& sink, const Documents& documents);
// Columns of tables [table_begin, table_end) only, so that a range of a large stream fits.
Signatures read_signatures(Source& source, const std::string& name, std::uint32_t table_begin = 0,
                           std::uint32_t table_end = UINT32_MAX);
void write_signatures(Sink& sink, const Signatures& signatures);
Sets read_sets(Source& source, const std::string& name);
void write_sets(Sink& sink, const Sets& sets);
std::vector<Link> read_links(Source& source, const std::string& name);
void write_links(Sink& sink, const std::vector<Link>& links);
WordLinks read_word_links(Source& source, const std::string& name);
void write_word_links(Sink& sink, const WordLinks& links);
WordGroups read_word_groups(Source& source, const std::string& name);
void write_word_groups(Sink& sink, const WordGroups& groups);

// Merges SMHS streams row by row; memory is one row a stream, whatever the number of items.
void merge_streams(const std::vector<std::unique_ptr<Source>>& sources,
                   const std::vector<std::string>& names, Sink& sink);

}  // namespace smh

#endif
