/* Reduction kernels, generated from polyback's table of reductions: group f32 (see fold.inc). */
#include "kernels.h"
#include "../generated/reduce_f32.inc"
