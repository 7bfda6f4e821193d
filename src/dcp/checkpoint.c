#include "dcp/checkpoint.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "doc/json.h"

#include <inttypes.h>

static void encode_body(const struct checkpoint *c, struct buf *out)
{
	buf_add_fmt(out,
		    "{\"checkpoint\":{\"snapshot\":{\"startSeqno\":%" PRIu64
		    ",\"endSeqno\":%" PRIu64 "},\"vbuuid\":%" PRIu64 ",\"seqno\":%" PRIu64
		    "},\"bucketUuid\":\"%s\","
		    "\"weir\":{\"points\":[",
		    c->pos.snap_start, c->pos.snap_end, c->pos.uuid, c->pos.seqno, c->bucket_uuid);
	for (uint32_t i = 0; i < c->points.n; i++)
		buf_add_fmt(out, "%s%" PRIu64, i ? "," : "", c->points.seqno[i]);
	buf_add_byte(out, ']');
	if (c->purge.uuid)
		buf_add_fmt(out,
			    ",\"purge\":{\"seqno\":%" PRIu64 ",\"from\":%" PRIu64
			    ",\"vbuuid\":%" PRIu64 "}",
			    c->purge.seqno, c->purge.from, c->purge.uuid);
	if (c->mark)
		buf_add_fmt(out, ",\"mark\":%" PRIu64, c->mark);
}

/* Of the text before it, and of whose it is. */
static uint32_t sum_of(const struct checkpoint *c, struct slice body)
{
	uint8_t vb[2];
	put_be16(vb, c->vb);
	return crc32c(crc32c(0, vb, sizeof(vb)), body.p, body.len);
}

void checkpoint_encode(const struct checkpoint *c, struct buf *out)
{
	size_t at = out->len;
	ASSERT(!c->damaged);
	encode_body(c, out);
	if (!out->failed)
		buf_add_fmt(out, ",\"sum\":%" PRIu32 "}}",
			    sum_of(c, slice_of(out->p + at, out->len - at)));
}

/* Integers too big for a signed 64-bit number get quotes: a JSON reader would make doubles of them. */
static void quote_big_integers(struct slice json, struct buf *out)
{
	enum { SAFE_DIGITS = 18 };
	const uint8_t *p = json.p, *end = p + json.len;
	while (p < end) {
		const uint8_t *start = p;
		if (*p == '"') {
			for (p++; p < end && *p != '"'; p++)
				if (*p == '\\' && p + 1 < end)
					p++;
			if (p < end)
				p++;
			buf_add(out, start, (size_t)(p - start));
			continue;
		}
		bool digits = true;
		while (p < end && strchr("0123456789+-.eE", *p) && *p) {
			digits = digits && *p >= '0' && *p <= '9';
			p++;
		}
		if (p == start)
			p++;
		bool quote = digits && p - start > SAFE_DIGITS;
		if (quote)
			buf_add_byte(out, '"');
		buf_add(out, start, (size_t)(p - start));
		if (quote)
			buf_add_byte(out, '"');
	}
}

static bool u64_value(struct value v, uint64_t *out)
{
	if ((v.type == BSON_INT32 || v.type == BSON_INT64) && v.i64 >= 0) {
		*out = (uint64_t)v.i64;
		return true;
	}
	if (v.type != BSON_STRING || v.len == 0 || v.len > 20)
		return false;
	uint64_t n = 0;
	for (uint32_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, v.p[i] - '0', &n))
			return false;
	}
	*out = n;
	return true;
}

static int no_checkpoint(struct err *e, const char *what)
{
	return err_set(e, ERR_FORMAT, "a checkpoint without a usable %s", what);
}

static int read_points(struct slice weir, struct points *p, struct err *e)
{
	struct value list = bson_get_str(weir, "points");
	struct bson_iter it;
	if (list.type != BSON_ARRAY)
		return no_checkpoint(e, "list of points");
	bson_iter_init(&it, value_slice(list));
	while (bson_next(&it)) {
		uint64_t s;
		if (!u64_value(it.value, &s) || p->n == POINTS_MAX ||
		    (p->n && s <= p->seqno[p->n - 1]) || s == 0)
			return no_checkpoint(e, "list of points");
		p->seqno[p->n++] = s;
	}
	return 0;
}

/* There where one is known. */
static int read_purge(struct slice weir, struct dcp_purge *p, struct err *e)
{
	struct value v = bson_get_str(weir, "purge");
	if (v.type == BSON_MISSING)
		return 0;
	if (v.type != BSON_DOCUMENT)
		return no_checkpoint(e, "\"purge\"");
	struct slice purge = value_slice(v);
	if (!u64_value(bson_get_str(purge, "seqno"), &p->seqno) ||
	    !u64_value(bson_get_str(purge, "from"), &p->from) ||
	    !u64_value(bson_get_str(purge, "vbuuid"), &p->uuid) || p->uuid == 0)
		return no_checkpoint(e, "\"purge\"");
	return 0;
}

/* Documents of older versions have none. */
static int check_sum(struct slice weir, struct checkpoint *c, struct err *e)
{
	uint64_t sum;
	struct value mark = bson_get_str(weir, "mark"), v = bson_get_str(weir, "sum");
	if (mark.type != BSON_MISSING && !u64_value(mark, &c->mark))
		return no_checkpoint(e, "\"mark\"");
	if (v.type == BSON_MISSING)
		return 0;
	AUTO(buf) struct buf body = BUF_INIT;
	encode_body(c, &body);
	int rc = buf_check(&body, e);
	if (rc < 0)
		return rc;
	if (!u64_value(v, &sum) || sum != sum_of(c, buf_slice(&body)))
		return err_set(e, ERR_CORRUPT,
			       "a checkpoint whose sum does not fit: of vBucket %u?", c->vb);
	return 0;
}

/* doc: the BSON of a document that went through quote_big_integers. */
static int decode(struct slice doc, struct checkpoint *c, struct err *e)
{
	struct checkpoint out = { .vb = c->vb, .found = true };
	struct value cp = bson_get_str(doc, "checkpoint"), uuid = bson_get_str(doc, "bucketUuid");
	struct value weir = bson_get_str(doc, "weir");
	if (cp.type != BSON_DOCUMENT)
		return no_checkpoint(e, "\"checkpoint\"");
	struct slice body = value_slice(cp);
	struct value snap = bson_get_str(body, "snapshot");
	if (snap.type != BSON_DOCUMENT ||
	    !u64_value(bson_get_str(value_slice(snap), "startSeqno"), &out.pos.snap_start) ||
	    !u64_value(bson_get_str(value_slice(snap), "endSeqno"), &out.pos.snap_end))
		return no_checkpoint(e, "\"snapshot\"");
	if (!u64_value(bson_get_str(body, "seqno"), &out.pos.seqno))
		return no_checkpoint(e, "\"seqno\"");
	if (!u64_value(bson_get_str(body, "vbuuid"), &out.pos.uuid))
		return no_checkpoint(e, "\"vbuuid\"");
	if (uuid.type == BSON_STRING && uuid.len <= BUCKET_UUID_MAX)
		memcpy(out.bucket_uuid, uuid.p, uuid.len);
	bool ours = weir.type == BSON_DOCUMENT;
	if (!dcp_position_valid(&out.pos)) {
		if (ours)
			return err_set(e, ERR_CORRUPT,
				       "a checkpoint at %" PRIu64 " outside its snapshot %" PRIu64
				       "..%" PRIu64,
				       out.pos.seqno, out.pos.snap_start, out.pos.snap_end);
		out.pos.snap_start = out.pos.snap_end = out.pos.seqno;
	}
	if (ours) {
		int rc = read_points(value_slice(weir), &out.points, e);
		if (rc < 0)
			return rc;
		if ((rc = read_purge(value_slice(weir), &out.purge, e)) < 0)
			return rc;
		if ((rc = check_sum(value_slice(weir), &out, e)) < 0)
			return rc;
	} else if (out.pos.snap_start < out.pos.snap_end && out.pos.snap_start > 0) {
		out.pos.snap_start--; /* it may be the first item's own seqno */
	}
	*c = out;
	return 0;
}

int checkpoint_decode(struct slice json, struct checkpoint *c, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT, doc = BUF_INIT;
	if (json.len == 0)
		return err_set(e, ERR_FORMAT, "an empty text is no checkpoint");
	if (json.len > CHECKPOINT_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "a checkpoint of %zu bytes", json.len);
	quote_big_integers(json, &text);
	int rc = buf_check(&text, e);
	if (rc < 0 || (rc = json_to_bson(buf_slice(&text), &doc, NULL, e)) < 0)
		return rc;
	return decode(buf_slice(&doc), c, e);
}

int checkpoint_take(struct slice json, struct checkpoint *c, struct err *e)
{
	struct err why = ERR_INIT;
	uint16_t vb = c->vb;
	int rc = checkpoint_decode(json, c, &why);
	if (rc == ERR_NOMEM)
		return err_nomem(e);
	if (rc < 0)
		*c = (struct checkpoint){ .vb = vb, .damaged = true };
	if (c->pos.seqno == 0 && c->pos.uuid == 0)
		c->found = false;
	return 0;
}

/* ---- a whole file ---- */

struct cursor {
	const uint8_t *p, *end;
};

static uint8_t peek(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
		c->p++;
	return c->p < c->end ? *c->p : 0;
}

static bool take(struct cursor *c, uint8_t byte)
{
	if (peek(c) != byte)
		return false;
	c->p++;
	return true;
}

static bool take_string(struct cursor *c, struct slice *out)
{
	if (!take(c, '"'))
		return false;
	const uint8_t *start = c->p;
	while (c->p < c->end && *c->p != '"')
		c->p += *c->p == '\\' && c->p + 1 < c->end ? 2 : 1;
	if (c->p >= c->end)
		return false;
	*out = slice_of(start, (size_t)(c->p - start));
	c->p++;
	return true;
}

/* An object, up to its closing brace. */
static bool take_object(struct cursor *c, struct slice *out)
{
	if (peek(c) != '{')
		return false;
	const uint8_t *start = c->p;
	unsigned depth = 0;
	do {
		struct slice skipped;
		if (*c->p == '"') {
			if (!take_string(c, &skipped))
				return false;
			continue;
		}
		depth += *c->p == '{';
		depth -= *c->p == '}';
		c->p++;
	} while (depth && c->p < c->end);
	*out = slice_of(start, (size_t)(c->p - start));
	return depth == 0;
}

int checkpoint_split(struct slice json, int (*each)(void *arg, uint16_t vb, struct slice document),
		     void *arg, struct err *e)
{
	if (json.len == 0)
		return err_set(e, ERR_FORMAT, "an empty text is no list of checkpoints");
	struct cursor c = { json.p, json.p + json.len };
	bool ok = take(&c, '{'), first = true;
	int rc = 0;
	while (ok && rc == 0 && !(first && peek(&c) == '}')) {
		struct slice key, document;
		uint64_t vb;
		ok = take_string(&c, &key) && take(&c, ':') && take_object(&c, &document) &&
		     u64_value(value_string(key), &vb) && vb <= UINT16_MAX;
		if (ok)
			rc = each(arg, (uint16_t)vb, document);
		first = false;
		if (!ok || !take(&c, ','))
			break;
	}
	if (rc < 0)
		return rc;
	if (!ok || !take(&c, '}') || peek(&c) || c.p != c.end)
		return err_set(e, ERR_FORMAT, "no list of checkpoints: byte %zu of %zu",
			       (size_t)(c.p - json.p), json.len);
	return 0;
}

/* ---- against the bucket ---- */

static int apply(struct checkpoint *c, enum checkpoint_policy policy, int code, struct err *e)
{
	switch (policy) {
	case CHECKPOINT_DEFAULT:
	case CHECKPOINT_FAIL: return code;
	case CHECKPOINT_RESTART: *c = (struct checkpoint){ .vb = c->vb }; break;
	case CHECKPOINT_IGNORE:
	case CHECKPOINT_REWIND: break;
	}
	err_clear(e);
	return policy == CHECKPOINT_REWIND;
}

static int check_damaged(struct checkpoint *c, enum checkpoint_policy policy, struct err *e)
{
	int rc = err_set(e, ERR_CORRUPT,
			 "the checkpoint of vBucket %u is damaged or lost: repair it, or restart",
			 c->vb);
	return apply(c, policy == CHECKPOINT_RESTART ? policy : CHECKPOINT_FAIL, rc, e);
}

int checkpoint_check(struct checkpoint *c, const char *bucket_uuid, uint64_t high,
		     const struct checkpoint_policies *p, struct err *e)
{
	if (c->damaged)
		return check_damaged(c, p->damaged, e);
	if (!c->found)
		return 0;
	if (c->bucket_uuid[0] && bucket_uuid[0] && strcmp(c->bucket_uuid, bucket_uuid) != 0) {
		int rc = err_set(e, ERR_TOKEN_FOREIGN,
				 "the checkpoint of vBucket %u belongs to another bucket (%s, this "
				 "one is %s): "
				 "restart, or ignore the difference",
				 c->vb, c->bucket_uuid, bucket_uuid);
		rc = apply(c, p->foreign == CHECKPOINT_REWIND ? CHECKPOINT_FAIL : p->foreign, rc,
			   e);
		if (rc < 0 || !c->found)
			return rc;
	}
	if (high != UINT64_MAX && c->pos.seqno > high) {
		int rc = err_set(e, ERR_TOKEN_FUTURE,
				 "the checkpoint of vBucket %u stands at seqno %" PRIu64
				 ", the server's highest is %" PRIu64
				 ": restart, rewind, or leave it to the rollback protocol",
				 c->vb, c->pos.seqno, high);
		if (e)
			e->newest = high;
		return apply(c, p->ahead == CHECKPOINT_DEFAULT ? CHECKPOINT_IGNORE : p->ahead, rc,
			     e);
	}
	return 0;
}

/* ---- stores without a place ---- */

static int load_none(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	(void)s;
	(void)e;
	for (size_t i = 0; i < n; i++)
		c[i] = (struct checkpoint){ .vb = c[i].vb };
	return 0;
}

static void free_none(struct checkpoint_store *s)
{
	mem_free(s);
}

int checkpoint_none_open(struct checkpoint_store **out, struct err *e)
{
	static const struct checkpoint_store_ops ops = { .load = load_none, .free = free_none };
	struct checkpoint_store *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->ops = &ops;
	*out = s;
	return 0;
}

struct read_only {
	struct checkpoint_store base;
	struct checkpoint_store *inner;
};

static int load_inner(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	return checkpoint_load(container_of(s, struct read_only, base)->inner, c, n, e);
}

static void free_inner(struct checkpoint_store *s)
{
	struct read_only *r = container_of(s, struct read_only, base);
	checkpoint_store_free(r->inner);
	mem_free(r);
}

int checkpoint_read_only(struct checkpoint_store *inner, struct checkpoint_store **out,
			 struct err *e)
{
	static const struct checkpoint_store_ops ops = { .load = load_inner, .free = free_inner };
	struct read_only *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(e);
	r->base.ops = &ops;
	r->inner = inner;
	*out = &r->base;
	return 0;
}
