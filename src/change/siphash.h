/* siphash.h: SipHash-2-4, a keyed hash of short messages (Aumasson and Bernstein, 2012).
 *
 * A pseudorandom function: without the key nobody can make up the right 64 bits for a message. It signs resume tokens
 * (token.c), where a hash of the SHA-2 family would cost more than everything else about an event.
 */
#ifndef CHANGE_SIPHASH_H
#define CHANGE_SIPHASH_H

#include "base/slice.h"

struct siphash_key {
	uint64_t k0, k1;
};

static inline struct siphash_key siphash_key(const uint8_t bytes[16])
{
	return (struct siphash_key){ get_le64(bytes), get_le64(bytes + 8) };
}

uint64_t siphash(struct siphash_key key, const void *p, size_t len);

#endif
