/* Per-thread working memory (see scratch.h).
 *
 * Each thread keeps one block.  A request that fits the rest of it is a pointer bump; a larger one
 * is a plain allocation with the same interface, and when the stack is empty again the kept block
 * grows to what was asked for, up to KEEP_AT_MOST. */
#include "scratch.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { ALIGNMENT = 64, FIRST = 128 << 10, KEEP_AT_MOST = 8 << 20 };

typedef struct stack {
    char *start;
    size_t used, size;
} stack;

static _Thread_local stack *mine;
static pthread_key_t key;

static void give_back(void *pointer)
{
    free(((stack *)pointer)->start);
    free(pointer);
}

static void make_key(void)
{
    pthread_key_create(&key, give_back);
}

/* This thread's stack, with a first block; NULL without memory. */
static stack *own_stack(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    void *block = NULL;
    if (mine)
        return mine;
    pthread_once(&once, make_key);
    stack *made = calloc(1, sizeof *made);
    if (!made || posix_memalign(&block, ALIGNMENT, FIRST)) {
        free(made);
        return NULL;
    }
    made->start = block;
    made->size = FIRST;
    pthread_setspecific(key, made);
    return mine = made;
}

static void grow(stack *own, size_t nbytes)
{
    void *block = NULL;
    if (own->used || nbytes > KEEP_AT_MOST || posix_memalign(&block, ALIGNMENT, nbytes))
        return;
    free(own->start);
    own->start = block;
    own->size = nbytes;
}

void *pb_scratch_take(size_t nbytes)
{
    stack *own = own_stack();
    void *block = NULL;
    nbytes = (nbytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!own)
        return NULL;
    if (nbytes > own->size - own->used)
        grow(own, nbytes);
    if (nbytes > own->size - own->used)
        return posix_memalign(&block, ALIGNMENT, nbytes) ? NULL : block;
    block = own->start + own->used;
    own->used += nbytes;
    return block;
}

void pb_scratch_release(void *pointer)
{
    uintptr_t place = (uintptr_t)pointer, start = (uintptr_t)mine->start;
    if (place >= start && place < start + mine->size)
        mine->used = place - start;
    else
        free(pointer);
}
