/* The reduction kernels of this instruction set, in the order of pb_reduce_names. */
#include "kernels.h"

#define PB_REDUCE(name, function) \
    void OP(function##_fold)(int64_t n, const void *x, void *out); \
    void OP(function##_begin)(int64_t width, const void *x, void *acc); \
    void OP(function##_columns)(int64_t rows, int64_t width, const void *x, int64_t row, void *acc);
#include "../generated/reduce_list.inc"
#undef PB_REDUCE

#define PB_REDUCE(name, function) \
    { OP(function##_fold), OP(function##_begin), OP(function##_columns) },
const pb_reduce JOIN(pb_reduces, PB_ISA)[] = {
#include "../generated/reduce_list.inc"
};
