/* Everything that can happen to a cluster, at random: what was delivered is what the history says, without a gap.
 *
 * The seed draws the cluster (8 to 1,024 vBuckets, the copies, snapshots, collections), the client (policy, window,
 * filter, attributes) and the plan: what happens when. Only the threads' timing is not the seed's. */
#include "tests/dcp_world.h"

enum { STEPS = 30, COLLS_MAX = 12 };

struct plan {
	struct world *w;
	struct fake_options fo;
	unsigned vbs, nodes;
	bool node_lost;
	unsigned counter, named, keys;
	struct {
		uint32_t id;
		char scope[16], name[16];
	} coll[COLLS_MAX]; /* that exist; 0 the default one */
	unsigned n_colls;
	bool by_scope;
	unsigned poll_seed;
};

static unsigned upto(unsigned n)
{
	return (unsigned)rand() % n;
}

static bool one_in(unsigned n)
{
	return upto(n) == 0;
}

/* ---- what is written ---- */

static void put_attributes(struct buf *b, unsigned n)
{
	char pair[64];
	int len = snprintf(pair, sizeof(pair), "_sync%c{\"rev\":%u}", '\0', n) + 1;
	uint8_t number[4];
	put_be32(number, (uint32_t)len + 4);
	buf_add(b, number, 4);
	put_be32(number, (uint32_t)len);
	buf_add(b, number, 4);
	buf_add(b, pair, (size_t)len);
}

static void write_document(struct plan *p, unsigned vb, uint32_t cid, const char *key)
{
	AUTO(buf) struct buf b = BUF_INIT;
	static const char blanks[] =
		"                                                                  ";
	static char packed[VALUE_ROOM * 2];
	unsigned n = ++p->counter;
	bool attributes = one_in(4), compressed = one_in(3) && (!attributes || p->w->o.xattrs);
	if (attributes)
		put_attributes(&b, n);
	buf_add_fmt(&b, "{\"n\":%u", n);
	for (unsigned i = compressed ? 3 + upto(8) : one_in(20) ? 40 : 0; i > 0; i--)
		buf_add(&b, blanks, sizeof(blanks) - 1);
	buf_add_str(&b, "}");
	uint8_t datatype = (uint8_t)(1 | (attributes ? 4 : 0) | (compressed ? 2 : 0));
	struct slice value = buf_slice(&b);
	size_t len = sizeof(packed);
	if (compressed) {
		assert_int_equal(snappy_compress((const char *)value.p, value.len, packed, &len),
				 SNAPPY_OK);
		value = slice_of(packed, len);
	}
	(void)fake_put(p->w->fake, vb, cid, key, value, datatype);
}

static void write_one(struct plan *p)
{
	char key[24];
	unsigned vb = upto(p->vbs), what = upto(12), c = upto(p->n_colls);
	(void)snprintf(key, sizeof(key), "k%u", upto(p->keys));
	if (what == 0)
		(void)fake_delete(p->w->fake, vb, p->coll[c].id, key);
	else if (what == 1)
		(void)fake_expire(p->w->fake, vb, p->coll[c].id, key);
	else
		write_document(p, vb, p->coll[c].id, key);
}

static void write_many(struct plan *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		write_one(p);
}

/* ---- collections ---- */

static void create_collection(struct plan *p, const char *scope)
{
	if (p->n_colls == COLLS_MAX)
		return;
	char name[16];
	(void)snprintf(name, sizeof(name), "c%u", p->named++);
	uint32_t id = fake_create_collection(p->w->fake, scope, name);
	assert_true(id != 0);
	p->coll[p->n_colls].id = id;
	(void)snprintf(p->coll[p->n_colls].scope, 16, "%s", scope);
	(void)snprintf(p->coll[p->n_colls].name, 16, "%s", name);
	p->n_colls++;
	if (p->by_scope && strcmp(scope, "shop") == 0)
		p->w->cid[p->w->n_cids++] = id;
}

static void drop_collection(struct plan *p)
{
	unsigned i = upto(p->n_colls);
	bool filtered = p->coll[i].id == 0;
	for (unsigned k = 0; k < p->w->n_cids; k++)
		filtered |= p->w->cid[k] == p->coll[i].id;
	if (filtered || p->w->n_dropped == CIDS_MAX) /* the end of its stream: another test's */
		return;
	assert_true(fake_drop_collection(p->w->fake, p->coll[i].scope, p->coll[i].name));
	p->w->dropped[p->w->n_dropped++] = p->coll[i].id;
	p->coll[i] = p->coll[--p->n_colls];
}

/* ---- what happens ---- */

static unsigned some_node(struct plan *p)
{
	unsigned lost = p->node_lost; /* it was the last one */
	return upto(p->nodes - lost);
}

static void fault(struct plan *p, struct fake_fault x)
{
	fake_fault(p->w->fake, &x);
}

static void refuse_requests(struct plan *p)
{
	static const uint8_t opcodes[] = { 0x53, 0x53, 0x53, 0x54, 0x48, 0x50, 0x89, 0xb5, 0x91 };
	/* temporary, busy, no access, not my vBucket, no memory, internal, exists */
	static const uint16_t statuses[] = { 0x86, 0x85, 0x24, 0x07, 0x82, 0x84, 0x02 };
	uint8_t opcode = opcodes[upto(ARRAY_LEN(opcodes))];
	fault(p, (struct fake_fault){ .kind = FAKE_STATUS,
				      .node = -1,
				      .vb = -1,
				      .opcode = opcode,
				      .count = 1 + upto(4),
				      .status = statuses[upto(ARRAY_LEN(statuses))] });
}

static void lose_a_node(struct plan *p)
{
	if (p->node_lost || p->nodes < 3 || !p->fo.replicas || !one_in(4))
		return;
	p->node_lost = true;
	fake_failover_node(p->w->fake, p->nodes - 1);
}

static void config_storm(struct plan *p)
{
	for (unsigned i = 3 + upto(15); i > 0; i--) {
		if (one_in(3))
			fake_move_vb(p->w->fake, upto(p->vbs), some_node(p));
		else
			fake_push_map(p->w->fake);
	}
}

static void rebalance(struct plan *p)
{
	unsigned node = some_node(p);
	for (unsigned i = 1 + upto(p->vbs / 2); i > 0; i--)
		fake_move_vb(p->w->fake, upto(p->vbs), node);
}

static void history_changes(struct plan *p, unsigned vb)
{
	uint64_t high = fake_high_seqno(p->w->fake, vb);
	switch (upto(6)) {
	case 0: fake_failover_vb(p->w->fake, vb, 1); break;
	case 1: fake_failover_vb(p->w->fake, vb, 2); break;
	case 2: fake_crash_vb(p->w->fake, vb); break;
	case 3:
		fake_replicate(p->w->fake, vb, 1 + upto(2), high - upto(4) % (high + 1));
		fake_failover_vb(p->w->fake, vb, 1);
		break;
	case 4:
		fault(p, (struct fake_fault){ .kind = FAKE_ROLLBACK,
					      .node = -1,
					      .vb = (int)vb,
					      .count = 1 + upto(3),
					      .n = upto((unsigned)high + 1) });
		break;
	case 5:
		p->w->seen[vb].purged = MAX(p->w->seen[vb].purged, high / 2);
		fake_purge(p->w->fake, vb, high / 2);
		break;
	}
}

static void happen(struct plan *p)
{
	struct fake *f = p->w->fake;
	unsigned vb = upto(p->vbs), copy = upto(p->fo.replicas + 1);
	int node = (int)some_node(p);
	switch (upto(22)) {
	case 0:
	case 1:
	case 2:
	case 3: history_changes(p, vb); break;
	case 4: fake_move_vb(f, vb, (unsigned)node); break;
	case 5: rebalance(p); break;
	case 6: config_storm(p); break;
	case 7: fake_drop_connections(f, one_in(3) ? -1 : node); break;
	case 8:
	case 9:
		fault(p, (struct fake_fault){
				 .kind = FAKE_CUT_AFTER, .node = node, .vb = -1, .n = upto(3000) });
		break;
	case 10:
	case 11: refuse_requests(p); break;
	case 12: {
		static const uint16_t reasons[] = { 0, 1, 2, 3, 4, 5, 6, 8 };
		fault(p, (struct fake_fault){ .kind = FAKE_STREAM_END,
					      .node = -1,
					      .vb = (int)vb,
					      .status = reasons[upto(ARRAY_LEN(reasons))] });
		break;
	}
	case 13:
		fault(p, (struct fake_fault){
				 .kind = FAKE_SPLIT, .node = node, .vb = -1, .n = 1 + upto(40) });
		break;
	case 14:
		fault(p, (struct fake_fault){
				 .kind = FAKE_SLOW, .node = node, .vb = -1, .n = 1 + upto(5) });
		break;
	case 15: fake_warmup(f, one_in(2)); break;
	case 16:
		fault(p, (struct fake_fault){ .kind = one_in(3) ? FAKE_STALL : FAKE_DOWN,
					      .node = node,
					      .vb = -1,
					      .count = 1 });
		break;
	case 17:
		fault(p, (struct fake_fault){ .kind = one_in(2) ? FAKE_REPEAT : FAKE_DROP_CURSOR,
					      .node = -1,
					      .vb = (int)vb });
		break;
	case 18: lose_a_node(p); break;
	case 19:
		if (one_in(2))
			create_collection(p, one_in(2) ? "shop" : "_default");
		else
			drop_collection(p);
		break;
	case 20: fake_persist(f, vb, copy, upto((unsigned)fake_high_seqno(f, vb) + 1)); break;
	case 21: fake_clear_faults(f); break;
	}
}

/* ---- the seed ---- */

static unsigned draw_vbuckets(void)
{
	unsigned n = upto(100);
	return n < 60 ? 8 : n < 80 ? 16 : n < 94 ? 64 : n < 98 ? 256 : 1024;
}

static enum mitigation_policy draw_policy(void)
{
	static const enum mitigation_policy policies[] = { MITIGATE_NONE,     MITIGATE_NONE,
							   MITIGATE_NONE,     MITIGATE_ALL,
							   MITIGATE_ALL,      MITIGATE_ALL,
							   MITIGATE_MAJORITY, MITIGATE_ACTIVE };
	return policies[upto(ARRAY_LEN(policies))];
}

static void draw_cluster(struct plan *p)
{
	p->vbs = draw_vbuckets();
	p->nodes = 1 + upto(4);
	p->fo = (struct fake_options){ .nodes = p->nodes,
				       .vbuckets = p->vbs,
				       .replicas = upto(p->nodes < 3 ? p->nodes : 3),
				       .hold_persistence = !one_in(4),
				       .persist_delay_ms = (int)upto(4),
				       .checkpoint_items = 1 + upto(20),
				       .version = one_in(2) ? 80 : 0,
				       .ephemeral = one_in(10),
				       .magma = one_in(6),
				       .oso_items = one_in(3) ? 3 : 0 };
}

static void draw_client(struct plan *p)
{
	static const uint32_t windows[] = { 0, 0, 2000, 20000, 200000 };
	static const char *const shop_c0[] = { "c0" };
	struct dcp_options *o = &p->w->o;
	o->mitigation.policy = draw_policy();
	o->noop = 150 * NSEC_PER_MS;
	o->window_bytes = windows[upto(ARRAY_LEN(windows))];
	o->xattrs = one_in(2);
	o->system_events = one_in(3);
	o->rollback_unacked = one_in(5);
	o->change_streams = p->w->complete = p->fo.magma;
	if (!one_in(3))
		return;
	o->scope = "shop";
	o->system_events = false;
	o->out_of_order = one_in(2);
	p->by_scope = one_in(2);
	if (!p->by_scope) {
		o->collections = shop_c0;
		o->n_collections = 1;
		p->w->cid[p->w->n_cids++] = p->coll[1].id;
	} else {
		p->w->cid[p->w->n_cids++] = p->coll[1].id;
		p->w->cid[p->w->n_cids++] = p->coll[2].id;
	}
}

static void poll_a_little(struct plan *p)
{
	while (rand_r(&p->poll_seed) % 3 && pump_once(p->w, NSEC_PER_MS / 2))
		;
}

/* Only a stream that was opened again, or a rollback, takes a vBucket back. */
static void count_openings(void *arg, const struct dcp_vbucket_status *v)
{
	struct world *w = arg;
	if (w->seen[v->vb].backs > v->reopens + v->rollbacks)
		fail_msg("seed %u, vBucket %u: went back %u times, opened again %u times",
			 seeds_current(), v->vb, w->seen[v->vb].backs,
			 (unsigned)(v->reopens + v->rollbacks));
}

static void all_is_well_again(struct plan *p)
{
	struct fake *f = p->w->fake;
	fake_clear_faults(f);
	fake_warmup(f, false);
	for (unsigned vb = 0; vb < p->vbs; vb++)
		for (unsigned copy = 0; copy <= p->fo.replicas; copy++)
			fake_persist(f, vb, copy, UINT64_MAX);
	fake_hold_persistence(f, false);
}

static void run_chaos(unsigned seed)
{
	struct plan p = { .n_colls = 1, .poll_seed = seed };
	srand(seed);
	p.keys = 2 + upto(11);
	draw_cluster(&p);
	p.w = world_new(&p.fo);
	p.w->encoded = true;
	assert_true(fake_create_scope(p.w->fake, "shop") != 0);
	create_collection(&p, "shop");
	create_collection(&p, "shop");
	draw_client(&p);
	write_many(&p, 40 + p.vbs);
	world_open(p.w);
	for (unsigned i = 0; i < STEPS; i++) {
		happen(&p);
		write_many(&p, upto(12) + upto(1 + p.vbs / 16));
		poll_a_little(&p);
	}
	all_is_well_again(&p);
	settle(p.w, p.vbs, PATIENCE);
	assert_int_equal(dcp_source_status(p.w->source, NULL, count_openings, p.w), 0);
	world_free(p.w);
}

static const struct seeded seeded[] = { { "chaos", run_chaos }, { 0 } };

static void b1_chaos_leaves_no_gap_and_no_orphan(void **state)
{
	(void)state;
	seeds_run(&seeded[0], test_count(200, 10000));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return seeds_worker(argc, argv, seeded);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b1_chaos_leaves_no_gap_and_no_orphan),
	};
	return cmocka_run_group_tests_name("dcp/e2e chaos", tests, NULL, NULL);
}
