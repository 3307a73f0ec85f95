/* The `portable` row of the instruction-set choice: which kernels this level runs. */
#include "../isa.h"
#include "../pool_kernel.h"
#include "../reduce_kernel.h"
#include "../rows_kernel.h"
#include "../sort_kernel.h"

extern const pb_op pb_ops_portable[];
extern const pb_reduce pb_reduces_portable[];
extern const pb_rows pb_op_rows_f32_portable, pb_op_rows_f64_portable;
extern const struct pb_pooling pb_op_window_pooling_f32_portable;
extern const struct pb_pooling pb_op_window_pooling_f64_portable;
extern const pb_sorter pb_sort_i32_portable, pb_sort_i64_portable;
extern const pb_sort_type pb_op_sort_types_portable[];
extern const pb_gemm_kernel pb_gemm_f32_portable, pb_gemm_f64_portable;

const pb_isa pb_isa_portable = {
    .name = "portable",
    .vector_bytes = 16,
    .gemm_f32 = &pb_gemm_f32_portable,
    .gemm_f64 = &pb_gemm_f64_portable,
    .ops = pb_ops_portable,
    .reduces = pb_reduces_portable,
    .rows_f32 = &pb_op_rows_f32_portable,
    .rows_f64 = &pb_op_rows_f64_portable,
    .pool_f32 = &pb_op_window_pooling_f32_portable,
    .pool_f64 = &pb_op_window_pooling_f64_portable,
    .sort_i32 = &pb_sort_i32_portable,
    .sort_i64 = &pb_sort_i64_portable,
    .sort_types = pb_op_sort_types_portable,
};
