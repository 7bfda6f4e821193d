#include "log/segment.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */

int segment_path(const struct place *pl, uint64_t base, const char *suffix, char out[PATH_BYTES],
		 struct err *e)
{
	char name[40];
	snprintf(name, sizeof(name), "%020" PRIu64 ".%s", base, suffix);
	return path_join(out, pl->dir, name, e);
}

bool segment_name_parse(const char *name, const char *suffix, uint64_t *base)
{
	uint64_t v = 0;
	for (int i = 0; i < 20; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(name[i] - '0'), &v))
			return false;
	}
	if (name[20] != '.' || strcmp(name + 21, suffix) != 0)
		return false;
	*base = v;
	return true;
}

struct listing {
	const char *suffix;
	struct buf bases;
};

static int list_one(void *arg, const char *name)
{
	struct listing *l = arg;
	uint64_t base;
	if (segment_name_parse(name, l->suffix, &base))
		buf_add(&l->bases, &base, sizeof(base));
	return 0;
}

static int compare_base(const void *a, const void *b)
{
	uint64_t x = get_le64(a), y = get_le64(b);
	return x < y ? -1 : x > y;
}

int segment_list(const struct place *pl, const char *suffix, uint64_t **out, size_t *n,
		 struct err *e)
{
	struct listing l = { .suffix = suffix, .bases = BUF_INIT };
	int rc = env_list(pl->env, pl->dir, list_one, &l, e);
	if (rc == 0)
		rc = buf_check(&l.bases, e);
	if (rc) {
		buf_done(&l.bases);
		return rc;
	}
	*n = l.bases.len / sizeof(uint64_t);
	*out = (uint64_t *)(void *)l.bases.p;
	if (*n)
		qsort(*out, *n, sizeof(uint64_t), compare_base);
	return 0;
}

/* ---- opening ---- */

static bool is_ours(const struct place *pl, uint64_t base, const struct segment_header *h)
{
	return memcmp(h->log_id, pl->log_id, 16) == 0 &&
	       memcmp(h->topic_id, pl->topic_id, 16) == 0 && h->partition == pl->partition &&
	       h->base_offset == base;
}

static int index_header(const struct place *pl, uint64_t base, struct segment_header *out)
{
	char path[PATH_BYTES];
	struct file *f;
	uint8_t block[HEADER_BLOCK_BYTES];
	size_t got;
	if (segment_path(pl, base, "idx", path, NULL) ||
	    env_open(pl->env, path, FILE_READ, &f, NULL))
		return 0;
	int rc = file_read(f, 0, block, sizeof(block), &got, NULL);
	file_close(f);
	if (rc || got < sizeof(block))
		return 0;
	return header_decode(block, HEADER_INDEX, out) == 1;
}

static int find_header(const struct place *pl, uint64_t base, struct file *f, const char *path,
		       struct segment_header *header, int *copies_valid, struct err *e)
{
	uint8_t blocks[SEGMENT_HEADER_BYTES];
	size_t got;
	int rc = file_read(f, 0, blocks, sizeof(blocks), &got, e);
	if (rc)
		return rc;
	int valid = 0;
	bool newer = false;
	for (int i = 0; i < 2; i++) {
		if (got < (size_t)i * SEGMENT_COPY_BYTES + HEADER_BLOCK_BYTES)
			break;
		struct segment_header h;
		int ok = header_decode(blocks + i * SEGMENT_COPY_BYTES, HEADER_SEGMENT, &h);
		newer |= ok == ERR_VERSION;
		if (ok == 1 && valid++ == 0)
			*header = h;
	}
	if (copies_valid)
		*copies_valid = valid;
	if (!valid && newer)
		return err_set(e, ERR_VERSION, "%s was written by a newer weir", path);
	if (!valid && !index_header(pl, base, header))
		return err_set(e, ERR_CORRUPT, "%s: both headers are damaged (bytes 0 to %u)", path,
			       SEGMENT_HEADER_BYTES);
	if (!is_ours(pl, base, header))
		return err_set(e, ERR_CORRUPT,
			       "%s belongs to another log or partition or has been renamed", path);
	return 0;
}

int segment_open(const struct place *pl, uint64_t base, struct file **out,
		 struct segment_header *header, int *copies_valid, struct err *e)
{
	char path[PATH_BYTES];
	int rc = segment_path(pl, base, "seg", path, e);
	if (rc)
		return rc;
	struct file_stat st;
	rc = env_stat(pl->env, path, &st, e);
	if (rc)
		return rc;
	if (!st.is_regular)
		return err_set(e, ERR_CORRUPT, "%s is not a regular file", path);
	struct file *f;
	rc = env_open(pl->env, path, FILE_READ, &f, e);
	if (rc)
		return rc;
	rc = find_header(pl, base, f, path, header, copies_valid, e);
	if (rc) {
		file_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

/* ---- the index ---- */

static struct index_entry first_entry(const struct segment_header *h)
{
	return (struct index_entry){
		.byte = SEGMENT_HEADER_BYTES,
		.offset = h->base_offset,
		.max_time_ms = INT64_MIN,
		.durable = h->durable,
	};
}

/* Opens the index for reading; NULL when it is missing or not this segment's. */
static struct file *index_open(const struct place *pl, const struct segment_header *h,
			       uint64_t *entries)
{
	char path[PATH_BYTES];
	struct file *f;
	if (segment_path(pl, h->base_offset, "idx", path, NULL) ||
	    env_open(pl->env, path, FILE_READ, &f, NULL))
		return NULL;
	uint8_t block[HEADER_BLOCK_BYTES];
	struct segment_header x;
	uint64_t size;
	size_t got;
	if (file_read(f, 0, block, sizeof(block), &got, NULL) || got < sizeof(block) ||
	    header_decode(block, HEADER_INDEX, &x) != 1 || x.epoch != h->epoch ||
	    file_size(f, &size, NULL)) {
		file_close(f);
		return NULL;
	}
	*entries = (size - HEADER_BLOCK_BYTES) / INDEX_ENTRY_BYTES;
	return f;
}

static bool entry_plausible(const struct segment_header *h, const struct index_entry *x)
{
	return x->byte >= SEGMENT_HEADER_BYTES && x->byte % 8 == 0 && x->offset >= h->base_offset;
}

/* True when the batch that the entry names, or the end of the data, stands where it says. */
static int entry_verified(struct window *w, uint32_t seed, const struct index_entry *x,
			  struct err *e)
{
	struct batch b;
	const uint8_t *body;
	int rc = batch_at(w, seed, x->byte, UINT64_MAX, false, &b, &body, e);
	if (rc < 0)
		return rc;
	if (rc == BATCH_WHOLE)
		return b.base_offset == x->offset;
	return rc == BATCH_NONE;
}

/* Binary search by `before`, which is true for a prefix of the entries; an unreadable entry counts as behind it. */
static int index_seek(const struct place *pl, const struct segment_header *h, struct window *w,
		      bool (*before)(const struct index_entry *x, int64_t key), int64_t key,
		      struct index_entry *out, struct err *e)
{
	*out = first_entry(h);
	uint64_t n;
	struct file *f = index_open(pl, h, &n);
	if (!f)
		return 0;
	struct index_entry best = *out;
	uint64_t lo = 0, hi = n;
	uint32_t seed = header_seed(h);
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		uint8_t bytes[INDEX_ENTRY_BYTES];
		size_t got;
		struct index_entry x;
		bool ok = file_read(f, HEADER_BLOCK_BYTES + mid * INDEX_ENTRY_BYTES, bytes,
				    sizeof(bytes), &got, NULL) == 0 &&
			  got == sizeof(bytes) && index_entry_decode(bytes, seed, &x) &&
			  entry_plausible(h, &x);
		if (ok && before(&x, key)) {
			best = x;
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	file_close(f);
	int rc = entry_verified(w, seed, &best, e);
	if (rc > 0)
		*out = best;
	return MIN(rc, 0);
}

static bool before_offset(const struct index_entry *x, int64_t key)
{
	return x->offset <= (uint64_t)key;
}

static bool before_time(const struct index_entry *x, int64_t key)
{
	return x->max_time_ms < key;
}

int index_seek_offset(const struct place *pl, const struct segment_header *h, struct window *w,
		      uint64_t offset, struct index_entry *out, struct err *e)
{
	return index_seek(pl, h, w, before_offset, (int64_t)offset, out, e);
}

int index_seek_time(const struct place *pl, const struct segment_header *h, struct window *w,
		    int64_t time_ms, struct index_entry *out, struct err *e)
{
	return index_seek(pl, h, w, before_time, time_ms, out, e);
}

int index_load(const struct place *pl, const struct segment_header *h, struct index_entry **out,
	       size_t *n, uint64_t *valid_bytes, uint64_t *durable, struct err *e)
{
	*out = NULL;
	*n = 0;
	*valid_bytes = *durable = 0;
	uint64_t entries;
	struct file *f = index_open(pl, h, &entries);
	if (!f)
		return 0;
	*valid_bytes = HEADER_BLOCK_BYTES;
	entries = MIN(entries, SEGMENT_BYTES_MAX / BATCH_HEADER_BYTES);
	size_t len = (size_t)entries * INDEX_ENTRY_BYTES, got = 0;
	uint8_t *bytes = mem_retry(NULL, len);
	struct index_entry *x = mem_try_array((size_t)entries, sizeof(*x));
	int rc = bytes && x ? file_read(f, HEADER_BLOCK_BYTES, bytes, len, &got, e) : err_nomem(e);
	file_close(f);
	if (rc) {
		mem_free(bytes);
		mem_free(x);
		return rc;
	}
	uint32_t seed = header_seed(h);
	bool ascending = true;
	for (size_t i = 0; i < got / INDEX_ENTRY_BYTES; i++) {
		struct index_entry y;
		bool ok = index_entry_decode(bytes + i * INDEX_ENTRY_BYTES, seed, &y) &&
			  entry_plausible(h, &y);
		if (ok)
			*durable = MAX(*durable, y.durable);
		if (!ok || (*n && (y.byte <= x[*n - 1].byte || y.offset < x[*n - 1].offset)))
			ascending = false;
		if (ascending) {
			x[(*n)++] = y;
			*valid_bytes += INDEX_ENTRY_BYTES;
		}
	}
	mem_free(bytes);
	*out = x;
	return 0;
}

/* ---- walking a segment's headers ---- */

/* Walks batch headers from *x on and moves *x to where no batch stands any more (behind data, before a seal). Calls
 * each, when given, for an entry at least every INDEX_STEP_BYTES. */
static int walk(struct window *w, const struct segment_header *h, struct index_entry *x,
		int (*each)(void *arg, const struct index_entry *x), void *arg, struct err *e)
{
	uint32_t seed = header_seed(h);
	uint32_t last = x->byte;
	for (;;) {
		struct batch b;
		const uint8_t *body;
		int rc = batch_at(w, seed, x->byte, UINT64_MAX, false, &b, &body, e);
		if (rc < 0)
			return rc;
		if (rc != BATCH_WHOLE || b.base_offset != x->offset || b.kind == BATCH_SEAL ||
		    x->byte > UINT32_MAX - b.length)
			return 0;
		x->durable = MAX(x->durable, b.durable);
		if (each && x->byte - last >= INDEX_STEP_BYTES) {
			rc = each(arg, x);
			if (rc)
				return rc;
			last = x->byte;
		}
		if (b.kind == BATCH_DATA)
			x->max_time_ms = MAX(x->max_time_ms, b.max_time_ms);
		x->byte += b.length;
		x->offset += b.span;
	}
}

int segment_max_time(const struct place *pl, uint64_t base, int64_t *out, struct err *e)
{
	struct window w = { .ahead = 64 << 10 };
	struct segment_header h;
	int rc = segment_open(pl, base, &w.file, &h, NULL, e);
	if (rc)
		return rc;
	struct index_entry x;
	rc = index_seek_offset(pl, &h, &w, INT64_MAX, &x, e);
	if (rc == 0)
		rc = walk(&w, &h, &x, NULL, NULL, e);
	file_close(w.file);
	window_done(&w);
	if (rc == 0)
		*out = x.max_time_ms;
	return rc;
}

struct rebuild {
	struct buf out;
	uint32_t seed;
};

static int rebuild_entry(void *arg, const struct index_entry *x)
{
	struct rebuild *r = arg;
	uint8_t bytes[INDEX_ENTRY_BYTES];
	index_entry_encode(x, r->seed, bytes);
	buf_add(&r->out, bytes, sizeof(bytes));
	return 0;
}

static int index_write(const struct place *pl, uint64_t base, struct slice bytes, struct err *e)
{
	char path[PATH_BYTES];
	struct file *f;
	int rc = segment_path(pl, base, "idx", path, e);
	if (rc == 0)
		rc = env_open(pl->env, path, FILE_CREATE, &f, e);
	if (rc)
		return rc;
	rc = file_truncate(f, 0, e);
	if (rc == 0)
		rc = file_write(f, 0, bytes.p, bytes.len, e);
	file_close(f);
	return rc;
}

int index_rebuild(const struct place *pl, uint64_t base, struct err *e)
{
	struct window w = { .ahead = 256 << 10 };
	struct segment_header h;
	int rc = segment_open(pl, base, &w.file, &h, NULL, e);
	if (rc)
		return rc;
	AUTO(buf) struct buf out = BUF_INIT;
	struct rebuild r = { .out = out, .seed = header_seed(&h) };
	uint8_t block[HEADER_BLOCK_BYTES];
	header_encode(&h, HEADER_INDEX, block);
	buf_add(&r.out, block, sizeof(block));
	struct index_entry x = first_entry(&h);
	rc = walk(&w, &h, &x, rebuild_entry, &r, e);
	if (rc == 0) {
		(void)rebuild_entry(&r, &x);
		rc = buf_check(&r.out, e);
	}
	file_close(w.file);
	window_done(&w);
	if (rc == 0)
		rc = index_write(pl, base, buf_slice(&r.out), e);
	out = r.out;
	return rc;
}
