/* The kernels of one reduction on one dtype at one level (simd/fold.inc). */
#ifndef PB_REDUCE_KERNEL_H
#define PB_REDUCE_KERNEL_H

#include "isa.h"

struct pb_reduce {
    /* n >= 1 dense elements to one value. */
    void (*fold)(int64_t n, const void *x, void *out);
    /* acc[j] = the identity, or x[j] where there is none (combining x[j] twice changes nothing). */
    void (*begin)(int64_t width, const void *x, void *acc);
    /* acc[j] combined with x[i * row + j] for i < rows, j < width. */
    void (*columns)(int64_t rows, int64_t width, const void *x, int64_t row, void *acc);
};

#endif
