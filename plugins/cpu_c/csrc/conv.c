/* Convolutions (see conv.h) as correlations (conv_stage.h).
 *
 * The gradient of the input is a correlation too, of the result's gradient with the weights: input
 * row h meets tap p where h + padding - p * dilation is a multiple of the stride.  With a stride of s
 * the rows are dealt to s phases, each of which meets its own taps at consecutive rows of the
 * gradient, a correlation with stride 1; so are the columns. */
#include "conv.h"

#include "conv_stage.h"

enum { LEAST_SIDE = 4 /* channels of a product that pays */ };

static correlation start(const pb_isa *isa, int dtype, const pb_conv *conv, atomic_int *failed)
{
    return (correlation){
        .gemm = { .kernel = dtype == PB_F32 ? isa->gemm_f32 : isa->gemm_f64,
                  .size = dtype == PB_F32 ? 4 : 8, .failed = failed },
        .images = conv->images, .groups = conv->groups,
    };
}

static void copy(int64_t count, const int64_t *from, int64_t *to)
{
    for (int64_t k = 0; k < count; k++)
        to[k] = from[k];
}

/* ---- the result and the weights' gradient ------------------------------------------------ */

static int all_taps(const pb_conv *conv, int axis, taps *t)
{
    if (pb_taps_make(t, conv->taps[axis], conv->stride[axis]) < 0)
        return -1;
    for (int64_t p = 0; p < t->count; p++) {
        t->source[p] = p * conv->dilation[axis] - conv->padding[axis];
        t->weight[p] = p * conv->w[2 + axis];
    }
    return 0;
}

static int forward(correlation c, int kind, const pb_conv *conv, char *x, char *w, char *y)
{
    int status = -1;
    c.inputs = conv->channels, c.outputs = conv->outs;
    c.x = x, c.w = w, c.y = y;
    copy(4, conv->x, c.x_step);
    copy(2, conv->w, c.w_step);
    c.w_group = conv->outs * conv->w[0];
    copy(4, conv->y, c.y_step);
    copy(2, conv->size, c.size);
    copy(2, conv->result, c.result);
    if (all_taps(conv, 0, &c.rows) == 0 && all_taps(conv, 1, &c.columns) == 0)
        status = kind == PB_CONV_WEIGHT ? pb_conv_weights(&c) : pb_conv_correlate(&c);
    pb_taps_free(&c.rows);
    pb_taps_free(&c.columns);
    return status;
}

/* ---- the input's gradient ---------------------------------------------------------------- */

static int taps_of_phase(const pb_conv *conv, int axis, int64_t phase, taps *t)
{
    if (pb_taps_make(t, conv->taps[axis], 1) < 0)
        return -1;
    t->count = 0;
    for (int64_t p = 0; p < conv->taps[axis]; p++) {
        int64_t at = phase + conv->padding[axis] - p * conv->dilation[axis];
        if (at % conv->stride[axis] == 0) {
            t->source[t->count] = at / conv->stride[axis];
            t->weight[t->count++] = p * conv->w[2 + axis];
        }
    }
    return 0;
}

static int backward_phase(correlation c, const pb_conv *conv, int64_t row, int64_t column)
{
    int status = -1;
    c.y += (row * conv->x[2] + column * conv->x[3]) * c.gemm.size;
    c.result[0] = divide_up(conv->size[0] - row, conv->stride[0]);
    c.result[1] = divide_up(conv->size[1] - column, conv->stride[1]);
    if (taps_of_phase(conv, 0, row, &c.rows) == 0 && taps_of_phase(conv, 1, column, &c.columns) == 0)
        status = pb_conv_correlate(&c);
    pb_taps_free(&c.rows);
    pb_taps_free(&c.columns);
    return status;
}

/* One weight's terms: weight[p, q] of an output and a channel. */
static void add_terms(const pb_conv *conv, int64_t p, int64_t q, int64_t size, char *x,
                      const char *w, const char *y)
{
    for (int64_t n = 0; n < conv->images; n++)
        for (int64_t i = 0; i < conv->result[0]; i++)
            for (int64_t j = 0; j < conv->result[1]; j++) {
                int64_t h = i * conv->stride[0] + p * conv->dilation[0] - conv->padding[0];
                int64_t v = j * conv->stride[1] + q * conv->dilation[1] - conv->padding[1];
                if (h < 0 || h >= conv->size[0] || v < 0 || v >= conv->size[1])
                    continue;
                pb_conv_add_product(
                    x + (n * conv->x[0] + h * conv->x[2] + v * conv->x[3]) * size,
                    y + (n * conv->y[0] + i * conv->y[2] + j * conv->y[3]) * size, w, size);
            }
}

/* The terms of weights that are not finite: in the product they would meet zeros that stand for
 * elements which the gradient does not have. */
static void add_odd_weights(const pb_conv *conv, int64_t size, char *x, const char *w, const char *y)
{
    int64_t taps = conv->taps[0] * conv->taps[1], per_out = conv->channels * taps;
    for (int64_t k = 0; k < conv->groups * conv->outs * per_out; k++) {
        int64_t out = k / per_out, channel = k % per_out / taps, group = out / conv->outs;
        int64_t p = k % taps / conv->taps[1], q = k % conv->taps[1];
        const char *one = w + (out * conv->w[0] + channel * conv->w[1] + p * conv->w[2] +
                               q * conv->w[3]) * size;
        if (!pb_conv_is_finite(one, size))
            add_terms(conv, p, q, size, x + (group * conv->channels + channel) * conv->x[1] * size,
                      one, y + out * conv->y[1] * size);
    }
}

static int backward(correlation c, const pb_conv *conv, char *x, char *w, char *y)
{
    atomic_int odd_weights = 0;
    int status = 0;
    c.odd_weights = &odd_weights;
    c.inputs = conv->outs, c.outputs = conv->channels;
    c.x = y, c.w = w, c.y = x;
    copy(4, conv->y, c.x_step);
    copy(4, conv->x, c.y_step);
    copy(2, conv->result, c.size);
    c.w_step[0] = conv->w[1], c.w_step[1] = conv->w[0];
    c.w_group = conv->outs * conv->w[0];
    for (int axis = 0; axis < 2; axis++)
        c.y_step[2 + axis] *= conv->stride[axis];
    int64_t rows = smaller(conv->stride[0], conv->size[0]);
    int64_t columns = smaller(conv->stride[1], conv->size[1]);
    for (int64_t phase = 0; phase < rows * columns && status == 0; phase++)
        status = backward_phase(c, conv, phase / columns, phase % columns);
    if (status == 0 && atomic_load(&odd_weights))
        add_odd_weights(conv, c.gemm.size, x, w, y);
    return status;
}

/* ---- single taps ------------------------------------------------------------------------- */

/* One tap that meets every element: a product of matrices as they are in memory. */
static int is_product(const pb_conv *conv)
{
    int rows_follow = conv->size[0] == 1 || (conv->x[2] == conv->size[1] * conv->x[3] &&
                                             conv->y[2] == conv->size[1] * conv->y[3]);
    for (int axis = 0; axis < 2; axis++)
        if (conv->taps[axis] != 1 || conv->stride[axis] != 1 || conv->padding[axis] != 0 ||
            conv->size[axis] != conv->result[axis])
            return 0;
    return rows_follow && conv->outs >= LEAST_SIDE && conv->channels >= LEAST_SIDE;
}

/* to[n, b, :] = sum over a of weights[a, b] from[n, a, :], with strides (image, channel, row, column);
 * where channels are adjacent as one tall product with the weights on the right. */
static int multiply(const pb_isa *isa, int dtype, const pb_conv *conv, int64_t a, int64_t b,
                    const char *from, const int64_t *f, const char *w, int64_t w_a, int64_t w_b,
                    char *to, const int64_t *t)
{
    int64_t elements = conv->size[0] * conv->size[1];
    if (t[1] < t[3])
        return pb_gemm(isa, dtype, conv->images, elements, b, a, from, f[0], f[3], f[1], w, 0, w_a,
                       w_b, to, t[0], t[3], t[1]);
    return pb_gemm(isa, dtype, conv->images, b, elements, a, w, 0, w_b, w_a, from, f[0], f[1], f[3],
                   to, t[0], t[1], t[3]);
}

static int run_product(const pb_isa *isa, int dtype, int kind, const pb_conv *conv, char *x, char *w,
                       char *y)
{
    int64_t size = dtype == PB_F32 ? 4 : 8, c = conv->channels, o = conv->outs;
    int status = 0;
    for (int64_t group = 0; group < conv->groups && status == 0; group++) {
        if (kind == PB_CONV_RESULT)
            status = multiply(isa, dtype, conv, c, o, x, conv->x, w, conv->w[1], conv->w[0], y,
                              conv->y);
        else
            status = multiply(isa, dtype, conv, o, c, y, conv->y, w, conv->w[0], conv->w[1], x,
                              conv->x);
        x += c * conv->x[1] * size, y += o * conv->y[1] * size, w += o * conv->w[0] * size;
    }
    return status;
}

int pb_conv_run(const pb_isa *isa, int dtype, int kind, const pb_conv *conv, char *x, char *w, char *y)
{
    atomic_int failed = 0;
    if (kind != PB_CONV_WEIGHT && is_product(conv))
        return run_product(isa, dtype, kind, conv, x, w, y);
    correlation c = start(isa, dtype, conv, &failed);
    if (pb_conv_is_depthwise(conv, kind))
        return pb_conv_depthwise(c.gemm.kernel, c.gemm.size, kind, conv, x, w, y);
    return kind == PB_CONV_INPUT ? backward(c, conv, x, w, y) : forward(c, kind, conv, x, w, y);
}
