/* Shared by the files of the matrix product driver, gemm*.c; not part of the interface. */
#ifndef PB_GEMM_PRODUCT_H
#define PB_GEMM_PRODUCT_H

#include "gemm.h"

#include <stdatomic.h>

enum {
    PARALLEL_TERMS = 1 << 20, /* m n k below this (14 us on one core): not worth waking a thread */
    TASK_TERMS = 1 << 18,     /* smallest useful task, about 4 us */
    SWEPT_TILES = 4,          /* most row tiles of a product that sweeps over B */
};

typedef struct product {
    const pb_gemm_kernel *kernel;
    int64_t size;               /* bytes per element */
    int64_t batch, m, n, k;
    const char *a, *b;
    char *c;
    int64_t a_batch, a_row, a_col, b_batch, b_row, b_col, c_batch, c_row, c_col;
    int64_t group;              /* matrices of a batch per task */
    int64_t chunk, kc;          /* see pb_gemm_cut */
    int64_t row_tiles;          /* tiles of at most mr rows, see first_row */
    int64_t tiles_per_task, row_tasks, columns_per_task;
    int64_t i0, i1, j0, j1, p0, p1; /* packed path: the super block being packed and computed */
    int64_t first_tile, last_tile;
    char *packed_a, *packed_b;
    atomic_int *failed;         /* set by a task that found no memory */
} product;

static inline int64_t smaller(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

static inline int64_t larger(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

static inline int64_t divide_up(int64_t x, int64_t y)
{
    return (x + y - 1) / y;
}

/* Row tiles share the rows evenly: 16 rows run as 8 + 8, not as 14 + 2. */
static inline int64_t first_row(const product *p, int64_t tile)
{
    return tile * p->m / p->row_tiles;
}

/* Sets kc and chunk for p->k terms (gemm.c: accuracy). */
void pb_gemm_cut(product *p);
/* Terms of a chain of additions, of `length` altogether, such that a term of a sum of `terms` passes
 * no more roundings than allowed if it also passes `others`. */
int64_t pb_gemm_chain(int64_t length, int64_t terms, int64_t others);

/* `rows` x `columns` elements from one strided place to another. */
void pb_gemm_copy(int64_t size, int64_t rows, int64_t columns, const char *from, int64_t from_row,
                  int64_t from_col, char *to, int64_t to_row, int64_t to_col);

/* Runs one tile at c; C that the kernel cannot address goes through a buffer of one tile. */
void pb_gemm_run_tile(const product *p, pb_gemm_tile *tile, char *c);

int pb_gemm_is_swept(const product *p); /* few rows of A, a large B: nothing to gain from panels */
void pb_gemm_run_direct(product *p);
int pb_gemm_run_packed(product *p); /* 0, or -1 without having touched C */

#endif
