// The inner loops, compiled for several instruction sets; the best one is chosen at run time.
#ifndef SMH_KERNELS_HPP
#define SMH_KERNELS_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

namespace smh {

struct Kernels {
    const char* name;

    // out[k] = min(out[k], min over i of factor[k] * mixed[i] + summand[k]), k < width.
    void (*minima)(const std::uint32_t* factor, const std::uint32_t* summand, std::size_t width,
                   const std::uint32_t* mixed, std::size_t count, std::uint32_t* out);

    // out[k] = min(out[k], bits of the weighted value of factor[k] * mixed + summand[k]), k < width.
    void (*weighted)(const std::uint32_t* factor, const std::uint32_t* summand, std::size_t width,
                     std::uint32_t mixed, double weight, std::uint32_t* out);

    // out[k] = min(out[k], values[k]), k < width.
    void (*fold)(const std::uint32_t* values, std::size_t width, std::uint32_t* out);
};

// Those this processor can run, the plainest first.
const std::vector<Kernels>& available_kernels();

// The best of them.
const Kernels& kernels();

}  // namespace smh

#endif
