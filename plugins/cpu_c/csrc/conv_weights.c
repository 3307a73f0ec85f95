/* The weights' gradient as an implicit matrix product (see conv_stage.h): rows are (channel, tap),
 * columns are outputs, the inner dimension are the elements of the result's gradient g.
 *
 *     sum[(channel, tap), o] = sum over (image, i, j) of staged x[offset + place] * g[o, (image, i, j)]
 *
 * A task has some channels and some of the chunks.  It stages x, then for each inner block packs g
 * (as B: [element][o]) and tile by tile the patches (as A: [row][element], copied by vectors), and
 * adds up in a buffer of its own, [row][o].  Buffers of tasks that share rows are added pairwise at
 * the end.  With very few outputs per group a column of the product is a set of dot products.
 *
 * Where windows reach outside x the staged zeros meet elements of g without being terms.  That is
 * harmless but for NaN and infinity in g: those are taken out of the packed block and added one by
 * one, to the sums that they are terms of. */
#include "conv_stage.h"

#include <string.h>

#include "copy.h"
#include "memory.h"
#include "pool.h"
#include "scratch.h"

enum {
    FEW_OUTPUTS = 2,
    TASKS = 16,
    COLUMNS = 768,         /* elements of a chunk */
    LEAST_ROWS = 128,      /* rows of a task: packing g is shared by them */
    MOST_BYTES = 32 << 20, /* of all buffers of sums */
    FINISHED_ROWS = 32,
    BUNCH = 64,            /* groups staged together, with few outputs: see conv_correlate.c */
};

typedef struct job {
    correlation c;
    const char *g;             /* c.y, read */
    int by_dots, outside;      /* outside: some window reaches outside x */
    int64_t taps, padded;      /* per channel; outputs, a multiple of nr */
    int64_t channels, channel_parts; /* of a task; per group */
    int64_t bunch, bunches;    /* groups of a task */
    int64_t splits;            /* of the chunks */
    int64_t rows;              /* of all tasks of one split */
    char *sums;                /* [split][row][padded] */
} job;

/* A task: channels [first, first + inputs) of some groups, a split of the chunks.  `at` is the one of
 * the groups being multiplied. */
typedef struct work {
    const job *job;
    int64_t group, groups, at, first, inputs, rows, pitch, length;
    part part;
    char *staged, *panel, *g, *sums, *row;
    int begun;
} work;

/* ---- the gradient's block ---------------------------------------------------------------- */

/* Runs of elements [start, start + length) of the part that lie along one row, one after another. */
typedef struct run {
    int64_t image, row, column, length;
} run;

static run run_at(const work *w, int64_t element, int64_t left)
{
    int64_t columns = w->job->c.result[1], row = element / columns;
    run r = { w->part.image + row / w->part.rows, w->part.row + row % w->part.rows,
              element % columns, 0 };
    r.length = smaller(columns - r.column, left);
    if (w->job->c.y_step[2] == columns * w->job->c.y_step[3]) /* rows follow each other */
        r.length = smaller(left, (w->part.rows - row % w->part.rows) * columns - r.column);
    return r;
}

/* `output` counts from the first group's. */
static const char *gradient_at(const work *w, run r, int64_t output)
{
    const correlation *c = &w->job->c;
    return w->job->g + (r.image * c->y_step[0] + (w->group * c->outputs + output) * c->y_step[1] +
                        r.row * c->y_step[2] + r.column * c->y_step[3]) * c->gemm.size;
}

/* To w->g: panels [nr outputs][element][output], or rows [output][element] for dot products. */
static void pack_gradient(const work *w, int64_t start)
{
    const correlation *c = &w->job->c;
    const pb_gemm_kernel *kernel = c->gemm.kernel;
    int64_t size = c->gemm.size;
    for (int64_t done = 0; done < w->length;) {
        run r = run_at(w, start + done, w->length - done);
        if (w->job->by_dots)
            pb_copy_plane((int)size, w->groups * c->outputs, r.length, gradient_at(w, r, 0),
                          c->y_step[1] * size, c->y_step[3] * size, w->g + done * size,
                          w->length * size, size);
        else
            for (int64_t o = 0; o < c->outputs; o += kernel->nr)
                kernel->pack(r.length, (int)smaller(kernel->nr, c->outputs - o),
                             gradient_at(w, r, o), c->y_step[3], c->y_step[1],
                             w->g + (o * w->length + done * kernel->nr) * size);
        done += r.length;
    }
}

/* ---- NaN and infinity -------------------------------------------------------------------- */

static int all_finite(const char *x, int64_t count, int64_t size)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    if (size == 8)
        for (int64_t i = 0; i < count; i++) {
            uint64_t bits;
            memcpy(&bits, x + i * 8, 8);
            wide |= (bits & INT64_C(0x7ff0000000000000)) + INT64_C(0x0010000000000000);
        }
    else
        for (int64_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, x + i * 4, 4);
            narrow |= (bits & 0x7f800000u) + 0x00800000u;
        }
    return !(wide >> 63) && !(narrow >> 31);
}

static char *sums_at(const work *w, int64_t row, int64_t output)
{
    int64_t of_group = w->job->c.inputs * w->job->taps;
    return w->sums + ((w->at * of_group + row) * w->job->padded + output) * w->job->c.gemm.size;
}

static char *staged_at(const work *w)
{
    return w->staged + w->at * w->job->c.image_size * w->job->c.gemm.size;
}

/* Adds x * g to the sums where the tap is inside x. */
static void add_terms(const work *w, int64_t element, int64_t output, const char *g)
{
    const correlation *c = &w->job->c;
    run r = run_at(w, element, 1);
    int64_t size = c->gemm.size;
    pb_move place;
    pb_conv_moves(c, w->part, w->groups * w->inputs, element, 1, &place);
    for (int64_t row = 0; row < w->rows; row++) {
        int64_t a = row / c->columns.count % c->rows.count, b = row % c->columns.count;
        int64_t i = r.row * c->rows.stride + c->rows.source[a];
        int64_t j = r.column * c->columns.stride + c->columns.source[b];
        if (i >= 0 && i < c->size[0] && j >= 0 && j < c->size[1])
            pb_conv_add_product(sums_at(w, row, output),
                                staged_at(w) + (c->offset[row] + place.from) * size, g, size);
    }
}

/* Takes them out of the packed block; add: and adds their terms. */
static void odd_elements(work *w, int64_t start, int add)
{
    const correlation *c = &w->job->c;
    int64_t size = c->gemm.size, nr = w->job->by_dots ? 1 : c->gemm.kernel->nr;
    for (int64_t o = 0; o < w->groups * c->outputs; o++)
        for (int64_t done = 0; done < w->length;) {
            run r = run_at(w, start + done, w->length - done);
            const char *from = gradient_at(w, r, o);
            char *to = w->g + (o / nr * nr * w->length + o % nr + done * nr) * size;
            w->at = o / c->outputs;
            for (int64_t k = 0; k < r.length; k++, from += c->y_step[3] * size, to += nr * size)
                if (!pb_conv_is_finite(from, size) && add)
                    add_terms(w, start + done + k, o % c->outputs, from);
                else if (!pb_conv_is_finite(from, size))
                    memset(to, 0, (size_t)size);
            done += r.length;
        }
}

/* ---- the product ------------------------------------------------------------------------- */

static void add_dots(const work *w, int64_t row, int64_t rows)
{
    const product *g = &w->job->c.gemm;
    int64_t chain = pb_gemm_chain(larger(1, w->length / g->kernel->lanes), g->k, 0);
    int64_t outputs = w->job->c.outputs, padded = w->job->padded;
    for (int64_t o = 0; o < outputs; o++) {
        char *sum = sums_at(w, row, o);
        g->kernel->dots(rows, w->length, chain, w->panel, w->pitch,
                        w->g + (w->at * outputs + o) * w->length * g->size, w->row, 1);
        for (int64_t i = 0; i < rows; i++)
            if (g->size == 8)
                ((double *)sum)[i * padded] += ((double *)w->row)[i];
            else
                ((float *)sum)[i * padded] += ((float *)w->row)[i];
    }
}

static void add_tiles(const work *w, int64_t row, int64_t rows)
{
    product p = w->job->c.gemm;
    pb_gemm_tile tile = { .a = w->panel, .k = w->length, .chunk = p.chunk, .a_row = w->pitch,
                          .a_col = 1, .b_row = p.kernel->nr, .rows = (int)rows,
                          .accumulate = w->begun };
    int64_t outputs = w->job->c.outputs, vector = p.kernel->vector;
    p.c_row = w->job->padded;
    p.c_col = 1;
    for (int64_t o = 0; o < outputs; o += p.kernel->nr) {
        tile.columns = (int)smaller(p.kernel->nr, divide_up(outputs - o, vector) * vector);
        tile.b = w->g + o * w->length * p.size;
        pb_gemm_run_tile(&p, &tile, sums_at(w, row, o));
    }
}

/* Elements [start, start + w->length) of the part. */
static void run_block(work *w, int64_t start, pb_move *moves)
{
    const correlation *c = &w->job->c;
    const product *g = &c->gemm;
    int64_t outputs = w->job->by_dots ? w->groups * c->outputs : w->job->padded;
    pack_gradient(w, start);
    int odd = w->job->outside && !all_finite(w->g, outputs * w->length, g->size);
    if (odd)
        odd_elements(w, start, 0);
    int n = pb_conv_moves(c, w->part, w->groups * w->inputs, start, w->length, moves);
    int64_t tiles = divide_up(w->rows, g->kernel->mr);
    for (w->at = 0; w->at < w->groups; w->at++)
        for (int64_t t = 0; t < tiles; t++) {
            int64_t row = t * w->rows / tiles, rows = (t + 1) * w->rows / tiles - row;
            g->kernel->gather(rows, c->offset + row, staged_at(w), n, moves, w->panel, w->pitch);
            if (w->job->by_dots)
                add_dots(w, row, rows);
            else
                add_tiles(w, row, rows);
        }
    if (odd)
        odd_elements(w, start, 1);
    w->begun = 1;
}

static void run_chunk(work *w, int64_t chunk, pb_move *moves)
{
    const correlation *c = &w->job->c;
    w->part = pb_conv_part(c, chunk);
    int64_t elements = w->part.images * w->part.rows * c->result[1];
    int64_t blocks = divide_up(elements, c->gemm.kc);
    pb_conv_stage(c, w->part, w->group, w->first, w->groups * w->inputs, w->staged);
    for (int64_t q = 0; q < blocks; q++) {
        int64_t start = q * elements / blocks;
        w->length = (q + 1) * elements / blocks - start;
        run_block(w, start, moves);
    }
}

static char *take(char **memory, int64_t bytes)
{
    char *taken = *memory;
    *memory += (bytes + 127) / 64 * 64;
    return taken;
}

static void run_task(void *context, int64_t index)
{
    const job *j = context;
    const correlation *c = &j->c;
    const product *g = &c->gemm;
    int64_t split = index % j->splits, rest = index / j->splits;
    work w = { .job = j, .group = rest / j->channel_parts * j->bunch,
               .first = rest % j->channel_parts * j->channels };
    w.groups = smaller(j->bunch, c->groups - w.group);
    w.inputs = smaller(j->channels, c->inputs - w.first);
    w.rows = w.inputs * j->taps;
    w.pitch = g->kc / 16 * 16 + 16 + g->kernel->vector; /* not a power of two; room for a long move */
    int64_t staged = (int64_t)pb_conv_staged(c, j->bunch * j->channels);
    int64_t moves = g->kc * (int64_t)sizeof(pb_move);
    int64_t panel = (g->kernel->mr * w.pitch + g->kernel->vector) * g->size;
    int64_t packed = g->kc * j->bunch * j->padded * g->size, row = g->kernel->mr * g->size;
    char *memory = pb_scratch_take((size_t)(staged + moves + panel + packed + row + 5 * 128));
    char *next = memory;
    if (!memory) {
        atomic_store(g->failed, 1);
        return;
    }
    w.staged = take(&next, staged);
    w.panel = take(&next, panel);
    w.g = take(&next, packed);
    w.row = take(&next, row);
    w.sums = j->sums + ((split * j->rows + (w.group * c->inputs + w.first) * j->taps) * j->padded) *
                           g->size;
    if (j->by_dots)
        memset(w.sums, 0, (size_t)(w.groups * w.rows * j->padded * g->size));
    int64_t chunks = chunks_of(c);
    for (int64_t k = split * chunks / j->splits; k < (split + 1) * chunks / j->splits; k++)
        run_chunk(&w, k, (pb_move *)next);
    pb_scratch_release(memory);
}

/* ---- the end ----------------------------------------------------------------------------- */

/* One row of the sums of all splits, pairwise, to the weights. */
static void finish_row(const job *j, int64_t row)
{
    const correlation *c = &j->c;
    int64_t size = c->gemm.size, step = j->rows * j->padded, group = row / c->gemm.m;
    char *sums = j->sums + row * j->padded * size;
    for (int64_t apart = 1; apart < j->splits; apart *= 2)
        for (int64_t s = 0; s + apart < j->splits; s += 2 * apart)
            for (int64_t o = 0; o < c->outputs; o++)
                if (size == 8)
                    ((double *)sums)[s * step + o] += ((double *)sums)[(s + apart) * step + o];
                else
                    ((float *)sums)[s * step + o] += ((float *)sums)[(s + apart) * step + o];
    pb_gemm_copy(size, c->outputs, 1, sums, 1, 0,
                 (char *)c->w + (group * c->w_group + c->weight[row % c->gemm.m]) * size,
                 c->w_step[0], 0);
}

static void finish_task(void *context, int64_t index)
{
    const job *j = context;
    int64_t last = smaller(j->rows, (index + 1) * FINISHED_ROWS);
    for (int64_t row = index * FINISHED_ROWS; row < last; row++)
        finish_row(j, row);
}

static void plan(job *j, int64_t elements)
{
    correlation *c = &j->c;
    product *g = &c->gemm;
    int64_t nr = g->kernel->nr, chunks = chunks_of(c);
    j->taps = c->rows.count * c->columns.count;
    j->padded = j->by_dots ? c->outputs : divide_up(c->outputs, nr) * nr;
    g->m = g->k; /* rows: (channel, tap) */
    j->rows = c->groups * g->m;
    g->k = elements;
    pb_gemm_cut(g);
    g->kc = smaller(larger(g->kernel->kc, 1), larger(1, divide_up(elements, chunks)));
    j->bunch = j->by_dots ? smaller(BUNCH, c->groups) : 1;
    j->bunches = divide_up(c->groups, j->bunch);
    j->channel_parts = larger(1, smaller(c->inputs, g->m / LEAST_ROWS));
    j->channel_parts = smaller(j->channel_parts, larger(1, TASKS / c->groups));
    if (j->bunch > 1)
        j->channel_parts = 1; /* the channels of groups staged together follow each other */
    j->channels = divide_up(c->inputs, j->channel_parts);
    j->channel_parts = divide_up(c->inputs, j->channels);
    int64_t blocks = chunks * divide_up(divide_up(elements, chunks), g->kc), least = 1;
    while (blocks / least * blocks / least > elements) /* blocks of a split: at most sqrt(elements) */
        least *= 2;
    int64_t most = larger(1, MOST_BYTES / larger(1, j->rows * j->padded * g->size));
    int64_t wanted = smaller(most, divide_up(TASKS, j->bunches * j->channel_parts));
    j->splits = smaller(chunks, larger(least, wanted));
    g->chunk = pb_gemm_chain(g->kc, elements, divide_up(blocks, j->splits));
    for (int axis = 0; axis < 2; axis++) {
        const taps *t = axis ? &c->columns : &c->rows;
        int64_t last = (c->result[axis] - 1) * t->stride;
        for (int64_t a = 0; a < t->count; a++)
            j->outside |= t->source[a] < 0 || last + t->source[a] >= c->size[axis];
    }
}

static void zero_weights(const correlation *c)
{
    for (int64_t row = 0; row < c->groups * c->gemm.k; row++)
        for (int64_t o = 0; o < c->outputs; o++)
            memset((char *)c->w + (row / c->gemm.k * c->w_group + o * c->w_step[0] +
                                   c->weight[row % c->gemm.k]) * c->gemm.size,
                   0, (size_t)c->gemm.size);
}

int pb_conv_weights(correlation *given)
{
    job j = { .c = *given, .g = given->y, .by_dots = given->outputs <= FEW_OUTPUTS };
    correlation *c = &j.c;
    int64_t elements = c->images * c->result[0] * c->result[1];
    if (pb_conv_prepare(c, COLUMNS) < 0)
        return -1;
    if (elements == 0 || c->outputs * c->groups * c->gemm.k == 0) {
        zero_weights(c);
        pb_conv_release(c);
        return 0;
    }
    plan(&j, elements);
    j.sums = pb_alloc((size_t)(j.splits * j.rows * j.padded * c->gemm.size));
    if (j.sums) {
        pb_pool_run(j.bunches * j.channel_parts * j.splits, run_task, &j);
        pb_pool_run(divide_up(j.rows, FINISHED_ROWS), finish_task, &j);
    }
    int status = j.sums && !atomic_load(c->gemm.failed) ? 0 : -1;
    pb_free(j.sums);
    pb_conv_release(c);
    return status;
}
