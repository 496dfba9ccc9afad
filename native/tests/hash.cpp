#include <cmath>

#include "check.hpp"
#include "twin.hpp"

TEST(permutations_are_those_of_datasketch) {
    // MinHash(num_perm=3, seed=12345678, scheme="affine32").permutations of datasketch 2.0.0
    const auto drawn = smh::draw_permutations(12345678, 3);
    CHECK((drawn.factor == twin::Items{2111442279U, 2549141957U, 828315455U}));
    CHECK((drawn.summand == twin::Items{1376353668U, 1540998321U, 825546192U}));
}

TEST(fmix32_is_the_murmur_finaliser) {
    CHECK(smh::fmix32(0) == 0);
    CHECK(smh::fmix32(1) == 0x514E28B7U);
    CHECK(smh::fmix32(0xDEADBEEFU) == 0x0DE5C6A9U);
}

TEST(weighted_values_have_the_bits_of_their_numpy_twin) {
    const twin::Items values{0,          1,          12345,      2147483648U,
                             4294967294U, 4294967295U, 3037000499U, 3037000500U};
    const twin::Items of_one{0x41B17218U, 0x41ABE687U, 0x414C276AU, 0x3F317218U,
                              0x2F800000U, 0x00000000U, 0x3EB17218U, 0x3EB17218U};
    const twin::Items of_third{0x4293DF14U, 0x428F401BU, 0x422A20D8U, 0x4013DF14U,
                              0x30555555U, 0x00000000U, 0x3F93DF14U, 0x3F93DF14U};
    for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(twin::bits_of(smh::weighted_value(values[i], 1.0)) == of_one[i]);
        CHECK(twin::bits_of(smh::weighted_value(values[i], 0.3)) == of_third[i]);
    }
}

TEST(weighted_values_are_logarithms) {
    for (std::uint64_t value = 0; value < 1ULL << 32U; value += 9999991) {
        const double expected = -std::log((static_cast<double>(value) + 1) / 4294967296.0) / 0.7;
        const double found = smh::weighted_value(static_cast<std::uint32_t>(value), 0.7);
        CHECK(std::abs(found - expected) <= 1e-7 * expected);
    }
}

TEST(weighted_values_stay_finite_and_positive_at_the_bounds_of_weights) {
    CHECK(std::isfinite(smh::weighted_value(0, smh::min_weight)));
    CHECK(smh::weighted_value(UINT32_MAX - 1, smh::max_weight) > 0);
    CHECK(twin::bits_of(smh::weighted_value(UINT32_MAX, 1.0)) == 0);
}
