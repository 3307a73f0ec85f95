/* argsort (see index.h): keys whose unsigned order is the order wanted, and a stable sort of them.
 *
 * Floating-point bits become ordered by flipping all bits of negative numbers and the sign of the
 * others; -0 first becomes +0 because they are equal, and NaN gets the largest key after the order
 * has been reversed for a descending sort.  Up to SMALL elements are inserted one by one; more are
 * sorted by counting, byte by byte from the lowest, which is stable; a byte that is the same
 * everywhere is skipped.  Lanes are sorted in parallel. */
#include "index.h"

#include <stdatomic.h>
#include <string.h>

#include "convert.h"
#include "pool.h"
#include "scratch.h"

enum { SMALL = 48, TASK = 8 << 10 };

typedef struct entry {
    uint64_t key;
    int64_t index;
} entry;

typedef struct job {
    const pb_lanes *spec;
    const char *x;
    char *out;
    int64_t lanes, per_task;
    int type, descending;
    atomic_int status;
} job;

static uint64_t double_key(double x)
{
    uint64_t bits = pb_bits_f64(x + 0.0); /* -0 to +0 */
    return bits & PB_SIGN_F64 ? ~bits : bits | PB_SIGN_F64;
}

static uint64_t float_key(float x)
{
    uint32_t bits = pb_bits_f32(x + 0.0f);
    return bits & PB_SIGN_F32 ? ~bits : bits | PB_SIGN_F32;
}

/* Signed integers move up by half their range; narrower keys leave the high bytes 0. */
static uint64_t key_at(const char *x, int type, int descending)
{
    uint64_t key = 0, top = UINT64_MAX;
    double real = 0;
    switch (type) {
    case PB_BOOL: case PB_U8: key = *(const uint8_t *)x; top = UINT8_MAX; break;
    case PB_U16: key = *(const uint16_t *)x; top = UINT16_MAX; break;
    case PB_U32: key = *(const uint32_t *)x; top = UINT32_MAX; break;
    case PB_U64: key = *(const uint64_t *)x; break;
    case PB_I8: key = *(const uint8_t *)x ^ (UINT64_C(1) << 7); top = UINT8_MAX; break;
    case PB_I16: key = *(const uint16_t *)x ^ (UINT64_C(1) << 15); top = UINT16_MAX; break;
    case PB_I32: key = *(const uint32_t *)x ^ (UINT64_C(1) << 31); top = UINT32_MAX; break;
    case PB_I64: key = *(const uint64_t *)x ^ (UINT64_C(1) << 63); break;
    case PB_F16: real = pb_f16_to_f32(*(const uint16_t *)x); break;
    case PB_BF16: real = pb_bf16_to_f32(*(const uint16_t *)x); break;
    case PB_F32: real = *(const float *)x; break;
    default: real = *(const double *)x; key = double_key(real);
    }
    if (type == PB_F16 || type == PB_BF16 || type == PB_F32) {
        key = float_key((float)real);
        top = UINT32_MAX;
    }
    return real != real ? top : descending ? top - key : key;
}

static void insert(entry *list, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        entry moving = list[i];
        int64_t at = i;
        for (; at > 0 && list[at - 1].key > moving.key; at--)
            list[at] = list[at - 1];
        list[at] = moving;
    }
}

/* Returns the one of the two arrays that holds the result. */
static entry *count_bytes(entry *from, entry *to, int64_t n)
{
    int64_t counts[8][256] = { 0 };
    for (int64_t i = 0; i < n; i++)
        for (int byte = 0; byte < 8; byte++)
            counts[byte][from[i].key >> 8 * byte & 255]++;
    for (int byte = 0; byte < 8; byte++) {
        int64_t *count = counts[byte], place = 0;
        if (count[from[0].key >> 8 * byte & 255] == n)
            continue;
        for (int digit = 0; digit < 256; digit++) {
            int64_t here = count[digit];
            count[digit] = place;
            place += here;
        }
        for (int64_t i = 0; i < n; i++)
            to[count[from[i].key >> 8 * byte & 255]++] = from[i];
        entry *other = from;
        from = to;
        to = other;
    }
    return from;
}

static void sort_lane(const job *j, const char *x, char *out, entry *space)
{
    const int64_t n = j->spec->length, *step = j->spec->step;
    for (int64_t i = 0; i < n; i++)
        space[i] = (entry){ key_at(x + i * step[0], j->type, j->descending), i };
    if (n <= SMALL)
        insert(space, n);
    else
        space = count_bytes(space, space + n, n);
    for (int64_t i = 0; i < n; i++)
        *(int64_t *)(out + i * step[1]) = space[i].index;
}

static void run_task(void *context, int64_t task)
{
    job *j = context;
    char *const operands[] = { (char *)j->x, j->out };
    int64_t lane = task * j->per_task, stop = lane + j->per_task;
    entry *space = pb_scratch_take(2 * (size_t)j->spec->length * sizeof *space);
    if (!space) {
        atomic_store(&j->status, -1);
        return;
    }
    for (stop = stop < j->lanes ? stop : j->lanes; lane < stop; lane++) {
        pb_strip strip = pb_lanes_strip(j->spec, operands, 1, lane);
        sort_lane(j, strip.start[0], strip.start[1], space);
    }
    pb_scratch_release(space);
}

int pb_argsort(int type, int descending, const pb_lanes *spec, const char *x, char *out)
{
    job j = { .spec = spec, .x = x, .out = out, .lanes = pb_lanes_count(spec), .type = type,
              .descending = descending };
    if (!spec->length || !j.lanes)
        return 0;
    j.per_task = spec->length < TASK ? TASK / spec->length : 1;
    pb_pool_run((j.lanes + j.per_task - 1) / j.per_task, run_task, &j);
    return atomic_load(&j.status);
}
