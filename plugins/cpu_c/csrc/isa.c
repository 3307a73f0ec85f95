/* Run-time choice of the instruction set (see isa.h).
 *
 * __builtin_cpu_supports reads CPUID and XGETBV: "avx2" and "avx512f" are reported only when the
 * operating system saves the wider registers.  F16C has no name in older clang, so its CPUID bit
 * is read directly; its registers are those that "avx2" already vouches for. */
#include "isa.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static int has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static int always(void)
{
    return 1;
}

/* Best first. */
static const struct {
    const pb_isa *isa;
    int (*supported)(void);
} levels[] = {
#if defined(__x86_64__)
    { &pb_isa_avx512, has_avx512 },
    { &pb_isa_avx2, has_avx2 },
#endif
    { &pb_isa_portable, always },
};

const pb_isa *pb_isa_select(const char *name)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        int matches = !name || !*name || strcmp(name, levels[i].isa->name) == 0;
        if (matches && levels[i].supported())
            return levels[i].isa;
    }
    return NULL;
}
