#include "check.hpp"
#include "kernels.hpp"
#include "twin.hpp"

namespace {

void check_equals_twin(const smh::Signatures& found, const smh::Documents& documents,
                       const smh::SketchOptions& options,
                       const std::vector<double>& weights = {}) {
    const auto expected = twin::sketch(documents, options, weights);
    CHECK(found.items.size() == expected.size());
    std::size_t row = 0;
    for (const auto& entry : expected) {
        CHECK(found.items[row] == entry.first);
        CHECK(std::equal(entry.second.begin(), entry.second.end(),
                         found.values.data() + row * found.width()));
        ++row;
    }
}

std::vector<double> some_weights(std::uint32_t seed, std::size_t count) {
    std::mt19937 random(seed);
    std::vector<double> made;
    while (made.size() < count) made.push_back(0.01 + static_cast<double>(random()) / 1e9);
    return made;
}

// Documents numbered 0, 1, ... as an inverted file.
smh::Rows inverted_of(const smh::Rows& corpus) { return smh::invert(corpus); }

}  // namespace

TEST(kernels_of_every_instruction_set_agree) {
    std::mt19937 random(1);
    const auto numbers = [&](std::size_t count) {
        twin::Items made(count);
        for (auto& number : made) number = static_cast<std::uint32_t>(random());
        return made;
    };
    const auto& all = smh::available_kernels();
    CHECK(std::string(all[0].name) == "plain");
    for (const std::size_t width : {1U, 7U, 8U, 15U, 16U, 17U, 31U, 64U, 100U, 193U}) {
        for (const std::size_t count : {0U, 1U, 2U, 50U}) {
            const auto factor = numbers(width), summand = numbers(width), mixed = numbers(count);
            const auto start = numbers(width);
            auto expected = start;
            for (std::size_t k = 0; k < width; ++k)
                for (const auto h : mixed)
                    expected[k] = std::min(expected[k], factor[k] * h + summand[k]);
            auto weighted = start;
            for (std::size_t k = 0; k < width; ++k)
                weighted[k] = std::min(weighted[k], twin::bits_of(smh::weighted_value(
                                                        factor[k] * 77U + summand[k], 0.37)));
            for (const auto& kernels : all) {
                auto found = start;
                kernels.minima(factor.data(), summand.data(), width, mixed.data(), count,
                               found.data());
                CHECK(found == expected);
                found = start;
                kernels.weighted(factor.data(), summand.data(), width, 77, 0.37, found.data());
                CHECK(found == weighted);
                found = start;
                kernels.fold(factor.data(), width, found.data());
                for (std::size_t k = 0; k < width; ++k)
                    CHECK(found[k] == std::min(start[k], factor[k]));
            }
        }
    }
}

TEST(one_document_gives_its_own_values) {
    smh::Documents documents;
    documents.rows.offsets = {0, 2};
    documents.rows.ids = {UINT32_MAX, 7};
    documents.keys = {5};
    smh::SketchOptions options;
    options.tuple_size = 1;
    options.tables = 2;
    const auto found = smh::sketch(documents, options);
    const auto drawn = smh::draw_permutations(options.seed, 2);
    CHECK((found.items == twin::Items{7, UINT32_MAX}));
    CHECK((found.documents == twin::Items{1, 1}));
    for (std::size_t k = 0; k < 2; ++k) {
        const std::uint32_t value = drawn.factor[k] * smh::fmix32(5) + drawn.summand[k];
        CHECK(found.values[k] == value && found.values[2 + k] == value);
    }
}

TEST(signatures_equal_their_twin_with_and_without_expansion) {
    for (std::uint32_t seed = 0; seed < 40; ++seed)
        for (const bool expand : {false, true}) {
            const auto documents = twin::corpus(seed, seed * 3, 31, expand);
            smh::SketchOptions options;
            options.tuple_size = 1 + seed % 4;
            options.tables = 1 + seed % 23;
            options.seed = seed;
            options.expand = expand;
            options.threads = 1 + seed % 3;
            check_equals_twin(smh::sketch(documents, options), documents, options);
        }
}

TEST(an_inverted_file_gives_what_its_numbered_documents_give) {
    for (std::uint32_t seed = 0; seed < 20; ++seed)
        for (const bool expand : {false, true}) {
            auto documents = twin::corpus(seed, 3 * seed, 31, true);
            const std::vector<double> weights =
                seed % 2 == 0 ? std::vector<double>{} : some_weights(seed, documents.keys.size());
            for (auto& id : documents.rows.ids) id %= 1009;  // the twin's ids are far apart
            for (std::size_t d = 0; d < documents.keys.size(); ++d)
                documents.keys[d] = static_cast<std::uint32_t>(d);
            smh::SketchOptions options;
            options.tables = 9;
            options.expand = expand;
            options.threads = 2;
            const auto found =
                smh::sketch(inverted_of(documents.rows), weights, options);
            check_equals_twin(found, documents, options, weights);
        }
}

TEST(a_document_of_weight_0_is_left_out) {
    smh::Rows inverted;  // item 0 in documents 0 and 1, item 1 in document 1 only
    inverted.offsets = {0, 2, 3};
    inverted.ids = {0, 1, 1};
    inverted.counts = {1, 1, 1};
    const auto found = smh::sketch(inverted, {2.0, 0.0}, {});
    CHECK((found.items == twin::Items{0}));
    CHECK((found.documents == twin::Items{1}));
}

TEST(counts_are_documents_and_occurrences) {
    smh::Documents documents;
    documents.rows.offsets = {0, 2, 3, 3};
    documents.rows.ids = {4, 9, 4};
    documents.rows.counts = {3, 1, 2};
    documents.keys = {1, 1, 2};  // equal keys are two documents all the same
    smh::SketchOptions options;
    options.expand = true;
    const auto expanded = smh::sketch(documents, options);
    CHECK((expanded.documents == twin::Items{2, 1}));
    CHECK((expanded.occurrences == std::vector<std::uint64_t>{5, 1}));
    options.expand = false;
    const auto plain = smh::sketch(documents, options);
    CHECK((plain.occurrences == std::vector<std::uint64_t>{2, 1}));
}

TEST(a_range_of_tables_has_the_columns_of_the_whole) {
    for (const bool expand : {false, true}) {
        const auto documents = twin::corpus(8, 40, 31, expand);
        smh::SketchOptions options;
        options.tuple_size = 2;
        options.tables = 9;
        options.expand = expand;
        const auto whole = smh::sketch(documents, options);
        options.table_begin = 3;
        options.table_end = 7;
        const auto range = smh::sketch(documents, options);
        CHECK(range.tables == 4 && range.items == whole.items);
        for (std::size_t row = 0; row < whole.items.size(); ++row)
            CHECK(std::equal(range.values.data() + row * 8, range.values.data() + row * 8 + 8,
                             whole.values.data() + row * 18 + 6));
        options.table_begin = 7;
        CHECK_THROWS("the range of tables is empty", smh::sketch(documents, options));
    }
}

TEST(merged_parts_are_the_whole) {
    const auto documents = twin::corpus(11, 50, 31, false);
    smh::SketchOptions options;
    options.tables = 7;
    std::vector<smh::Documents> cut(3);
    for (std::size_t d = 0; d < documents.rows.size(); ++d) {
        auto& part = cut[d * d % 3];  // some parts are larger; the third stays empty
        const auto begin = documents.rows.offsets[d], end = documents.rows.offsets[d + 1];
        part.keys.push_back(documents.keys[d]);
        for (auto p = begin; p < end; ++p) part.rows.ids.push_back(documents.rows.ids[p]);
        part.rows.offsets.push_back(part.rows.ids.size());
    }
    std::vector<smh::Signatures> parts;
    for (const auto& part : cut) parts.push_back(smh::sketch(part, options));
    const auto merged = smh::merge(parts);
    const auto whole = smh::sketch(documents, options);
    CHECK(merged.items == whole.items && merged.values == whole.values);
    CHECK(merged.documents == whole.documents && merged.occurrences == whole.occurrences);
}

TEST(counts_beyond_their_type_do_not_merge) {
    smh::Signatures one;
    one.items = {7};
    one.values = {0};
    one.documents = {1};
    one.occurrences = {1};
    smh::Signatures most = one;
    most.documents = {UINT32_MAX - 1};
    most.occurrences = {UINT64_MAX - 1};
    const auto full = smh::merge({most, one});
    CHECK(full.documents[0] == UINT32_MAX && full.occurrences[0] == UINT64_MAX);
    CHECK_THROWS("item 7 is in more than 2^32 - 1 documents", smh::merge({full, one}));
    most.documents = {1};
    most.occurrences = {UINT64_MAX};
    CHECK_THROWS("item 7 occurs more than 2^64 - 1 times", smh::merge({most, one}));
}

TEST(sketch_refuses_what_it_cannot_do) {
    smh::Documents documents;
    documents.rows.offsets = {0, 2};
    documents.rows.ids = {4, 4};
    documents.keys = {1};
    CHECK_THROWS("document 0, item 4 is listed twice", smh::sketch(documents, {}));
    documents.rows.ids = {4, 5};
    smh::SketchOptions options;
    options.expand = true;
    CHECK_THROWS("needs the frequencies", smh::sketch(documents, options));
    documents.rows.counts = {1, smh::max_expanded_frequency + 1};
    CHECK_THROWS("document 0, item 5 has frequency 1048577; with expansion the limit is 1048576",
                 smh::sketch(documents, options));
    documents.rows.counts = {0, 1};
    CHECK_THROWS("document 0, item 4 has frequency 0", smh::sketch(documents, options));
    options = {};
    options.tables = smh::max_permutations;
    CHECK_THROWS("more than the limit of 16777216", smh::sketch(documents, options));
    options = {};
    options.threads = 0;
    CHECK_THROWS("threads must be within 1..256, got 0", smh::sketch(documents, options));
    smh::Rows inverted;
    inverted.offsets = {0, 1};
    inverted.ids = {1};
    inverted.counts = {1};
    CHECK_THROWS("document 0: weight -1 is not within [1e-30, 1e+30]",
                 smh::sketch(inverted, {-1.0}, {}));
    CHECK_THROWS("item 0, document 1 has no weight: there are 1", smh::sketch(inverted, {1.0}, {}));
    smh::Signatures other;
    other.tables = 2;
    CHECK_THROWS("do not merge", smh::merge({smh::Signatures{}, other}));
    CHECK_THROWS("there are no signatures", smh::merge({}));
}

TEST(a_frequency_at_the_limit_is_expanded) {
    smh::Documents documents;
    documents.rows.offsets = {0, 1};
    documents.rows.ids = {4};
    documents.rows.counts = {smh::max_expanded_frequency};
    documents.keys = {1};
    smh::SketchOptions options;
    options.tuple_size = options.tables = 1;
    options.expand = true;
    check_equals_twin(smh::sketch(documents, options), documents, options);
}
