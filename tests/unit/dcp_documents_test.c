/* dcp_documents_test.c: documents that are taken in runs, straight from the bytes that were read, come as they would have
 * come one by one: two machines get the same bytes, one of them by vbucket_on_documents where it can. */
#include "tests/dcp_machine.h"

#include "dcp/wire_parse.h"
#include "tests/seeds.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ONE, RUNS };

struct pair {
	struct harness side[2];
	unsigned n_runs, n_in_runs;
	uint64_t seqno, random;
	struct buf bytes;
};

static uint32_t draw(struct pair *p, uint32_t n)
{
	p->random = p->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(p->random >> 33) % n;
}

/* Says what say_emit says of each. */
static int say_run(void *arg, struct vbucket *v, const struct doc_run *run)
{
	struct harness *h = arg;
	struct pair *p = container_of(h, struct pair, side[RUNS]);
	struct slice in = { run->first, run->bytes };
	uint32_t n = 0;
	if (h->emit_rc < 0)
		return h->emit_rc;
	while (in.len) {
		struct packet packet;
		uint64_t seqno;
		struct dcp_event ev = { .kind = 0 };
		assert_int_equal(packet_parse(in, PACKET_BODY_MAX, &packet, NULL, NULL), 1);
		assert_int_equal(event_of_packet(&packet, v->config->collections, &ev, &seqno), 1);
		ev.wire_bytes = (uint32_t)packet.len;
		ev.pos = AT(seqno, v->snap_start, v->snap_end, run->uuid);
		assert_int_equal(say_emit(arg, v, &ev), 0);
		in = slice_of(in.p + packet.len, in.len - packet.len);
		n++;
	}
	assert_int_equal(n, run->n);
	p->n_runs++;
	p->n_in_runs += n;
	return 0;
}

/* ---- what is sent ---- */

static void add(struct pair *p, uint8_t opcode, const uint8_t *extras, size_t n, struct slice key,
		struct slice value)
{
	struct packet packet = { .magic = MAGIC_REQUEST,
				 .opcode = opcode,
				 .vb_status = p->side[ONE].v.id,
				 .opaque = vbucket_opaque(&p->side[ONE].v) + (draw(p, 300) == 0),
				 .cas = draw(p, 40) ? 1000 : 1,
				 .datatype = draw(p, 300) ? (uint8_t)draw(p, 8) : 0x40,
				 .extras = slice_of(extras, n),
				 .key = key,
				 .value = value };
	packet_encode(&p->bytes, &packet);
}

static void add_marker(struct pair *p)
{
	uint8_t x[20] = { 0 };
	uint64_t to = p->seqno + 1 + draw(p, 200);
	put_be64(x, p->seqno + draw(p, 2));
	put_be64(x + 8, to);
	put_be32(x + 16, draw(p, 2) ? SNAPSHOT_MEMORY : SNAPSHOT_DISK);
	add(p, OP_DCP_SNAPSHOT_MARKER, x, 20, SLICE_NONE, SLICE_NONE);
}

static void add_document(struct pair *p)
{
	static const char *const keys[] = { "\x01key", "\x08k",      "\x85\x01k",
					    "_txn:1",  "\x08_txn:2", "_connector:cbgo:x",
					    "\xff\xff" };
	static const uint8_t lengths[] = { 31, 21, 20, 18 };
	uint8_t x[32] = { 0 };
	unsigned kind = draw(p, 6) ? 0 : draw(p, 3), length = draw(p, 60) ? kind : draw(p, 4);
	const char *key = keys[draw(p, 5) ? 0 : draw(p, ARRAY_LEN(keys))];
	p->seqno += draw(p, 100) ? 1 : draw(p, 3);
	put_be64(x, draw(p, 150) ? p->seqno : draw(p, 400));
	if (kind == 0 && draw(p, 100) == 0)
		put_be16(x + 28,
			 (uint16_t)draw(p, 10)); /* extended metadata, perhaps more than there is */
	add(p, (uint8_t)(OP_DCP_MUTATION + kind), x, lengths[length], slice_str(key),
	    slice_of("values", draw(p, 6)));
}

static void add_something(struct pair *p)
{
	uint8_t x[8];
	switch (draw(p, 30)) {
	case 0: add_marker(p); break;
	case 1:
		put_be64(x, p->seqno += draw(p, 2));
		add(p, OP_DCP_SEQNO_ADVANCED, x, 8, SLICE_NONE, SLICE_NONE);
		break;
	case 2:
		if (draw(p, 8) == 0) {
			put_be32(x, draw(p, 2));
			add(p, OP_DCP_OSO_SNAPSHOT, x, 4, SLICE_NONE, SLICE_NONE);
		}
		break;
	default: add_document(p); break;
	}
}

/* ---- both ---- */

static void take(struct harness *h, struct slice in)
{
	struct packet packet;
	size_t n = 0;
	do {
		in = slice_of(in.p + n, in.len - n);
		while ((n = vbucket_on_documents(&h->v, in)) > 0)
			in = slice_of(in.p + n, in.len - n);
		if (packet_parse(in, PACKET_BODY_MAX, &packet, NULL, NULL) != 1)
			return;
		vbucket_on_packet(&h->v, &packet, h->now);
		n = packet.len;
	} while (in.len);
}

static void compare(struct pair *p)
{
	const struct vbucket *a = &p->side[ONE].v, *b = &p->side[RUNS].v;
	if (strcmp(buf_cstr(&p->side[ONE].log), buf_cstr(&p->side[RUNS].log)) != 0)
		fail_msg("seed %u: one by one\n%sin runs\n%s", seeds_current(),
			 buf_cstr(&p->side[ONE].log), buf_cstr(&p->side[RUNS].log));
	buf_reset(&p->side[ONE].log);
	buf_reset(&p->side[RUNS].log);
	assert_int_equal(p->side[ONE].dropped_bytes, p->side[RUNS].dropped_bytes);
	assert_int_equal(p->side[ONE].emitted_bytes, p->side[RUNS].emitted_bytes);
	assert_memory_equal(&a->pos, &b->pos, sizeof(a->pos));
	assert_memory_equal(&a->points, &b->points, sizeof(a->points));
	assert_memory_equal(a->n_docs, b->n_docs, sizeof(a->n_docs));
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->delivered, b->delivered);
	assert_int_equal(a->held.n, b->held.n);
	assert_int_equal(a->n_violations, b->n_violations);
}

#define EACH(p, h) for (struct harness *h = (p)->side; h < (p)->side + 2; h++)

static void end_both(struct pair *p)
{
	EACH(p, h)
	{
		vbucket_stop(&h->v);
		vbucket_done(&h->v);
		buf_done(&h->log);
		buf_done(&h->packet);
	}
	buf_done(&p->bytes);
}

static const struct slice metadata[] = { { (const uint8_t *)"_connector:cbgo:", 16 },
					 { (const uint8_t *)"_txn:", 5 } };

static void begin_both(struct pair *p, struct vbucket_config c, uint64_t from, bool gated)
{
	static struct vbucket_ops with_runs;
	with_runs = ops;
	with_runs.emit_run = say_run;
	p->seqno = from;
	EACH(p, h)
	{
		*h = (struct harness){ .config = c, .now = NSEC_PER_SEC };
		h->config.arg = h;
		h->config.ops = h == &p->side[RUNS] ? &with_runs : &ops;
		vbucket_init(&h->v, 40, &h->config, 1);
		begin(h, AT(from, from, from, from ? 'a' : 0));
		vbucket_set_gate(&h->v, gated ? GATE_ON : GATE_OFF, h->now);
		accept(h, from ? "b12 a0" : "a0");
	}
}

static void run_seed(unsigned seed)
{
	static struct pair p;
	p = (struct pair){ .random = seed };
	struct vbucket_config c = { .stream_flags = STREAM_ACTIVE_ONLY,
				    .collections = draw(&p, 2),
				    .skip_prefix = metadata,
				    .n_skip_prefix = ARRAY_LEN(metadata),
				    .skip_until_cas = draw(&p, 2) ? 500 : 0 };
	begin_both(&p, c, draw(&p, 2) ? 0 : 5 + draw(&p, 10), draw(&p, 3) == 0);
	add_marker(&p);
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned n = draw(&p, 90); n > 0; n--)
			add_something(&p);
		size_t cut = draw(&p, 4) ? 0 : draw(&p, 60); /* the rest never comes */
		struct slice in = { p.bytes.p, p.bytes.len - MIN(cut, p.bytes.len) };
		EACH(&p, h)
		take(h, in);
		compare(&p);
		buf_reset(&p.bytes);
		uint64_t persisted = draw(&p, (uint32_t)p.seqno + 5);
		uint64_t branch = draw(&p, 2) ? 'a' : 'b';
		EACH(&p, h)
		vbucket_on_persisted(&h->v, branch, persisted, h->now);
		compare(&p);
	}
	end_both(&p);
}

static void runs_say_what_single_documents_say(void **state)
{
	(void)state;
	static const struct seeded row = { "runs", run_seed };
	seeds_run(&row, 5000);
}

/* Else the test above compares nothing. */
static void the_documents_of_a_snapshot_come_in_runs(void **state)
{
	(void)state;
	static struct pair p;
	uint8_t x[31] = { 0 };
	p = (struct pair){ .random = 1 };
	begin_both(&p, (struct vbucket_config){ .stream_flags = STREAM_ACTIVE_ONLY }, 0, false);
	struct harness *h = &p.side[RUNS];
	marker(h, 0, 200);
	for (uint64_t i = 1; i <= 200; i++) {
		put_be64(x, i);
		packet_encode(&p.bytes, &(struct packet){ .magic = MAGIC_REQUEST,
							  .opcode = OP_DCP_MUTATION,
							  .opaque = vbucket_opaque(&h->v),
							  .extras = slice_of(x, 31),
							  .key = SLICE_LIT("k") });
	}
	take(h, buf_slice(&p.bytes));
	assert_int_equal(p.n_in_runs, 199); /* the last one ends the snapshot: a place of its own */
	assert_int_equal(p.n_runs, 4);
	assert_int_equal(h->v.pos.seqno, 200);
	end_both(&p);
}

/* Its header promises what is not there, and memory ends with it. */
static void a_document_without_its_extras_is_not_read_beyond_its_end(void **state)
{
	(void)state;
	static const uint8_t extras[] = { 31, 21, 20 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + page, page, PROT_NONE), 0);
	uint8_t *h = p + page - PACKET_HEADER;
	struct wire_quick d;
	for (unsigned i = 0; i < ARRAY_LEN(extras); i++) {
		h[0] = MAGIC_REQUEST;
		h[1] = (uint8_t)(OP_DCP_MUTATION + i);
		h[4] = extras[i];
		assert_int_equal(wire_doc_quick(slice_of(h, PACKET_HEADER), false, &d), 0);
	}
	assert_int_equal(munmap(p, 2 * page), 0);
}

int main(int argc, char **argv)
{
	static const struct seeded rows[] = { { "runs", run_seed }, { 0 } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_say_what_single_documents_say),
		cmocka_unit_test(the_documents_of_a_snapshot_come_in_runs),
		cmocka_unit_test(a_document_without_its_extras_is_not_read_beyond_its_end),
	};
	if (argc > 1)
		return seeds_worker(argc, argv, rows);
	return cmocka_run_group_tests_name("dcp/documents", tests, NULL, NULL);
}
