/* Copies between two strided arrays of one shape. */
#ifndef PB_COPY_H
#define PB_COPY_H

#include <stdint.h>

/* Axes outermost first, by the target's steps (bytes); ndim >= 1. */
typedef struct pb_copy {
    int64_t ndim;
    struct { int64_t size, target, source; } axis[];
} pb_copy;

/* Items of 1, 2, 4, 8 or 16 bytes. */
void pb_copy_run(int size, const pb_copy *spec, const char *source, char *target);

/* rows x columns items, on the calling thread; steps in bytes. */
void pb_copy_plane(int size, int64_t rows, int64_t columns, const char *source, int64_t source_row,
                   int64_t source_column, char *target, int64_t target_row, int64_t target_column);

#endif
