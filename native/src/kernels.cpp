#include "kernels.hpp"

#include <algorithm>
#include <cstring>

#include "hash.hpp"

#if defined(__x86_64__)
#define SMH_X86 1
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the deliberately undefined operand inside its own AVX-512 header for a mistake here
// (bug 105593)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace smh {
namespace {

// Written once as plain loops over a fixed number of lanes. Compilers turn them into vector
// instructions of whatever target the enclosing function has (SSE2, NEON, AVX2 ...).

template <std::size_t Lanes>
SMH_INLINE void minima_block(const std::uint32_t* factor, const std::uint32_t* summand,
                             const std::uint32_t* mixed, std::size_t count, std::uint32_t* out) {
    std::uint32_t a[Lanes], b[Lanes], best[Lanes];
    for (std::size_t k = 0; k < Lanes; ++k) {
        a[k] = factor[k];
        b[k] = summand[k];
        best[k] = out[k];
    }
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t k = 0; k < Lanes; ++k) best[k] = std::min(best[k], a[k] * mixed[i] + b[k]);
    for (std::size_t k = 0; k < Lanes; ++k) out[k] = best[k];
}

template <std::size_t Lanes>
SMH_INLINE void minima_loop(const std::uint32_t* factor, const std::uint32_t* summand,
                            std::size_t width, const std::uint32_t* mixed, std::size_t count,
                            std::uint32_t* out) {
    std::size_t k = 0;
    for (; k + Lanes <= width; k += Lanes)
        minima_block<Lanes>(factor + k, summand + k, mixed, count, out + k);
    for (; k < width; ++k) minima_block<1>(factor + k, summand + k, mixed, count, out + k);
}

SMH_INLINE void weighted_loop(const std::uint32_t* factor, const std::uint32_t* summand,
                              std::size_t width, std::uint32_t mixed, double weight,
                              std::uint32_t* out) {
    for (std::size_t k = 0; k < width; ++k) {
        const float value = exponential(factor[k] * mixed + summand[k], weight);
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        out[k] = std::min(out[k], bits);
    }
}

SMH_INLINE void fold_loop(const std::uint32_t* values, std::size_t width, std::uint32_t* out) {
    for (std::size_t k = 0; k < width; ++k) out[k] = std::min(out[k], values[k]);
}

#define SMH_MINIMA_ARGUMENTS                                                                \
    const std::uint32_t *factor, const std::uint32_t *summand, std::size_t width,           \
        const std::uint32_t *mixed, std::size_t count, std::uint32_t *out
#define SMH_WEIGHTED_ARGUMENTS                                                              \
    const std::uint32_t *factor, const std::uint32_t *summand, std::size_t width,           \
        std::uint32_t mixed, double weight, std::uint32_t *out
#define SMH_FOLD_ARGUMENTS const std::uint32_t *values, std::size_t width, std::uint32_t *out

void minima_plain(SMH_MINIMA_ARGUMENTS) {
    minima_loop<16>(factor, summand, width, mixed, count, out);
}
void weighted_plain(SMH_WEIGHTED_ARGUMENTS) {
    weighted_loop(factor, summand, width, mixed, weight, out);
}
void fold_plain(SMH_FOLD_ARGUMENTS) { fold_loop(values, width, out); }

#ifdef SMH_X86

#define SMH_AVX2 __attribute__((target("avx2")))
#define SMH_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

// The loops over documents are written with intrinsics: how many registers hold factors, summands
// and minima decides the speed, and compilers spill them otherwise.

template <std::size_t Vectors>
SMH_AVX2 SMH_INLINE void minima_avx2_block(const std::uint32_t* factor,
                                           const std::uint32_t* summand,
                                           const std::uint32_t* mixed, std::size_t count,
                                           std::uint32_t* out) {
    __m256i a[Vectors], b[Vectors], best[Vectors];
    for (std::size_t k = 0; k < Vectors; ++k) {
        a[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(factor + 8 * k));
        b[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(summand + 8 * k));
        best[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(out + 8 * k));
    }
    for (std::size_t i = 0; i < count; ++i) {
        const __m256i h = _mm256_set1_epi32(static_cast<int>(mixed[i]));
        for (std::size_t k = 0; k < Vectors; ++k)
            best[k] = _mm256_min_epu32(best[k],
                                       _mm256_add_epi32(_mm256_mullo_epi32(a[k], h), b[k]));
    }
    for (std::size_t k = 0; k < Vectors; ++k)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * k), best[k]);
}

SMH_AVX2 void minima_avx2(SMH_MINIMA_ARGUMENTS) {
    std::size_t k = 0;
    for (; k + 32 <= width; k += 32)
        minima_avx2_block<4>(factor + k, summand + k, mixed, count, out + k);
    for (; k + 8 <= width; k += 8)
        minima_avx2_block<1>(factor + k, summand + k, mixed, count, out + k);
    for (; k < width; ++k) minima_block<1>(factor + k, summand + k, mixed, count, out + k);
}
SMH_AVX2 void weighted_avx2(SMH_WEIGHTED_ARGUMENTS) {
    weighted_loop(factor, summand, width, mixed, weight, out);
}
SMH_AVX2 void fold_avx2(SMH_FOLD_ARGUMENTS) { fold_loop(values, width, out); }

template <std::size_t Vectors>
SMH_AVX512 SMH_INLINE void minima_avx512_block(const std::uint32_t* factor,
                                               const std::uint32_t* summand,
                                               const std::uint32_t* mixed, std::size_t count,
                                               std::uint32_t* out) {
    __m512i a[Vectors], b[Vectors], best[Vectors];
    for (std::size_t k = 0; k < Vectors; ++k) {
        a[k] = _mm512_loadu_si512(factor + 16 * k);
        b[k] = _mm512_loadu_si512(summand + 16 * k);
        best[k] = _mm512_loadu_si512(out + 16 * k);
    }
    for (std::size_t i = 0; i < count; ++i) {
        const __m512i h = _mm512_set1_epi32(static_cast<int>(mixed[i]));
        for (std::size_t k = 0; k < Vectors; ++k)
            best[k] = _mm512_min_epu32(best[k],
                                       _mm512_add_epi32(_mm512_mullo_epi32(a[k], h), b[k]));
    }
    for (std::size_t k = 0; k < Vectors; ++k) _mm512_storeu_si512(out + 16 * k, best[k]);
}

SMH_AVX512 SMH_INLINE void minima_avx512_tail(const std::uint32_t* factor,
                                              const std::uint32_t* summand, __mmask16 lanes,
                                              const std::uint32_t* mixed, std::size_t count,
                                              std::uint32_t* out) {
    const __m512i a = _mm512_maskz_loadu_epi32(lanes, factor);
    const __m512i b = _mm512_maskz_loadu_epi32(lanes, summand);
    __m512i best = _mm512_maskz_loadu_epi32(lanes, out);
    for (std::size_t i = 0; i < count; ++i)
        best = _mm512_min_epu32(
            best, _mm512_add_epi32(
                      _mm512_mullo_epi32(a, _mm512_set1_epi32(static_cast<int>(mixed[i]))), b));
    _mm512_mask_storeu_epi32(out, lanes, best);
}

SMH_AVX512 void minima_avx512(SMH_MINIMA_ARGUMENTS) {
    std::size_t k = 0;
    for (; k + 64 <= width; k += 64)
        minima_avx512_block<4>(factor + k, summand + k, mixed, count, out + k);
    for (; k + 16 <= width; k += 16)
        minima_avx512_block<1>(factor + k, summand + k, mixed, count, out + k);
    if (k < width)
        minima_avx512_tail(factor + k, summand + k,
                           static_cast<__mmask16>((1U << (width - k)) - 1U), mixed, count, out + k);
}
SMH_AVX512 void weighted_avx512(SMH_WEIGHTED_ARGUMENTS) {
    weighted_loop(factor, summand, width, mixed, weight, out);
}
SMH_AVX512 void fold_avx512(SMH_FOLD_ARGUMENTS) { fold_loop(values, width, out); }

#endif

}  // namespace

const std::vector<Kernels>& available_kernels() {
    static const std::vector<Kernels> list = [] {
        std::vector<Kernels> found{{"plain", minima_plain, weighted_plain, fold_plain}};
#ifdef SMH_X86
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2"))
            found.push_back({"avx2", minima_avx2, weighted_avx2, fold_avx2});
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            found.push_back({"avx512", minima_avx512, weighted_avx512, fold_avx512});
#endif
        return found;
    }();
    return list;
}

const Kernels& kernels() {
    static const Kernels& best = available_kernels().back();
    return best;
}

}  // namespace smh
