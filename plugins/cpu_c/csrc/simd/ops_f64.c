/* Elementwise kernels, generated from polyback's scalar table: group f64 (see generate.py). */
#include "kernels.h"
#include "../generated/ops_f64.inc"
