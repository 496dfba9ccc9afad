// Runs the fuzz target over files, so that what was found once is tested without a fuzzer.
#include <cstdint>
#include <cstdio>
#include <string>

#include "smh.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        std::string bytes;
        const auto source = smh::open_source(argv[i]);
        char buffer[4096];
        while (const std::size_t got = source->read(buffer, sizeof buffer)) bytes.append(buffer, got);
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    }
    std::printf("%d fuzz inputs replayed\n", argc - 1);
    return argc < 2;
}
