/* The `avx512` row of the instruction-set choice: which kernels this level runs. */
#include "../isa.h"
#include "../pool_kernel.h"
#include "../reduce_kernel.h"
#include "../rows_kernel.h"
#include "../sort_kernel.h"

extern const pb_op pb_ops_avx512[];
extern const pb_reduce pb_reduces_avx512[];
extern const pb_rows pb_op_rows_f32_avx512, pb_op_rows_f64_avx512;
extern const struct pb_pooling pb_op_window_pooling_f32_avx512;
extern const struct pb_pooling pb_op_window_pooling_f64_avx512;
extern const pb_sorter pb_sort_i32_avx512, pb_sort_i64_avx512;
extern const pb_sort_type pb_op_sort_types_avx512[];
extern const pb_gemm_kernel pb_gemm_f32_avx512, pb_gemm_f64_avx512;

const pb_isa pb_isa_avx512 = {
    .name = "avx512",
    .vector_bytes = 64,
    .gemm_f32 = &pb_gemm_f32_avx512,
    .gemm_f64 = &pb_gemm_f64_avx512,
    .ops = pb_ops_avx512,
    .reduces = pb_reduces_avx512,
    .rows_f32 = &pb_op_rows_f32_avx512,
    .rows_f64 = &pb_op_rows_f64_avx512,
    .pool_f32 = &pb_op_window_pooling_f32_avx512,
    .pool_f64 = &pb_op_window_pooling_f64_avx512,
    .sort_i32 = &pb_sort_i32_avx512,
    .sort_i64 = &pb_sort_i64_avx512,
    .sort_types = pb_op_sort_types_avx512,
};
