// Keys to uniform values, and these to exponential ones.
#include "hash.hpp"

#include <random>

namespace smh {

std::uint32_t fmix32(std::uint32_t key) noexcept { return mix(key); }

Permutations draw_permutations(std::uint32_t seed, std::size_t count) {
    // numpy.random.RandomState(seed) is MT19937 seeded by init_genrand, as std::mt19937 is; its
    // randint(0, 2**31) keeps the low 31 bits of a number, randint(0, 2**32) all of it.
    std::mt19937 generator(seed);
    Permutations drawn;
    drawn.factor.resize(count);
    drawn.summand.resize(count);
    for (auto& factor : drawn.factor)
        factor = static_cast<std::uint32_t>(generator()) << 1U | 1U;  // the shift drops the top bit
    for (auto& summand : drawn.summand) summand = static_cast<std::uint32_t>(generator());
    return drawn;
}

float weighted_value(std::uint32_t value, double weight) noexcept {
    return exponential(value, weight);
}

}  // namespace smh
