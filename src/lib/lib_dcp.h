/* lib_dcp.h: what the files of the Couchbase client's public API share. A weir_dcp_event is a struct dcp_event.
 *
 *	weir_dcp.c          open, assign, close
 *	weir_dcp_store.c    where checkpoints are kept
 *	weir_dcp_own.c      a store of the caller's own
 *	weir_dcp_members.c  the membership that assigns
 *	weir_dcp_event.c    poll, what an event says, acknowledging
 *	weir_dcp_run.c      a listener instead of poll
 *	weir_dcp_trace.c    spans
 *	weir_dcp_status.c   where it stands
 *	weir_dcp_metrics.c  the same as Prometheus's text
 *	weir_dcp_places.c   where a group's checkpoints stand
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
#include "weir/dcp_config.h"
#include "weir/dcp_run.h"
#include "weir/dcp_status.h"

enum { NAMES_MAX = 256 };

/* How long things took: bucket i counts what took less than 64 us << i, and not less than the one before. */
enum { LATENCY_BUCKETS = 21 }; /* the last bound is 67 s; one more for what took longer */
struct latency {
	uint64_t bucket[LATENCY_BUCKETS + 1];
	uint64_t sum_us, latest_us;
};
void lib_dcp_latency_add(struct latency *l, nsec took, uint64_t times);

struct trace;
struct listening;

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
	char *group;
	const char *membership_kind; /* "static", ...; NULL none */
	bool finite;
	struct checkpoint *start_at; /* of the options' positions */
	void (*hook)(void *arg, weir_dcp *d, enum weir_dcp_hook what, const uint16_t *vbuckets,
		     size_t n);
	void *hook_arg;
	struct trace *trace;       /* NULL: none */
	struct listening *listens; /* weir_dcp_run.c; NULL before the first run */
	bool stop;                 /* weir_dcp_run is to return; atomic */
	struct dcp_batch
		rest; /* of the last batch, when a run ended within it; the polling thread's */
	/* Told by the polling thread, read by any; relaxed atomics. */
	nsec handed_at;
	struct latency dcp_latency, process_latency;
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

/* weir_dcp_event.c: poll, acknowledge and nack with what is measured and traced around them. */
int lib_dcp_poll(weir_dcp *d, struct dcp_batch *out, nsec wait, struct err *e);
int lib_dcp_ack(weir_dcp *d, const struct dcp_event *ev, size_t n);
void lib_dcp_nack(weir_dcp *d, uint16_t vb, nsec delay);
weir_dcp_position lib_dcp_position_out(uint16_t vb, const struct dcp_position *pos);
int lib_dcp_position_in(const weir_dcp_position *p, struct checkpoint *out, struct err *e);
/* INVALID when a vBucket is to be in two places. */
int lib_dcp_positions_differ(const weir_dcp_position *p, size_t n, struct err *e);

/* weir_dcp_run.c */
void lib_dcp_listening_free(weir_dcp *d);

/* weir_dcp_trace.c: all but open do nothing without a tracer. */
int lib_dcp_trace_open(weir_dcp *d, const weir_dcp_tracer *tracer, struct err *e);
void lib_dcp_trace_free(weir_dcp *d);
void lib_dcp_trace_start(weir_dcp *d, const struct dcp_event *ev, size_t n);
void lib_dcp_trace_end(weir_dcp *d, const struct dcp_event *ev, size_t n,
		       enum weir_dcp_outcome outcome);
void lib_dcp_trace_all(weir_dcp *d, uint16_t vb, enum weir_dcp_outcome outcome);
/* weir_dcp_own.c: `user` is copied; its free is called only once taken. */
int lib_dcp_own_store(const weir_dcp_store *user, struct checkpoint_store **out, struct err *e);
void lib_dcp_own_store_taken(struct checkpoint_store *s);

/* weir_dcp.c: what makes events of documents. d may be NULL when it is made only to see whether it can be. */
int lib_dcp_new_feed(weir_dcp *d, const char *bucket, weir_doc filter, weir_doc pipeline,
		     struct feed **out, struct err *e);

/* weir_dcp.c: cuts a copy of "a,b,c"; the names point into it. */
int lib_dcp_split(const char *list, const char *what, char **copy, const char **name, size_t *n,
		  struct err *e);
/* weir_dcp_places.c */
weir_dcp_options lib_dcp_without_state(const weir_dcp_options *o);

/* weir_dcp_members.c: opened before anything is connected, so that what is wrong with it is told at once; started when
 * there is a source to assign to. */
int lib_dcp_open_membership(weir_dcp *d, const weir_dcp_options *o, weir_dcp_membership *m,
			    struct err *e);
int lib_dcp_start_membership(weir_dcp *d, const weir_dcp_options *o, const weir_dcp_membership *m,
			     size_t n_hosts, struct err *e);

#endif
