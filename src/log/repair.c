/* repair.c: makes a damaged log whole again, as far as its bytes allow.
 *
 * What cannot be read is not thrown away: the damaged bytes are copied into a file beside the segment first
 * (BASE.damaged-BYTE), then a batch that says "these offsets are lost" takes their place, so that readers get a typed
 * error for exactly them and everything else.
 *
 *	| whole | ##damaged## | whole |        | whole | lost 10..20 | whole |
 *	| whole | ##damaged##  end    |  ──▶   | whole | lost 10..20 | seal  |
 *	(a segment missing)                    header | lost 10..20 | seal
 *
 * Two passes: the first only looks, so that nothing is touched unless the caller accepted what would be given up.
 * Every step can be done again after a crash.
 */
#include "log/check.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

struct repair {
	struct log *log;
	struct log_topic *topic;
	struct partition *p;
	int (*each)(void *arg, const struct log_damage *d);
	void *arg;
	struct buf damages; /* struct damage, of this partition */
	uint64_t lost;
	struct log_report report;
};

static int note(void *arg, const struct damage *d)
{
	struct repair *r = arg;
	buf_add(&r->damages, d, sizeof(*d));
	r->lost += d->to - d->from;
	if (!r->each)
		return 0;
	char path[PATH_BYTES];
	int rc = segment_path(&r->p->place, d->base, d->kind == DAMAGE_INDEX ? "idx" : "seg", path,
			      NULL);
	struct log_damage x = {
		.topic = r->topic->meta.name,
		.file = path,
		.partition = r->p->place.partition,
		.from_byte = d->from_byte,
		.to_byte = d->to_byte,
		.from_offset = d->from,
		.to_offset = d->to,
		.what = d->what,
	};
	return rc ? rc : r->each(r->arg, &x);
}

/* ---- keeping the bytes ---- */

static int copy_bytes(struct file *from, uint64_t at, uint64_t end, struct file *to, struct err *e)
{
	uint8_t *block = mem_try(65536);
	if (!block)
		return err_nomem(e);
	int rc = 0;
	for (uint64_t out = 0; rc == 0 && at < end;) {
		size_t got = 0;
		rc = file_read(from, at, block, (size_t)MIN(end - at, 65536), &got, e);
		if (rc || got == 0)
			break;
		rc = file_write(to, out, block, got, e);
		at += got;
		out += got;
	}
	mem_free(block);
	return rc ? rc : file_sync(to, e);
}

/* One copy per place: a repair that was interrupted must not replace it by what it had already overwritten. It is
 * made under another name first, so that a copy that exists is a complete one. */
static int quarantine(struct repair *r, struct file *f, const struct damage *d, struct err *e)
{
	char path[PATH_BYTES], temp[PATH_BYTES], suffix[48];
	if (d->from_byte == d->to_byte)
		return 0;
	struct env *env = r->log->env;
	snprintf(suffix, sizeof(suffix), "damaged-%" PRIu64, d->from_byte);
	int rc = segment_path(&r->p->place, d->base, suffix, path, e);
	if (rc == 0)
		rc = segment_path(&r->p->place, d->base, "damaged-tmp", temp, e);
	struct file_stat st;
	if (rc || env_stat(env, path, &st, NULL) == 0)
		return rc;
	struct file *copy;
	rc = env_open(env, temp, FILE_CREATE, &copy, e);
	if (rc)
		return rc;
	rc = file_truncate(copy, 0, e);
	if (rc == 0)
		rc = copy_bytes(f, d->from_byte, d->to_byte, copy, e);
	file_close(copy);
	if (rc == 0)
		rc = env_rename(env, temp, path, e);
	return rc ? rc : env_sync_dir(env, r->p->place.dir, e);
}

/* ---- putting something in its place ---- */

static int write_batch(struct file *f, uint32_t seed, uint64_t at, const struct batch *b,
		       struct err *e)
{
	uint8_t bytes[BATCH_HEADER_BYTES];
	batch_encode(b, seed, bytes);
	return file_write(f, at, bytes, sizeof(bytes), e);
}

static struct batch lost_batch(uint64_t from, uint64_t to, uint64_t length, uint32_t seed)
{
	return (struct batch){
		.kind = BATCH_LOST,
		.base_offset = from,
		.span = to - from,
		.length = (uint32_t)length,
		.body_crc = seed,
		.durable = to,
	};
}

static struct batch seal_batch(uint64_t offset, uint32_t seed)
{
	return (struct batch){
		.kind = BATCH_SEAL,
		.base_offset = offset,
		.length = BATCH_HEADER_BYTES,
		.body_crc = seed,
		.durable = offset,
	};
}

static int zero_range(struct file *f, uint64_t from, uint64_t to, struct err *e)
{
	static const uint8_t zeros[65536];
	int rc = 0;
	for (uint64_t at = from; rc == 0 && at < to; at += sizeof(zeros))
		rc = file_write(f, at, zeros, (size_t)MIN(to - at, sizeof(zeros)), e);
	return rc;
}

static int fill_range(struct file *f, uint32_t seed, const struct damage *d, struct err *e)
{
	struct batch b = lost_batch(d->from, d->to, d->to_byte - d->from_byte, seed);
	int rc = zero_range(f, d->from_byte + BATCH_HEADER_BYTES, d->to_byte, e);
	return rc ? rc : write_batch(f, seed, d->from_byte, &b, e);
}

static int fill_end(struct file *f, uint32_t seed, const struct damage *d, struct err *e)
{
	uint64_t at = d->from_byte;
	int rc = file_truncate(f, at, e);
	if (rc == 0 && d->to > d->from) {
		struct batch b = lost_batch(d->from, d->to, BATCH_HEADER_BYTES, seed);
		rc = write_batch(f, seed, at, &b, e);
		at += BATCH_HEADER_BYTES;
	}
	if (rc == 0 && !d->last) {
		struct batch b = seal_batch(d->to, seed);
		rc = write_batch(f, seed, at, &b, e);
	}
	return rc;
}

static int write_headers(struct file *f, const struct segment_header *h, struct err *e)
{
	uint8_t block[SEGMENT_HEADER_BYTES] = { 0 };
	header_encode(h, HEADER_SEGMENT, block);
	header_encode(h, HEADER_SEGMENT, block + SEGMENT_COPY_BYTES);
	return file_write(f, 0, block, sizeof(block), e);
}

/* A segment that holds nothing but the word that its offsets are lost. */
static int substitute(struct repair *r, const struct damage *d, struct err *e)
{
	struct segment_header h = {
		.partition = r->p->place.partition,
		.base_offset = d->base,
		.base_position = d->position,
		.durable = d->from,
		.created_ms = env_wall_ms(r->log->env),
	};
	memcpy(h.log_id, r->p->place.log_id, 16);
	memcpy(h.topic_id, r->p->place.topic_id, 16);
	char path[PATH_BYTES], aside[PATH_BYTES];
	int rc = env_random(r->log->env, &h.epoch, sizeof(h.epoch), e);
	if (rc == 0)
		rc = segment_path(&r->p->place, d->base, "seg", path, e);
	if (rc == 0 && d->kind == DAMAGE_UNREADABLE) {
		rc = segment_path(&r->p->place, d->base, "damaged-0", aside, e);
		if (rc == 0)
			rc = env_rename(r->log->env, path, aside, e);
	}
	struct file *f;
	if (rc == 0)
		rc = env_open(r->log->env, path, FILE_CREATE, &f, e);
	if (rc)
		return rc;
	uint32_t seed = header_seed(&h);
	struct batch lost = lost_batch(d->from, d->to, BATCH_HEADER_BYTES, seed);
	struct batch seal = seal_batch(d->to, seed);
	rc = file_truncate(f, 0, e);
	if (rc == 0)
		rc = write_headers(f, &h, e);
	if (rc == 0)
		rc = write_batch(f, seed, SEGMENT_HEADER_BYTES, &lost, e);
	if (rc == 0 && !d->last)
		rc = write_batch(f, seed, SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES, &seal, e);
	if (rc == 0)
		rc = file_sync(f, e);
	file_close(f);
	return rc;
}

static int mend_segment(struct repair *r, const struct damage *d, struct err *e)
{
	char path[PATH_BYTES];
	struct file *f;
	struct segment_header h;
	int rc = segment_open(&r->p->place, d->base, &f, &h, NULL, e);
	if (rc)
		return rc;
	file_close(f);
	rc = segment_path(&r->p->place, d->base, "seg", path, e);
	if (rc == 0)
		rc = env_open(r->log->env, path, FILE_WRITE, &f, e);
	if (rc)
		return rc;
	uint32_t seed = header_seed(&h);
	rc = quarantine(r, f, d, e);
	if (rc == 0) {
		switch (d->kind) {
		case DAMAGE_HEADER: rc = write_headers(f, &h, e); break;
		case DAMAGE_RANGE: rc = fill_range(f, seed, d, e); break;
		case DAMAGE_END: rc = fill_end(f, seed, d, e); break;
		case DAMAGE_MISSING:
		case DAMAGE_UNREADABLE:
		case DAMAGE_INDEX: break;
		}
	}
	if (rc == 0)
		rc = file_sync(f, e);
	file_close(f);
	return rc;
}

static int mend(struct repair *r, const struct damage *d, struct err *e)
{
	int rc = 0;
	switch (d->kind) {
	case DAMAGE_HEADER:
	case DAMAGE_RANGE:
	case DAMAGE_END: rc = mend_segment(r, d, e); break;
	case DAMAGE_MISSING:
	case DAMAGE_UNREADABLE: rc = substitute(r, d, e); break;
	case DAMAGE_INDEX: break;
	}
	return rc ? rc : index_rebuild(&r->p->place, d->base, e);
}

/* ---- two passes ---- */

/* What a bad low-water mark would have hidden was to be unlinked: without it that comes back, which loses nothing. */
static int repair_mark(struct repair *r, bool apply, struct err *e)
{
	char path[PATH_BYTES];
	struct trim_meta mark;
	struct place *pl = &r->p->place;
	int rc = trim_meta_read(pl->env, pl->dir, &mark, e);
	if (rc == ERR_NOTFOUND || (rc == 0 && memcmp(mark.topic_id, pl->topic_id, 16) == 0 &&
				   mark.partition == pl->partition))
		return 0;
	if (rc && rc != ERR_CORRUPT && rc != ERR_INVALID)
		return rc;
	r->report.damages++;
	if (!apply)
		return 0;
	rc = path_join(path, pl->dir, META_TRIM_FILE, e);
	if (rc == 0)
		rc = env_unlink(pl->env, path, e);
	return rc ? rc : env_sync_dir(pl->env, pl->dir, e);
}

static int repair_partition(struct repair *r, bool apply, struct err *e)
{
	buf_reset(&r->damages);
	int rc = repair_mark(r, apply, e);
	if (rc == 0)
		rc = check_partition(r->p, note, r, &r->report, e);
	if (rc == 0)
		rc = buf_check(&r->damages, e);
	if (rc || !apply)
		return rc;
	for (size_t at = 0; rc == 0 && at < r->damages.len; at += sizeof(struct damage)) {
		struct damage d;
		memcpy(&d, r->damages.p + at, sizeof(d));
		rc = mend(r, &d, e);
	}
	if (rc == 0 && r->damages.len)
		rc = env_sync_dir(r->log->env, r->p->place.dir, e);
	return rc;
}

struct names {
	struct buf all;
};

static int add_name(void *arg, const char *name, uint32_t partitions)
{
	(void)partitions;
	buf_add(&((struct names *)arg)->all, name, strlen(name) + 1);
	return 0;
}

static int repair_all(struct repair *r, bool apply, struct err *e)
{
	struct names names = { BUF_INIT };
	r->report = (struct log_report){ 0 };
	r->lost = 0;
	int rc = log_topic_list(r->log, add_name, &names, e);
	if (rc == 0)
		rc = buf_check(&names.all, e);
	for (size_t at = 0; rc == 0 && at < names.all.len;) {
		const char *name = (const char *)names.all.p + at;
		rc = log_topic_open(r->log, name, &r->topic, e);
		for (uint32_t i = 0; rc == 0 && i < r->topic->n_parts; i++) {
			r->p = &r->topic->parts[i];
			rc = repair_partition(r, apply, e);
		}
		r->report.topics++;
		at += strlen(name) + 1;
	}
	buf_done(&names.all);
	return rc;
}

static int take_lock(struct env *env, const char *dir, struct file **out, struct err *e)
{
	char path[PATH_BYTES];
	int rc = path_join(path, dir, "lock", e);
	if (rc == 0)
		rc = env_open(env, path, FILE_CREATE, out, e);
	if (rc)
		return rc;
	rc = file_lock(*out, e);
	if (rc == 1)
		return 0;
	file_close(*out);
	*out = NULL;
	return rc ? rc : err_set(e, ERR_LOCKED, "%s: another process is writing", dir);
}

/* Before anything is written into a directory it must look like a log: it has topics. */
static bool has_topics(struct env *env, const char *dir)
{
	char path[PATH_BYTES];
	struct file_stat st;
	return path_join(path, dir, "topics", NULL) == 0 && env_stat(env, path, &st, NULL) == 0 &&
	       st.is_dir;
}

static int repair_locked(struct repair *r, const char *dir, const struct log_options *o,
			 bool accept_loss, struct log_report *out, struct err *e)
{
	uint64_t descriptions = 0;
	int rc = 0;
	if (has_topics(o->env, dir))
		rc = mend_descriptions(o->env, dir, r->each, r->arg, &descriptions, e);
	if (rc == 0)
		rc = log_open(dir, o, &r->log, e);
	if (rc)
		return rc;
	/* Nobody writes: what the pages of a dead writer say must not be believed. */
	file_close(r->log->lock_file);
	r->log->lock_file = NULL;
	rc = repair_all(r, false, e);
	if (rc == 0 && out) {
		*out = r->report;
		out->damages += descriptions;
	}
	if (rc == 0 && r->lost && !accept_loss)
		rc = err_set(
			e, ERR_CORRUPT,
			"%" PRIu64
			" records are lost; no segment was changed: repair again, accepting that",
			r->lost);
	r->each = NULL;
	if (rc == 0 && r->report.damages)
		rc = repair_all(r, true, e);
	buf_done(&r->damages);
	(void)log_close(r->log, NULL);
	return rc;
}

int log_repair(const char *dir, const struct log_options *o, bool accept_loss,
	       int (*each)(void *arg, const struct log_damage *d), void *arg,
	       struct log_report *out, struct err *e)
{
	struct log_options options = { 0 };
	if (o)
		options = *o;
	options.read_only = true;
	if (!options.env)
		options.env = env_posix();
	struct repair r = { .each = each, .arg = arg, .damages = BUF_INIT };
	struct file *lock = NULL;
	int rc = has_topics(options.env, dir) ? take_lock(options.env, dir, &lock, e) : 0;
	if (rc == 0)
		rc = repair_locked(&r, dir, &options, accept_loss, out, e);
	file_close(lock);
	return rc;
}
