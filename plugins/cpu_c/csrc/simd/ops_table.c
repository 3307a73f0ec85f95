/* The elementwise kernels of this instruction set, in the order of pb_op_names. */
#include "kernels.h"

#define PB_OP(name, function) void OP(function)(int64_t n, void *out, const void *const *in);
#include "../generated/ops_list.inc"
#undef PB_OP

#define PB_OP(name, function) OP(function),
const pb_op JOIN(pb_ops, PB_ISA)[] = {
#include "../generated/ops_list.inc"
};
