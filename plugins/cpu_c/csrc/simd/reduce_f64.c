/* Reduction kernels, generated from polyback's table of reductions: group f64 (see fold.inc). */
#include "kernels.h"
#include "../generated/reduce_f64.inc"
