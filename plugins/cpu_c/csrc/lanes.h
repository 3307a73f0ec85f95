/* Lanes along one axis of several operands of one shape, and strips of lanes next to each other. */
#ifndef PB_LANES_H
#define PB_LANES_H

#include <stdint.h>

enum { PB_LANE_OPERANDS = 6 };

/* Written by lanes.py.  Steps count bytes; that of an operand with size 1 along the axis is 0.  The
 * last axis is the one whose lanes are nearest to each other. */
typedef struct pb_lanes {
    int64_t ndim, length, operands;
    int64_t step[]; /* along the axis, of each operand; then for each other axis: size, steps */
} pb_lanes;

/* Up to `width` lanes along the last axis. */
typedef struct pb_strip {
    char *start[PB_LANE_OPERANDS];
    int64_t across[PB_LANE_OPERANDS]; /* from lane to lane */
    int64_t lanes;
} pb_strip;

int64_t pb_lanes_count(const pb_lanes *spec);
int64_t pb_lanes_width(const pb_lanes *spec, int64_t most); /* of the widest strip */
int64_t pb_lanes_per_task(const pb_lanes *spec, int64_t elements); /* at least 1, at most 256 */
int64_t pb_lanes_strips(const pb_lanes *spec, int64_t width);
pb_strip pb_lanes_strip(const pb_lanes *spec, char *const *operands, int64_t width, int64_t index);

/* Shall a kernel go along the axis with a strip of lanes side by side, rather than lane by lane?  Where
 * lanes of operand 0 are nearer to each other than their elements and enough to fill a vector; and
 * where lanes are so short that turning a tile costs less than a call for each. */
int pb_lanes_side_by_side(const pb_lanes *spec, int64_t turned);

/* Part of a strip as rows of adjacent columns, for a kernel that wants columns `size` apart: along the
 * axis down and lanes across where lanes are side by side, else the other way round. */
typedef struct pb_tile {
    char *data;
    int64_t row, column; /* steps in bytes */
} pb_tile;

/* Can a kernel address the tiles of operand k? */
int pb_tile_direct(const pb_lanes *spec, int side_by_side, int k, int size);

/* Operand k from element `first` of the axis on. */
pb_tile pb_tile_of(const pb_lanes *spec, const pb_strip *strip, int side_by_side, int k,
                   int64_t first);

/* The tile itself if its columns are adjacent, else one in `buffer`; with `reads` its contents too.
 * Rows of the buffer start pb_tile_pitch bytes apart: never a power of two, as rows that share the
 * sets of the cache would evict each other. */
int64_t pb_tile_pitch(int size, int64_t columns);
pb_tile pb_tile_open(int size, int64_t rows, int64_t columns, pb_tile tile, char *buffer, int reads);
/* The contents of an opened tile back to where they belong. */
void pb_tile_close(int size, int64_t rows, int64_t columns, pb_tile opened, pb_tile tile);

#endif
