/* Pooling of f32 (see window.inc). */
#include "kernels.h"
#include "../pool_kernel.h"

#define NAME(part) OP(window_##part##_f32)
#define TYPE float
#define AT int32_t
#include "window.inc"
