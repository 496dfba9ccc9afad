// What a program needs of libsmh: smh.hpp and nothing else.
//
// Estimates the Jaccard similarity of every pair of items of a small inverted file, by the share of
// minima they have in common, and prints pairs above a half:   pairs FILE.ifs
#include <cstdio>
#include <exception>
#include <string>

#include "smh.hpp"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: pairs IFS\n");
        return 2;
    }
    try {
        smh::SketchOptions options;
        options.tuple_size = 1;
        options.tables = 1024;
        const smh::Rows inverted = smh::read_rows(*smh::open_source(argv[1]), argv[1]);
        const smh::Signatures signatures = smh::sketch(inverted, {}, options);
        std::string report;
        for (std::size_t a = 0; a < signatures.items.size(); ++a)
            for (std::size_t b = a + 1; b < signatures.items.size(); ++b) {
                std::size_t equal = 0;
                for (std::size_t k = 0; k < signatures.width(); ++k)
                    equal += signatures.values[a * signatures.width() + k] ==
                             signatures.values[b * signatures.width() + k];
                const double jaccard =
                    static_cast<double>(equal) / static_cast<double>(signatures.width());
                if (jaccard > 0.5)
                    report += std::to_string(signatures.items[a]) + " " +
                              std::to_string(signatures.items[b]) + " " +
                              std::to_string(jaccard) + "\n";
            }
        const auto sink = smh::open_sink("-");
        sink->write(report.data(), report.size());
        sink->finish();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "pairs: %s\n", error.what());
        return 1;
    }
    return 0;
}
