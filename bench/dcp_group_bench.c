/* How long a start takes, and a move of vBuckets from seven members to an eighth: 1,024 vBuckets on three nodes.
 *
 *	dcp_group [--quick]
 *
 * While the vBuckets move, documents are written all over. Undisturbed means: a vBucket that stays delivers what is
 * written as ever, once.
 */
#include "bench/dcp_bench.h"

#include "weir/weir.h"

enum { VBS = 1024, BEFORE = 7, AFTER = 8, STARTS = 9 };
enum { DELAY_MS = 500 }; /* longer than every member takes to notice the new one */

static struct fake *fake;
static char hosts[32];

static struct fake *cluster_here(void)
{
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 3, .vbuckets = VBS });
	if (!f)
		die("no cluster");
	snprintf(hosts, sizeof(hosts), "127.0.0.1:%u", fake_kv_port(f, 0));
	return f;
}

/* ---- start ---- */

static void start_up(unsigned n)
{
	double first[STARTS], all[STARTS];
	struct cluster c =
		cluster_start(&(struct fake_options){ .nodes = 3, .vbuckets = VBS }, VBS, 256);
	char seed[32];
	const char *seeds[] = { seed };
	snprintf(seed, sizeof(seed), "127.0.0.1:%u", c.port);
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "bench" };
	for (unsigned i = 0; i < n; i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s;
		struct dcp_batch b;
		double t0 = now();
		if (dcp_source_open(&o, &s, &e) < 0 || dcp_source_assign_share(s, 1, 1, &e) < 0)
			die(e.msg);
		for (unsigned got = 0; got < VBS; got += (unsigned)b.n) {
			if (dcp_source_poll(s, &b, 10 * NSEC_PER_SEC, &e) <= 0)
				die("the stream stopped");
			if (got == 0)
				first[i] = (now() - t0) * 1e3;
			(void)dcp_source_ack_batch(s, b.ev, b.n);
		}
		all[i] = (now() - t0) * 1e3;
		(void)dcp_source_close(s, &e);
	}
	printf("start, %d vBuckets on 3 nodes: first event after %.1f ms, one of each vBucket "
	       "after "
	       "%.1f ms (median of %u)\n",
	       VBS, median(first, n), median(all, n), n);
	cluster_stop(&c);
}

/* ---- moving ---- */

struct vb {
	double written; /* 0: nothing is on its way */
	uint64_t seqno;
	int owner;
	bool moved;
	double slowest;
};
static struct vb vbs[VBS];
static unsigned duplicates, missing, on_way;

static weir_dcp *join(enum weir_dcp_members kind)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = kind,
				  .heartbeat_monitor_ms = 200,
				  .rebalance_delay_ms = kind == WEIR_DCP_MEMBERS_DYNAMIC
								? WEIR_DCP_NO_DELAY
								: DELAY_MS };
	weir_dcp_options o = { .size = sizeof(o),
			       .hosts = hosts,
			       .user = "Administrator",
			       .password = "password",
			       .bucket = "default",
			       .group = "bench",
			       .checkpoint_bucket = "default",
			       .membership = &m };
	if (weir_dcp_open(&o, &d, &e) != 0)
		die(e.message);
	return d;
}

static void note(int member, const weir_dcp_info *i)
{
	struct vb *v = &vbs[i->vbucket];
	if (i->kind != WEIR_DCP_MUTATION || i->key_len < 2 || memcmp(i->key, "b-", 2) != 0)
		return;
	if (v->owner != member && v->owner >= 0)
		v->moved = true;
	v->owner = member;
	if (i->seqno <= v->seqno) {
		duplicates++;
		return;
	}
	v->seqno = i->seqno;
	if (v->written > 0)
		v->slowest = MAX(v->slowest, (now() - v->written) * 1e3);
	on_way -= v->written > 0;
	v->written = 0;
}

static void take(weir_dcp *d, int member)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	int rc = weir_dcp_poll(d, 0, &events, &n, &e);
	if (rc < 0)
		die(e.message);
	for (size_t i = 0; rc > 0 && i < n; i++) {
		weir_dcp_info info = { .size = sizeof(info) };
		weir_dcp_event_info(d, weir_dcp_event_at(events, i), &info);
		note(member, &info);
	}
	if (rc > 0)
		(void)weir_dcp_ack(d, events, n);
}

static void write_one(unsigned vb)
{
	char key[16];
	snprintf(key, sizeof(key), "b-%u", vb);
	vbs[vb].written = now();
	on_way++;
	(void)fake_set(fake, vb, 0, key, SLICE_LIT("{}"));
}

/* One round: a few documents, and whatever the members have. */
static void step(weir_dcp **d, int n)
{
	static unsigned next;
	for (unsigned i = 0; i < 16; i++, next = (next + 5) % VBS)
		if (vbs[next].written == 0)
			write_one(next);
	for (int i = 0; i < n; i++)
		take(d[i], i);
}

static uint32_t held(weir_dcp *d)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_member m = { .size = sizeof(m) };
	return weir_dcp_member_get(d, &m, &e) == 0 && m.settled ? m.vbuckets : 0;
}

static void until_spread(weir_dcp **d, int n)
{
	double end = now() + 60;
	for (;;) {
		uint32_t sum = 0, least = VBS;
		for (int i = 0; i < n; i++) {
			uint32_t h = held(d[i]);
			sum += h;
			least = MIN(least, h);
		}
		if (sum == VBS && least >= VBS / (unsigned)n)
			return;
		if (now() > end)
			die("the members do not settle");
		step(d, n);
	}
}

static void until_all_came(weir_dcp **d, int n)
{
	double end = now() + 30;
	for (unsigned vb = 0; vb < VBS; vb++)
		if (vbs[vb].written == 0)
			write_one(vb);
	while (on_way && now() < end)
		for (int i = 0; i < n; i++)
			take(d[i], i);
	missing += on_way;
}

static void move(const char *what, enum weir_dcp_members kind)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[AFTER];
	bool told = kind == WEIR_DCP_MEMBERS_DYNAMIC;
	fake = cluster_here();
	memset(vbs, 0, sizeof(vbs));
	duplicates = missing = on_way = 0;
	for (unsigned i = 0; i < VBS; i++)
		vbs[i].owner = -1;
	for (int i = 0; i < BEFORE; i++)
		d[i] = join(kind);
	for (int i = 0; told && i < BEFORE; i++)
		(void)weir_dcp_set_membership(d[i], (uint32_t)i + 1, BEFORE, &e);
	until_spread(d, BEFORE);
	until_all_came(d, BEFORE);
	unsigned before = duplicates;
	for (unsigned i = 0; i < VBS; i++) {
		vbs[i].slowest = 0;
		vbs[i].moved = false;
	}
	double t0 = now();
	d[BEFORE] = join(kind);
	for (int i = 0; told && i < AFTER; i++)
		(void)weir_dcp_set_membership(d[i], (uint32_t)i + 1, AFTER, &e);
	until_spread(d, AFTER);
	double spread = now() - t0;
	until_all_came(d, AFTER);
	double all = now() - t0, slowest_stayed = 0, slowest_moved = 0;
	unsigned moved = 0;
	for (unsigned i = 0; i < VBS; i++) {
		moved += vbs[i].moved;
		if (vbs[i].moved)
			slowest_moved = MAX(slowest_moved, vbs[i].slowest);
		else
			slowest_stayed = MAX(slowest_stayed, vbs[i].slowest);
	}
	printf("move, %s: %u of %d vBuckets to member %d: settled after %.0f ms, an event of each "
	       "after %.0f ms; slowest event %.0f ms, of those that stay %.1f ms; %u twice, %u "
	       "missing\n",
	       what, moved, VBS, AFTER, spread * 1e3, all * 1e3, slowest_moved, slowest_stayed,
	       duplicates - before, missing);
	for (int i = 0; i < AFTER; i++)
		(void)weir_dcp_close(d[i], &e);
	fake_stop(fake);
	if (missing)
		die("events are missing");
}

int main(int argc, char **argv)
{
	bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	start_up(quick ? 1 : STARTS);
	move("dynamic", WEIR_DCP_MEMBERS_DYNAMIC);
	if (!quick)
		move("couchbase, noticed within 200 ms and done 500 ms later",
		     WEIR_DCP_MEMBERS_COUCHBASE);
	return 0;
}
