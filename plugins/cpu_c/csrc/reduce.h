/* Reductions of the result of a program, which is never stored. */
#ifndef PB_REDUCE_H
#define PB_REDUCE_H

#include "vm.h"

/* out[o * inner + m] = combination over r < length of element (o * length + r) * inner + m of the
 * launch (see vm.h); the axes have been put in that order, `size` is the item size.  `reduce` is an
 * index into pb_reduce_names.  length >= 1.  The tree of combinations depends on the shape and the
 * program only, never on the threads. */
int pb_reduce_run(const pb_isa *isa, int reduce, int size, const void *program, const void *layout,
                  const void *words, int64_t outer, int64_t length, int64_t inner, void *out);

#endif
