/* Depthwise convolution and its input's gradient where the channels read are adjacent in memory: every
 * channel is a lane of its own, read in place.  A row of a result whose channels are not adjacent is
 * turned when it is complete.  For each coordinate of the result, along rows and along
 * columns, a list of the taps that meet an element; a pixel's terms are those of its row times those of
 * its column.  Terms that do not exist are not made. */
#include "conv_stage.h"
#include "copy.h"
#include "memory.h"
#include "pool.h"
#include "scratch.h"

#include <string.h>

enum { TASK_ELEMENTS = 256 << 10 }; /* taps times channels times pixels of a task: about 10 us */

/* Taps that meet coordinate o: entries [o * most, o * most + count[o]). */
typedef struct meetings {
    int64_t length, most, apart; /* columns `apart` from each other meet the same taps, but at the ends */
    int64_t *count, *source, *weight; /* offsets in elements: of the input, of the packed weights */
} meetings;

typedef struct job {
    const pb_gemm_kernel *kernel;
    int64_t size, channels, row_tasks, rows_per_task;
    meetings rows, columns;
    const char *in, *w;
    char *out;
    int64_t in_image, out_step[4];
    int64_t *chunk; /* of a sum of so many terms */
    atomic_int failed;
} job;

/* The input's coordinate that tap p meets for o, or -1. */
static int64_t source_of(const pb_conv *conv, int kind, int axis, int64_t o, int64_t p)
{
    int64_t forward = o * conv->stride[axis] + p * conv->dilation[axis] - conv->padding[axis];
    int64_t back = o + conv->padding[axis] - p * conv->dilation[axis];
    if (kind == PB_CONV_RESULT)
        return forward < conv->size[axis] ? forward : -1;
    if (back % conv->stride[axis] || back / conv->stride[axis] >= conv->result[axis])
        return -1;
    return back / conv->stride[axis];
}

/* `apart`: elements between the packed weights of neighbouring taps.  0, or -1 without memory. */
static int meet(meetings *m, const pb_conv *conv, int kind, int axis, int64_t apart)
{
    int64_t step = kind == PB_CONV_RESULT ? conv->x[2 + axis] : conv->y[2 + axis];
    m->length = kind == PB_CONV_RESULT ? conv->result[axis] : conv->size[axis];
    m->most = conv->taps[axis];
    m->apart = kind == PB_CONV_RESULT ? 1 : conv->stride[axis];
    m->count = pb_alloc((size_t)(m->length * (1 + 2 * m->most)) * sizeof *m->count);
    if (!m->count)
        return -1;
    m->source = m->count + m->length;
    m->weight = m->source + m->length * m->most;
    for (int64_t o = 0; o < m->length; o++) {
        int64_t at = o * m->most;
        for (int64_t p = 0; p < m->most; p++) {
            int64_t source = source_of(conv, kind, axis, o, p);
            if (source < 0)
                continue;
            m->source[at] = source * step;
            m->weight[at++] = p * apart;
        }
        m->count[o] = at - o * m->most;
    }
    return 0;
}

/* How many of the columns `column`, `column` + apart, ... in turn meet the same taps, each a step further. */
static int64_t same_taps(const meetings *c, int64_t column)
{
    int64_t n = 1, first = column * c->most, count = c->count[column], step = c->apart * c->most;
    for (; column + n * c->apart < c->length && count > 0; n++) {
        int64_t at = first + n * step;
        if (c->count[column + n * c->apart] != count || c->weight[at] != c->weight[first] ||
            c->source[at] - c->source[first] != n * (c->source[first + step] - c->source[first]))
            break;
    }
    return n;
}

static void run_columns(const job *j, int64_t column, int64_t terms, pb_lanewise *taps, char *out,
                        int64_t out_step)
{
    const meetings *c = &j->columns;
    int64_t first = column * c->most;
    taps->k = terms;
    taps->chunk = j->chunk[terms];
    taps->pixels = same_taps(c, column);
    taps->x_step = taps->pixels > 1 ? c->source[first + c->apart * c->most] - c->source[first] : 0;
    taps->y = out + column * out_step * j->size;
    taps->y_step = c->apart * out_step;
    j->kernel->lanewise(taps);
}

/* `buffer`: a row of the result as (column, channel). */
static void run_row(const job *j, int64_t image, int64_t row, int64_t *offset, int64_t *weight,
                    char *buffer)
{
    const meetings *r = &j->rows, *c = &j->columns;
    const int64_t pixel = j->channels * j->size, *step = j->out_step;
    int turned = step[1] != 1;
    char *out = j->out + (image * step[0] + row * step[2]) * j->size;
    pb_lanewise taps = { .offsets = offset, .weights = weight, .w = j->w, .columns = j->channels,
                         .x = j->in + image * j->in_image * j->size };
    for (int64_t start = 0; start < c->apart; start++)
        for (int64_t column = start; column < c->length; column += taps.pixels * c->apart) {
            int64_t first = column * c->most, terms = 0;
            for (int64_t p = row * r->most; p < row * r->most + r->count[row]; p++)
                for (int64_t q = first; q < first + c->count[column]; q++) {
                    offset[terms] = r->source[p] + c->source[q];
                    weight[terms++] = r->weight[p] + c->weight[q];
                }
            run_columns(j, column, terms, &taps, turned ? buffer : out, turned ? j->channels : step[3]);
        }
    if (turned)
        pb_copy_plane((int)j->size, j->channels, c->length, buffer, j->size, pixel, out,
                      step[1] * j->size, step[3] * j->size);
}

static void run_task(void *context, int64_t index)
{
    job *j = context;
    int64_t image = index / j->row_tasks, row = index % j->row_tasks * j->rows_per_task;
    int64_t end = smaller(row + j->rows_per_task, j->rows.length), taps = j->rows.most * j->columns.most;
    size_t buffer = (size_t)(j->columns.length * j->channels * j->size);
    int64_t *offset = pb_scratch_take(2 * (size_t)taps * sizeof *offset + buffer);
    if (!offset) {
        atomic_store(&j->failed, 1);
        return;
    }
    for (; row < end; row++)
        run_row(j, image, row, offset, offset + taps, (char *)(offset + 2 * taps));
    pb_scratch_release(offset);
}

/* The weights as (tap, channel), and the chunk of every number of terms. */
static void *pack(job *j, const pb_conv *conv, const char *w)
{
    int64_t taps = conv->taps[0] * conv->taps[1], bytes = taps * j->channels * j->size;
    bytes = divide_up(bytes, 8) * 8;
    char *packed = pb_alloc((size_t)(bytes + (taps + 1) * (int64_t)sizeof *j->chunk));
    if (!packed)
        return NULL;
    for (int64_t k = 0; k < taps; k++) {
        int64_t p = k / conv->taps[1], q = k % conv->taps[1];
        const char *from = w + (p * conv->w[2] + q * conv->w[3]) * j->size;
        for (int64_t c = 0; c < j->channels; c++)
            memcpy(packed + (k * j->channels + c) * j->size, from + c * conv->w[0] * j->size,
                   (size_t)j->size);
    }
    j->w = packed;
    j->chunk = (int64_t *)(packed + bytes);
    for (int64_t k = 0; k <= taps; k++)
        j->chunk[k] = pb_gemm_chain(k, k, 0);
    return packed;
}

int pb_conv_is_depthwise(const pb_conv *conv, int kind)
{
    return kind != PB_CONV_WEIGHT && conv->channels == 1 && conv->outs == 1 && conv->groups > 1 &&
           (kind == PB_CONV_RESULT ? conv->x[1] : conv->y[1]) == 1;
}

int pb_conv_depthwise(const pb_gemm_kernel *kernel, int64_t size, int kind, const pb_conv *conv,
                      char *x, const char *w, char *y)
{
    int forward = kind == PB_CONV_RESULT, status = -1;
    const int64_t *in = forward ? conv->x : conv->y, *out = forward ? conv->y : conv->x;
    job j = { .kernel = kernel, .size = size, .channels = conv->groups, .in = forward ? x : y,
              .out = forward ? y : x, .in_image = in[0] };
    memcpy(j.out_step, out, sizeof j.out_step);
    void *packed = pack(&j, conv, w);
    if (packed && meet(&j.rows, conv, kind, 0, conv->taps[1] * j.channels) == 0 &&
        meet(&j.columns, conv, kind, 1, j.channels) == 0) {
        int64_t row_terms = j.columns.length * j.channels * conv->taps[0] * conv->taps[1];
        j.rows_per_task = larger(1, TASK_ELEMENTS / larger(1, row_terms));
        j.row_tasks = divide_up(j.rows.length, j.rows_per_task);
        pb_pool_run(conv->images * j.row_tasks, run_task, &j);
        status = atomic_load(&j.failed) ? -1 : 0;
    }
    pb_free(packed);
    pb_free(j.rows.count);
    pb_free(j.columns.count);
    return status;
}
