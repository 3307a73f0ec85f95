/* Gather, scatter and argsort, where one array addresses another; and sorting itself. */
#ifndef PB_INDEX_H
#define PB_INDEX_H

#include "isa.h"
#include "lanes.h"

/* Two arrays and an index of one shape.  `table` is the array that is indexed: its step along the
 * indexed axis is axis_step, and 0 in that axis's entry below.  All steps count bytes; axes are
 * outermost first. */
typedef struct pb_index {
    int64_t ndim, axis_step;
    struct { int64_t size, table, index, dense, is_axis; } axis[];
} pb_index;

/* dense[i] = table[i with its entry at the axis replaced by index[i]]; 1, 2, 4, 8 or 16 bytes each. */
void pb_gather(int size, const pb_index *spec, const char *table, const char *index, char *dense);

enum pb_scatter_mode { PB_PUT, PB_ADD, PB_MIN, PB_MAX };

/* The reverse, in row-major order of i.  `combine` is the elementwise kernel of the mode, NULL for
 * PB_PUT; `type` is that of enum pb_dtype.  -2 where there is no such arithmetic. */
int pb_scatter(int type, int size, int mode, pb_op combine, const pb_index *spec, char *table,
               const char *index, const char *dense);

/* Stable order of every lane as int64; NaN last. */
int pb_argsort(int type, int descending, const pb_lanes *spec, const char *x, char *out);

/* Every lane in order, NaN last; equal values keep the order they came in, which the bits of zeros and NaN
 * tell.  operands: x, out.  0, -1 without memory, -2 for a type without order. */
int pb_sort(const pb_isa *isa, int type, int descending, const pb_lanes *spec, char *const *operands);

#endif
