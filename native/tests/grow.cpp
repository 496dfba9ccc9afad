#include "check.hpp"
#include "twin.hpp"

namespace {

smh::WordLinks links_of(const std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t>& all,
                        std::uint32_t strong_above = 0) {
    smh::WordLinks links;
    for (const auto& [pair, strength] : all) {
        links.first.push_back(pair.first);
        links.second.push_back(pair.second);
        links.strength.push_back(strength);
        links.strong.push_back(strength >= strong_above ? 1 : 0);
    }
    return links;
}

std::vector<twin::Items> listed(const smh::WordGroups& groups) {
    std::vector<twin::Items> found;
    for (std::size_t g = 0; g < groups.size(); ++g)
        found.emplace_back(
            groups.words.begin() + static_cast<std::ptrdiff_t>(groups.offsets[g]),
            groups.words.begin() + static_cast<std::ptrdiff_t>(groups.offsets[g + 1]));
    return found;
}

// Overlapping groups of words, and links between any.
smh::WordLinks random_links(std::uint32_t seed, std::uint32_t words, std::uint32_t most) {
    std::mt19937 random(seed);
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> all;
    const std::uint32_t noise = 2 + static_cast<std::uint32_t>(random() % 30);
    for (std::uint32_t a = 0; a < words; ++a)
        for (std::uint32_t b = a + 1; b < words; ++b)
            if (random() % noise == 0 || (a / 7 == b / 7 && random() % 4 != 0))
                all[{a * 3, b * 3}] = static_cast<std::uint32_t>(random() % most);
    return links_of(all, most / 3);
}

}  // namespace

TEST(a_word_may_be_in_two_groups) {
    const auto links = links_of({{{1, 2}, 9}, {{1, 3}, 9}, {{2, 3}, 9},
                                 {{3, 4}, 5}, {{3, 5}, 5}, {{4, 5}, 5}});
    CHECK((listed(smh::grow(links, {})) == std::vector<twin::Items>{{1, 2, 3}, {3, 4, 5}}));
    CHECK(smh::grow({}, {}).size() == 0);
    CHECK(smh::grow(links_of({{{1, 2}, 9}, {{2, 3}, 9}, {{3, 4}, 9}}), {}).size() == 0);
}

TEST(groups_are_those_of_the_twin_with_any_threads) {
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        const auto links = random_links(seed, 8 + seed, seed % 3 == 0 ? 3 : 1000);
        smh::GrowOptions options;
        options.density = std::vector<double>{0.0, 0.3, 0.5, 0.8, 1.0}[seed % 5];
        options.max_similarity = std::vector<double>{0.1, 0.5, 1.0}[seed % 3];
        options.min_size = 3 + seed % 2;
        const auto wanted = twin::grow(links, options);
        for (unsigned threads = 1; threads <= 4; ++threads) {
            options.threads = threads;
            CHECK(listed(smh::grow(links, options)) == wanted);
        }
    }
}

TEST(progress_goes_from_the_first_start_up) {
    smh::GrowOptions options;
    const auto links = random_links(3, 40, 1000);
    const auto starts = static_cast<std::size_t>(
        std::count(links.strong.begin(), links.strong.end(), std::uint8_t{1}));
    for (options.threads = 1; options.threads <= 3; ++options.threads) {
        std::vector<std::size_t> told;
        options.progress = [&](std::size_t done, std::size_t all) {
            CHECK(all == starts);
            told.push_back(done);
        };
        smh::grow(links, options);
        CHECK(told.size() > 1 && told.front() == 0 && told.back() < starts);
        CHECK(std::is_sorted(told.begin(), told.end()));
    }
}

TEST(what_progress_throws_ends_all_threads) {
    smh::GrowOptions options;
    options.threads = 4;
    options.progress = [](std::size_t done, std::size_t) {
        if (done > 20) throw smh::Error("enough");
    };
    CHECK_THROWS("enough", smh::grow(random_links(3, 60, 1000), options));
}

TEST(wrong_growth_is_refused) {
    smh::GrowOptions options;
    options.density = 1.5;
    CHECK_THROWS("grow: the density must be within 0..1", smh::grow({}, options));
    options = {};
    options.min_size = 2;
    CHECK_THROWS("grow: the minimum size must be at least 3", smh::grow({}, options));
    options = {};
    options.max_similarity = 0;
    CHECK_THROWS("grow: the maximum similarity must be above 0", smh::grow({}, options));
    options = {};
    options.threads = 0;
    CHECK_THROWS("threads must be within 1..256", smh::grow({}, options));
    smh::WordLinks many;
    for (std::uint32_t n = 0; n <= smh::max_linked_words / 2; ++n) {
        many.first.push_back(2 * n);
        many.second.push_back(2 * n + 1);
    }
    many.strength.assign(many.first.size(), 1);
    many.strong.assign(many.first.size(), 0);
    CHECK_THROWS("grow: 1048578 words are linked; the limit is 1048576", smh::grow(many, {}));
}
