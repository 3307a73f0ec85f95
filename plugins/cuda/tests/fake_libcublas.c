/* The five calls of cuBLAS that the plugin makes, as its documentation states them, on host memory:
   column-major, c = alpha op(a) op(b) + beta c. It keeps the math mode, so that a test can ask. */
#include <complex.h>
#include <stdlib.h>

int fake_math_mode = -1, fake_handles = 0, fake_calls = 0;
void *fake_stream = 0;

int cublasCreate_v2(void **handle) { *handle = malloc(1); fake_handles++; return 0; }
int cublasDestroy_v2(void *handle) { free(handle); fake_handles--; return 0; }
int cublasSetStream_v2(void *handle, void *stream) { fake_stream = stream; return handle ? 0 : 1; }
int cublasSetMathMode(void *handle, int mode) { fake_math_mode = mode; return handle ? 0 : 1; }

#define GEMM(NAME, T)                                                                             \
    int cublas##NAME##gemmStridedBatched(void *handle, int ta, int tb, int m, int n, int k,       \
        const T *alpha, const T *a, int lda, long long sa, const T *b, int ldb, long long sb,     \
        const T *beta, T *c, int ldc, long long sc, int count)                                    \
    {                                                                                             \
        if (!handle) return 1;                                                                    \
        if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return 7;                        \
        fake_calls++;                                                                             \
        for (int p = 0; p < count; p++, a += sa, b += sb, c += sc)                                \
            for (int j = 0; j < n; j++)                                                           \
                for (int i = 0; i < m; i++) {                                                     \
                    T sum = 0;                                                                    \
                    for (long long l = 0; l < k; l++)                                             \
                        sum += a[ta ? l + (long long)i * lda : i + l * lda]                       \
                             * b[tb ? j + l * ldb : l + (long long)j * ldb];                      \
                    T *to = c + i + (long long)j * ldc;                                           \
                    *to = *beta == 0 ? *alpha * sum : *alpha * sum + *beta * *to;                 \
                }                                                                                 \
        return 0;                                                                                 \
    }

GEMM(S, float)
GEMM(D, double)
GEMM(C, float complex)
GEMM(Z, double complex)
