/* sasl.h: logging in: PLAIN and SCRAM-SHA-1, -256, -512 (RFC 5802), under the names that a Couchbase node uses.
 *
 *	client                              server
 *	n,,n=user,r=cnonce             ──▶
 *	                               ◀──  r=cnonce+snonce,s=salt,i=iterations
 *	c=biws,r=nonce,p=proof         ──▶
 *	                               ◀──  v=signature          checked: the server knows the password, too
 *
 * Deriving the salted password takes milliseconds by design, so it is cached for as long as the caller keeps the
 * struct scram_cache (reconnecting to many nodes must not cost it each time; nodes of one cluster share the salt).
 *
 * Thread: one at a time.
 */
#ifndef DCP_SASL_H
#define DCP_SASL_H

#include "base/buf.h"
#include "base/err.h"

#define SASL_ITERATIONS_MAX 1000000u
#define SASL_SALT_MAX       64u
#define SASL_NONCE_MAX      256u
#define SASL_HASH_MAX       64u

enum sasl_mechanism {
	SASL_PLAIN,
	SASL_SCRAM_SHA1,
	SASL_SCRAM_SHA256,
	SASL_SCRAM_SHA512,
	SASL_NONE
};
const char *sasl_name(enum sasl_mechanism m); /* as on the wire: "SCRAM-SHA512" */

/* The strongest of what the server offers (names separated by blanks). PLAIN only where `allow_plain`. SASL_NONE: none fits. */
enum sasl_mechanism sasl_choose(struct slice offered, bool allow_plain);

struct scram_cache {
	enum sasl_mechanism mechanism;
	uint32_t iterations;
	size_t salt_len, hash_len;
	uint8_t salt[SASL_SALT_MAX];
	uint8_t salted[SASL_HASH_MAX];
};
void scram_cache_wipe(struct scram_cache *c);

struct sasl {
	enum sasl_mechanism mechanism;
	int step;
	struct slice user, password; /* the caller's */
	struct scram_cache *cache;
	struct buf first_bare, nonce;
	uint8_t server_signature[SASL_HASH_MAX];
};

/* nonce: printable, without commas (SCRAM). Appends the first message's data to out. */
int sasl_start(struct sasl *s, enum sasl_mechanism m, struct slice user, struct slice password,
	       struct slice nonce, struct scram_cache *cache, struct buf *out, struct err *e);
/* The server's data of a "continue"; appends the next message's data. ERR_AUTH, ERR_PROTOCOL. */
int sasl_step(struct sasl *s, struct slice data, struct buf *out, struct err *e);
/* The server's data of a "success": ERR_AUTH when it cannot prove that it knows the password. */
int sasl_finish(struct sasl *s, struct slice data, struct err *e);
void sasl_done(struct sasl *s);

#endif
