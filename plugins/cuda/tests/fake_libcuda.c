// A libcuda.so.1 that shows one GPU whose memory is the host's and whose kernels do nothing: enough to call
// the driver layer through the real pycuda. It counts contexts that are pushed and popped.
// The other functions that pycuda needs in order to load are added by test_cuda_pycuda.py.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned long long ptr;
#define OK return 0

static int depth, launches;
static char last[256];

int cuInit(unsigned flags) { OK; }
int cuDriverGetVersion(int *v) { *v = 13000; OK; }
int cuDeviceGetCount(int *n) { *n = 1; OK; }
int cuDeviceGet(int *d, int k) { *d = k; OK; }
int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "fake GPU"); OK; }
int cuDeviceComputeCapability(int *a, int *b, int d) { *a = 9; *b = 0; OK; }
int cuDeviceGetAttribute(int *x, int which, int d) { *x = which == 16 ? 132 : which == 8 ? 49152 : 1; OK; }
int cuDeviceTotalMem_v2(size_t *n, int d) { *n = 1 << 26; OK; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)8; OK; }
int cuDevicePrimaryCtxRelease_v2(int d) { OK; }
int cuCtxPushCurrent_v2(void *c) { depth++; OK; }
int cuCtxPopCurrent_v2(void **c) { if (c) *c = (void *)8; return depth-- > 0 ? 0 : 201; }
int cuCtxGetDevice(int *d) { *d = 0; OK; }
int cuCtxGetApiVersion(void *c, unsigned *v) { *v = 13000; OK; }
int cuCtxSynchronize(void) { OK; }
int cuStreamCreate(void **s, unsigned flags) { *s = (void *)16; return depth ? 0 : 201; }
int cuStreamSynchronize(void *s) { OK; }
int cuStreamDestroy_v2(void *s) { OK; }
int cuEventCreate(void **e, unsigned flags) { *e = (void *)24; return depth ? 0 : 201; }
int cuEventRecord(void *e, void *s) { OK; }
int cuEventSynchronize(void *e) { OK; }
int cuEventDestroy_v2(void *e) { OK; }
int cuMemAlloc_v2(ptr *p, size_t n) { if (n > 1 << 26) return 2; *p = (ptr)malloc(n); return depth ? 0 : 201; }
int cuMemFree_v2(ptr p) { free((void *)p); return depth ? 0 : 201; }
int cuMemHostAlloc(void **p, size_t n, unsigned flags) { *p = malloc(n); return depth ? 0 : 201; }
int cuMemFreeHost(void *p) { free(p); OK; }
int cuMemcpyHtoDAsync_v2(ptr to, const void *from, size_t n, void *s) { memcpy((void *)to, from, n); OK; }
int cuMemcpyDtoHAsync_v2(void *to, ptr from, size_t n, void *s) { memcpy(to, (void *)from, n); OK; }
int cuMemcpyDtoDAsync_v2(ptr to, ptr from, size_t n, void *s) { memcpy((void *)to, (void *)from, n); OK; }
int cuModuleLoadDataEx(void **m, const void *image, unsigned n, void *o, void *v) { *m = (void *)32; OK; }
int cuModuleLoadData(void **m, const void *image) { *m = (void *)32; OK; }
int cuModuleUnload(void *m) { OK; }
int cuModuleGetFunction(void **f, void *m, const char *name) { *f = (void *)40; return strcmp(name, "absent") ? 0 : 500; }
// Graphs: what is launched between begin and end is counted, and counts again at every replay.
static int recording = -1, replayed;
int cuStreamBeginCapture_v2(void *s, int mode) { recording = 0; return s == (void *)16 && mode == 2 && depth ? 0 : 201; }
int cuStreamEndCapture(void *s, void **g) { *g = malloc(sizeof(int)); *(int *)*g = recording; recording = -1; OK; }
int cuGraphInstantiateWithFlags(void **e, void *g, ptr flags) { *e = malloc(sizeof(int)); *(int *)*e = *(int *)g; return getenv("FAKE_GRAPH_FAULT") ? 901 : 0; }
int cuGraphDestroy(void *g) { free(g); OK; }
int cuGraphExecDestroy(void *e) { free(e); return depth ? 0 : 201; }
int cuGraphLaunch(void *e, void *s) { replayed += *(int *)e; return depth && s == (void *)16 ? 0 : 201; }
int fake_replayed(void) { return replayed; }
int cuFuncSetBlockShape(void *f, int x, int y, int z) { OK; }
int cuFuncGetAttribute(int *x, int which, void *f) { *x = 0; OK; }
int cuGetErrorString(int code, const char **s)
{
    *s = code == 2 ? "out of memory" : code == 700 ? "an illegal memory access was encountered"
       : code == 500 ? "named symbol not found" : code == 201 ? "invalid device context" : "other";
    OK;
}
int cuLaunchKernel(void *f, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
    unsigned shared, void *stream, void **parameters, void **extra)
{
    // extra: 1, pointer to the packed arguments, 2, pointer to their size, 0
    size_t size = extra ? *(size_t *)extra[3] : 0;
    launches++;
    if (recording >= 0) recording++;
    snprintf(last, sizeof last, "%u,%u,%u %u,%u,%u %zu", x, y, z, bx, by, bz, size);
    if (getenv("FAKE_FAULT")) return 700;
    return depth ? 0 : 201;
}
const char *fake_last(void) { return last; }
int fake_depth(void) { return depth; }
