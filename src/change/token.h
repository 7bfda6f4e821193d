/* token.h: resume tokens: where a stream stands, as text.
 *
 * A token says "go on behind the event at this offset", or, as a high-water mark, "everything below this offset was
 * looked at". Its text is 88 uppercase hex digits; docs/formats/token.md has the bytes. The order of the text is the
 * order of the stream: the mark at n sorts behind the event at n - 1 and before the event at n.
 *
 * What can be wrong with a token is told apart:
 *
 *	TOKEN_CORRUPT   not hex, a wrong length, a wrong checksum, or not signed by this log
 *	VERSION         whole, but made by a newer weir
 *	TOKEN_FOREIGN   whole, but it names another log
 *
 * That it lies before or beyond the log (HISTORY_LOST, TOKEN_FUTURE) is for who knows the log: oplog_resume().
 */
#ifndef CHANGE_TOKEN_H
#define CHANGE_TOKEN_H

#include "base/err.h"
#include "base/slice.h"
#include "change/siphash.h"

#define TOKEN_VERSION 1
#define TOKEN_BYTES   44
#define TOKEN_TEXT    (2 * TOKEN_BYTES)

/* In stream order within one offset; what lies between is room for more. */
enum token_kind {
	TOKEN_MARK = 0x00,
	TOKEN_EVENT = 0x80,
	TOKEN_INVALIDATE = 0x90, /* foreseen: behind the event that ended the stream */
};

struct token {
	uint64_t position; /* offset of the event; of the first entry not looked at for a mark */
	uint64_t cluster_time; /* of the event, or of the entry before the mark; 0: not known */
	uint32_t check;        /* crc32c of that entry's document: is it still the same one? */
	uint16_t fragment;     /* foreseen: of a split event */
	enum token_kind kind;
};

/* What signs and names the tokens of one log; derived from its identity, which a token does not reveal. */
struct token_key {
	struct siphash_key mac;
	uint8_t name[8];
};

void token_key_init(struct token_key *k, const uint8_t log_id[16]);

/* text gets TOKEN_TEXT digits and a NUL. */
void token_encode(const struct token_key *k, const struct token *t, char text[TOKEN_TEXT + 1]);

int token_decode(const struct token_key *k, struct slice text, struct token *out, struct err *e);

/* The first offset that a stream resumed with t looks at. */
static inline uint64_t token_next(const struct token *t)
{
	return t->kind == TOKEN_MARK ? t->position : t->position + 1;
}

#endif
