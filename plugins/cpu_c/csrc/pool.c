/* Thread pool (see pool.h).
 *
 * One job slot.  `entry` packs an OPEN bit and the number of workers inside the job into one word,
 * so a worker enters with a compare-and-swap that fails once the caller has closed the job.  The
 * caller therefore waits only for workers that really hold a task, never for one that the system
 * has not scheduled yet: on a busy machine a late worker costs nothing.
 *
 * Idle workers spin for SPIN_NANOSECONDS, which covers the gap between two parallel loops of one
 * matrix product, and then park on a condition variable. */
#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() atomic_signal_fence(memory_order_seq_cst)
#endif

enum { MAX_THREADS = 256, SPIN_NANOSECONDS = 40000, PAUSES_PER_CLOCK_READ = 8 };
enum { OPEN = 1 << 16, INSIDE = OPEN - 1 };

static struct {
    pthread_mutex_t running;              /* held by the thread that owns the job slot */
    pthread_mutex_t park;                 /* guards the two condition variables */
    pthread_cond_t work, done;
    pthread_t threads[MAX_THREADS];
    int started, applied;                 /* workers alive; thread count they were started for */
    int avoided;                          /* core that the workers are kept off, -1 = none */
    atomic_int wanted;                    /* thread count asked for, 0 = not decided yet */
    void (*task)(void *context, int64_t index);
    void *context;
    int64_t tasks;
    _Alignas(64) atomic_llong next;       /* next task index to hand out */
    _Alignas(64) atomic_int entry;        /* OPEN bit + number of workers inside the job */
    _Alignas(64) atomic_uint generation;  /* bumped for every job: what idle workers watch */
    atomic_int parked, caller_parked, stop;
} pool = {
    .running = PTHREAD_MUTEX_INITIALIZER, .park = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .avoided = -1,
};

static _Thread_local int inside_task;

/* ---- how many cores may be used ---------------------------------------------------------- */

#if defined(__linux__)
/* Cores allowed by one cpu.max file ("max 100000" or "150000 100000"), rounded up; 0 = no limit. */
static int quota_of_file(const char *path)
{
    long long quota = 0, period = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    int fields = fscanf(file, "%lld %lld", &quota, &period);
    fclose(file);
    return fields == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

/* Smallest cgroup v2 quota on the path from this process's group up to the root. */
static int quota_of_cgroup(void)
{
    char line[1024], path[1200];
    int smallest = 0;
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        line[strcspn(line, "\n")] = 0;
        for (char *group = line + 3;;) {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
            int quota = quota_of_file(path);
            if (quota && (!smallest || quota < smallest))
                smallest = quota;
            char *slash = strrchr(group, '/');
            if (!slash)
                break;
            *slash = 0;
        }
    }
    fclose(file);
    return smallest;
}
#endif

static int usable_cores(void)
{
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    int quota = quota_of_cgroup();
    if (quota && quota < cores)
        cores = quota;
#endif
    return cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : cores;
}

void pb_pool_set_threads(int n)
{
    atomic_store(&pool.wanted, n <= 0 ? usable_cores() : n > MAX_THREADS ? MAX_THREADS : n);
}

int pb_pool_threads(void)
{
    if (!atomic_load(&pool.wanted))
        pb_pool_set_threads(0);
    return atomic_load(&pool.wanted);
}

/* ---- workers ----------------------------------------------------------------------------- */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void take_tasks(void)
{
    inside_task = 1;
    for (int64_t index; (index = atomic_fetch_add(&pool.next, 1)) < pool.tasks;)
        pool.task(pool.context, index);
    inside_task = 0;
}

static int enter_job(void)
{
    int entry = atomic_load(&pool.entry);
    while (entry & OPEN)
        if (atomic_compare_exchange_weak(&pool.entry, &entry, entry + 1))
            return 1;
    return 0;
}

static void leave_job(void)
{
    if (atomic_fetch_sub(&pool.entry, 1) == 1 && atomic_load(&pool.caller_parked)) {
        pthread_mutex_lock(&pool.park);
        pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.park);
    }
}

/* Returns once the generation differs from `seen`: spin first, then park. */
static unsigned wait_for_job(unsigned seen)
{
    int64_t deadline = now() + SPIN_NANOSECONDS;
    unsigned current;
    do {
        for (int i = 0; i < PAUSES_PER_CLOCK_READ; i++) {
            if ((current = atomic_load(&pool.generation)) != seen)
                return current;
            PAUSE();
        }
    } while (now() < deadline);
    pthread_mutex_lock(&pool.park);
    atomic_fetch_add(&pool.parked, 1); /* before the last look: pairs with wake_workers */
    while ((current = atomic_load(&pool.generation)) == seen)
        pthread_cond_wait(&pool.work, &pool.park);
    atomic_fetch_sub(&pool.parked, 1);
    pthread_mutex_unlock(&pool.park);
    return current;
}

static void *worker(void *first_generation)
{
    unsigned seen = (unsigned)(uintptr_t)first_generation;
    for (;;) {
        seen = wait_for_job(seen);
        if (atomic_load(&pool.stop))
            return NULL;
        if (enter_job()) {
            take_tasks();
            leave_job();
        }
    }
}

/* Keeps workers off the caller's core.  A scheduler that packs woken threads onto the waker's core
 * (seen on virtual machines: no second core for up to 100 ms) would run the loop serially.  Nothing
 * is lost, that core is busy with the caller's own share; redone when the caller has moved. */
static void spread_workers(void)
{
#if defined(__linux__)
    cpu_set_t allowed;
    int core = sched_getcpu();
    if (core < 0 || core == pool.avoided || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    CPU_CLR(core, &allowed);
    pool.avoided = core;
    for (int i = 0; i < pool.started && CPU_COUNT(&allowed); i++)
        pthread_setaffinity_np(pool.threads[i], sizeof allowed, &allowed);
#endif
}

static void wake_workers(void)
{
    spread_workers();
    atomic_fetch_add(&pool.generation, 1);
    if (atomic_load(&pool.parked)) {
        pthread_mutex_lock(&pool.park);
        pthread_cond_broadcast(&pool.work);
        pthread_mutex_unlock(&pool.park);
    }
}

static void wait_for_workers(void)
{
    int64_t deadline = now() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < PAUSES_PER_CLOCK_READ; i++) {
            if (!(atomic_load(&pool.entry) & INSIDE))
                return;
            PAUSE();
        }
    } while (now() < deadline);
    pthread_mutex_lock(&pool.park);
    atomic_store(&pool.caller_parked, 1);
    while (atomic_load(&pool.entry) & INSIDE)
        pthread_cond_wait(&pool.done, &pool.park);
    atomic_store(&pool.caller_parked, 0);
    pthread_mutex_unlock(&pool.park);
}

/* ---- start, stop, fork ------------------------------------------------------------------- */

static void stop_workers(void)
{
    atomic_store(&pool.stop, 1);
    wake_workers();
    for (int i = 0; i < pool.started; i++)
        pthread_join(pool.threads[i], NULL);
    pool.started = 0;
    pool.avoided = -1;
    atomic_store(&pool.stop, 0);
}

/* Workers block all signals so that Python's handlers keep running on the program's threads. */
static void start_workers(int workers)
{
    sigset_t all, old;
    uintptr_t generation = atomic_load(&pool.generation);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (pool.started < workers &&
           !pthread_create(&pool.threads[pool.started], NULL, worker, (void *)generation))
        pool.started++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The child has one thread: forget the workers and whatever state they were in. */
static void reset_in_child(void)
{
    pthread_mutex_init(&pool.running, NULL);
    pthread_mutex_init(&pool.park, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.started = pool.applied = 0;
    pool.avoided = -1;
    atomic_store(&pool.entry, 0);
    atomic_store(&pool.parked, 0);
    atomic_store(&pool.caller_parked, 0);
    atomic_store(&pool.stop, 0);
}

static void register_fork_handler(void)
{
    pthread_atfork(NULL, NULL, reset_in_child);
}

/* ---- the parallel loop ------------------------------------------------------------------- */

static void run_serially(int64_t tasks, void (*task)(void *, int64_t), void *context)
{
    for (int64_t index = 0; index < tasks; index++)
        task(context, index);
}

void pb_pool_run(int64_t tasks, void (*task)(void *context, int64_t index), void *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int threads = pb_pool_threads();
    if (tasks <= 1 || threads <= 1 || inside_task || pthread_mutex_trylock(&pool.running)) {
        run_serially(tasks, task, context);
        return;
    }
    pthread_once(&once, register_fork_handler);
    if (pool.applied != threads) {
        stop_workers();
        start_workers(threads - 1);
        pool.applied = threads;
    }
    pool.task = task;
    pool.context = context;
    pool.tasks = tasks;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.entry, OPEN);
    wake_workers();
    take_tasks();
    atomic_fetch_and(&pool.entry, ~OPEN);
    wait_for_workers();
    pthread_mutex_unlock(&pool.running);
}
