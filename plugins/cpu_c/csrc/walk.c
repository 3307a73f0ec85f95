/* The odometer (see walk.h): from the first element's index, runs along the innermost axis, each
 * moved by one tight loop chosen by item size and step. */
#include "walk.h"

#include <string.h>

typedef void (*mover)(char *memory, char *registers, int64_t count, int64_t step);

#define NAME(what) what##_1
#define TYPE uint8_t
#include "walk_run.inc"
#define NAME(what) what##_2
#define TYPE uint16_t
#include "walk_run.inc"
#define NAME(what) what##_4
#define TYPE uint32_t
#include "walk_run.inc"
#define NAME(what) what##_8
#define TYPE uint64_t
#include "walk_run.inc"
#define NAME(what) what##_16
#define TYPE pb_word
#include "walk_run.inc"

static void index_run(char *memory, char *registers, int64_t count, int64_t step)
{
    int64_t *target = (int64_t *)registers, first = (int64_t)(intptr_t)memory;
    for (int64_t i = 0; i < count; i++)
        target[i] = first + i * step;
}

static void walk_runs(const pb_walk *walk, char *memory, char *registers, int64_t size,
                      int64_t start, int64_t count, mover move)
{
    int64_t index[32], last = walk->ndim - 1;
    for (int64_t d = last; d >= 0; d--) {
        index[d] = start % walk->axis[d].size;
        start /= walk->axis[d].size;
        memory += index[d] * walk->axis[d].step;
    }
    const int64_t inner = walk->axis[last].size, step = walk->axis[last].step;
    for (int64_t run = inner - index[last];; run = inner) {
        run = run < count ? run : count;
        move(memory, registers, run, step);
        count -= run;
        if (!count)
            return;
        registers += run * size;
        memory -= (inner - run) * step; /* 0 but for the first run, which may start inside */
        for (int64_t d = last - 1; d >= 0; d--) {
            memory += walk->axis[d].step;
            if (++index[d] < walk->axis[d].size)
                break;
            memory -= index[d] * walk->axis[d].step;
            index[d] = 0;
        }
    }
}

void pb_walk_load(const pb_walk *walk, int size, const char *base, int64_t start, int64_t count,
                  char *target)
{
    static const mover movers[] = { [1] = load_1, [2] = load_2, [4] = load_4, [8] = load_8,
                                    [16] = load_16 };
    walk_runs(walk, (char *)base, target, size, start, count, movers[size]);
}

void pb_walk_store(const pb_walk *walk, int size, char *base, int64_t start, int64_t count,
                   const char *source)
{
    static const mover movers[] = { [1] = store_1, [2] = store_2, [4] = store_4, [8] = store_8,
                                    [16] = store_16 };
    walk_runs(walk, base, (char *)source, size, start, count, movers[size]);
}

void pb_walk_index(const pb_walk *walk, int64_t start, int64_t count, int64_t *target)
{
    walk_runs(walk, NULL, (char *)target, 8, start, count, index_run);
}
