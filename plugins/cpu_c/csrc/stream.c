/* Non-temporal stores (see stream.h).  16 bytes at a time: the core's write-combining buffers put
 * full 64-byte lines together. */
#include "stream.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

void pb_stream(void *target, const void *source, size_t nbytes)
{
    char *to = target;
    const char *from = source;
    size_t head = -(uintptr_t)to & 63;
    head = head < nbytes ? head : nbytes;
    memcpy(to, from, head);
    for (to += head, from += head, nbytes -= head; nbytes >= 64; to += 64, from += 64, nbytes -= 64)
        for (int k = 0; k < 64; k += 16)
            _mm_stream_si128((__m128i *)(to + k), _mm_loadu_si128((const __m128i *)(from + k)));
    memcpy(to, from, nbytes);
}

void pb_stream_end(void)
{
    _mm_sfence();
}
#else
void pb_stream(void *target, const void *source, size_t nbytes)
{
    memcpy(target, source, nbytes);
}

void pb_stream_end(void)
{
}
#endif
