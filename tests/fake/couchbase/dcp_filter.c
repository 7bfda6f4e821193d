/* dcp_filter.c: what a stream request's value asks for.
 *
 *	{"collections":["0","8a"],"uid":"5","sid":7,"purge_seqno":"81021"}   or "scope":"9" in place of collections
 *
 * Keys that are not known are passed over, whatever they have. Without a value a connection with collections gets
 * everything (gocbcore's tests rely on it), one without them the default collection only.
 */
#include "tests/fake/couchbase/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- a reader of small JSON ---- */

struct in {
	const char *p, *end;
	bool bad;
};

static char peek(struct in *in)
{
	while (in->p < in->end && strchr(" \t\r\n", *in->p))
		in->p++;
	return in->p < in->end ? *in->p : '\0';
}

static bool take(struct in *in, char c)
{
	if (peek(in) != c)
		return false;
	in->p++;
	return true;
}

static void want(struct in *in, char c)
{
	if (!take(in, c))
		in->bad = true;
}

/* A string's text, as it stands; keys and numbers here need no escapes. */
static struct slice string(struct in *in)
{
	want(in, '"');
	const char *start = in->p;
	while (in->p < in->end && *in->p != '"')
		in->p += *in->p == '\\' ? 2 : 1;
	if (in->p >= in->end) {
		in->bad = true;
		in->p = in->end;
		return SLICE_NONE;
	}
	return slice_of(start, (size_t)(in->p++ - start));
}

static struct slice word(struct in *in)
{
	(void)peek(in);
	const char *start = in->p;
	while (in->p < in->end && !strchr(",]} \t\r\n", *in->p))
		in->p++;
	in->bad |= in->p == start;
	return slice_of(start, (size_t)(in->p - start));
}

static void skip_value(struct in *in, unsigned depth)
{
	char open = peek(in), close = open == '{' ? '}' : ']';
	if (open == '"') {
		(void)string(in);
	} else if (open != '{' && open != '[') {
		(void)word(in);
	} else {
		in->p++;
		if (depth > 30)
			in->bad = true;
		for (bool first = true; !in->bad && !take(in, close); first = false) {
			if (!first)
				want(in, ',');
			if (open == '{') {
				(void)string(in);
				want(in, ':');
			}
			if (!in->bad)
				skip_value(in, depth + 1);
		}
	}
}

static bool number(struct slice s, int base, uint64_t *out)
{
	char text[24], *end;
	if (!s.len || s.len >= sizeof(text) || s.p[0] == '-' || s.p[0] == '+')
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	*out = strtoull(text, &end, base);
	return *end == '\0';
}

/* ---- the keys ---- */

static uint16_t add_collection(struct conn *c, struct stream *s, struct slice id)
{
	uint64_t cid;
	if (!number(id, 16, &cid))
		return ST_EINVAL;
	if (cid > UINT32_MAX || !topology_collection(c->b, (uint32_t)cid))
		return ST_UNKNOWN_COLLECTION;
	if (s->n_cids == ARRAY_LEN(s->cid))
		return ST_EINVAL;
	s->cid[s->n_cids++] = (uint32_t)cid;
	return ST_OK;
}

static uint16_t collections(struct in *in, struct conn *c, struct stream *s)
{
	uint16_t status = ST_OK;
	want(in, '[');
	for (bool first = true; !in->bad && !take(in, ']'); first = false) {
		if (!first)
			want(in, ',');
		struct slice id = string(in);
		if (!in->bad && !status)
			status = add_collection(c, s, id);
	}
	return in->bad || (!status && !s->n_cids) ? ST_EINVAL : status;
}

static uint16_t scope(struct conn *c, struct stream *s, struct slice id)
{
	const struct bucket *b = c->b;
	uint64_t sid;
	bool known = false;
	if (!number(id, 16, &sid))
		return ST_EINVAL;
	s->by_scope = true;
	s->scope_id = (uint32_t)sid;
	for (unsigned i = 0; i < b->n_scopes; i++)
		known |= !b->scope[i].dropped && b->scope[i].id == sid;
	for (unsigned i = 0; i < b->n_colls && s->n_cids < ARRAY_LEN(s->cid); i++)
		if (!b->coll[i].dropped && b->coll[i].scope == sid)
			s->cid[s->n_cids++] = b->coll[i].id;
	return known ? ST_OK : ST_UNKNOWN_SCOPE;
}

/* Statuses in the order in which a server checks: the form, the stream id, what the ids mean. */
struct found {
	bool any, collections, scope, sid;
	uint64_t sid_value;
	uint16_t status; /* of the ids */
};

static void member(struct in *in, struct conn *c, struct stream *s, struct dcp_asked *r,
		   struct found *x)
{
	uint64_t ignored;
	struct slice key = string(in);
	want(in, ':');
	if (in->bad)
		return;
	x->any = true;
	if (slice_is(key, "collections")) {
		x->collections = true;
		x->status = collections(in, c, s);
	} else if (slice_is(key, "scope")) {
		x->scope = true;
		x->status = scope(c, s, string(in));
	} else if (slice_is(key, "sid")) {
		x->sid = true;
		in->bad |= !number(word(in), 10, &x->sid_value);
	} else if (slice_is(key, "purge_seqno")) {
		r->knows_purge = number(string(in), 10, &r->purge_seqno);
		in->bad |= !r->knows_purge;
	} else if (slice_is(key, "uid")) {
		in->bad |= !number(string(in), 16, &ignored);
	} else {
		skip_value(in, 0);
	}
}

uint16_t dcp_filter(struct conn *c, struct stream *s, struct dcp_asked *r, struct slice value)
{
	struct in in = { (const char *)value.p, (const char *)value.p + value.len, false };
	struct found x = { 0 };
	s->all = c->collections;
	if (!value.len)
		return c->stream_ids ? ST_STREAM_ID : ST_OK;
	want(&in, '{');
	for (bool first = true; !in.bad && !take(&in, '}'); first = false) {
		if (!first)
			want(&in, ',');
		member(&in, c, s, r, &x);
	}
	if (in.bad || peek(&in) || !x.any || (x.collections && x.scope) || x.status == ST_EINVAL)
		return ST_EINVAL;
	if (x.sid != c->stream_ids || (x.sid && (x.sid_value < 1 || x.sid_value > UINT16_MAX)))
		return ST_STREAM_ID;
	s->has_sid = x.sid;
	s->sid = (uint16_t)x.sid_value;
	s->all = !x.collections && !x.scope;
	s->filtered = !s->all;
	return x.status;
}
