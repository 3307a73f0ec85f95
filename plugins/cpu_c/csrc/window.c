/* Pooling (see window.h): the driver of simd/window.inc.
 *
 * A line is a row of results, or where channels are adjacent in memory the channels of one result: tap
 * by tap, the elements that it meets along the line are combined with the line's values, which stay
 * in L1.  Sums are made row of taps by row of taps, so that a term passes taps[0] + taps[1] additions
 * and not their product.  What lies outside is left out by cutting the line. */
#include "window.h"

#include <stdatomic.h>
#include <string.h>

#include "pool.h"
#include "pool_kernel.h"
#include "scratch.h"

enum { FEW = 4, TASK = 64 << 10 /* elements read */ };

typedef struct job {
    const struct pb_pooling *kernel;
    const pb_window *spec;
    const char *x;
    char *out, *index;
    int64_t size, length, fixed; /* of an element, of a line; lines of a row of results */
    int maxima, along_channels;
    int64_t units, per_task;
    atomic_int status;
} job;

/* Line `fixed` of result row i: a channel, or a column. */
typedef struct line {
    int64_t image, i, fixed;
    char *values, *places, *row;
} line;

/* Results [0, count) whose tap lies inside: [*first, *last). */
static void inside(int64_t start, int64_t stride, int64_t size, int64_t count, int64_t *first,
                   int64_t *last)
{
    *first = start >= 0 ? 0 : (-start + stride - 1) / stride;
    *first = *first < count ? *first : count;
    *last = start >= size ? *first : (size - start + stride - 1) / stride;
    *last = *last < count ? *last : count;
    *last = *last > *first ? *last : *first;
}

static void combine(const job *j, const line *at, int64_t row, int64_t q, int64_t tap)
{
    const pb_window *s = j->spec;
    int64_t start = q * s->dilation[1] - s->padding[1], first = 0, last = j->length;
    int64_t from = at->image * s->x[0] + row * s->x[2], step = s->x[1];
    if (j->along_channels) {
        start += at->fixed * s->stride[1];
        if (start < 0 || start >= s->size[1])
            return;
        from += start * s->x[3];
    } else {
        inside(start, s->stride[1], s->size[1], j->length, &first, &last);
        step = s->stride[1] * s->x[3];
        from += at->fixed * s->x[1] + start * s->x[3] + first * step;
    }
    if (j->maxima)
        j->kernel->max(last - first, j->x + from * j->size, step, tap, at->values + first * j->size,
                       at->places + first * j->size);
    else
        j->kernel->add(last - first, j->x + from * j->size, step, at->row + first * j->size);
}

static void store(const job *j, const line *at)
{
    const pb_window *s = j->spec;
    int64_t out = at->image * s->out[0] + at->i * s->out[2], place = at->image * s->index[0];
    int axis = j->along_channels ? 1 : 3, other = 4 - axis;
    out += at->fixed * s->out[other];
    place += at->i * s->index[2] + at->fixed * s->index[other];
    for (int64_t k = 0; k < j->length; k++)
        memcpy(j->out + (out + k * s->out[axis]) * j->size, at->values + k * j->size,
               j->size == 4 ? 4 : 8);
    for (int64_t k = 0; j->index && k < j->length; k++) {
        int64_t tap = j->size == 4 ? ((int32_t *)at->places)[k] : ((int64_t *)at->places)[k];
        int64_t p = tap / s->taps[1], q = tap % s->taps[1], column = j->along_channels ? at->fixed : k;
        int64_t row = at->i * s->stride[0] - s->padding[0] + p * s->dilation[0];
        column = column * s->stride[1] - s->padding[1] + q * s->dilation[1];
        ((int64_t *)j->index)[place + k * s->index[axis]] = row * s->size[1] + column;
    }
}

static void run_line(const job *j, const line *at)
{
    const pb_window *s = j->spec;
    size_t bytes = (size_t)(j->length * j->size);
    memset(at->values, 0, bytes);
    memset(at->places, -1, bytes);
    for (int64_t p = 0; p < s->taps[0]; p++) {
        int64_t row = at->i * s->stride[0] - s->padding[0] + p * s->dilation[0];
        if (row < 0 || row >= s->size[0])
            continue;
        memset(at->row, 0, bytes);
        for (int64_t q = 0; q < s->taps[1]; q++)
            combine(j, at, row, q, p * s->taps[1] + q);
        if (!j->maxima)
            j->kernel->add(j->length, at->row, 1, at->values);
    }
    store(j, at);
}

static void run_task(void *context, int64_t task)
{
    job *j = context;
    int64_t unit = task * j->per_task, stop = unit + j->per_task;
    int64_t bytes = (j->length * j->size + 63) / 64 * 64;
    char *memory = pb_scratch_take((size_t)(3 * bytes));
    if (!memory) {
        atomic_store(&j->status, -1);
        return;
    }
    for (stop = stop < j->units ? stop : j->units; unit < stop; unit++) {
        int64_t rest = unit / j->fixed;
        line at = { rest / j->spec->result[0], rest % j->spec->result[0], unit % j->fixed, memory,
                    memory + bytes, memory + 2 * bytes };
        run_line(j, &at);
    }
    pb_scratch_release(memory);
}

static int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

int pb_pool_windows(const pb_isa *isa, int dtype, int maxima, const pb_window *spec, const char *x,
                    char *out, char *index)
{
    int64_t columns = spec->result[1], channels = spec->channels;
    job j = { .kernel = dtype == PB_F32 ? isa->pool_f32 : isa->pool_f64, .spec = spec, .x = x,
              .out = out, .index = index, .size = dtype == PB_F32 ? 4 : 8, .maxima = maxima };
    if (spec->images * channels * spec->result[0] * columns == 0)
        return 0;
    j.along_channels = channels >= FEW && (magnitude(spec->x[1]) < magnitude(spec->x[3]) ||
                                           (columns < FEW && channels > columns));
    j.length = j.along_channels ? channels : columns;
    j.fixed = j.along_channels ? columns : channels;
    j.units = spec->images * spec->result[0] * j.fixed;
    j.per_task = TASK / (j.length * spec->taps[0] * spec->taps[1]);
    j.per_task = j.per_task > 1 ? j.per_task : 1;
    pb_pool_run((j.units + j.per_task - 1) / j.per_task, run_task, &j);
    return atomic_load(&j.status);
}
