// Buffered reading and writing over Source and Sink.
#ifndef SMH_BUFFER_HPP
#define SMH_BUFFER_HPP

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "smh.hpp"

namespace smh {

class Input {
  public:
    explicit Input(Source& source) : source_(source), buffer_(std::size_t{1} << 18U) {}

    // The next byte without taking it, or -1 at the end.
    int peek() {
        if (at_ == end_ && !fill()) return -1;
        return static_cast<unsigned char>(buffer_[at_]);
    }

    // Takes up to `size` bytes; fewer only at the end.
    std::size_t take(void* to, std::size_t size) {
        auto* bytes = static_cast<char*>(to);
        std::size_t taken = 0;
        while (taken < size && (at_ < end_ || fill())) {
            const std::size_t piece = std::min(size - taken, end_ - at_);
            std::memcpy(bytes + taken, buffer_.data() + at_, piece);
            at_ += piece;
            taken += piece;
        }
        return taken;
    }

    // Bytes taken so far.
    std::uint64_t offset() const noexcept { return before_ + at_; }

  private:
    bool fill() {
        before_ += end_;
        at_ = 0;
        end_ = source_.read(buffer_.data(), buffer_.size());
        return end_ > 0;
    }

    Source& source_;
    std::vector<char> buffer_;
    std::size_t at_ = 0;
    std::size_t end_ = 0;
    std::uint64_t before_ = 0;
};

class Output {
  public:
    explicit Output(Sink& sink) : sink_(sink), buffer_(capacity) {}

    void put(const void* bytes, std::size_t size) {
        need(size);
        if (size > capacity) return sink_.write(static_cast<const char*>(bytes), size);
        if (size > 0) std::memcpy(buffer_.data() + used_, bytes, size);
        used_ += size;
    }
    void put(char byte) {
        need(1);
        buffer_[used_++] = byte;
    }
    template <class Number>
    void put_number(Number number) {
        put(&number, sizeof number);
    }
    void put_decimal(std::uint32_t number) {
        constexpr std::size_t most = 10;
        need(most);
        char* to = buffer_.data() + used_;
        used_ += static_cast<std::size_t>(std::to_chars(to, to + most, number).ptr - to);
    }

    // Must be called last: what remains is delivered, or Error is thrown.
    void finish() {
        flush();
        sink_.finish();
    }

  private:
    static constexpr std::size_t capacity = std::size_t{1} << 18U;
    // Makes room for `size` bytes, or all there is.
    void need(std::size_t size) {
        if (size > capacity - used_) flush();
    }
    void flush() {
        if (used_ > 0) sink_.write(buffer_.data(), used_);
        used_ = 0;
    }

    Sink& sink_;
    std::vector<char> buffer_;
    std::size_t used_ = 0;
};

}  // namespace smh

#endif
