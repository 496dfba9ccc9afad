// Binary streams between processes: little endian, packed, see README.md.
#include <array>
#include <string>

#include "buffer.hpp"
#include "kernels.hpp"
#include "options.hpp"
#include "repeats.hpp"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the streams are little endian and are read and written as they lie in memory"
#endif

namespace smh {
namespace {

constexpr std::uint32_t stream_version = 1;

class Stream {
  public:
    Stream(Source& source, const std::string& name) : input_(source), name_(name) {}

    bool at_end() { return input_.peek() < 0; }

    template <class Number>
    Number number(const char* what) {
        Number value{};
        take(&value, sizeof value, what);
        return value;
    }

    // Appends `count` numbers. Memory grows with what arrives, not with what is announced.
    void numbers(std::vector<std::uint32_t>& to, std::uint64_t count, const char* what) {
        constexpr std::uint64_t piece = 1U << 16U;
        while (count > 0) {
            const std::uint64_t now = std::min(count, piece);
            const std::size_t begin = to.size();
            to.resize(begin + now);
            take(to.data() + begin, now * sizeof(std::uint32_t), what);
            count -= now;
        }
    }

    void skip(std::uint64_t bytes, const char* what) {
        std::array<char, 4096> ignored;
        while (bytes > 0) {
            const std::uint64_t now = std::min<std::uint64_t>(bytes, ignored.size());
            take(ignored.data(), now, what);
            bytes -= now;
        }
    }

    void header(const char* magic) {
        std::array<char, 4> found{};
        take(found.data(), found.size(), "the stream's header");
        if (!std::equal(found.begin(), found.end(), magic))
            fail_at(0, std::string("not a ") + magic + " stream");
        const auto number_of_version = number<std::uint32_t>("the stream's version");
        if (number_of_version != stream_version)
            fail_at(4, std::string(magic) + " version " + std::to_string(number_of_version) +
                           "; this program reads version " + std::to_string(stream_version));
    }

    std::uint64_t offset() const noexcept { return input_.offset(); }

    [[noreturn]] void fail_at(std::uint64_t offset, const std::string& what) const {
        throw Error(name_ + ": byte " + std::to_string(offset) + ": " + what);
    }

  private:
    void take(void* to, std::uint64_t size, const char* what) {
        const std::uint64_t begin = input_.offset();
        const std::uint64_t taken = input_.take(to, size);
        if (taken != size)
            fail_at(begin + taken, std::string("the stream ends within ") + what);
    }

    Input input_;
    const std::string& name_;
};

struct SignatureHeader {
    Kind kind = Kind::minima;
    std::uint32_t tuple_size = 1;
    std::uint32_t tables = 1;
    bool operator==(const SignatureHeader& other) const {
        return kind == other.kind && tuple_size == other.tuple_size && tables == other.tables;
    }
};

struct SignatureRow {
    std::uint32_t item = 0;
    std::uint32_t documents = 0;
    std::uint64_t occurrences = 0;
};

// A SMHS stream, row by row.
class SignatureReader {
  public:
    SignatureReader(Source& source, const std::string& name) : stream_(source, name) {
        stream_.header("SMHS");
        const auto kind = stream_.number<std::uint32_t>("the stream's header");
        header_.tuple_size = stream_.number<std::uint32_t>("the stream's header");
        header_.tables = stream_.number<std::uint32_t>("the stream's header");
        if (kind > 1) stream_.fail_at(8, "unknown kind of minima " + std::to_string(kind));
        header_.kind = static_cast<Kind>(kind);
        try {
            check_tuples(header_.tuple_size, header_.tables, "header");
        } catch (const Error& error) {
            stream_.fail_at(12, error.what());
        }
    }

    const SignatureHeader& header() const noexcept { return header_; }

    // Appends the columns [begin, end) of the next row to `values`; false at the end.
    bool next(SignatureRow& row, std::uint32_t begin, std::uint32_t end,
              std::vector<std::uint32_t>& values) {
        if (stream_.at_end()) return false;
        const std::uint64_t at = stream_.offset();
        const SignatureRow before = row;
        row.item = stream_.number<std::uint32_t>("a row's item");
        row.documents = stream_.number<std::uint32_t>("a row's number of documents");
        row.occurrences = stream_.number<std::uint64_t>("a row's occurrences");
        if (any_ && row.item <= before.item)
            stream_.fail_at(at, "item " + std::to_string(row.item) + " after item " +
                                    std::to_string(before.item) + "; items must ascend");
        if (row.documents == 0 || row.occurrences < row.documents)
            stream_.fail_at(at + 4, "item " + std::to_string(row.item) + " has " +
                                        std::to_string(row.documents) + " documents and " +
                                        std::to_string(row.occurrences) + " occurrences");
        any_ = true;
        const std::uint32_t width = header_.tuple_size * header_.tables;
        stream_.skip(std::uint64_t{begin} * 4, "a row's minima");
        const std::size_t first = values.size();
        stream_.numbers(values, end - begin, "a row's minima");
        stream_.skip(std::uint64_t{width - end} * 4, "a row's minima");
        if (header_.kind == Kind::weighted)
            for (std::size_t i = first; i < values.size(); ++i)
                if (values[i] >= 0x7F800000U)  // infinity; beyond it NaN and negative numbers
                    stream_.fail_at(at + 16 + (begin + i - first) * 4,
                                    "a weighted minimum is not finite and >= 0");
        return true;
    }

  private:
    Stream stream_;
    SignatureHeader header_;
    bool any_ = false;
};

void put_header(Output& output, const char* magic) {
    output.put(magic, 4);
    output.put_number(stream_version);
}

void put_signature_header(Output& output, const SignatureHeader& header) {
    put_header(output, "SMHS");
    output.put_number(static_cast<std::uint32_t>(header.kind));
    output.put_number(header.tuple_size);
    output.put_number(header.tables);
}

void put_row(Output& output, const SignatureRow& row, const std::uint32_t* values,
             std::size_t width) {
    output.put_number(row.item);
    output.put_number(row.documents);
    output.put_number(row.occurrences);
    output.put(values, width * sizeof *values);
}

}  // namespace

Documents read_documents(Source& source, const std::string& name, bool expand, bool weighted) {
    Stream stream(source, name);
    Documents documents;
    RepeatFinder repeats;
    while (!stream.at_end()) {
        const std::uint64_t at = stream.offset();
        const auto document = std::to_string(documents.keys.size());
        documents.keys.push_back(stream.number<std::uint32_t>("a document's key"));
        const auto size = stream.number<std::uint32_t>("a document's size");
        if (weighted) {
            const auto weight = stream.number<double>("a document's weight");
            if (!(weight >= min_weight && weight <= max_weight))
                stream.fail_at(at + 8, "the weight of document " + document +
                                           " is not within [1e-30, 1e+30]");
            documents.weights.push_back(weight);
        }
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
        if (!documents.weights.empty()) output.put_number(documents.weights[d]);
        output.put(documents.rows.ids.data() + begin, size * 4);
        if (!documents.rows.counts.empty())
            output.put(documents.rows.counts.data() + begin, size * 4);
    }
    output.finish();
}

Signatures read_signatures(Source& source, const std::string& name, std::uint32_t table_begin,
                           std::uint32_t table_end) {
    SignatureReader reader(source, name);
    const SignatureHeader& header = reader.header();
    const std::uint32_t end = checked_table_end(table_begin, table_end, header.tables);
    Signatures result;
    result.kind = header.kind;
    result.tuple_size = header.tuple_size;
    result.tables = end - table_begin;
    SignatureRow row;
    while (reader.next(row, table_begin * header.tuple_size, end * header.tuple_size,
                       result.values)) {
        result.items.push_back(row.item);
        result.documents.push_back(row.documents);
        result.occurrences.push_back(row.occurrences);
    }
    return result;
}

void write_signatures(Sink& sink, const Signatures& signatures) {
    Output output(sink);
    put_signature_header(output, {signatures.kind, signatures.tuple_size, signatures.tables});
    for (std::size_t row = 0; row < signatures.items.size(); ++row)
        put_row(output,
                {signatures.items[row], signatures.documents[row], signatures.occurrences[row]},
                signatures.values.data() + row * signatures.width(), signatures.width());
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

void merge_streams(const std::vector<std::unique_ptr<Source>>& sources,
                   const std::vector<std::string>& names, Sink& sink) {
    if (sources.empty()) throw Error("merge: there are no streams");
    struct Part {
        SignatureReader reader;
        SignatureRow row;
        std::vector<std::uint32_t> values;
        bool open;
    };
    std::vector<Part> parts;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        parts.push_back({SignatureReader(*sources[i], names[i]), {}, {}, true});
        if (!(parts[i].reader.header() == parts[0].reader.header()))
            throw Error(names[i] + ": kind, tuple size or number of tables differ from " +
                        names[0]);
    }
    const SignatureHeader header = parts[0].reader.header();
    const std::uint32_t width = header.tuple_size * header.tables;
    const auto advance = [&](Part& part) {
        part.values.clear();
        part.open = part.reader.next(part.row, 0, width, part.values);
    };
    for (auto& part : parts) advance(part);
    Output output(sink);
    put_signature_header(output, header);
    std::vector<std::uint32_t> values(width);
    for (;;) {
        SignatureRow row{UINT32_MAX, 0, 0};
        bool any = false;
        for (const auto& part : parts) {
            if (part.open) row.item = std::min(row.item, part.row.item);
            any |= part.open;
        }
        if (!any) break;
        std::fill(values.begin(), values.end(), UINT32_MAX);
        std::uint64_t documents = 0;
        for (auto& part : parts) {
            if (!part.open || part.row.item != row.item) continue;
            documents += part.row.documents;
            row.occurrences += part.row.occurrences;
            kernels().fold(part.values.data(), width, values.data());
            advance(part);
        }
        if (documents > UINT32_MAX)
            throw Error("merge: item " + std::to_string(row.item) +
                        " is in more than 2^32 - 1 documents");
        row.documents = static_cast<std::uint32_t>(documents);
        put_row(output, row, values.data(), width);
    }
    output.finish();
}

}  // namespace smh
