// DOCUMENTS, SMHC and SMHL streams.
#include <algorithm>
#include <string>

#include "repeats.hpp"
#include "stream.hpp"

namespace smh {

Documents read_documents(Source& source, const std::string& name, bool expand) {
    Stream stream(source, name);
    Documents documents;
    RepeatFinder repeats;
    while (!stream.at_end()) {
        const std::uint64_t at = stream.offset();
        const auto document = std::to_string(documents.keys.size());
        documents.keys.push_back(stream.number<std::uint32_t>("a document's key"));
        const auto size = stream.number<std::uint32_t>("a document's size");
        auto& rows = documents.rows;
        const std::size_t begin = rows.ids.size();
        stream.numbers(rows.ids, size, "a document's items");
        if (const auto* twice = repeats.find(rows.ids.data() + begin, size))
            stream.fail_at(at, "document " + document + " lists item " + std::to_string(*twice) +
                                   " twice");
        if (expand) stream.numbers(rows.counts, size, "a document's frequencies");
        for (std::size_t i = begin; i < rows.counts.size(); ++i)
            if (rows.counts[i] == 0 || rows.counts[i] > max_expanded_frequency)
                stream.fail_at(stream.offset() - 4 * (rows.counts.size() - i),
                               "frequency " + std::to_string(rows.counts[i]) + " of item " +
                                   std::to_string(rows.ids[i]) + " in document " + document +
                                   " is not within 1.." +
                                   std::to_string(max_expanded_frequency));
        rows.offsets.push_back(rows.ids.size());
    }
    return documents;
}

void write_documents(Sink& sink, const Documents& documents) {
    Output output(sink);
    for (std::size_t d = 0; d < documents.rows.size(); ++d) {
        const std::uint64_t begin = documents.rows.offsets[d];
        const std::uint64_t size = documents.rows.offsets[d + 1] - begin;
        output.put_number(documents.keys[d]);
        output.put_number(static_cast<std::uint32_t>(size));
        output.put(documents.rows.ids.data() + begin, size * 4);
        if (!documents.rows.counts.empty())
            output.put(documents.rows.counts.data() + begin, size * 4);
    }
    output.finish();
}

Sets read_sets(Source& source, const std::string& name) {
    Stream stream(source, name);
    stream.header("SMHC");
    Sets sets;
    while (!stream.at_end()) {
        const std::uint64_t at = stream.offset();
        const auto fail = [&](const std::string& what) {
            stream.fail_at(at, "set " + std::to_string(sets.size()) + " " + what);
        };
        const auto multiplicity = stream.number<std::uint32_t>("a set's multiplicity");
        const auto size = stream.number<std::uint32_t>("a set's size");
        if (multiplicity == 0) fail("was found in no table");
        if (size == 0) fail("is empty");
        stream.numbers(sets.items, size, "a set's items");
        const std::uint32_t* items = sets.items.data() + sets.offsets.back();
        for (std::uint32_t i = 1; i < size; ++i)
            if (items[i] <= items[i - 1]) fail("has items that do not ascend");
        if (sets.size() > 0) {
            const std::uint64_t before_at = sets.offsets[sets.size() - 1];
            const std::uint64_t before_size = sets.offsets.back() - before_at;
            const std::uint32_t* before = sets.items.data() + before_at;
            if (size > before_size) fail("is larger than the one before it");
            if (size == before_size &&
                !std::lexicographical_compare(before, before + size, items, items + size))
                fail("does not come after the one before it");
        }
        sets.multiplicities.push_back(multiplicity);
        sets.offsets.push_back(sets.items.size());
    }
    return sets;
}

void write_sets(Sink& sink, const Sets& sets) {
    Output output(sink);
    put_header(output, "SMHC");
    for (std::size_t set = 0; set < sets.size(); ++set) {
        const std::uint64_t size = sets.offsets[set + 1] - sets.offsets[set];
        output.put_number(sets.multiplicities[set]);
        output.put_number(static_cast<std::uint32_t>(size));
        output.put(sets.items.data() + sets.offsets[set], size * 4);
    }
    output.finish();
}

std::vector<Link> read_links(Source& source, const std::string& name) {
    Stream stream(source, name);
    stream.header("SMHL");
    std::vector<Link> links;
    while (!stream.at_end()) {
        const std::uint64_t at = stream.offset();
        Link link{};
        link.a = stream.number<std::uint32_t>("a link");
        link.b = stream.number<std::uint32_t>("a link");
        if (link.a >= link.b)
            stream.fail_at(at, "link " + std::to_string(link.a) + " " + std::to_string(link.b) +
                                   " does not ascend");
        links.push_back(link);
    }
    return links;
}

void write_links(Sink& sink, const std::vector<Link>& links) {
    Output output(sink);
    put_header(output, "SMHL");
    for (const Link link : links) {
        output.put_number(link.a);
        output.put_number(link.b);
    }
    output.finish();
}

}  // namespace smh
