/* wire.h: the key-value binary protocol as far as a DCP client speaks it: bytes to packets and back.
 *
 *	byte    0      1       2..3        4        5         6..7      8..11   12..15   16..23
 *	      magic  opcode  key length  extras  datatype  vb/status   body    opaque    cas
 *	body: [framing extras] extras key value         (all numbers big-endian)
 *
 * Magic 0x08 and 0x18 split bytes 2..3 into the length of the framing extras and a one-byte key length.
 * A packet is a view into the bytes it was parsed from; nothing here allocates but the encoders' buf.
 * Everything that comes from the peer is checked; the checks name the packet and the field.
 *
 * Thread: any; there is no state.
 */
#ifndef DCP_WIRE_H
#define DCP_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define PACKET_HEADER     24u
#define PACKET_BODY_MAX   (64u << 20) /* a document is at most 20 MiB; a cluster map far less */
#define WIRE_KEY_MAX      250u /* bytes of a document key with its collection prefix, plus 5 */
#define WIRE_NAME_MAX     200u /* of a connection */
#define WIRE_VBUCKETS_MAX 65536u

enum packet_magic {
	MAGIC_REQUEST = 0x80,
	MAGIC_RESPONSE = 0x81,
	MAGIC_SERVER_REQUEST = 0x82,
	MAGIC_CLIENT_RESPONSE = 0x83,
	MAGIC_ALT_REQUEST = 0x08,
	MAGIC_ALT_RESPONSE = 0x18,
};

enum packet_opcode {
	OP_GET = 0x00,
	OP_SET = 0x01,
	OP_ADD = 0x02,
	OP_NOOP = 0x0a,
	OP_STAT = 0x10,
	OP_HELLO = 0x1f,
	OP_SASL_LIST_MECHS = 0x20,
	OP_SASL_AUTH = 0x21,
	OP_SASL_STEP = 0x22,
	OP_GET_ALL_VB_SEQNOS = 0x48,
	OP_DCP_OPEN = 0x50,
	OP_DCP_CLOSE_STREAM = 0x52,
	OP_DCP_STREAM_REQ = 0x53,
	OP_DCP_GET_FAILOVER_LOG = 0x54,
	OP_DCP_STREAM_END = 0x55,
	OP_DCP_SNAPSHOT_MARKER = 0x56,
	OP_DCP_MUTATION = 0x57,
	OP_DCP_DELETION = 0x58,
	OP_DCP_EXPIRATION = 0x59,
	OP_DCP_NOOP = 0x5c,
	OP_DCP_BUFFER_ACK = 0x5d,
	OP_DCP_CONTROL = 0x5e,
	OP_DCP_SYSTEM_EVENT = 0x5f,
	OP_DCP_SEQNO_ADVANCED = 0x64,
	OP_DCP_OSO_SNAPSHOT = 0x65,
	OP_SELECT_BUCKET = 0x89,
	OP_OBSERVE_SEQNO = 0x91,
	OP_GET_CLUSTER_CONFIG = 0xb5,
	OP_COLLECTIONS_GET_MANIFEST = 0xba,
	OP_SUBDOC_GET = 0xc5,
	OP_SUBDOC_DICT_UPSERT = 0xc8,
	OP_SUBDOC_MULTI_LOOKUP = 0xd0,
	OP_SUBDOC_MULTI_MUTATION = 0xd1,
	OP_GET_ERROR_MAP = 0xfe,
};

/* Server requests (magic 0x82) have opcodes of their own. */
enum { SERVER_OP_CLUSTERMAP = 0x01 };

enum packet_status {
	STATUS_OK = 0x00,
	STATUS_KEY_ENOENT = 0x01,
	STATUS_KEY_EEXISTS = 0x02,
	STATUS_EINVAL = 0x04,
	STATUS_NOT_STORED = 0x05,
	STATUS_NOT_MY_VBUCKET = 0x07,
	STATUS_NO_BUCKET = 0x08,
	STATUS_WOULD_THROTTLE = 0x0c,
	STATUS_CONFIG_ONLY = 0x0d,
	STATUS_AUTH_STALE = 0x1f,
	STATUS_AUTH_ERROR = 0x20,
	STATUS_AUTH_CONTINUE = 0x21,
	STATUS_ERANGE = 0x22,
	STATUS_ROLLBACK = 0x23,
	STATUS_EACCESS = 0x24,
	STATUS_UNKNOWN_COMMAND = 0x81,
	STATUS_ENOMEM = 0x82,
	STATUS_NOT_SUPPORTED = 0x83,
	STATUS_EBUSY = 0x85,
	STATUS_ETMPFAIL = 0x86,
	STATUS_UNKNOWN_COLLECTION = 0x88,
	STATUS_UNKNOWN_SCOPE = 0x8c,
	STATUS_STREAMID_INVALID = 0x8d,
	STATUS_SUBDOC_PATH_ENOENT = 0xc0,
	STATUS_SUBDOC_MULTI_FAILURE = 0xcc,
};
const char *status_name(
	uint16_t
		status); /* "not_my_vbucket"; "status 0x.." is the caller's to print: NULL if unknown */

enum {
	DATATYPE_JSON = 0x01,
	DATATYPE_SNAPPY = 0x02,
	DATATYPE_XATTR = 0x04,
};

enum hello_feature {
	HELLO_MUTATION_SEQNO = 0x04,
	HELLO_XATTR = 0x06,
	HELLO_XERROR = 0x07,
	HELLO_SELECT_BUCKET = 0x08,
	HELLO_SNAPPY = 0x0a,
	HELLO_JSON = 0x0b,
	HELLO_DUPLEX = 0x0c,
	HELLO_CLUSTERMAP_PUSH = 0x0d,
	HELLO_ALT_REQUEST = 0x10,
	HELLO_COLLECTIONS = 0x12,
	HELLO_SNAPPY_EVERYWHERE = 0x13,
	HELLO_CONFIG_KNOWN_VERSION = 0x1d,
	HELLO_DEDUPE_NMVB_MAP = 0x1e,
	HELLO_CLUSTERMAP_PUSH_BRIEF = 0x1f,
	HELLO_SKIP_DELETES = 0x26,
};

enum dcp_open_flag {
	DCP_OPEN_PRODUCER = 0x01,
	DCP_OPEN_XATTRS = 0x04,
	DCP_OPEN_NO_VALUE = 0x08,
	DCP_OPEN_DELETE_TIMES = 0x20,
	DCP_OPEN_NO_VALUE_DATATYPE = 0x40,
	DCP_OPEN_SKIP_DELETES = 0x200, /* of the first backfill; needs its HELLO feature */
};

enum stream_flag {
	STREAM_ACTIVE_ONLY = 0x10,
	STREAM_IGNORE_PURGED = 0x80,
};

enum stream_end_reason {
	STREAM_END_OK = 0,
	STREAM_END_CLOSED = 1,
	STREAM_END_STATE_CHANGED = 2,
	STREAM_END_DISCONNECTED = 3,
	STREAM_END_TOO_SLOW = 4,
	STREAM_END_BACKFILL_FAILED = 5,
	STREAM_END_ROLLBACK = 6,
	STREAM_END_FILTER_EMPTY = 7,
	STREAM_END_LOST_PRIVILEGES = 8,
};
const char *stream_end_name(uint32_t reason); /* "state changed"; "unknown reason" */

enum snapshot_flag {
	SNAPSHOT_MEMORY = 0x01,
	SNAPSHOT_DISK = 0x02,
	SNAPSHOT_CHECKPOINT = 0x04,
	SNAPSHOT_HISTORY = 0x10,
	SNAPSHOT_DUPLICATES = 0x20,
};

/* ---- packets ---- */

struct packet {
	uint8_t magic, opcode, datatype;
	uint16_t vb_status; /* vbucket of a request, status of a response */
	uint32_t opaque;
	uint64_t cas;
	struct slice framing, extras, key, value;
	size_t len; /* of the whole packet; set by packet_parse */
	const uint8_t *start;
};

static inline bool packet_is_response(const struct packet *p)
{
	return p->magic == MAGIC_RESPONSE || p->magic == MAGIC_ALT_RESPONSE ||
	       p->magic == MAGIC_CLIENT_RESPONSE;
}

/* Looks at the packet at the start of bytes. 1: *out is a view of it; 0: more bytes are needed (*need gets
 * how many there must be in all, as far as known); ERR_PROTOCOL, ERR_LIMIT (body over body_max). */
int packet_parse(struct slice bytes, size_t body_max, struct packet *out, size_t *need,
		 struct err *e);

/* Appends the packet; one with framing extras gets the alternative magic. */
void packet_encode(struct buf *out, const struct packet *p);

enum { FRAMING_STREAM_ID = 2 };

/* Takes the next framing extra off the front. 1, 0 at the end, ERR_PROTOCOL. */
int framing_next(struct slice *rest, uint32_t *id, struct slice *data, struct err *e);
void framing_put(struct buf *out, uint32_t id, struct slice data);
/* The stream id of a packet, 0 when it has none. */
int framing_stream_id(struct slice framing, uint16_t *sid, struct err *e);

/* ---- unsigned LEB128 of 32 bits, canonical, at most 5 bytes ---- */

size_t leb128_put(uint32_t v, uint8_t out[5]);
size_t leb128_get(struct slice s,
		  uint32_t *v); /* bytes used; 0: unterminated, too long or too big */

/* ---- what stream messages say ---- */

struct wire_doc { /* mutation, deletion, expiration */
	uint64_t seqno, rev, cas;
	uint32_t flags, expiry, lock_time; /* mutation */
	uint32_t delete_time;              /* deletion v2, expiration: unix seconds */
	uint32_t collection;               /* 0 without collections */
	uint8_t datatype;
	struct slice key, value; /* key without its collection; value as sent */
};
int wire_doc_parse(const struct packet *p, bool collections, struct wire_doc *out, struct err *e);

struct wire_marker {
	uint64_t start, end;
	uint32_t flags;
	uint64_t max_visible, high_completed, purge_seqno,
		high_prepared; /* 0 where the version lacks it */
	bool has_purge;
};
int wire_marker_parse(const struct packet *p, struct wire_marker *out, struct err *e);
int wire_seqno_advanced_parse(const struct packet *p, uint64_t *seqno, struct err *e);
int wire_oso_parse(const struct packet *p, bool *start, struct err *e);
int wire_stream_end_parse(const struct packet *p, uint32_t *reason, struct err *e);
int wire_rollback_parse(const struct packet *p, uint64_t *seqno, struct err *e);

/* GET_ALL_VB_SEQNOS: 10 bytes each. ERR_PROTOCOL when the value is no multiple. */
int wire_seqnos_count(const struct packet *p, size_t *n, struct err *e);
void wire_seqnos_at(const struct packet *p, size_t i, uint16_t *vb, uint64_t *seqno);

/* ---- values ---- */

/* Undoes snappy into out (appended); at most `limit` bytes. */
int wire_inflate(struct slice packed, size_t limit, struct buf *out, struct err *e);
/* How many bytes wire_inflate would make; ERR_FORMAT, ERR_LIMIT. */
int wire_inflated_size(struct slice packed, size_t limit, size_t *size, struct err *e);
int wire_inflate_into(struct slice packed, uint8_t *out, size_t size, struct err *e);

/* Cuts an (inflated) value with DATATYPE_XATTR into its attributes and its body. */
int wire_split_xattrs(struct slice value, struct slice *xattrs, struct slice *body, struct err *e);
/* The next attribute of what wire_split_xattrs gave. 1, 0 at the end, ERR_FORMAT. */
int wire_xattr_next(struct slice *rest, struct slice *name, struct slice *value, struct err *e);

/* CRC-32 (IEEE) of the key without its collection prefix. */
uint16_t wire_vbucket_of(struct slice key, uint32_t n_vbuckets);

/* ---- requests ---- */

void wire_hello(struct buf *out, uint32_t opaque, struct slice agent_json, const uint16_t *features,
		size_t n);
void wire_simple(struct buf *out, uint8_t opcode, uint32_t opaque, struct slice key,
		 struct slice value);
void wire_dcp_open(struct buf *out, uint32_t opaque, struct slice name, uint32_t flags);
void wire_dcp_control(struct buf *out, uint32_t opaque, const char *key, const char *value);

struct wire_stream_req {
	uint32_t flags;
	uint64_t start, end, uuid, snap_start, snap_end;
	struct slice json; /* an object that says what to stream; may be empty */
	uint16_t sid;      /* stream id; 0: none */
	bool knows_purge;  /* the client has seen what the server had when it had purged up to: */
	uint64_t purge_seqno;
};
void wire_stream_req(struct buf *out, uint16_t vb, uint32_t opaque,
		     const struct wire_stream_req *r);
void wire_close_stream(struct buf *out, uint16_t vb, uint32_t opaque, uint16_t sid);
void wire_get_failover_log(struct buf *out, uint16_t vb, uint32_t opaque);
void wire_buffer_ack(struct buf *out, uint32_t bytes);
void wire_noop_response(struct buf *out, const struct packet *noop);
void wire_observe_seqno(struct buf *out, uint16_t vb, uint32_t opaque, uint64_t uuid);
/* state 0: no extras; collection only when has_collection */
void wire_get_all_vb_seqnos(struct buf *out, uint32_t opaque, uint32_t state, bool has_collection,
			    uint32_t collection);
void wire_get_cluster_config(struct buf *out, uint32_t opaque, bool known, int64_t epoch,
			     int64_t rev);
void wire_get_error_map(struct buf *out, uint32_t opaque);

enum { SUBDOC_MKDOC = 0x01, SUBDOC_ADD = 0x02 };

/* The checkpoint's two requests: one extended attribute of a document, read and upserted. */
void wire_xattr_get(struct buf *out, uint16_t vb, uint32_t opaque, struct slice key,
		    struct slice attr);
void wire_xattr_upsert(struct buf *out, uint16_t vb, uint32_t opaque, struct slice key,
		       struct slice attr, struct slice json, uint64_t cas, uint8_t doc_flags);
/* One field of a document that is there; its parent must be, too. */
void wire_field_upsert(struct buf *out, uint16_t vb, uint32_t opaque, struct slice key,
		       struct slice path, struct slice json);
/* Reply of wire_xattr_get: 1 found, 0 no document or no such attribute, negative error. */
int wire_xattr_get_parse(const struct packet *p, struct slice *json, struct err *e);

#endif
