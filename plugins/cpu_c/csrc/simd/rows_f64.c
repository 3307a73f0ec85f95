/* Softmax and layer normalisation of f64 (see rows.inc). */
#include "kernels.h"
#include "../rows_kernel.h"

#define NAME(part) OP(part##_f64)
#define TYPE double
#define MATH(name) MATH_##name
#define MATH_exp pb_exp_f64
#define MATH_exp_fast pb_exp_f64
#define MATH_EXP_LIMIT -1.0 /* no other form */
#define MATH_INF PB_INF_F64
#include "rows.inc"
