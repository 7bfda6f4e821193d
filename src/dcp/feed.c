#include "dcp/feed.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "dcp/wire.h"
#include "doc/json.h"
#include "doc/match.h"
#include "doc/pipeline.h"

#include <inttypes.h>
#include <stdio.h>

enum { PLACE_TEXT = 4 + 4 * 17 + 1 }; /* vb-seqno-uuid-start-end in hexadecimal */

struct feed {
	char *bucket;
	struct feed_options o;
	struct match *filter;
	struct pipeline *pipeline;
	struct eval eval;
	struct buf doc, value;
	struct dcp_position *place; /* by vBucket */
	uint32_t n_places;          /* room */
	bool *seen;
};

static int compile_filter(struct feed *f, struct err *e)
{
	int rc = match_compile(f->o.filter, NULL, &f->filter, e);
	return rc < 0 ? err_in(e, rc, "filter") : 0;
}

static int compile_pipeline(struct feed *f, struct err *e)
{
	const struct pipeline_options how = { .context = PIPELINE_CHANGE_STREAM };
	int rc = pipeline_compile(f->o.pipeline, &how, &f->pipeline, e);
	return rc < 0 ? err_in(e, rc, "pipeline") : 0;
}

int feed_new(const struct feed_options *o, struct feed **out, struct err *e)
{
	struct feed *f = mem_try(sizeof(*f));
	if (!f)
		return err_nomem(e);
	f->o = *o;
	eval_init(&f->eval);
	f->bucket = mem_strdup(o->bucket);
	int rc = f->bucket ? 0 : err_nomem(e);
	if (rc == 0 && o->filter.len)
		rc = compile_filter(f, e);
	if (rc == 0 && o->pipeline.len)
		rc = compile_pipeline(f, e);
	if (rc < 0) {
		feed_free(f);
		return rc;
	}
	*out = f;
	return 0;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	match_free(f->filter);
	pipeline_free(f->pipeline);
	eval_done(&f->eval);
	buf_done(&f->doc);
	buf_done(&f->value);
	mem_free(f->place);
	mem_free(f->seen);
	mem_free(f->bucket);
	mem_free(f);
}

/* ---- places ---- */

static int remember(struct feed *f, uint16_t vb, const struct dcp_position *pos, struct err *e)
{
	if (vb >= f->n_places) {
		uint32_t n = 64;
		while (n <= vb)
			n *= 2;
		struct dcp_position *place = mem_retry(f->place, n * sizeof(*place));
		if (place)
			f->place = place;
		bool *seen = mem_retry(f->seen, n * sizeof(*seen));
		if (seen) {
			f->seen = seen;
			memset(seen + f->n_places, 0, (n - f->n_places) * sizeof(*seen));
		}
		if (!place || !seen)
			return err_nomem(e);
		f->n_places = n;
	}
	f->place[vb] = *pos;
	f->seen[vb] = true;
	return 0;
}

int feed_seed(struct feed *f, const struct checkpoint *c, size_t n, struct err *e)
{
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = remember(f, c[i].vb, &c[i].pos, e);
	return rc;
}

int feed_seed_unseen(struct feed *f, uint16_t vb, const struct dcp_position *pos, struct err *e)
{
	return vb < f->n_places && f->seen[vb] ? 0 : remember(f, vb, pos, e);
}

static int place_text(uint16_t vb, const struct dcp_position *p, char out[PLACE_TEXT])
{
	return snprintf(out, PLACE_TEXT,
			"%04x-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64, vb,
			p->seqno, p->uuid, p->snap_start, p->snap_end);
}

/* Places separated by commas, then a checksum, so that a damaged token is told from a good one. */
void feed_token(const struct feed *f, struct buf *out)
{
	size_t start = out->len;
	char text[PLACE_TEXT];
	for (uint32_t vb = 0; vb < f->n_places; vb++) {
		if (!f->seen[vb])
			continue;
		int n = place_text((uint16_t)vb, &f->place[vb], text);
		buf_add(out, text, (size_t)n);
		buf_add_byte(out, ',');
	}
	if (!out->failed)
		buf_add_fmt(out, "%08x",
			    crc32c(0, out->p ? out->p + start : NULL, out->len - start));
}

static bool hex_of(const uint8_t *p, size_t n, uint64_t *v)
{
	*v = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = p[i];
		if (c >= '0' && c <= '9')
			*v = *v << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			*v = *v << 4 | (c - 'a' + 10u);
		else
			return false;
	}
	return true;
}

static bool parse_place(const uint8_t *p, struct checkpoint *c)
{
	uint64_t vb;
	if (!hex_of(p, 4, &vb))
		return false;
	uint64_t *field[] = { &c->pos.seqno, &c->pos.uuid, &c->pos.snap_start, &c->pos.snap_end };
	for (size_t i = 0; i < ARRAY_LEN(field); i++)
		if (p[4 + 17 * i] != '-' || !hex_of(p + 5 + 17 * i, 16, field[i]))
			return false;
	c->vb = (uint16_t)vb;
	c->found = true;
	return dcp_position_valid(&c->pos);
}

int feed_token_parse(struct slice token, struct checkpoint *c, size_t max, size_t *n, struct err *e)
{
	enum { ONE = PLACE_TEXT - 1 };
	uint64_t sum;
	size_t places = token.len >= 8 ? (token.len - 8) / (ONE + 1) : 0;
	bool good = token.len == 8 + places * (ONE + 1) &&
		    hex_of(token.p + token.len - 8, 8, &sum) &&
		    sum == crc32c(0, token.p, token.len - 8);
	if (!good && token.len == ONE)
		return err_set(e, ERR_TOKEN_CORRUPT,
			       "this is no resume token, but one vBucket's place (an event's _id): "
			       "a token has the places of all");
	if (!good)
		return err_set(e, ERR_TOKEN_CORRUPT, "the resume token is damaged");
	if (places > max)
		return err_set(e, ERR_LIMIT, "the resume token names %zu vBuckets", places);
	for (size_t i = 0; i < places; i++) {
		const uint8_t *p = token.p + i * (ONE + 1);
		c[i] = (struct checkpoint){ 0 };
		if (!parse_place(p, &c[i]) || p[ONE] != ',')
			return err_set(e, ERR_TOKEN_CORRUPT, "the resume token is damaged");
	}
	*n = places;
	return 0;
}

/* ---- documents ---- */

static const char *operation(const struct dcp_event *ev)
{
	switch ((enum dcp_event_kind)ev->kind) {
	case DCP_MUTATION: return "replace";
	case DCP_DELETION:
	case DCP_EXPIRATION: return "delete";
	case DCP_ROLLBACK: return "rollback";
	case DCP_END: return "end";
	case DCP_ADVANCED: break;
	case DCP_SYSTEM:
		switch (ev->system.kind) {
		case DCP_COLLECTION_CREATED: return "createCollection";
		case DCP_COLLECTION_DROPPED: return "dropCollection";
		case DCP_COLLECTION_FLUSHED: return "flushCollection";
		case DCP_SCOPE_CREATED: return "createScope";
		case DCP_SCOPE_DROPPED: return "dropScope";
		case DCP_COLLECTION_MODIFIED: return "modify";
		}
	}
	return "unknown";
}

#define KEY(s) SLICE_LIT(s)

static void put_u64(struct bson_writer *w, struct slice key, uint64_t v)
{
	if (v <= INT64_MAX) {
		bson_put_int64(w, key, (int64_t)v);
		return;
	}
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, v);
	bson_put_string(w, key, slice_of(text, (size_t)n));
}

static bool is_about_a_scope(const struct dcp_event *ev)
{
	return ev->kind == DCP_SYSTEM &&
	       (ev->system.kind == DCP_SCOPE_CREATED || ev->system.kind == DCP_SCOPE_DROPPED);
}

static void put_ns(struct feed *f, struct bson_writer *w, const struct dcp_event *ev)
{
	const char *scope, *name;
	char coll[600];
	int n;
	bson_begin_doc(w, KEY("ns"));
	bson_put_string(w, KEY("db"), slice_str(f->bucket));
	if (is_about_a_scope(ev)) { /* it has no collection yet, or any more */
		bson_end(w);
		return;
	}
	if (f->o.collection && f->o.collection(f->o.arg, ev->collection, &scope, &name))
		n = snprintf(coll, sizeof(coll), "%s.%s", scope, name);
	else if (ev->collection == 0)
		n = snprintf(coll, sizeof(coll), "_default._default");
	else
		n = snprintf(coll, sizeof(coll), "0x%x", ev->collection);
	bson_put_string(w, KEY("coll"), slice_of(coll, (size_t)n));
	bson_end(w);
}

/* *v: MISSING where the value is no JSON, or none that an event can hold (1e400, 200 levels). */
static int json_value_of(struct feed *f, const struct dcp_event *ev, struct value *v)
{
	enum { AROUND = 2 }; /* the event, and "couchbase" where it is no object */
	*v = (struct value){ .type = BSON_MISSING };
	if (ev->kind != DCP_MUTATION || !(ev->datatype & DATATYPE_JSON) ||
	    (ev->datatype & DATATYPE_SNAPPY))
		return 0;
	buf_reset(&f->value);
	int rc = json_plain_to_value(ev->value, AROUND, &f->value, v, NULL);
	return rc == ERR_NOMEM ? rc : 0;
}

static void put_value(struct bson_writer *w, const struct dcp_event *ev, struct value json)
{
	if (json.type != BSON_MISSING)
		bson_put(w, KEY("value"), json);
	else if (ev->value.len)
		bson_put_binary(w, KEY("value"), 0, ev->value);
}

static void put_couchbase(struct bson_writer *w, const struct dcp_event *ev, struct value json)
{
	bson_begin_doc(w, KEY("couchbase"));
	bson_put_int32(w, KEY("vbucket"), ev->vb);
	put_u64(w, KEY("seqno"), ev->pos.seqno);
	put_u64(w, KEY("vbuuid"), ev->pos.uuid);
	if (ev->kind == DCP_ROLLBACK) {
		put_u64(w, KEY("rollbackTo"), ev->rollback_to);
		if (ev->rollback_from != UINT64_MAX)
			put_u64(w, KEY("rollbackFrom"), ev->rollback_from);
	} else if (ev->kind == DCP_SYSTEM) {
		put_u64(w, KEY("manifestUid"), ev->system.manifest_uid);
		bson_put_int64(w, KEY("scopeId"), ev->system.scope);
		bson_put_int64(w, KEY("collectionId"), ev->system.collection);
		if (ev->key.len && utf8_valid(ev->key))
			bson_put_string(w, KEY("name"), ev->key);
	} else if (ev->kind == DCP_END) {
		bson_put_string(w, KEY("reason"), slice_str(stream_end_name(ev->end_reason)));
		if (ev->code)
			bson_put_string(w, KEY("error"), slice_str(err_text(ev->code)));
	} else {
		put_u64(w, KEY("revision"), ev->rev);
		put_u64(w, KEY("cas"), ev->cas);
		bson_put_int64(w, KEY("flags"), ev->flags);
		if (ev->expiry)
			bson_put_int64(w, KEY("expiry"), ev->expiry);
		if (ev->kind == DCP_EXPIRATION)
			bson_put_bool(w, KEY("expired"), true);
		if (ev->delete_time)
			bson_put_date(w, KEY("deleteTime"), (int64_t)ev->delete_time * 1000);
		if (json.type != BSON_DOCUMENT)
			put_value(w, ev, json);
		if (ev->xattrs.len)
			bson_put_binary(w, KEY("xattrs"), 0, ev->xattrs);
	}
	bson_end(w);
}

static int build(struct feed *f, const struct dcp_event *ev, struct err *e)
{
	struct bson_writer *w = mem_try(sizeof(*w)); /* too big for a stack */
	char place[PLACE_TEXT];
	if (!w)
		return err_nomem(e);
	struct value json;
	int rc = json_value_of(f, ev, &json);
	if (rc < 0) {
		mem_free(w);
		return err_nomem(e);
	}
	int n = place_text(ev->vb, &ev->pos, place);
	bool document = ev->kind <= DCP_EXPIRATION;
	buf_reset(&f->doc);
	bson_writer_init(w, &f->doc);
	bson_begin_doc(w, KEY("_id"));
	bson_put_string(w, KEY("_data"), slice_of(place, (size_t)n));
	bson_end(w);
	bson_put_string(w, KEY("operationType"), slice_str(operation(ev)));
	if (document) {
		uint64_t ms = ev->cas / (uint64_t)NSEC_PER_MS;
		bson_put_timestamp(w, KEY("clusterTime"), (uint32_t)(ms / 1000),
				   (uint32_t)(ev->cas % (uint64_t)NSEC_PER_SEC));
		bson_put_date(w, KEY("wallTime"), (int64_t)ms);
	}
	if (ev->kind <= DCP_SYSTEM)
		put_ns(f, w, ev);
	if (document) {
		bson_begin_doc(w, KEY("documentKey"));
		if (utf8_valid(ev->key))
			bson_put_string(w, KEY("_id"), ev->key);
		else
			bson_put_binary(w, KEY("_id"), 0, ev->key);
		bson_end(w);
	}
	if (json.type == BSON_DOCUMENT)
		bson_put_doc(w, KEY("fullDocument"), value_slice(json));
	put_couchbase(w, ev, json);
	rc = bson_finish(w, e);
	mem_free(w);
	return rc;
}

struct taken {
	struct feed *f;
	struct slice doc;
};

static int take(void *arg, struct slice doc, struct err *e)
{
	(void)e;
	((struct taken *)arg)->doc = doc;
	return 0;
}

int feed_event(struct feed *f, const struct dcp_event *ev, struct slice *doc, struct err *e)
{
	int rc = remember(f, ev->vb, &ev->pos, e);
	if (rc == 0)
		rc = build(f, ev, e);
	if (rc < 0)
		return rc;
	eval_reset(&f->eval);
	if (f->filter) {
		rc = match_doc(f->filter, &f->eval, buf_slice(&f->doc), e);
		if (rc <= 0)
			return rc;
	}
	struct taken t = { .f = f, .doc = buf_slice(&f->doc) };
	if (f->pipeline) {
		t.doc = SLICE_NONE;
		rc = pipeline_run(f->pipeline, &f->eval, buf_slice(&f->doc), take, &t, e);
		if (rc < 0)
			return rc;
		if (t.doc.len == 0)
			return 0;
	}
	*doc = t.doc;
	return 1;
}
