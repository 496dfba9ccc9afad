// Every parser of libsmh under libFuzzer. The first byte of an input chooses the parser, the rest
// is the file. What is accepted must come back from the writer unchanged, and is taken through the
// steps that follow. The only way out besides success is smh::Error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "smh.hpp"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

template <class Write>
std::string written(Write&& write) {
    std::string bytes;
    write(*smh::memory_sink(bytes));
    return bytes;
}

std::unique_ptr<smh::Source> source_of(const std::string& bytes) {
    return smh::memory_source(bytes.data(), bytes.size());
}

// Sets through clustering to a model.
void finish(const smh::Sets& sets) {
    smh::ClusterOptions options;
    options.tables = 5;
    options.tuple_size = 2;
    const auto links = smh::cluster(sets, options);
    smh::model(sets, links, 2);
}

void finish(const smh::Signatures& signatures) {
    if (signatures.items.size() > 4096) return;
    smh::MineOptions options;
    options.min_set_size = 2;
    finish(smh::mine(signatures, options));
}

smh::SketchOptions small_sketch(bool expand) {
    smh::SketchOptions options;
    options.tuple_size = 1;
    options.tables = 3;
    options.expand = expand;
    return options;
}

bool cheap(const std::vector<std::uint32_t>& frequencies) {
    std::uint64_t sum = 0;
    for (const auto frequency : frequencies) sum += frequency;
    return sum < (1U << 16U);
}

void rows(const std::string& bytes, unsigned threads) {
    const auto read = smh::read_rows(*source_of(bytes), "input", true, threads);
    const auto text = written([&](smh::Sink& sink) { smh::write_rows(sink, read); });
    const auto again = smh::read_rows(*source_of(text), "again");
    require(again.offsets == read.offsets && again.ids == read.ids && again.counts == read.counts);
    finish(smh::sketch(read, {}, small_sketch(cheap(read.counts))));
    const auto turned = smh::invert(read, 4096);
    require(turned.ids.size() == read.ids.size());
    smh::weigh(smh::Weighting::idf, read, turned);
    smh::weigh(smh::Weighting::ids, read, turned);
}

void weights(const std::string& bytes) {
    const auto read = smh::read_weights(*source_of(bytes), "input");
    const auto text = written([&](smh::Sink& sink) { smh::write_weights(sink, read); });
    require(smh::read_weights(*source_of(text), "again") == read);
}

void documents(const std::string& bytes, bool expand) {
    const auto read = smh::read_documents(*source_of(bytes), "input", expand);
    require(written([&](smh::Sink& sink) { smh::write_documents(sink, read); }) == bytes);
    if (cheap(read.rows.counts)) finish(smh::sketch(read, small_sketch(expand)));
}

void signatures(const std::string& bytes) {
    const auto read = smh::read_signatures(*source_of(bytes), "input");
    require(written([&](smh::Sink& sink) { smh::write_signatures(sink, read); }) == bytes);
    if (read.tables < 64) finish(read);
    if (read.tables > 1) smh::read_signatures(*source_of(bytes), "input", 1, read.tables);
}

// Two streams, cut where the second magic begins.
void merging(const std::string& bytes) {
    const std::size_t second = std::min(bytes.find("SMHS", 1), bytes.size());
    const std::string a = bytes.substr(0, second), b = bytes.substr(second);
    std::vector<std::unique_ptr<smh::Source>> sources;
    sources.push_back(source_of(a));
    sources.push_back(source_of(b));
    const auto merged =
        written([&](smh::Sink& sink) { smh::merge_streams(sources, {"a", "b"}, sink); });
    smh::read_signatures(*source_of(merged), "merged");
}

void sets(const std::string& bytes) {
    const auto read = smh::read_sets(*source_of(bytes), "input");
    require(written([&](smh::Sink& sink) { smh::write_sets(sink, read); }) == bytes);
    finish(read);
}

void links(const std::string& bytes) {
    const auto read = smh::read_links(*source_of(bytes), "input");
    require(written([&](smh::Sink& sink) { smh::write_links(sink, read); }) == bytes);
    smh::Sets three;
    three.multiplicities = {1, 1, 1};
    three.offsets = {0, 1, 2, 3};
    three.items = {1, 2, 3};
    smh::model(three, read, 1);
}

void word_links(const std::string& bytes) {
    const auto read = smh::read_word_links(*source_of(bytes), "input");
    require(written([&](smh::Sink& sink) { smh::write_word_links(sink, read); }) == bytes);
    smh::GrowOptions options;
    const auto groups = smh::grow(read, options);
    options.threads = 2;
    require(smh::grow(read, options).words == groups.words);
    const auto text = written([&](smh::Sink& sink) { smh::write_word_groups(sink, groups); });
    require(smh::read_word_groups(*source_of(text), "again").words == groups.words);
}

void groups(const std::string& bytes) {
    const auto read = smh::read_word_groups(*source_of(bytes), "input");
    require(written([&](smh::Sink& sink) { smh::write_word_groups(sink, read); }) == bytes);
}

void parse(char parser, const std::string& bytes) {
    switch (parser) {
        case 'R': return rows(bytes, 1);
        case 'T': return rows(bytes, 2);
        case 'W': return weights(bytes);
        case 'D': return documents(bytes, false);
        case 'E': return documents(bytes, true);
        case 'S': return signatures(bytes);
        case 'M': return merging(bytes);
        case 'C': return sets(bytes);
        case 'L': return links(bytes);
        case 'V': return word_links(bytes);
        case 'P': return groups(bytes);
        default: return;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    try {
        parse(static_cast<char>(data[0]),
              std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
    } catch (const smh::Error&) {
    }
    return 0;
}
