/* Shared by the files of the convolution driver, conv*.c; not part of the interface.
 *
 * A task first copies the part of the input that it needs into a dense buffer, once, with zeros where
 * the input has no elements.  There, the elements that one tap meets along a row of the result are
 * adjacent: with a stride of s, rows and columns are dealt to s planes, of which only those are kept
 * that some tap reads.  So element (image, i, j) of the task's part of the result meets tap k at
 *     offset[k] + place(image, i, j),   place = image * image_size + i * width + j
 * whatever the strides, dilations and layout of the input; packing it is copying vectors, without a
 * test, and no buffer holds more than one copy of the input (a buffer of all patches would hold one
 * per tap). */
#ifndef PB_CONV_STAGE_H
#define PB_CONV_STAGE_H

#include "conv.h"
#include "gemm_product.h"

/* The taps along rows or columns. */
typedef struct taps {
    int64_t count, stride;
    int64_t *source; /* tap a of result element i meets element i * stride + source[a] */
    int64_t *weight; /* where the tap's weight is, in elements */
    int64_t *plane, *shift; /* which of the kept planes, and where in it for i = 0 */
    int64_t *phase;  /* of each plane: it holds elements low + phase + r * stride */
    int64_t planes, low, extra; /* extra: a plane is so much longer than the result */
} taps;

/* What is computed from the staged input: y[o, i, j] = sum over (channel, tap) of the two. */
typedef struct correlation {
    product gemm;                     /* kernel, size, k, kc, chunk; m rows of A */
    int64_t images, groups, inputs, outputs; /* the last two per group */
    const char *x, *w;
    char *y;
    int64_t x_step[4], size[2];       /* strides and extent of the input */
    int64_t w_group, w_step[2];       /* of w: groups; outputs and inputs of a group */
    int64_t y_step[4];
    int64_t result[2];
    taps rows, columns;
    /* the cut into chunks: whole images, or whole rows of one image */
    int64_t chunk_images, chunk_rows, image_chunks, row_chunks;
    int64_t height, width, image_size; /* of a plane; of the staged planes of one image */
    int64_t *offset, *weight;         /* of every (channel, tap): in the staged input, in w */
    atomic_int *odd_weights;          /* if not NULL: NaN and infinite weights count as 0, set then */
} correlation;

/* A part of the result: images and rows of it. */
typedef struct part {
    int64_t image, images, row, rows;
} part;

/* 0, or -1 without memory; needs everything above the cut.  `columns`: a chunk's elements of the result
 * that are enough. */
int pb_conv_prepare(correlation *c, int64_t columns);
void pb_conv_release(correlation *c);
int pb_taps_make(taps *t, int64_t count, int64_t stride);
void pb_taps_free(taps *t);

static inline int64_t chunks_of(const correlation *c)
{
    return c->image_chunks * c->row_chunks;
}

part pb_conv_part(const correlation *c, int64_t chunk);

/* The staged input of `inputs` channels from `first` of a group; `buffer` has room for
 * pb_conv_staged(c, inputs) bytes. */
size_t pb_conv_staged(const correlation *c, int64_t inputs);
void pb_conv_stage(const correlation *c, part part, int64_t group, int64_t first, int64_t inputs,
                   char *buffer);

/* Elements [start, start + count) of a part, counted by image, row and column, as vectors to move; at
 * most `count` moves.  The image size is that of `inputs` staged channels. */
int pb_conv_moves(const correlation *c, part part, int64_t inputs, int64_t start, int64_t count,
                  pb_move *moves);

/* What zeros where the input has no elements must not meet. */
int pb_conv_is_finite(const char *x, int64_t size);
/* *sum += *a * *b; 4 or 8 bytes. */
void pb_conv_add_product(char *sum, const char *a, const char *b, int64_t size);

int pb_conv_correlate(correlation *c);
int pb_conv_is_depthwise(const pb_conv *conv, int kind);
int pb_conv_depthwise(const pb_gemm_kernel *kernel, int64_t size, int kind, const pb_conv *conv,
                      char *x, const char *w, char *y);
int pb_conv_weights(correlation *c);

#endif
