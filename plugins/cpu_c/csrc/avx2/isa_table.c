/* The `avx2` row of the instruction-set choice: which kernels this level runs. */
#include "../isa.h"
#include "../pool_kernel.h"
#include "../reduce_kernel.h"
#include "../rows_kernel.h"
#include "../sort_kernel.h"

extern const pb_op pb_ops_avx2[];
extern const pb_reduce pb_reduces_avx2[];
extern const pb_rows pb_op_rows_f32_avx2, pb_op_rows_f64_avx2;
extern const struct pb_pooling pb_op_window_pooling_f32_avx2;
extern const struct pb_pooling pb_op_window_pooling_f64_avx2;
extern const pb_sorter pb_sort_i32_avx2, pb_sort_i64_avx2;
extern const pb_sort_type pb_op_sort_types_avx2[];
extern const pb_gemm_kernel pb_gemm_f32_avx2, pb_gemm_f64_avx2;

const pb_isa pb_isa_avx2 = {
    .name = "avx2",
    .vector_bytes = 32,
    .gemm_f32 = &pb_gemm_f32_avx2,
    .gemm_f64 = &pb_gemm_f64_avx2,
    .ops = pb_ops_avx2,
    .reduces = pb_reduces_avx2,
    .rows_f32 = &pb_op_rows_f32_avx2,
    .rows_f64 = &pb_op_rows_f64_avx2,
    .pool_f32 = &pb_op_window_pooling_f32_avx2,
    .pool_f64 = &pb_op_window_pooling_f64_avx2,
    .sort_i32 = &pb_sort_i32_avx2,
    .sort_i64 = &pb_sort_i64_avx2,
    .sort_types = pb_op_sort_types_avx2,
};
