// A test runner without dependencies: TEST(name) { CHECK(...); } in any file of this folder.
#ifndef SMH_CHECK_HPP
#define SMH_CHECK_HPP

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "smh.hpp"

namespace check {

struct Test {
    std::string name;
    std::function<void()> body;
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

struct Register {
    Register(const char* name, std::function<void()> body) {
        tests().push_back({name, std::move(body)});
    }
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
    throw std::logic_error(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

// `work` must throw smh::Error with `part` in its message.
template <class Work>
void throws(const char* file, int line, const std::string& part, Work&& work) {
    try {
        work();
    } catch (const smh::Error& error) {
        if (std::string(error.what()).find(part) == std::string::npos)
            fail(file, line, "expected \"" + part + "\" in \"" + error.what() + "\"");
        return;
    }
    fail(file, line, "nothing was thrown; expected \"" + part + "\"");
}

}  // namespace check

#define TEST(name)                                              \
    static void test_##name();                                  \
    static const check::Register register_##name(#name, test_##name); \
    static void test_##name()

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) check::fail(__FILE__, __LINE__, "not so: " #condition); \
    } while (false)

#define CHECK_THROWS(part, statement) \
    check::throws(__FILE__, __LINE__, part, [&] { (void)(statement); })

#endif
