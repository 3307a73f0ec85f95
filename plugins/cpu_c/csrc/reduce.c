/* Reductions (see reduce.h): the driver of the fold and columns kernels.
 *
 * Elements arrive in blocks that are either already dense in memory (no program, contiguous) or made
 * by the interpreter in a register, so one engine serves plain, strided and fused reductions.
 *   rows    (inner == 1): blocks of a row are folded, block results combined pairwise.
 *   columns (inner > 1):  up to GROUP rows are added onto an accumulator as wide as a block; group
 *           results are combined pairwise.  Narrow matrices are read as if several rows were one
 *           (1e6 x 8 as 31250 x 256), and the accumulator is folded at the end.
 * Pairwise means a binary counter: the k-th level holds the result of 2^k groups, so rounding depth
 * is log2(groups).  With blocks of 1024 (depth 15) and groups of 128 rows (depth 16 + 3) the bound
 * min(n + 2, 8 + 2 sqrt n) holds for every n.
 * Long rows are cut into CHUNK elements, tall columns into chunks of rows, so that one result can be
 * made by all threads; the chunks' results are combined by the same two routines. */
#include "reduce.h"

#include <stdatomic.h>
#include <string.h>

#include "memory.h"
#include "pool.h"
#include "reduce_kernel.h"
#include "scratch.h"

enum {
    CHUNK = 64 << 10,       /* elements of one task: 10-30 us (see vm.c) */
    CHUNK_ADDITIONS = 512 << 10,
    DENSE_BLOCK = 1024,     /* elements folded at once; the bound above counts on it */
    GROUP = 128, LONE_GROUP = 16, /* rows added as trees of eight; one by one */
    WIDE = 256,             /* narrow rows are joined up to this many elements */
    LEVELS = 48,
};

typedef struct job {
    const pb_isa *isa;
    const pb_reduce *kernel;
    const void *program, *layout, *words;
    int64_t outer, length, inner; /* columns: after joining rows */
    int64_t joined, left;         /* rows joined into one; rows that were left over */
    int64_t chunk, chunks;        /* rows or elements of a part of `length`; how many parts */
    int64_t strip, strips;        /* columns of an accumulator; how many */
    int64_t units, per_task, work; /* of the pool; elements worth a task */
    int finishing, size;
    char *partial, *out;
    atomic_int status;
} job;

/* One element of any type. */
typedef struct item {
    uint64_t part[2];
} item;

/* Where elements come from: memory, or a frame. */
typedef struct source {
    const char *dense;
    pb_frame *frame;
    int64_t block;
    int size;
} source;

static const char *elements(const source *from, int64_t start, int64_t count)
{
    if (from->dense)
        return from->dense + start * from->size;
    pb_frame_run(from->frame, start, count);
    return from->frame->slots[from->frame->program->result];
}

/* ---- rows -------------------------------------------------------------------------------- */

/* Elements [start, start + count) to one value: fold blocks, combine pairwise. */
static void fold_range(const pb_reduce *kernel, const source *from, int64_t start, int64_t count,
                       char *out)
{
    item level[LEVELS], value;
    int64_t blocks = 0;
    int k;
    if (count <= from->block) {
        kernel->fold(count, elements(from, start, count), out);
        return;
    }
    for (int64_t i = 0; i < count; i += from->block) {
        int64_t length = count - i < from->block ? count - i : from->block;
        kernel->fold(length, elements(from, start + i, length), &value);
        for (k = 0; blocks >> k & 1; k++) {
            kernel->columns(1, 1, &value, 0, &level[k]);
            value = level[k];
        }
        level[k] = value;
        blocks++;
    }
    for (k = 0; !(blocks >> k & 1); k++)
        ;
    value = level[k];
    while (blocks >> ++k) {
        if (blocks >> k & 1) {
            kernel->columns(1, 1, &value, 0, &level[k]);
            value = level[k];
        }
    }
    memcpy(out, &value, (size_t)from->size);
}

/* Whole short rows: as many as fit one block are made at once. */
static void fold_rows(const job *j, const source *from, int64_t row, int64_t stop)
{
    int64_t together = from->dense ? stop - row : from->block / j->length;
    for (; row < stop; row += together) {
        int64_t rows = stop - row < together ? stop - row : together;
        const char *x = elements(from, row * j->length, rows * j->length);
        for (int64_t i = 0; i < rows; i++)
            j->kernel->fold(j->length, x + i * j->length * j->size,
                            j->out + (row + i) * j->size);
    }
}

static void row_task(const job *j, const source *from, int64_t unit, int64_t stop)
{
    if (j->length <= from->block) {
        fold_rows(j, from, unit, stop);
        return;
    }
    for (; unit < stop; unit++) {
        int64_t row = unit / j->chunks, start = unit % j->chunks * j->chunk;
        int64_t count = j->length - start < j->chunk ? j->length - start : j->chunk;
        char *target = j->chunks > 1 ? j->partial : j->out;
        fold_range(j->kernel, from, row * j->length + start, count, target + unit * j->size);
    }
}

/* ---- columns ----------------------------------------------------------------------------- */

/* One group of rows onto `acc`. */
static void add_group(const job *j, const source *from, int64_t start, int64_t rows, int64_t width,
                      char *acc, int begun)
{
    int64_t together = width == j->inner ? from->block / width : 1;
    together = from->dense ? rows : together > 1 ? together : 1;
    for (; rows > 0; rows -= together, start += together * j->inner) {
        int64_t some = rows < together ? rows : together;
        const char *x = elements(from, start, (some - 1) * j->inner + width);
        if (!begun)
            j->kernel->begin(width, x, acc);
        begun = 1;
        j->kernel->columns(some, width, x, j->inner, acc);
    }
}

/* `rows` rows of `width` columns, the first element at `start`, to `out`. */
static int reduce_columns(const job *j, const source *from, int64_t start, int64_t rows,
                          int64_t width, char *out)
{
    int lone = !from->dense && (width < j->inner || 2 * width > from->block);
    int64_t group = lone ? LONE_GROUP : GROUP, groups = 0, bytes = width * j->size;
    int depth = 2, k = 0;
    for (int64_t n = rows / group; n; n >>= 1)
        depth++;
    char *level = pb_scratch_take((size_t)(bytes * depth));
    if (!level)
        return PB_NO_MEMORY;
    for (int64_t i = 0; i < rows; i += group, groups++) {
        int64_t some = rows - i < group ? rows - i : group, at = start + i * j->inner;
        for (k = 0; groups >> k & 1; k++)
            ;
        char *acc = level + k * bytes; /* the first free level; lower ones join it */
        add_group(j, from, at, some, width, acc, 0);
        for (int lower = 0; lower < k; lower++)
            j->kernel->columns(1, width, level + lower * bytes, 0, acc);
    }
    for (k = 0; !(groups >> k & 1); k++)
        ;
    char *acc = level + k * bytes;
    while (groups >> ++k)
        if (groups >> k & 1)
            j->kernel->columns(1, width, level + k * bytes, 0, acc);
    memcpy(out, acc, (size_t)bytes);
    pb_scratch_release(level);
    return PB_OK;
}

/* Unit = (outer, chunk of rows, strip of columns). */
static int column_unit(const job *j, const source *from, int64_t unit)
{
    int64_t strip = unit % j->strips, chunk = unit / j->strips % j->chunks;
    int64_t o = unit / j->strips / j->chunks, first = strip * j->strip;
    int64_t width = j->inner - first < j->strip ? j->inner - first : j->strip;
    int64_t row = chunk * j->chunk, rows = j->length - row < j->chunk ? j->length - row : j->chunk;
    int64_t whole = j->length * j->inner + j->left * (j->inner / j->joined);
    char *target = j->partial ? j->partial : j->out;
    target += ((o * j->chunks + chunk) * j->inner + first) * j->size;
    return reduce_columns(j, from, o * whole + row * j->inner + first, rows, width, target);
}

/* The chunks' results, the joined rows and the rows left over, to the final row of `o`. */
static int finish_columns(const job *j, const source *from, int64_t o)
{
    int64_t inner = j->inner / j->joined;
    int64_t whole = j->length * j->inner + j->left * inner;
    char *row = j->partial + o * j->chunks * j->inner * j->size, *out = j->out + o * inner * j->size;
    source partials = { row, NULL, DENSE_BLOCK, j->size };
    job narrow = *j;
    if (j->chunks > 1 && reduce_columns(j, &partials, 0, j->chunks, j->inner, row) != PB_OK)
        return PB_NO_MEMORY;
    j->kernel->begin(inner, row, out);
    j->kernel->columns(j->joined, inner, row, inner, out);
    narrow.inner = inner;
    if (j->left)
        add_group(&narrow, from, o * whole + j->length * j->inner, j->left, inner, out, 1);
    return PB_OK;
}

/* ---- tasks ------------------------------------------------------------------------------- */

static int open_source(const job *j, source *from, pb_frame *frame)
{
    const pb_program *program = j->program;
    const pb_word *words = j->words;
    int direct = !program->instrs && pb_walk_of(j->layout, program->result)->kind == PB_DIRECT;
    from->size = j->size;
    from->frame = direct ? NULL : frame;
    from->block = program->block < DENSE_BLOCK ? program->block : DENSE_BLOCK;
    from->dense = direct ? (const char *)(uintptr_t)words[program->result].address : NULL;
    return direct ? PB_OK : pb_frame_open(frame, j->isa, program, j->layout, j->words);
}

/* The second step of one result: chunks together, joined rows apart. */
static int finish_unit(const job *j, const source *from, int64_t o)
{
    if (j->inner > 1)
        return finish_columns(j, from, o);
    source partials = { j->partial, NULL, DENSE_BLOCK, j->size };
    fold_range(j->kernel, &partials, o * j->chunks, j->chunks, j->out + o * j->size);
    return PB_OK;
}

static void run_task(void *context, int64_t index)
{
    job *j = context;
    pb_frame frame;
    source from;
    int64_t unit = index * j->per_task, stop = unit + j->per_task;
    int status = open_source(j, &from, &frame);
    stop = stop < j->units ? stop : j->units;
    if (status == PB_OK) {
        if (j->finishing)
            while (unit < stop && (status = finish_unit(j, &from, unit)) == PB_OK)
                unit++;
        else if (j->inner > 1)
            while (unit < stop && (status = column_unit(j, &from, unit)) == PB_OK)
                unit++;
        else
            row_task(j, &from, unit, stop);
        if (from.frame)
            pb_frame_close(&frame);
    }
    if (status != PB_OK)
        atomic_store(&j->status, status);
}

static int run_tasks(job *j, int64_t units, int64_t per_task)
{
    j->units = units;
    j->per_task = per_task > 1 ? per_task : 1;
    pb_pool_run((units + j->per_task - 1) / j->per_task, run_task, j);
    return atomic_load(&j->status);
}

static void plan(job *j)
{
    const pb_program *program = j->program;
    int64_t block = program->block < DENSE_BLOCK ? program->block : DENSE_BLOCK;
    int64_t chunk = CHUNK_ADDITIONS / program->cost;
    chunk = chunk < CHUNK ? chunk : CHUNK;
    chunk = chunk > 2 * block ? chunk / block * block : 2 * block;
    if (j->inner > 1 && j->inner <= WIDE / 2 && j->length > 2 * WIDE / j->inner) {
        j->joined = WIDE / j->inner;
        j->left = j->length % j->joined;
        j->length /= j->joined;
        j->inner *= j->joined;
    }
    j->strip = j->inner < block ? j->inner : block;
    j->strips = (j->inner + j->strip - 1) / j->strip;
    j->chunk = j->inner == 1 ? chunk : (chunk / j->strip + GROUP - 1) / GROUP * GROUP;
    if (j->length <= 2 * j->chunk)
        j->chunk = j->length;
    j->chunks = (j->length + j->chunk - 1) / j->chunk;
    j->work = chunk;
}

int pb_reduce_run(const pb_isa *isa, int reduce, int size, const void *program, const void *layout,
                  const void *words, int64_t outer, int64_t length, int64_t inner, void *out)
{
    job j = { .isa = isa, .kernel = &isa->reduces[reduce], .program = program, .layout = layout,
              .words = words, .outer = outer, .length = length, .inner = inner, .joined = 1,
              .size = size, .out = out, .status = PB_OK };
    plan(&j);
    if (j.chunks > 1 || j.joined > 1) {
        j.partial = pb_alloc((size_t)(outer * j.chunks * j.inner * size));
        if (!j.partial)
            return PB_NO_MEMORY;
    }
    int status = run_tasks(&j, outer * j.chunks * j.strips, j.work / (j.chunk * j.strip));
    if (status == PB_OK && j.partial) {
        j.finishing = 1;
        status = run_tasks(&j, outer, j.work / (j.chunks * j.inner));
    }
    pb_free(j.partial);
    return status;
}
