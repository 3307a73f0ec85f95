/* Elementwise kernels, generated from polyback's scalar table: group cast (see generate.py). */
#include "kernels.h"
#include "../generated/ops_cast.inc"
