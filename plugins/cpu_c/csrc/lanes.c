/* Where lanes are (see lanes.h). */
#include "lanes.h"

#include "copy.h"

enum { FEW = 8, MOST = 256 };

static const int64_t *axis_of(const pb_lanes *spec, int64_t d)
{
    return spec->step + spec->operands + d * (1 + spec->operands);
}

static int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

int64_t pb_lanes_count(const pb_lanes *spec)
{
    return pb_lanes_strips(spec, 1);
}

int64_t pb_lanes_width(const pb_lanes *spec, int64_t most)
{
    int64_t size = spec->ndim ? axis_of(spec, spec->ndim - 1)[0] : 1;
    return size < most ? size : most;
}

int64_t pb_lanes_per_task(const pb_lanes *spec, int64_t elements)
{
    int64_t lanes = elements / (spec->length ? spec->length : 1);
    return lanes > MOST ? MOST : lanes < 1 ? 1 : lanes;
}

int64_t pb_lanes_strips(const pb_lanes *spec, int64_t width)
{
    int64_t strips = 1;
    for (int64_t d = 0; d < spec->ndim; d++) {
        int64_t size = axis_of(spec, d)[0];
        strips *= d == spec->ndim - 1 ? (size + width - 1) / width : size;
    }
    return strips;
}

pb_strip pb_lanes_strip(const pb_lanes *spec, char *const *operands, int64_t width, int64_t index)
{
    pb_strip strip = { .lanes = 1 };
    for (int k = 0; k < spec->operands; k++)
        strip.start[k] = operands[k];
    for (int64_t d = spec->ndim - 1; d >= 0; d--) {
        const int64_t *axis = axis_of(spec, d);
        int last = d == spec->ndim - 1;
        int64_t places = last ? (axis[0] + width - 1) / width : axis[0];
        int64_t at = index % places * (last ? width : 1);
        index /= places;
        if (last)
            strip.lanes = axis[0] - at < width ? axis[0] - at : width;
        for (int k = 0; k < spec->operands; k++) {
            strip.start[k] += at * axis[1 + k];
            if (last)
                strip.across[k] = axis[1 + k];
        }
    }
    return strip;
}

int pb_lanes_side_by_side(const pb_lanes *spec, int64_t turned)
{
    const int64_t *last = axis_of(spec, spec->ndim - 1);
    if (spec->ndim == 0 || last[0] < FEW)
        return 0;
    return magnitude(last[1]) < magnitude(spec->step[0]) || spec->length <= turned;
}

int pb_tile_direct(const pb_lanes *spec, int side_by_side, int k, int size)
{
    return (side_by_side ? axis_of(spec, spec->ndim - 1)[1 + k] : spec->step[k]) == size;
}

pb_tile pb_tile_of(const pb_lanes *spec, const pb_strip *strip, int side_by_side, int k,
                   int64_t first)
{
    int64_t along = spec->step[k], across = strip->across[k];
    pb_tile tile = { strip->start[k] + first * along, across, along };
    if (side_by_side)
        tile.row = along, tile.column = across;
    return tile;
}

int64_t pb_tile_pitch(int size, int64_t columns)
{
    return (columns * size + 63) / 64 * 64 + 64;
}

pb_tile pb_tile_open(int size, int64_t rows, int64_t columns, pb_tile tile, char *buffer, int reads)
{
    pb_tile dense = { buffer, pb_tile_pitch(size, columns), size };
    if (tile.column == size || columns == 1)
        return tile;
    if (reads)
        pb_copy_plane(size, rows, columns, tile.data, tile.row, tile.column, buffer, dense.row, size);
    return dense;
}

void pb_tile_close(int size, int64_t rows, int64_t columns, pb_tile opened, pb_tile tile)
{
    if (opened.data != tile.data)
        pb_copy_plane(size, rows, columns, opened.data, opened.row, size, tile.data, tile.row,
                      tile.column);
}
