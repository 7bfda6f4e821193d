/* token.c: the bytes of a resume token.
 *
 *	 0  u8   version
 *	 1  u64  position          big-endian, like all numbers here: memcmp orders tokens as the stream does
 *	 9  u8   kind              0x00 mark, 0x80 event, 0x90 invalidate
 *	10  u16  fragment
 *	12  u64  cluster time      seconds, increment
 *	20  u32  check             crc32c of the entry's document: a log set back and written anew differs here
 *	24  8    name of the log   a keyed hash of its identity
 *	32  u32  crc32c of bytes 0 to 31
 *	36  u64  SipHash-2-4 of bytes 0 to 35 under a key derived from the log's identity
 *
 * The checksum finds damage without knowing the log, so that a damaged token and one of another log are two errors;
 * the signature finds what was made up. Every version keeps the last twelve bytes' meaning ("over all before"),
 * so damage to the version byte is damage, not a newer version.
 */
#include "change/token.h"

#include "base/crc32c.h"

enum {
	AT_VERSION = 0,
	AT_POSITION = 1,
	AT_KIND = 9,
	AT_FRAGMENT = 10,
	AT_CLUSTER = 12,
	AT_CHECK = 20,
	AT_NAME = 24,
	AT_CRC = 32,
	AT_MAC = 36,
};

static_assert(AT_MAC + 8 == TOKEN_BYTES, "the token's layout is its size");

#define TOKEN_TEXT_LIMIT 4096 /* a longer text is not even looked at */

void token_key_init(struct token_key *k, const uint8_t log_id[16])
{
	struct siphash_key id = siphash_key(log_id);
	k->mac.k0 = siphash(id, "weir token key 0", 16);
	k->mac.k1 = siphash(id, "weir token key 1", 16);
	put_be64(k->name, siphash(id, "weir log name", 13));
}

static void to_hex(const uint8_t *p, size_t len, char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < len; i++) {
		*text++ = digits[p[i] >> 4];
		*text++ = digits[p[i] & 15];
	}
	*text = '\0';
}

/* -1 for what is no uppercase hex digit: one position has one text. */
static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void token_encode(const struct token_key *k, const struct token *t, char text[TOKEN_TEXT + 1])
{
	uint8_t b[TOKEN_BYTES];
	b[AT_VERSION] = TOKEN_VERSION;
	put_be64(b + AT_POSITION, t->position);
	b[AT_KIND] = (uint8_t)t->kind;
	put_be16(b + AT_FRAGMENT, t->fragment);
	put_be64(b + AT_CLUSTER, t->cluster_time);
	put_be32(b + AT_CHECK, t->check);
	memcpy(b + AT_NAME, k->name, sizeof(k->name));
	put_be32(b + AT_CRC, crc32c(0, b, AT_CRC));
	put_be64(b + AT_MAC, siphash(k->mac, b, AT_MAC));
	to_hex(b, sizeof(b), text);
}

static int corrupt(struct err *e, const char *what)
{
	return err_number(e, ERR_TOKEN_CORRUPT, 260, "the resume token is damaged: %s", what);
}

static int from_hex(struct slice text, uint8_t *b, size_t *len, struct err *e)
{
	if (text.len == 0)
		return corrupt(e, "it is empty");
	if (text.len > TOKEN_TEXT_LIMIT || text.len % 2)
		return corrupt(e, "wrong length");
	for (size_t i = 0; i < text.len; i += 2) {
		int hi = hex_digit(text.p[i]), lo = hex_digit(text.p[i + 1]);
		if (hi < 0 || lo < 0)
			return corrupt(e, "not uppercase hexadecimal");
		b[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	*len = text.len / 2;
	return 0;
}

int token_decode(const struct token_key *k, struct slice text, struct token *out, struct err *e)
{
	uint8_t b[TOKEN_TEXT_LIMIT / 2];
	size_t len = 0;
	int rc = from_hex(text, b, &len, e);
	if (rc < 0)
		return rc;
	if (len < 13)
		return corrupt(e, "it is cut short");
	size_t crc_at = len - 12;
	if (get_be32(b + crc_at) != crc32c(0, b, crc_at))
		return corrupt(e, "wrong checksum");
	if (b[AT_VERSION] != TOKEN_VERSION)
		return err_set(e, ERR_VERSION,
			       "the resume token has format %d; this weir knows format %d",
			       b[AT_VERSION], TOKEN_VERSION);
	if (len != TOKEN_BYTES)
		return corrupt(e, "wrong length");
	if (memcmp(b + AT_NAME, k->name, sizeof(k->name)) != 0) {
		char theirs[17], ours[17];
		to_hex(b + AT_NAME, 8, theirs);
		to_hex(k->name, 8, ours);
		return err_number(e, ERR_TOKEN_FOREIGN, 260,
				  "the resume token belongs to log %s; this is log %s", theirs,
				  ours);
	}
	if (get_be64(b + AT_MAC) != siphash(k->mac, b, AT_MAC))
		return corrupt(e, "it was not made by this log");
	switch (b[AT_KIND]) {
	case TOKEN_MARK:
	case TOKEN_EVENT:
	case TOKEN_INVALIDATE: break;
	default: return corrupt(e, "unknown kind");
	}
	*out = (struct token){
		.position = get_be64(b + AT_POSITION),
		.cluster_time = get_be64(b + AT_CLUSTER),
		.check = get_be32(b + AT_CHECK),
		.fragment = get_be16(b + AT_FRAGMENT),
		.kind = b[AT_KIND],
	};
	return 0;
}
