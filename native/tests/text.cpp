#include "check.hpp"
#include "twin.hpp"

namespace {

smh::Rows parse(const std::string& text) {
    return smh::read_rows(*smh::memory_source(text.data(), text.size()), "t");
}

std::vector<double> weights(const std::string& text) {
    return smh::read_weights(*smh::memory_source(text.data(), text.size()), "t");
}

std::string printed(const smh::Rows& rows) {
    std::string text;
    smh::write_rows(*smh::memory_sink(text), rows);
    return text;
}

}  // namespace

TEST(rows_are_read) {
    const auto rows = parse("2 7:3 0:1\n0\n1 4294967295:4294967295\n");
    CHECK((rows.offsets == std::vector<std::uint64_t>{0, 2, 2, 3}));
    CHECK((rows.ids == twin::Items{7, 0, UINT32_MAX}));
    CHECK((rows.counts == twin::Items{3, 1, UINT32_MAX}));
    CHECK(parse("").size() == 0);
    CHECK(parse("0").size() == 1);
    CHECK(parse(" 1\t5:2  \r\n1 6:1").ids == (twin::Items{5, 6}));
}

TEST(rows_are_written_as_they_are_read) {
    const std::string text = "2 7:3 0:1\n0\n1 4294967295:4294967295\n";
    CHECK(printed(parse(text)) == text);
    CHECK(printed({}).empty());
}

TEST(wrong_rows_are_refused_with_line_and_value) {
    CHECK_THROWS("t: line 2: announces 2 entries and has 1", parse("0\n2 1:1\n"));
    CHECK_THROWS("t: line 1: more entries than the 1 announced", parse("1 1:1 2:2\n"));
    CHECK_THROWS("t: line 2: expected the number of entries, found the end of the line",
                 parse("0\n\n0\n"));
    CHECK_THROWS("t: line 1: expected the number of entries, found 'x'", parse("x 1:1\n"));
    CHECK_THROWS("t: line 1: expected the number of entries, found '-'", parse("-1\n"));
    CHECK_THROWS("expected ':' after an id, found the end of the line", parse("1 1\n"));
    CHECK_THROWS("expected ':' after an id, found '='", parse("1 1=2\n"));
    CHECK_THROWS("expected a frequency, found the end of the file", parse("1 1:"));
    CHECK_THROWS("expected an id, found ':'", parse("1 :1\n"));
    CHECK_THROWS("id 5 has frequency 0", parse("1 5:0\n"));
    CHECK_THROWS("line 1: id 5 is listed twice", parse("3 5:1 4:1 5:2\n"));
    CHECK_THROWS("an id 4294967296 is above the limit of 4294967295", parse("1 4294967296:1\n"));
    CHECK_THROWS("a frequency 99999999999999999999 is above", parse("1 1:99999999999999999999\n"));
    CHECK_THROWS("found byte 0x00", parse(std::string("1 1:1\0", 6)));
    CHECK_THROWS("carriage return without a line feed", parse("0\r0\n"));
    CHECK_THROWS("expected a blank after an entry, found ','", parse("2 1:1,2:1\n"));
    CHECK_THROWS("expected a blank after the number of entries, found ':'", parse("1:1\n"));
}

TEST(inverting_twice_gives_the_rows_in_order) {
    const auto rows = parse("2 7:3 0:1\n0\n2 0:9 2:4\n");
    const auto inverted = smh::invert(rows);
    CHECK(printed(inverted) == "2 0:1 2:9\n0\n1 2:4\n0\n0\n0\n0\n1 0:3\n");
    CHECK(printed(smh::invert(inverted)) == "2 0:1 7:3\n0\n2 0:9 2:4\n");
    CHECK_THROWS("row 0: id 7 would make an inverted file of 8 lines; the limit is 7",
                 smh::invert(rows, 7));
    CHECK_THROWS("the limit is 268435456", smh::invert(parse("1 4294967295:1\n")));
}

TEST(weights_are_inverse_frequency_or_inverse_size) {
    const auto corpus = parse("2 0:5 1:1\n1 0:1\n0\n");
    const auto inverted = smh::invert(corpus);
    const auto idf = smh::weigh(smh::Weighting::idf, corpus, inverted);
    CHECK(idf.size() == 2 && idf[0] > 0.405 && idf[0] < 0.406 && idf[1] > 1.098 && idf[1] < 1.099);
    CHECK((smh::weigh(smh::Weighting::ids, corpus, inverted) == std::vector<double>{0.5, 1, 1}));
    CHECK_THROWS("item 0 is in 2 documents of a corpus of 1",
                 smh::weigh(smh::Weighting::idf, parse("1 0:1\n"), inverted));
}

TEST(weights_are_read_as_written) {
    const std::vector<double> values{0.1, 1.0 / 3, 0, 1e-30, 1e30, 12345.678};
    std::string text;
    smh::write_weights(*smh::memory_sink(text), values);
    CHECK(weights(text) == values);
    CHECK((weights("1\r\n 2.5e-1 \n") == std::vector<double>{1, 0.25}));
    CHECK_THROWS("t: line 2: expected a decimal number, found 'abc'", weights("1\nabc\n"));
    CHECK_THROWS("t: line 1: expected a decimal number, found the end of the line", weights("\n"));
    CHECK_THROWS("expected a decimal number, found 'nan?'", weights("nan\x01\n"));
    CHECK_THROWS("weight '-1' is neither 0 nor within", weights("-1\n"));
    CHECK_THROWS("weight 'nan' is neither", weights("nan\n"));
    CHECK_THROWS("weight '1e-400' is neither", weights("1e-400\n"));
    CHECK_THROWS("expected the end of the line, found '2'", weights("1 2\n"));
}

TEST(long_files_are_read_in_blocks_by_any_number_of_threads) {
    std::string text;  // about 12 MB, one row of it longer than a block
    for (int row = 0; row < 60000; ++row) {
        text += std::to_string(row % 13);
        for (int id = 0; id < row % 13; ++id) text += " " + std::to_string(id * 7) + ":1";
        text += row % 2 == 0 ? "\n" : "\r\n";
    }
    text += "700000";
    for (int id = 0; id < 700000; ++id) text += " " + std::to_string(id) + ":2";
    text += "\n1 5:1\n";
    const auto expected = parse(text);
    CHECK(expected.size() == 60002 && expected.ids.back() == 5);
    CHECK(expected.offsets[60001] - expected.offsets[60000] == 700000);
    for (const unsigned threads : {2U, 3U}) {
        const auto found =
            smh::read_rows(*smh::memory_source(text.data(), text.size()), "t", false, threads);
        CHECK(found.offsets == expected.offsets && found.ids == expected.ids);
        CHECK(found.counts.empty());
    }
    const std::string bad = text + "1 1:1\n1 1:0\n";
    for (const unsigned threads : {1U, 3U})
        CHECK_THROWS("t: line 60004: id 1 has frequency 0",
                     smh::read_rows(*smh::memory_source(bad.data(), bad.size()), "t", false, threads));
}

TEST(a_source_may_give_one_byte_at_a_time) {
    class Dripping : public smh::Source {
      public:
        explicit Dripping(std::string text) : text_(std::move(text)) {}
        std::size_t read(char* buffer, std::size_t) override {
            if (at_ == text_.size()) return 0;
            *buffer = text_[at_++];
            return 1;
        }

      private:
        std::string text_;
        std::size_t at_ = 0;
    };
    Dripping source("2 7:3 0:1\n0\n1 5:5");
    CHECK(printed(smh::read_rows(source, "t")) == "2 7:3 0:1\n0\n1 5:5\n");
}
