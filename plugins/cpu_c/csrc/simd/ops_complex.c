/* Elementwise kernels, generated from polyback's scalar table: group complex (see generate.py). */
#include "../math_complex.h"
#include "kernels.h"
#include "../generated/ops_complex.inc"
