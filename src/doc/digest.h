/* digest.h: checksums that expressions offer: MD5 (RFC 1321), SHA-256 (FIPS 180-4), XXH64 with seed 0. None of them
 * guards a secret here. */
#ifndef DOC_DIGEST_H
#define DOC_DIGEST_H

#include "base/slice.h"

#define DIGEST_MAX 32

void digest_md5(struct slice s, uint8_t out[16]);
void digest_sha256(struct slice s, uint8_t out[32]);
uint64_t digest_xxh64(struct slice s);

#endif
