/* Kernels that sort keys at one level: 32-bit and 64-bit signed integers (sort_kernel.inc), and what
 * turns each dtype into such keys and back (simd/sort_keys.c). */
#ifndef PB_SORT_KERNEL_H
#define PB_SORT_KERNEL_H

#include "isa.h"

/* Sorting of keys of one width.  Two arrays of n keys take turns: what is read from one goes to the
 * other, so that a pass streams and never asks which side has room. */
typedef struct pb_sorter {
    /* Keys up to a pivot to the front of `to`, the others behind them; returns how many are in front. */
    int64_t (*split)(int64_t n, const void *from, void *to);
    /* The keys are in a, or in b with `in_b`; in order, they end in a. */
    void (*sort)(int64_t n, void *a, void *b, int in_b);
} pb_sorter;

/* What a key does not tell: NaN has none, and equal zeros keep their order though keys differ. */
typedef struct pb_sort_found {
    int64_t nans, zeros; /* zeros: negative ones */
} pb_sort_found;

/* Keys of one dtype.  Steps count bytes; `flip` is 0, or -1 for a descending order. */
typedef struct pb_sort_type {
    int key_size;
    pb_sort_found (*keys)(int64_t n, const char *x, int64_t step, int64_t flip, void *keys);
    void (*values)(int64_t n, const void *keys, int64_t flip, char *out, int64_t step);
    /* NULL for integers.  Keys of numbers alone, and NaN as they come to `nans`. */
    void (*numbers)(int64_t n, const char *x, int64_t step, int64_t flip, void *keys, char *nans,
                    int64_t nan_step);
    /* Zeros as they come. */
    void (*zeros)(int64_t n, const char *x, int64_t step, char *out, int64_t out_step);
} pb_sort_type;

#endif
