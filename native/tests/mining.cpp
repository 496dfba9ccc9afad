#include "check.hpp"
#include "twin.hpp"

namespace {

// One table of tuple size 1: an item's value is its place in the list.
smh::Signatures one_table(const twin::Items& values) {
    smh::Signatures made;
    for (std::size_t row = 0; row < values.size(); ++row)
        made.items.push_back(static_cast<std::uint32_t>(10 * row));
    made.values = values;
    made.documents.assign(values.size(), 1);
    made.occurrences.assign(values.size(), 1);
    return made;
}

smh::Sets sets_of(const std::vector<twin::Items>& lists, const twin::Items& multiplicities) {
    smh::Sets made;
    for (const auto& list : lists) {
        made.items.insert(made.items.end(), list.begin(), list.end());
        made.offsets.push_back(made.items.size());
    }
    made.multiplicities = multiplicities;
    return made;
}

smh::Signatures random_signatures(std::uint32_t seed, std::uint32_t items, std::uint32_t tuple_size,
                                  std::uint32_t tables, std::uint32_t range) {
    std::mt19937 random(seed);
    smh::Signatures made;
    made.tuple_size = tuple_size;
    made.tables = tables;
    for (std::uint32_t row = 0; row < items; ++row) {
        made.items.push_back(row * 3 + 1);
        made.documents.push_back(1);
        made.occurrences.push_back(1);
        for (std::size_t k = 0; k < made.width(); ++k)
            made.values.push_back(static_cast<std::uint32_t>(random() % range));
    }
    return made;
}

}  // namespace

TEST(items_with_equal_minima_form_a_set) {
    const auto sets = smh::mine(one_table({5, 8, 5, 9, 5, 8, 9, 9}), {});
    // items 0, 20, 40 share 5; 30, 60, 70 share 9; the two of 8 are too few
    CHECK((sets.items == twin::Items{0, 20, 40, 30, 60, 70}));
    CHECK((sets.offsets == std::vector<std::uint64_t>{0, 3, 6}));
    CHECK((sets.multiplicities == twin::Items{1, 1}));
}

TEST(equal_sets_of_several_tables_are_one_with_a_multiplicity) {
    smh::Signatures signatures = one_table({1, 1, 1, 1});
    signatures.tables = 3;
    signatures.values = {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 7, 3};  // item 30 differs in table 1
    const auto sets = smh::mine(signatures, {});
    CHECK((sets.items == twin::Items{0, 10, 20, 30, 0, 10, 20}));
    CHECK((sets.multiplicities == twin::Items{2, 1}));
    smh::MineOptions last;
    last.table_begin = 2;
    CHECK((smh::mine(signatures, last).multiplicities == twin::Items{1}));
}

TEST(mined_sets_equal_their_twin) {
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        const auto signatures =
            random_signatures(seed, seed * 7, 1 + seed % 5, 1 + seed % 13, 1 + seed % 4);
        smh::MineOptions options;
        options.min_set_size = 1 + seed % 4;
        options.threads = 1 + seed % 3;
        const auto sets = smh::mine(signatures, options);
        const auto expected = twin::mine(signatures, options.min_set_size);
        CHECK(sets.size() == expected.size());
        std::size_t set = 0;
        for (const auto& entry : expected) {
            const auto begin = static_cast<std::ptrdiff_t>(sets.offsets[set]);
            const auto end = static_cast<std::ptrdiff_t>(sets.offsets[set + 1]);
            CHECK(twin::Items(sets.items.begin() + begin, sets.items.begin() + end) ==
                  entry.first.second);
            CHECK(sets.multiplicities[set] == entry.second);
            ++set;
        }
    }
}

TEST(sets_that_overlap_are_linked_and_others_are_not) {
    const auto sets = sets_of({{1, 2, 3, 4}, {1, 2, 3}, {7, 8, 9}}, {1, 1, 1});
    const auto links = smh::cluster(sets, {});
    CHECK(links.size() == 1 && links[0].a == 0 && links[0].b == 1);
}

TEST(the_overlap_must_be_above_the_bound_not_at_it) {
    // sizes 4 and 4, 3 items in common: 0.75
    const auto sets = sets_of({{1, 2, 3, 4}, {1, 2, 3, 5}}, {1, 1});
    smh::ClusterOptions options;
    options.tuple_size = 1;
    options.overlap = 0.75;
    CHECK(smh::cluster(sets, options).empty());
    options.overlap = 0.7499999;
    CHECK(smh::cluster(sets, options).size() == 1);
}

TEST(clusters_equal_their_twin_for_any_threads_and_ranges) {
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
        const auto documents = twin::corpus(seed, 120, 31, false);
        smh::SketchOptions sketching;
        sketching.tuple_size = 2;
        sketching.tables = 60;
        smh::MineOptions mining;
        mining.min_set_size = 2;
        const auto sets = smh::mine(smh::sketch(documents, sketching), mining);
        CHECK(sets.size() > 20);
        smh::ClusterOptions options;
        options.tuple_size = 1 + seed % 3;
        options.tables = 41;
        options.overlap = 0.1 * (seed % 11);
        options.seed = seed;
        const auto links = smh::cluster(sets, options);
        const auto expected = twin::components(sets, options);
        CHECK(twin::components(sets, links) == expected);
        std::size_t joined = 0;
        for (std::size_t s = 0; s < sets.size(); ++s) joined += expected[s] != s;
        CHECK(links.size() == joined);  // a forest

        options.threads = 3;
        const auto threaded = smh::cluster(sets, options);
        CHECK(threaded.size() == links.size());
        for (std::size_t i = 0; i < links.size(); ++i)
            CHECK(threaded[i].a == links[i].a && threaded[i].b == links[i].b);

        std::vector<smh::Link> pieces;
        for (const std::uint32_t bound : {0U, 1U, 20U}) {
            options.table_begin = bound;
            options.table_end = bound == 0 ? 1 : bound == 1 ? 20 : 41;
            for (const auto link : smh::cluster(sets, options)) pieces.push_back(link);
        }
        CHECK(twin::components(sets, pieces) == expected);
    }
}

TEST(a_structure_is_the_union_of_its_sets) {
    const auto sets = sets_of({{1, 2, 3, 4}, {2, 3, 4}, {5, 6, 7}, {6, 7, 8}, {9, 10, 11}},
                              {1, 2, 1, 3, 2});
    const auto found = smh::model(sets, {{0, 1}, {2, 3}}, 3);
    // 4 sets hold 6 and 7, 3 sets hold 2, 3 and 4; {9, 10, 11} came twice only
    CHECK((found.sets == std::vector<std::uint64_t>{4, 3}));
    CHECK((found.structures.ids == twin::Items{6, 7, 8, 5, 2, 3, 4, 1}));
    CHECK((found.structures.counts == twin::Items{4, 4, 3, 1, 3, 3, 3, 1}));
    CHECK((found.structures.offsets == std::vector<std::uint64_t>{0, 4, 8}));
}

TEST(structures_are_ordered_by_sets_then_items_then_lists) {
    const auto sets =
        sets_of({{1, 2, 3, 4}, {2, 3, 9}, {2, 3, 11}, {5, 6, 7}}, {3, 3, 3, 4});
    const auto found = smh::model(sets, {}, 3);
    CHECK((found.structures.ids == twin::Items{5, 6, 7, 1, 2, 3, 4, 2, 3, 9, 2, 3, 11}));
}

TEST(structures_equal_their_twin) {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        smh::SketchOptions sketching;
        sketching.tuple_size = 2;
        sketching.tables = 80;
        const auto sets =
            smh::mine(smh::sketch(twin::corpus(seed, 150, 31, false), sketching), {});
        const auto links = smh::cluster(sets, {});
        const auto found = smh::model(sets, links, 3);
        auto expected = twin::structures(sets, twin::components(sets, links), 3);
        CHECK(found.structures.size() == expected.size() && !expected.empty());
        for (std::size_t s = 0; s < found.structures.size(); ++s) {
            std::map<std::uint32_t, std::uint32_t> counts;
            for (auto at = found.structures.offsets[s]; at < found.structures.offsets[s + 1]; ++at)
                counts[found.structures.ids[at]] = found.structures.counts[at];
            const auto match =
                std::find(expected.begin(), expected.end(), std::make_pair(found.sets[s], counts));
            CHECK(match != expected.end());
            expected.erase(match);
        }
    }
}

TEST(nothing_in_nothing_out) {
    const auto signatures = smh::sketch(smh::Documents{}, {});
    const auto sets = smh::mine(signatures, {});
    CHECK(sets.size() == 0);
    CHECK(smh::cluster(sets, {}).empty());
    CHECK(smh::model(sets, {}, 3).structures.size() == 0);
}

TEST(mining_refuses_what_it_cannot_do) {
    const auto signatures = one_table({1, 1, 1});
    smh::MineOptions mining;
    mining.table_end = 2;
    CHECK_THROWS("tables 0..2 are not a range within the 1", smh::mine(signatures, mining));
    mining = {};
    mining.min_set_size = 0;
    CHECK_THROWS("minimum set size must be at least 1", smh::mine(signatures, mining));
    smh::ClusterOptions clustering;
    clustering.overlap = 1.5;
    CHECK_THROWS("overlap must be within 0..1", smh::cluster({}, clustering));
    clustering = {};
    clustering.tables = 0;
    CHECK_THROWS("number of tables must be at least 1", smh::cluster({}, clustering));
    CHECK_THROWS("sets are not ordered by size at set 1",
                 smh::cluster(sets_of({{1, 2}, {1, 2, 3}}, {1, 1}), {}));
    CHECK_THROWS("link 0 3 is beyond the 1 sets", smh::model(sets_of({{1}}, {1}), {{0, 3}}, 3));
    CHECK_THROWS("more than 2^32 - 1 sets",
                 smh::model(sets_of({{1, 2}, {1}}, {UINT32_MAX, 1}), {{0, 1}}, 3));
}
