/* Working memory of a task: one block per thread that grows and stays, so that a launch allocates
 * nothing.  Uses nest like a stack: release in reverse order. */
#ifndef PB_SCRATCH_H
#define PB_SCRATCH_H

#include <stddef.h>

/* 64-byte aligned; NULL when the system has no memory. */
void *pb_scratch_take(size_t nbytes);
void pb_scratch_release(void *pointer);

#endif
