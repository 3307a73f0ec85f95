/* Strided copies (see copy.h), transposes above all.
 *
 * Axis q walks the target in the smallest steps, axis p the source.  If they are one axis, whole runs
 * along it are moved.  If not, the p-q plane is cut into tiles of TILE x TILE items, turned in a
 * local buffer, so that every cache line of either array is touched once, by its own tile: reading
 * or writing along the wrong axis would touch a line per item, and with power-of-two row lengths
 * those lines evict each other.  16 items of 4 bytes are one line.  Tasks are groups of runs or of
 * rows of tiles. */
#include "copy.h"

#include <string.h>

#include "pool.h"
#include "stream.h"

enum { TILE = 16, TASK_BYTES = 256 << 10, LARGE = 16 << 20 /* bytes: see stream.h */ };

typedef uint32_t four __attribute__((vector_size(16), aligned(1)));

/* 4 x 4 items of 4 bytes, rows `source` apart, to columns of a tile. */
static void turn_4x4(const char *source, int64_t row, uint32_t *tile)
{
    four a = *(const four *)source, b = *(const four *)(source + row);
    four c = *(const four *)(source + 2 * row), d = *(const four *)(source + 3 * row);
    four ab = __builtin_shuffle(a, b, (four){ 0, 4, 1, 5 });
    four cd = __builtin_shuffle(c, d, (four){ 0, 4, 1, 5 });
    four ef = __builtin_shuffle(a, b, (four){ 2, 6, 3, 7 });
    four gh = __builtin_shuffle(c, d, (four){ 2, 6, 3, 7 });
    *(four *)tile = __builtin_shuffle(ab, cd, (four){ 0, 1, 4, 5 });
    *(four *)(tile + TILE) = __builtin_shuffle(ab, cd, (four){ 2, 3, 6, 7 });
    *(four *)(tile + 2 * TILE) = __builtin_shuffle(ef, gh, (four){ 0, 1, 4, 5 });
    *(four *)(tile + 3 * TILE) = __builtin_shuffle(ef, gh, (four){ 2, 3, 6, 7 });
}

typedef uint64_t two __attribute__((vector_size(16), aligned(1)));

/* 2 x 2 items of 8 bytes. */
static void turn_2x2(const char *source, int64_t row, uint64_t *tile)
{
    two a = *(const two *)source, b = *(const two *)(source + row);
    *(two *)tile = __builtin_shuffle(a, b, (two){ 0, 2 });
    *(two *)(tile + TILE) = __builtin_shuffle(a, b, (two){ 1, 3 });
}

/* A whole tile: tile[p][q] = source row q, item p. */
static void turn(int size, const char *source, int64_t row, void *buffer)
{
    if (size == 4) {
        uint32_t *tile = buffer;
        for (int q = 0; q < TILE; q += 4)
            for (int p = 0; p < TILE; p += 4)
                turn_4x4(source + q * row + p * 4, row, tile + p * TILE + q);
        return;
    }
    if (size == 8) {
        uint64_t *tile = buffer;
        for (int q = 0; q < TILE; q += 2)
            for (int p = 0; p < TILE; p += 2)
                turn_2x2(source + q * row + p * 8, row, tile + p * TILE + q);
        return;
    }
    for (int q = 0; q < TILE; q++, source += row) {
        if (size == 16)
            for (int p = 0; p < TILE; p++)
                ((two *)buffer)[p * TILE + q] = ((const two *)source)[p];
        else if (size == 2)
            for (int p = 0; p < TILE; p++)
                ((uint16_t *)buffer)[p * TILE + q] = ((const uint16_t *)source)[p];
        else
            for (int p = 0; p < TILE; p++)
                ((uint8_t *)buffer)[p * TILE + q] = ((const uint8_t *)source)[p];
    }
}

typedef void (*storer)(void *target, const void *source, size_t nbytes);

static void store_cached(void *target, const void *source, size_t nbytes)
{
    memcpy(target, source, nbytes);
}

static void move_items(int size, int64_t count, const char *source, int64_t from, char *target,
                       int64_t to)
{
    if (from == size && to == size)
        memcpy(target, source, (size_t)(count * size));
    else if (size == 16)
        for (int64_t i = 0; i < count; i++)
            *(two *)(target + i * to) = *(const two *)(source + i * from);
    else if (size == 8)
        for (int64_t i = 0; i < count; i++)
            *(uint64_t *)(target + i * to) = *(const uint64_t *)(source + i * from);
    else if (size == 4)
        for (int64_t i = 0; i < count; i++)
            *(uint32_t *)(target + i * to) = *(const uint32_t *)(source + i * from);
    else if (size == 2)
        for (int64_t i = 0; i < count; i++)
            *(uint16_t *)(target + i * to) = *(const uint16_t *)(source + i * from);
    else
        for (int64_t i = 0; i < count; i++)
            target[i * to] = source[i * from];
}

typedef struct job {
    const pb_copy *spec;
    const char *source;
    char *target;
    int64_t units, per_task; /* a unit: a run, or a row of tiles */
    int size, p, q;
    storer store;
} job;

static int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

/* One axis of a plane: bytes from item to item. */
typedef struct line {
    int64_t source, target;
} line;

/* Up to TILE items of axis p along the whole of axis q. */
static void row_of_tiles(int size, int64_t items, line p, int64_t length, line q, const char *source,
                         char *target, storer store)
{
    int dense = items == TILE && p.source == size && q.target == size;
    for (int64_t i = 0; i < length; i += TILE, source += TILE * q.source, target += TILE * q.target) {
        _Alignas(64) char tile[TILE * TILE * 16];
        int64_t across = length - i < TILE ? length - i : TILE;
        if (dense && across == TILE) {
            turn(size, source, q.source, tile);
            for (int64_t k = 0; k < TILE; k++)
                store(target + k * p.target, tile + k * TILE * size, (size_t)(TILE * size));
        } else {
            for (int64_t k = 0; k < items; k++)
                move_items(size, across, source + k * p.source, q.source, target + k * p.target,
                           q.target);
        }
    }
}

void pb_copy_plane(int size, int64_t rows, int64_t columns, const char *source, int64_t source_row,
                   int64_t source_column, char *target, int64_t target_row, int64_t target_column)
{
    line p = { source_row, target_row }, q = { source_column, target_column };
    int64_t items = rows, length = columns;
    if (magnitude(p.target) < magnitude(q.target)) {
        line other = p;
        p = q, q = other;
        items = columns, length = rows;
    }
    int crosses = magnitude(p.source) < magnitude(q.source) && items >= 4 && length >= 4;
    for (int64_t i = 0, step = crosses ? TILE : 1; i < items; i += step) {
        const char *from = source + i * p.source;
        char *to = target + i * p.target;
        if (crosses)
            row_of_tiles(size, items - i < TILE ? items - i : TILE, p, length, q, from, to,
                         store_cached);
        else
            move_items(size, length, from, q.source, to, q.target);
    }
}

static void run_unit(const job *j, int64_t unit)
{
    const pb_copy *spec = j->spec;
    const char *source = j->source;
    char *target = j->target;
    int64_t items = 1;
    for (int64_t d = spec->ndim - 1; d >= 0; d--) {
        int64_t size = spec->axis[d].size, step = 1;
        if (d == j->q)
            continue;
        if (d == j->p) {
            step = TILE;
            size = (size + TILE - 1) / TILE;
        }
        int64_t at = unit % size * step;
        unit /= size;
        source += at * spec->axis[d].source;
        target += at * spec->axis[d].target;
        if (d == j->p)
            items = spec->axis[d].size - at < TILE ? spec->axis[d].size - at : TILE;
    }
    if (j->p != j->q)
        row_of_tiles(j->size, items,
                     (line){ spec->axis[j->p].source, spec->axis[j->p].target },
                     spec->axis[j->q].size,
                     (line){ spec->axis[j->q].source, spec->axis[j->q].target }, source, target,
                     j->store);
    else
        move_items(j->size, spec->axis[j->q].size, source, spec->axis[j->q].source, target,
                   spec->axis[j->q].target);
}

static void run_task(void *context, int64_t task)
{
    const job *j = context;
    int64_t unit = task * j->per_task, stop = unit + j->per_task;
    for (stop = stop < j->units ? stop : j->units; unit < stop; unit++)
        run_unit(j, unit);
    pb_stream_end();
}

/* One long run, cut anywhere. */
static void run_slice(void *context, int64_t task)
{
    const job *j = context;
    int64_t start = task * j->per_task, left = j->units - start;
    int64_t from = j->spec->axis[0].source, to = j->spec->axis[0].target;
    if (j->store == pb_stream && from == j->size && to == j->size) {
        int64_t items = left < j->per_task ? left : j->per_task;
        pb_stream(j->target + start * to, j->source + start * from, (size_t)(items * j->size));
        pb_stream_end();
        return;
    }
    move_items(j->size, left < j->per_task ? left : j->per_task, j->source + start * from, from,
               j->target + start * to, to);
}

void pb_copy_run(int size, const pb_copy *spec, const char *source, char *target)
{
    int last = (int)spec->ndim - 1;
    int64_t nbytes = size;
    job j = { .spec = spec, .source = source, .target = target, .size = size, .p = last, .q = last };
    void (*task)(void *, int64_t) = run_task;
    for (int d = last; d >= 0; d--) /* a broadcast axis (step 0) reads nothing new */
        if (spec->axis[d].source && magnitude(spec->axis[d].source)
                                        < magnitude(spec->axis[j.p].source))
            j.p = d;
    if (!spec->axis[last].source || spec->axis[j.p].size < 4 || spec->axis[j.q].size < 4)
        j.p = j.q;
    if (spec->ndim == 1) {
        task = run_slice;
        j.units = spec->axis[0].size;
        j.per_task = TASK_BYTES / size;
    } else {
        int64_t items = spec->axis[j.q].size * (j.p != j.q ? TILE : 1);
        j.units = 1;
        for (int64_t d = 0; d < spec->ndim; d++)
            if (d != j.q)
                j.units *= d == j.p ? (spec->axis[d].size + TILE - 1) / TILE : spec->axis[d].size;
        j.per_task = items * size < TASK_BYTES ? TASK_BYTES / (items * size) : 1;
    }
    for (int d = 0; d < spec->ndim; d++)
        nbytes *= spec->axis[d].size;
    j.store = nbytes >= LARGE ? pb_stream : store_cached;
    pb_pool_run((j.units + j.per_task - 1) / j.per_task, task, &j);
}
