/* crc32c.h: CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as in iSCSI (RFC 3720), with the
 * processor's instruction where there is one.
 *
 * crc32c(0, p, n) is the standard checksum: "123456789" gives 0xE3069283. Checksums chain:
 * crc32c(crc32c(0, a), b) is that of a followed by b.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/base.h"

uint32_t crc32c(uint32_t crc, const void *p, size_t len);
uint32_t crc32c_table(uint32_t crc, const void *p, size_t len); /* the portable one, for tests */

#endif
