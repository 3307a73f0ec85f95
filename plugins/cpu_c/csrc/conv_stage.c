/* The staged input of a convolution (see conv_stage.h). */
#include "conv_stage.h"

#include <string.h>

#include "copy.h"
#include "memory.h"

/* ---- taps -------------------------------------------------------------------------------- */

int pb_taps_make(taps *t, int64_t count, int64_t stride)
{
    int64_t *memory = pb_alloc((size_t)(5 * count) * sizeof *memory);
    if (!memory)
        return -1;
    *t = (taps){ .count = count, .stride = stride, .source = memory, .weight = memory + count,
                 .plane = memory + 2 * count, .shift = memory + 3 * count,
                 .phase = memory + 4 * count };
    return 0;
}

void pb_taps_free(taps *t)
{
    pb_free(t->source);
}

static void assign_planes(taps *t)
{
    for (int64_t a = 0; a < t->count; a++)
        t->low = a == 0 || t->source[a] < t->low ? t->source[a] : t->low;
    for (int64_t a = 0; a < t->count; a++) {
        int64_t phase = (t->source[a] - t->low) % t->stride, plane = 0;
        while (plane < t->planes && t->phase[plane] != phase)
            plane++;
        if (plane == t->planes)
            t->phase[t->planes++] = phase;
        t->plane[a] = plane;
        t->shift[a] = (t->source[a] - t->low) / t->stride;
        t->extra = larger(t->extra, t->shift[a]);
    }
}

/* ---- cut and tables ---------------------------------------------------------------------- */

static void cut(correlation *c, int64_t columns)
{
    int64_t per_image = larger(1, c->result[0] * c->result[1]), images = larger(1, c->images);
    c->chunk_images = 1;
    c->chunk_rows = larger(1, c->result[0]);
    if (per_image > columns)
        c->chunk_rows = divide_up(c->chunk_rows, divide_up(per_image, columns));
    else
        c->chunk_images = divide_up(images, divide_up(images, divide_up(columns, per_image)));
    c->image_chunks = divide_up(images, c->chunk_images);
    c->row_chunks = divide_up(larger(1, c->result[0]), c->chunk_rows);
}

static void fill_tables(correlation *c)
{
    int64_t plane = c->height * c->width, k = 0;
    for (int64_t channel = 0; channel < c->inputs; channel++)
        for (int64_t a = 0; a < c->rows.count; a++)
            for (int64_t b = 0; b < c->columns.count; b++, k++) {
                int64_t at = channel * c->rows.planes + c->rows.plane[a];
                at = at * c->columns.planes + c->columns.plane[b];
                c->offset[k] = at * plane + c->rows.shift[a] * c->width + c->columns.shift[b];
                c->weight[k] = channel * c->w_step[1] + c->rows.weight[a] + c->columns.weight[b];
            }
}

int pb_conv_prepare(correlation *c, int64_t columns)
{
    c->gemm.k = c->inputs * c->rows.count * c->columns.count;
    assign_planes(&c->rows);
    assign_planes(&c->columns);
    cut(c, columns);
    c->height = c->chunk_rows + c->rows.extra;
    c->width = c->result[1] + c->columns.extra;
    c->image_size = c->inputs * c->rows.planes * c->columns.planes * c->height * c->width;
    c->offset = pb_alloc((size_t)(2 * c->gemm.k) * sizeof *c->offset);
    if (!c->offset)
        return -1;
    c->weight = c->offset + c->gemm.k;
    fill_tables(c);
    return 0;
}

void pb_conv_release(correlation *c)
{
    pb_free(c->offset);
}

part pb_conv_part(const correlation *c, int64_t chunk)
{
    part p = { .image = chunk / c->row_chunks * c->chunk_images,
               .row = chunk % c->row_chunks * c->chunk_rows };
    p.images = smaller(c->chunk_images, c->images - p.image);
    p.rows = smaller(c->chunk_rows, c->result[0] - p.row);
    return p;
}

/* ---- staging ----------------------------------------------------------------------------- */

static int64_t image_size(const correlation *c, int64_t inputs)
{
    return c->image_size / larger(1, c->inputs) * inputs;
}

size_t pb_conv_staged(const correlation *c, int64_t inputs)
{
    return (size_t)((c->chunk_images * image_size(c, inputs) + PB_LINE_AHEAD) * c->gemm.size);
}

/* Elements [0, count) of an axis of a plane that lie inside the input: [*first, *last). */
static void inside(int64_t start, int64_t stride, int64_t size, int64_t count, int64_t *first,
                   int64_t *last)
{
    *first = start >= 0 ? 0 : smaller(count, divide_up(-start, stride));
    *last = start >= size ? *first : larger(*first, smaller(count, divide_up(size - start, stride)));
}

/* One row of one plane of every channel. */
static void stage_row(const correlation *c, const char *x, int64_t inputs, int64_t phase,
                      int64_t channel_step, char *to)
{
    int64_t size = c->gemm.size, start = c->columns.low + phase, first, last;
    inside(start, c->columns.stride, c->size[1], c->width, &first, &last);
    for (int64_t k = 0; k < inputs; k++) {
        char *row = to + k * channel_step * size;
        memset(row, 0, (size_t)(first * size));
        memset(row + last * size, 0, (size_t)((c->width - last) * size));
    }
    if (first < last)
        pb_copy_plane((int)size, inputs, last - first,
                      x + (start + first * c->columns.stride) * c->x_step[3] * size,
                      c->x_step[1] * size, c->columns.stride * c->x_step[3] * size,
                      to + first * size, channel_step * size, size);
}

static void stage_plane(const correlation *c, part part, const char *x, int64_t inputs, int64_t a,
                        int64_t b, char *to)
{
    int64_t size = c->gemm.size, rows = part.rows + c->rows.extra;
    int64_t channel = c->rows.planes * c->columns.planes * c->height * c->width;
    int64_t start = part.row * c->rows.stride + c->rows.low + c->rows.phase[a], first, last;
    inside(start, c->rows.stride, c->size[0], rows, &first, &last);
    for (int64_t r = 0; r < rows; r++) {
        char *row = to + r * c->width * size;
        if (r >= first && r < last)
            stage_row(c, x + (start + r * c->rows.stride) * c->x_step[2] * size, inputs,
                      c->columns.phase[b], channel, row);
        else
            for (int64_t k = 0; k < inputs; k++)
                memset(row + k * channel * size, 0, (size_t)(c->width * size));
    }
}

void pb_conv_stage(const correlation *c, part part, int64_t group, int64_t first, int64_t inputs,
                   char *buffer)
{
    int64_t size = c->gemm.size, plane = c->height * c->width;
    for (int64_t image = 0; image < part.images; image++) {
        const char *x = c->x + ((part.image + image) * c->x_step[0] +
                                (group * c->inputs + first) * c->x_step[1]) * size;
        char *to = buffer + image * image_size(c, inputs) * size;
        for (int64_t a = 0; a < c->rows.planes; a++)
            for (int64_t b = 0; b < c->columns.planes; b++)
                stage_plane(c, part, x, inputs, a, b,
                            to + (a * c->columns.planes + b) * plane * size);
    }
}

/* ---- moves ------------------------------------------------------------------------------- */

int pb_conv_moves(const correlation *c, part part, int64_t inputs, int64_t start, int64_t count,
                  pb_move *moves)
{
    int64_t columns = c->result[1], done = 0, filled = 0, next = -1;
    int n = 0;
    while (done < count) {
        int64_t row = (start + done) / columns, j = (start + done) % columns;
        int64_t from = row / part.rows * image_size(c, inputs) + row % part.rows * c->width + j;
        int64_t run = smaller(columns - j, count - done);
        if (from != next) /* else the last vector may already hold some of this run */
            filled = done;
        for (; filled < done + run; filled += c->gemm.kernel->vector)
            moves[n++] = (pb_move){ from + filled - done, filled };
        next = from + run;
        done += run;
    }
    return n;
}

/* ---- single elements --------------------------------------------------------------------- */

int pb_conv_is_finite(const char *x, int64_t size)
{
    double wide;
    float narrow;
    if (size == 8) {
        memcpy(&wide, x, 8);
        return wide - wide == 0;
    }
    memcpy(&narrow, x, 4);
    return narrow - narrow == 0;
}

void pb_conv_add_product(char *sum, const char *a, const char *b, int64_t size)
{
    if (size == 8)
        *(double *)sum += *(const double *)a * *(const double *)b;
    else
        *(float *)sum += *(const float *)a * *(const float *)b;
}
