/* entry.h: one entry of the oplog: a change as it lies in the log.
 *
 * The record's headers are sixteen bytes that say enough to pass an entry over without looking at its document; the
 * record's value is a BSON document, the change event but for its _id, plus what only weir reads, last:
 *
 *	{ operationType, clusterTime, wallTime, ns, [nsType], [to], [documentKey],
 *	  [fullDocument | updateDescription | operationDescription], [weir: { image }] }
 *
 * So an event is its token, then the bytes up to `weir`; and a filter reads the entry as it would read the event.
 * docs/formats/oplog.md has the bytes.
 *
 * Chains. An update entry knows its document's previous entry (`prev`) and how many updates lie between it and the
 * last whole image (`chain`); where that would be more than ENTRY_CHAIN_MAX, or where the previous entry is not known,
 * the entry carries the image after the update. Every image can thus be built from the log alone (lookup.c).
 */
#ifndef CHANGE_ENTRY_H
#define CHANGE_ENTRY_H

#include "doc/bson.h"
#include "log/log.h"

#define ENTRY_VERSION      1
#define ENTRY_HEADER_BYTES 16
#define ENTRY_CHAIN_MAX    16
#define ENTRY_PREV_NONE    UINT64_MAX
#define ENTRY_MAX          (48u << 20) /* bytes of one entry */

enum change_op {
	CHANGE_INSERT = 1,
	CHANGE_UPDATE,
	CHANGE_REPLACE,
	CHANGE_DELETE,
	CHANGE_CREATE,
	CHANGE_DROP,
	CHANGE_RENAME,
	CHANGE_DROP_DATABASE,
	CHANGE_CREATE_INDEXES,
	CHANGE_DROP_INDEXES,
	CHANGE_NOOP,
};

const char *change_op_name(enum change_op op); /* operationType */

/* The other names of an operation, as older programs know it: createCollection, dropIndex, ... The operationType
 * it stands for, or the name itself. */
struct slice change_op_alias(struct slice name);

/* The fields of an event, as virtual roots of a filter; the last four are short names of ns.db and ns.coll. */
enum entry_field {
	ENTRY_ID,
	ENTRY_OPERATION_TYPE,
	ENTRY_CLUSTER_TIME,
	ENTRY_WALL_TIME,
	ENTRY_NS,
	ENTRY_NS_TYPE,
	ENTRY_TO,
	ENTRY_DOCUMENT_KEY,
	ENTRY_FULL_DOCUMENT,
	ENTRY_FULL_DOCUMENT_BEFORE,
	ENTRY_UPDATE_DESCRIPTION,
	ENTRY_OPERATION_DESCRIPTION,
	ENTRY_COLLECTION_UUID,
	ENTRY_LSID,
	ENTRY_TXN_NUMBER,
	ENTRY_STORED, /* how many stand in the entry (or are foreseen to) */
	ENTRY_DB = ENTRY_STORED,
	ENTRY_DATABASE,
	ENTRY_COLL,
	ENTRY_COLLECTION,
	ENTRY_FIELDS,
};

extern const char *const entry_field_names[ENTRY_FIELDS + 1]; /* NULL at the end */

enum { ENTRY_HAS_IMAGE = 1 }; /* flags */

struct entry {
	uint64_t offset;
	enum change_op op;
	uint8_t flags, chain;
	uint32_t ns_hash;
	uint64_t prev;    /* offset of the document's previous entry, or ENTRY_PREV_NONE */
	struct slice doc; /* the record's value */
};

uint32_t entry_ns_hash(struct slice db, struct slice coll);

/* Reads the header. ERR_VERSION: a newer format; ERR_CORRUPT: no entry. The entry borrows the record's bytes. */
int entry_open(struct entry *n, const struct log_record *rec, struct err *e);

/* Fills v[0 .. ENTRY_FIELDS) (missing where there is none; ENTRY_ID stays missing) and returns how many bytes of
 * n->doc, from the start, belong to the event. */
size_t entry_fields(const struct entry *n, struct value v[ENTRY_FIELDS]);

/* A checksum of the document, for tokens. */
uint32_t entry_check(const struct entry *n);

/* Single ones, for who needs no more. */
uint64_t entry_cluster_time(const struct entry *n);
int64_t entry_wall_ms(const struct entry *n);
void entry_ns(const struct entry *n, struct slice *db,
	      struct slice *coll);                /* empty where there is none */
struct value entry_key_id(const struct entry *n); /* documentKey._id */
/* The whole image that the entry holds: fullDocument of an insert or replace, the image of an update; empty: none. */
struct slice entry_image(const struct entry *n);

/* ---- writing ---- */

struct entry_spec {
	enum change_op op;
	struct slice db, coll;
	struct slice to_db, to_coll;
	struct slice key;           /* document with the _id; empty: made from full's _id */
	struct slice full;          /* insert, replace */
	struct slice before, after; /* update */
	struct slice description;   /* operationDescription; for indexes the definition of one */
	bool keep_image;            /* update: put `after` beside the difference */
	uint8_t chain;
	uint64_t prev;
};

/* Where the pieces went in the buffer. */
struct entry_place {
	size_t header, doc, end; /* header bytes, then the document up to end */
	size_t cluster_time, wall_time;
};

/* Appends header and document, with times zero. ERR_LIMIT, ERR_NOMEM. */
int entry_encode(const struct entry_spec *s, struct buf *out, struct entry_place *at,
		 struct err *e);
void entry_set_times(struct buf *out, const struct entry_place *at, uint64_t cluster_time,
		     int64_t wall_ms);

#endif
