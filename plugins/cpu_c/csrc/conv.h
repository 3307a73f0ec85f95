/* Two-dimensional convolution (cross-correlation) and its gradients, as implicit matrix products.
 *
 * Sums keep the bound of gemm.h, and so does the order of their terms: it depends on the shapes
 * only.  Elements outside x make no terms. */
#ifndef PB_CONV_H
#define PB_CONV_H

#include "isa.h"

enum pb_conv_kind { PB_CONV_RESULT, PB_CONV_INPUT, PB_CONV_WEIGHT };

/* Written by windows.py.  Strides count elements: of x (image, channel, row, column), of the weights
 * (out, channel, row, column) and of the result or its gradient (image, out, row, column). */
typedef struct pb_conv {
    int64_t images, groups, channels, outs; /* the last two per group */
    int64_t size[2], result[2], taps[2];    /* rows, columns: of x, of the result, of a weight */
    int64_t stride[2], padding[2], dilation[2];
    int64_t x[4], w[4], y[4];
} pb_conv;

/* PB_F32 or PB_F64.  Writes y, x or w, as `kind` says.  0, or -1 without memory. */
int pb_conv_run(const pb_isa *isa, int dtype, int kind, const pb_conv *conv, char *x, char *w, char *y);

#endif
