/* membership_lil.c: a group in one document.
 *
 *	_connector:cbgo:GROUP:instance:lil   {"ID":{"id":"ID","type":"instance","heartbeatTime":ns,"clusterJoinTime":ns},...}
 *
 * What weir's members have ("held", as in membership_couchbase.c) is one more field of each.
 *
 * A heartbeat changes its own field and nothing else, so that members do not wait for each other. Who was taken off has
 * no such field any more, and learns it by that. The document changes with every heartbeat: the list's generation is a
 * hash of who is on it. */
#include "dcp/membership_instances.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* Never the same twice, whatever the clock does. */
static int64_t next_sign(struct instances *m)
{
	int64_t now = instances_wall_ns(m);
	m->sign = now == m->sign ? now + 1 : now;
	return m->sign;
}

static int beat(struct instances *m, struct err *e)
{
	char path[INSTANCE_KEY_ROOM + 32], now[32];
	(void)snprintf(path, sizeof(path), "`%s`.heartbeatTime", m->own);
	(void)snprintf(now, sizeof(now), "%" PRId64, next_sign(m));
	return m->doc->ops->set_field(m->doc, m->list, path, slice_str(now), e);
}

static int64_t number(struct slice doc, const char *name)
{
	struct value v = bson_get_str(doc, name);
	return v.type == BSON_INT64 || v.type == BSON_INT32 ? v.i64 : 0;
}

static void read_entry(struct instances *m, struct slice key, const struct value *v)
{
	struct instance *n = v->type == BSON_DOCUMENT ? instances_entry(m, key) : NULL;
	if (!n)
		return;
	n->listed = true;
	n->joined = number(value_slice(*v), "clusterJoinTime");
	n->beat = number(value_slice(*v), "heartbeatTime");
	struct value held = bson_get_str(value_slice(*v), "held");
	instances_read_held(&n->held, &held);
	instances_sign(m, n, (uint64_t)n->beat);
}

static void write_entry(struct instances *m, const struct instance *n, struct buf *out)
{
	bool own = strcmp(n->key, m->own) == 0;
	buf_add_fmt(out,
		    "\"%s\":{\"id\":\"%s\",\"type\":\"instance\",\"heartbeatTime\":%" PRId64
		    ",\"clusterJoinTime\":%" PRId64,
		    n->key, n->key, own ? next_sign(m) : n->beat, n->joined);
	const struct held *held = own ? &m->held : &n->held;
	if (held->told) {
		buf_add_str(out, ",\"held\":");
		instances_put_held(out, held);
	}
	buf_add_byte(out, '}');
}

static int tell(struct instances *m, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char path[INSTANCE_KEY_ROOM + 32];
	(void)snprintf(path, sizeof(path), "`%s`.held", m->own);
	instances_put_held(&text, &m->held);
	int rc = buf_check(&text, e);
	return rc < 0 ? rc : m->doc->ops->set_field(m->doc, m->list, path, buf_slice(&text), e);
}

const struct instances_layout instances_lil = { beat, read_entry, NULL, tell, write_entry };
