#include "check.hpp"
#include "twin.hpp"

namespace {

template <class Read>
auto from(const std::string& bytes, Read&& read) {
    return read(*smh::memory_source(bytes.data(), bytes.size()));
}

std::string u32(std::initializer_list<std::uint32_t> numbers) {
    std::string bytes;
    for (const auto number : numbers)
        bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
    return bytes;
}

const auto documents_of = [](smh::Source& source) {
    return smh::read_documents(source, "t", false);
};
const auto expanded_of = [](smh::Source& source) {
    return smh::read_documents(source, "t", true);
};
const auto signatures_of = [](smh::Source& source) { return smh::read_signatures(source, "t"); };
const auto sets_of = [](smh::Source& source) { return smh::read_sets(source, "t"); };
const auto links_of = [](smh::Source& source) { return smh::read_links(source, "t"); };
const auto word_links_of = [](smh::Source& source) { return smh::read_word_links(source, "t"); };
const auto groups_of = [](smh::Source& source) { return smh::read_word_groups(source, "t"); };

// Every shorter stream is either whole records or an error that names where it ends.
template <class Read>
void check_truncations(const std::string& bytes, const std::vector<std::size_t>& whole,
                       Read&& read) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const std::string part = bytes.substr(0, size);
        if (std::find(whole.begin(), whole.end(), size) != whole.end())
            from(part, read);
        else
            CHECK_THROWS("byte " + std::to_string(size) + ": the stream ends within",
                         from(part, read));
    }
}

}  // namespace

TEST(documents_come_back) {
    for (const bool expand : {false, true}) {
        const auto documents = twin::corpus(5, 30, 31, expand);
        std::string bytes;
        smh::write_documents(*smh::memory_sink(bytes), documents);
        const auto back = expand ? from(bytes, expanded_of) : from(bytes, documents_of);
        CHECK(back.keys == documents.keys);
        CHECK(back.rows.offsets == documents.rows.offsets && back.rows.ids == documents.rows.ids);
        CHECK(back.rows.counts == documents.rows.counts);
    }
}

TEST(documents_have_the_documented_bytes) {
    const auto documents = from(u32({9, 2, 5, 4, 8, 0}), documents_of);
    CHECK((documents.keys == twin::Items{9, 8}));
    CHECK((documents.rows.ids == twin::Items{5, 4}));
    check_truncations(u32({9, 2, 5, 4, 8, 0}), {0, 16}, documents_of);
}

TEST(wrong_documents_are_refused) {
    CHECK_THROWS("t: byte 0: document 0 lists item 5 twice",
                 from(u32({9, 3, 5, 4, 5}), documents_of));
    CHECK_THROWS("byte 12: frequency 0 of item 5 in document 0 is not within 1..1048576",
                 from(u32({9, 1, 5, 0}), expanded_of));
    CHECK_THROWS("byte 12: frequency 1048577 of item 5",
                 from(u32({9, 1, 5, 1048577}), expanded_of));
    // an announced size of 4 billion reserves nothing
    CHECK_THROWS("byte 12: the stream ends within a document's items",
                 from(u32({9, UINT32_MAX, 5}), documents_of));
}

TEST(signatures_come_back_whole_and_by_tables) {
    smh::SketchOptions options;
    options.tuple_size = 2;
    options.tables = 5;
    const auto signatures = smh::sketch(twin::corpus(6, 40, 31, false), options);
    std::string bytes;
    smh::write_signatures(*smh::memory_sink(bytes), signatures);
    CHECK(bytes.size() == 20 + signatures.items.size() * (16 + 4 * 10));
    const auto back = from(bytes, signatures_of);
    CHECK(back.items == signatures.items);
    CHECK(back.values == signatures.values && back.documents == signatures.documents);
    const auto some = from(bytes, [](smh::Source& source) {
        return smh::read_signatures(source, "t", 1, 3);
    });
    CHECK(some.tables == 2 && some.items == signatures.items);
    for (std::size_t row = 0; row < some.items.size(); ++row)
        CHECK(std::equal(some.values.data() + row * 4, some.values.data() + row * 4 + 4,
                         signatures.values.data() + row * 10 + 2));
}

TEST(wrong_signatures_are_refused) {
    const std::string head = "SMHS" + u32({1, 0, 1, 1});
    const std::string row = u32({7, 1, 1, 0, 99});
    CHECK(from(head + row, signatures_of).items.size() == 1);
    check_truncations(head + row, {20}, signatures_of);
    CHECK_THROWS("byte 21: the stream ends within a row's item", from(head + "x", signatures_of));
    CHECK_THROWS("byte 0: not a SMHS stream", from("SMHC" + u32({1}), signatures_of));
    CHECK_THROWS("byte 4: SMHS version 2", from("SMHS" + u32({2, 0, 1, 1}), signatures_of));
    CHECK_THROWS("byte 8: unknown kind of minima 1", from("SMHS" + u32({1, 1, 1, 1}), signatures_of));
    CHECK_THROWS("byte 12: header: the tuple size must be at least 1",
                 from("SMHS" + u32({1, 0, 0, 1}), signatures_of));
    CHECK_THROWS("more than the limit", from("SMHS" + u32({1, 0, 65536, 65536}), signatures_of));
    CHECK_THROWS("byte 40: item 7 after item 7; items must ascend",
                 from(head + row + row, signatures_of));
    CHECK_THROWS("byte 24: item 7 has 2 documents and 1 occurrences",
                 from(head + u32({7, 2, 1, 0, 99}), signatures_of));
}

TEST(streams_merge_like_signatures) {
    smh::SketchOptions options;
    options.tables = 3;
    std::vector<smh::Signatures> parts;
    std::vector<std::string> bytes(3);
    for (std::uint32_t part = 0; part < 3; ++part) {
        parts.push_back(smh::sketch(twin::corpus(part, part * 20, 31, false), options));
        smh::write_signatures(*smh::memory_sink(bytes[part]), parts.back());
    }
    std::vector<std::unique_ptr<smh::Source>> sources;
    for (const auto& stream : bytes)
        sources.push_back(smh::memory_source(stream.data(), stream.size()));
    std::string merged, expected;
    smh::merge_streams(sources, {"a", "b", "c"}, *smh::memory_sink(merged));
    smh::write_signatures(*smh::memory_sink(expected), smh::merge(parts));
    CHECK(merged == expected);

    const std::string other = "SMHS" + u32({1, 0, 3, 4});
    sources.clear();
    sources.push_back(smh::memory_source(bytes[1].data(), bytes[1].size()));
    sources.push_back(smh::memory_source(other.data(), other.size()));
    CHECK_THROWS("b: tuple size or number of tables differ from a",
                 (smh::merge_streams(sources, {"a", "b"}, *smh::memory_sink(merged)), 0));
}

TEST(sets_come_back_and_must_be_canonical) {
    const std::string head = "SMHC" + u32({1});
    const std::string two = u32({2, 3, 1, 2, 9, 1, 2, 4, 5});
    const auto sets = from(head + two, sets_of);
    CHECK((sets.multiplicities == twin::Items{2, 1}) && sets.items.size() == 5);
    std::string bytes;
    smh::write_sets(*smh::memory_sink(bytes), sets);
    CHECK(bytes == head + two);
    check_truncations(bytes, {8, 28}, sets_of);
    CHECK_THROWS("byte 8: set 0 was found in no table", from(head + u32({0, 1, 1}), sets_of));
    CHECK_THROWS("byte 8: set 0 is empty", from(head + u32({1, 0}), sets_of));
    CHECK_THROWS("set 0 has items that do not ascend", from(head + u32({1, 2, 5, 5}), sets_of));
    CHECK_THROWS("byte 20: set 1 is larger", from(head + u32({1, 1, 5, 1, 2, 6, 7}), sets_of));
    CHECK_THROWS("byte 20: set 1 does not come after",
                 from(head + u32({1, 1, 5, 1, 1, 5}), sets_of));
}

TEST(links_come_back) {
    const std::string bytes = "SMHL" + u32({1, 0, 1, 1, 7});
    const auto links = from(bytes, links_of);
    CHECK(links.size() == 2 && links[1].a == 1 && links[1].b == 7);
    std::string again;
    smh::write_links(*smh::memory_sink(again), links);
    CHECK(again == bytes);
    check_truncations(bytes, {8, 16}, links_of);
    CHECK_THROWS("byte 8: link 3 3 does not ascend", from("SMHL" + u32({1, 3, 3}), links_of));
}

TEST(word_links_come_back_and_must_ascend) {
    const std::string head = "SMHW" + u32({1});
    const std::string two = u32({0, 7, 5, 1, 0, UINT32_MAX, smh::max_strength, 0});
    const auto links = from(head + two, word_links_of);
    CHECK((links.first == twin::Items{0, 0}) && (links.second == twin::Items{7, UINT32_MAX}));
    CHECK((links.strength == twin::Items{5, smh::max_strength}));
    CHECK((links.strong == std::vector<std::uint8_t>{1, 0}));
    std::string bytes;
    smh::write_word_links(*smh::memory_sink(bytes), links);
    CHECK(bytes == head + two);
    check_truncations(bytes, {8, 24}, word_links_of);
    CHECK_THROWS("byte 8: link 3 3 does not ascend", from(head + u32({3, 3, 1, 1}), word_links_of));
    CHECK_THROWS("byte 24: link 0 7 does not come after the one before it",
                 from(head + u32({0, 7, 5, 1, 0, 7, 5, 1}), word_links_of));
    CHECK_THROWS("byte 8: link 0 7 has strength 1048577; the limit is 1048576",
                 from(head + u32({0, 7, smh::max_strength + 1, 1}), word_links_of));
    CHECK_THROWS("byte 8: link 0 7 is strong 2, neither 0 nor 1",
                 from(head + u32({0, 7, 5, 2}), word_links_of));
}

TEST(groups_of_words_come_back) {
    const std::string bytes = "SMHG" + u32({1, 2, 4, 5, 0, 1, 9});
    const auto groups = from(bytes, groups_of);
    CHECK((groups.words == twin::Items{4, 5, 9}) && groups.size() == 3);
    std::string again;
    smh::write_word_groups(*smh::memory_sink(again), groups);
    CHECK(again == bytes);
    check_truncations(bytes, {8, 20, 24}, groups_of);
    CHECK_THROWS("byte 8: group 0 has words that do not ascend",
                 from("SMHG" + u32({1, 2, 5, 5}), groups_of));
}
