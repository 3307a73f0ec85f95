/* The interpreter (see vm.h).
 *
 * A launch is cut into tasks of a fixed number of elements, which depends on the program and the
 * size only; elements are independent, so results do not depend on threads.  A task opens a frame
 * (registers in this thread's scratch memory), runs its blocks and closes it. */
#include "vm.h"

#include <stdatomic.h>
#include <string.h>

#include "pool.h"
#include "scratch.h"
#include "stream.h"
#include "walk.h"

enum {
    /* Elements of a task: a memory-bound one takes 20 us, one that computes 15 us (an addition in L1
     * is 0.03 ns), against ~1 us to hand a task to a waiting thread and ~0.2 us to open a frame. */
    TASK_ELEMENTS = 64 << 10,
    TASK_ADDITIONS = 512 << 10,
    /* Registers 4096 bytes apart would make a load wait for an earlier store to another register
     * at the same offset (the core compares 12 address bits): keep them 192 bytes off. */
    STAGGER = 192,
};

static const pb_word *constants_of(const pb_program *program)
{
    return (const pb_word *)(program + 1);
}

/* Fills a register that stays the same during the task. */
static void fill_once(const pb_walk *walk, int size, const char *base, int64_t count, char *target)
{
    int64_t period = walk->kind == PB_SPLAT ? 1 : walk->period, done = period;
    pb_walk_load(walk, size, base, 0, period, target);
    for (; done < count; done *= 2) {
        int64_t more = done < count - done ? done : count - done;
        memcpy(target + done * size, target, (size_t)(more * size));
    }
}

static int64_t register_bytes(const pb_frame *frame, int operand)
{
    const pb_walk *walk = pb_walk_of(frame->layout, operand);
    int64_t bytes = frame->program->register_bytes + STAGGER;
    if (walk->kind == PB_DIRECT)
        return 0;
    return walk->kind == PB_PERIODIC ? bytes + walk->period * frame->sizes[operand] : bytes;
}

/* Elements that a register must hold: a small launch does not fill whole blocks. */
static int64_t filled(const pb_frame *frame)
{
    int64_t block = frame->program->block, size = frame->layout[0];
    return size < block ? size : block;
}

static void fill_constants(pb_frame *frame)
{
    const pb_program *program = frame->program;
    static const int64_t one_element[] = { PB_SPLAT, 1, 1, 1, 0 };
    for (int k = 0; k < program->constants; k++) {
        int slot = frame->operands + k;
        fill_once((const pb_walk *)one_element, frame->sizes[slot],
                  (const char *)(constants_of(program) + k), filled(frame), frame->slots[slot]);
    }
}

static void fill_operands(pb_frame *frame)
{
    for (int k = 0; k < frame->program->inputs; k++) {
        const pb_walk *walk = pb_walk_of(frame->layout, k);
        const char *base = (const char *)(uintptr_t)frame->words[k].address;
        if (walk->kind == PB_SPLAT && walk->ndim == 0) { /* the word itself is the value */
            static const int64_t one_element[] = { PB_SPLAT, 1, 1, 1, 0 };
            walk = (const pb_walk *)one_element;
            base = (const char *)&frame->words[k];
        }
        if (walk->kind == PB_SPLAT)
            fill_once(walk, frame->sizes[k], base, filled(frame), frame->registers[k]);
        else if (walk->kind == PB_PERIODIC)
            fill_once(walk, frame->sizes[k], base, filled(frame) + walk->period,
                      frame->registers[k]);
    }
}

int pb_frame_open(pb_frame *frame, const pb_isa *isa, const void *program, const void *layout,
                  const void *words)
{
    const pb_program *p = program;
    frame->isa = isa;
    frame->program = p;
    frame->layout = layout;
    frame->words = words;
    frame->operands = p->inputs + p->outputs;
    frame->sizes = (const int32_t *)(constants_of(p) + p->constants);
    int sizes = (frame->operands + p->constants + 1) & ~1;
    frame->instrs = (const pb_instr *)(frame->sizes + sizes);

    int slots = frame->operands + p->constants + p->temps;
    int64_t pointers = (int64_t)sizeof(void *) * (slots + frame->operands);
    int64_t each = p->register_bytes + STAGGER;
    int64_t total = pointers + 64 + (p->constants + p->temps) * each;
    for (int k = 0; k < frame->operands; k++)
        total += register_bytes(frame, k) + 64;
    frame->memory = pb_scratch_take((size_t)total);
    if (!frame->memory)
        return PB_NO_MEMORY;

    frame->slots = frame->memory;
    frame->registers = (char **)(frame->slots + slots);
    char *next = (char *)frame->memory + ((pointers + 63) & ~63);
    for (int k = 0; k < frame->operands; k++) {
        int64_t bytes = register_bytes(frame, k);
        frame->registers[k] = bytes ? next : NULL;
        frame->slots[k] = next;
        next += (bytes + 63) & ~63;
    }
    for (int k = frame->operands; k < slots; k++, next += each)
        frame->slots[k] = next;
    fill_constants(frame);
    fill_operands(frame);
    return PB_OK;
}

void pb_frame_close(pb_frame *frame)
{
    pb_scratch_release(frame->memory);
}

static void place_operands(pb_frame *frame, int64_t start, int64_t count)
{
    const pb_program *program = frame->program;
    for (int k = 0; k < frame->operands; k++) {
        const pb_walk *walk = pb_walk_of(frame->layout, k);
        char *base = (char *)(uintptr_t)frame->words[k].address;
        int size = frame->sizes[k];
        if (walk->kind == PB_DIRECT)
            frame->slots[k] = base + start * size;
        else if (walk->kind == PB_PERIODIC)
            frame->slots[k] = frame->registers[k] + start % walk->period * size;
        else if (walk->kind == PB_STRIDED && k == program->iota)
            pb_walk_index(walk, start, count, (int64_t *)frame->registers[k]);
        else if (walk->kind == PB_STRIDED && k < program->inputs)
            pb_walk_load(walk, size, base, start, count, frame->registers[k]);
    }
}

void pb_frame_run(pb_frame *frame, int64_t start, int64_t count)
{
    const pb_program *program = frame->program;
    const pb_op *ops = frame->isa->ops;
    void **slots = frame->slots;
    place_operands(frame, start, count);
    for (int k = 0; k < program->instrs; k++) {
        const pb_instr *instr = &frame->instrs[k];
        const void *in[3] = { slots[instr->in[0]], slots[instr->in[1]], slots[instr->in[2]] };
        ops[instr->op](count, slots[instr->out], in);
    }
    for (int k = program->inputs; k < frame->operands; k++) {
        const pb_walk *walk = pb_walk_of(frame->layout, k);
        char *base = (char *)(uintptr_t)frame->words[k].address;
        int size = frame->sizes[k];
        if (walk->kind == PB_STREAMED)
            pb_stream(base + start * size, frame->registers[k], (size_t)(count * size));
        else if (walk->kind == PB_STRIDED)
            pb_walk_store(walk, size, base, start, count, frame->registers[k]);
    }
}

/* Programs whose slots all point into buffers have no registers to fit into L1: fewer, longer
 * kernel calls then. */
static int64_t block_of(const pb_program *program, const int64_t *layout, int64_t task)
{
    int all_direct = program->constants + program->temps == 0;
    for (int k = 0; k < program->inputs + program->outputs; k++)
        all_direct &= pb_walk_of(layout, k)->kind == PB_DIRECT;
    return all_direct ? task : program->block;
}

typedef struct launch {
    const pb_isa *isa;
    const pb_program *program;
    const int64_t *layout;
    const pb_word *words;
    int64_t start, stop, task, block;
    atomic_int status;
} launch;

static void run_task(void *context, int64_t index)
{
    launch *l = context;
    pb_frame frame;
    int64_t start = l->start + index * l->task, stop = start + l->task;
    stop = stop < l->stop ? stop : l->stop;
    if (pb_frame_open(&frame, l->isa, l->program, l->layout, l->words) != PB_OK) {
        atomic_store(&l->status, PB_NO_MEMORY);
        return;
    }
    for (; start < stop; start += l->block)
        pb_frame_run(&frame, start, stop - start < l->block ? stop - start : l->block);
    pb_stream_end();
    pb_frame_close(&frame);
}

int pb_run(const pb_isa *isa, const void *program, const void *layout, const void *words,
           int64_t start, int64_t stop)
{
    launch l = { isa, program, layout, words, start, stop, 0, 0, PB_OK };
    int64_t elements = TASK_ADDITIONS / l.program->cost;
    int64_t blocks = (elements < TASK_ELEMENTS ? elements : TASK_ELEMENTS) / l.program->block;
    l.task = (blocks > 1 ? blocks : 1) * l.program->block;
    l.block = block_of(l.program, layout, l.task);
    pb_pool_run((stop - start + l.task - 1) / l.task, run_task, &l);
    return atomic_load(&l.status);
}
