/* speech.h: what listens at a port: told by its first bytes, or by asking it.
 *
 *	asked of a plain port     a packet that does nothing, then a greeting of TLS    whichever is answered
 *	         of a TLS port    that packet, in plain: does it speak without TLS?
 *	         within TLS       that packet
 *
 * One who is asked learns nothing: neither names nor passwords are sent.
 *
 * Thread: the loop's; speech_of is pure.
 */
#ifndef NET_SPEECH_H
#define NET_SPEECH_H

#include "base/err.h"
#include "base/slice.h"
#include "net/loop.h"

enum speech {
	SPEECH_UNKNOWN,
	SPEECH_TLS, /* what is spoken within is not known */
	SPEECH_HTTP,
	SPEECH_PACKETS, /* the binary protocol of a data service */
};

struct speech_found {
	enum speech speech;
	bool within_tls;
};

/* What an answer that begins so is written in. */
enum speech speech_of(struct slice answer);

enum speech_asked { SPEECH_ASK_PLAIN, SPEECH_ASK_WITHOUT_TLS, SPEECH_ASK_WITHIN_TLS };

struct tls;
struct speech_probe;
typedef void (*speech_done)(void *arg, struct speech_found found); /* then speech_probe_free */

/* tls: for WITHIN_TLS. patience: with each question. */
int speech_ask(struct loop *l, const char *host, uint16_t port, enum speech_asked asked,
	       struct tls *tls, nsec patience, speech_done done, void *arg,
	       struct speech_probe **out, struct err *e);
void speech_probe_free(struct speech_probe *p); /* NULL is fine; also from within done */

#endif
