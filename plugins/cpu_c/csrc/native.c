/* The functions that Python calls (native.h): casts, and the tables of names. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conv.h"
#include "copy.h"
#include "gemm.h"
#include "index.h"
#include "memory.h"
#include "pool.h"
#include "reduce.h"
#include "rows.h"
#include "vm.h"
#include "window.h"

#include "native.h"

static const char *const op_names[] = {
#define PB_OP(name, function) #name,
#include "generated/ops_list.inc"
};

static const char *const reduce_names[] = {
#define PB_REDUCE(name, function, scans, places) #name,
#include "generated/reduce_list.inc"
};

const char *pb_op_name(int op)
{
    return op < (int)(sizeof op_names / sizeof *op_names) ? op_names[op] : NULL;
}

const char *pb_reduce_name(int reduce)
{
    return reduce < (int)(sizeof reduce_names / sizeof *reduce_names) ? reduce_names[reduce] : NULL;
}

uintptr_t pb_isa_open(const char *name)
{
    return (uintptr_t)pb_isa_select(name);
}

const char *pb_isa_name(uintptr_t isa)
{
    return ((const pb_isa *)isa)->name;
}

void pb_threads(int n)
{
    pb_pool_set_threads(n);
}

uintptr_t pb_memory_alloc(uint64_t nbytes)
{
    return (uintptr_t)pb_alloc(nbytes);
}

void pb_memory_free(uintptr_t pointer)
{
    pb_free((void *)pointer);
}

void pb_memory_cap(uint64_t nbytes)
{
    pb_memory_limit(nbytes);
}

void pb_memory_figures(uint64_t out[5])
{
    pb_memory_stats(out);
}

void pb_memory_trim(void)
{
    pb_trim();
}

void pb_memory_upload(uintptr_t target, const char *source, uint64_t nbytes)
{
    memmove((void *)target, source, nbytes); /* the source may be a host view of the target */
}

void pb_memory_download(char *target, uintptr_t source, uint64_t nbytes)
{
    memmove(target, (const void *)source, nbytes);
}

int pb_native_run(uintptr_t isa, const char *program, const char *layout, const char *words,
                  int64_t start, int64_t stop)
{
    return pb_run((const pb_isa *)isa, program, layout, words, start, stop);
}

int pb_native_reduce(uintptr_t isa, int reduce, int size, const char *program, const char *layout,
                     const char *words, int64_t outer, int64_t length, int64_t inner,
                     uintptr_t out)
{
    return pb_reduce_run((const pb_isa *)isa, reduce, size, program, layout, words, outer, length,
                         inner, (void *)out);
}

int pb_native_matmul(uintptr_t isa, int dtype, const char *sizes, const char *strides,
                     const char *pointers)
{
    const int64_t *n = (const int64_t *)sizes, *s = (const int64_t *)strides;
    void *const *p = (void *const *)pointers;
    if (dtype == PB_F32 || dtype == PB_F64)
        return pb_gemm((const pb_isa *)isa, dtype, n[0], n[1], n[2], n[3], p[0], s[0], s[1], s[2],
                       p[1], s[3], s[4], s[5], p[2], s[6], s[7], s[8]);
    if (dtype == PB_C64 || dtype == PB_C128)
        return pb_gemm_complex((const pb_isa *)isa, dtype, n[0], n[1], n[2], n[3], p[0], s[0], s[1],
                               s[2], p[1], s[3], s[4], s[5], p[2], s[6], s[7], s[8]);
    return pb_gemm_int(dtype, n[0], n[1], n[2], n[3], p[0], s[0], s[1], s[2], p[1], s[3], s[4],
                       s[5], p[2], s[6], s[7], s[8]);
}

int pb_native_conv2d(uintptr_t isa, int dtype, int kind, const char *spec, const char *pointers)
{
    char *const *p = (char *const *)pointers;
    return pb_conv_run((const pb_isa *)isa, dtype, kind, (const pb_conv *)spec, p[0], p[1], p[2]);
}

int pb_native_pool2d(uintptr_t isa, int dtype, int maxima, const char *spec, const char *pointers)
{
    char *const *p = (char *const *)pointers;
    return pb_pool_windows((const pb_isa *)isa, dtype, maxima, (const pb_window *)spec, p[0], p[1],
                           p[2]);
}

void pb_native_gather(int size, const char *spec, const char *pointers)
{
    char *const *p = (char *const *)pointers;
    pb_gather(size, (const pb_index *)spec, p[0], p[1], p[2]);
}

int pb_native_scatter(uintptr_t isa, int dtype, int size, int mode, int op, const char *spec,
                      const char *pointers)
{
    char *const *p = (char *const *)pointers;
    pb_op combine = op < 0 ? NULL : ((const pb_isa *)isa)->ops[op];
    return pb_scatter(dtype, size, mode, combine, (const pb_index *)spec, p[0], p[1], p[2]);
}

int pb_native_argsort(int dtype, int descending, const char *spec, const char *pointers)
{
    char *const *p = (char *const *)pointers;
    return pb_argsort(dtype, descending, (const pb_lanes *)spec, p[0], p[1]);
}

int pb_native_sort(uintptr_t isa, int dtype, int descending, const char *spec, const char *pointers)
{
    return pb_sort((const pb_isa *)isa, dtype, descending, (const pb_lanes *)spec,
                   (char *const *)pointers);
}

int pb_native_scan(uintptr_t isa, int reduce, int size, const char *spec, const char *pointers)
{
    return pb_scan_run((const pb_isa *)isa, reduce, size, (const pb_lanes *)spec,
                       (char *const *)pointers);
}

int pb_native_place(uintptr_t isa, int reduce, int size, const char *spec, const char *pointers)
{
    return pb_place_run((const pb_isa *)isa, reduce, size, (const pb_lanes *)spec,
                        (char *const *)pointers);
}

int pb_native_softmax(uintptr_t isa, int dtype, const char *spec, const char *pointers, int log)
{
    return pb_softmax_run((const pb_isa *)isa, dtype, (const pb_lanes *)spec,
                          (char *const *)pointers, log);
}

int pb_native_layer_norm(uintptr_t isa, int dtype, const char *spec, const char *pointers,
                         double eps)
{
    return pb_layer_norm_run((const pb_isa *)isa, dtype, (const pb_lanes *)spec,
                             (char *const *)pointers, eps);
}

void pb_native_copy(int size, const char *spec, uintptr_t source, uintptr_t target)
{
    pb_copy_run(size, (const pb_copy *)spec, (const char *)source, (char *)target);
}
