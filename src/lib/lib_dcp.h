/* lib_dcp.h: what the files of the Couchbase client's public API share. A weir_dcp_event is a struct dcp_event.
 *
 *	weir_dcp.c          open, assign, close
 *	weir_dcp_store.c    where checkpoints are kept
 *	weir_dcp_own.c      a store of the caller's own
 *	weir_dcp_members.c  the membership that assigns
 *	weir_dcp_event.c    poll, what an event says, acknowledging
 *	weir_dcp_status.c   where it stands
 *	weir_dcp_config.c   options out of YAML
 */
#ifndef LIB_LIB_DCP_H
#define LIB_LIB_DCP_H

#include "dcp/conn.h"
#include "dcp/feed.h"
#include "dcp/membership_run.h"
#include "dcp/source.h"
#include "lib/lib.h"
#include "net/tls.h"
#include "weir/dcp.h"

enum { NAMES_MAX = 256 };

struct weir_dcp {
	struct dcp_source *source;
	struct checkpoint_store *store;
	bool claims;                  /* store is one that claims */
	struct checkpoint_store *own; /* the caller's, within store */
	struct membership *membership;
	struct membership_run *run; /* NULL: the caller assigns */
	bool contiguous;            /* how it shares */
	struct feed *feed;
	struct tls *store_tls;
	struct scram_cache store_scram, member_scram;
	char *hosts, *collections, *store_hosts; /* copies, cut at the commas */
	const char *host[NAMES_MAX], *collection[NAMES_MAX], *store_host[NAMES_MAX];
	size_t n_store_hosts;
};

static inline const struct dcp_event *of(const weir_dcp_event *ev)
{
	return (const struct dcp_event *)(const void *)ev;
}

static inline const weir_dcp_event *to_event(const struct dcp_event *ev)
{
	return (const weir_dcp_event *)(const void *)ev;
}

static inline nsec ms(uint32_t n)
{
	return (nsec)n * NSEC_PER_MS;
}

/* weir_dcp_store.c */
struct tls_options lib_dcp_tls(const weir_dcp_options *o);
nsec lib_dcp_connect_time(const weir_dcp_options *o);
/* How to get at the bucket of the checkpoints. *out points to *conn and into d. */
struct kv_options;
int lib_dcp_bucket(weir_dcp *d, const weir_dcp_options *o, struct scram_cache *cache,
		   size_t n_hosts, struct conn_options *conn, struct kv_options *out,
		   struct err *e);
/* What another has taken over is refused there. */
bool lib_dcp_store_fences(const weir_dcp_options *o);
/* Fills c[vb], each with its vb set, without taking the place from who writes there. For a d without a store. */
int lib_dcp_look(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct checkpoint *c,
		 size_t n, struct err *e);
int lib_dcp_open_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e);

/* weir_dcp_own.c: `user` is copied; its free is called only once taken. */
int lib_dcp_own_store(const weir_dcp_store *user, struct checkpoint_store **out, struct err *e);
void lib_dcp_own_store_taken(struct checkpoint_store *s);

/* weir_dcp.c: cuts a copy of "a,b,c"; the names point into it. */
int lib_dcp_split(const char *list, const char *what, char **copy, const char **name, size_t *n,
		  struct err *e);
/* weir_dcp_status.c */
weir_dcp_options lib_dcp_without_state(const weir_dcp_options *o);

/* weir_dcp_members.c: opened before anything is connected, so that what is wrong with it is told at once; started when
 * there is a source to assign to. */
int lib_dcp_open_membership(weir_dcp *d, const weir_dcp_options *o, weir_dcp_membership *m,
			    struct err *e);
int lib_dcp_start_membership(weir_dcp *d, const weir_dcp_options *o, const weir_dcp_membership *m,
			     size_t n_hosts, struct err *e);

#endif
