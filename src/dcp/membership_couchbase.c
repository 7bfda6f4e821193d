/* membership_couchbase.c: a group whose list is a document of the bucket.
 *
 *	_connector:cbgo:GROUP:instance:all     {"<instance document>": clusterJoinTime, ...}
 *	_connector:cbgo:GROUP:instance:ID      {"type":"instance","heartbeatTime":ns,"clusterJoinTime":ns,
 *	                                        "held":"ff00"}, with an expiry
 *
 *	every `interval`      write one's own instance
 *	every `monitor`       read the list; not in it: enter, with a time after all others (by CAS)
 *	                      one's place by join time is one's number
 *	every `interval`      also read the others' instances: one that is gone, or whose CAS this process has seen unchanged
 *	                      for interval + tolerance, is taken off the list (by CAS)
 *
 *	                  last sign of life
 *	this member:           │◀───── tolerance ─────▶│ stops by itself
 *	the others:            │◀───────── interval + tolerance ────────▶│ take it off
 *
 * The list alone gives the numbers, so that all members who have read the same list agree. Clocks of hosts are not
 * compared: a heartbeat's time is for people to read. Whoever takes a dead member off gives its join time to the last
 * one, which thereby takes its number, and nobody else's changes.
 *
 * What a member has stands in its document ("held", a bit for each vBucket): a new owner waits until the old one has let
 * it go, which saves it first, but for no longer than anybody is waited for. go-dcp's members say nothing and are not
 * waited for; they pass over fields that they do not know.
 *
 * A member that finds itself taken off, or that was out of touch for longer than the tolerance (a paused process), has
 * no share for a step, even if the list gives it the same again: what it held may have been somebody else's meanwhile,
 * so it has to let go and to claim anew. */
#include "dcp/membership_instances.h"

#include "base/mem.h"
#include "doc/json.h"
#include "os/env.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIND_AGAIN (250 * NSEC_PER_MS)

enum { TRIES = 5, EXPIRY_S = 120, TAKEN_OFF = 2 };

int64_t instances_wall_ns(struct instances *m)
{
	return env_wall_ms(m->env) * NSEC_PER_MS;
}

struct instance *instances_entry(struct instances *m, struct slice key)
{
	for (size_t i = 0; i < m->n; i++)
		if (slice_is(key, m->e[i].key))
			return &m->e[i];
	if (m->n == MEMBERS_MAX || key.len >= INSTANCE_KEY_ROOM)
		return NULL;
	struct instance *n = &m->e[m->n++];
	*n = (struct instance){ .changed = env_mono(m->env) };
	memcpy(n->key, key.p, key.len);
	return n;
}

void instances_sign(struct instances *m, struct instance *n, uint64_t sign)
{
	n->gone = false;
	if (n->sign == sign)
		return;
	n->sign = sign;
	n->changed = env_mono(m->env);
}

/* ---- two of one id ---- */

void instances_signed(struct instances *m, int64_t sign)
{
	m->signs[m->n_signs++ % ARRAY_LEN(m->signs)] = sign;
}

/* One may be the last word of a process that is dead; the second comes from one that lives. */
void instances_own_seen(struct instances *m, int64_t sign)
{
	bool ours = m->n_signs == 0 || sign == m->foreign;
	for (size_t i = 0; i < ARRAY_LEN(m->signs); i++)
		ours |= sign == m->signs[i];
	if (ours)
		return;
	m->foreign = sign;
	m->foreign_at = env_mono(m->env);
	m->n_foreign++;
}

/* Who has just come goes; who was there before stays, and says so until the other has gone. */
static int check_own(struct instances *m, struct err *e)
{
	nsec now = env_mono(m->env), a_while = 4 * m->interval;
	if (m->n_foreign < 2 || (!m->yields && now - m->foreign_at > a_while))
		return 0;
	m->yields |= now - m->began <= a_while;
	struct err *to = m->yields ? e : m->base.trouble.code ? NULL : &m->base.trouble;
	int rc = err_set(to, ERR_EXISTS,
			 "another process is member \"%s\" of the group, too: ids must be unique",
			 m->own + m->prefix);
	return m->yields ? rc : 0;
}

/* ---- what members have ---- */

void instances_put_held(struct buf *out, const struct held *h)
{
	buf_add_byte(out, '"');
	for (uint32_t i = 0; i < h->n_bytes; i++)
		buf_add_fmt(out, "%02x", h->bits[i]);
	buf_add_byte(out, '"');
}

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void instances_read_held(struct held *h, const struct value *v)
{
	*h = (struct held){ 0 };
	struct slice text = v->type == BSON_STRING ? value_slice(*v) : SLICE_NONE;
	if (v->type != BSON_STRING || text.len > 2 * HELD_BYTES || text.len % 2)
		return;
	for (size_t i = 0; i < text.len; i += 2) {
		int high = digit(text.p[i]), low = digit(text.p[i + 1]);
		if (high < 0 || low < 0)
			return;
		h->bits[i / 2] = (uint8_t)(high << 4 | low);
	}
	h->n_bytes = (uint32_t)text.len / 2;
	h->told = true;
}

/* ---- a document for each member ---- */

static int64_t beat_in(struct slice json);

/* Before one writes over it. */
static void look_at_own(struct instances *m)
{
	AUTO(buf) struct buf text = BUF_INIT;
	uint64_t cas;
	if (m->n_signs && m->doc->ops->get(m->doc, m->own, &text, &cas, NULL) == 1)
		instances_own_seen(m, beat_in(buf_slice(&text)));
}

static int beat_apart(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int64_t now = instances_wall_ns(m);
	look_at_own(m);
	instances_signed(m, now);
	buf_add_fmt(&text,
		    "{\"type\":\"instance\",\"heartbeatTime\":%" PRId64
		    ",\"clusterJoinTime\":%" PRId64,
		    now, m->joined);
	if (m->held.told) {
		buf_add_str(&text, ",\"held\":");
		instances_put_held(&text, &m->held);
	}
	buf_add_byte(&text, '}');
	int rc = buf_check(&text, e);
	return rc < 0 ? rc
		      : m->doc->ops->put(m->doc, m->own, buf_slice(&text), UINT64_MAX, m->expiry_s,
					 e);
}

static void read_apart(struct instances *m, struct slice key, const struct value *v)
{
	struct instance *n =
		v->type == BSON_INT64 || v->type == BSON_INT32 ? instances_entry(m, key) : NULL;
	if (!n)
		return;
	n->listed = true;
	n->joined = v->i64;
}

static void read_instance(struct instance *n, struct slice json)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	n->beat = 0;
	n->held.told = false;
	if (json_to_bson(json, &doc, NULL, NULL) < 0)
		return;
	struct value v = bson_get_str(buf_slice(&doc), "heartbeatTime");
	n->beat = v.type == BSON_INT64 ? v.i64 : 0;
	v = bson_get_str(buf_slice(&doc), "held");
	instances_read_held(&n->held, &v);
}

static int64_t beat_in(struct slice json)
{
	struct instance n;
	read_instance(&n, json);
	return n.beat;
}

static int probe_apart(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	for (size_t i = 0; i < m->n; i++) {
		struct instance *n = &m->e[i];
		uint64_t cas = 0;
		buf_reset(&text);
		int rc = m->doc->ops->get(m->doc, n->key, &text, &cas, e);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			n->gone = n->sign != 0;
			continue;
		}
		read_instance(n, buf_slice(&text));
		instances_sign(m, n, cas);
	}
	return 0;
}

static void write_apart(struct instances *m, const struct instance *n, struct buf *out)
{
	(void)m;
	buf_add_fmt(out, "\"%s\":%" PRId64, n->key, n->joined);
}

const struct instances_layout instances_apart = { beat_apart, read_apart, probe_apart, beat_apart,
						  write_apart };

/* ---- the list ---- */

static int by_time(const void *a, const void *b)
{
	const struct instance *x = a, *y = b;
	if (x->joined != y->joined)
		return x->joined < y->joined ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* Who is not listed any more is forgotten. */
static void sort_entries(struct instances *m)
{
	size_t kept = 0;
	for (size_t i = 0; i < m->n; i++)
		if (m->e[i].listed)
			m->e[kept++] = m->e[i];
	m->n = kept;
	qsort(m->e, m->n, sizeof(*m->e), by_time);
}

/* m->cas 0: there is none. */
static int read_list(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf doc = BUF_INIT;
	struct bson_iter it;
	int rc = m->doc->ops->get(m->doc, m->list, &text, &m->cas, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < m->n; i++)
		m->e[i].listed = false;
	if (rc == 0)
		m->cas = 0;
	if (rc == 1) {
		rc = json_to_bson(buf_slice(&text), &doc, NULL, e);
		if (rc < 0)
			return err_in(e, rc, "the document %s", m->list);
		bson_iter_init(&it, buf_slice(&doc));
		while (bson_next(&it))
			m->layout->read(m, it.key, &it.value);
	}
	sort_entries(m);
	return 0;
}

static int write_list(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_byte(&text, '{');
	for (size_t i = 0; i < m->n; i++) {
		if (i)
			buf_add_byte(&text, ',');
		m->layout->write(m, &m->e[i], &text);
	}
	buf_add_byte(&text, '}');
	int rc = buf_check(&text, e);
	return rc < 0 ? rc : m->doc->ops->put(m->doc, m->list, buf_slice(&text), m->cas, 0, e);
}

static bool is_own(const struct instances *m, const struct instance *n)
{
	return strcmp(n->key, m->own) == 0;
}

static struct instance *self(struct instances *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (is_own(m, &m->e[i]))
			return &m->e[i];
	return NULL;
}

/* The last one takes the place. */
static void take_off(struct instances *m, size_t i)
{
	int64_t time = m->e[i].joined;
	m->n--;
	if (i == m->n)
		return;
	m->e[i] = m->e[m->n];
	m->e[i].joined = time;
}

static bool take_dead_off(struct instances *m)
{
	nsec now = env_mono(m->env);
	bool some = false;
	for (size_t i = 0; i < m->n;) {
		const struct instance *n = &m->e[i];
		if (is_own(m, n) || (!n->gone && now - n->changed <= m->interval + m->tolerance)) {
			i++;
			continue;
		}
		take_off(m, i);
		some = true;
	}
	return some;
}

/* Of who is on the list, in which order. */
static uint64_t list_hash(const struct instances *m)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (size_t i = 0; i < m->n; i++)
		for (const char *p = m->e[i].key;; p++) {
			h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
			if (!*p)
				break;
		}
	return h;
}

static void find_self(struct instances *m)
{
	struct instance *me = self(m);
	m->joined = me->joined;
	m->told = (struct membership_info){ .member = (uint32_t)(me - m->e) + 1,
					    .total = (uint32_t)m->n,
					    .generation = list_hash(m) };
}

static int enter(struct instances *m, struct err *e)
{
	int64_t last = m->n ? m->e[m->n - 1].joined : 0;
	struct instance *me = instances_entry(m, slice_str(m->own));
	if (!me)
		return err_set(e, ERR_LIMIT, "the group has %u members already", MEMBERS_MAX);
	me->listed = true;
	me->joined = m->joined = MAX(instances_wall_ns(m), last + 1);
	return 0;
}

/* ---- a step ---- */

/* One reading of the list, and what it leads to. 1: it stood as it was, 0: it was changed; read it again. */
static int look_once(struct instances *m, struct err *e)
{
	nsec begun = env_mono(m->env);
	bool probe = m->probed < 0 || begun - m->probed >= m->interval;
	int rc = read_list(m, e);
	if (rc < 0)
		return rc;
	bool in = self(m) != NULL;
	if (!in && m->told.member)
		return TAKEN_OFF;
	if (!in)
		rc = enter(m, e);
	if (rc == 0 && probe && m->layout->probe)
		rc = m->layout->probe(m, e);
	if (rc < 0)
		return rc;
	bool changed = (probe && take_dead_off(m)) || !in;
	if (!changed) {
		find_self(m);
		m->looked = begun;
		m->ever = true;
		if (probe)
			m->probed = begun;
		return 1;
	}
	rc = write_list(m, e);
	return rc == ERR_CONFLICT ? 0 : rc;
}

static int look_until_settled(struct instances *m, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		int rc = look_once(m, e);
		if (rc != 0)
			return rc;
	}
	return err_set(e, ERR_CONFLICT, "the document %s keeps changing", m->list);
}

static bool due(const struct instances *m, nsec last, nsec every)
{
	return last < 0 || env_mono(m->env) - last >= every;
}

/* 1, TAKEN_OFF, or an error. */
static int round_of(struct instances *m, struct err *e)
{
	nsec begun = env_mono(m->env);
	bool beat = due(m, m->beaten, m->interval);
	if (beat) {
		int rc = m->layout->beat(m, e);
		if (rc == ERR_NOTFOUND) {
			err_clear(e);
			m->looked = -1; /* the list says why */
		} else if (rc < 0) {
			return rc;
		} else {
			m->beaten = begun;
			m->untold = m->untold && m->layout->tell(m, NULL) < 0;
		}
	}
	/* when nothing is due, somebody wants to know */
	int rc = due(m, m->looked, m->monitor) || !beat ? look_until_settled(m, e) : 1;
	if (rc == 1 && m->beaten < 0)
		m->beaten = begun; /* entering was the first sign of life */
	return rc;
}

/* The others wait for longer, from a later moment. */
static bool in_touch(const struct instances *m)
{
	nsec last = MIN(m->beaten, m->looked);
	return last >= 0 && env_mono(m->env) - last <= m->tolerance;
}

static nsec next_due(const struct instances *m)
{
	nsec at = MIN(m->beaten + m->interval, m->looked + m->monitor);
	return MAX(at - env_mono(m->env), 0);
}

static int step(struct membership *base, struct membership_info *out, nsec *next, struct err *e)
{
	struct instances *m = container_of(base, struct instances, base);
	bool had = m->told.member != 0;
	err_clear(&base->trouble);
	if (m->yields)
		return check_own(m, e);
	int rc = had && !in_touch(m) ? TAKEN_OFF : round_of(m, &base->trouble);
	if (rc < 0 && !m->ever && (rc == ERR_AUTH || rc == ERR_NOTFOUND)) {
		if (e)
			*e = base->trouble;
		return rc;
	}
	int own = check_own(m, e);
	if (own < 0)
		return own;
	if (rc == TAKEN_OFF) {
		m->told = (struct membership_info){ 0 };
		m->looked = m->beaten = m->probed = -1;
		m->n = 0; /* what it knew of the others is old */
	}
	*out = m->told;
	out->until = MIN(m->beaten, m->looked) + m->tolerance;
	*next = rc < 0 ? MIN(m->interval, NSEC_PER_SEC) : rc == TAKEN_OFF ? 0 : next_due(m);
	if (!in_touch(m))
		out->member = out->total = 0;
	return 1;
}

/* Off the list at once. */
static void leave(struct membership *base)
{
	struct instances *m = container_of(base, struct instances, base);
	for (int i = 0; i < TRIES && !m->yields; i++) {
		if (read_list(m, NULL) < 0)
			return;
		struct instance *me = self(m);
		if (!me)
			return;
		take_off(m, (size_t)(me - m->e));
		if (write_list(m, NULL) != ERR_CONFLICT)
			return;
	}
}

static int look(struct membership *base, struct err *e)
{
	struct instances *m = container_of(base, struct instances, base);
	int rc = read_list(m, e);
	return rc == 0 && m->layout->probe ? m->layout->probe(m, e) : rc;
}

static size_t peers(const struct membership *base, struct membership_peer *out, size_t room)
{
	const struct instances *m = container_of(base, const struct instances, base);
	for (size_t i = 0; i < MIN(m->n, room); i++) {
		const struct instance *n = &m->e[i];
		bool prefixed = strncmp(n->key, m->own, m->prefix) == 0;
		out[i] = (struct membership_peer){
			.member = (uint32_t)i + 1,
			.self = is_own(m, n),
			.joined_ms = n->joined / NSEC_PER_MS,
			.seen_ms = n->beat / NSEC_PER_MS,
			.silent = n->sign ? env_mono(m->env) - n->changed : -1,
		};
		(void)snprintf(out[i].id, sizeof(out[i].id), "%s",
			       n->key + (prefixed ? m->prefix : 0));
	}
	return m->n;
}

/* What cannot be written now comes with the next sign of life. */
static void tell_held(struct membership *base, const bool *held, uint32_t n)
{
	struct instances *m = container_of(base, struct instances, base);
	struct held h = { .told = true, .n_bytes = (n + 7) / 8 };
	if (n > HELD_VBUCKETS_MAX || m->yields)
		return;
	for (uint32_t vb = 0; vb < n; vb++)
		h.bits[vb / 8] |= (uint8_t)(held[vb] << (7 - vb % 8));
	if (m->held.told && memcmp(m->held.bits, h.bits, sizeof(h.bits)) == 0)
		return;
	m->held = h;
	m->untold = m->layout->tell(m, &base->trouble) < 0;
}

/* Who has missed two signs of life is not waited for, though it may still be on the list. */
static nsec find_held(struct membership *base, bool *held, uint32_t n)
{
	struct instances *m = container_of(base, struct instances, base);
	if (m->layout->probe)
		(void)m->layout->probe(m, &base->trouble);
	nsec now = env_mono(m->env);
	for (size_t i = 0; i < m->n; i++) {
		const struct instance *o = &m->e[i];
		if (is_own(m, o) || !o->held.told || o->gone || now - o->changed > 2 * m->interval)
			continue;
		for (uint32_t vb = 0; vb < MIN(n, 8 * o->held.n_bytes); vb++)
			held[vb] |= o->held.bits[vb / 8] >> (7 - vb % 8) & 1;
	}
	return MIN(m->monitor, FIND_AGAIN);
}

static void free_(struct membership *base)
{
	struct instances *m = container_of(base, struct instances, base);
	documents_free(m->doc);
	mem_free(m->e);
	mem_free(m);
}

/* ---- opening ---- */

static int draw_id(struct instances *m, char id[33], struct err *e)
{
	uint8_t random[16];
	int rc = env_random(m->env, random, sizeof(random), e);
	for (size_t i = 0; rc == 0 && i < sizeof(random); i++)
		(void)snprintf(id + 2 * i, 3, "%02x", random[i]);
	return rc;
}

static int name_keys(struct instances *m, const struct couchbase_members *o, struct err *e)
{
	char drawn[33];
	const char *id = o->id ? o->id : drawn;
	int rc = o->id ? 0 : draw_id(m, drawn, e);
	if (rc < 0)
		return rc;
	for (const char *p = id; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == '`')
			return err_set(e, ERR_INVALID,
				       "a member's id has no blanks, quotes or backslashes");
	if (!*id)
		return err_set(e, ERR_INVALID, "the member's id is empty");
	int a = snprintf(m->own, INSTANCE_KEY_ROOM, "_connector:cbgo:%s:instance:", o->group);
	if (a + strlen(id) >= INSTANCE_KEY_ROOM - 6)
		return err_set(e, ERR_LIMIT, "the group's name and the member's id are too long");
	(void)snprintf(m->list, INSTANCE_KEY_ROOM, "_connector:cbgo:%s:instance:%s", o->group,
		       o->lil ? "lil" : "all");
	m->prefix = o->lil ? 0 : (size_t)a;
	(void)snprintf(m->own + m->prefix, INSTANCE_KEY_ROOM - m->prefix, "%s", id);
	return 0;
}

int membership_couchbase(const struct couchbase_members *o, struct membership **out, struct err *e)
{
	static const struct membership_ops ops = { .step = step,
						   .leave = leave,
						   .free = free_,
						   .look = look,
						   .peers = peers,
						   .tell_held = tell_held,
						   .find_held = find_held };
	struct instances *m = mem_try(sizeof(*m));
	if (!m)
		return err_nomem(e);
	m->base.ops = &ops;
	m->layout = o->lil ? &instances_lil : &instances_apart;
	m->env = o->env ? o->env : env_posix();
	m->interval = o->interval ? o->interval : 10 * NSEC_PER_SEC;
	m->tolerance = o->tolerance ? o->tolerance : 60 * NSEC_PER_SEC;
	m->base.patience = m->interval + m->tolerance;
	m->monitor = MIN(o->monitor ? o->monitor : NSEC_PER_SEC, m->tolerance / 2);
	m->expiry_s = o->expiry_s ? o->expiry_s : EXPIRY_S;
	m->beaten = m->looked = m->probed = -1;
	m->joined = instances_wall_ns(m);
	m->began = env_mono(m->env);
	m->e = mem_try_array(MEMBERS_MAX + 1, sizeof(*m->e));
	int rc = m->e ? name_keys(m, o, e) : err_nomem(e);
	if (rc < 0) {
		free_(&m->base);
		return rc;
	}
	m->doc = o->documents;
	*out = &m->base;
	return 0;
}
