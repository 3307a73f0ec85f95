/* Elementwise kernels, generated from polyback's scalar table: group f32 (see generate.py). */
#include "kernels.h"
#include "../generated/ops_f32.inc"
