/* Convolution as an implicit matrix product (see conv_stage.h): rows are outputs, columns are elements
 * of the result of a chunk, the inner dimension is (channel, tap).
 *
 * The weights are packed into row panels once, like A in gemm_packed.c.  A task stages its part of the
 * input, then packs panels of kc x nr patches from there, block by block, and multiplies all its rows
 * with them while they are in cache.  Where the result is dense in memory tiles go straight to it;
 * else (other layouts, several small images in one task) they are added up in a buffer.
 * With very few outputs per group (depthwise convolution) packing would not pay: then every row of
 * the result is a sum of shifted rows of the staged input, one pass with the sums in registers. */
#include "conv_stage.h"

#include <string.h>

#include "copy.h"
#include "memory.h"
#include "pool.h"
#include "scratch.h"

enum {
    FEW_OUTPUTS = 2,          /* per group: no packing */
    TASKS = 16,               /* wanted; chunks shrink down to LEAST_COLUMNS for that */
    MOST_COLUMNS = 768, LEAST_COLUMNS = 128,
    LEAST_TILES = 8,          /* row tiles that are worth staging and packing again */
    BUNCH = 64,               /* groups staged together: whole cache lines of adjacent channels */
};

typedef struct job {
    correlation c;
    int by_lines;
    int64_t bunch, bunches;    /* groups of a task */
    int64_t row_groups, tiles; /* row tiles: groups of so many */
    int64_t units, per_task;
    char *weights;             /* packed: [group], panels as in gemm_packed.c */
} job;

/* ---- weights ----------------------------------------------------------------------------- */

static int64_t block_length(const product *g, int64_t q)
{
    return smaller(g->kc, g->k - q * g->kc);
}

static char *weight_panel(const job *j, int64_t group, int64_t q, int64_t row)
{
    const product *g = &j->c.gemm;
    int64_t at = group * g->m * g->k + q * g->kc * g->m + row * block_length(g, q);
    return j->weights + at * g->size;
}

/* One row of the weights of every group, task by task. */
static void pack_weights(void *context, int64_t index)
{
    const job *j = context;
    const product *g = &j->c.gemm;
    int64_t group = index / g->m, row = index % g->m, size = g->size;
    const char *w = j->c.w + (group * j->c.w_group + row * j->c.w_step[0]) * size;
    for (int64_t p = 0, q = 0; p < g->k; q++) {
        char *to = weight_panel(j, group, q, row);
        for (int64_t end = p + block_length(g, q); p < end; p++, to += size) {
            const char *from = w + j->c.weight[p] * size;
            memcpy(to, from, size == 4 ? 4 : 8);
            if (j->c.odd_weights && !pb_conv_is_finite(from, size)) {
                memset(to, 0, (size_t)size);
                atomic_store(j->c.odd_weights, 1);
            }
        }
    }
}

/* ---- one task ---------------------------------------------------------------------------- */

/* A task's rows and its part of the result. */
typedef struct work {
    const job *job;
    part part;
    int64_t group, groups, first_tile, last_tile, i0, i1;
    char *staged, *panels, *sums;
} work;

static char *result_at(const correlation *c, int64_t image, int64_t out, int64_t i, int64_t column)
{
    return c->y + (image * c->y_step[0] + out * c->y_step[1] + i * c->y_step[2] +
                   column * c->y_step[3]) * c->gemm.size;
}

/* Are the elements of a part adjacent? */
static int is_dense(const correlation *c, part part)
{
    return part.images == 1 && c->y_step[3] == 1 && c->gemm.k > 0 &&
           (part.rows == 1 || c->y_step[2] == c->result[1]);
}

/* Elements [start, start + count) of the part from the buffer of sums, run by run. */
static void store_sums(const work *w, int64_t start, int64_t count, int64_t pitch)
{
    const correlation *c = &w->job->c;
    int64_t columns = c->result[1], size = c->gemm.size;
    for (int64_t done = 0, run; done < count; done += run) {
        int64_t row = (start + done) / columns, column = (start + done) % columns;
        run = smaller(columns - column, count - done);
        pb_copy_plane((int)size, w->i1 - w->i0, run, w->sums + done * size, pitch * size, size,
                      result_at(c, w->part.image + row / w->part.rows,
                                w->group * c->outputs + w->i0, w->part.row + row % w->part.rows,
                                column),
                      c->y_step[1] * size, c->y_step[3] * size);
    }
}

static void pack_patches(const work *w, int64_t q, int64_t start, int64_t count)
{
    const correlation *c = &w->job->c;
    const product *g = &c->gemm;
    int64_t length = block_length(g, q), nr = g->kernel->nr;
    pb_move moves[64];
    for (int64_t done = 0; done < count; done += nr) {
        int n = pb_conv_moves(c, w->part, c->inputs, start + done, smaller(nr, count - done), moves);
        g->kernel->gather(length, c->offset + q * g->kc, w->staged, n, moves,
                          w->panels + done * length * g->size, nr);
    }
}

/* Columns [start, start + count) of the part; `c` is where the first of them goes, rows pitch apart. */
static void multiply(const work *w, int64_t start, int64_t count, char *to, int64_t pitch)
{
    product p = w->job->c.gemm;
    int64_t nr = p.kernel->nr;
    p.c_row = pitch;
    p.c_col = 1;
    for (int64_t q = 0; q * p.kc < p.k; q++) {
        pb_gemm_tile tile = { .k = block_length(&p, q), .chunk = p.chunk, .b_row = nr, .a_col = 1,
                              .accumulate = q > 0 };
        tile.a_row = tile.k;
        pack_patches(w, q, start, count);
        for (int64_t t = w->first_tile; t < w->last_tile; t++) {
            int64_t i = first_row(&p, t);
            tile.rows = (int)(first_row(&p, t + 1) - i);
            tile.a = weight_panel(w->job, w->group, q, i);
            for (int64_t j = 0; j < count; j += nr) {
                tile.b = w->panels + j * tile.k * p.size;
                tile.columns = (int)smaller(nr, count - j);
                pb_gemm_run_tile(&p, &tile, to + ((i - w->i0) * pitch + j) * p.size);
            }
        }
    }
}

static void run_product(const work *w)
{
    const correlation *c = &w->job->c;
    int64_t columns = w->part.images * w->part.rows * c->result[1];
    int64_t most = c->gemm.kernel->nb, dense = is_dense(c, w->part);
    for (int64_t start = 0; start < columns; start += most) {
        int64_t count = smaller(most, columns - start);
        if (dense) {
            char *to = result_at(c, w->part.image, w->group * c->outputs + w->i0, w->part.row, start);
            multiply(w, start, count, to, c->y_step[1]);
            continue;
        }
        if (c->gemm.k == 0)
            memset(w->sums, 0, (size_t)((w->i1 - w->i0) * most * c->gemm.size));
        multiply(w, start, count, w->sums, most);
        store_sums(w, start, count, most);
    }
}

/* Row i of every output of the groups as a sum of staged rows. */
static void run_line(const work *w, int64_t image, int64_t i)
{
    const correlation *c = &w->job->c;
    const product *g = &c->gemm;
    int64_t columns = c->result[1], size = g->size, outputs = w->groups * c->outputs;
    char *to = result_at(c, w->part.image + image, w->group * c->outputs, w->part.row + i, 0);
    int direct = c->y_step[3] == 1;
    for (int64_t o = 0; o < outputs; o++) {
        int64_t group = o / c->outputs;
        const char *x = w->staged +
                        ((image * w->groups + group) * c->image_size + i * c->width) * size;
        g->kernel->line(g->k, g->chunk, c->offset, x,
                        weight_panel(w->job, w->group + group, 0, o % c->outputs), columns,
                        direct ? to + o * c->y_step[1] * size : w->sums + o * columns * size);
    }
    if (!direct)
        pb_copy_plane((int)size, outputs, columns, w->sums, columns * size, size, to,
                      c->y_step[1] * size, c->y_step[3] * size);
}

static void run_lines(const work *w)
{
    for (int64_t image = 0; image < w->part.images; image++)
        for (int64_t i = 0; i < w->part.rows; i++)
            run_line(w, image, i);
}

static int64_t panel_bytes(const job *j)
{
    const product *g = &j->c.gemm;
    int64_t columns = divide_up(g->kernel->nb, g->kernel->nr) * g->kernel->nr;
    return j->by_lines ? 0 : (columns * smaller(g->kc, g->k) + g->kernel->vector) * g->size;
}

static void run_task(void *context, int64_t index)
{
    const job *j = context;
    const correlation *c = &j->c;
    int64_t unit = index * j->per_task, stop = smaller(unit + j->per_task, j->units);
    int64_t staged = (int64_t)pb_conv_staged(c, j->bunch * c->inputs), panels = panel_bytes(j);
    int64_t sums = c->gemm.m * (j->by_lines ? j->bunch * c->result[1] : c->gemm.kernel->nb);
    sums *= c->gemm.size;
    char *memory = pb_scratch_take((size_t)(staged + panels + sums + 2 * 64));
    if (!memory) {
        atomic_store(c->gemm.failed, 1);
        return;
    }
    work w = { .job = j, .staged = memory, .panels = memory + (staged + 63) / 64 * 64 };
    w.sums = w.panels + (panels + 63) / 64 * 64;
    for (; unit < stop; unit++) {
        int64_t rows = unit % j->row_groups, rest = unit / j->row_groups;
        w.group = rest % j->bunches * j->bunch;
        w.groups = smaller(j->bunch, c->groups - w.group);
        w.part = pb_conv_part(c, rest / j->bunches);
        w.first_tile = rows * j->tiles;
        w.last_tile = smaller(w.first_tile + j->tiles, c->gemm.row_tiles);
        w.i0 = first_row(&c->gemm, w.first_tile);
        w.i1 = first_row(&c->gemm, w.last_tile);
        pb_conv_stage(c, w.part, w.group, 0, w.groups * c->inputs, w.staged);
        if (j->by_lines)
            run_lines(&w);
        else
            run_product(&w);
    }
    pb_scratch_release(memory);
}

/* ---- plan -------------------------------------------------------------------------------- */

static void plan(job *j)
{
    correlation *c = &j->c;
    product *g = &c->gemm;
    g->m = c->outputs;
    g->row_tiles = divide_up(g->m, g->kernel->mr);
    pb_gemm_cut(g);
    if (j->by_lines) {
        g->kc = larger(1, g->k);
        g->chunk = pb_gemm_chain(larger(1, g->k), g->k, 0);
    }
    j->bunch = j->by_lines ? smaller(BUNCH, c->groups) : 1;
    j->bunches = divide_up(c->groups, j->bunch);
    int64_t tasks = chunks_of(c) * j->bunches;
    int64_t groups = j->by_lines ? 1 : smaller(divide_up(TASKS, tasks), g->row_tiles / LEAST_TILES);
    j->tiles = divide_up(g->row_tiles, larger(1, groups));
    j->row_groups = divide_up(g->row_tiles, j->tiles);
    j->units = tasks * j->row_groups;
    int64_t terms = divide_up(c->images * c->result[0] * c->result[1], chunks_of(c)) * j->bunch;
    terms *= g->m * larger(1, g->k);
    j->per_task = larger(1, TASK_TERMS / larger(1, terms / j->row_groups));
    if (terms * tasks < PARALLEL_TERMS)
        j->per_task = j->units;
}

int pb_conv_correlate(correlation *given)
{
    job j = { .c = *given, .by_lines = given->outputs <= FEW_OUTPUTS };
    correlation *c = &j.c;
    int64_t elements = c->images * c->result[0] * c->result[1];
    if (elements == 0 || c->outputs * c->groups == 0)
        return 0;
    int64_t columns = elements / divide_up(TASKS, j.by_lines ? divide_up(c->groups, BUNCH) : c->groups);
    columns = columns > MOST_COLUMNS ? MOST_COLUMNS : larger(columns, LEAST_COLUMNS);
    if (pb_conv_prepare(c, columns) < 0)
        return -1;
    plan(&j);
    j.weights = pb_alloc((size_t)(c->groups * c->gemm.m * c->gemm.k * c->gemm.size));
    if (!j.weights) {
        pb_conv_release(c);
        return -1;
    }
    if (c->gemm.m * c->groups * c->gemm.k >= PARALLEL_TERMS / 16)
        pb_pool_run(c->groups * c->gemm.m, pack_weights, &j);
    else
        for (int64_t index = 0; index < c->groups * c->gemm.m; index++)
            pack_weights(&j, index);
    pb_pool_run(divide_up(j.units, j.per_task), run_task, &j);
    pb_free(j.weights);
    pb_conv_release(c);
    return atomic_load(c->gemm.failed) ? -1 : 0;
}
