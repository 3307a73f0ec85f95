/* Packed path of the matrix product: large problems.
 *
 * B, and A where its rows are not contiguous, are copied into panels, all threads together, then blocks of C are computed: for each
 * inner block an A panel (mr x kc) stays in L1 while the B panels of the task (kc x nb) stream from
 * L2.  Up to PACKED_BYTES of each operand are packed at once, so a product of 1000 x 1000 x 1000
 * needs two parallel loops in all.
 *
 * The packed copy of inner block q holds its kc x all rows or columns; panels follow each other
 * inside a block, those of A as [p][row].  Rows of A that are contiguous are read in place: the tile
 * takes strides, and the copy cost 2 % of 1000 x 1000 x 1000, 5 % of 2048 x 2048 x 2048, where rows
 * share the sets of L1. */
#include "gemm_product.h"
#include "memory.h"
#include "pool.h"

#include <string.h>

enum {
    MOST_TILES = 8,          /* row tiles of a task: 0.2 ms for 112 x 256 x 1000 */
    SUPER = 4096,            /* most rows of A, columns of B packed at a time */
    PACKED_BYTES = 16 << 20  /* most bytes of A, of B packed at a time */
};

static int64_t block_length(const product *p, int64_t q)
{
    return smaller(p->kc, p->p1 - p->p0 - q * p->kc);
}

static int64_t blocks(const product *p)
{
    return divide_up(p->p1 - p->p0, p->kc);
}

static int64_t column_tasks(const product *p)
{
    return divide_up(p->j1 - p->j0, p->kernel->nb);
}

static int64_t row_tasks(const product *p)
{
    return divide_up(p->last_tile - p->first_tile, p->tiles_per_task);
}

static int in_place(const product *p)
{
    return p->a_col == 1;
}

static char *panel_of_a(const product *p, int64_t q, int64_t row)
{
    int64_t rows = p->i1 - p->i0;
    return p->packed_a + (q * p->kc * rows + (row - p->i0) * block_length(p, q)) * p->size;
}

static char *panel_of_b(const product *p, int64_t q, int64_t column)
{
    int64_t padded = divide_up(p->j1 - p->j0, p->kernel->nr) * p->kernel->nr;
    return p->packed_b + (q * p->kc * padded + (column - p->j0) * block_length(p, q)) * p->size;
}

static void pack_row_panel(const product *p, int64_t q, int64_t row, int64_t rows)
{
    const char *from = p->a + (row * p->a_row + (p->p0 + q * p->kc) * p->a_col) * p->size;
    char *to = panel_of_a(p, q, row);
    int64_t length = block_length(p, q), size = p->size;
    if (p->a_row == 1)
        for (int64_t i = 0; i < length; i++)
            memcpy(to + i * rows * size, from + i * p->a_col * size, (size_t)(rows * size));
    else
        pb_gemm_copy(size, length, rows, from, p->a_col, p->a_row, to, rows, 1);
}

static void pack_a_task(void *context, int64_t index)
{
    const product *p = context;
    int64_t q = index % blocks(p), tile = p->first_tile + index / blocks(p) * p->tiles_per_task;
    int64_t last = smaller(tile + p->tiles_per_task, p->last_tile);
    for (; tile < last; tile++)
        pack_row_panel(p, q, first_row(p, tile), first_row(p, tile + 1) - first_row(p, tile));
}

static void pack_b_task(void *context, int64_t index)
{
    const product *p = context;
    int64_t q = index % blocks(p), start = p->p0 + q * p->kc;
    int64_t j = p->j0 + index / blocks(p) * p->kernel->nb;
    int64_t end = smaller(j + p->kernel->nb, p->j1);
    for (; j < end; j += p->kernel->nr)
        p->kernel->pack(block_length(p, q), (int)smaller(p->kernel->nr, end - j),
                        p->b + (start * p->b_row + j * p->b_col) * p->size, p->b_row, p->b_col,
                        panel_of_b(p, q, j));
}

/* One block of C: for each kc, an A panel stays in L1 while the B panels stream from L2. */
static void packed_task(void *context, int64_t index)
{
    const product *p = context;
    const int nr = p->kernel->nr;
    int64_t first = p->first_tile + index % row_tasks(p) * p->tiles_per_task;
    int64_t last = smaller(first + p->tiles_per_task, p->last_tile);
    int64_t from = p->j0 + index / row_tasks(p) * p->kernel->nb;
    int64_t end = smaller(from + p->kernel->nb, p->j1);
    for (int64_t q = 0; q < blocks(p); q++) {
        pb_gemm_tile tile = { .k = block_length(p, q), .chunk = p->chunk, .b_row = nr,
                              .accumulate = p->p0 + q > 0 };
        for (int64_t t = first; t < last; t++) {
            int64_t i = first_row(p, t);
            tile.rows = (int)(first_row(p, t + 1) - i);
            tile.a = p->a + (i * p->a_row + p->p0 + q * p->kc) * p->size;
            tile.a_row = p->a_row;
            tile.a_col = 1;
            if (!in_place(p)) {
                tile.a = panel_of_a(p, q, i);
                tile.a_row = 1;
                tile.a_col = tile.rows;
            }
            for (int64_t j = from; j < end; j += nr) {
                tile.b = panel_of_b(p, q, j);
                tile.columns = (int)smaller(nr, end - j);
                pb_gemm_run_tile(p, &tile, p->c + (i * p->c_row + j * p->c_col) * p->size);
            }
        }
    }
}

static void pack_task(void *context, int64_t index)
{
    const product *p = context;
    int64_t of_b = column_tasks(p) * blocks(p);
    if (p->first_tile > 0) /* B is packed together with the first rows of A */
        of_b = 0;
    if (index < of_b)
        pack_b_task(context, index);
    else
        pack_a_task(context, index - of_b);
}

static void run_super_rows(product *p)
{
    int64_t most_tiles = larger(1, SUPER / p->kernel->mr);
    for (p->first_tile = 0; p->first_tile < p->row_tiles; p->first_tile = p->last_tile) {
        p->last_tile = smaller(p->first_tile + most_tiles, p->row_tiles);
        p->i0 = first_row(p, p->first_tile);
        p->i1 = first_row(p, p->last_tile);
        int64_t packs = (in_place(p) ? 0 : row_tasks(p)) + (p->first_tile ? 0 : column_tasks(p));
        pb_pool_run(packs * blocks(p), pack_task, p);
        pb_pool_run(row_tasks(p) * column_tasks(p), packed_task, p);
    }
}

int pb_gemm_run_packed(product *p)
{
    const int nr = p->kernel->nr;
    int64_t rows = smaller(p->m, SUPER), columns = divide_up(smaller(p->n, SUPER), nr) * nr;
    int64_t depth = smaller(divide_up(p->k, p->kc),
                            larger(1, PACKED_BYTES / (larger(rows, columns) * p->kc * p->size)));
    depth *= p->kc;
    p->tiles_per_task = larger(1, smaller(MOST_TILES, p->row_tiles / 8));
    if (!in_place(p))
        p->packed_a = pb_alloc((size_t)(smaller(depth, p->k) * rows * p->size));
    p->packed_b = pb_alloc((size_t)(smaller(depth, p->k) * columns * p->size));
    int status = (p->packed_a || in_place(p)) && p->packed_b ? 0 : -1;
    for (p->j0 = 0; !status && p->j0 < p->n; p->j0 = p->j1) {
        p->j1 = smaller(p->j0 + SUPER, p->n);
        for (p->p0 = 0; p->p0 < p->k; p->p0 = p->p1) {
            p->p1 = smaller(p->p0 + depth, p->k);
            run_super_rows(p);
        }
    }
    pb_free(p->packed_a);
    pb_free(p->packed_b);
    return status;
}

