// SMHS streams: read, written, and merged row by row.
#include <algorithm>
#include <string>

#include "kernels.hpp"
#include "options.hpp"
#include "stream.hpp"

namespace smh {
namespace {

constexpr std::uint32_t kind_of_minima = 0;  // there is no other in streams

struct SignatureHeader {
    std::uint32_t tuple_size = 1;
    std::uint32_t tables = 1;
    bool operator==(const SignatureHeader& other) const {
        return tuple_size == other.tuple_size && tables == other.tables;
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
        if (kind != kind_of_minima)
            stream_.fail_at(8, "unknown kind of minima " + std::to_string(kind));
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
        stream_.numbers(values, end - begin, "a row's minima");
        stream_.skip(std::uint64_t{width - end} * 4, "a row's minima");
        return true;
    }

  private:
    Stream stream_;
    SignatureHeader header_;
    bool any_ = false;
};

void put_signature_header(Output& output, const SignatureHeader& header) {
    put_header(output, "SMHS");
    output.put_number(kind_of_minima);
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

Signatures read_signatures(Source& source, const std::string& name, std::uint32_t table_begin,
                           std::uint32_t table_end) {
    SignatureReader reader(source, name);
    const SignatureHeader& header = reader.header();
    const std::uint32_t end = checked_table_end(table_begin, table_end, header.tables);
    Signatures result;
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
    put_signature_header(output, {signatures.tuple_size, signatures.tables});
    for (std::size_t row = 0; row < signatures.items.size(); ++row)
        put_row(output,
                {signatures.items[row], signatures.documents[row], signatures.occurrences[row]},
                signatures.values.data() + row * signatures.width(), signatures.width());
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
            throw Error(names[i] + ": tuple size or number of tables differ from " +
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
        for (auto& part : parts) {
            if (!part.open || part.row.item != row.item) continue;
            add_documents(row.documents, part.row.documents, row.item);
            add_occurrences(row.occurrences, part.row.occurrences, row.item);
            kernels().fold(part.values.data(), width, values.data());
            advance(part);
        }
        put_row(output, row, values.data(), width);
    }
    output.finish();
}

}  // namespace smh
