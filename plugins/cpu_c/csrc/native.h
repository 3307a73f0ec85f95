/* All that Python sees.  cffi parses this file (build_native.py), so it holds declarations only.
 * Pointers travel as uintptr_t; status codes are those of enum pb_status. */

const char *pb_op_name(int op);         /* "add_f32"; NULL past the last */
const char *pb_reduce_name(int reduce); /* "sum_f32"; NULL past the last */

uintptr_t pb_isa_open(const char *name); /* "" = the best; 0 = unknown or not supported here */
const char *pb_isa_name(uintptr_t isa);
void pb_threads(int n);

uintptr_t pb_memory_alloc(uint64_t nbytes); /* 0 = no memory */
void pb_memory_free(uintptr_t pointer);
void pb_memory_cap(uint64_t nbytes);
void pb_memory_figures(uint64_t out[5]);
void pb_memory_trim(void);
void pb_memory_upload(uintptr_t target, const char *source, uint64_t nbytes);
void pb_memory_download(char *target, uintptr_t source, uint64_t nbytes);

int pb_native_run(uintptr_t isa, const char *program, const char *layout, const char *words,
                  int64_t start, int64_t stop);
int pb_native_reduce(uintptr_t isa, int reduce, int size, const char *program, const char *layout,
                     const char *words, int64_t outer, int64_t length, int64_t inner,
                     uintptr_t out);
/* sizes = batch m n k; strides = (batch, row, column) of a, b, c; pointers = a, b, c. */
int pb_native_matmul(uintptr_t isa, int dtype, const char *sizes, const char *strides,
                     const char *pointers);

/* spec is a pb_conv (conv.h), kind that of enum pb_conv_kind; pointers = x, weights, result. */
int pb_native_conv2d(uintptr_t isa, int dtype, int kind, const char *spec, const char *pointers);

/* spec is a pb_window (window.h); pointers = x, out, index or 0. */
int pb_native_pool2d(uintptr_t isa, int dtype, int maxima, const char *spec, const char *pointers);

/* Specifications are pb_index (index.h); pointers = table, index, dense. */
void pb_native_gather(int size, const char *spec, const char *pointers);
int pb_native_scatter(uintptr_t isa, int dtype, int size, int mode, int op, const char *spec,
                      const char *pointers); /* op -1: PB_PUT, which combines nothing */

/* Specifications are pb_lanes (lanes.h); pointers = x, out. */
int pb_native_argsort(int dtype, int descending, const char *spec, const char *pointers);
int pb_native_sort(uintptr_t isa, int dtype, int descending, const char *spec, const char *pointers);
int pb_native_scan(uintptr_t isa, int reduce, int size, const char *spec, const char *pointers);
int pb_native_place(uintptr_t isa, int reduce, int size, const char *spec, const char *pointers);
int pb_native_softmax(uintptr_t isa, int dtype, const char *spec, const char *pointers, int log);
/* pointers = x, out, mean, scale, weight, bias. */
int pb_native_layer_norm(uintptr_t isa, int dtype, const char *spec, const char *pointers,
                         double eps);

/* spec is a pb_copy (copy.h). */
void pb_native_copy(int size, const char *spec, uintptr_t source, uintptr_t target);
