#include <cstdio>
#include <cstring>

#include "check.hpp"

// Runs all tests, or those whose names contain the first argument.
int main(int argc, char** argv) {
    std::size_t run = 0, failed = 0;
    for (const auto& test : check::tests()) {
        if (argc > 1 && test.name.find(argv[1]) == std::string::npos) continue;
        ++run;
        try {
            test.body();
        } catch (const std::exception& error) {
            ++failed;
            std::printf("FAILED %s\n  %s\n", test.name.c_str(), error.what());
        }
    }
    std::printf("%zu tests, %zu failed\n", run, failed);
    return failed > 0 || run == 0;
}
