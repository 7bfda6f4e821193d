/* source_internal.h: what the parts of a source share: source.c (the caller's side, saver),
 * source_assign.c (which vBuckets, from where), source_status.c (what others want to know), source_io.c (the I/O thread,
 * what others ask it for), source_node.c (connections), source_map.c (seeds, cluster map),
 * source_http.c (the map over HTTP, the bucket's kind), source_vbucket.c (actions and
 * starts of the vBuckets), source_collections.c (names, the filter), source_block.c (events into blocks), source_poll.c
 * (events out of blocks, acknowledgements), source_drive.c (who runs the loop), source_observe.c
 * (mitigation), source_seqnos.c (how far the server is).
 *
 * Locks: `lock` and `hand` guard what is named under them; they are never held while a callback or a store runs.
 * `assigning` serialises assign, seek and close; it is taken before `api`, which guards the store, that before `lock`,
 * and that before `hand`. The last two are not one because a consumer that acknowledges one by one has `lock` most of
 * the time. Everything else belongs to the I/O thread, which here means: to whoever runs the loop (source_drive.c).
 */
#ifndef DCP_SOURCE_INTERNAL_H
#define DCP_SOURCE_INTERNAL_H

#include "dcp/ack.h"
#include "dcp/collections.h"
#include "dcp/conn.h"
#include "dcp/seeds.h"
#include "dcp/source.h"
#include "dcp/vbucket.h"
#include "net/http_get.h"
#include "net/loop.h"
#include "net/slab.h"
#include "net/tls.h"
#include "os/env.h"
#include "os/thread.h"

#define READ_SLAB (256u << 10)
#define READ_AHEAD \
	(1u << 20) /* waiting for the consumer; beyond it the sockets are read now and then only */
#define READ_PAUSE \
	(100 * NSEC_PER_MS) /* then a slab at a time, with shorter pauses, up to the window */
#define READ_PAUSE_AGAIN (10 * NSEC_PER_MS)

enum {
	/* What READ_AHEAD needs is there from the beginning. */
	SLABS_KEEP = 8,
	BLOCKS_BEGIN = 32,
	RINGS_BEGIN = 8,
	BLOCK_EVENTS = 256,
	BLOCK_CELLS = 352,
	BLOCK_SLABS = 8,
	BLOCK_CONNECTIONS = 8,
	BLOCKS_KEEP = 64,
	BATCH_INFLATED = 1 << 20, /* bytes; one document may have more */
};

/* Where the events behind it are, up to the next one. */
struct place {
	uint64_t snap_start, snap_end, uuid;
	uint32_t epoch; /* of the slot */
	uint16_t vb;
	uint16_t flags; /* enum snapshot_flag, PLACE_OUT_OF_ORDER */
};
#define PLACE_OUT_OF_ORDER 0x8000u

/* A block's content: a run of cells. source_block.c draws it. */
union cell {
	struct {
		uint32_t at; /* of its bytes in the slab */
		uint8_t slab, kind;
		uint8_t more; /* documents, of whatever kind, that stand right behind it */
		bool whole;   /* its position has snap_start and snap_end equal to its seqno */
	};
	uint64_t seqno;
	nsec time;
};
#define CELL_PLACE  0xff /* kind */
#define CELL_TIME   0xfe /* then when what is behind it came in; with options.timed only */
#define PLACE_CELLS (sizeof(struct place) / sizeof(union cell))
static_assert(sizeof(union cell) == 8 && sizeof(struct place) == 32, "a place is four cells");

struct block {
	struct block *next;
	uint32_t n_events, n_cells;
	uint32_t at;       /* the first cell that the consumer has not seen */
	uint32_t advanced; /* n_cells when the last thing put in was a seqno without an event */
	uint32_t n_slabs, n_from;
	struct place place; /* the consumer's, at `at` */
	uint64_t bytes;     /* sum of from */
	struct slab *slab[BLOCK_SLABS];
	struct {
		uint32_t connection, bytes;
	} from[BLOCK_CONNECTIONS]; /* what its consumption gives back to whom */
	union cell cell[BLOCK_CELLS];
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
	bool asked; /* in vain what it is, when it went without a word */
	uint32_t highs_open; /* answers of this round that are still to come */
	bool highs_failed;   /* it says nothing */
};

/* What was emitted before that epoch and lies above `to` does not count, wherever it is: it comes again. */
struct recall {
	uint32_t epoch;
	struct dcp_position to;
};
enum { RECALLS = 4 };

struct slot { /* one vBucket */
	struct vbucket v;
	/* under lock */
	struct ack_window w;
	uint64_t saved_version, saved_seqno;
	struct dcp_purge purge, saved_purge; /* as the machine knows it; in the checkpoint */
	uint32_t quiet_rounds;  /* saves that left it out */
	uint64_t
		rollbacks_released; /* acknowledged (and saved) rollbacks that the machine knows of */
	bool retreat;               /* the machine waits for the mark to be saved */
	bool owned;                 /* acks are taken, checkpoints saved */
	bool branch_unsaved; /* it has just got its branch: nothing is handed out before that is saved */
	uint64_t unsaved_version; /* branch_unsaved: what has to be */
	bool paused;         /* as the caller wants it */
	bool leaving; /* it is being let go: what is acknowledged is being saved, and no more is taken */
	bool nack;
	nsec nack_delay;
	uint64_t nacked; /* how many were carried out */
	bool held;       /* wanted by whoever assigns */
	bool fenced;     /* another member has taken it: to be stopped */
	struct recall recall[RECALLS];
	uint32_t n_recalls;
	uint32_t rollbacks_queued; /* emitted, not polled yet */
	uint32_t polled;           /* epoch of what was polled last */
	/* under lock; changed by the I/O thread only */
	uint32_t epoch;  /* of what is emitted now */
	uint32_t tenure; /* the first one of this ownership */
	/* I/O thread */
	bool assigned, started;
	struct checkpoint cp; /* to start from */
	bool has_high;
	uint64_t high;
	uint64_t high_now, high_next; /* source_seqnos.c: of what is streamed */
	struct mitigation m;
	uint64_t stuck_at; /* the first seqno held back, in which stream, and since when */
	uint16_t stuck_in;
	nsec stuck_since, relieved_at;
	uint32_t reliefs;    /* of late: each waits twice as long as the one before */
	uint64_t asked_uuid; /* of the observations in flight */
	bool moved;          /* one of them did */
};

struct source_report { /* filled by the I/O thread for dcp_source_status */
	struct dcp_status status;
	struct dcp_vbucket_status *vb; /* n_slots */
	struct dcp_node_status *node;  /* CLUSTER_NODES_MAX, or NULL: not wanted */
	uint32_t n_nodes;
	bool done;
};

struct drive { /* source_drive.c; under hand */
	bool lent, turning;  /* the consumer has the loop; it is in it */
	struct cond given_back;
	uint64_t turns;
	uint32_t hold;	     /* it was too slow: not lent for so many rounds */
	nsec fed_at, left_at; /* when a turn last brought something, was over */
	nsec turn_took, rest_took; /* on average, of late */
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
	uint32_t n_nodes, next_asked, next_resumed;
	struct seed *seed;
	size_t n_seeds, next_seed;
	struct seeds *finding; /* SRV records; NULL: done, or none */
	struct map_stream http;
	struct cluster_map *map;
	struct map_version
		map_version; /* of map; what connections tell when they ask for a newer one */
	int map_node[CLUSTER_NODES_MAX]; /* index in the map -> index in node; -1 no data service */
	enum cluster_network network;
	struct slot *slot;
	uint32_t n_slots;
	struct slab_pool slabs;
	struct block *fill;
	struct place place; /* of what was emitted last, if fill has something */
	bool unwoken;       /* something was queued without waking the consumer */
	struct slab *side;  /* for bytes that lie in no connection's slab */
	size_t side_used;
	struct timer pause_timer;
	bool stalled; /* a pause passed, and the consumer took nothing */
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

	struct mutex hand;   /* guards what follows: blocks on their way to the consumer and back */
	struct cond arrived; /* the queue has something, or never will again */
	bool waited_for;     /* the consumer sleeps */
	bool ended;          /* failed, too, but seen from here */
	bool interrupted;    /* poll is to return */
	nsec hand_out_until; /* poll hands out nothing after that moment */
	uint32_t n_branch_unsaved; /* slots; while there are any, poll has nothing */
	struct drive drive;
	bool lent_rest;            /* the consumer has not had all of the lent block */
	struct block *queue_first, *queue_last;
	uint64_t queued;        /* bytes in it */
	struct block *returned; /* to be given back by the I/O thread */
	uint64_t returned_bytes;
	bool paused;   /* the connections are not read */
	bool io_woken; /* on account of what was returned */
	struct block *free_list;
	uint32_t n_free, n_blocks;
	int fd;       /* readable while queue_first */
	bool fd_used; /* somebody asked for it */

	struct mutex lock;   /* guards all below, and the slots' fields that say so */
	struct cond changed; /* of anything below but the queue */
	struct ack_rings rings;
	bool ready; /* map and collections are known */
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
	bool release_rollbacks;       /* some machine may go on after a rollback or a retreat */
	struct source_report *report; /* wanted */
	uint32_t open_waiters;        /* who waits until all streams are open */
	bool all_open;                /* they were when last looked; only with open_waiters */

	/* consumer */
	struct block *lent;      /* what the batch views */
	struct dcp_event *batch; /* BLOCK_EVENTS */
	nsec came;               /* what is decoded now */
	struct buf inflated;

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

static inline struct slot *slot_of(struct vbucket *v)
{
	return container_of(v, struct slot, v);
}

static inline nsec source_now(const struct dcp_source *s)
{
	return loop_now(s->loop);
}

/* Whether some documents of the vBuckets are none of ours. */
static inline bool source_is_filtered(const struct dcp_source *s)
{
	return s->vb_config.collections && (s->o.scope || s->o.n_collections);
}

static inline uint64_t source_read_ahead(const struct dcp_source *s)
{
	return MIN(READ_AHEAD, s->o.window_bytes / 2);
}

static inline enum vbucket_gate source_gate(const struct dcp_source *s)
{
	return s->o.mitigation.policy == MITIGATE_NONE || s->ephemeral ? GATE_OFF : GATE_ON;
}

/* source.c */
void source_free(struct dcp_source *s);
enum save_what {
	SAVE_MUST, /* what must be saved even if only a commit saves what was acknowledged */
	SAVE_DUE,  /* and what was acknowledged */
	SAVE_ALL,  /* and every seqno that nobody has to acknowledge */
};
int source_save(struct dcp_source *s, enum save_what what,
		struct err *caller); /* one round; with api held */

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
void source_note_port(struct dcp_source *s, const char *host, uint16_t port, const struct err *why);
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
bool source_streams(const struct dcp_source *s,
		    const struct collection *c); /* the filter lets it through */
void source_make_ready(struct dcp_source *s);    /* once map and manifest are known */

/* source_pause.c */
void source_take_pauses(struct dcp_source *s);

/* source_block.c */
int source_emit(void *arg, struct vbucket *v, const struct dcp_event *ev);
int source_emit_run(void *arg, struct vbucket *v, const struct doc_run *run);
void source_give_back(void *arg, struct vbucket *v, uint32_t connection, uint32_t bytes);
void source_flush(struct dcp_source *s);     /* the block being filled goes to the consumer */
void source_take_back(struct dcp_source *s); /* what the consumer returned */
void source_pause_over(void *source);        /* of pause_timer */
int source_blocks_init(struct dcp_source *s, struct err *e);
void source_blocks_free(struct dcp_source *s);
void source_block_empty(struct block *b); /* any thread; drops its slabs */

/* source_drive.c */
bool source_round_over(struct dcp_source *s, bool waited_for); /* under hand: the loop is to be left */
void source_lend(struct dcp_source *s); /* to the consumer; until it is given back */
bool source_turn(struct dcp_source *s, nsec deadline); /* under hand, which it lets go of meanwhile: the consumer
							  runs the loop. False: it has not got it, or is late */
void source_wake(struct dcp_source *s); /* any thread: the loop looks at what it was asked for */

/* source_poll.c; under lock */
void source_recall(struct dcp_source *s, struct slot *slot, const struct dcp_position *to);
void source_hold_back(struct dcp_source *s, int change); /* of n_branch_unsaved */
bool source_holds_back(struct dcp_source *s);

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
