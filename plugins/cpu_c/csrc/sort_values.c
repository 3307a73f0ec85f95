/* Values in order along one axis (see index.h): the driver of the kernels in sort_kernel.h.
 *
 * A lane becomes keys, keys are sorted, and become values again.  Equal keys are equal bits, so nothing
 * shows that quicksort is not stable, but for zeros, whose two kinds have two keys, and NaN, which has
 * many kinds: these are written in the order they came in.  Short lanes run side by side; a long one
 * is split, part by part and part beside part, until there are enough parts for the threads there
 * may be. */
#include "index.h"

#include <stdatomic.h>
#include <string.h>

#include "memory.h"
#include "pool.h"
#include "scratch.h"
#include "sort_kernel.h"

enum {
    TASK = 8 << 10,      /* keys: 10 us and more */
    CHUNK = 32 << 10,    /* keys that become values while they are in L2 */
    LONG = 128 << 10,    /* a lane that is worth splitting for several threads */
    MOST_PARTS = 32,
};

typedef struct lane {
    const pb_sort_type *type;
    const pb_sorter *sorter;
    int64_t flip, n, numbers, x_step, out_step;
    const char *x;
    char *out, *a, *b;   /* keys and as much room again */
} lane;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t key(const lane *l, int64_t i)
{
    return (l->type->key_size == 4 ? ((const int32_t *)l->a)[i] : ((const int64_t *)l->a)[i]) ^ l->flip;
}

/* How many of the sorted keys come before `limit`, a key as it was before the flip? */
static int64_t before(const lane *l, int64_t limit)
{
    int64_t low = 0, high = l->numbers;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, k = key(l, middle);
        if (l->flip ? k > limit : k < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Keys of zeros are -1 and 0. */
static void restore_zeros(const lane *l)
{
    int64_t first = before(l, l->flip ? 0 : -1);
    l->type->zeros(l->n, l->x, l->x_step, l->out + first * l->out_step, l->out_step);
}

/* The keys of numbers alone in the front of a; NaN to the end of out. */
static void leave_out_nans(lane *l, int64_t nans)
{
    l->numbers = l->n - nans;
    if (nans)
        l->type->numbers(l->n, l->x, l->x_step, l->flip, l->a, l->out + l->numbers * l->out_step,
                         l->out_step);
}

/* ---- short lanes, one after another ------------------------------------------------------- */

typedef struct job {
    const pb_lanes *spec;
    char *const *operands;
    lane one;            /* all but where it is */
    int64_t lanes, per_task;
    atomic_int status;
} job;

static void sort_lane(lane *l)
{
    pb_sort_found found = l->type->keys(l->n, l->x, l->x_step, l->flip, l->a);
    leave_out_nans(l, found.nans);
    l->sorter->sort(l->numbers, l->a, l->b, 0);
    l->type->values(l->numbers, l->a, l->flip, l->out, l->out_step);
    if (found.zeros)
        restore_zeros(l);
}

static void run_lanes(void *context, int64_t task)
{
    job *j = context;
    lane l = j->one;
    const size_t bytes = (size_t)(l.n * l.type->key_size);
    int64_t index = task * j->per_task, stop = smaller(index + j->per_task, j->lanes);
    l.a = pb_scratch_take(2 * bytes);
    if (!l.a) {
        atomic_store(&j->status, -1);
        return;
    }
    l.b = l.a + bytes;
    for (; index < stop; index++) {
        pb_strip strip = pb_lanes_strip(j->spec, j->operands, 1, index);
        l.x = strip.start[0], l.out = strip.start[1];
        sort_lane(&l);
    }
    pb_scratch_release(l.a);
}

/* ---- a long lane, all threads together ---------------------------------------------------- */

typedef struct parts {
    lane *l;
    int64_t first[MOST_PARTS + 1]; /* of each part, and the end */
    int64_t count, half;           /* half: from part to part while parts are split */
    int in_b;
    atomic_int_fast64_t nans, zeros;
} parts;

static void make_keys(void *context, int64_t index)
{
    parts *p = context;
    const lane *l = p->l;
    int64_t i = index * CHUNK, n = smaller(CHUNK, l->n - i);
    pb_sort_found found = l->type->keys(n, l->x + i * l->x_step, l->x_step, l->flip,
                                        l->a + i * l->type->key_size);
    atomic_fetch_add(&p->nans, found.nans);
    atomic_fetch_add(&p->zeros, found.zeros);
}

/* Part 2 h index becomes that and the one h after it. */
static void split_part(void *context, int64_t index)
{
    parts *p = context;
    const lane *l = p->l;
    int64_t part = 2 * index * p->half, from = p->first[part], size = l->type->key_size;
    int64_t n = p->first[part + 2 * p->half] - from;
    char *a = l->a + from * size, *b = l->b + from * size;
    int64_t low = n ? l->sorter->split(n, p->in_b ? b : a, p->in_b ? a : b) : 0;
    p->first[part + p->half] = from + low;
}

static void sort_part(void *context, int64_t part)
{
    parts *p = context;
    const lane *l = p->l;
    int64_t from = p->first[part], n = p->first[part + 1] - from, size = l->type->key_size;
    l->sorter->sort(n, l->a + from * size, l->b + from * size, p->in_b);
    l->type->values(n, l->a + from * size, l->flip, l->out + from * l->out_step, l->out_step);
}

static void sort_parts(lane *l)
{
    parts p = { .l = l, .count = 2 };
    pb_pool_run((l->n + CHUNK - 1) / CHUNK, make_keys, &p);
    leave_out_nans(l, atomic_load(&p.nans));
    while (p.count < MOST_PARTS && p.count * CHUNK < l->numbers)
        p.count *= 2;
    p.first[p.count] = l->numbers;
    for (p.half = p.count / 2; p.half > 0; p.half /= 2, p.in_b = !p.in_b)
        pb_pool_run(p.count / 2 / p.half, split_part, &p);
    pb_pool_run(p.count, sort_part, &p);
    if (atomic_load(&p.zeros))
        restore_zeros(l);
}

/* -1 without memory.  A dense result is the room for keys until its values are known. */
static int run_long(const job *j, int64_t index)
{
    lane l = j->one;
    const size_t bytes = (size_t)(l.n * l.type->key_size);
    pb_strip strip = pb_lanes_strip(j->spec, j->operands, 1, index);
    l.x = strip.start[0], l.out = strip.start[1];
    int apart = l.out_step != l.type->key_size;
    l.a = pb_alloc(bytes);
    l.b = apart ? pb_alloc(bytes) : l.out;
    if (l.a && l.b)
        sort_parts(&l);
    int status = l.a && l.b ? 0 : -1;
    pb_free(l.a);
    if (apart)
        pb_free(l.b);
    return status;
}

/* ---- public ------------------------------------------------------------------------------ */

int pb_sort(const pb_isa *isa, int type, int descending, const pb_lanes *spec, char *const *operands)
{
    const pb_sort_type *keys = &isa->sort_types[type];
    job j = { .spec = spec, .operands = operands, .lanes = pb_lanes_count(spec) };
    if (!keys->key_size)
        return -2;
    if (!spec->length || !j.lanes)
        return 0;
    j.one = (lane){ .type = keys, .sorter = keys->key_size == 4 ? isa->sort_i32 : isa->sort_i64,
                    .flip = -(int64_t)descending, .n = spec->length, .numbers = spec->length,
                    .x_step = spec->step[0], .out_step = spec->step[1] };
    if (spec->length >= LONG) {
        int status = 0;
        for (int64_t i = 0; status == 0 && i < j.lanes; i++)
            status = run_long(&j, i);
        return status;
    }
    j.per_task = spec->length < TASK ? TASK / spec->length : 1;
    pb_pool_run((j.lanes + j.per_task - 1) / j.per_task, run_lanes, &j);
    return atomic_load(&j.status);
}
