#include "dcp/collections.h"

#include "base/mem.h"
#include "doc/json.h"

/* ---- version 2: just enough FlatBuffers to read one flat table ----
 *
 *	u32 root ──▶ table: i32 back ──▶ vtable: u16 size, u16 table size, u16 offset of field 0, 1, ...
 *	             fields at their offsets; 0: the default; strings by u32 offset: u32 length, bytes
 */
struct flat_table {
	struct slice all;
	size_t table, vtable, n_fields;
};

static bool flat_room(struct slice s, size_t at, size_t n)
{
	return at <= s.len && s.len - at >= n;
}

static int flat_bad(struct err *e)
{
	return err_set(e, ERR_PROTOCOL, "a system event's structure is damaged");
}

static int flat_open(struct slice s, struct flat_table *t, struct err *e)
{
	*t = (struct flat_table){ .all = s };
	if (!flat_room(s, 0, 4))
		return flat_bad(e);
	t->table = get_le32(s.p);
	if (!flat_room(s, t->table, 4))
		return flat_bad(e);
	int64_t vtable = (int64_t)t->table - (int32_t)get_le32(s.p + t->table);
	if (vtable < 0 || !flat_room(s, (size_t)vtable, 4))
		return flat_bad(e);
	t->vtable = (size_t)vtable;
	size_t size = get_le16(s.p + t->vtable);
	if (size < 4 || !flat_room(s, t->vtable, size))
		return flat_bad(e);
	t->n_fields = (size - 4) / 2;
	return 0;
}

/* Where field i of `size` bytes stands; 1, 0 it has its default value, ERR_PROTOCOL. */
static int flat_field(const struct flat_table *t, size_t i, size_t size, size_t *at, struct err *e)
{
	if (i >= t->n_fields)
		return 0;
	size_t off = get_le16(t->all.p + t->vtable + 4 + 2 * i);
	if (off == 0)
		return 0;
	*at = t->table + off;
	return flat_room(t->all, *at, size) ? 1 : flat_bad(e);
}

static int flat_number(const struct flat_table *t, size_t i, size_t size, uint64_t *v,
		       struct err *e)
{
	size_t at;
	int rc = flat_field(t, i, size, &at, e);
	*v = 0;
	if (rc <= 0)
		return rc;
	const uint8_t *p = t->all.p + at;
	*v = size == 8 ? get_le64(p) : size == 4 ? get_le32(p) : *p;
	return 1;
}

static int flat_string(const struct flat_table *t, size_t i, struct slice *s, struct err *e)
{
	size_t at;
	int rc = flat_field(t, i, 4, &at, e);
	if (rc <= 0)
		return rc;
	size_t start = at + get_le32(t->all.p + at);
	if (!flat_room(t->all, start, 4))
		return flat_bad(e);
	size_t len = get_le32(t->all.p + start);
	if (!flat_room(t->all, start + 4, len))
		return flat_bad(e);
	*s = slice_of(t->all.p + start + 4, len);
	return 1;
}

enum {
	FIELD_UID,
	FIELD_SCOPE,
	FIELD_COLLECTION,
	FIELD_TTL_VALID,
	FIELD_MAX_TTL,
	FIELD_NAME,
	FIELD_HISTORY,
	FIELD_FLUSH_UID = 9,
	FIELD_SCOPE_NAME = 2
};

static bool of_collection(enum dcp_system_kind k)
{
	return k != DCP_SCOPE_CREATED && k != DCP_SCOPE_DROPPED;
}

static bool has_name(enum dcp_system_kind k)
{
	return k == DCP_COLLECTION_CREATED || k == DCP_COLLECTION_MODIFIED ||
	       k == DCP_SCOPE_CREATED;
}

static int parse_flat(struct slice value, struct dcp_system *s, struct slice *name, struct err *e)
{
	struct flat_table t;
	uint64_t scope, collection = 0, ttl_valid = 0, ttl = 0, history = 0;
	int rc = flat_open(value, &t, e);
	if (rc < 0 || (rc = flat_number(&t, FIELD_UID, 8, &s->manifest_uid, e)) < 0 ||
	    (rc = flat_number(&t, FIELD_SCOPE, 4, &scope, e)) < 0)
		return rc;
	s->scope = (uint32_t)scope;
	if (!of_collection(s->kind))
		return has_name(s->kind) ? flat_string(&t, FIELD_SCOPE_NAME, name, e) : 0;
	if ((rc = flat_number(&t, FIELD_COLLECTION, 4, &collection, e)) < 0)
		return rc;
	s->collection = (uint32_t)collection;
	if (!has_name(s->kind))
		return 0;
	if ((rc = flat_number(&t, FIELD_TTL_VALID, 1, &ttl_valid, e)) < 0 ||
	    (rc = flat_number(&t, FIELD_MAX_TTL, 4, &ttl, e)) < 0 ||
	    (rc = flat_number(&t, FIELD_HISTORY, 1, &history, e)) < 0 ||
	    (rc = flat_number(&t, FIELD_FLUSH_UID, 8, &s->flush_uid, e)) < 0 ||
	    (rc = flat_string(&t, FIELD_NAME, name, e)) < 0)
		return rc;
	s->has_ttl = ttl_valid != 0;
	s->max_ttl = (uint32_t)ttl;
	s->history = history != 0;
	return 0;
}

/* ---- versions 0 and 1 ---- */

static int parse_fixed(struct slice value, uint8_t version, struct dcp_system *s, struct err *e)
{
	size_t want = of_collection(s->kind) ? 16 : 12;
	if (version == 1 && s->kind == DCP_COLLECTION_CREATED)
		want += 4;
	if (value.len < want)
		return err_set(e, ERR_PROTOCOL, "system event %u: a value of %zu bytes, not %zu",
			       (unsigned)s->kind, value.len, want);
	s->manifest_uid = get_be64(value.p);
	s->scope = get_be32(value.p + 8);
	if (of_collection(s->kind))
		s->collection = get_be32(value.p + 12);
	if (want == 20) {
		s->has_ttl = true;
		s->max_ttl = get_be32(value.p + 16);
	}
	return 0;
}

int system_event_parse(const struct packet *p, uint64_t *seqno, struct dcp_system *out,
		       struct slice *name, struct err *e)
{
	if (p->extras.len != 13)
		return err_set(e, ERR_PROTOCOL, "system event: extras of %zu bytes", p->extras.len);
	*seqno = get_be64(p->extras.p);
	uint32_t id = get_be32(p->extras.p + 8);
	uint8_t version = p->extras.p[12];
	*name = SLICE_NONE;
	*out = (struct dcp_system){ 0 };
	if (id > DCP_COLLECTION_MODIFIED || id == DCP_COLLECTION_FLUSHED || version > 2)
		return 0;
	out->kind = (enum dcp_system_kind)id;
	if (has_name(out->kind))
		*name = p->key;
	int rc = version == 2 ? parse_flat(p->value, out, name, e)
			      : parse_fixed(p->value, version, out, e);
	if (rc < 0)
		return rc;
	if (name->len > COLLECTION_NAME_MAX)
		return err_set(e, ERR_PROTOCOL, "a collection's name of %zu bytes", name->len);
	return 1;
}

/* ---- the manifest ---- */

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

static int read_scope(struct manifest *m, struct slice scope, struct err *e)
{
	uint64_t scope_id, id;
	struct value name = bson_get_str(scope, "name"), list = bson_get_str(scope, "collections");
	if (name.type != BSON_STRING || hex_id(bson_get_str(scope, "uid"), &scope_id) < 0)
		return err_set(e, ERR_PROTOCOL, "collections manifest: a scope without name or id");
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
		int rc = add(m, c, value_slice(name), value_slice(n), e);
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
	for (size_t i = 0; i < m->n; i++)
		if (slice_is(scope, m->entry[i].scope)) {
			*id = m->entry[i].scope_id;
			return 0;
		}
	return ERR_NOTFOUND;
}
