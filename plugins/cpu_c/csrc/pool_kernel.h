/* Kernels that combine windows, of one dtype at one level (simd/window.inc). */
#ifndef PB_POOL_KERNEL_H
#define PB_POOL_KERNEL_H

#include "isa.h"

/* Elements x[k * step], k < n, under one tap of n windows. */
struct pb_pooling {
    /* best[k] and place[k] (int32 or int64, as wide as the elements): `tap` where the element is the
     * first or larger, NaN being the largest; place -1 before the first. */
    void (*max)(int64_t n, const void *x, int64_t step, int64_t tap, void *best, void *place);
    void (*add)(int64_t n, const void *x, int64_t step, void *sum);
};

#endif
