/* Elementwise kernels, generated from polyback's scalar table: group int (see generate.py). */
#include "kernels.h"
#include "../generated/ops_int.inc"
