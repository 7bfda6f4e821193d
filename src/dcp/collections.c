#include "dcp/collections.h"

#include "base/mem.h"
#include "doc/json.h"

static int hex_id(struct value v, uint64_t *id)
{
	uint64_t n = 0;
	if (v.type != BSON_STRING || v.len == 0 || v.len > 16)
		return ERR_PROTOCOL;
	for (uint32_t i = 0; i < v.len; i++) {
		uint8_t c = v.p[i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (c | 32) - 'a' + 10u;
		else
			return ERR_PROTOCOL;
		n = n << 4 | digit;
	}
	*id = n;
	return 0;
}

static char *text_of(struct slice s)
{
	char *p = mem_try(s.len + 1);
	if (p && s.len)
		memcpy(p, s.p, s.len);
	return p;
}

static void entry_done(struct collection *c)
{
	mem_free(c->scope);
	mem_free(c->name);
}

static int add(struct manifest *m, struct collection c, struct slice scope, struct slice name,
	       struct err *e)
{
	if (m->n >= COLLECTIONS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d collections", COLLECTIONS_MAX);
	if ((m->n & (m->n - 1)) == 0) {
		size_t cap = m->n ? 2 * m->n : 1;
		struct collection *grown = mem_retry(m->entry, cap * sizeof(*grown));
		if (!grown)
			return err_nomem(e);
		m->entry = grown;
	}
	c.scope = text_of(scope);
	c.name = text_of(name);
	if (!c.scope || !c.name) {
		entry_done(&c);
		return err_nomem(e);
	}
	size_t at = m->n++;
	for (; at > 0 && m->entry[at - 1].id > c.id; at--)
		m->entry[at] = m->entry[at - 1];
	m->entry[at] = c;
	return 0;
}

static int add_scope(struct manifest *m, uint32_t id, struct slice name, struct err *e)
{
	if (m->n_scopes >= COLLECTIONS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d scopes", COLLECTIONS_MAX);
	struct scope *grown = mem_retry(m->scope, (m->n_scopes + 1) * sizeof(*grown));
	if (!grown)
		return err_nomem(e);
	m->scope = grown;
	grown[m->n_scopes] = (struct scope){ .id = id, .name = text_of(name) };
	if (!grown[m->n_scopes].name)
		return err_nomem(e);
	m->n_scopes++;
	return 0;
}

static const struct scope *scope_by_id(const struct manifest *m, uint32_t id)
{
	for (size_t i = 0; i < m->n_scopes; i++)
		if (m->scope[i].id == id)
			return &m->scope[i];
	return NULL;
}

int manifest_apply(struct manifest *m, const struct dcp_system *s, struct slice name, struct err *e)
{
	if (s->kind == DCP_SCOPE_CREATED)
		return scope_by_id(m, s->scope) ? 0 : add_scope(m, s->scope, name, e);
	if (s->kind != DCP_COLLECTION_CREATED || manifest_by_id(m, s->collection))
		return 0;
	const struct scope *scope = scope_by_id(m, s->scope);
	struct collection c = { .id = s->collection,
				.scope_id = s->scope,
				.max_ttl = s->has_ttl ? s->max_ttl : 0 };
	/* the scope's own event may have been filtered out, or is still to come */
	return scope ? add(m, c, slice_str(scope->name), name, e) : 0;
}

static int read_scope(struct manifest *m, struct slice scope, struct err *e)
{
	uint64_t scope_id, id;
	struct value name = bson_get_str(scope, "name"), list = bson_get_str(scope, "collections");
	if (name.type != BSON_STRING || hex_id(bson_get_str(scope, "uid"), &scope_id) < 0)
		return err_set(e, ERR_PROTOCOL, "collections manifest: a scope without name or id");
	int rc = add_scope(m, (uint32_t)scope_id, value_slice(name), e);
	if (rc < 0)
		return rc;
	struct bson_iter it;
	if (list.type != BSON_ARRAY)
		return 0;
	bson_iter_init(&it, value_slice(list));
	while (bson_next(&it)) {
		struct slice doc = value_slice(it.value);
		struct value n = { 0 }, ttl = { 0 };
		if (it.value.type == BSON_DOCUMENT) {
			n = bson_get_str(doc, "name");
			ttl = bson_get_str(doc, "maxTTL");
		}
		if (n.type != BSON_STRING || hex_id(bson_get_str(doc, "uid"), &id) < 0)
			return err_set(e, ERR_PROTOCOL,
				       "collections manifest: a collection without name or id");
		struct collection c = { .id = (uint32_t)id,
					.scope_id = (uint32_t)scope_id,
					.max_ttl = ttl.type == BSON_INT32 ? (uint32_t)ttl.i64 : 0 };
		rc = add(m, c, value_slice(name), value_slice(n), e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int manifest_parse(struct slice json, struct manifest *out, struct err *e)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	struct manifest m = { 0 };
	int rc = json_to_bson(json, &doc, NULL, e);
	if (rc < 0)
		return err_in(e, rc, "collections manifest");
	struct value list = bson_get_str(buf_slice(&doc), "scopes");
	if (list.type != BSON_ARRAY || hex_id(bson_get_str(buf_slice(&doc), "uid"), &m.uid) < 0)
		return err_set(e, ERR_PROTOCOL, "collections manifest: no uid or scopes");
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	while (rc == 0 && bson_next(&it))
		rc = it.value.type == BSON_DOCUMENT
			     ? read_scope(&m, value_slice(it.value), e)
			     : err_set(e, ERR_PROTOCOL,
				       "collections manifest: a scope of another type");
	if (rc < 0) {
		manifest_done(&m);
		return rc;
	}
	*out = m;
	return 0;
}

void manifest_done(struct manifest *m)
{
	for (size_t i = 0; i < m->n; i++)
		entry_done(&m->entry[i]);
	for (size_t i = 0; i < m->n_scopes; i++)
		mem_free(m->scope[i].name);
	mem_free(m->scope);
	mem_free(m->entry);
	*m = (struct manifest){ 0 };
}

const struct collection *manifest_by_id(const struct manifest *m, uint32_t id)
{
	size_t low = 0, high = m->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (m->entry[mid].id == id)
			return &m->entry[mid];
		if (m->entry[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct collection *manifest_by_name(const struct manifest *m, struct slice scope,
					  struct slice name)
{
	for (size_t i = 0; i < m->n; i++)
		if (slice_is(scope, m->entry[i].scope) && slice_is(name, m->entry[i].name))
			return &m->entry[i];
	return NULL;
}

int manifest_scope_id(const struct manifest *m, struct slice scope, uint32_t *id)
{
	for (size_t i = 0; i < m->n_scopes; i++)
		if (slice_is(scope, m->scope[i].name)) {
			*id = m->scope[i].id;
			return 0;
		}
	return ERR_NOTFOUND;
}
