/* Complex matrix products as real ones (see gemm.h).
 *
 * A row of C is interleaved as re, im, re, im: as real numbers it has 2 n columns.  So have rows of A
 * (2 k columns), and then C = A B' holds for the real matrix B' whose rows 2p and 2p + 1 are
 *     re b, im b, ...      and     -im b, re b, ...      for b = B[p, 0], B[p, 1], ...
 * B' is made in memory, 16 or 32 bytes per item of B; A and C are used in place where their columns
 * are adjacent and copied where not.  That is four real multiplications per complex one, at the full
 * speed of the real kernels, and each part of C is one sum of 2 k terms: its error is below
 * K(2 k) u sum |a b|.
 * A row times B with adjacent columns would spend its time on B': there re a and im a, each times
 * the real view of B, are made and joined. */
#include "gemm.h"
#include "memory.h"
#include "pool.h"

enum { BLOCK = 8 /* rows together: they share cache lines where a matrix is transposed */ };

typedef struct matrix {
    char *data;
    int64_t batch, row, col;
} matrix;

typedef struct complex_product {
    const pb_isa *isa;
    int wide; /* complex128 */
    int64_t batch, m, n, k;
    matrix a, b, c;
} complex_product;

/* Matrices of rows x columns items with these strides, and dense ones. */
typedef struct job {
    const void *from;
    void *to;
    int64_t rows, columns, batch, row, column, other;
} job;

typedef struct block {
    int64_t matrix, first, rows;
} block;

static block block_of(const job *j, int64_t index)
{
    int64_t blocks = (j->rows + BLOCK - 1) / BLOCK, first = index % blocks * BLOCK;
    return (block){ index / blocks, first, j->rows - first < BLOCK ? j->rows - first : BLOCK };
}

#define TYPE float
#define NAME(what) what##_c64
#include "gemm_complex.inc"
#define TYPE double
#define NAME(what) what##_c128
#include "gemm_complex.inc"

static void each_block(int64_t matrices, job j, void (*task)(void *context, int64_t index))
{
    pb_pool_run(matrices * ((j.rows + BLOCK - 1) / BLOCK), task, &j);
}

static char *items(const complex_product *p, int64_t count)
{
    return pb_alloc((size_t)count * (p->wide ? 16 : 8));
}

/* Strides and columns count real numbers. */
static int real_product(const complex_product *p, int64_t n, int64_t k, matrix a, matrix b, matrix c)
{
    return pb_gemm(p->isa, p->wide ? PB_F64 : PB_F32, p->batch, p->m, n, k, a.data, a.batch, a.row,
                   a.col, b.data, b.batch, b.row, b.col, c.data, c.batch, c.row, c.col);
}

/* The operand as real numbers, `part` of each first. */
static matrix real_view(const complex_product *p, matrix x, int64_t col, int part)
{
    x.data += part * (p->wide ? 8 : 4);
    return (matrix){ x.data, 2 * x.batch, 2 * x.row, col };
}

/* m == 1, columns of B adjacent. */
static int row_times_matrix(const complex_product *p)
{
    int64_t size = p->batch * p->n;
    char *parts = items(p, 2 * size);
    if (!parts)
        return -1;
    matrix b = real_view(p, p->b, 1, 0), u = { parts, 2 * p->n, 2 * p->n, 1 }, v = u;
    v.data += size * (p->wide ? 16 : 8);
    int status = real_product(p, 2 * p->n, p->k, real_view(p, p->a, 2 * p->a.col, 0), b, u);
    if (status == 0)
        status = real_product(p, 2 * p->n, p->k, real_view(p, p->a, 2 * p->a.col, 1), b, v);
    if (status == 0)
        each_block(p->batch, (job){ parts, p->c.data, 1, p->n, p->c.batch, p->c.row, p->c.col, size },
                   p->wide ? join_c128 : join_c64);
    pb_free(parts);
    return status;
}

/* Columns of A adjacent.  A single column of C is two products of A with a vector. */
static int expand_b(const complex_product *p, matrix c)
{
    int64_t count = p->b.batch ? p->batch : 1, width = 2 * p->n;
    char *data = items(p, 2 * count * p->k * p->n);
    if (!data)
        return -1;
    each_block(count, (job){ p->b.data, data, p->k, p->n, p->b.batch, p->b.row, p->b.col, 0 },
               p->wide ? expand_c128 : expand_c64);
    matrix a = real_view(p, p->a, 1, 0);
    matrix b = { data, p->b.batch ? 2 * p->k * width : 0, width, p->n == 1 ? 2 : 1 };
    c = real_view(p, c, p->n == 1 ? 2 : 1, 0);
    int status = real_product(p, p->n == 1 ? 1 : width, 2 * p->k, a, b, c);
    if (p->n == 1 && status == 0) {
        b.data += p->wide ? 8 : 4;
        c.data += p->wide ? 8 : 4;
        status = real_product(p, 1, 2 * p->k, a, b, c);
    }
    pb_free(data);
    return status;
}

/* Copies A and C where their columns are not adjacent. */
static int matrix_product(complex_product *p)
{
    char *a = NULL, *c = NULL;
    matrix to = p->c;
    int64_t count = p->a.batch ? p->batch : 1, moves_a = p->a.col != 1, moves_c = p->c.col != 1;
    int status = -1;
    if ((moves_a && !(a = items(p, count * p->m * p->k))) ||
        (moves_c && !(c = items(p, p->batch * p->m * p->n))))
        goto done;
    if (moves_a) {
        each_block(count, (job){ p->a.data, a, p->m, p->k, p->a.batch, p->a.row, p->a.col, 0 },
                   p->wide ? load_c128 : load_c64);
        p->a = (matrix){ a, p->a.batch ? p->m * p->k : 0, p->k, 1 };
    }
    if (moves_c)
        to = (matrix){ c, p->m * p->n, p->n, 1 };
    status = expand_b(p, to);
    if (moves_c && status == 0)
        each_block(p->batch, (job){ c, p->c.data, p->m, p->n, p->c.batch, p->c.row, p->c.col, 0 },
                   p->wide ? store_c128 : store_c64);
done:
    pb_free(a);
    pb_free(c);
    return status;
}

/* C^T = B^T A^T. */
static void transpose(complex_product *p)
{
    complex_product q = *p;
    p->m = q.n, p->n = q.m;
    p->a = (matrix){ q.b.data, q.b.batch, q.b.col, q.b.row };
    p->b = (matrix){ q.a.data, q.a.batch, q.a.col, q.a.row };
    p->c = (matrix){ q.c.data, q.c.batch, q.c.col, q.c.row };
}

int pb_gemm_complex(const pb_isa *isa, int dtype, int64_t batch, int64_t m, int64_t n, int64_t k,
                    const void *a, int64_t a_batch, int64_t a_row, int64_t a_col,
                    const void *b, int64_t b_batch, int64_t b_row, int64_t b_col,
                    void *c, int64_t c_batch, int64_t c_row, int64_t c_col)
{
    int many = batch > 1;
    complex_product p = {
        isa, dtype == PB_C128, batch, m, n, k,
        { (char *)a, many ? a_batch : 0, a_row, k > 1 ? a_col : 1 },
        { (char *)b, many ? b_batch : 0, k > 1 ? b_row : n, b_col },
        { c, many ? c_batch : 0, c_row, n > 1 ? c_col : 1 },
    };
    if (batch <= 0 || m <= 0 || n <= 0)
        return 0;
    int by_columns = n == 1 && m > 1 && a_row == 1 && p.a.col != 1;
    int by_rows = m == 1 && n > 1 && b_col != 1 && p.b.row == 1;
    if (by_columns || by_rows || (p.c.col != 1 && c_row == 1 && b_row == 1))
        transpose(&p);
    return p.m == 1 && p.n > 1 && p.b.col == 1 ? row_times_matrix(&p) : matrix_product(&p);
}
