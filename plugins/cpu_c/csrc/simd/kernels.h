/* What the files of this folder share.  Each is compiled once per instruction set, with
 * -DPB_ISA=<name> and that set's flags; every name it exports ends in the set's name. */
#ifndef PB_KERNELS_H
#define PB_KERNELS_H

#include <string.h>

#include "../convert.h"
#include "../isa.h"
#include "../math_f32.h"
#include "../math_f64.h"
#include "../math_int.h"
#include "../reduce_kernel.h"

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define OP(name) JOIN(pb_op_##name, PB_ISA)

/* Iterations do not depend on each other, even where an output is one of the inputs: every element
 * is read before it is written.  (`restrict` would forbid out == in.) */
#define EACH_ALONE _Pragma("GCC ivdep")

#define INLINE static inline __attribute__((always_inline))

/* A loop over lanes that is vectorised as it stands: unrolled first, selects become branches. */
#define LANES(count) EACH_ALONE _Pragma("GCC unroll 1") for (int j = 0; j < (count); j++)

enum {
    PATCH_BLOCK = 256,
    FOLD_LANES = 128,
    TOTAL_LANES = 32, CHAIN = 512, /* scan.inc: four chains of f32 are 8 KB */
    PLACE_LANES = 64, PLACE_BLOCK = 2048, PLACE_ROWS = 127, /* place.inc */
    ROW_LANES = 32, ROW_BLOCK = 1024, ROW_GROUP = 16, /* rows.inc */
};

#endif
