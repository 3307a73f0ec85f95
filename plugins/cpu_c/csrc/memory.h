/* Caching allocator for array buffers and packing space.
 *
 * Freed blocks are kept per size class and handed out again last-in first-out: a large array made
 * in a loop costs a list pop instead of an mmap plus one page fault per 4 KB.  All calls may come
 * from any thread and work after fork(). */
#ifndef PB_MEMORY_H
#define PB_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* 64-byte aligned, contents undefined.  0 bytes give a valid unique pointer.  NULL when the system
 * has no memory, when the limit would be passed, or when live blocks would exceed physical RAM. */
void *pb_alloc(size_t nbytes);
void pb_free(void *pointer); /* NULL is ignored */

void pb_trim(void);                  /* give every cached block back to the system */
void pb_memory_limit(size_t nbytes); /* cap on live bytes, 0 = none */

/* Live, cached, peak live bytes (all in whole blocks, so up to 12.5 % above what was asked for),
 * the limit, and the number of successful pb_alloc calls. */
void pb_memory_stats(uint64_t out[5]);

#endif
