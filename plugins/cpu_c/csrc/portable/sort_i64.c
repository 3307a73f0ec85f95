/* Sorting of 64-bit keys without vectors: by counting digits. */
#include "../isa.h"

#define KEY int64_t
#define UNSIGNED uint64_t
#define KEY_MIN INT64_MIN
#include "../sort_kernel.h"
#include "../sort_scalar.inc"

static int64_t split(int64_t n, const void *from, void *to)
{
    const KEY *x = from;
    KEY *low = to, *high = low + n, *start = low, a = x[0], b = x[n / 2], c = x[n - 1];
    KEY least = a < b ? a : b, most = a < b ? b : a;
    split_keys(n, x, c < least ? least : c > most ? most : c, &low, &high);
    return low - start;
}

static void sort(int64_t n, void *a, void *b, int in_b)
{
    if (n <= MOST_INSERTED && !in_b)
        memcpy(b, a, (size_t)n * sizeof(KEY));
    if (n <= MOST_INSERTED)
        insert_keys(n, b, a);
    else
        count_digits(n, a, b, in_b);
}

extern const pb_sorter pb_sort_i64_portable;
const pb_sorter pb_sort_i64_portable = { .split = split, .sort = sort };
