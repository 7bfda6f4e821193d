/* script.c: the control port: what a script outside does to the cluster, as HTTP under /_fake/ of any node's management
 * port, by an administrator:
 *
 *	POST /_fake/VERB?name=value&...
 *	GET  /_fake/           this list
 *	GET  /_fake/stats      counters
 *	GET  /_fake/vb?vb=N    one vBucket
 *
 * Each verb is a row of the table at the end and does what a function of fake.h does.
 */
#include "tests/fake/couchbase/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef const struct request *request_t;

static const char *text(request_t r, const char *key, char *out, size_t cap, const char *otherwise)
{
	if (!http_value(slice_str(r->query), key, out, cap))
		snprintf(out, cap, "%s", otherwise);
	return out;
}

static bool has(request_t r, const char *key)
{
	char v[8];
	return http_value(slice_str(r->query), key, v, sizeof(v));
}

static uint64_t number(request_t r, const char *key, uint64_t otherwise)
{
	char v[32];
	return http_value(slice_str(r->query), key, v, sizeof(v)) ? strtoull(v, NULL, 0)
								  : otherwise;
}

/* vb=N; without it every one. */
static int vb_of(const struct fake *f, request_t r)
{
	return has(r, "vb") ? (int)(number(r, "vb", 0) % f->script->n_vbs) : -1;
}

static int node_of(const struct fake *f, request_t r)
{
	uint64_t n = number(r, "node", UINT64_MAX);
	return n < f->o.nodes ? (int)n : -1;
}

/* ---- data ---- */

static bool load(struct fake *f, request_t r)
{
	char name[32], key[64];
	uint32_t cid = (uint32_t)number(r, "collection", 0);
	size_t size = number(r, "size", 0);
	char *value = malloc(size + 64);
	text(r, "name", name, sizeof(name), "key");
	for (unsigned long i = 0, n = number(r, "count", 1); i < n; i++) {
		int len = snprintf(key, sizeof(key), "%s-%lu", name, i);
		int v = snprintf(value, 64, "{\"n\":%lu}", i);
		while ((size_t)v < size) /* blanks inside keep it JSON */
			value[v - 1] = ' ', value[v++] = '}';
		fake_set(f, fake_vb_of_key(f, key, (size_t)len), cid, key,
			 slice_of(value, (size_t)v));
	}
	free(value);
	return true;
}

static bool change(struct fake *f, request_t r, char kind)
{
	char key[250], value[600];
	uint32_t cid = (uint32_t)number(r, "collection", 0);
	text(r, "key", key, sizeof(key), "");
	text(r, "value", value, sizeof(value), "{}");
	unsigned vb = has(r, "vb") ? (unsigned)vb_of(f, r) : fake_vb_of_key(f, key, strlen(key));
	if (!*key)
		return false;
	if (kind == 'm')
		(void)fake_set(f, vb, cid, key, slice_str(value));
	else if (kind == 'd')
		(void)fake_delete(f, vb, cid, key);
	else
		(void)fake_expire(f, vb, cid, key);
	return true;
}

static bool set_(struct fake *f, request_t r)
{
	return change(f, r, 'm');
}

static bool delete_(struct fake *f, request_t r)
{
	return change(f, r, 'd');
}

static bool expire(struct fake *f, request_t r)
{
	return change(f, r, 'e');
}

static bool pager(struct fake *f, request_t r)
{
	(void)r;
	f->expiry_checked = INT64_MIN / 2;
	return true;
}

/* ---- copies and places ---- */

/* The action on one vBucket, or on every one. */
static bool each_vb(struct fake *f, request_t r,
		    void (*act)(struct fake *f, unsigned vb, request_t r))
{
	int only = vb_of(f, r);
	for (unsigned v = 0; v < f->script->n_vbs; v++)
		if (only < 0 || (int)v == only)
			act(f, v, r);
	return true;
}

static unsigned copy_of(request_t r)
{
	return (unsigned)number(r, "copy", 0) % FAKE_COPIES_MAX;
}

static void persist_one(struct fake *f, unsigned vb, request_t r)
{
	fake_persist(f, vb, copy_of(r), number(r, "seqno", UINT64_MAX));
}

static void replicate_one(struct fake *f, unsigned vb, request_t r)
{
	fake_replicate(f, vb, copy_of(r), number(r, "seqno", UINT64_MAX));
}

static void failover_one(struct fake *f, unsigned vb, request_t r)
{
	fake_failover_vb(f, vb, (unsigned)number(r, "copy", 1));
}

static void crash_one(struct fake *f, unsigned vb, request_t r)
{
	(void)r;
	fake_crash_vb(f, vb);
}

static void move_one(struct fake *f, unsigned vb, request_t r)
{
	fake_move_vb(f, vb, (unsigned)node_of(f, r));
}

static void rotate_one(struct fake *f, unsigned vb, request_t r)
{
	fake_rotate_failover_log(f, vb, (unsigned)number(r, "n", 1));
}

static void purge_one(struct fake *f, unsigned vb, request_t r)
{
	fake_purge(f, vb, number(r, "seqno", UINT64_MAX));
}

static void compact_one(struct fake *f, unsigned vb, request_t r)
{
	fake_compact(f, vb, number(r, "purge", 0));
}

static void state_one(struct fake *f, unsigned vb, request_t r)
{
	static const char *const names[] = { "", "active", "replica", "pending", "dead" };
	char v[16];
	text(r, "state", v, sizeof(v), "active");
	for (unsigned i = 1; i < ARRAY_LEN(names); i++)
		if (strcmp(v, names[i]) == 0)
			fake_set_vb_state(f, vb, (enum fake_vb_state)i);
}

static bool hold(struct fake *f, request_t r)
{
	fake_hold_persistence(f, number(r, "on", 1) != 0);
	return true;
}

static bool persist(struct fake *f, request_t r)
{
	return each_vb(f, r, persist_one);
}

static bool replicate(struct fake *f, request_t r)
{
	return each_vb(f, r, replicate_one);
}

static bool failover(struct fake *f, request_t r)
{
	if (has(r, "vb"))
		return each_vb(f, r, failover_one);
	if (node_of(f, r) < 0)
		return false;
	fake_failover_node(f, (unsigned)node_of(f, r));
	return true;
}

static bool crash(struct fake *f, request_t r)
{
	return each_vb(f, r, crash_one);
}

static bool move(struct fake *f, request_t r)
{
	return node_of(f, r) >= 0 && each_vb(f, r, move_one);
}

static bool add_node(struct fake *f, request_t r)
{
	if (node_of(f, r) < 0)
		return false;
	fake_add_node(f, (unsigned)node_of(f, r));
	return true;
}

static bool state(struct fake *f, request_t r)
{
	return each_vb(f, r, state_one);
}

static bool rotate(struct fake *f, request_t r)
{
	return each_vb(f, r, rotate_one);
}

static bool purge(struct fake *f, request_t r)
{
	return each_vb(f, r, purge_one);
}

static bool compact(struct fake *f, request_t r)
{
	return each_vb(f, r, compact_one);
}

static bool recreate(struct fake *f, request_t r)
{
	(void)r;
	fake_flush_bucket(f);
	return true;
}

static bool flush(struct fake *f, request_t r)
{
	(void)r;
	fake_empty_bucket(f);
	return true;
}

static bool warmup(struct fake *f, request_t r)
{
	fake_warmup(f, number(r, "on", 1) != 0);
	return true;
}

static bool push(struct fake *f, request_t r)
{
	(void)r;
	fake_push_map(f);
	return true;
}

static bool storm(struct fake *f, request_t r)
{
	fake_storm(f, (unsigned)number(r, "n", 100));
	return true;
}

static bool alternate(struct fake *f, request_t r)
{
	char host[64];
	text(r, "host", host, sizeof(host), "");
	if (node_of(f, r) < 0)
		return false;
	fake_set_alternate_address(f, (unsigned)node_of(f, r), host, number(r, "ports", 1) != 0);
	return true;
}

static bool user(struct fake *f, request_t r)
{
	char name[64], password[64], roles[200];
	return fake_set_user(f, text(r, "name", name, sizeof(name), ""),
			     has(r, "password")
				     ? text(r, "password", password, sizeof(password), "")
				     : NULL,
			     text(r, "roles", roles, sizeof(roles), ""));
}

/* ---- faults ---- */

static bool fault(struct fake *f, request_t r, enum fake_fault_kind kind, struct fake_fault x)
{
	x.kind = kind;
	x.node = node_of(f, r);
	x.vb = vb_of(f, r);
	fake_fault(f, &x);
	return true;
}

/* Without a count of the connections to come it is about the DCP connections that there are. */
static bool cut(struct fake *f, request_t r)
{
	bool next = has(r, "next"), input = has(r, "input");
	return fault(f, r,
		     next    ? FAKE_CUT_NEXT
		     : input ? FAKE_CUT_INPUT
			     : FAKE_CUT_AFTER,
		     (struct fake_fault){
			     .n = number(r, "n", UINT64_MAX),
			     .count = (unsigned)number(r, next ? "next" : "input", 1) });
}

static bool slow(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_SLOW, (struct fake_fault){ .n = number(r, "n", 0) });
}

static bool rekey(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_REKEY, (struct fake_fault){ .n = number(r, "n", 0) });
}

static bool split(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_SPLIT, (struct fake_fault){ .n = number(r, "n", 0) });
}

static bool garble(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_GARBLE,
		     (struct fake_fault){ .n = number(r, "n", 0),
					  .count = (unsigned)number(r, "seed", 1) });
}

static bool stall(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_STALL, (struct fake_fault){ .count = number(r, "on", 1) != 0 });
}

static bool deaf(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_DEAF, (struct fake_fault){ .count = number(r, "on", 1) != 0 });
}

static bool down(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_DOWN, (struct fake_fault){ .count = number(r, "on", 1) != 0 });
}

static bool status(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_STATUS,
		     (struct fake_fault){ .opcode = (uint8_t)number(r, "opcode", 0),
					  .status = (uint16_t)number(r, "status", 0x86),
					  .count = (unsigned)number(r, "count", 1) });
}

static bool end(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_STREAM_END,
		     (struct fake_fault){ .status = (uint16_t)number(r, "reason", 2) });
}

static bool rollback(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_ROLLBACK,
		     (struct fake_fault){ .n = number(r, "to", 0),
					  .count = (unsigned)number(r, "count", 1) });
}

static bool cursor(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_DROP_CURSOR, (struct fake_fault){ 0 });
}

static bool unknown(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_UNKNOWN,
		     (struct fake_fault){ .opcode = (uint8_t)number(r, "opcode", 0x6f),
					  .n = number(r, "n", 0) });
}

static bool repeat(struct fake *f, request_t r)
{
	return fault(f, r, FAKE_REPEAT, (struct fake_fault){ 0 });
}

static bool drop(struct fake *f, request_t r)
{
	fake_drop_connections(f, node_of(f, r));
	return true;
}

static bool clear(struct fake *f, request_t r)
{
	(void)r;
	fake_clear_faults(f);
	return true;
}

/* ---- what is asked ---- */

static void stats(const struct fake *f, struct conn *c)
{
	const struct fake_stats *s = &f->stats;
	struct buf out = BUF_INIT;
	buf_add_fmt(&out,
		    "{\"connections\":%" PRIu64 ",\"dcp_opens\":%" PRIu64
		    ",\"stream_requests\":%" PRIu64 ",\"rollbacks\":%" PRIu64
		    ",\"noops_sent\":%" PRIu64 ",\"noops_answered\":%" PRIu64
		    ",\"items_sent\":%" PRIu64 ",\"bytes_sent\":%" PRIu64 ",",
		    s->connections, s->dcp_opens, s->stream_requests, s->rollbacks, s->noops_sent,
		    s->noops_answered, s->items_sent, s->bytes_sent);
	buf_add_fmt(&out,
		    "\"buffer_acks\":%" PRIu64 ",\"unacked_max\":%" PRIu64 ",\"observes\":%" PRIu64
		    ",\"idle_kills\":%" PRIu64 ",\"cursor_drops\":%" PRIu64 ",\"rev\":%" PRId64 "}",
		    s->buffer_acks, s->unacked_max, s->observes, s->idle_kills, s->cursor_drops,
		    f->rev);
	http_json(c, 200, &out);
}

static void one_vb(const struct fake *f, struct conn *c, request_t r)
{
	static const char *const states[] = { "", "active", "replica", "pending", "dead" };
	const struct bucket *b = f->script;
	const struct vb *v = &b->vb[number(r, "vb", 0) % b->n_vbs];
	struct buf out = BUF_INIT;
	buf_add_fmt(&out, "{\"high\":%zu,\"purge\":%" PRIu64 ",\"state\":\"%s\",\"copies\":[", v->n,
		    v->purge_seqno, states[v->state]);
	for (unsigned k = 0; k <= b->replicas; k++)
		buf_add_fmt(&out, "%s{\"node\":%d,\"have\":%" PRIu64 ",\"persisted\":%" PRIu64 "}",
			    k ? "," : "", v->copy[k].node, v->copy[k].have, v->copy[k].persisted);
	buf_add_str(&out, "],\"failovers\":[");
	for (unsigned i = 0; i < v->n_log; i++)
		buf_add_fmt(&out, "%s{\"uuid\":%" PRIu64 ",\"seqno\":%" PRIu64 "}", i ? "," : "",
			    v->log[i].uuid, v->log[i].seqno);
	buf_add_str(&out, "]}");
	http_json(c, 200, &out);
}

/* ---- the table ---- */

static const struct verb {
	const char *name;
	bool (*run)(struct fake *f, request_t r);
	const char *help;
} verbs[] = {
	{ "load", load,
	  "count=N [name=N] [collection=ID] [size=BYTES]: documents NAME-0, NAME-1, ..." },
	{ "set", set_, "key=K [value=V] [collection=ID] [vb=N]" },
	{ "delete", delete_, "key=K [collection=ID] [vb=N]" },
	{ "expire", expire, "key=K [collection=ID] [vb=N]" },
	{ "pager", pager, "looks for expired documents now" },
	{ "hold", hold, "[on=0]: nothing more is replicated or persisted by itself" },
	{ "persist", persist, "[vb=N] [copy=N] [seqno=N]: on the copy's disk" },
	{ "replicate", replicate, "[vb=N] [copy=N] [seqno=N]: in the copy's memory" },
	{ "failover", failover,
	  "node=N: the node is gone, with what only it had; or [vb=N] [copy=N]" },
	{ "crash", crash, "[vb=N]: back with what was on disk, on a new branch" },
	{ "move", move, "node=N [vb=N]: the active copy goes there, nothing is lost" },
	{ "add-node", add_node, "node=N: has the bucket from now on" },
	{ "state", state, "[vb=N] state=active|replica|pending|dead" },
	{ "rotate", rotate, "[vb=N] [n=N]: more failover log entries at the high seqno" },
	{ "purge", purge, "[vb=N] [seqno=N]: tombstones up to it are gone" },
	{ "compact", compact, "[vb=N] [purge=SEQNO]: expires, purges, frees" },
	{ "recreate", recreate, "the bucket deleted and made again: a new uuid" },
	{ "flush", flush, "the bucket emptied: the same uuid" },
	{ "warmup", warmup, "[on=0]: ETMPFAIL" },
	{ "push", push, "a newer map" },
	{ "storm", storm, "[n=N]: so many newer maps, as fast as they go" },
	{ "alternate", alternate,
	  "node=N [host=H] [ports=0]: the external network's address; none without a host" },
	{ "user", user, "name=N [password=P] roles=data_reader[*],..." },
	{ "cut", cut,
	  "[node=N] n=BYTES: DCP connections are closed after so many more; next=N: the next N "
	  "connections; "
	  "input=N: after so many bytes came from the next N" },
	{ "slow", slow, "[node=N] n=MS: waits so long after each send" },
	{ "split", split, "[node=N] n=BYTES: at most so many in one send" },
	{ "garble", garble, "[node=N] n=BYTES [seed=N]: about one byte in so many is sent wrong" },
	{ "rekey", rekey, "[node=N] n=BYTES: connections with TLS change keys after each so many" },
	{ "stall", stall, "[node=N] [on=0]: neither reads nor writes" },
	{ "deaf", deaf, "[node=N] [on=0]: reads nothing" },
	{ "down", down, "[node=N] [on=0]: no connections" },
	{ "drop", drop, "[node=N]: closes the connections" },
	{ "status", status,
	  "opcode=N status=N [vb=N] [node=N] [count=N]: how the next such requests are answered; "
	  "0xffff: not at all" },
	{ "end", end, "[vb=N] reason=N: ends streams" },
	{ "rollback", rollback,
	  "[vb=N] to=SEQNO [count=N]: how the next stream requests are answered" },
	{ "cursor", cursor, "[vb=N]: streams are too slow" },
	{ "unknown", unknown, "[vb=N] opcode=N n=BYTES: streams send a message that nobody knows" },
	{ "repeat", repeat, "[vb=N]: streams send their last snapshot once more, marker and all" },
	{ "clear", clear, "no faults any more" },
};

static void help(struct conn *c, int status)
{
	struct buf out = BUF_INIT;
	buf_add_str(&out, "GET  /_fake/stats\nGET  /_fake/vb?vb=N\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		buf_add_fmt(&out, "POST /_fake/%s?%s\n", verbs[i].name, verbs[i].help);
	buf_add_str(&out, "Each takes bucket=NAME, too: the first one without it.\n");
	http_respond(c, status, "text/plain", buf_slice(&out));
	buf_done(&out);
}

static const struct verb *verb_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

void script_request(struct fake *f, struct conn *c, const struct request *r)
{
	const char *name = r->n_segments > 1 ? r->segment[1] : "";
	const struct verb *v = verb_of(name);
	bool post = strcmp(r->method, "POST") == 0;
	char bucket[NAME_MAX_];
	/* The bucket is this request's alone. */
	struct bucket *before = f->script, *b = before;
	if (http_value(slice_str(r->query), "bucket", bucket, sizeof(bucket)))
		b = bucket_named(f, slice_str(bucket));
	if (!*name) {
		help(c, 200);
	} else if (!post && strcmp(name, "stats") == 0) {
		stats(f, c);
	} else if (!b) {
		http_respond(c, 404, "text/plain", SLICE_LIT("no such bucket\n"));
	} else {
		f->script = b;
		if (!post && strcmp(name, "vb") == 0)
			one_vb(f, c, r);
		else if (post && v && v->run(f, r))
			http_respond(c, 200, "application/json", SLICE_LIT("{}"));
		else
			help(c, 400);
		if (f->script == b)
			f->script = before;
	}
}
