/* Kernels that normalise along an axis, of one dtype at one level (simd/rows.inc). */
#ifndef PB_ROWS_KERNEL_H
#define PB_ROWS_KERNEL_H

#include "isa.h"

struct pb_rows {
    /* n contiguous elements of one lane. */
    void (*softmax)(int64_t n, const void *x, void *out, int log);
    /* Lane j < width <= ROWS_WIDTH has the elements x[i * row + j], i < n. */
    void (*softmax_columns)(int64_t n, int64_t width, const void *x, int64_t row, void *out,
                            int64_t out_row, int log);
    /* n contiguous elements; weight and bias may be NULL. */
    void (*layer_norm)(int64_t n, const void *x, const void *weight, const void *bias, double eps,
                       void *out, void *mean, void *scale);
};

enum { ROWS_WIDTH = 256, ROWS_PART = 256, ROWS_KEPT = ROWS_PART * ROWS_WIDTH };

#endif
