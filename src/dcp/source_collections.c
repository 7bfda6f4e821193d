/* source_collections.c: the bucket's collections: their names, and the filter that every stream opens with. */
#include "dcp/source_internal.h"

/* So that a collection made while we run has its name before its first document comes. */
void source_learn_name(struct dcp_source *s, const struct packet *p)
{
	struct dcp_system event;
	struct slice name;
	uint64_t seqno;
	if (system_event_parse(p, &seqno, &event, &name, NULL) <= 0)
		return;
	mutex_lock(&s->lock);
	(void)manifest_apply(&s->manifest, &event, name, NULL);
	mutex_unlock(&s->lock);
}

void source_manifest(struct dcp_source *s, struct slice json)
{
	struct manifest m;
	struct err e = ERR_INIT;
	if (manifest_parse(json, &m, &e) < 0) {
		source_note_error(s, &e);
		return;
	}
	mutex_lock(&s->lock);
	/* later ones only add names, which the events bring */
	bool first = !s->has_manifest;
	if (first)
		s->manifest = m;
	s->has_manifest = true;
	mutex_unlock(&s->lock);
	if (!first)
		manifest_done(&m);
}

/* "collection" of the scope of the options, or "scope.collection": names have no dots. */
static void split_name(const struct dcp_source *s, const char *text, struct slice *scope,
		       struct slice *name)
{
	const char *dot = strchr(text, '.');
	*scope = slice_str(s->o.scope ? s->o.scope : "_default");
	*name = slice_str(text);
	if (dot) {
		*scope = slice_of(text, (size_t)(dot - text));
		*name = slice_str(dot + 1);
	}
}

bool source_streams(const struct dcp_source *s, const struct collection *c)
{
	if (s->o.n_collections == 0)
		return !s->o.scope || strcmp(c->scope, s->o.scope) == 0;
	for (size_t i = 0; i < s->o.n_collections; i++) {
		struct slice scope, name;
		split_name(s, s->o.collections[i], &scope, &name);
		if (slice_is(scope, c->scope) && slice_is(name, c->name))
			return true;
	}
	return false;
}

static int find_collection(const struct dcp_source *s, const char *text,
			   const struct collection **out, struct err *e)
{
	struct slice scope, name;
	uint32_t id;
	split_name(s, text, &scope, &name);
	if (!scope.len || !name.len || memchr(name.p, '.', name.len))
		return err_set(e, ERR_INVALID, "'%s' is no collection: it is NAME, or SCOPE.NAME",
			       text);
	if (manifest_scope_id(&s->manifest, scope, &id) < 0)
		return err_set(e, ERR_NOTFOUND,
			       "bucket %s has no scope " SLICE_FMT ", of collection " SLICE_FMT
			       "." SLICE_FMT,
			       s->o.bucket, SLICE_ARG(scope), SLICE_ARG(scope), SLICE_ARG(name));
	*out = manifest_by_name(&s->manifest, scope, name);
	if (!*out)
		return err_set(e, ERR_NOTFOUND,
			       "bucket %s has no collection " SLICE_FMT "." SLICE_FMT, s->o.bucket,
			       SLICE_ARG(scope), SLICE_ARG(name));
	return 0;
}

static int filter_collections(struct dcp_source *s, struct err *e)
{
	buf_add_str(&s->stream_json, "{\"collections\":[");
	for (size_t i = 0; i < s->o.n_collections; i++) {
		const struct collection *c;
		int rc = find_collection(s, s->o.collections[i], &c, e);
		if (rc < 0)
			return rc;
		buf_add_fmt(&s->stream_json, "%s\"%x\"", i ? "," : "", c->id);
	}
	buf_add_str(&s->stream_json, "]}");
	return buf_check(&s->stream_json, e);
}

static int make_filter(struct dcp_source *s, struct err *e)
{
	buf_reset(&s->stream_json);
	if (!s->has_manifest) { /* a server, or a bucket, without collections */
		if (s->o.scope || s->o.n_collections)
			return err_set(e, ERR_UNSUPPORTED, "bucket %s has no collections",
				       s->o.bucket);
		return 0;
	}
	if (s->o.n_collections)
		return filter_collections(s, e);
	if (!s->o.scope) {
		buf_add_str(&s->stream_json, "{\"uid\":\"0\"}");
		return buf_check(&s->stream_json, e);
	}
	uint32_t id;
	if (manifest_scope_id(&s->manifest, slice_str(s->o.scope), &id) < 0)
		return err_set(e, ERR_NOTFOUND, "bucket %s has no scope %s", s->o.bucket,
			       s->o.scope);
	buf_add_fmt(&s->stream_json, "{\"scope\":\"%x\"}", id);
	return buf_check(&s->stream_json, e);
}

/* The first connection is ready: everything a caller needs to know is known. */
void source_make_ready(struct dcp_source *s)
{
	struct err e = ERR_INIT;
	if (s->ready || !s->map)
		return;
	if (make_filter(s, &e) < 0) {
		source_fail(s, &e);
		return;
	}
	s->vb_config.collections = s->has_manifest;
	s->vb_config.stream_json = buf_slice(&s->stream_json);
	mutex_lock(&s->lock);
	s->ready = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}
