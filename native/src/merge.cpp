// Signatures of parts -> signatures of the whole.
#include <algorithm>
#include <string>

#include "kernels.hpp"
#include "options.hpp"
#include "smh.hpp"

namespace smh {
namespace {

void check_alike(const Signatures& first, const Signatures& other) {
    if (first.tuple_size != other.tuple_size ||
        first.tables != other.tables)
        throw Error("signatures of different tuple size or number of tables do not merge");
}

}  // namespace

Signatures merge(const std::vector<Signatures>& parts) {
    if (parts.empty()) throw Error("merge: there are no signatures");
    Signatures result;
    result.tuple_size = parts[0].tuple_size;
    result.tables = parts[0].tables;
    for (const auto& part : parts) {
        check_alike(result, part);
        result.items.insert(result.items.end(), part.items.begin(), part.items.end());
    }
    std::sort(result.items.begin(), result.items.end());
    result.items.erase(std::unique(result.items.begin(), result.items.end()), result.items.end());
    const std::size_t width = result.width();
    result.documents.assign(result.items.size(), 0);
    result.occurrences.assign(result.items.size(), 0);
    result.values.assign(result.items.size() * width, UINT32_MAX);
    for (const auto& part : parts) {
        std::size_t to = 0;
        for (std::size_t row = 0; row < part.items.size(); ++row) {
            while (result.items[to] != part.items[row]) ++to;
            add_documents(result.documents[to], part.documents[row], result.items[to]);
            add_occurrences(result.occurrences[to], part.occurrences[row], result.items[to]);
            kernels().fold(part.values.data() + row * width, width,
                           result.values.data() + to * width);
        }
    }
    return result;
}

}  // namespace smh
