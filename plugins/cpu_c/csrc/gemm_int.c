/* Integer matrix products, wrapping (see gemm.h).
 *
 * Plain loops over blocks: a task owns TASK_ROWS rows of C; for each block of COLUMNS columns it
 * sums into a buffer that stays in L1 while blocks of DEPTH rows of B pass by, read in place when
 * they are contiguous and copied first when they are not.  The inner loop is vectorised by the
 * compiler.  Arithmetic is done in the unsigned type of the same width, which serves both signs. */
#include "gemm.h"
#include "pool.h"

#include <stddef.h>

enum { TASK_ROWS = 16, COLUMNS = 256, DEPTH = 32, PARALLEL_TERMS = 1 << 18 };

typedef struct int_product {
    int64_t m, n, k, tasks_per_matrix;
    const void *a, *b;
    void *c;
    int64_t a_batch, a_row, a_col, b_batch, b_row, b_col, c_batch, c_row, c_col;
} int_product;

#define TYPE uint8_t
#define NAME(x) x##_8
#include "gemm_int.inc"

#define TYPE uint16_t
#define NAME(x) x##_16
#include "gemm_int.inc"

#define TYPE uint32_t
#define NAME(x) x##_32
#include "gemm_int.inc"

#define TYPE uint64_t
#define NAME(x) x##_64
#include "gemm_int.inc"

typedef void (*int_task)(void *context, int64_t index);

static const int_task tasks_of_dtype[PB_DTYPES] = {
    [PB_I8] = rows_task_8,   [PB_U8] = rows_task_8,
    [PB_I16] = rows_task_16, [PB_U16] = rows_task_16,
    [PB_I32] = rows_task_32, [PB_U32] = rows_task_32,
    [PB_I64] = rows_task_64, [PB_U64] = rows_task_64,
};

int pb_gemm_int(int dtype, int64_t batch, int64_t m, int64_t n, int64_t k,
                const void *a, int64_t a_batch, int64_t a_row, int64_t a_col,
                const void *b, int64_t b_batch, int64_t b_row, int64_t b_col,
                void *c, int64_t c_batch, int64_t c_row, int64_t c_col)
{
    int_product p = {
        .m = m, .n = n, .k = k, .tasks_per_matrix = (m + TASK_ROWS - 1) / TASK_ROWS,
        .a = a, .a_batch = a_batch, .a_row = a_row, .a_col = a_col,
        .b = b, .b_batch = b_batch, .b_row = b_row, .b_col = b_col,
        .c = c, .c_batch = c_batch, .c_row = c_row, .c_col = c_col,
    };
    int_task task = dtype >= 0 && dtype < PB_DTYPES ? tasks_of_dtype[dtype] : NULL;
    if (!task)
        return -2;
    if (batch <= 0 || m <= 0 || n <= 0)
        return 0;
    int64_t tasks = batch * p.tasks_per_matrix;
    if (batch * m * n * (k ? k : 1) >= PARALLEL_TERMS)
        pb_pool_run(tasks, task, &p);
    else
        for (int64_t index = 0; index < tasks; index++)
            task(&p, index);
    return 0;
}
