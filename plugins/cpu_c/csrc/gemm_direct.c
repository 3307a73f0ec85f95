/* Direct path of the matrix product: small or thin products, and the fallback when memory is short.
 *
 * A is always read in place.  B is read in place when its rows are contiguous, else each task
 * copies the panels it needs, one inner block at a time.  Where B is far away and read by few row
 * tiles, inner blocks are short, so that B is swept over by whole rows. */
#include "gemm_product.h"
#include "memory.h"
#include "pool.h"

enum {
    FAR_BYTES = 1 << 20,     /* B beyond this is not expected in L2 */
    SWEPT_ROWS = 64,         /* rows of B in a sweep: 32 and 128 are as fast, 384 takes 1.3 times as long */
    SWEPT_COLUMNS = 512,     /* of a task: two pages of each row at a time */
    SCRATCH_BYTES = 16 << 10 /* copies of B kept on the stack: no allocation up to 32 x 128 f32 */
};

/* B in place, or copied because its rows are not contiguous or because a padded tail is needed. */
enum { IN_PLACE, TAIL_COPIED, COPIED };

static int use_of_b(const product *p)
{
    if (p->b_col != 1)
        return COPIED;
    return p->n % p->kernel->nr && !p->kernel->masked ? TAIL_COPIED : IN_PLACE;
}

/* Copies columns [j, end) of inner block [start, start + length), eight rows of B at a time. */
static void copy_panels(const product *p, int64_t start, int64_t length, int64_t j, int64_t end,
                        char *scratch)
{
    const int nr = p->kernel->nr;
    int64_t strip = p->b_col == 1 ? 8 : length;
    for (int64_t q = 0; q < length; q += strip)
        for (int64_t column = j; column < end; column += nr)
            p->kernel->pack(smaller(strip, length - q), (int)smaller(nr, end - column),
                            p->b + ((start + q) * p->b_row + column * p->b_col) * p->size,
                            p->b_row, p->b_col,
                            scratch + ((column - j) * length + q * nr) * p->size);
}

/* Row tiles [first, last) of one panel of columns over one inner block. */
static void direct_panel(const product *p, pb_gemm_tile *tile, int64_t first, int64_t last,
                         int64_t start, int64_t j)
{
    for (int64_t t = first; t < last; t++) {
        int64_t i = first_row(p, t);
        tile->rows = (int)(first_row(p, t + 1) - i);
        tile->a = p->a + (i * p->a_row + start * p->a_col) * p->size;
        pb_gemm_run_tile(p, tile, p->c + (i * p->c_row + j * p->c_col) * p->size);
    }
}

static void direct_block(const product *p, int64_t index, char *scratch)
{
    const int nr = p->kernel->nr, use = use_of_b(p);
    int64_t first = index % p->row_tasks * p->tiles_per_task;
    int64_t last = smaller(first + p->tiles_per_task, p->row_tiles);
    int64_t from = index / p->row_tasks * p->columns_per_task;
    int64_t end = smaller(from + p->columns_per_task, p->n);
    for (int64_t start = 0; start < p->k; start += p->kc) {
        int64_t length = smaller(p->kc, p->k - start);
        if (use == COPIED)
            copy_panels(p, start, length, from, end, scratch);
        for (int64_t j = from; j < end; j += nr) {
            pb_gemm_tile tile = { .k = length, .chunk = p->chunk, .a_row = p->a_row,
                                  .a_col = p->a_col, .accumulate = start > 0,
                                  .columns = (int)smaller(nr, end - j) };
            int copied = use == COPIED || (use == TAIL_COPIED && tile.columns < nr);
            tile.b = p->b + (start * p->b_row + j * p->b_col) * p->size;
            tile.b_row = p->b_row;
            if (copied) {
                tile.b = use == COPIED ? scratch + (j - from) * length * p->size : scratch;
                tile.b_row = nr;
            }
            if (copied && use == TAIL_COPIED)
                copy_panels(p, start, length, j, end, scratch);
            direct_panel(p, &tile, first, last, start, j);
        }
    }
}

static void direct_task(void *context, int64_t index)
{
    const product *p = context;
    const int nr = p->kernel->nr, use = use_of_b(p);
    _Alignas(64) char stack[SCRATCH_BYTES];
    int64_t columns = use == COPIED ? smaller(p->columns_per_task, divide_up(p->n, nr) * nr) : nr;
    size_t nbytes = use == IN_PLACE ? 0 : (size_t)(smaller(p->kc, p->k) * columns * p->size);
    char *scratch = nbytes <= sizeof stack ? stack : pb_alloc(nbytes);
    if (scratch)
        direct_block(p, index, scratch);
    else
        atomic_store(p->failed, 1);
    if (scratch != stack)
        pb_free(scratch);
}

/* A panel takes 64-128 bytes of each row of B: over all k that costs a page and a TLB entry per row, and
 * nothing fetches ahead.  A few rows at a time, the next panel is what follows in memory. */
int pb_gemm_is_swept(const product *p)
{
    return p->row_tiles <= SWEPT_TILES && p->b_col == 1 && p->k > SWEPT_ROWS &&
           p->k * p->n * p->size > FAR_BYTES;
}

void pb_gemm_run_direct(product *p)
{
    p->columns_per_task = p->kernel->nb;
    if (pb_gemm_is_swept(p)) {
        p->kc = larger(SWEPT_ROWS, p->k / 128); /* a rounding for each */
        p->chunk = pb_gemm_chain(p->kc, p->k, divide_up(p->k, p->kc) - 1);
        p->columns_per_task = SWEPT_COLUMNS;
    }
    int64_t width = smaller(p->n, p->columns_per_task);
    int64_t terms_per_tile = larger(1, p->m / p->row_tiles * width * p->k);
    p->tiles_per_task = smaller(p->row_tiles, divide_up(TASK_TERMS, terms_per_tile));
    p->row_tasks = divide_up(p->row_tiles, p->tiles_per_task);
    int64_t tasks = p->row_tasks * divide_up(p->n, p->columns_per_task);
    if (p->m * p->n * p->k >= PARALLEL_TERMS)
        pb_pool_run(tasks, direct_task, p);
    else
        for (int64_t index = 0; index < tasks; index++)
            direct_task(p, index);
}

