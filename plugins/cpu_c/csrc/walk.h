/* Copies between a strided operand and a register. */
#ifndef PB_WALK_H
#define PB_WALK_H

#include "vm.h"

/* Elements [start, start + count) of the walk over `base`, into the register. */
void pb_walk_load(const pb_walk *walk, int size, const char *base, int64_t start, int64_t count,
                  char *target);
/* The reverse. */
void pb_walk_store(const pb_walk *walk, int size, char *base, int64_t start, int64_t count,
                   const char *source);
/* The steps count elements and the value is the offset reached: the row-major index in whatever
 * order the axes are walked. */
void pb_walk_index(const pb_walk *walk, int64_t start, int64_t count, int64_t *target);

#endif
