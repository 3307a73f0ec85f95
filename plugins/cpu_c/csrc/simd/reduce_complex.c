/* Reduction kernels, generated from polyback's table of reductions: group complex (see fold.inc). */
#include "../math_complex.h"
#include "kernels.h"
#include "../generated/reduce_complex.inc"
