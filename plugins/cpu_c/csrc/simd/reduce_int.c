/* Reduction kernels, generated from polyback's table of reductions: group int (see fold.inc). */
#include "kernels.h"
#include "../generated/reduce_int.inc"
