/* system_event.c: what happened to a scope or collection, out of a DCP_SYSTEM_EVENT. */
#include "dcp/collections.h"

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
