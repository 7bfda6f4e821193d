/* base.h: the handful of macros every file may use.
 *
 * Assertions guard against bugs of weir's own and stay on in release builds; what the outside
 * world can cause (files, peers, users' input) is a struct err, never an assertion.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* A bug of weir's own: prints the place and ends the process (bug_ is in err.c). */
#define ASSERT(x) (likely(x) ? (void)0 : bug_(#x, __FILE__, __LINE__))
_Noreturn void bug_(const char *what, const char *file, int line);

/* AUTO(buf) struct buf b = BUF_INIT; releases b on every way out through buf_auto(). */
#define AUTO(type) __attribute__((cleanup(type##_auto)))

typedef int64_t nsec; /* a monotonic time or a duration in nanoseconds */

#define NSEC_PER_MS  INT64_C(1000000)
#define NSEC_PER_SEC INT64_C(1000000000)

#endif
