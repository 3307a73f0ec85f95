/* The reduction kernels of this instruction set, in the order of pb_reduce_names. */
#include "kernels.h"

#define PB_REDUCE(name, function, scans, places) \
    void OP(function##_fold)(int64_t n, const void *x, void *out); \
    void OP(function##_begin)(int64_t width, const void *x, void *acc); \
    void OP(function##_columns)(int64_t rows, int64_t width, const void *x, int64_t row, void *acc); \
    extern const pb_scan OP(function##_scan); \
    extern const pb_place OP(function##_place);
#include "../generated/reduce_list.inc"
#undef PB_REDUCE

#define IF_0(kernels) NULL
#define IF_1(kernels) &kernels
#define PB_REDUCE(name, function, scans, places) \
    { OP(function##_fold), OP(function##_begin), OP(function##_columns), \
      IF_##scans(OP(function##_scan)), IF_##places(OP(function##_place)) },
const pb_reduce JOIN(pb_reduces, PB_ISA)[] = {
#include "../generated/reduce_list.inc"
};
