/* Where the first minimum or maximum of each lane is (see rows.h): the driver of simd/place.inc.
 *
 * Units of work are strips of lanes, and chunks of those where they are few and long; the best of
 * every chunk is kept, and the first best chunk has the answer, so that the cuts do not show. */
#include "rows.h"

#include <stdatomic.h>
#include <string.h>

#include "memory.h"
#include "pool.h"
#include "reduce_kernel.h"
#include "scratch.h"
#include "vm.h"

enum {
    PIECE = 2048, PIECE_ROWS = 32, /* elements per lane that pass through a buffer at once */
    TASK = 32 << 10, CHUNK = 64 << 10, /* elements */
    FEW_STRIPS = 32,
    TURNED = 128,
    STAGED_LANES = 16,
};

typedef struct job {
    const pb_place *kernel;
    const pb_lanes *spec;
    char *const *operands;
    int size, side_by_side, staged;
    int64_t width, strips, chunk, chunks, units, per_task;
    char *values;     /* where there are chunks: of each, as many as a strip is wide */
    int64_t *indexes;
    atomic_int status;
} job;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void run_tile(const job *j, int64_t rows, int64_t columns, pb_tile x, int64_t first,
                     char *values, int64_t *indexes)
{
    if (j->side_by_side) {
        if (indexes[0] < 0) { /* the first row is the best so far */
            memcpy(values, x.data, (size_t)(columns * j->size));
            for (int64_t k = 0; k < columns; k++)
                indexes[k] = first;
        }
        j->kernel->columns(rows, columns, x.data, x.row / j->size, first, values, indexes);
        return;
    }
    for (int64_t i = 0; i < rows; i++, x.data += x.row)
        j->kernel->lane(columns, x.data, first, values + i * j->size, &indexes[i]);
}

/* One chunk of a strip to the best of every lane. */
static void run_unit(const job *j, const pb_strip *strip, int64_t first, char *values,
                     int64_t *indexes, char *buffer)
{
    int64_t last = smaller(first + j->chunk, j->spec->length);
    int64_t piece = !j->staged ? j->chunk : j->side_by_side ? PIECE_ROWS : PIECE;
    for (int64_t k = 0; k < strip->lanes; k++)
        indexes[k] = -1;
    for (; first < last; first += piece) {
        int64_t length = smaller(piece, last - first);
        int64_t rows = j->side_by_side ? length : strip->lanes;
        int64_t columns = j->side_by_side ? strip->lanes : length;
        pb_tile from = pb_tile_of(j->spec, strip, j->side_by_side, 0, first);
        run_tile(j, rows, columns, pb_tile_open(j->size, rows, columns, from, buffer, 1), first,
                 values, indexes);
    }
}

static void store(const pb_strip *strip, int64_t lane, int64_t index)
{
    *(int64_t *)(strip->start[1] + lane * strip->across[1]) = index;
}

static void run_task(void *context, int64_t task)
{
    job *j = context;
    int64_t unit = task * j->per_task, stop = smaller(unit + j->per_task, j->units);
    int64_t rows = j->side_by_side ? PIECE_ROWS : j->width;
    int64_t columns = j->side_by_side ? j->width : PIECE;
    int64_t kept = j->width * (8 + j->size);
    int64_t bytes = j->staged ? rows * pb_tile_pitch(j->size, columns) : 0;
    char *own = pb_scratch_take((size_t)(kept + bytes));
    if (!own) {
        atomic_store(&j->status, PB_NO_MEMORY);
        return;
    }
    for (; unit < stop; unit++) {
        pb_strip strip = pb_lanes_strip(j->spec, j->operands, j->width, unit / j->chunks);
        int64_t *indexes = (int64_t *)own, at = unit * j->width;
        char *values = own + 8 * j->width;
        if (j->chunks > 1) {
            indexes = j->indexes + at;
            values = j->values + at * j->size;
        }
        run_unit(j, &strip, unit % j->chunks * j->chunk, values, indexes, own + kept);
        for (int64_t k = 0; j->chunks == 1 && k < strip.lanes; k++)
            store(&strip, k, indexes[k]);
    }
    pb_scratch_release(own);
}

/* The first best chunk of every lane of a strip. */
static void finish_task(void *context, int64_t index)
{
    const job *j = context;
    pb_strip strip = pb_lanes_strip(j->spec, j->operands, j->width, index);
    char *values = j->values + index * j->chunks * j->width * j->size;
    const int64_t *indexes = j->indexes + index * j->chunks * j->width;
    int64_t chunks[PLACE_WIDTH] = { 0 };
    j->kernel->columns(j->chunks - 1, strip.lanes, values + j->width * j->size, j->width, 1, values,
                       chunks);
    for (int64_t k = 0; k < strip.lanes; k++)
        store(&strip, k, indexes[chunks[k] * j->width + k]);
}

static void cut(job *j)
{
    const pb_lanes *spec = j->spec;
    j->side_by_side = pb_lanes_side_by_side(spec, TURNED);
    j->staged = !pb_tile_direct(spec, j->side_by_side, 0, j->size);
    j->width = pb_lanes_width(spec, j->side_by_side ? PLACE_WIDTH : j->staged ? STAGED_LANES
                                   : pb_lanes_per_task(spec, TASK));
    j->strips = pb_lanes_strips(spec, j->width);
    j->chunk = CHUNK / (j->side_by_side ? j->width : 1);
    if (j->strips >= FEW_STRIPS || spec->length < 2 * j->chunk)
        j->chunk = spec->length;
    j->chunks = (spec->length + j->chunk - 1) / j->chunk;
    j->units = j->strips * j->chunks;
    j->per_task = TASK / (j->width * j->chunk);
    j->per_task = j->per_task > 1 ? j->per_task : 1;
}

int pb_place_run(const pb_isa *isa, int reduce, int size, const pb_lanes *spec,
                 char *const *operands)
{
    job j = { .kernel = isa->reduces[reduce].place, .spec = spec, .operands = operands,
              .size = size, .status = PB_OK };
    if (!j.kernel)
        return PB_UNSUPPORTED;
    if (!spec->length || !pb_lanes_count(spec))
        return PB_OK;
    cut(&j);
    char *memory = NULL;
    if (j.chunks > 1) {
        memory = pb_alloc((size_t)(j.units * j.width * (8 + j.size)));
        if (!memory)
            return PB_NO_MEMORY;
        j.indexes = (int64_t *)memory;
        j.values = memory + 8 * j.units * j.width;
    }
    pb_pool_run((j.units + j.per_task - 1) / j.per_task, run_task, &j);
    int status = atomic_load(&j.status);
    if (status == PB_OK && memory)
        pb_pool_run(j.strips, finish_task, &j);
    pb_free(memory);
    return status;
}
