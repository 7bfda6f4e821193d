/* dcp_open.c: how a connection becomes a producer's, and its settings, with the answers that a server gives to each. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dcp_open(struct fake *f, struct conn *c, const struct packet *p)
{
	if (p->extras.len != 8 || !p->key.len || p->key.len > 200 ||
	    !(get_be32(p->extras.p + 4) & 1)) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	if (!(user_may(c->user, c->b) & MAY_STREAM)) {
		kv_status(f, c, p, ST_EACCESS);
		return;
	}
	if (get_be32(p->extras.p + 4) & OPEN_SKIP_DELETES && !(c->skip_deletes && c->collections)) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	if (get_be32(p->extras.p + 4) & 0x02 ||
	    ((get_be32(p->extras.p + 4) & OPEN_NO_VALUE) &&
	     (get_be32(p->extras.p + 4) & OPEN_NO_VALUE_DATATYPE))) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	char name[201];
	snprintf(name, sizeof(name), "%.*s", (int)p->key.len, (const char *)p->key.p);
	for (struct conn *o = c->node->conns; o; o = o->next)
		if (o != c && o->is_dcp && o->b == c->b && strcmp(o->name, name) == 0)
			o->dead = true;
	memcpy(c->name, name, sizeof(name));
	c->is_dcp = true;
	c->dcp_flags = get_be32(p->extras.p + 4);
	c->noop_ms = 20000;
	c->marker = 10;
	f->stats.dcp_opens++;
	kv_status(f, c, p, ST_OK);
}

static bool one_of(const char *value, const char *const *words)
{
	while (*words && strcmp(value, *words) != 0)
		words++;
	return *words != NULL;
}

/* Settings that are on or off. */
static bool *control_flag(struct conn *c, struct slice key)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "enable_noop", &c->noop },
		{ "enable_expiry_opcode", &c->expiry_opcode },
		{ "send_stream_end_on_client_close_stream", &c->end_on_close },
		{ "supports_cursor_dropping", &c->cursor_dropping },
		{ "enable_stream_id", &c->stream_ids },
		{ "force_value_compression", &c->force_snappy },
		{ "v7_dcp_status_codes", &c->v7_codes },
		{ "flatbuffers_system_events", &c->flatbuffers },
		{ "change_streams", &c->change_streams },
	};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (slice_is(key, flags[i].name))
			return flags[i].flag;
	return NULL;
}

static uint16_t control_value(struct fake *f, struct conn *c, struct slice key, const char *value)
{
	static const char *const priorities[] = { "high", "medium", "low", NULL };
	static const char *const orders[] = { "round-robin", "sequential", NULL };
	static const char *const osos[] = { "true", "true_with_seqno_advanced", NULL };
	char *end;
	if (slice_is(key, "set_priority"))
		return one_of(value, priorities) ? ST_OK : ST_EINVAL;
	if (slice_is(key, "backfill_order"))
		return one_of(value, orders) ? ST_OK : ST_EINVAL;
	if (slice_is(key, "stream_buffer_size"))
		return ST_NOT_SUPPORTED;
	if (slice_is(key, "set_noop_interval")) {
		double seconds = strtod(value, &end);
		if (*end || !(seconds >= 0.1))
			return ST_EINVAL;
		c->noop_ms = (int64_t)(seconds * 1000);
		return ST_OK;
	}
	if (slice_is(key, "connection_buffer_size")) {
		uint64_t n = strtoull(value, &end, 10);
		if (*end || end == value || n > UINT32_MAX)
			return ST_EINVAL;
		c->window = n;
		return ST_OK;
	}
	if (slice_is(key, "enable_out_of_order_snapshots") && one_of(value, osos)) {
		c->oso = true;
		c->oso_advanced = strcmp(value, "true") != 0;
		return ST_OK;
	}
	if (slice_is(key, "max_marker_version") && f->o.version >= 80 && c->collections) {
		double version = strtod(value, &end);
		c->marker = (unsigned)(version * 10 + 0.5);
		return *end || (c->marker != 10 && c->marker != 20 && c->marker != 22) ? ST_EINVAL
										       : ST_OK;
	}
	return ST_EINVAL;
}

uint16_t dcp_control(struct fake *f, struct conn *c, struct slice key, const char *value)
{
	bool yes = strcmp(value, "true") == 0, *flag = control_flag(c, key);
	if (!flag)
		return control_value(f, c, key, value);
	if (!yes && strcmp(value, "false") != 0)
		return ST_EINVAL;
	if (flag == &c->change_streams && !c->b->magma)
		return ST_NOT_SUPPORTED;
	if (!yes &&
	    (flag == &c->change_streams || flag == &c->flatbuffers || flag == &c->stream_ids))
		return ST_EINVAL; /* these cannot be switched off */
	if (flag == &c->force_snappy && !c->snappy)
		return ST_EINVAL;
	*flag = yes;
	return ST_OK;
}
