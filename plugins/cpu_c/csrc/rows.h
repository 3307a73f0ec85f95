/* What is computed lane by lane: scans, places of extremes, softmax, layer normalisation.  All take
 * lanes.h's description of their operands and return a pb_status (vm.h). */
#ifndef PB_ROWS_H
#define PB_ROWS_H

#include "isa.h"
#include "lanes.h"

/* Operands x, out.  `reduce` is an index into pb_reduce_names. */
int pb_scan_run(const pb_isa *isa, int reduce, int size, const pb_lanes *spec,
                char *const *operands);

/* Operands x, out: int64. */
int pb_place_run(const pb_isa *isa, int reduce, int size, const pb_lanes *spec,
                 char *const *operands);

/* Operands x, out; PB_F32 or PB_F64. */
int pb_softmax_run(const pb_isa *isa, int dtype, const pb_lanes *spec, char *const *operands,
                   int log);

/* Operands x, out, mean, scale, weight, bias; the last two may be NULL. */
int pb_layer_norm_run(const pb_isa *isa, int dtype, const pb_lanes *spec, char *const *operands,
                      double eps);

#endif
