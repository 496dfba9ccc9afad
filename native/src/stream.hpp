// What the binary streams have in common: little endian, packed, see README.md.
#ifndef SMH_STREAM_HPP
#define SMH_STREAM_HPP

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "buffer.hpp"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the streams are little endian and are read and written as they lie in memory"
#endif

namespace smh {

inline constexpr std::uint32_t stream_version = 1;

// Reads numbers, and names the byte where the stream ends too early.
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

inline void put_header(Output& output, const char* magic) {
    output.put(magic, 4);
    output.put_number(stream_version);
}

}  // namespace smh

#endif
