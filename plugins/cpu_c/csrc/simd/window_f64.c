/* Pooling of f64 (see window.inc). */
#include "kernels.h"
#include "../pool_kernel.h"

#define NAME(part) OP(window_##part##_f64)
#define TYPE double
#define AT int64_t
#include "window.inc"
