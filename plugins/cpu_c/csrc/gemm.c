/* Matrix product driver (see gemm.h): chooses a path and cuts the work into tasks.
 *
 *   vector   (here)           m or n is 1, the matrix contiguous one way: no packing, memory speed
 *   direct   (gemm_direct.c)  small or thin products: A read in place, B where possible
 *   packed   (gemm_packed.c)  A and B copied into panels once, blocks of C computed from L1 and L2
 *
 * "direct" and "packed" cut the inner dimension alike and so agree bit for bit; no cut depends on
 * the number of threads. */
#include "gemm_product.h"
#include "memory.h"
#include "pool.h"

#include <math.h>
#include <string.h>

enum {
    DIRECT_TERMS = 1 << 22,  /* m n k below this: packing A costs more than it saves */
    LARGEST_TILE_BYTES = 14 * 128, /* 14 x 32 f32 or 14 x 16 f64 */
    DOT_ELEMENTS = 1 << 16   /* matrix elements of one task of a matrix-vector product */
};

/* ---- accuracy ---------------------------------------------------------------------------- */

/* Fewest chunks of a chain of `length` additions such that a term passes at most `limit` roundings:
 * one per term of its chunk and one per chunk. */
static int64_t chunk_length(int64_t length, double limit)
{
    int64_t chunks = 1;
    while ((double)(divide_up(length, chunks) + chunks) > limit && chunks * chunks < length)
        chunks++;
    return larger(1, divide_up(length, chunks));
}

/* Bound on the roundings a term may pass so that the error stays below min(k + 2, 8 + 2 sqrt k)
 * units; + 1 because the first chunk is not added to anything. */
static double roundings(int64_t k)
{
    return k <= 16 ? (double)k + 1.0 : 9.0 + 2.0 * sqrt((double)k);
}

int64_t pb_gemm_chain(int64_t length, int64_t terms, int64_t others)
{
    return chunk_length(length, roundings(terms) - (double)others);
}

/* k is cut into equal blocks of at most KC, longer ones beyond k = 256 KC so that there are never
 * more than 257; a block is cut into chunks.  A term is rounded at most once per term of its chunk,
 * per chunk of its block, and per block.  With KC = 384, k = 64 gives chunks of 22, k = 1000 three
 * blocks of 334 in chunks of 56, k = 20000 blocks of 378 in chunks of 189.  One chain over a whole
 * block would break the bound: adding 383 times 2^-25 to 1 in order loses every small term, an
 * error of 191 u where 47 u are allowed. */
void pb_gemm_cut(product *p)
{
    int64_t count = divide_up(p->k, larger(p->kernel->kc, p->k / 256));
    p->kc = larger(1, divide_up(p->k, larger(1, count)));
    p->chunk = pb_gemm_chain(p->kc, p->k, count - 1);
}

/* ---- one tile ---------------------------------------------------------------------------- */

void pb_gemm_copy(int64_t size, int64_t rows, int64_t columns, const char *from, int64_t from_row,
                  int64_t from_col, char *to, int64_t to_row, int64_t to_col)
{
    if (to_row == 1 && to_col != 1) { /* write what is adjacent in turn */
        pb_gemm_copy(size, columns, rows, from, from_col, from_row, to, to_col, 1);
        return;
    }
    for (int64_t i = 0; i < rows; i++, from += from_row * size, to += to_row * size)
        if (size == 4)
            for (int64_t j = 0; j < columns; j++)
                memcpy(to + j * to_col * 4, from + j * from_col * 4, 4);
        else
            for (int64_t j = 0; j < columns; j++)
                memcpy(to + j * to_col * 8, from + j * from_col * 8, 8);
}

void pb_gemm_run_tile(const product *p, pb_gemm_tile *tile, char *c)
{
    const int nr = p->kernel->nr, exact = tile->columns == nr || p->kernel->masked;
    _Alignas(64) char buffer[LARGEST_TILE_BYTES];
    if (p->c_col == 1 && exact) {
        tile->c = c;
        tile->c_row = p->c_row;
        p->kernel->tile(tile);
        return;
    }
    tile->c = buffer;
    tile->c_row = nr;
    if (tile->accumulate) {
        memset(buffer, 0, sizeof buffer);
        pb_gemm_copy(p->size, tile->rows, tile->columns, c, p->c_row, p->c_col, buffer, nr, 1);
    }
    p->kernel->tile(tile);
    pb_gemm_copy(p->size, tile->rows, tile->columns, buffer, nr, 1, c, p->c_row, p->c_col);
}

/* ---- matrix times vector ----------------------------------------------------------------- */

static void dots_task(void *context, int64_t index)
{
    const product *p = context;
    int64_t rows = p->tiles_per_task, i = index * rows;
    p->kernel->dots(smaller(rows, p->m - i), p->k, p->chunk, p->a + i * p->a_row * p->size,
                    p->a_row, p->b, p->c + i * p->c_row * p->size, p->c_row);
}

static void axpys_task(void *context, int64_t index)
{
    const product *p = context;
    int64_t i = index * p->tiles_per_task, count = smaller(p->tiles_per_task, p->m - i);
    _Alignas(64) char buffer[PB_AXPY_COLUMNS * 8];
    char *c = p->c + i * p->c_row * p->size, *y = p->c_row == 1 ? c : buffer;
    p->kernel->axpys(count, p->k, p->chunk, p->a + i * p->size, p->a_col, p->b, y);
    if (y != c)
        pb_gemm_copy(p->size, count, 1, buffer, 1, 0, c, p->c_row, 0);
}

/* n == 1 and A contiguous by rows or by columns.  1 = done, 0 = not this case, -1 = no memory. */
static int run_vector(product *p)
{
    int by_rows = p->a_col == 1 && p->k >= p->kernel->lanes, by_columns = p->a_row == 1;
    char *x = NULL;
    if (p->n != 1 || (!by_rows && !by_columns))
        return 0;
    if (p->b_row != 1 && p->k > 1) {
        if (!(x = pb_alloc((size_t)(p->k * p->size))))
            return -1;
        pb_gemm_copy(p->size, p->k, 1, p->b, p->b_row, 0, x, 1, 0);
        p->b = x;
    }
    if (by_rows) {
        p->chunk = p->k / p->kernel->lanes;
        p->chunk = pb_gemm_chain(p->chunk, p->chunk, 0);
        p->tiles_per_task = larger(4, DOT_ELEMENTS / p->k & ~INT64_C(3));
    } else {
        p->chunk = pb_gemm_chain(p->k, p->k, 0);
        p->tiles_per_task = p->m >= 4 * PB_AXPY_COLUMNS ? PB_AXPY_COLUMNS : PB_AXPY_COLUMNS / 4;
    }
    int64_t tasks = divide_up(p->m, p->tiles_per_task);
    void (*task)(void *, int64_t) = by_rows ? dots_task : axpys_task;
    if (p->m * p->k >= DOT_ELEMENTS)
        pb_pool_run(tasks, task, p);
    else
        for (int64_t index = 0; index < tasks; index++)
            task(p, index);
    pb_free(x);
    return 1;
}

/* ---- public ------------------------------------------------------------------------------ */

/* C^T = B^T A^T. */
static void transpose(product *p)
{
    product q = *p;
    p->m = q.n, p->n = q.m;
    p->a = q.b, p->a_batch = q.b_batch, p->a_row = q.b_col, p->a_col = q.b_row;
    p->b = q.a, p->b_batch = q.a_batch, p->b_row = q.a_col, p->b_col = q.a_row;
    p->c_row = q.c_col, p->c_col = q.c_row;
}

/* A few rows times the transpose of a row-contiguous matrix, as a layer with its weights (outs, ins)
 * computes: C^T = B^T A^T reads B in place, where C would need the transpose of all of B; only the few
 * rows of A are packed, a panel of them at a time.  1 = done, 0 = not this case or no memory. */
static int run_turned(const product *all)
{
    product one = *all, *p = &one;
    const int nr = p->kernel->nr;
    int rows_fit = p->m > 8 && p->m <= 2 * nr && p->n >= 4 * p->m;
    if (!rows_fit || p->b_row != 1 || p->b_col == 1 || p->k < 16)
        return 0;
    char *panel = pb_alloc((size_t)(p->k * nr * p->size));
    if (!panel)
        return 0;
    transpose(p);
    p->row_tiles = divide_up(p->m, p->kernel->mr);
    product part = *p;
    for (int64_t j = 0; j < p->n; j += nr) {
        part.n = smaller(nr, p->n - j);
        p->kernel->pack(p->k, (int)part.n, p->b + j * p->b_col * p->size, p->b_row, p->b_col, panel);
        part.b = panel, part.b_row = nr, part.b_col = 1;
        part.c = p->c + j * p->c_col * p->size;
        pb_gemm_run_direct(&part);
    }
    pb_free(panel);
    return 1;
}

static void zero(const product *p)
{
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++)
            memset(p->c + (i * p->c_row + j * p->c_col) * p->size, 0, (size_t)p->size);
}

static void run_matrix(const product *all, int64_t index)
{
    product one = *all, *p = &one;
    p->a += index * p->a_batch * p->size;
    p->b += index * p->b_batch * p->size;
    p->c += index * p->c_batch * p->size;
    if (p->k == 0) {
        zero(p);
        return;
    }
    int status = run_vector(p);
    if (status > 0)
        return;
    if (status == 0 && run_turned(p))
        return;
    int thin = p->row_tiles <= 2 || p->n <= p->kernel->nr || pb_gemm_is_swept(p);
    if (status < 0 || thin || p->m * p->n * p->k <= DIRECT_TERMS || pb_gemm_run_packed(p) < 0)
        pb_gemm_run_direct(p); /* also when memory is short: it needs one panel at most */
}

static void run_group(void *context, int64_t index)
{
    const product *p = context;
    int64_t end = smaller(p->batch, (index + 1) * p->group);
    for (int64_t i = index * p->group; i < end; i++)
        run_matrix(p, i);
}

/* Strides of axes of length 1 are free: choose those that make A, B and C look contiguous. */
static void normalise(product *p)
{
    if (p->batch > 1 && p->m == 1)
        p->a_row = p->a_batch, p->c_row = p->c_batch;
    if (p->batch > 1 && p->b_batch == 0 && p->a_batch == p->m * p->a_row &&
        p->c_batch == p->m * p->c_row)
        p->m *= p->batch, p->batch = 1; /* one B for all: a single tall product */
    if (p->k == 1)
        p->a_col = p->b_row = 1;
    if (p->m == 1)
        p->a_row = p->k, p->c_row = p->n;
    if (p->n == 1)
        p->b_col = p->c_col = 1;
    int row_times_matrix = p->m == 1 && p->n > 1;
    if (row_times_matrix || (p->c_row == 1 && p->c_col != 1))
        transpose(p);
    if (p->n == 1)
        p->b_col = p->c_col = 1;
    p->row_tiles = divide_up(p->m, p->kernel->mr);
    pb_gemm_cut(p);
}

int pb_gemm(const pb_isa *isa, int dtype, int64_t batch, int64_t m, int64_t n, int64_t k,
            const void *a, int64_t a_batch, int64_t a_row, int64_t a_col,
            const void *b, int64_t b_batch, int64_t b_row, int64_t b_col,
            void *c, int64_t c_batch, int64_t c_row, int64_t c_col)
{
    atomic_int failed = 0;
    product p = {
        .kernel = dtype == PB_F32 ? isa->gemm_f32 : dtype == PB_F64 ? isa->gemm_f64 : NULL,
        .size = dtype == PB_F32 ? 4 : 8, .batch = batch, .m = m, .n = n, .k = k,
        .a = a, .a_batch = a_batch, .a_row = a_row, .a_col = a_col,
        .b = b, .b_batch = b_batch, .b_row = b_row, .b_col = b_col,
        .c = c, .c_batch = c_batch, .c_row = c_row, .c_col = c_col, .failed = &failed,
    };
    if (!p.kernel)
        return -2;
    if (batch <= 0 || m <= 0 || n <= 0)
        return 0;
    normalise(&p);
    int64_t terms = p.m * p.n * larger(p.k, 1);
    int serial = p.batch * terms < PARALLEL_TERMS || (p.batch < 8 && terms > DIRECT_TERMS);
    p.group = serial ? p.batch : divide_up(TASK_TERMS, terms);
    pb_pool_run(divide_up(p.batch, p.group), run_group, &p);
    return atomic_load(&failed) ? -1 : 0;
}
