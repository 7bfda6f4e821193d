/* entry.c: the entry's bytes.
 *
 * The record's headers (16 bytes, little-endian):
 *
 *	 0  u8   version    1
 *	 1  u8   operation  enum change_op
 *	 2  u8   flags      bit 0: the document ends in weir: { image }
 *	 3  u8   chain      updates since the last whole image
 *	 4  u32  crc32c of database, NUL, collection: passes over other collections' entries
 *	 8  u64  offset of the document's previous entry, all ones: not known
 *
 * Later versions may add bytes behind these.
 */
#include "change/entry.h"

#include <inttypes.h>

#include "base/crc32c.h"
#include "doc/diff.h"

const char *const entry_field_names[ENTRY_FIELDS + 1] = {
	[ENTRY_ID] = "_id",
	[ENTRY_OPERATION_TYPE] = "operationType",
	[ENTRY_CLUSTER_TIME] = "clusterTime",
	[ENTRY_WALL_TIME] = "wallTime",
	[ENTRY_NS] = "ns",
	[ENTRY_NS_TYPE] = "nsType",
	[ENTRY_TO] = "to",
	[ENTRY_DOCUMENT_KEY] = "documentKey",
	[ENTRY_FULL_DOCUMENT] = "fullDocument",
	[ENTRY_FULL_DOCUMENT_BEFORE] = "fullDocumentBeforeChange",
	[ENTRY_UPDATE_DESCRIPTION] = "updateDescription",
	[ENTRY_OPERATION_DESCRIPTION] = "operationDescription",
	[ENTRY_COLLECTION_UUID] = "collectionUUID",
	[ENTRY_LSID] = "lsid",
	[ENTRY_TXN_NUMBER] = "txnNumber",
	[ENTRY_DB] = "db",
	[ENTRY_DATABASE] = "database",
	[ENTRY_COLL] = "coll",
	[ENTRY_COLLECTION] = "collection",
};

static const char internal_name[] = "weir";

static const char *const op_names[] = {
	[CHANGE_INSERT] = "insert",
	[CHANGE_UPDATE] = "update",
	[CHANGE_REPLACE] = "replace",
	[CHANGE_DELETE] = "delete",
	[CHANGE_CREATE] = "create",
	[CHANGE_DROP] = "drop",
	[CHANGE_RENAME] = "rename",
	[CHANGE_DROP_DATABASE] = "dropDatabase",
	[CHANGE_CREATE_INDEXES] = "createIndexes",
	[CHANGE_DROP_INDEXES] = "dropIndexes",
	[CHANGE_NOOP] = "noop",
};

const char *change_op_name(enum change_op op)
{
	ASSERT(op >= CHANGE_INSERT && op <= CHANGE_NOOP);
	return op_names[op];
}

struct slice change_op_alias(struct slice name)
{
	static const struct {
		const char *alias, *name;
	} aliases[] = {
		{ "createCollection", "create" }, { "dropCollection", "drop" },
		{ "renameCollection", "rename" }, { "createIndex", "createIndexes" },
		{ "dropIndex", "dropIndexes" },
	};
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (slice_is(name, aliases[i].alias))
			return slice_str(aliases[i].name);
	return name;
}

uint32_t entry_ns_hash(struct slice db, struct slice coll)
{
	uint32_t h = crc32c(0, db.p, db.len);
	h = crc32c(h, "", 1);
	return crc32c(h, coll.p, coll.len);
}

/* ---- reading ---- */

int entry_open(struct entry *n, const struct log_record *rec, struct err *e)
{
	const uint8_t *h = rec->headers.p;
	if (unlikely(rec->headers.len < 1 || !rec->has_value))
		return err_set(e, ERR_CORRUPT, "record %" PRIu64 " is no change entry",
			       rec->offset);
	if (unlikely(h[0] != ENTRY_VERSION))
		return err_set(e, ERR_VERSION,
			       "entry %" PRIu64 " has format %d; this weir knows format %d",
			       rec->offset, h[0], ENTRY_VERSION);
	if (unlikely(rec->headers.len < ENTRY_HEADER_BYTES || h[1] < CHANGE_INSERT ||
		     h[1] > CHANGE_NOOP || rec->value.len < 5 ||
		     get_le32(rec->value.p) != rec->value.len))
		return err_set(e, ERR_CORRUPT, "record %" PRIu64 " is no change entry",
			       rec->offset);
	*n = (struct entry){
		.offset = rec->offset,
		.op = h[1],
		.flags = h[2],
		.chain = h[3],
		.ns_hash = get_le32(h + 4),
		.prev = get_le64(h + 8),
		.doc = rec->value,
	};
	return 0;
}

size_t entry_fields(const struct entry *n, struct value v[ENTRY_FIELDS])
{
	for (int i = 0; i < ENTRY_FIELDS; i++)
		v[i].type = BSON_MISSING;
	size_t event_bytes = n->doc.len - 1;
	int next = ENTRY_OPERATION_TYPE; /* fields stand in the order of their numbers */
	struct bson_iter it;
	bson_iter_init(&it, n->doc);
	while (bson_next(&it)) {
		int i = next;
		while (i < ENTRY_STORED && !slice_is(it.key, entry_field_names[i]))
			i++;
		if (i < ENTRY_STORED) {
			v[i] = it.value;
			next = i + 1;
		} else if (slice_is(it.key, internal_name)) {
			event_bytes = (size_t)(it.raw.p - n->doc.p);
		}
	}
	if (v[ENTRY_NS].type == BSON_DOCUMENT) {
		struct slice ns = value_slice(v[ENTRY_NS]);
		v[ENTRY_DB] = v[ENTRY_DATABASE] = bson_get(ns, SLICE_LIT("db"));
		v[ENTRY_COLL] = v[ENTRY_COLLECTION] = bson_get(ns, SLICE_LIT("coll"));
	}
	return event_bytes;
}

uint32_t entry_check(const struct entry *n)
{
	return crc32c(0, n->doc.p, n->doc.len);
}

static struct slice get_doc(struct slice doc, const char *key)
{
	struct value v = bson_get_str(doc, key);
	return v.type == BSON_DOCUMENT ? value_slice(v) : SLICE_NONE;
}

static struct slice get_string(struct slice doc, const char *key)
{
	struct value v = bson_get_str(doc, key);
	return v.type == BSON_STRING ? value_slice(v) : SLICE_NONE;
}

uint64_t entry_cluster_time(const struct entry *n)
{
	struct value v = bson_get_str(n->doc, entry_field_names[ENTRY_CLUSTER_TIME]);
	return v.type == BSON_TIMESTAMP ? (uint64_t)v.i64 : 0;
}

int64_t entry_wall_ms(const struct entry *n)
{
	struct value v = bson_get_str(n->doc, entry_field_names[ENTRY_WALL_TIME]);
	return v.type == BSON_DATE ? v.i64 : 0;
}

void entry_ns(const struct entry *n, struct slice *db, struct slice *coll)
{
	struct slice ns = get_doc(n->doc, entry_field_names[ENTRY_NS]);
	*db = *coll = SLICE_NONE;
	if (ns.len) {
		*db = get_string(ns, "db");
		*coll = get_string(ns, "coll");
	}
}

struct value entry_key_id(const struct entry *n)
{
	struct slice key = get_doc(n->doc, entry_field_names[ENTRY_DOCUMENT_KEY]);
	return key.len ? bson_get(key, SLICE_LIT("_id")) : VALUE_MISSING;
}

struct slice entry_image(const struct entry *n)
{
	switch (n->op) {
	case CHANGE_INSERT:
	case CHANGE_REPLACE: return get_doc(n->doc, entry_field_names[ENTRY_FULL_DOCUMENT]);
	case CHANGE_UPDATE: {
		if (!(n->flags & ENTRY_HAS_IMAGE))
			return SLICE_NONE;
		struct slice internal = get_doc(n->doc, internal_name);
		return internal.len ? get_doc(internal, "image") : SLICE_NONE;
	}
	case CHANGE_DELETE:
	case CHANGE_CREATE:
	case CHANGE_DROP:
	case CHANGE_RENAME:
	case CHANGE_DROP_DATABASE:
	case CHANGE_CREATE_INDEXES:
	case CHANGE_DROP_INDEXES:
	case CHANGE_NOOP: break;
	}
	return SLICE_NONE;
}

/* ---- writing ---- */

static struct slice name_of(enum entry_field f)
{
	return slice_str(entry_field_names[f]);
}

static void put_ns(struct bson_writer *w, enum entry_field f, struct slice db, struct slice coll)
{
	bson_begin_doc(w, name_of(f));
	bson_put_string(w, SLICE_LIT("db"), db);
	if (coll.len)
		bson_put_string(w, SLICE_LIT("coll"), coll);
	bson_end(w);
}

static void put_key(struct bson_writer *w, const struct entry_spec *s)
{
	if (s->key.len) {
		bson_put_doc(w, name_of(ENTRY_DOCUMENT_KEY), s->key);
		return;
	}
	bson_begin_doc(w, name_of(ENTRY_DOCUMENT_KEY));
	bson_put(w, SLICE_LIT("_id"), bson_get(s->full, SLICE_LIT("_id")));
	bson_end(w);
}

static void put_description(struct bson_writer *w, const struct entry_spec *s)
{
	switch (s->op) {
	case CHANGE_RENAME:
		bson_begin_doc(w, name_of(ENTRY_OPERATION_DESCRIPTION));
		put_ns(w, ENTRY_TO, s->to_db, s->to_coll);
		bson_end(w);
		return;
	case CHANGE_CREATE_INDEXES:
	case CHANGE_DROP_INDEXES:
		bson_begin_doc(w, name_of(ENTRY_OPERATION_DESCRIPTION));
		bson_begin_array(w, SLICE_LIT("indexes"));
		bson_put_doc(w, SLICE_NONE, s->description);
		bson_end(w);
		bson_end(w);
		return;
	case CHANGE_CREATE:
	case CHANGE_NOOP:
		if (s->description.len)
			bson_put_doc(w, name_of(ENTRY_OPERATION_DESCRIPTION), s->description);
		return;
	case CHANGE_INSERT:
	case CHANGE_UPDATE:
	case CHANGE_REPLACE:
	case CHANGE_DELETE:
	case CHANGE_DROP:
	case CHANGE_DROP_DATABASE: return;
	}
}

static int put_update(struct bson_writer *w, const struct entry_spec *s, struct err *e)
{
	bson_begin_doc(w, name_of(ENTRY_UPDATE_DESCRIPTION));
	int rc = diff_docs(s->before, s->after, w, e);
	if (rc < 0)
		return rc;
	bson_end(w);
	if (s->keep_image) {
		bson_begin_doc(w, slice_str(internal_name));
		bson_put_doc(w, SLICE_LIT("image"), s->after);
		bson_end(w);
	}
	return 0;
}

static int put_fields(struct bson_writer *w, const struct entry_spec *s, const struct buf *out,
		      struct entry_place *at, struct err *e)
{
	bson_put_string(w, name_of(ENTRY_OPERATION_TYPE), slice_str(op_names[s->op]));
	bson_put_timestamp(w, name_of(ENTRY_CLUSTER_TIME), 0, 0);
	at->cluster_time = out->len - 8;
	bson_put_date(w, name_of(ENTRY_WALL_TIME), 0);
	at->wall_time = out->len - 8;
	if (s->db.len)
		put_ns(w, ENTRY_NS, s->db, s->coll);
	if (s->op == CHANGE_CREATE)
		bson_put_string(w, name_of(ENTRY_NS_TYPE), SLICE_LIT("collection"));
	if (s->op == CHANGE_RENAME)
		put_ns(w, ENTRY_TO, s->to_db, s->to_coll);
	if (s->op <= CHANGE_DELETE)
		put_key(w, s);
	if (s->op == CHANGE_INSERT || s->op == CHANGE_REPLACE)
		bson_put_doc(w, name_of(ENTRY_FULL_DOCUMENT), s->full);
	if (s->op == CHANGE_UPDATE)
		return put_update(w, s, e);
	put_description(w, s);
	return 0;
}

static void put_header(struct buf *out, const struct entry_spec *s)
{
	uint8_t h[ENTRY_HEADER_BYTES];
	h[0] = ENTRY_VERSION;
	h[1] = (uint8_t)s->op;
	h[2] = s->op == CHANGE_UPDATE && s->keep_image ? ENTRY_HAS_IMAGE : 0;
	h[3] = s->chain;
	put_le32(h + 4, entry_ns_hash(s->db, s->coll));
	put_le64(h + 8, s->prev);
	buf_add(out, h, sizeof(h));
}

int entry_encode(const struct entry_spec *s, struct buf *out, struct entry_place *at, struct err *e)
{
	size_t start = out->len;
	struct bson_writer w;
	at->header = start;
	put_header(out, s);
	at->doc = out->len;
	bson_writer_init(&w, out);
	int rc = put_fields(&w, s, out, at, e);
	if (rc == 0)
		rc = bson_finish(&w, e);
	at->end = out->len;
	if (rc == 0 && at->end - at->doc > ENTRY_MAX)
		rc = err_set(e, ERR_LIMIT, "the entry has %zu bytes; an entry may have %u",
			     at->end - at->doc, ENTRY_MAX);
	/* The event made of it must be a document like any other: nested no deeper. A level takes seven bytes. */
	if (rc == 0 && at->end - at->doc > BSON_DEPTH_MAX * 7)
		rc = bson_validate(slice_of(out->p + at->doc, at->end - at->doc), e);
	if (rc < 0 && !out->failed)
		out->len = start;
	return rc;
}

void entry_set_times(struct buf *out, const struct entry_place *at, uint64_t cluster_time,
		     int64_t wall_ms)
{
	put_le64(out->p + at->cluster_time, cluster_time);
	put_le64(out->p + at->wall_time, (uint64_t)wall_ms);
}
