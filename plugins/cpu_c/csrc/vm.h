/* Runs a Program block by block: no intermediate value is ever stored in memory.
 *
 * A compiled program is a list of instructions on *slots*: first its inputs, then its outputs, its
 * constants and its temporaries.  For every block of consecutive elements (row-major in the shape
 * of the launch) each slot is a pointer to `block` elements, and an instruction is one call of an
 * elementwise kernel on those pointers.  A block of 1024 f32 (512 f64) is 4 KB, so that the ten or so
 * slots of a usual program fit the 32 KB L1 cache; the call costs a few ns against 50-500 ns of
 * work.  How a slot gets its pointer is decided at launch (enum pb_kind).
 *
 * compiler.py writes both structures below; they change together. */
#ifndef PB_VM_H
#define PB_VM_H

#include "isa.h"

/* The address of an operand, or the bits of a number: the widest type has 16 bytes. */
typedef struct pb_word {
    uint64_t address, rest;
} pb_word;

typedef struct pb_instr {
    int32_t op, out, in[3], unused;
} pb_instr;

typedef struct pb_program {
    int32_t inputs, outputs, constants, temps, instrs;
    int32_t block;          /* elements of a slot */
    int32_t register_bytes; /* of a slot: block * the largest item size */
    int32_t cost;           /* rough time of one element, in additions */
    int32_t iota;           /* the input that is the row-major index, or -1 */
    int32_t result;         /* the slot that a reduction reads */
    int32_t unused[6];
    /* then pb_word constant[constants]; int32_t size[inputs + outputs + constants], made even;
     * pb_instr instr[instrs] */
} pb_program;

enum pb_kind {
    PB_DIRECT,   /* contiguous: the pointer goes into the buffer itself */
    PB_SPLAT,    /* one element: a register filled once per task */
    PB_PERIODIC, /* repeats after `period` elements: a register filled once per task */
    PB_STRIDED,  /* copied to (inputs) or from (outputs) a register for every block */
    PB_STREAMED, /* a large contiguous output: a register, then stored around the cache */
};

/* How one operand walks through the shape: axes outermost first, merged where one stride serves. */
typedef struct pb_walk {
    int64_t kind, period, ndim;
    struct { int64_t size, step; } axis[]; /* step in bytes */
} pb_walk;

/* A launch: layout[0] elements; layout[1 + k] is where the pb_walk of operand k starts, counted in
 * int64.  words[k] is the address of operand k, or the bits of a scalar input (always a splat). */
typedef struct pb_frame {
    const pb_isa *isa;
    const pb_program *program;
    const int64_t *layout;
    const pb_word *words;
    const int32_t *sizes;
    const pb_instr *instrs;
    int operands;           /* inputs + outputs */
    void **slots;           /* the pointers of the current block */
    char **registers;       /* of the operands; NULL for direct ones */
    void *memory;
} pb_frame;

enum pb_status { PB_OK = 0, PB_NO_MEMORY = -1, PB_UNSUPPORTED = -2 };

/* Elements [start, stop) of a launch, in parallel where that pays. */
int pb_run(const pb_isa *isa, const void *program, const void *layout, const void *words,
           int64_t start, int64_t stop);

/* One task's view of a launch: PB_OK, or PB_NO_MEMORY. */
int pb_frame_open(pb_frame *frame, const pb_isa *isa, const void *program, const void *layout,
                  const void *words);
/* count <= program->block elements from `start`.  Strided outputs are stored. */
void pb_frame_run(pb_frame *frame, int64_t start, int64_t count);
void pb_frame_close(pb_frame *frame);

static inline const pb_walk *pb_walk_of(const int64_t *layout, int operand)
{
    return (const pb_walk *)(layout + layout[1 + operand]);
}

#endif
