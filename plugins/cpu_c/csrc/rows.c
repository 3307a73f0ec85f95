/* Softmax and layer normalisation (see rows.h): the drivers of simd/rows.inc.
 *
 * A kernel wants whole lanes.  Side by side, a strip is so wide that PANEL_BYTES hold the rows that a
 * kernel passes over again soon.  Operands that a kernel cannot address are copied to a buffer as
 * large as the strip, and the result from there.  Layer normalisation always goes lane by lane. */
#include "rows.h"

#include <stdatomic.h>

#include "pool.h"
#include "rows_kernel.h"
#include "scratch.h"
#include "vm.h"

enum {
    PANEL_BYTES = 256 << 10,
    STAGED_LANES = 16, /* a cache line of f32 */
    TASK = 8 << 10,    /* elements: 10-20 us of exponentials */
    TURNED = 32,
    X = 0, OUT, MEAN, SCALE, WEIGHT, BIAS,
};
#define LARGEST_BUFFER (INT64_C(64) << 20)

typedef struct job {
    const pb_rows *kernel;
    const pb_lanes *spec;
    char *const *operands;
    int size, side_by_side, log;
    double eps;
    int64_t width, strips, per_task;
    int64_t buffer; /* bytes of one operand's */
    void (*run)(const struct job *j, const pb_strip *strip, char *buffer);
    int buffers;
    atomic_int status;
} job;

static int is_direct(const job *j, int operand)
{
    return !j->operands[operand] ||
           pb_tile_direct(j->spec, j->side_by_side, operand, j->size);
}

static void run_task(void *context, int64_t task)
{
    job *j = context;
    int64_t strip = task * j->per_task, stop = strip + j->per_task;
    char *buffer = pb_scratch_take((size_t)(j->buffers * j->buffer + 1));
    if (!buffer) {
        atomic_store(&j->status, PB_NO_MEMORY);
        return;
    }
    for (stop = stop < j->strips ? stop : j->strips; strip < stop; strip++) {
        pb_strip lanes = pb_lanes_strip(j->spec, j->operands, j->width, strip);
        j->run(j, &lanes, buffer);
    }
    pb_scratch_release(buffer);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x > high ? high : x < low ? low : x;
}

/* `buffers` of the operands have to be copied. */
static int run(job *j, int buffers)
{
    int64_t lane = j->spec->length * j->size, most = pb_lanes_per_task(j->spec, TASK);
    if (!pb_lanes_count(j->spec))
        return PB_OK;
    if (j->side_by_side)
        most = clamp(PANEL_BYTES / smaller(lane, ROWS_PART * j->size), STAGED_LANES, ROWS_WIDTH);
    else if (buffers)
        most = STAGED_LANES;
    if (buffers)
        most = clamp(LARGEST_BUFFER / lane, 1, most);
    j->buffers = buffers;
    j->width = pb_lanes_width(j->spec, most);
    j->strips = pb_lanes_strips(j->spec, j->width);
    j->buffer = j->side_by_side ? j->spec->length * pb_tile_pitch(j->size, j->width)
                                : j->width * pb_tile_pitch(j->size, j->spec->length);
    j->per_task = clamp(TASK / (j->spec->length * j->width), 1, TASK);
    pb_pool_run((j->strips + j->per_task - 1) / j->per_task, run_task, j);
    return atomic_load(&j->status);
}

static void softmax_strip(const job *j, const pb_strip *strip, char *buffer)
{
    int64_t n = j->spec->length, lanes = strip->lanes, size = j->size;
    int64_t rows = j->side_by_side ? n : lanes, columns = j->side_by_side ? lanes : n;
    pb_tile from = pb_tile_of(j->spec, strip, j->side_by_side, X, 0);
    pb_tile to = pb_tile_of(j->spec, strip, j->side_by_side, OUT, 0);
    pb_tile x = pb_tile_open(j->size, rows, columns, from, buffer, 1);
    if (x.data != from.data)
        buffer += j->buffer;
    pb_tile out = pb_tile_open(j->size, rows, columns, to, buffer, 0);
    if (j->side_by_side)
        j->kernel->softmax_columns(n, lanes, x.data, x.row / size, out.data, out.row / size, j->log);
    else
        for (int64_t i = 0; i < lanes; i++)
            j->kernel->softmax(n, x.data + i * x.row, out.data + i * out.row, j->log);
    pb_tile_close(j->size, rows, columns, out, to);
}

int pb_softmax_run(const pb_isa *isa, int dtype, const pb_lanes *spec, char *const *operands,
                   int log)
{
    job j = { .kernel = dtype == PB_F32 ? isa->rows_f32 : isa->rows_f64, .spec = spec,
              .operands = operands, .size = dtype == PB_F32 ? 4 : 8, .log = log,
              .side_by_side = pb_lanes_side_by_side(spec, TURNED), .run = softmax_strip };
    return run(&j, !is_direct(&j, X) + !is_direct(&j, OUT));
}

static void layer_norm_strip(const job *j, const pb_strip *strip, char *buffer)
{
    static const int whole[] = { X, WEIGHT, BIAS, OUT };
    int64_t n = j->spec->length;
    pb_tile given[BIAS + 1], used[BIAS + 1];
    for (int k = 0; k < 4; k++) {
        int which = whole[k];
        given[which] = used[which] = pb_tile_of(j->spec, strip, 0, which, 0);
        if (is_direct(j, which))
            continue;
        used[which] = pb_tile_open(j->size, strip->lanes, n, given[which], buffer, which != OUT);
        buffer += j->buffer;
    }
    for (int64_t i = 0; i < strip->lanes; i++) {
        const pb_tile *w = &used[WEIGHT], *b = &used[BIAS];
        j->kernel->layer_norm(n, used[X].data + i * used[X].row, w->data ? w->data + i * w->row : NULL,
                              b->data ? b->data + i * b->row : NULL, j->eps,
                              used[OUT].data + i * used[OUT].row,
                              strip->start[MEAN] + i * strip->across[MEAN],
                              strip->start[SCALE] + i * strip->across[SCALE]);
    }
    pb_tile_close(j->size, strip->lanes, n, used[OUT], given[OUT]);
}

int pb_layer_norm_run(const pb_isa *isa, int dtype, const pb_lanes *spec, char *const *operands,
                      double eps)
{
    job j = { .kernel = dtype == PB_F32 ? isa->rows_f32 : isa->rows_f64, .spec = spec,
              .operands = operands, .size = dtype == PB_F32 ? 4 : 8, .eps = eps,
              .run = layer_norm_strip };
    int buffers = 0;
    for (int k = X; k <= BIAS; k++)
        buffers += k != MEAN && k != SCALE && !is_direct(&j, k);
    return run(&j, buffers);
}
