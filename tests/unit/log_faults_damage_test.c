/* Bytes that rot and files that end early.
 *
 * - The last segment cut at every byte of its last 64 KiB (and of its header): the writer opens, and every batch that
 *   was whole before the cut is there.
 * - Every bit of every batch of a 64 KiB log flipped, one at a time: no wrong byte is delivered, the range that is
 *   reported lost is exactly the batch, and what follows is readable.
 * - Random damage (bits, zeroed and copied blocks) in every file of the log: what is delivered is right, what is not
 *   is reported, the end of the log never moves; repair gets everything else back.
 */
#include "tests/log_model.h"
#include "tests/test.h"

#include "log/format.h"
#include "os/env_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES  (512u << 10)
#define MAX_VALUE   600
#define MAX_FILES   32
#define MAX_BATCHES 1000
#define WORKERS     2
#define CUT_BYTES   (64u << 10)
#define LOG_BYTES   (64u << 10)

struct place {
	char path[128];
	uint64_t from, to; /* bytes of the file */
	uint64_t offset, next;
};

struct paths {
	size_t n;
	char path[MAX_FILES][128];
	const char *dir;
};

/* A log on `disk`, all durable; and where its batches are. */
struct built {
	struct sim *disk, *work;
	uint64_t segment_bytes, next;
	struct place batch[MAX_BATCHES];
	size_t n;
};

static struct log_options options(struct sim *s, const struct built *b, bool read_only)
{
	return (struct log_options){ .env = sim_env(s),
				     .create = false,
				     .read_only = read_only,
				     .segment_bytes = b->segment_bytes,
				     .flush_interval_ms = UINT32_MAX };
}

/* ---- building ---- */

static int add_path(void *arg, const char *name)
{
	struct paths *p = arg;
	ASSERT(p->n < MAX_FILES);
	(void)snprintf(p->path[p->n++], sizeof(p->path[0]), "%s/%.80s", p->dir, name);
	return 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Every file below dir. */
static void find_files(struct sim *s, const char *dir, struct paths *out)
{
	struct paths here = { .dir = dir };
	ASSERT(env_list(sim_env(s), dir, add_path, &here, NULL) == 0);
	qsort(here.path, here.n, sizeof(here.path[0]), compare_paths);
	for (size_t i = 0; i < here.n; i++) {
		struct file_stat st;
		ASSERT(env_stat(sim_env(s), here.path[i], &st, NULL) == 0);
		if (st.is_dir)
			find_files(s, here.path[i], out);
		else
			memcpy(out->path[out->n++], here.path[i], sizeof(here.path[0]));
		ASSERT(out->n < MAX_FILES);
	}
}

static bool is_segment(const char *path)
{
	size_t len = strlen(path);
	return len > 4 && strcmp(path + len - 4, ".seg") == 0;
}

static void find_batches(struct built *b)
{
	struct paths files = { 0 };
	find_files(b->disk, "log", &files);
	b->n = 0;
	for (size_t i = 0; i < files.n; i++) {
		if (!is_segment(files.path[i]))
			continue;
		uint64_t size, at = SEGMENT_HEADER_BYTES;
		const uint8_t *p = sim_bytes(b->disk, files.path[i], &size);
		struct segment_header h;
		struct batch batch;
		ASSERT(header_decode(p, HEADER_SEGMENT, &h) == 1);
		while (at + BATCH_HEADER_BYTES <= size &&
		       batch_decode(p + at, header_seed(&h), &batch)) {
			ASSERT(b->n < MAX_BATCHES);
			struct place *place = &b->batch[b->n++];
			memcpy(place->path, files.path[i], sizeof(place->path));
			place->from = at;
			place->to = at += batch.length;
			place->offset = batch.base_offset;
			place->next = batch.base_offset + batch.span;
		}
	}
}

static void append_until(struct built *b, struct log *l, struct log_topic *t, uint64_t bytes)
{
	struct err e = ERR_INIT;
	struct log_stats stats = { 0 };
	for (size_t n = 1; stats.appended_bytes < bytes; n = n % 4 + 1) {
		assert_ok(model_append(t, 0, b->next, n, 0, MAX_VALUE, LOG_ACK_WRITTEN, &e), &e);
		b->next += n;
		log_stats(l, &stats);
	}
	assert_ok(log_flush(t, 0, b->next, &e), &e);
}

/* `closed` or as a killed writer leaves it. */
static void build(struct built *b, uint64_t segment_bytes, uint64_t bytes, bool closed)
{
	struct err e = ERR_INIT;
	struct sim_options so = { .seed = 1, .file_bytes = FILE_BYTES };
	struct sim *scratch = sim_new(&so);
	*b = (struct built){ .segment_bytes = segment_bytes };
	b->disk = sim_new(&so);
	b->work = sim_new(&so);
	assert_true(scratch && b->disk && b->work);
	struct log_options o = options(scratch, b, false);
	o.create = true;
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open("log", &o, &l, &e), &e);
	assert_ok(log_topic_create(l, "t", 1, &t, &e), &e);
	append_until(b, l, t, bytes);
	if (closed)
		assert_ok(log_close(l, &e), &e);
	assert_int_equal(sim_copy(scratch, b->disk), 0);
	if (!closed)
		assert_ok(log_close(l, &e), &e);
	sim_free(scratch);
	find_batches(b);
	assert_true(b->n > 20);
	assert_true(b->batch[b->n - 1].next == b->next);
}

static void built_done(struct built *b)
{
	sim_free(b->disk);
	sim_free(b->work);
}

static void restore(struct built *b)
{
	ASSERT(sim_copy(b->disk, b->work) == 0);
}

/* ---- reading a damaged log ---- */

static bool damaged_at(const struct built *b, const char *path, uint64_t from, uint64_t to,
		       uint64_t offset)
{
	for (size_t i = 0; i < b->n; i++)
		if (strcmp(b->batch[i].path, path) == 0 && b->batch[i].from < to &&
		    from < b->batch[i].to && offset >= b->batch[i].offset &&
		    offset < b->batch[i].next)
			return true;
	return false;
}

static int open_topic(struct sim *s, const struct built *b, bool read_only, struct log **l,
		      struct log_topic **t, struct err *e)
{
	struct log_options o = options(s, b, read_only);
	int rc = log_open("log", &o, l, e);
	if (rc < 0)
		return rc;
	rc = log_topic_open(*l, "t", t, e);
	if (rc < 0)
		(void)log_close(*l, NULL);
	return rc;
}

/* ---- cutting ---- */

static uint64_t whole_before(const struct built *b, const char *path, uint64_t cut)
{
	uint64_t next = 0;
	for (size_t i = 0; i < b->n; i++)
		if (strcmp(b->batch[i].path, path) != 0 || b->batch[i].to <= cut)
			next = MAX(next, b->batch[i].next);
	return next;
}

static int cut_at(struct built *b, const char *path, uint64_t cut, bool read_all, struct err *e)
{
	restore(b);
	struct file *f;
	int rc = env_open(sim_env(b->work), path, FILE_WRITE, &f, e);
	if (rc == 0) {
		rc = file_truncate(f, cut, e);
		file_close(f);
	}
	struct log *l;
	struct log_topic *t;
	if (rc == 0)
		rc = open_topic(b->work, b, false, &l, &t, e);
	if (rc < 0)
		return rc;
	uint64_t whole = whole_before(b, path, cut);
	struct log_range range = log_topic_range(t, 0, false);
	if (range.next != whole)
		rc = err_set(e, ERR_CONFLICT, "%" PRIu64 " records kept of %" PRIu64 " whole ones",
			     range.next, whole);
	struct model_range tail = { .from = read_all || whole < 3 ? 0 : whole - 3,
				    .next = whole,
				    .new_from = UINT64_MAX,
				    .max_value = MAX_VALUE };
	if (rc == 0)
		rc = model_read(t, &tail, e);
	int closed = log_close(l, rc < 0 ? NULL : e);
	return rc < 0 ? rc : closed;
}

static int cut_everywhere(void *arg, int worker)
{
	struct built *b = arg;
	const char *path = b->batch[b->n - 1].path;
	uint64_t size = b->batch[b->n - 1].to;
	uint64_t first = size - CUT_BYTES;
	for (uint64_t i = (uint64_t)worker; i <= CUT_BYTES + 2 * SEGMENT_HEADER_BYTES;
	     i += WORKERS * MODEL_SLOWER) {
		struct err e = ERR_INIT;
		uint64_t cut = i <= CUT_BYTES ? first + i : i - CUT_BYTES - 1;
		if (cut_at(b, path, cut, i % 64 < WORKERS, &e) < 0) {
			fprintf(stderr, "%s cut at byte %" PRIu64 " of %" PRIu64 ": %s\n", path,
				cut, size, e.msg);
			return 1;
		}
	}
	return 0;
}

static void cut_log(bool closed)
{
	struct built b;
	build(&b, 256u << 10, CUT_BYTES + 8192, closed);
	assert_true(b.batch[b.n - 1].to > CUT_BYTES + SEGMENT_HEADER_BYTES);
	assert_true(model_parallel(cut_everywhere, &b, WORKERS));
	built_done(&b);
}

static void a_log_cut_at_any_byte_opens_and_keeps_every_whole_record(void **state)
{
	(void)state;
	cut_log(false);
}

static void a_cleanly_closed_log_cut_at_any_byte_opens_too(void **state)
{
	(void)state;
	cut_log(true);
}

/* ---- flipping bits of batches ---- */

/* Reads one record where a bit of its batch is flipped. */
static int read_flipped(struct log_topic *t, const struct place *place, bool go_on, uint64_t end,
			struct err *e)
{
	struct log_reader *r;
	struct log_record rec;
	int rc = log_reader_open(t, 0, place->offset, NULL, &r, e);
	if (rc < 0)
		return rc;
	rc = log_reader_next(r, &rec, e);
	if (rc >= 0)
		rc = err_set(e, ERR_CONFLICT, rc ? "delivered" : "taken for the end");
	else if (rc == ERR_CORRUPT && e->oldest == place->offset && e->newest == place->next)
		rc = 0;
	else
		rc = err_in(e, ERR_CONFLICT,
			    "[%" PRIu64 ", %" PRIu64 ") is lost, reported as [%" PRIu64 ", %" PRIu64
			    ")",
			    place->offset, place->next, e->oldest, e->newest);
	if (rc == 0 && go_on && place->next < end) {
		struct model_id which = { 0 };
		log_reader_seek(r, place->next);
		if (log_reader_next(r, &rec, e) != 1 || !model_check(&rec, MAX_VALUE, &which) ||
		    which.id != place->next)
			rc = err_set(e, ERR_CONFLICT,
				     "the record behind the damage is not delivered");
	}
	log_reader_close(r);
	return rc;
}

static int flip_batch(struct built *b, struct log_topic *t, const struct place *place)
{
	uint64_t size;
	uint8_t *p = sim_bytes(b->work, place->path, &size);
	for (uint64_t bit = place->from * 8; bit < place->to * 8; bit += MODEL_SLOWER) {
		struct err e = ERR_INIT;
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int rc = read_flipped(t, place, bit % 64 == 0, b->next, &e);
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (rc < 0) {
			fprintf(stderr,
				"%s, batch at %" PRIu64 " to %" PRIu64 ", bit %" PRIu64
				" of byte %" PRIu64 ": %s\n",
				place->path, place->from, place->to, bit % 8, bit / 8, e.msg);
			return rc;
		}
	}
	return 0;
}

static int flip_everything(void *arg, int worker)
{
	struct built *b = arg;
	struct err e = ERR_INIT;
	struct log *l;
	struct log_topic *t;
	restore(b);
	int rc = open_topic(b->work, b, true, &l, &t, &e);
	for (size_t i = (size_t)worker; i < b->n && rc == 0; i += WORKERS)
		if (b->batch[i].next > b->batch[i].offset) /* a seal or mark holds no record */
			rc = flip_batch(b, t, &b->batch[i]);
	return rc < 0 || log_close(l, &e) < 0;
}

static void every_flipped_bit_is_detected_and_its_batch_reported(void **state)
{
	(void)state;
	struct built b;
	build(&b, 24u << 10, LOG_BYTES, true);
	assert_true(strcmp(b.batch[0].path, b.batch[b.n - 1].path) != 0);
	assert_true(model_parallel(flip_everything, &b, WORKERS));
	uint64_t bits = 0;
	for (size_t i = 0; i < b.n; i++)
		bits += 8 * (b.batch[i].to - b.batch[i].from) *
			(b.batch[i].next > b.batch[i].offset);
	assert_true(bits > 8 * (LOG_BYTES - 8192));
	print_message("%" PRIu64 " flipped bits, all detected\n", bits / MODEL_SLOWER);
	built_done(&b);
}

/* ---- random damage anywhere ---- */

struct hit {
	char path[128];
	uint64_t from, to;
	const char *how;
	bool from_itself; /* copied from another place of the same file */
};

static void damage(struct built *b, struct sim_rng *r, const struct paths *files, struct hit *hit)
{
	uint64_t size = 0, other_size = 0;
	uint8_t *p = NULL;
	while (!p || size == 0) {
		memcpy(hit->path, files->path[sim_below(r, files->n)], sizeof(hit->path));
		p = sim_bytes(b->work, hit->path, &size);
	}
	uint64_t len = MIN(size, (uint64_t)4096);
	hit->from_itself = false;
	hit->from = sim_below(r, size - len + 1);
	hit->to = hit->from + len;
	switch (sim_below(r, 4)) {
	case 0:
		hit->how = "zeroed";
		memset(p + hit->from, 0, len);
		break;
	case 1: {
		hit->how = "copied over";
		const char *from = files->path[sim_below(r, files->n)];
		hit->from_itself = strcmp(from, hit->path) == 0;
		const uint8_t *q = sim_bytes(b->work, from, &other_size);
		len = MIN(len, other_size);
		hit->to = hit->from + len;
		memmove(p + hit->from, q + sim_below(r, other_size - len + 1), len);
		break;
	}
	default: {
		hit->how = "flipped in one bit";
		hit->from = sim_below(r, size);
		hit->to = hit->from + 1;
		p[hit->from] ^= (uint8_t)(1u << sim_below(r, 8));
	}
	}
}

/* What may be lost is what stands in the damaged bytes. But batches from another place of their own segment validate:
 * such a copy can pass for where reading should go on, and more is reported lost than is. */
static uint64_t most_lost(const struct built *b, const struct hit *hit)
{
	uint64_t n = 0;
	if (hit->from_itself)
		return b->next;
	for (size_t i = 0; i < b->n; i++)
		if (damaged_at(b, hit->path, hit->from, hit->to, b->batch[i].offset))
			n += b->batch[i].next - b->batch[i].offset;
	return n;
}

static bool honest_refusal(int rc)
{
	return rc == ERR_CORRUPT || rc == ERR_INVALID || rc == ERR_VERSION || rc == ERR_NOTFOUND;
}

static int check_damaged(struct built *b, const struct hit *hit, bool read_only, struct err *e)
{
	struct log *l;
	struct log_topic *t;
	int rc = open_topic(b->work, b, read_only, &l, &t, e);
	if (honest_refusal(rc) && *e->msg)
		return 0;
	if (rc < 0)
		return rc;
	struct model_outcome out;
	rc = model_read_around(t, b->next, MAX_VALUE, &out, e);
	if (rc == 0 && out.lost > most_lost(b, hit))
		rc = err_set(e, ERR_CONFLICT,
			     "%" PRIu64 " records lost, the damage covers %" PRIu64, out.lost,
			     most_lost(b, hit));
	int closed = log_close(l, rc < 0 ? NULL : e);
	return rc < 0 ? rc : closed;
}

static int ignore_damage(void *arg, const struct log_damage *d)
{
	(void)d;
	(*(int *)arg)++;
	return 0;
}

/* Repair, then everything that was not hit is readable, the rest is reported, and the log takes records again. */
static int check_repair(struct built *b, const struct hit *hit, struct err *e)
{
	struct log_options o = options(b->work, b, false);
	struct log_report report;
	int damages = 0;
	int rc = log_repair("log", &o, true, ignore_damage, &damages, &report, e);
	if (rc < 0)
		return honest_refusal(rc) && !is_segment(hit->path) ? 0 : err_in(e, rc, "repair");
	struct log *l;
	struct log_topic *t;
	rc = open_topic(b->work, b, false, &l, &t, e);
	if (rc < 0)
		return err_in(e, rc, "opening after repair");
	struct model_outcome out;
	rc = model_read_around(t, b->next, MAX_VALUE, &out, e);
	if (rc == 0 && out.lost > most_lost(b, hit))
		rc = err_set(e, ERR_CONFLICT,
			     "repair lost %" PRIu64 " records, the damage covers %" PRIu64,
			     out.lost, most_lost(b, hit));
	if (rc == 0)
		rc = model_append(t, 0, b->next, 2, 0, MAX_VALUE, LOG_ACK_DURABLE, e);
	if (rc < 0)
		rc = err_in(e, rc, "after repair");
	int closed = log_close(l, rc < 0 ? NULL : e);
	return rc < 0 ? rc : closed;
}

static int damage_at_random(void *arg, int worker)
{
	struct built *b = arg;
	struct paths files = { 0 };
	find_files(b->disk, "log", &files);
	long rounds = test_count(6000, 100000) / MODEL_SLOWER;
	for (long i = worker; i < rounds; i += WORKERS) {
		struct err e = ERR_INIT;
		struct sim_rng r = { (uint64_t)i };
		struct hit hit;
		restore(b);
		damage(b, &r, &files, &hit);
		int rc = check_damaged(b, &hit, true, &e);
		if (rc == 0)
			rc = check_damaged(b, &hit, false, &e);
		if (rc == 0 && i % 8 < WORKERS)
			rc = check_repair(b, &hit, &e);
		if (rc < 0) {
			fprintf(stderr, "round %ld: %s, bytes %" PRIu64 " to %" PRIu64 " %s: %s\n",
				i, hit.path, hit.from, hit.to, hit.how, e.msg);
			return 1;
		}
	}
	return 0;
}

static void damage_anywhere_is_reported_and_never_taken_for_the_end(void **state)
{
	(void)state;
	struct built b;
	build(&b, 24u << 10, LOG_BYTES, true);
	assert_true(model_parallel(damage_at_random, &b, WORKERS));
	built_done(&b);
}

struct verified {
	const struct place *place;
	int exact, others;
};

static int compare_damage(void *arg, const struct log_damage *d)
{
	struct verified *v = arg;
	const char *slash = strrchr(v->place->path, '/');
	bool same_file = strstr(d->file, slash + 1) != NULL;
	if (same_file && d->from_byte == v->place->from && d->to_byte == v->place->to &&
	    d->from_offset == v->place->offset && d->to_offset == v->place->next)
		v->exact++;
	else
		v->others++;
	return 0;
}

static void verify_names_exactly_the_damaged_batch(void **state)
{
	(void)state;
	struct built b;
	build(&b, 24u << 10, LOG_BYTES, true);
	struct sim_rng r = { 1 };
	for (size_t i = 0; i < b.n; i++) {
		struct err e = ERR_INIT;
		struct log_report report;
		const struct place *place = &b.batch[i];
		if (place->next == place->offset)
			continue;
		restore(&b);
		uint64_t size;
		uint8_t *p = sim_bytes(b.work, place->path, &size);
		struct log_options o = options(b.work, &b, true);
		struct verified v = { .place = place };
		if (i < 3)
			assert_int_equal(log_verify("log", &o, compare_damage, &v, &report, &e), 0);
		assert_int_equal(v.exact + v.others, 0);
		p[place->from + sim_below(&r, place->to - place->from)] ^= 0x10;
		assert_int_equal(log_verify("log", &o, compare_damage, &v, &report, &e), 1);
		if (v.exact != 1 || v.others)
			fail_msg("%s, batch at %" PRIu64 ": reported %d times, and %d others",
				 place->path, place->from, v.exact, v.others);
		assert_int_equal(report.damages, 1);
	}
	built_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_cut_at_any_byte_opens_and_keeps_every_whole_record),
		cmocka_unit_test(a_cleanly_closed_log_cut_at_any_byte_opens_too),
		cmocka_unit_test(every_flipped_bit_is_detected_and_its_batch_reported),
		cmocka_unit_test(verify_names_exactly_the_damaged_batch),
		cmocka_unit_test(damage_anywhere_is_reported_and_never_taken_for_the_end),
	};
	return cmocka_run_group_tests_name("log_faults_damage", tests, NULL, NULL);
}
