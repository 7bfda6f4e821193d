/* source_internal.h: what the parts of a source share: source.c (the caller's side, saver), source_io.c (the I/O thread,
 * what others ask it for), source_node.c (connections), source_map.c (seeds, cluster map),
 * source_http.c (the map over HTTP, the bucket's kind), source_vbucket.c (actions and
 * starts of the vBuckets), source_collections.c (names, the filter), source_block.c (events into blocks),
 * source_observe.c (mitigation), source_seqnos.c (how far the server is).
 *
 * Locks: `lock` guards what is named under it; it is never held while a callback or a store runs. `assigning` serialises
 * assign, seek and close; it is taken before `api`, which guards the store, and that before `lock`. Everything else
 * belongs to the I/O thread.
 */
#ifndef DCP_SOURCE_INTERNAL_H
#define DCP_SOURCE_INTERNAL_H

#include "dcp/ack.h"
#include "dcp/collections.h"
#include "dcp/conn.h"
#include "dcp/seed.h"
#include "dcp/source.h"
#include "dcp/vbucket.h"
#include "net/dns_lookup.h"
#include "net/http_get.h"
#include "net/loop.h"
#include "net/tls.h"
#include "os/env.h"
#include "os/thread.h"

enum {
	BLOCK_EVENTS = 256,
	BLOCK_BYTES = 96 << 10,
	BLOCK_CONNECTIONS = 8,
};

struct block {
	struct block *next;
	uint64_t voided; /* as the source's when it was queued */
	uint32_t n;
	uint8_t *mem;
	size_t used, cap;
	struct {
		uint32_t connection, bytes;
	} from[BLOCK_CONNECTIONS]; /* what its consumption gives back to whom */
	uint32_t n_from;
	struct dcp_event ev[BLOCK_EVENTS];
};

struct node {
	struct dcp_source *s;
	int index;
	char host[256];
	uint16_t port;
	struct conn *dcp, *kv;
	struct timer retry, kv_retry;
	uint32_t tries, kv_tries;
	bool in_map, asked_seqnos;
	uint32_t highs_open; /* answers of this round that are still to come */
	bool highs_failed;   /* it says nothing */
};

struct slot { /* one vBucket */
	struct vbucket v;
	/* under lock */
	struct ack_window w;
	uint64_t saved_version;
	uint64_t
		rollbacks_released; /* acknowledged (and saved) rollbacks that the machine knows of */
	bool retreat;               /* the machine waits for the mark to be saved */
	bool owned;                 /* acks are taken, checkpoints saved */
	bool branch_unsaved; /* it has just got its branch: nothing is handed out before that is saved */
	bool paused;         /* as the caller wants it */
	bool leaving; /* it is being let go: what is acknowledged is being saved, and no more is taken */
	bool nack;
	nsec nack_delay;
	bool held;   /* wanted by whoever assigns */
	bool fenced; /* another member has taken it: to be stopped */
	/* I/O thread */
	bool assigned, started;
	struct checkpoint cp; /* to start from */
	bool has_high;
	uint64_t high;
	uint64_t high_now, high_next; /* source_seqnos.c: of what is streamed */
	struct mitigation m;
	uint64_t asked_uuid; /* of the observations in flight */
	bool moved;          /* one of them did */
};

struct source_report { /* filled by the I/O thread for dcp_source_status */
	struct dcp_status status;
	struct dcp_vbucket_status *vb; /* n_slots */
	bool done;
};

struct map_stream { /* of the management service, over HTTP */
	struct http_get *get;
	struct timer timer; /* opens it; armed: is set */
	struct buf block;   /* what has come of a map */
	char host[256];
	uint16_t port;
	int status;
	uint8_t path;    /* which of the ways */
	uint32_t target; /* which of the hosts */
	uint32_t tries;
	bool armed;
};

struct dcp_source {
	struct dcp_options o;
	struct env *env;
	struct buf group_name;
	struct scram_cache scram;
	struct tls *tls;
	struct conn_options conn_options;
	struct vbucket_config vb_config;
	struct buf stream_json;

	/* I/O thread */
	struct loop *loop;
	struct thread io;
	struct node *node[CLUSTER_NODES_MAX];
	uint32_t n_nodes, next_asked;
	struct seed *seed;
	size_t n_seeds, next_seed;
	struct dns_lookup *lookup; /* of the seeds; NULL: done, or none */
	struct map_stream http;
	struct cluster_map *map;
	struct map_version
		map_version; /* of map; what connections tell when they ask for a newer one */
	int map_node[CLUSTER_NODES_MAX]; /* index in the map -> index in node; -1 no data service */
	enum cluster_network network;
	struct slot *slot;
	uint32_t n_slots;
	struct block *fill;
	struct timer vb_timer, observe_timer, watch_timer, seqno_timer, highs_timer;
	nsec vb_timer_at;
	uint64_t reconnects;
	bool observe_armed;
	/* the bucket's kind */
	bool kind_asked, kind_known, ephemeral;
	uint32_t kind_conn; /* was asked */
	struct http_get *kind_get;
	int kind_status;
	struct buf kind_text;

	struct mutex assigning; /* one assign, seek or close at a time; hooks run under it */
	bool assigned_before;   /* under assigning */
	struct mutex api;       /* guards store */

	struct mutex lock;   /* guards all below, and the slots' fields that say so */
	struct cond changed; /* of anything below */
	struct block *queue_first, *queue_last;
	struct block *lent;     /* the consumer's; its thread only */
	struct block *returned; /* to be given back by the I/O thread */
	struct block *free_list;
	uint32_t n_free, n_blocks;
	int fd;       /* readable while queue_first */
	bool fd_used; /* somebody asked for it */
	bool ready;   /* map and collections are known */
	bool closing, failed;
	struct err error;      /* failed: why */
	struct err last_error; /* of a connection */
	struct manifest manifest;
	bool has_manifest;
	const uint16_t
		*command_stop; /* a command to be carried out: first these stop, then those start */
	size_t command_n_stop;
	const struct checkpoint *command_start;
	size_t command_n_start;
	bool command, command_done;
	bool nacks; /* some slot has its nack set */
	/* counts of changes to slots' paused: made, being carried out, carried out */
	uint64_t pauses_wished, pauses_taking, pauses_taken;
	bool fences;                  /* some slot is fenced */
	uint32_t n_branch_unsaved;    /* slots; while there are any, poll has nothing */
	bool release_rollbacks;       /* some machine may go on after a rollback or a retreat */
	struct source_report *report; /* wanted */
	bool interrupted;             /* poll is to return */
	nsec hand_out_until;          /* poll hands out nothing after that moment */
	uint64_t voided;              /* how often vBuckets were let go or taken: queued events may be void */
	uint32_t open_waiters;        /* who waits until all streams are open */
	bool all_open;                /* they were when last looked; only with open_waiters */

	/* saver */
	struct thread saver;
	bool save_now, saver_stop;
	uint64_t save_round; /* counts finished rounds */
	int save_rc;
	struct err save_error;
	uint64_t saves, save_failures, saved_vbuckets, rebalances;
	uint32_t last_save_vbuckets;
	nsec last_save_took;
};

/* Under lock. A batch that may be handed out. */
static inline bool source_has_batch(const struct dcp_source *s)
{
	return s->queue_first && s->n_branch_unsaved == 0;
}

static inline struct slot *slot_of(struct vbucket *v)
{
	return container_of(v, struct slot, v);
}

static inline nsec source_now(const struct dcp_source *s)
{
	return loop_now(s->loop);
}

static inline enum vbucket_gate source_gate(const struct dcp_source *s)
{
	return s->o.mitigation.policy == MITIGATE_NONE || s->ephemeral ? GATE_OFF : GATE_ON;
}

/* source_io.c */
void *source_io_run(void *arg);
int source_io_init(struct dcp_source *s, struct err *e);
void source_io_done(struct dcp_source *s);
void source_io_wake(void *arg);
void source_look_if_open(struct dcp_source *s);
void source_branch_settled(struct dcp_source *s,
			   struct slot *slot); /* under lock: saved, or not ours any more */
void source_fail(struct dcp_source *s, const struct err *why); /* any thread: poll reports it */

/* source.c. Under lock: a machine waits until the mark, which went back, is saved. Without a store the caller's own
 * position has. */
void source_save_rollback(struct dcp_source *s);
void source_note_error(struct dcp_source *s, const struct err *why); /* the status shows it */

/* source_node.c */
struct node *source_node_of(struct dcp_source *s, const struct vbucket *v);
struct node *source_add_node(struct dcp_source *s, const char *host, uint16_t port);
nsec source_jittered(struct dcp_source *s, uint32_t tries);     /* the delay before the next */
void source_connect(struct node *n);                            /* if it is not already */
struct conn *source_ready_conn(struct dcp_source *s, int node); /* NULL: not ready, or no node */

/* source_map.c */
int source_read_seeds(struct dcp_source *s, struct err *e);
void source_find_seeds(struct dcp_source *s); /* by SRV records, where that may be meant */
void source_try_seed(struct dcp_source *s); /* the next one of the data service, if there is any */
/* host, port: where the map came from. *accepted: it is newer than ours, which it has replaced. */
void source_adopt_map(struct dcp_source *s, struct slice json, const char *host, uint16_t port,
		      bool *accepted);
void source_drop_strangers(struct dcp_source *s);
void source_watch_map(void *source); /* of watch_timer */

/* source_http.c */
int source_http_init(struct dcp_source *s, struct err *e);
void source_http_done(struct dcp_source *s);
void source_http_review(struct dcp_source *s); /* is it wanted? connections came, or went */
void source_ask_kind(struct dcp_source *s, struct conn *c);
void source_on_stat(struct dcp_source *s, struct conn *c, const struct packet *p);
void source_kind_lost(struct dcp_source *s, const struct conn *c);

/* source_vbucket.c */
extern const struct vbucket_ops source_vbucket_ops;
void source_place_slot(struct dcp_source *s, struct slot *slot); /* where the map says it is */
void source_place_all(struct dcp_source *s);
void source_ask_seqnos(void *source); /* the owners of vBuckets that wait for their high seqno */
void source_on_seqnos(struct dcp_source *s, struct node *n, const struct packet *p);
void source_vb_timer(void *source);

/* source_collections.c */
void source_manifest(struct dcp_source *s, struct slice json);
void source_learn_name(struct dcp_source *s, const struct packet *p); /* of a system event */
void source_make_ready(struct dcp_source *s); /* once map and manifest are known */

/* source_pause.c */
void source_take_pauses(struct dcp_source *s);

/* source_block.c */
int source_emit(void *arg, struct vbucket *v, const struct dcp_event *ev);
void source_give_back(void *arg, struct vbucket *v, uint32_t connection, uint32_t bytes);
void source_flush(struct dcp_source *s);     /* the block being filled goes to the consumer */
void source_take_back(struct dcp_source *s); /* what the consumer returned */
void source_blocks_free(struct dcp_source *s);

/* source_seqnos.c */
int source_seqnos_init(struct dcp_source *s, struct err *e);
void source_seqnos_start(struct dcp_source *s);
void source_seqnos_reply(struct dcp_source *s, struct node *n, const struct packet *p);
void source_seqnos_lost(struct node *n);

/* source_observe.c */
void source_observe_start(struct dcp_source *s);
void source_observe_soon(struct dcp_source *s);
void source_observe_reply(struct dcp_source *s, struct node *n, const struct packet *p);
void source_observe_lost(struct dcp_source *s, const struct node *n);

#endif
