/* One table per instruction set; the driver code calls through it and contains no SIMD itself.
 *
 * Levels: `portable` (any platform, GCC vector extensions), `avx2` (AVX2 + FMA + F16C) and
 * `avx512` (F, BW, DQ, VL).  Every file in portable/, avx2/ and avx512/ is compiled with the flags
 * of its level, so headers they include may hold only `static` functions: an out-of-line copy of a
 * shared inline function could be emitted with AVX-512 and then called on an older CPU. */
#ifndef PB_ISA_H
#define PB_ISA_H

#include <stddef.h>
#include <stdint.h>

enum pb_dtype {
    PB_BOOL, PB_I8, PB_I16, PB_I32, PB_I64, PB_U8, PB_U16, PB_U32, PB_U64,
    PB_F16, PB_BF16, PB_F32, PB_F64, PB_C64, PB_C128, PB_DTYPES
};

typedef void (*pb_op)(int64_t n, void *out, const void *const *in);
typedef struct pb_reduce pb_reduce;
typedef struct pb_rows pb_rows;
struct pb_pooling;
struct pb_sorter;
struct pb_sort_type;

/* One register tile of a matrix product: rows x columns of C, the whole inner dimension k.
 * B has unit column stride; all strides count elements. */
typedef struct pb_gemm_tile {
    const void *a, *b;
    void *c;
    int64_t k, chunk;         /* terms in all, terms per chain of additions (gemm.c) */
    int64_t a_row, a_col, b_row, c_row;
    int rows, columns;        /* 1..mr and 1..nr */
    int accumulate;           /* 0: C is only written, 1: C += A B */
} pb_gemm_tile;

/* A vector's worth of elements to copy: where from, where to. */
typedef struct pb_move {
    int64_t from, to;
} pb_move;

/* Channels next to each other, each with its own weights, of pixels that meet the same taps:
 * y[i * y_step + j] = sum over p of w[weights[p] + j] * x[i * x_step + offsets[p] + j], j < columns. */
typedef struct pb_lanewise {
    int64_t k, chunk;         /* taps in all, taps per chain of additions */
    const int64_t *offsets, *weights;
    const void *x, *w;
    void *y;
    int64_t pixels, x_step, y_step, columns;
} pb_lanewise;

/* The matrix kernels of one dtype at one level. */
typedef struct pb_gemm_kernel {
    int mr, nr;               /* largest tile */
    int masked;               /* tile() accepts columns < nr on unpadded B and C */
    int kc;                   /* inner block: an mr x kc panel of A stays in L1 */
    int nb;                   /* columns of a task: a kc x nb block of B stays in L2 */
    void (*tile)(const pb_gemm_tile *tile);
    /* panel[p * nr + j] = B[p, j] for p < k, j < columns; zero for columns <= j < nr. */
    void (*pack)(int64_t k, int columns, const void *b, int64_t b_row, int64_t b_col, void *panel);
    /* y[i * y_step] = sum over p of matrix[i * row + p] * x[p], i < rows. */
    void (*dots)(int64_t rows, int64_t k, int64_t chunk, const void *matrix, int64_t row,
                 const void *x, void *y, int64_t y_step);
    /* y[j] = sum over p of matrix[p * row + j] * x[p], j < columns <= PB_AXPY_COLUMNS. */
    void (*axpys)(int64_t columns, int64_t k, int64_t chunk, const void *matrix, int64_t row,
                  const void *x, void *y);
    int lanes;                /* independent partial sums of dots(), for the choice of chunk */
    /* Row p of the panel, `pitch` elements after row p - 1, is made of vectors of x + offsets[p]; later
     * moves and rows overwrite what a vector was too long for. */
    int vector;               /* elements of a move */
    void (*gather)(int64_t k, const int64_t *offsets, const void *x, int moves, const pb_move *move,
                   void *panel, int64_t pitch);
    /* y[j] = sum over p of w[p] * x[offsets[p] + j], j < columns; reads up to PB_LINE_AHEAD more. */
    void (*line)(int64_t k, int64_t chunk, const int64_t *offsets, const void *x, const void *w,
                 int64_t columns, void *y);
    void (*lanewise)(const pb_lanewise *taps);
} pb_gemm_kernel;

enum { PB_AXPY_COLUMNS = 1024, PB_LINE_AHEAD = 64 };

typedef struct pb_isa {
    const char *name;
    int vector_bytes;
    const pb_gemm_kernel *gemm_f32, *gemm_f64;
    const pb_op *ops;         /* elementwise kernels, in the order of pb_op_name() */
    const pb_reduce *reduces; /* reduction kernels, in the order of pb_reduce_name() */
    const pb_rows *rows_f32, *rows_f64;
    const struct pb_pooling *pool_f32, *pool_f64;
    const struct pb_sorter *sort_i32, *sort_i64;
    const struct pb_sort_type *sort_types; /* of every dtype (sort_kernel.h) */
} pb_isa;

extern const pb_isa pb_isa_portable;
#if defined(__x86_64__)
extern const pb_isa pb_isa_avx2, pb_isa_avx512;
#endif

/* NULL or "" = the best level that both CPU and operating system support; a name forces that level.
 * NULL when the name is unknown or the level is not supported here. */
const pb_isa *pb_isa_select(const char *name);

#endif
