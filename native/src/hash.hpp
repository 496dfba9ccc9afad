// The arithmetic of hashing, inline for the kernels.
#ifndef SMH_HASH_HPP
#define SMH_HASH_HPP

#include <cstdint>
#include <cstring>

#include "smh.hpp"

namespace smh {

// Must be inlined into kernels that are compiled for other instruction sets.
#define SMH_INLINE inline __attribute__((always_inline))

SMH_INLINE std::uint32_t mix(std::uint32_t key) noexcept {
    key ^= key >> 16U;
    key *= 0x85EBCA6BU;
    key ^= key >> 13U;
    key *= 0xC2B2AE35U;
    key ^= key >> 16U;
    return key;
}

// -ln((value + 1) / 2^32) / weight. The logarithms of C libraries differ in the last bit; this one
// is + - * / in a fixed order without contraction, so it has the same bits as its NumPy twin:
//   value + 1 = m * 2^e with m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1), z = s * s;
//   p = 1/21; for d = 19, 17, ..., 3, 1: p = p * z + 1/d;
//   ln = (e - 32) * LN2 + (2 * s) * p        (series of artanh, truncated below 2e-17)
// and 0 - ln makes +0.0, never -0.0, of the largest value: bit patterns compare like the numbers.
SMH_INLINE float exponential(std::uint32_t value, double weight) noexcept {
    constexpr double sqrt_half = 0.7071067811865476;
    constexpr double ln2 = 0.6931471805599453;
    const double x = static_cast<double>(value) + 1.0;
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    auto exponent = static_cast<std::int32_t>(bits >> 52U) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFFULL) | 0x3FE0000000000000ULL;
    double m;
    std::memcpy(&m, &bits, sizeof m);
    const bool low = m < sqrt_half;
    m = low ? m * 2.0 : m;
    exponent = (low ? exponent - 1 : exponent) - 32;
    const double s = (m - 1.0) / (m + 1.0);
    const double z = s * s;
    double p = 1.0 / 21.0;
    p = p * z + 1.0 / 19.0;
    p = p * z + 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    p = p * z + 1.0;
    const double logarithm = static_cast<double>(exponent) * ln2 + (2.0 * s) * p;
    return static_cast<float>((0.0 - logarithm) / weight);
}

}  // namespace smh

#endif
