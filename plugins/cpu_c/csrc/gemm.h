/* Matrix products C = A B over a batch.
 *
 * Strides count elements, may have any sign, and may be 0 on A and B.  C is overwritten and never
 * read before it is written; it must not overlap A or B.  k == 0 gives zeros.  The result has the
 * same bits for any number of threads.  Returns 0, or -1 when there is no memory for packing, or -2
 * for a dtype without a kernel.
 *
 * Accuracy (f32 and f64): |C - exact| <= min(k + 2, 8 + 2 sqrt k) * u * sum |a b|, u = half an ulp
 * of 1.  Signed zeros: a sum starts from +0.0. */
#ifndef PB_GEMM_H
#define PB_GEMM_H

#include "isa.h"

/* PB_F32 and PB_F64. */
int pb_gemm(const pb_isa *isa, int dtype, int64_t batch, int64_t m, int64_t n, int64_t k,
            const void *a, int64_t a_batch, int64_t a_row, int64_t a_col,
            const void *b, int64_t b_batch, int64_t b_row, int64_t b_col,
            void *c, int64_t c_batch, int64_t c_row, int64_t c_col);

/* PB_C64 and PB_C128; strides count complex numbers.  The error of a real or an imaginary part is
 * that of a real product of 2 k terms. */
int pb_gemm_complex(const pb_isa *isa, int dtype, int64_t batch, int64_t m, int64_t n, int64_t k,
                    const void *a, int64_t a_batch, int64_t a_row, int64_t a_col,
                    const void *b, int64_t b_batch, int64_t b_row, int64_t b_col,
                    void *c, int64_t c_batch, int64_t c_row, int64_t c_col);

/* PB_I8 to PB_U64, wrapping. */
int pb_gemm_int(int dtype, int64_t batch, int64_t m, int64_t n, int64_t k,
                const void *a, int64_t a_batch, int64_t a_row, int64_t a_col,
                const void *b, int64_t b_batch, int64_t b_row, int64_t b_col,
                void *c, int64_t c_batch, int64_t c_row, int64_t c_col);

#endif
