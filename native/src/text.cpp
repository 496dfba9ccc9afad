// The reference's text files: corpora, inverted files, models, weights.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>

#include "buffer.hpp"
#include "options.hpp"
#include "parallel.hpp"
#include "repeats.hpp"

namespace smh {
namespace {

// What is wrong with a line of a block; lines count from 0.
struct LineError {
    std::uint64_t line;
    std::string what;
};

// A block of whole lines.
struct Block {
    std::size_t number = 0;
    std::vector<char> bytes = {};  // the lines, and behind them what the next block begins with
    std::size_t size = 0;
    const char* begin() const noexcept { return bytes.data(); }
    const char* end() const noexcept { return bytes.data() + size; }
};

// Hands out the blocks of a file in order, to any number of threads. Memory is a block for each, or
// the longest line where that is longer.
class Blocks {
  public:
    explicit Blocks(Source& source) : source_(source) {}

    // Replaces a block by the next one; false when there is none.
    bool next(Block& block) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (stopped_) return false;
        auto& bytes = block.bytes;
        if (bytes.size() < rest_.size() + least_read) bytes.resize(rest_.size() + least_read);
        std::copy(rest_.begin(), rest_.end(), bytes.begin());
        std::size_t filled = rest_.size();
        block.size = 0;
        for (;;) {
            if (filled == bytes.size()) {
                if (block.size > 0 && filled >= block_size) break;
                bytes.resize(2 * bytes.size());
            }
            const std::size_t got = source_.read(bytes.data() + filled, bytes.size() - filled);
            const std::size_t searched = filled;
            filled += got;
            if (got == 0) {
                block.size = filled;
                stopped_ = true;
                break;
            }
            const auto last = std::find(bytes.rbegin() + at(bytes.size() - filled),
                                        bytes.rend() - at(searched), '\n');
            if (last != bytes.rend() - at(searched))
                block.size = static_cast<std::size_t>(bytes.rend() - last);
        }
        rest_.assign(block.end(), block.begin() + filled);
        block.number = count_++;
        return block.size > 0;
    }

    // There are no more blocks from now on.
    void stop() {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopped_ = true;
    }

  private:
    static constexpr std::size_t block_size = std::size_t{1} << 22U;
    static constexpr std::size_t least_read = std::size_t{1} << 16U;
    static std::ptrdiff_t at(std::size_t place) { return static_cast<std::ptrdiff_t>(place); }

    std::mutex mutex_;
    Source& source_;
    std::vector<char> rest_;  // the beginning of a line
    std::size_t count_ = 0;
    bool stopped_ = false;
};

// Goes through the lines of a block.
class Text {
  public:
    Text(const char* begin, const char* end) : at_(begin), end_(end) {}

    bool at_end() const { return at_ == end_; }
    bool at_line_end() const { return at_end() || *at_ == '\n' || *at_ == '\r'; }
    bool at_blank() const { return !at_end() && (*at_ == ' ' || *at_ == '\t'); }
    bool at_digit() const { return !at_end() && *at_ >= '0' && *at_ <= '9'; }

    // Takes the end of the line: "\n", "\r\n" or the end of the block.
    void end_line() {
        if (!at_end() && *at_ == '\r') {
            ++at_;
            if (!at_end() && *at_ != '\n') fail("a carriage return without a line feed");
        }
        if (!at_end() && *at_ != '\n') fail("expected the end of the line, found " + found());
        if (!at_end()) ++at_;
        ++line_;
    }

    void skip_blanks() {
        while (at_blank()) ++at_;
    }

    std::uint32_t read_number(const char* what) {
        if (!at_digit()) fail(std::string("expected ") + what + ", found " + found());
        const char* begin = at_;
        std::uint64_t value = 0;
        for (; at_digit(); ++at_) {
            value = value * 10 + static_cast<std::uint64_t>(*at_ - '0');
            if (value > UINT32_MAX) fail_above(what, begin);
        }
        return static_cast<std::uint32_t>(value);
    }

    void expect(char byte, const char* after) {
        if (at_end() || *at_ != byte)
            fail(std::string("expected '") + byte + "' after " + after + ", found " + found());
        ++at_;
    }

    void expect_separated(const char* after) const {
        if (!at_blank() && !at_line_end())
            fail(std::string("expected a blank after ") + after + ", found " + found());
    }

    // The characters up to the next blank or line end.
    std::string_view word() {
        const char* begin = at_;
        while (!at_line_end() && !at_blank()) ++at_;
        return {begin, static_cast<std::size_t>(at_ - begin)};
    }

    [[noreturn]] void fail(const std::string& what) const { throw LineError{line_, what}; }

    std::string found() const {
        if (at_end()) return "the end of the file";
        if (at_line_end()) return "the end of the line";
        const auto byte = static_cast<unsigned char>(*at_);
        char text[16];
        std::snprintf(text, sizeof text, byte > 32 && byte < 127 ? "'%c'" : "byte 0x%02x", byte);
        return text;
    }

  private:
    [[noreturn]] void fail_above(const char* what, const char* begin) {
        while (at_digit()) ++at_;
        const std::string digits(begin, std::min(at_, begin + 24));
        fail(std::string(what) + " " + digits + (at_ - begin > 24 ? "..." : "") +
             " is above the limit of " + std::to_string(UINT32_MAX));
    }

    const char* at_;
    const char* end_;
    std::uint64_t line_ = 0;
};

void read_lines(Text text, Rows& rows, bool with_counts, RepeatFinder& repeats) {
    while (!text.at_end()) {
        text.skip_blanks();
        const std::uint32_t size = text.read_number("the number of entries");
        text.expect_separated("the number of entries");
        const std::size_t begin = rows.ids.size();
        for (text.skip_blanks(); !text.at_line_end(); text.skip_blanks()) {
            if (rows.ids.size() - begin == size)
                text.fail("more entries than the " + std::to_string(size) + " announced");
            rows.ids.push_back(text.read_number("an id"));
            text.expect(':', "an id");
            const std::uint32_t count = text.read_number("a frequency");
            if (count == 0)
                text.fail("id " + std::to_string(rows.ids.back()) +
                          " has frequency 0; it must be at least 1");
            if (with_counts) rows.counts.push_back(count);
            text.expect_separated("an entry");
        }
        if (rows.ids.size() - begin != size)
            text.fail("announces " + std::to_string(size) + " entries and has " +
                      std::to_string(rows.ids.size() - begin));
        if (const auto* twice = repeats.find(rows.ids.data() + begin, size))
            text.fail("id " + std::to_string(*twice) + " is listed twice");
        text.end_line();
        rows.offsets.push_back(rows.ids.size());
    }
}

void append(Rows& rows, const Rows& more) {
    const std::uint64_t before = rows.ids.size();
    rows.ids.insert(rows.ids.end(), more.ids.begin(), more.ids.end());
    rows.counts.insert(rows.counts.end(), more.counts.begin(), more.counts.end());
    for (std::size_t row = 1; row < more.offsets.size(); ++row)
        rows.offsets.push_back(before + more.offsets[row]);
}

[[noreturn]] void fail(const std::string& name, std::uint64_t lines_before,
                       const LineError& error) {
    throw Error(name + ": line " + std::to_string(lines_before + error.line + 1) + ": " +
                error.what);
}

// What came of a block.
struct Piece {
    Rows rows = {};
    std::optional<LineError> error = {};
};

// Puts the pieces together in the order of their blocks, whichever comes first.
class Joiner {
  public:
    explicit Joiner(const std::string& name) : name_(name) {}

    void add(std::size_t number, Piece piece) {
        const std::lock_guard<std::mutex> lock(mutex_);
        waiting_.emplace(number, std::move(piece));
        for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_;) {
            if (first->second.error) fail(name_, rows_.size(), *first->second.error);
            append(rows_, first->second.rows);
            first = waiting_.erase(first);
            ++next_;
        }
    }

    Rows take() { return std::move(rows_); }

  private:
    std::mutex mutex_;
    const std::string& name_;
    Rows rows_;
    std::map<std::size_t, Piece> waiting_;
    std::size_t next_ = 0;
};

std::string quoted(std::string_view word) {
    std::string text = "'";
    for (const char byte : word.substr(0, 40))
        text.push_back(byte >= 32 && byte < 127 ? byte : '?');
    return text + (word.size() > 40 ? "...'" : "'");
}

double read_weight(Text& text) {
    text.skip_blanks();
    const std::string_view word = text.word();
    double weight = 0;
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data(), end, weight);
    if (word.empty() || stop != end || error == std::errc::invalid_argument)
        text.fail("expected a decimal number, found " +
                  (word.empty() ? text.found() : quoted(word)));
    const bool allowed = weight == 0 || (weight >= min_weight && weight <= max_weight);
    if (error != std::errc() || !allowed)
        text.fail("weight " + quoted(word) + " is neither 0 nor within " + weight_range());
    text.skip_blanks();
    text.end_line();
    return weight;
}

}  // namespace

Rows read_rows(Source& source, const std::string& name, bool with_counts, unsigned threads) {
    check_threads(threads);
    Blocks blocks(source);
    Joiner joiner(name);
    run_threads(threads, [&](std::size_t) {
        Block block;
        RepeatFinder repeats;
        while (blocks.next(block)) {
            Piece piece;
            try {
                read_lines({block.begin(), block.end()}, piece.rows, with_counts, repeats);
            } catch (const LineError& error) {
                piece.error = error;
                blocks.stop();
            }
            joiner.add(block.number, std::move(piece));
        }
    });
    return joiner.take();
}

void write_rows(Sink& sink, const Rows& rows) {
    Output output(sink);
    for (std::size_t row = 0; row < rows.size(); ++row) {
        output.put_decimal(static_cast<std::uint32_t>(rows.offsets[row + 1] - rows.offsets[row]));
        for (std::uint64_t at = rows.offsets[row]; at < rows.offsets[row + 1]; ++at) {
            output.put(' ');
            output.put_decimal(rows.ids[at]);
            output.put(':');
            output.put_decimal(rows.counts[at]);
        }
        output.put('\n');
    }
    output.finish();
}

std::vector<double> read_weights(Source& source, const std::string& name) {
    std::vector<double> weights;
    Blocks blocks(source);
    Block block;
    while (blocks.next(block)) {
        Text text(block.begin(), block.end());
        const std::uint64_t before = weights.size();
        try {
            while (!text.at_end()) weights.push_back(read_weight(text));
        } catch (const LineError& error) {
            fail(name, before, error);
        }
    }
    return weights;
}

void write_weights(Sink& sink, const std::vector<double>& weights) {
    Output output(sink);
    for (const double weight : weights) {
        char text[40];  // the shortest decimal that reads back as the same number
        const auto [end, error] = std::to_chars(text, text + sizeof text, weight);
        if (error != std::errc()) throw Error("a weight cannot be written in decimals");
        output.put(text, static_cast<std::size_t>(end - text));
        output.put('\n');
    }
    output.finish();
}

}  // namespace smh
