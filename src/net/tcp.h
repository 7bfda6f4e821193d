/* tcp.h: a connection on a loop: connect (with name look-up and TLS), bytes in, bytes out.
 *
 * Input is read into slabs: `bytes` gets all that is there and returns how much it took; what is left (a packet's first
 * half) is shown again with more behind it. An owner that wants to keep what it was shown takes a reference of tcp_in.
 * Output is collected and written once per round of the loop.
 *
 *	tcp_connect ──▶ connected ──▶ bytes, bytes, ... ──▶ closed        exactly one `closed`, unless tcp_close came first
 *
 * Thread: the loop's.
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"
#include "net/slab.h"
#include "net/speech.h"

#define TCP_IN_MAX  (68u << 20) /* one packet */
#define TCP_OUT_MAX (64u << 20) /* waiting to be written */

struct tcp;
struct tls;

struct tcp_ops {
	void (*connected)(void *arg);
	/* Returns the bytes taken (<= in.len) and in *need how many it wants to see at least next time. The owner may
	 * call tcp_close within. */
	size_t (*bytes)(void *arg, struct slice in, size_t *need);
	void (*closed)(void *arg,
		       const struct err *why); /* the tcp is still to be freed with tcp_close */
};

/* What should listen there. Where something else does, `closed` comes with ERR_WRONG_PORT and the words that `wrong`
 * finds for it. It is told by the first bytes; a peer that says nothing, or goes at once, is asked what it speaks. */
struct tcp_expected {
	enum speech speech;
	int (*wrong)(struct err *e, const char *host, uint16_t port, bool tls,
		     struct speech_found found);
};

struct tcp_options {
	struct tls *tls;         /* NULL: plain */
	struct slab_pool *slabs; /* to read into; NULL: its own, of read_bytes each */
	size_t read_bytes;
	nsec connect_timeout;
	const struct tcp_expected *expected; /* NULL: not looked at */
	bool asked; /* before, in vain: only its first bytes count */
};

int tcp_connect(struct loop *l, const char *host, uint16_t port, const struct tcp_options *o,
		const struct tcp_ops *ops, void *arg, struct tcp **out, struct err *e);
struct buf *tcp_out(struct tcp *t); /* append here, then tcp_flush_soon */
void tcp_flush_soon(struct tcp *t);
struct slab *tcp_in(struct tcp *t); /* within `bytes`: where they lie */
/* Reads nothing for a while: the socket fills up, then the peer waits. Writing goes on. */
void tcp_pause(struct tcp *t, bool pause);
bool tcp_has_asked(const struct tcp *t); /* what is spoken there */
void tcp_close(struct tcp *t); /* NULL is fine; calls nothing */

#endif
