/* Thread pool: one parallel loop at a time, the caller takes part.
 *
 * pb_pool_run calls task(context, index) once for every index in [0, tasks) and returns when all
 * calls have returned.  Indexes are handed out one by one in increasing order to whichever thread
 * is free, so a task must not depend on which thread runs it; kernels cut their work into tasks by
 * problem size only, which keeps every result identical for any number of threads.  A task should
 * last 10 us or more: waking a spinning worker costs about 1 us, a parked one about 10-50 us.
 *
 * A call made while the pool is busy (from inside a task, or from a second thread of the program)
 * runs serially on the calling thread.  Threads start at the first parallel call; after fork() the
 * child starts its own. */
#ifndef PB_POOL_H
#define PB_POOL_H

#include <stdint.h>

void pb_pool_run(int64_t tasks, void (*task)(void *context, int64_t index), void *context);

/* 0 = every usable core (affinity mask and cgroup v2 quota respected).  Takes effect at the next
 * parallel call; pb_pool_threads reports the number that call will use, the caller included. */
void pb_pool_set_threads(int n);
int pb_pool_threads(void);

#endif
