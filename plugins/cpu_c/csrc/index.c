/* Gather and scatter (see index.h).
 *
 * Both walk the index's shape in row-major order, one run along the innermost axis at a time.  The
 * usual case, whole rows of a table chosen by one number each, has index step 0 in that run: then a
 * run is one memcpy, or one vector addition.  Gathering is cut into tasks anywhere.  Scattering must
 * keep the order of writes to one element; elements that differ outside the indexed axis never meet,
 * so tasks are pieces of the largest other axis, each walking all of its part in order. */
#include "index.h"

#include <string.h>

#include "math_f32.h"
#include "math_f64.h"
#include "math_int.h"
#include "pool.h"

enum { TASK = 32 << 10, PIECE_BYTES = 256 };

typedef struct steps {
    int64_t table, index, dense, axis;
} steps;

typedef void (*mover)(const steps *step, int64_t count, char *table, const char *index,
                      char *dense);

/* `there` is an element of the table, `here` the one of the dense array that meets it. */
#define EACH(name, type, action) \
    static void name(const steps *step, int64_t count, char *table, const char *index, char *dense) \
    { \
        for (int64_t i = 0; i < count; i++) { \
            int64_t at = *(const int64_t *)(index + i * step->index); \
            type *there = (type *)(table + i * step->table + at * step->axis); \
            type *here = (type *)(dense + i * step->dense); \
            action; \
        } \
    }
#define MOVE(size, type) \
    EACH(take_##size, type, *here = *there) \
    EACH(put_##size, type, *there = *here)
#define ADD(code, type) EACH(add_##code, type, *there = (type)(*there + *here))
#define EXTREMES(code, type) \
    EACH(min_##code, type, *there = pb_minimum_##code(*there, *here)) \
    EACH(max_##code, type, *there = pb_maximum_##code(*there, *here))

MOVE(1, uint8_t) MOVE(2, uint16_t) MOVE(4, uint32_t) MOVE(8, uint64_t) MOVE(16, double _Complex)
ADD(u8, uint8_t) ADD(u16, uint16_t) ADD(u32, uint32_t) ADD(u64, uint64_t)
ADD(f32, float) ADD(f64, double) ADD(c64, float _Complex) ADD(c128, double _Complex)
EXTREMES(i8, int8_t) EXTREMES(i16, int16_t) EXTREMES(i32, int32_t) EXTREMES(i64, int64_t)
EXTREMES(u8, uint8_t) EXTREMES(u16, uint16_t) EXTREMES(u32, uint32_t) EXTREMES(u64, uint64_t)
EXTREMES(f32, float) EXTREMES(f64, double)

typedef struct job {
    const pb_index *spec;
    char *table, *dense;
    const char *index;
    mover move;
    pb_op combine;         /* whole rows at once; NULL: a copy */
    int size, writes;      /* item size; scattering */
    int64_t total, piece;  /* elements; scattering: part of axis `split` in one task */
    int split;
} job;

/* One run with index step 0: a row of the table. */
static void move_row(const job *j, const steps *step, int64_t count, char *table, char *dense)
{
    if (step->table == j->size && step->dense == j->size) {
        const void *in[2] = { table, dense };
        if (j->combine)
            j->combine(count, table, in);
        else
            memcpy(j->writes ? table : dense, j->writes ? dense : table,
                   (size_t)(count * j->size));
        return;
    }
    static const int64_t zero;
    steps still = *step;
    still.axis = 0;
    j->move(&still, count, table, (const char *)&zero, dense);
}

static void move_run(const job *j, const steps *step, int64_t count, char *table,
                     const char *index, char *dense)
{
    if (step->index == 0)
        move_row(j, step, count, table + *(const int64_t *)index * step->axis, dense);
    else
        j->move(step, count, table, index, dense);
}

/* Elements [start, start + count), row-major in sizes size[], from the given origins. */
static void walk(const job *j, const int64_t *size, int64_t start, int64_t count, char *table,
                 const char *index, char *dense)
{
    const pb_index *spec = j->spec;
    int64_t at[32], last = spec->ndim - 1;
    for (int64_t d = last; d >= 0; d--) {
        at[d] = start % size[d];
        start /= size[d];
        table += at[d] * spec->axis[d].table;
        index += at[d] * spec->axis[d].index;
        dense += at[d] * spec->axis[d].dense;
    }
    steps step = { spec->axis[last].table, spec->axis[last].index, spec->axis[last].dense,
                   spec->axis_step };
    for (int64_t run = size[last] - at[last]; count > 0; run = size[last]) {
        run = run < count ? run : count;
        move_run(j, &step, run, table, index, dense);
        count -= run;
        table -= (at[last]) * step.table;
        index -= (at[last]) * step.index;
        dense -= (at[last]) * step.dense;
        at[last] = 0;
        for (int64_t d = last - 1; d >= 0; d--) {
            int64_t back = ++at[d] < size[d] ? 0 : size[d];
            table += (1 - back) * spec->axis[d].table;
            index += (1 - back) * spec->axis[d].index;
            dense += (1 - back) * spec->axis[d].dense;
            if (!back)
                break;
            at[d] = 0;
        }
    }
}

static void run_task(void *context, int64_t task)
{
    const job *j = context;
    const pb_index *spec = j->spec;
    int64_t size[32], total = 1;
    for (int64_t d = 0; d < spec->ndim; d++)
        size[d] = spec->axis[d].size;
    if (!j->writes) {
        int64_t start = task * TASK, left = j->total - start;
        walk(j, size, start, left < TASK ? left : TASK, j->table, j->index, j->dense);
        return;
    }
    int64_t first = task * j->piece, left = size[j->split] - first;
    size[j->split] = left < j->piece ? left : j->piece;
    for (int64_t d = 0; d < spec->ndim; d++)
        total *= size[d];
    walk(j, size, 0, total, j->table + first * spec->axis[j->split].table,
         j->index + first * spec->axis[j->split].index,
         j->dense + first * spec->axis[j->split].dense);
}

static int64_t total_of(const pb_index *spec)
{
    int64_t total = 1;
    for (int64_t d = 0; d < spec->ndim; d++)
        total *= spec->axis[d].size;
    return total;
}

void pb_gather(int size, const pb_index *spec, const char *table, const char *index, char *dense)
{
    static const mover movers[] = { [1] = take_1, [2] = take_2, [4] = take_4, [8] = take_8,
                                    [16] = take_16 };
    job j = { .spec = spec, .table = (char *)table, .index = index, .dense = dense,
              .move = movers[size], .size = size, .total = total_of(spec) };
    pb_pool_run((j.total + TASK - 1) / TASK, run_task, &j);
}

/* By pb_scatter_mode; NULL where the type has no such arithmetic. */
#define REAL(size, code, sum) { put_##size, add_##sum, min_##code, max_##code }
static const mover scatters[PB_DTYPES][4] = {
    [PB_BOOL] = { put_1 }, [PB_F16] = { put_2 }, [PB_BF16] = { put_2 },
    [PB_I8] = REAL(1, i8, u8), [PB_U8] = REAL(1, u8, u8),
    [PB_I16] = REAL(2, i16, u16), [PB_U16] = REAL(2, u16, u16),
    [PB_I32] = REAL(4, i32, u32), [PB_U32] = REAL(4, u32, u32),
    [PB_I64] = REAL(8, i64, u64), [PB_U64] = REAL(8, u64, u64),
    [PB_F32] = REAL(4, f32, f32), [PB_F64] = REAL(8, f64, f64),
    [PB_C64] = { put_8, add_c64 }, [PB_C128] = { put_16, add_c128 },
};

/* The largest axis that is not the indexed one, in pieces of a task's worth. */
static int64_t split_into_pieces(job *j)
{
    const pb_index *spec = j->spec;
    int64_t best = 0;
    for (int d = 0; d < spec->ndim; d++)
        if (!spec->axis[d].is_axis && spec->axis[d].size > best) {
            best = spec->axis[d].size;
            j->split = d;
        }
    int64_t size = spec->axis[j->split].size, tasks = best ? j->total / TASK : 1;
    int64_t least = j->split == spec->ndim - 1 ? PIECE_BYTES / j->size : 1;
    tasks = tasks > 64 ? 64 : tasks < 1 ? 1 : tasks;
    j->piece = (size + tasks - 1) / tasks;
    j->piece = j->piece > least ? j->piece : least;
    return (size + j->piece - 1) / j->piece;
}

int pb_scatter(int type, int size, int mode, pb_op combine, const pb_index *spec, char *table,
               const char *index, const char *dense)
{
    job j = { .spec = spec, .table = table, .index = index, .dense = (char *)dense,
              .combine = combine, .move = scatters[type][mode], .size = size, .writes = 1,
              .total = total_of(spec) };
    if (!j.move)
        return -2;
    if (j.total) {
        int64_t tasks = split_into_pieces(&j);
        pb_pool_run(tasks, run_task, &j);
    }
    return 0;
}
