/* The kernels of one reduction on one dtype at one level (simd/reduction.inc). */
#ifndef PB_REDUCE_KERNEL_H
#define PB_REDUCE_KERNEL_H

#include "isa.h"

/* Running sum, product, minimum or maximum.  The state of `width` lanes is two arrays of accumulators;
 * `out` NULL: only the state moves on. */
typedef struct pb_scan {
    int state;  /* bytes per lane */
    int splits; /* a lane may be cut and the parts' states joined: not floating-point products, whose
                 * parts may overflow where the running product does not */
    /* Nothing combined yet; x[j] is the first element of lane j. */
    void (*begin)(int64_t width, const void *x, void *state);
    /* n contiguous elements of one lane. */
    void (*lane)(int64_t n, const void *x, void *out, void *state);
    /* Lane j has the elements x[i * row + j]. */
    void (*columns)(int64_t rows, int64_t width, const void *x, int64_t row, void *out,
                    int64_t out_row, void *state);
    /* The states of the same lanes further on. */
    void (*join)(int64_t width, const void *later, void *state);
} pb_scan;

/* The first extreme: value[j] and index[j] are the best so far, index -1 before the first element;
 * x starts at element `first` of its lane. */
typedef struct pb_place {
    void (*lane)(int64_t n, const void *x, int64_t first, void *value, int64_t *index);
    /* width <= PLACE_WIDTH; value[j] must be set. */
    void (*columns)(int64_t rows, int64_t width, const void *x, int64_t row, int64_t first,
                    void *value, int64_t *index);
} pb_place;

enum { PLACE_WIDTH = 256 };

struct pb_reduce {
    /* n >= 1 dense elements to one value. */
    void (*fold)(int64_t n, const void *x, void *out);
    /* acc[j] = the identity, or x[j] where there is none (combining x[j] twice changes nothing). */
    void (*begin)(int64_t width, const void *x, void *acc);
    /* acc[j] combined with x[i * row + j] for i < rows, j < width. */
    void (*columns)(int64_t rows, int64_t width, const void *x, int64_t row, void *acc);
    const pb_scan *scan;   /* NULL where there is none */
    const pb_place *place;
};

#endif
