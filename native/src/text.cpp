// The reference's text files: corpora, inverted files, models, weights.
#include <charconv>
#include <cstdio>
#include <system_error>

#include "buffer.hpp"
#include "repeats.hpp"

namespace smh {
namespace {

class Text {
  public:
    Text(Source& source, const std::string& name) : input_(source), name_(name) {}

    // Goes to the next line; false at the end of the file.
    bool next_line() {
        if (input_.peek() < 0) return false;
        ++line_;
        return true;
    }

    bool at_line_end() {
        const int byte = input_.peek();
        return byte < 0 || byte == '\n' || byte == '\r';
    }

    // Takes the end of the line: "\n", "\r\n" or the end of the file.
    void end_line() {
        if (input_.peek() == '\r') {
            input_.skip();
            if (input_.peek() != '\n') fail("a carriage return without a line feed");
        }
        if (input_.peek() < 0) return;
        if (input_.peek() != '\n') fail("expected the end of the line, found " + found());
        input_.skip();
    }

    bool at_blank() { return input_.peek() == ' ' || input_.peek() == '\t'; }

    void skip_blanks() {
        while (at_blank()) input_.skip();
    }

    std::uint32_t number(const char* what) {
        if (!is_digit(input_.peek()))
            fail(std::string("expected ") + what + ", found " + found());
        std::uint64_t value = 0;
        for (int byte = input_.peek(); is_digit(byte); byte = input_.peek()) {
            value = value * 10 + static_cast<std::uint64_t>(byte - '0');
            if (value > UINT32_MAX)
                fail(std::string(what) + " " + digits(value) + " is above the limit of 4294967295");
            input_.skip();
        }
        return static_cast<std::uint32_t>(value);
    }

    void expect(char byte, const char* after) {
        if (input_.peek() != byte)
            fail(std::string("expected '") + byte + "' after " + after + ", found " + found());
        input_.skip();
    }

    // The characters up to the next blank or line end, `most` at most.
    std::string word(std::size_t most) {
        std::string text;
        while (!at_line_end() && !at_blank() && text.size() < most) {
            text.push_back(static_cast<char>(input_.peek()));
            input_.skip();
        }
        return text;
    }

    [[noreturn]] void fail(const std::string& what) const {
        throw Error(name_ + ": line " + std::to_string(line_) + ": " + what);
    }

    std::string found() {
        const int byte = input_.peek();
        if (byte < 0) return "the end of the file";
        if (byte == '\n' || byte == '\r') return "the end of the line";
        char text[16];
        std::snprintf(text, sizeof text, byte > 32 && byte < 127 ? "'%c'" : "byte 0x%02x", byte);
        return text;
    }

  private:
    static bool is_digit(int byte) { return byte >= '0' && byte <= '9'; }

    // The number as it is written, as far as a message needs it.
    std::string digits(std::uint64_t begun) {
        std::string text = std::to_string(begun);
        input_.skip();
        for (; is_digit(input_.peek()) && text.size() < 24; input_.skip())
            text.push_back(static_cast<char>(input_.peek()));
        return is_digit(input_.peek()) ? text + "..." : text;
    }

    Input input_;
    const std::string& name_;
    std::uint64_t line_ = 0;
};

std::string quoted(const std::string& word) {
    std::string text = "'";
    for (const char byte : word.substr(0, 40)) text.push_back(byte >= 32 && byte < 127 ? byte : '?');
    return text + (word.size() > 40 ? "...'" : "'");
}

}  // namespace

Rows read_rows(Source& source, const std::string& name) {
    Text text(source, name);
    Rows rows;
    RepeatFinder repeats;
    while (text.next_line()) {
        text.skip_blanks();
        const std::uint32_t size = text.number("the number of entries");
        if (!text.at_blank() && !text.at_line_end())
            text.fail("expected a blank after the number of entries, found " + text.found());
        const std::size_t begin = rows.ids.size();
        for (text.skip_blanks(); !text.at_line_end(); text.skip_blanks()) {
            if (rows.ids.size() - begin == size)
                text.fail("more entries than the " + std::to_string(size) + " announced");
            rows.ids.push_back(text.number("an id"));
            text.expect(':', "an id");
            rows.counts.push_back(text.number("a frequency"));
            if (rows.counts.back() == 0)
                text.fail("id " + std::to_string(rows.ids.back()) +
                          " has frequency 0; it must be at least 1");
            if (!text.at_blank() && !text.at_line_end())
                text.fail("expected a blank after an entry, found " + text.found());
        }
        if (rows.ids.size() - begin != size)
            text.fail("announces " + std::to_string(size) + " entries and has " +
                      std::to_string(rows.ids.size() - begin));
        if (const auto* twice = repeats.find(rows.ids.data() + begin, size))
            text.fail("id " + std::to_string(*twice) + " is listed twice");
        text.end_line();
        rows.offsets.push_back(rows.ids.size());
    }
    return rows;
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
    constexpr std::size_t longest = 400;  // characters of a decimal number, generously
    Text text(source, name);
    std::vector<double> weights;
    while (text.next_line()) {
        text.skip_blanks();
        const std::string word = text.word(longest);
        double weight = 0;
        const char* end = word.data() + word.size();
        const auto [stop, error] = std::from_chars(word.data(), end, weight);
        if (word.empty() || stop != end || error == std::errc::invalid_argument)
            text.fail("expected a decimal number, found " +
                      (word.empty() ? text.found() : quoted(word)));
        const bool allowed = weight == 0 || (weight >= min_weight && weight <= max_weight);
        if (error != std::errc() || !allowed)
            text.fail("weight " + quoted(word) + " is neither 0 nor within [1e-30, 1e+30]");
        weights.push_back(weight);
        text.skip_blanks();
        text.end_line();
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
