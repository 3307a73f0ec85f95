/* Sums and maxima under windows. */
#ifndef PB_WINDOW_H
#define PB_WINDOW_H

#include "isa.h"

/* Written by windowed.py.  Pairs are rows, columns; strides count elements: image, channel, row,
 * column. */
typedef struct pb_window {
    int64_t images, channels;
    int64_t size[2], result[2], taps[2], stride[2], padding[2], dilation[2];
    int64_t x[4], out[4], index[4];
} pb_window;

/* PB_F32 or PB_F64; the maxima, else the sums.  With maxima, `index` (int64) gets row * width + column
 * of the first one, unless it is NULL.  0, or -1 without memory. */
int pb_pool_windows(const pb_isa *isa, int dtype, int maxima, const pb_window *spec, const char *x,
                    char *out, char *index);

#endif
