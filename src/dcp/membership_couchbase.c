/* membership_couchbase.c: a group whose list is a document of the bucket.
 *
 *	_connector:cbgo:GROUP:instance:all     {"<instance document>": clusterJoinTime, ...}
 *	_connector:cbgo:GROUP:instance:ID      {"type":"instance","heartbeatTime":ns,"clusterJoinTime":ns}, with an expiry
 *
 *	every `interval`      write one's own instance
 *	                      read the list; not in it: enter, with a time after all others (by CAS)
 *	                      read the others' instances: one that is gone, or whose CAS this process has seen unchanged for
 *	                      interval + tolerance, is taken off the list (by CAS)
 *	                      one's place by join time is one's number
 *
 * The list alone gives the numbers, so that all members who have read the same list agree; its CAS is the generation.
 * Clocks of hosts are not compared: a heartbeat's time is for people to read. Whoever takes a dead member off gives its
 * join time to the last one, which thereby takes its number, and nobody else's changes. A member that finds itself taken
 * off has no share until it has entered again. */
#include "dcp/membership.h"

#include "base/mem.h"
#include "doc/json.h"
#include "os/env.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_ROOM = 256, TRIES = 5, EXPIRY_S = 120 };

struct entry {
	char key[KEY_ROOM];
	int64_t joined;
	uint64_t cas; /* of its instance, as seen last */
	nsec changed; /* when that was seen first */
	bool listed;
};

struct instances {
	struct membership base;
	struct env *env;
	struct documents *doc;
	char index[KEY_ROOM], own[KEY_ROOM];
	nsec interval, silence;
	uint32_t expiry_s;
	int64_t joined;
	nsec beaten; /* when the last good heartbeat and look was begun; -1 never */
	struct membership_info told;
	struct entry *e; /* sorted by join time while a step runs */
	size_t n;
};

static int64_t wall_ns(struct instances *m)
{
	return env_wall_ms(m->env) * NSEC_PER_MS;
}

static struct entry *entry_of(struct instances *m, struct slice key)
{
	for (size_t i = 0; i < m->n; i++)
		if (slice_is(key, m->e[i].key))
			return &m->e[i];
	if (m->n == MEMBERS_MAX || key.len >= KEY_ROOM)
		return NULL;
	struct entry *n = &m->e[m->n++];
	*n = (struct entry){ .changed = env_mono(m->env) };
	memcpy(n->key, key.p, key.len);
	return n;
}

static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
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

/* *cas 0: there is none. */
static int read_list(struct instances *m, uint64_t *cas, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf doc = BUF_INIT;
	struct bson_iter it;
	int rc = m->doc->ops->get(m->doc, m->index, &text, cas, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < m->n; i++)
		m->e[i].listed = false;
	if (rc == 0)
		*cas = 0;
	if (rc == 1) {
		rc = json_to_bson(buf_slice(&text), &doc, NULL, e);
		if (rc < 0)
			return err_in(e, rc, "the document %s", m->index);
		bson_iter_init(&it, buf_slice(&doc));
		while (bson_next(&it)) {
			struct entry *n = it.value.type == BSON_INT64 || it.value.type == BSON_INT32
						  ? entry_of(m, it.key)
						  : NULL;
			if (!n)
				continue;
			n->listed = true;
			n->joined = it.value.i64;
		}
	}
	sort_entries(m);
	return 0;
}

static int write_list(struct instances *m, uint64_t cas, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_byte(&text, '{');
	for (size_t i = 0; i < m->n; i++)
		buf_add_fmt(&text, "%s\"%s\":%" PRId64, i ? "," : "", m->e[i].key, m->e[i].joined);
	buf_add_byte(&text, '}');
	int rc = buf_check(&text, e);
	return rc < 0 ? rc : m->doc->ops->put(m->doc, m->index, buf_slice(&text), cas, 0, e);
}

static int beat(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_fmt(&text,
		    "{\"type\":\"instance\",\"heartbeatTime\":%" PRId64
		    ",\"clusterJoinTime\":%" PRId64 "}",
		    wall_ns(m), m->joined);
	int rc = buf_check(&text, e);
	return rc < 0 ? rc
		      : m->doc->ops->put(m->doc, m->own, buf_slice(&text), UINT64_MAX, m->expiry_s,
					 e);
}

static struct entry *self(struct instances *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->e[i].key, m->own) == 0)
			return &m->e[i];
	return NULL;
}

/* Takes the dead off m->e; 1 some were, 0 none. */
static int remove_dead(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int some = 0;
	for (size_t i = 0; i < m->n;) {
		uint64_t cas = 0;
		struct entry *n = &m->e[i];
		buf_reset(&text);
		int rc = strcmp(n->key, m->own) == 0
				 ? 1
				 : m->doc->ops->get(m->doc, n->key, &text, &cas, e);
		if (rc < 0)
			return rc;
		nsec now = env_mono(m->env);
		bool own = strcmp(n->key, m->own) == 0, gone = rc == 0 && n->cas != 0;
		if (rc == 1 && cas != n->cas) {
			n->cas = cas;
			n->changed = now;
		}
		if (own || (!gone && now - n->changed <= m->silence)) {
			i++;
			continue;
		}
		some = 1;
		int64_t time = n->joined;
		m->n--;
		if (i == m->n)
			continue;
		m->e[i] = m->e[m->n];
		m->e[i].joined = time;
	}
	return some;
}

static void find_self(struct instances *m, uint64_t cas)
{
	struct entry *me = self(m);
	m->told = (struct membership_info){ .generation = cas };
	if (!me)
		return;
	m->joined = me->joined;
	m->told.member = (uint32_t)(me - m->e) + 1;
	m->told.total = (uint32_t)m->n;
}

/* One reading of the list, and what it leads to. 1: it stood as it was, 0: it was changed; read it again. */
static int look(struct instances *m, struct err *e)
{
	uint64_t cas;
	int rc = read_list(m, &cas, e);
	if (rc < 0)
		return rc;
	bool enter = !self(m);
	if (enter) {
		int64_t last = m->n ? m->e[m->n - 1].joined : 0;
		struct entry *me = entry_of(m, slice_str(m->own));
		if (!me)
			return err_set(e, ERR_LIMIT, "the group has %u members already",
				       MEMBERS_MAX);
		me->listed = true;
		me->joined = m->joined = MAX(wall_ns(m), last + 1);
	}
	rc = remove_dead(m, e);
	if (rc < 0)
		return rc;
	if (rc == 0 && !enter) {
		find_self(m, cas);
		return 1;
	}
	rc = write_list(m, cas, e);
	return rc == ERR_CONFLICT ? 0 : rc;
}

static int round_of(struct instances *m, struct err *e)
{
	nsec begun = env_mono(m->env);
	int rc = beat(m, e);
	if (rc < 0)
		return rc;
	for (int i = 0; i < TRIES; i++) {
		rc = look(m, e);
		if (rc < 0)
			return rc;
		if (rc == 1) {
			m->beaten = begun;
			return 0;
		}
	}
	return err_set(e, ERR_CONFLICT, "the document %s keeps changing", m->index);
}

static int step(struct membership *base, struct membership_info *out, nsec *next, struct err *e)
{
	struct instances *m = container_of(base, struct instances, base);
	err_clear(&base->trouble);
	int rc = round_of(m, &base->trouble);
	if (rc < 0 && m->beaten < 0 && (rc == ERR_AUTH || rc == ERR_NOTFOUND)) {
		if (e)
			*e = base->trouble;
		return rc;
	}
	*next = rc < 0 ? MIN(m->interval, NSEC_PER_SEC) : m->interval;
	*out = m->told;
	/* the others wait for `silence`, from a later moment */
	if (m->beaten < 0 || env_mono(m->env) - m->beaten > m->silence - m->interval)
		out->member = out->total = 0;
	return 1;
}

/* Off the list at once. */
static void leave(struct membership *base)
{
	struct instances *m = container_of(base, struct instances, base);
	uint64_t cas;
	for (int i = 0; i < TRIES; i++) {
		if (read_list(m, &cas, NULL) < 0)
			return;
		struct entry *me = self(m);
		if (!me)
			return;
		int64_t time = me->joined;
		*me = m->e[--m->n];
		if (me != &m->e[m->n])
			me->joined = time;
		if (write_list(m, cas, NULL) != ERR_CONFLICT)
			return;
	}
}

static void free_(struct membership *base)
{
	struct instances *m = container_of(base, struct instances, base);
	documents_free(m->doc);
	mem_free(m->e);
	mem_free(m);
}

static int name_keys(struct instances *m, const struct couchbase_members *o, struct err *e)
{
	char drawn[33];
	uint8_t random[16];
	const char *id = o->id;
	if (!id) {
		int rc = env_random(m->env, random, sizeof(random), e);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < sizeof(random); i++)
			(void)snprintf(drawn + 2 * i, 3, "%02x", random[i]);
		id = drawn;
	}
	for (const char *p = id; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == '`')
			return err_set(e, ERR_INVALID,
				       "a member's id has no blanks, quotes or backslashes");
	int a = snprintf(m->index, KEY_ROOM, "_connector:cbgo:%s:instance:all", o->group);
	int b = snprintf(m->own, KEY_ROOM, "_connector:cbgo:%s:instance:%s", o->group, id);
	if (a >= KEY_ROOM - 6 || b >= KEY_ROOM - 6)
		return err_set(e, ERR_LIMIT, "the group's name and the member's id are too long");
	return 0;
}

int membership_couchbase(const struct couchbase_members *o, struct membership **out, struct err *e)
{
	static const struct membership_ops ops = { step, leave, free_ };
	struct instances *m = mem_try(sizeof(*m));
	if (!m)
		return err_nomem(e);
	m->base.ops = &ops;
	m->env = o->env ? o->env : env_posix();
	m->interval = o->interval ? o->interval : 10 * NSEC_PER_SEC;
	m->silence = m->interval + (o->tolerance ? o->tolerance : 60 * NSEC_PER_SEC);
	m->expiry_s = o->expiry_s ? o->expiry_s : EXPIRY_S;
	m->beaten = -1;
	m->joined = wall_ns(m);
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
