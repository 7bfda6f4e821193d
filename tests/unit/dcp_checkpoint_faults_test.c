/* What a checkpoint file and a checkpoint log are after a kill, a power loss, a full disk or damage at any place. */
#include "tests/test.h"

#include "dcp/checkpoint.h"
#include "os/env_fault.h"
#include "os/env_sim.h"
#include "tests/seeds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { VBS = 1024, FEW = 8, OLD = 100, NEW = 200 };

#define SEGMENT (512u << 10)

struct kind {
	const char *name;
	struct checkpoint_store *(*open)(struct env *env, bool forgive, int *rc, struct err *e);
};

static struct checkpoint_store *open_file(struct env *env, bool forgive, int *rc, struct err *e)
{
	struct checkpoint_store *s = NULL;
	*rc = checkpoint_file_open(env, "cp.json", forgive, &s, e);
	return *rc < 0 ? NULL : s;
}

static struct checkpoint_store *open_log(struct env *env, bool forgive, int *rc, struct err *e)
{
	struct checkpoint_store *s = NULL;
	struct checkpoint_log_options o = {
		.env = env, .dir = "cplog", .forgive = forgive, .segment_bytes = SEGMENT
	};
	*rc = checkpoint_log_open(&o, &s, e);
	return *rc < 0 ? NULL : s;
}

static const struct kind kinds[] = { { "file", open_file }, { "log", open_log } };

static struct checkpoint_store *open_ok(const struct kind *kind, struct env *env)
{
	struct err e = ERR_INIT;
	int rc;
	struct checkpoint_store *s = kind->open(env, false, &rc, &e);
	if (!s)
		fail_msg("%s: %s", kind->name, e.msg);
	return s;
}

static struct checkpoint at(uint16_t vb, uint64_t seqno)
{
	return (struct checkpoint){ .vb = vb,
				    .found = true,
				    .pos = { seqno, seqno - 1, seqno + 1, 118764517772467 },
				    .points = { .n = 2, .seqno = { 3, 70 } },
				    .bucket_uuid = "0123456789abcdef0123456789abcdef" };
}

static void fill(struct checkpoint *c, size_t n, uint64_t seqno)
{
	for (size_t vb = 0; vb < n; vb++)
		c[vb] = at((uint16_t)vb, seqno);
}

/* The store of all of them at one seqno; c: what it was given. */
static struct checkpoint_store *open_saved(const struct kind *kind, struct sim *sim,
					   struct checkpoint *c, size_t n, uint64_t seqno)
{
	struct err e = ERR_INIT;
	struct checkpoint_store *s = open_ok(kind, sim_env(sim));
	fill(c, n, seqno);
	assert_ok(checkpoint_save(s, c, n, &e), &e);
	return s;
}

static void load_all(struct checkpoint_store *s, struct checkpoint *c, size_t n)
{
	struct err e = ERR_INIT;
	for (size_t vb = 0; vb < n; vb++)
		c[vb] = (struct checkpoint){ .vb = (uint16_t)vb };
	assert_ok(checkpoint_load(s, c, n, &e), &e);
}

/* The seqno that all of them have. */
static uint64_t one_set(const char *name, struct checkpoint_store *s, size_t n)
{
	static struct checkpoint c[VBS];
	load_all(s, c, n);
	for (size_t vb = 0; vb < n; vb++)
		if (!c[vb].found || c[vb].pos.seqno != c[0].pos.seqno)
			fail_msg("%s: a mixed set: vBucket %zu stands at %" PRIu64
				 " (found %d), 0 at %" PRIu64,
				 name, vb, c[vb].pos.seqno, c[vb].found, c[0].pos.seqno);
	return c[0].pos.seqno;
}

static struct checkpoint old_set[VBS], new_set[VBS];

struct b4 {
	const struct kind *kind;
	struct sim *sim, *after;
	struct env_fault fault;
	unsigned old, new;
};

static void note(struct b4 *b, int rc)
{
	struct checkpoint_store *s = open_ok(b->kind, sim_env(b->after));
	uint64_t seqno = one_set(b->kind->name, s, VBS);
	assert_true(seqno == OLD || seqno == NEW);
	assert_true(rc < 0 || seqno == NEW);
	b->old += seqno == OLD;
	b->new += seqno == NEW;
	checkpoint_store_free(s);
}

/* The k-th call from the save on fails; false: there were not so many. */
static bool fail_one(struct b4 *b, const struct fault *fault)
{
	struct err e = ERR_INIT;
	assert_int_equal(sim_reset(b->sim, fault->at), 0);
	checkpoint_store_free(open_saved(b->kind, b->sim, old_set, VBS, OLD));
	env_fault_arm(&b->fault, NULL);
	struct checkpoint_store *s = open_ok(b->kind, &b->fault.base);
	env_fault_arm(&b->fault, fault);
	int rc = checkpoint_save(s, new_set, VBS, &e);
	bool reached = b->fault.calls >= fault->at;
	if (!reached)
		assert_int_equal(rc, 0);
	assert_true(rc == 0 || rc == fault->code || rc == ERR_POISONED);
	env_fault_arm(&b->fault, NULL);
	for (uint64_t seed = 0; seed < (uint64_t)test_count(4, 200); seed++) {
		assert_int_equal(sim_crash(b->sim, seed, b->after), 0);
		note(b, rc);
	}
	assert_int_equal(sim_copy(b->sim, b->after), 0); /* killed here */
	note(b, rc);
	if (rc < 0) { /* and when it goes on, the next save is as good as any */
		assert_ok(checkpoint_save(s, new_set, VBS, &e), &e);
		assert_int_equal(sim_crash(b->sim, 1, b->after), 0);
		note(b, 0);
	}
	checkpoint_store_free(s);
	return reached;
}

static void b4_every_call_of_a_save_failing_leaves_the_old_or_the_new_set(void **state)
{
	(void)state;
	static const struct fault faults[] = {
		{ .code = ERR_NOSPACE, .persistent = true, .part = true },
		{ .code = ERR_IO },
	};
	struct b4 b = { .sim = sim_new(NULL), .after = sim_new(NULL) };
	fill(new_set, VBS, NEW);
	env_fault_init(&b.fault, sim_env(b.sim));
	b.fault.on_failed_sync = sim_drop_dirty;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		b.kind = &kinds[i];
		b.old = b.new = 0;
		for (size_t j = 0; j < ARRAY_LEN(faults); j++) {
			struct fault fault = faults[j];
			fault.at = 1;
			while (fail_one(&b, &fault))
				fault.at++;
			assert_true(fault.at > 1);
		}
		assert_true(b.old > 0 && b.new > 0);
	}
	sim_free(b.after);
	sim_free(b.sim);
}

/* ---- torn at every byte ---- */

/* A store that has saved the old set, and the bytes of a save of the new one that reach the disk one after the other. */
struct tear {
	const struct kind *kind;
	size_t n;                   /* vBuckets */
	struct checkpoint_store *s; /* never closed before it is looked at: it was killed */
	struct env_fault fault;
	struct sim *sim, *torn;
	uint64_t from, to;
};

static const char segment_path[] = "cplog/topics/checkpoints/0/00000000000000000000.seg";

/* From where to where the bytes of a file differ. */
static void differ(struct sim *a, struct sim *b, const char *path, uint64_t *from, uint64_t *to)
{
	uint64_t na = 0, nb = 0;
	const uint8_t *pa = sim_bytes(a, path, &na), *pb = sim_bytes(b, path, &nb);
	assert_non_null(pa);
	assert_non_null(pb);
	*from = UINT64_MAX;
	for (uint64_t i = 0; i < nb; i++)
		if ((i < na ? pa[i] : 0) != pb[i]) {
			*from = MIN(*from, i);
			*to = i + 1;
		}
	assert_true(*from != UINT64_MAX);
}

/* The log's segment is written in place, through a map: the save is done, and torn afterwards. */
static void prepare_log(struct tear *t)
{
	struct err e = ERR_INIT;
	assert_int_equal(sim_copy(t->sim, t->torn), 0);
	assert_ok(checkpoint_save(t->s, new_set, t->n, &e), &e);
	differ(t->torn, t->sim, segment_path, &t->from, &t->to);
}

static void forget_page(struct sim *s, const char *path)
{
	uint64_t size;
	uint8_t *p = sim_bytes(s, path, &size);
	if (p)
		memset(p, 0, size);
}

/* What did not reach the disk is zero, as it was laid out. */
static void tear_log(struct tear *t, uint64_t cut)
{
	uint64_t size;
	assert_int_equal(sim_copy(t->sim, t->torn), 0);
	memset(sim_bytes(t->torn, segment_path, &size) + cut, 0, t->to - cut);
	forget_page(t->torn, "cplog/page");
	forget_page(t->torn, "cplog/topics/checkpoints/page");
}

/* The file is written by a call that breaks off; nothing after it happens. */
static void tear_file(struct tear *t, uint64_t cut)
{
	struct err e = ERR_INIT;
	env_fault_arm(&t->fault, &(struct fault){ .at = 1,
						  .code = ERR_NOSPACE,
						  .persistent = true,
						  .part = cut > 0,
						  .part_bytes = cut,
						  .only = 1u << FAULT_WRITE });
	assert_int_equal(checkpoint_save(t->s, new_set, t->n, &e), ERR_NOSPACE);
	assert_int_equal(t->fault.failed, 1);
	env_fault_arm(&t->fault, NULL);
	assert_int_equal(sim_copy(t->sim, t->torn), 0);
}

/* How long is it? */
static void prepare_file(struct tear *t)
{
	tear_file(t, UINT64_MAX);
	assert_non_null(sim_bytes(t->sim, "cp.json.new", &t->to));
}

static bool in_place(const struct tear *t)
{
	return t->kind->open == open_log;
}

static void tear_init(struct tear *t, const struct kind *kind, size_t n)
{
	struct err e = ERR_INIT;
	*t = (struct tear){ .kind = kind, .n = n, .sim = sim_new(NULL), .torn = sim_new(NULL) };
	env_fault_init(&t->fault, sim_env(t->sim));
	t->s = open_ok(kind, &t->fault.base);
	assert_ok(checkpoint_save(t->s, old_set, n, &e), &e);
	(in_place(t) ? prepare_log : prepare_file)(t);
	assert_true(t->to - t->from > n * 100);
}

static void tear_done(struct tear *t)
{
	checkpoint_store_free(t->s);
	sim_free(t->sim);
	sim_free(t->torn);
}

/* The old set is there, and the next save is as good as any. */
static void tear_at(struct tear *t, uint64_t cut, bool go_on)
{
	struct err e = ERR_INIT;
	(in_place(t) ? tear_log : tear_file)(t, cut);
	struct checkpoint_store *s = open_ok(t->kind, sim_env(t->torn));
	uint64_t want = in_place(t) && cut == t->to ? NEW : OLD,
		 got = one_set(t->kind->name, s, t->n);
	if (got != want)
		fail_msg("%s: cut at byte %" PRIu64 " of %" PRIu64 "..%" PRIu64 ": at %" PRIu64,
			 t->kind->name, cut, t->from, t->to, got);
	if (go_on) {
		assert_ok(checkpoint_save(s, new_set, t->n, &e), &e);
		checkpoint_store_free(s);
		s = open_ok(t->kind, sim_env(t->torn));
		assert_int_equal(one_set(t->kind->name, s, t->n), NEW);
	}
	checkpoint_store_free(s);
}

static void b4_a_save_of_a_few_torn_at_every_byte_has_the_old_set(void **state)
{
	(void)state;
	fill(new_set, VBS, NEW);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct tear t;
		tear_init(&t, &kinds[i], FEW);
		for (uint64_t cut = t.from; cut <= t.to; cut++)
			tear_at(&t, cut, true);
		tear_done(&t);
	}
}

/* All 1,024: each seed has its block of the bytes in the long form, and draws a few of all of them in the short one. */
enum { TEAR_SEEDS = 300, TEAR_BLOCK = 1024, TEAR_DRAWS = 8 };

static void tear_share(const struct kind *kind, unsigned seed)
{
	struct sim_rng rng = { seed };
	struct tear t;
	fill(old_set, VBS, OLD);
	fill(new_set, VBS, NEW);
	tear_init(&t, kind, VBS);
	uint64_t first = t.from + (uint64_t)(seed - 1) * TEAR_BLOCK, bytes = t.to - t.from;
	assert_true(bytes < (uint64_t)TEAR_SEEDS * TEAR_BLOCK);
	if (test_count(0, 1))
		for (uint64_t cut = first; cut < first + TEAR_BLOCK && cut <= t.to; cut++)
			tear_at(&t, cut, cut % 64 == 0);
	else
		for (int i = 0; i < TEAR_DRAWS; i++)
			tear_at(&t, t.from + sim_below(&rng, bytes + 1), true);
	tear_done(&t);
}

static void run_file(unsigned seed)
{
	tear_share(&kinds[0], seed);
}

static void run_log(unsigned seed)
{
	tear_share(&kinds[1], seed);
}

static const struct seeded seeded[] = { { "file", run_file }, { "log", run_log }, { 0 } };

static void b4_a_save_of_all_torn_at_every_byte_has_the_old_set(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		seeds_run(&seeded[i], test_count(12, TEAR_SEEDS));
}

/* ---- damage ---- */

/* Nothing is made up: whoever is found is where it was saved, or before; and nobody is lost silently. */
static void nothing_is_made_up(struct checkpoint_store *s, const struct checkpoint *want, size_t n)
{
	struct checkpoint c[FEW + 1];
	load_all(s, c, n + 1);
	bool damage = false;
	for (size_t vb = 0; vb < n; vb++) {
		assert_true(c[vb].found != c[vb].damaged);
		damage |= c[vb].damaged;
		if (!c[vb].found)
			continue;
		assert_true(c[vb].pos.seqno == want[vb].pos.seqno &&
			    c[vb].pos.uuid == want[vb].pos.uuid);
		assert_true(c[vb].pos.snap_end == want[vb].pos.snap_end &&
			    c[vb].pos.snap_start <= want[vb].pos.snap_start);
	}
	assert_true(!c[n].found);
	assert_true(!damage || c[n].damaged); /* its key may be what was damaged */
}

static void b8_every_cut_and_every_flipped_bit_of_a_file_is_seen(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint want[FEW];
	int rc;
	struct checkpoint_store *s = open_saved(&kinds[0], sim, want, FEW, OLD);
	checkpoint_store_free(s);
	uint64_t size, whole = 0, single = 0;
	uint8_t *bytes = sim_bytes(sim, "cp.json", &size);
	for (uint64_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		s = open_file(sim_env(sim), false, &rc, &e);
		assert_true(s || rc == ERR_CORRUPT);
		whole += !s;
		if (s)
			nothing_is_made_up(s, want, FEW);
		single += s != NULL;
		checkpoint_store_free(s);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(whole > 0 && single > 0);
	for (uint64_t cut = 0; cut + 2 < size; cut++) {
		struct file *f;
		uint8_t *copy = malloc(size);
		memcpy(copy, bytes, size);
		assert_ok(env_open(sim_env(sim), "cp.json", FILE_CREATE, &f, &e), &e);
		assert_ok(file_truncate(f, cut, &e), &e);
		assert_int_equal(!open_file(sim_env(sim), false, &rc, &e), 1);
		assert_int_equal(rc, ERR_CORRUPT);
		assert_ok(file_write(f, 0, copy, size, &e), &e);
		file_close(f);
		bytes = sim_bytes(sim, "cp.json", &size);
		free(copy);
	}
	sim_free(sim);
}

static int verdict(const struct checkpoint *c, enum checkpoint_policy damaged,
		   struct checkpoint *out)
{
	struct checkpoint_policies p = { .damaged = damaged };
	*out = *c;
	return checkpoint_check(out, "0123456789abcdef0123456789abcdef", UINT64_MAX, &p, NULL);
}

/* A digit of one document is wrong: that vBucket fails or begins anew, as told, and the others go on. What cannot be read
 * is carried along by saves of the others. */
static void b8_a_damaged_document_concerns_its_vbucket(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint c[FEW], out;
	struct checkpoint_store *s = open_saved(&kinds[0], sim, c, FEW, OLD);
	checkpoint_store_free(s);
	uint64_t size;
	char *text = (char *)sim_bytes(sim, "cp.json", &size);
	char *digit = strstr(strstr(text, "\"3\": "), "\"seqno\":100");
	digit[strlen("\"seqno\":")] = '9';
	for (int life = 0; life < 3; life++) {
		s = open_ok(&kinds[0], sim_env(sim));
		load_all(s, c, FEW);
		for (uint16_t vb = 0; vb < FEW; vb++) {
			assert_int_equal(c[vb].damaged, vb == 3);
			assert_int_equal(verdict(&c[vb], CHECKPOINT_DEFAULT, &out),
					 vb == 3 ? ERR_CORRUPT : 0);
		}
		assert_int_equal(verdict(&c[3], CHECKPOINT_RESTART, &out), 0);
		assert_true(!out.found && !out.damaged && out.pos.seqno == 0);
		assert_int_equal(verdict(&c[3], CHECKPOINT_IGNORE, &out), ERR_CORRUPT);
		struct checkpoint next = at(5, 300);
		assert_ok(checkpoint_save(s, &next, 1, &e), &e);
		checkpoint_store_free(s);
	}
	s = open_ok(&kinds[0], sim_env(sim));
	struct checkpoint anew = at(3, 10);
	assert_ok(checkpoint_save(s, &anew, 1, &e), &e);
	checkpoint_store_free(s);
	s = open_ok(&kinds[0], sim_env(sim));
	load_all(s, c, FEW);
	assert_true(c[3].found && c[3].pos.seqno == 10 && c[5].pos.seqno == 300);
	checkpoint_store_free(s);
	sim_free(sim);
}

static void b8_a_broken_file_is_kept_when_it_is_forgiven(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint c[FEW];
	int rc;
	struct checkpoint_store *s = open_saved(&kinds[0], sim, c, FEW, OLD);
	checkpoint_store_free(s);
	uint64_t size;
	sim_bytes(sim, "cp.json", &size)[0] = 'X';
	assert_null(open_file(sim_env(sim), false, &rc, &e));
	assert_int_equal(rc, ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "cp.json"));
	s = open_file(sim_env(sim), true, &rc, &e);
	assert_ok(rc, &e);
	load_all(s, c, FEW);
	for (int vb = 0; vb < FEW; vb++)
		assert_true(c[vb].damaged && !c[vb].found);
	struct checkpoint anew = at(3, 10);
	assert_ok(checkpoint_save(s, &anew, 1, &e), &e);
	checkpoint_store_free(s);
	assert_int_equal(sim_bytes(sim, "cp.json.damaged", &size)[0], 'X');
	s = open_ok(&kinds[0], sim_env(sim));
	load_all(s, c, FEW);
	assert_true(c[3].found && !c[2].found && !c[2].damaged);
	checkpoint_store_free(s);
	sim_free(sim);
}

/* ---- the log's own ---- */

static void flip(struct sim *sim, const char *path, uint64_t at_byte)
{
	uint64_t size;
	uint8_t *p = sim_bytes(sim, path, &size);
	assert_non_null(p);
	assert_true(at_byte < size);
	p[at_byte] ^= 0x10;
}

/* What was overwritten since is whole; what was not is damaged, and so is what was never seen. A full set ends that. */
static void b8_damage_in_a_log_concerns_what_was_not_saved_since(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint c[FEW + 1];
	int rc;
	struct checkpoint_store *s = open_saved(&kinds[1], sim, c, FEW, OLD);
	fill(c, FEW, NEW);
	assert_ok(checkpoint_save(s, c, FEW / 2, &e), &e);
	checkpoint_store_free(s);
	flip(sim, segment_path, 1024 + 600);
	for (int life = 0; life < 2; life++) {
		s = open_ok(&kinds[1], sim_env(sim));
		load_all(s, c, FEW + 1);
		for (int vb = 0; vb < FEW + 1; vb++) {
			assert_int_equal(c[vb].found, vb < FEW / 2);
			assert_int_equal(c[vb].damaged, vb >= FEW / 2);
		}
		struct checkpoint one =
			at(1, 300 + (uint64_t)life); /* is carried on all the same */
		assert_ok(checkpoint_save(s, &one, 1, &e), &e);
		checkpoint_store_free(s);
	}
	s = open_log(sim_env(sim), true, &rc, &e);
	assert_ok(rc, &e);
	fill(c, FEW, 400);
	assert_ok(checkpoint_save(s, c, FEW, &e), &e); /* each begins anew: a full set */
	checkpoint_store_free(s);
	s = open_ok(&kinds[1], sim_env(sim));
	load_all(s, c, FEW + 1);
	for (int vb = 0; vb < FEW; vb++)
		assert_true(c[vb].found && c[vb].pos.seqno == 400);
	assert_true(!c[FEW].found && !c[FEW].damaged);
	checkpoint_store_free(s);
	sim_free(sim);
}

static void a_log_has_one_owner_and_can_be_looked_at(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint c[FEW];
	int rc;
	struct checkpoint_store *s = open_saved(&kinds[1], sim, c, FEW, OLD);
	assert_null(open_log(sim_env(sim), false, &rc, &e));
	assert_int_equal(rc, ERR_LOCKED);
	assert_ok(checkpoint_clear(s, &(uint16_t){ 3 }, 1, &e), &e);
	load_all(s, c, FEW);
	assert_true(!c[3].found && !c[3].damaged && c[4].found);
	checkpoint_store_free(s);
	s = open_ok(&kinds[1], sim_env(sim));
	load_all(s, c, FEW);
	assert_true(!c[3].found && c[4].found);
	checkpoint_store_free(s);
	sim_free(sim);
}

/* How many checkpoints there are for somebody who only looks. */
static unsigned looked_at(struct env *env, const char *dir, struct checkpoint c[VBS])
{
	struct err e = ERR_INIT;
	struct checkpoint_store *s;
	unsigned n = 0;
	assert_ok(checkpoint_log_look(env, dir, false, &s, &e), &e);
	load_all(s, c, VBS);
	for (size_t vb = 0; vb < VBS; vb++)
		n += c[vb].found;
	checkpoint_store_free(s);
	return n;
}

/* However often it is saved, a log stays small and is read fast; what every save of all has said is there. */
static void a_log_stays_as_small_as_a_few_sets(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	static struct checkpoint c[VBS];
	struct checkpoint_store *s = open_ok(&kinds[1], sim_env(sim));
	uint64_t most = 0, last = 0;
	uint64_t expect[VBS] = { 0 };
	struct sim_rng rng = { 7 };
	for (uint64_t save = 1; save <= (uint64_t)test_count(300, 5000); save++) {
		size_t n = save % 10 ? 1 + sim_below(&rng, 40) : VBS;
		for (size_t i = 0; i < n; i++) {
			uint16_t vb = (uint16_t)(n == VBS ? i : sim_below(&rng, VBS));
			c[i] = at(vb, save + 1);
			expect[vb] = save + 1;
		}
		assert_ok(checkpoint_save(s, c, n, &e), &e);
		most = MAX(most, sim_disk_used(sim));
		last = save;
	}
	assert_true(last && most < 8 * SEGMENT);
	assert_int_equal(looked_at(sim_env(sim), "cplog", c), VBS);
	checkpoint_store_free(s);
	s = open_ok(&kinds[1], sim_env(sim));
	load_all(s, c, VBS);
	for (size_t vb = 0; vb < VBS; vb++)
		assert_int_equal(c[vb].pos.seqno, expect[vb]);
	checkpoint_store_free(s);
	assert_int_equal(looked_at(sim_env(sim), "nowhere", c), 0);
	sim_free(sim);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return seeds_worker(argc, argv, seeded);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b4_every_call_of_a_save_failing_leaves_the_old_or_the_new_set),
		cmocka_unit_test(b4_a_save_of_a_few_torn_at_every_byte_has_the_old_set),
		cmocka_unit_test(b4_a_save_of_all_torn_at_every_byte_has_the_old_set),
		cmocka_unit_test(b8_every_cut_and_every_flipped_bit_of_a_file_is_seen),
		cmocka_unit_test(b8_a_damaged_document_concerns_its_vbucket),
		cmocka_unit_test(b8_a_broken_file_is_kept_when_it_is_forgiven),
		cmocka_unit_test(b8_damage_in_a_log_concerns_what_was_not_saved_since),
		cmocka_unit_test(a_log_has_one_owner_and_can_be_looked_at),
		cmocka_unit_test(a_log_stays_as_small_as_a_few_sets),
	};
	return cmocka_run_group_tests_name("dcp/checkpoint faults", tests, NULL, NULL);
}
