/* Softmax and layer normalisation of f32 (see rows.inc). */
#include "kernels.h"
#include "../rows_kernel.h"

#define NAME(part) OP(part##_f32)
#define TYPE float
#define MATH(name) MATH_##name
#define MATH_exp pb_exp_f32
#define MATH_exp_fast pb_exp_f32_fast
#define MATH_EXP_LIMIT PB_EXP_LIMIT_F32
#define MATH_INF PB_INF_F32
#include "rows.inc"
