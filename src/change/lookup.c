/* lookup.c: two readers on the oplog's topic: `tail` feeds the index, `seek` reads single entries.
 *
 *	 log  ───────────────────────────────▶ tail ──▶ latest (hash → offset)
 *	      ◀── seek: is the entry at this offset the document? its image? the one before?
 *
 * An image:
 *
 *	insert  ◀──prev── update ◀──prev── update          whole image, then differences applied in order;
 *	{whole}           {diff}           {diff}          at most ENTRY_CHAIN_MAX steps back, or to an image kept
 */
#include "change/lookup.h"

#include <inttypes.h>

#include "base/mem.h"
#include "change/latest.h"
#include "doc/compare.h"
#include "doc/diff.h"
#include "os/thread.h"

#define TAIL_BUFFER_BYTES (256u << 10)
#define SEEK_BUFFER_BYTES (32u << 10)

struct lookup {
	struct mutex lock; /* guards everything below */
	struct log_topic *topic;
	struct log_reader *tail, *seek; /* opened at the first use */
	struct latest latest;
	uint64_t seed[2];        /* of hashes of _id */
	struct buf image, after; /* scratch of chains: the image so far, and the next one */
	struct buf updates;      /* the differences on the way back */
	struct kept *kept;       /* LOOKUP_CACHE_SLOTS, made at the first need */
	size_t kept_bytes, hand; /* of their images; where making room goes on */
};

/* An image made lately. */
struct kept {
	uint64_t offset; /* of the entry that left it */
	bool used;
	uint8_t chain;
	struct buf image;
};

int lookup_new(struct log_topic *topic, struct env *env, const char *const *patterns,
	       size_t bytes_max, struct lookup **out, struct err *e)
{
	uint64_t seed[2];
	int rc = env_random(env, seed, sizeof(seed), e);
	if (rc < 0)
		return rc;
	struct lookup *l = mem_try(sizeof(*l));
	if (!l)
		return err_nomem(e);
	l->topic = topic;
	memcpy(l->seed, seed, sizeof(seed));
	mutex_init(&l->lock);
	latest_init(&l->latest, patterns, bytes_max);
	*out = l;
	return 0;
}

void lookup_free(struct lookup *l)
{
	if (!l)
		return;
	log_reader_close(l->tail);
	log_reader_close(l->seek);
	latest_done(&l->latest);
	buf_done(&l->image);
	buf_done(&l->after);
	buf_done(&l->updates);
	for (size_t i = 0; l->kept && i < LOOKUP_CACHE_SLOTS; i++)
		buf_done(&l->kept[i].image);
	mem_free(l->kept);
	mutex_done(&l->lock);
	mem_free(l);
}

/* ---- single entries ---- */

/* The entry at offset, borrowed until the next read. ERR_HISTORY_LOST, ERR_NOTFOUND beyond the end. */
static int read_at(struct lookup *l, uint64_t offset, struct entry *n, struct log_record *rec,
		   struct err *e)
{
	if (!l->seek) {
		const struct log_reader_options o = { .buffer_bytes = SEEK_BUFFER_BYTES };
		int rc = log_reader_open(l->topic, 0, offset, &o, &l->seek, e);
		if (rc < 0)
			return rc;
	}
	log_reader_seek(l->seek, offset);
	int rc = log_reader_next(l->seek, rec, e);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(e, ERR_NOTFOUND, "there is no entry %" PRIu64, offset);
	ASSERT(rec->offset == offset);
	return entry_open(n, rec, e);
}

/* ---- images ---- */

static struct kept *kept_at(struct lookup *l, uint64_t offset)
{
	return l->kept ? &l->kept[offset % LOOKUP_CACHE_SLOTS] : NULL;
}

static void forget(struct lookup *l, struct kept *k)
{
	l->kept_bytes -= k->image.cap;
	buf_done(&k->image);
	k->used = false;
}

/* Keeping is a favour: without memory it is left undone. */
static void keep(struct lookup *l, uint64_t offset, uint8_t chain, struct slice image)
{
	if (image.len > LOOKUP_CACHE_IMAGE)
		return;
	if (!l->kept)
		l->kept = mem_try_array(LOOKUP_CACHE_SLOTS, sizeof(*l->kept));
	struct kept *k = kept_at(l, offset);
	if (!k)
		return;
	if (k->image.cap > image.len * 2 + 256)
		forget(l, k);
	while (l->kept_bytes + image.len > LOOKUP_CACHE_BYTES)
		forget(l, &l->kept[l->hand++ % LOOKUP_CACHE_SLOTS]);
	l->kept_bytes -= k->image.cap;
	buf_reset(&k->image);
	buf_add_slice(&k->image, image);
	l->kept_bytes += k->image.cap;
	k->used = !k->image.failed;
	k->offset = offset;
	k->chain = chain;
}

void lookup_remember(struct lookup *l, uint64_t offset, uint8_t chain, struct slice image)
{
	mutex_lock(&l->lock);
	keep(l, offset, chain, image);
	mutex_unlock(&l->lock);
}

static int no_image(struct err *e, uint64_t offset, const char *why)
{
	return err_number(e, ERR_NO_IMAGE, 47,
			  "the document as entry %" PRIu64 " left it cannot be built: %s", offset,
			  why);
}

/* Puts a whole image into l->image; *chain: the updates it is away from one in the log. */
static int take_base(struct lookup *l, struct slice image, uint8_t base_chain, uint8_t *chain,
		     struct err *e)
{
	buf_reset(&l->image);
	buf_add_slice(&l->image, image);
	*chain = base_chain;
	return buf_check(&l->image, e);
}

static int note_update(struct lookup *l, const struct entry *n, struct err *e)
{
	struct value v = bson_get_str(n->doc, entry_field_names[ENTRY_UPDATE_DESCRIPTION]);
	if (v.type != BSON_DOCUMENT)
		return err_set(e, ERR_CORRUPT, "update entry %" PRIu64 " has no updateDescription",
			       n->offset);
	buf_add_slice(&l->updates, value_slice(v));
	return buf_check(&l->updates, e);
}

/* Walks back from the entry at `start` to a whole image, noting the differences on the way: at[i] is where the i-th one
 * begins in l->updates, at[*count] where they end. */
static int walk_back(struct lookup *l, uint64_t start, size_t at[ENTRY_CHAIN_MAX + 2],
		     size_t *count, uint8_t *chain, struct err *e)
{
	uint64_t offset = start;
	buf_reset(&l->updates);
	for (size_t n = 0;; n++) {
		struct entry entry;
		struct log_record rec;
		const struct kept *k = kept_at(l, offset);
		at[n] = l->updates.len;
		*count = n;
		if (k && k->used && k->offset == offset)
			return take_base(l, buf_slice(&k->image), k->chain, chain, e);
		int rc = read_at(l, offset, &entry, &rec, e);
		if (rc == ERR_HISTORY_LOST)
			return no_image(e, start, "an entry before it was trimmed away");
		if (rc < 0)
			return rc;
		struct slice image = entry_image(&entry);
		if (image.len)
			return take_base(l, image, 0, chain, e);
		if (entry.op != CHANGE_UPDATE || entry.prev == ENTRY_PREV_NONE ||
		    entry.prev >= offset)
			return no_image(e, start, "the log holds no whole image before it");
		if (n == ENTRY_CHAIN_MAX)
			return err_set(e, ERR_CORRUPT,
				       "entry %" PRIu64 ": more than %d updates without an image",
				       start, ENTRY_CHAIN_MAX);
		rc = note_update(l, &entry, e);
		if (rc < 0)
			return rc;
		offset = entry.prev;
	}
}

static int apply_update(struct lookup *l, uint64_t offset, struct slice update, struct err *e)
{
	buf_reset(&l->after);
	int rc = diff_apply(buf_slice(&l->image), update, &l->after, e);
	if (rc < 0)
		return err_in(e, rc, "building the document as entry %" PRIu64 " left it", offset);
	struct buf swap = l->image;
	l->image = l->after;
	l->after = swap;
	return 0;
}

/* Leaves the image in l->image. */
static int build_image(struct lookup *l, uint64_t offset, uint8_t *chain, struct err *e)
{
	size_t at[ENTRY_CHAIN_MAX + 2], n = 0;
	int rc = walk_back(l, offset, at, &n, chain, e);
	if (rc < 0)
		return rc;
	*chain = (uint8_t)(*chain + n);
	for (size_t i = n; i-- > 0;) {
		rc = apply_update(l, offset, slice_of(l->updates.p + at[i], at[i + 1] - at[i]), e);
		if (rc < 0)
			return rc;
	}
	if (n)
		keep(l, offset, *chain, buf_slice(&l->image));
	return 0;
}

int lookup_image(struct lookup *l, uint64_t offset, struct buf *image, struct err *e)
{
	uint8_t chain;
	mutex_lock(&l->lock);
	int rc = build_image(l, offset, &chain, e);
	if (rc == 0) {
		buf_add_slice(image, buf_slice(&l->image));
		rc = buf_check(image, e);
	}
	mutex_unlock(&l->lock);
	return rc;
}

int lookup_mark(struct lookup *l, uint64_t offset, struct entry_mark *out, struct err *e)
{
	struct entry entry;
	struct log_record rec;
	mutex_lock(&l->lock);
	int rc = read_at(l, offset, &entry, &rec, e);
	if (rc == 0)
		*out = (struct entry_mark){
			.cluster_time = entry_cluster_time(&entry),
			.check = entry_check(&entry),
			.wall_ms = entry_wall_ms(&entry),
			.log_ms = rec.time_ms,
		};
	mutex_unlock(&l->lock);
	return rc;
}

/* ---- the index ---- */

static struct latest_hash hash_of(const struct lookup *l, struct value id)
{
	return (struct latest_hash){ value_hash(id, l->seed[0]), value_hash(id, l->seed[1]) };
}

static int note_document(struct lookup *l, const struct entry *n, struct slice db,
			 struct slice coll, struct err *e)
{
	uint32_t number;
	int rc = latest_coll(&l->latest, db, coll, n->op != CHANGE_DELETE, &number, e);
	if (rc < 0 || number == LATEST_NONE)
		return rc;
	struct latest_hash hash = hash_of(l, entry_key_id(n));
	struct latest_slot *s = latest_get(&l->latest, number, hash);
	if (n->op == CHANGE_DELETE) {
		if (s)
			latest_remove(&l->latest, s);
		return 0;
	}
	if (!s)
		return latest_add(&l->latest, number, hash, n->offset, e);
	latest_move(s, n->offset);
	return 0;
}

static int note(struct lookup *l, const struct entry *n, struct err *e)
{
	struct slice db, coll;
	entry_ns(n, &db, &coll);
	switch (n->op) {
	case CHANGE_INSERT:
	case CHANGE_UPDATE:
	case CHANGE_REPLACE:
	case CHANGE_DELETE: return note_document(l, n, db, coll, e);
	case CHANGE_DROP: latest_drop(&l->latest, db, coll); return 0;
	case CHANGE_DROP_DATABASE: latest_drop_database(&l->latest, db); return 0;
	case CHANGE_RENAME: {
		struct value to = bson_get_str(n->doc, entry_field_names[ENTRY_TO]);
		if (to.type != BSON_DOCUMENT)
			return err_set(e, ERR_CORRUPT, "rename entry %" PRIu64 " has no target",
				       n->offset);
		struct value to_db = bson_get_str(value_slice(to), "db");
		struct value to_coll = bson_get_str(value_slice(to), "coll");
		if (to_db.type != BSON_STRING || to_coll.type != BSON_STRING)
			return err_set(e, ERR_CORRUPT, "rename entry %" PRIu64 " has no target",
				       n->offset);
		return latest_rename(&l->latest, db, coll, value_slice(to_db), value_slice(to_coll),
				     e);
	}
	case CHANGE_CREATE:
	case CHANGE_CREATE_INDEXES:
	case CHANGE_DROP_INDEXES:
	case CHANGE_NOOP: break;
	}
	return 0;
}

static int open_tail(struct lookup *l, struct err *e)
{
	const struct log_reader_options o = { .buffer_bytes = TAIL_BUFFER_BYTES };
	return log_reader_open(l->topic, 0, log_topic_range(l->topic, 0, false).oldest, &o,
			       &l->tail, e);
}

/* Reads what was appended since the last time; at least up to `upto`. */
static int catch_up(struct lookup *l, uint64_t upto, struct err *e)
{
	struct err why = ERR_INIT;
	int rc = l->tail ? 0 : open_tail(l, e);
	while (rc == 0) {
		if (l->latest.full)
			return 0;
		uint64_t position = log_reader_position(l->tail);
		struct log_record rec;
		struct entry n;
		rc = log_reader_next(l->tail, &rec, &why);
		if (rc == 0) {
			if (position >= upto)
				return 0;
			/* Appended without waiting, and not yet where readers see it. */
			rc = log_flush(l->topic, 0, upto, e);
			continue;
		}
		if (rc == ERR_HISTORY_LOST && why.oldest > position) {
			log_reader_seek(l->tail, why.oldest);
			rc = 0;
			continue;
		}
		if (rc > 0) {
			rc = entry_open(&n, &rec, &why);
			if (rc == 0)
				rc = note(l, &n, &why);
		}
		if (rc < 0) {
			/* The entry is looked at again next time. */
			log_reader_seek(l->tail, position);
			if (e)
				*e = why;
		}
	}
	return rc < 0 ? err_in(e, rc, "looking up a document") : 0;
}

static int find_latest(struct lookup *l, struct slice db, struct slice coll, struct value id,
		       uint64_t upto, struct buf *image, struct lookup_found *found, struct err *e)
{
	if (!latest_chosen(l->latest.patterns, db, coll))
		return err_set(e, ERR_INVALID,
			       "documents of %.*s.%.*s are not looked up: the option `latest` "
			       "leaves it out",
			       SLICE_ARG(db), SLICE_ARG(coll));
	int rc = catch_up(l, upto, e);
	if (rc < 0)
		return rc;
	if (l->latest.full)
		return err_set(
			e, ERR_LIMIT,
			"the index of latest documents would need more than %zu bytes: raise "
			"latest_bytes_max or choose fewer collections",
			l->latest.bytes_max);
	uint32_t number;
	rc = latest_coll(&l->latest, db, coll, false, &number, e);
	if (rc < 0 || number == LATEST_NONE)
		return rc;
	const struct latest_slot *s = latest_get(&l->latest, number, hash_of(l, id));
	if (!s)
		return 0;
	uint64_t offset = latest_offset(s);
	uint8_t chain;
	rc = build_image(l, offset, &chain, e);
	if (rc < 0)
		return rc;
	if (!value_equal(bson_get_str(buf_slice(&l->image), "_id"), id))
		return 0;
	buf_add_slice(image, buf_slice(&l->image));
	if (found)
		*found = (struct lookup_found){ .offset = offset, .chain = chain };
	rc = buf_check(image, e);
	return rc < 0 ? rc : 1;
}

int lookup_latest(struct lookup *l, struct slice db, struct slice coll, struct value id,
		  uint64_t upto, struct buf *image, struct lookup_found *found, struct err *e)
{
	mutex_lock(&l->lock);
	int rc = find_latest(l, db, coll, id, upto, image, found, e);
	mutex_unlock(&l->lock);
	return rc;
}

void lookup_stat(struct lookup *l, uint64_t *documents, uint64_t *bytes)
{
	mutex_lock(&l->lock);
	*documents = l->latest.used;
	*bytes = latest_bytes(&l->latest) + l->kept_bytes;
	mutex_unlock(&l->lock);
}
