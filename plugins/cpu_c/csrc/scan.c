/* Running sums and the like (see rows.h): the driver of simd/scan.inc.
 *
 * Units of work are strips of lanes.  Where those are few and long, lanes are cut into chunks too: the
 * state at the end of every chunk is made first, all chunks at once; states are joined from chunk to
 * chunk; then every chunk runs from the state before it.  That reads x twice and pays from two
 * threads on.  Operands that a kernel cannot address pass through a buffer of PIECE elements per lane.
 * All cuts depend on shape and strides only, never on the threads. */
#include "rows.h"

#include <stdatomic.h>
#include <string.h>

#include "memory.h"
#include "pool.h"
#include "reduce_kernel.h"
#include "scratch.h"
#include "vm.h"

enum {
    WIDTH = 256,          /* lanes side by side: their states fit L1 */
    LARGEST_STATE = 32,
    STAGED_LANES = 16,    /* lanes through the buffer together: a cache line of f32 of the result */
    PIECE = 512, PIECE_ROWS = 32,
    TASK = 32 << 10, CHUNK = 64 << 10, /* elements */
    FEW_STRIPS = 32,
    TURNED = 128,
};

typedef struct job {
    const pb_scan *kernel;
    const pb_lanes *spec;
    char *const *operands;
    int size, side_by_side, staged, ending; /* ending: make the states at the ends of chunks */
    int64_t width, strips, chunk, chunks, units, per_task;
    char *states; /* of every (strip, chunk): those at its end, then those before it */
    atomic_int status;
} job;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* rows x columns elements, of which rows follow each other if side by side. */
static void run_tile(const job *j, int64_t rows, int64_t columns, pb_tile x, pb_tile out, int fresh,
                     char *state)
{
    const pb_scan *kernel = j->kernel;
    if (j->side_by_side) {
        if (fresh)
            kernel->begin(columns, x.data, state);
        kernel->columns(rows, columns, x.data, x.row / j->size, j->ending ? NULL : out.data,
                        out.row / j->size, state);
        return;
    }
    for (; rows > 0; rows--, x.data += x.row, out.data += out.row, state += kernel->state) {
        if (fresh)
            kernel->begin(1, x.data, state);
        kernel->lane(columns, x.data, j->ending ? NULL : out.data, state);
    }
}

/* One chunk of a strip.  `fresh`: there is no state yet. */
static void run_strip(const job *j, const pb_strip *strip, int64_t first, int64_t count, int fresh,
                      char *state, char *buffer)
{
    int64_t piece = !buffer ? count : j->side_by_side ? PIECE_ROWS : PIECE;
    for (int64_t done = 0; done < count; done += piece, fresh = 0) {
        int64_t length = smaller(piece, count - done);
        int64_t rows = j->side_by_side ? length : strip->lanes;
        int64_t columns = j->side_by_side ? strip->lanes : length;
        pb_tile from = pb_tile_of(j->spec, strip, j->side_by_side, 0, first + done);
        pb_tile to = pb_tile_of(j->spec, strip, j->side_by_side, 1, first + done);
        pb_tile x = pb_tile_open(j->size, rows, columns, from, buffer, 1);
        pb_tile out = pb_tile_open(j->size, rows, columns, to, buffer, 0);
        run_tile(j, rows, columns, x, out, fresh, state);
        if (!j->ending)
            pb_tile_close(j->size, rows, columns, out, to);
    }
}

static void run_task(void *context, int64_t task)
{
    job *j = context;
    int64_t unit = task * j->per_task, stop = smaller(unit + j->per_task, j->units);
    int64_t of_states = j->width * j->kernel->state, chunks = j->chunks - j->ending;
    int64_t rows = j->side_by_side ? PIECE_ROWS : j->width;
    int64_t columns = j->side_by_side ? j->width : PIECE;
    int64_t bytes = j->staged ? rows * pb_tile_pitch(j->size, columns) : 0;
    char *own = pb_scratch_take((size_t)(of_states + bytes));
    if (!own) {
        atomic_store(&j->status, PB_NO_MEMORY);
        return;
    }
    for (; unit < stop; unit++) {
        int64_t strip = unit / chunks, chunk = unit % chunks, first = chunk * j->chunk;
        pb_strip lanes = pb_lanes_strip(j->spec, j->operands, j->width, strip);
        char *state = j->ending ? j->states + (strip * j->chunks + chunk + 1) * of_states
                    : j->states ? j->states + unit * of_states : own;
        run_strip(j, &lanes, first, smaller(j->chunk, j->spec->length - first),
                  j->ending || chunk == 0, state, j->staged ? own + of_states : NULL);
    }
    pb_scratch_release(own);
}

/* From the state at the end of each chunk alone to that of all before the next one. */
static void join_task(void *context, int64_t strip)
{
    const job *j = context;
    pb_strip lanes = pb_lanes_strip(j->spec, j->operands, j->width, strip);
    int64_t bytes = j->width * j->kernel->state, together = j->side_by_side ? lanes.lanes : 1;
    char *before = j->states + (strip * j->chunks + 1) * bytes;
    for (int64_t chunk = 2; chunk < j->chunks; chunk++, before += bytes)
        for (int64_t k = 0; k < lanes.lanes; k += together) {
            char *at = before + k * j->kernel->state;
            _Alignas(64) char later[WIDTH * LARGEST_STATE];
            memcpy(later, at + bytes, (size_t)(together * j->kernel->state));
            memcpy(at + bytes, at, (size_t)(together * j->kernel->state));
            j->kernel->join(together, later, at + bytes);
        }
}

static int run_units(job *j, int ending)
{
    j->ending = ending;
    j->units = j->strips * (j->chunks - ending);
    j->per_task = TASK / (j->width * j->chunk);
    j->per_task = j->per_task > 1 ? j->per_task : 1;
    pb_pool_run((j->units + j->per_task - 1) / j->per_task, run_task, j);
    return atomic_load(&j->status);
}

static void cut(job *j)
{
    const pb_lanes *spec = j->spec;
    j->side_by_side = pb_lanes_side_by_side(spec, TURNED);
    j->staged = !pb_tile_direct(spec, j->side_by_side, 0, j->size) ||
                !pb_tile_direct(spec, j->side_by_side, 1, j->size);
    j->width = pb_lanes_width(spec, j->side_by_side ? WIDTH : j->staged ? STAGED_LANES
                                   : pb_lanes_per_task(spec, TASK));
    j->strips = pb_lanes_strips(spec, j->width);
    j->chunk = CHUNK / (j->side_by_side ? j->width : 1);
    if (!j->kernel->splits || j->strips >= FEW_STRIPS || spec->length < 2 * j->chunk)
        j->chunk = spec->length;
    j->chunks = (spec->length + j->chunk - 1) / j->chunk;
}

int pb_scan_run(const pb_isa *isa, int reduce, int size, const pb_lanes *spec,
                char *const *operands)
{
    job j = { .kernel = isa->reduces[reduce].scan, .spec = spec, .operands = operands,
              .size = size, .status = PB_OK };
    int status = PB_OK;
    if (!j.kernel)
        return PB_UNSUPPORTED;
    if (!spec->length || !pb_lanes_count(spec))
        return PB_OK;
    cut(&j);
    if (j.chunks > 1) {
        j.states = pb_alloc((size_t)(j.strips * j.chunks * j.width * j.kernel->state));
        if (!j.states)
            return PB_NO_MEMORY;
        status = run_units(&j, 1);
        if (status == PB_OK)
            pb_pool_run(j.strips, join_task, &j);
    }
    if (status == PB_OK)
        status = run_units(&j, 0);
    pb_free(j.states);
    return status;
}
