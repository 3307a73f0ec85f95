/* Gather and scatter (see index.h).
 *
 * Both walk the index's shape in row-major order, one run along the innermost axis at a time.  The
 * usual case, whole rows of a table chosen by one number each, has index step 0 in that run: then a
 * run is one memcpy, or one vector addition.  Gathering is cut into tasks anywhere.  Scattering must
 * keep the order of writes to one element; elements that differ outside the indexed axis never meet,
 * so tasks are pieces of the largest other axis, each walking all of its part in order. */
#include "index.h"

#include <string.h>

#include "pool.h"

enum { TASK = 32 << 10, PIECE_BYTES = 256 };

typedef struct steps {
    int64_t table, index, dense, axis;
} steps;

typedef void (*mover)(const steps *step, int64_t count, char *table, const char *index,
                      char *dense);

#define NAME(what) what##_1
#define TYPE uint8_t
#include "index_run.inc"
#define NAME(what) what##_2
#define TYPE uint16_t
#include "index_run.inc"
#define NAME(what) what##_4
#define TYPE uint32_t
#include "index_run.inc"
#define NAME(what) what##_8
#define TYPE uint64_t
#include "index_run.inc"
#define NAME(what) what##_c64
#define TYPE float _Complex
#include "index_run.inc"
#define NAME(what) what##_c128
#define TYPE double _Complex
#include "index_run.inc"
#define NAME(what) what##_f32
#define TYPE float
#include "index_run.inc"
#define NAME(what) what##_f64
#define TYPE double
#include "index_run.inc"

typedef struct job {
    const pb_index *spec;
    char *table, *dense;
    const char *index;
    mover move;
    pb_op add;             /* whole rows at once */
    int size, writes;      /* item size; scattering */
    int64_t total, piece;  /* elements; scattering: part of axis `split` in one task */
    int split;
} job;

/* One run with index step 0: a row of the table. */
static void move_row(const job *j, const steps *step, int64_t count, char *table, char *dense)
{
    if (step->table == j->size && step->dense == j->size) {
        const void *in[2] = { table, dense };
        if (j->add)
            j->add(count, table, in);
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
                                    [16] = take_c128 };
    job j = { .spec = spec, .table = (char *)table, .index = index, .dense = dense,
              .move = movers[size], .size = size, .total = total_of(spec) };
    pb_pool_run((j.total + TASK - 1) / TASK, run_task, &j);
}

static const struct { mover put, add; int size; } scatters[PB_DTYPES] = {
    [PB_BOOL] = { put_1, NULL, 1 }, [PB_I8] = { put_1, add_1, 1 }, [PB_U8] = { put_1, add_1, 1 },
    [PB_I16] = { put_2, add_2, 2 }, [PB_U16] = { put_2, add_2, 2 }, [PB_F16] = { put_2, NULL, 2 },
    [PB_BF16] = { put_2, NULL, 2 }, [PB_I32] = { put_4, add_4, 4 }, [PB_U32] = { put_4, add_4, 4 },
    [PB_F32] = { put_4, add_f32, 4 }, [PB_I64] = { put_8, add_8, 8 }, [PB_U64] = { put_8, add_8, 8 },
    [PB_F64] = { put_8, add_f64, 8 }, [PB_C64] = { put_8, add_c64, 8 },
    [PB_C128] = { put_c128, add_c128, 16 },
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

int pb_scatter(int type, pb_op add, const pb_index *spec, char *table, const char *index,
               const char *dense)
{
    job j = { .spec = spec, .table = table, .index = index, .dense = (char *)dense, .add = add,
              .move = add ? scatters[type].add : scatters[type].put, .size = scatters[type].size,
              .writes = 1, .total = total_of(spec) };
    if (!j.move)
        return -2;
    if (j.total) {
        int64_t tasks = split_into_pieces(&j);
        pb_pool_run(tasks, run_task, &j);
    }
    return 0;
}
