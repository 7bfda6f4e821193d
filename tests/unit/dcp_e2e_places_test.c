/* Every place for checkpoints through the public interface: kept, resumed from, looked at; also in another cluster, and
 * in a store of the caller's own. */
#include "tests/test.h"

#include "tests/dcp_client.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VBS = 16 };

/* ---- a store of the caller's own: a table of texts with versions ---- */

struct shelf { /* what two members share */
	struct {
		char *text;
		unsigned version;
	} slot[VBS];
	unsigned saves, clears, frees;
	int fail;       /* the next saves answer so */
	bool terse;     /* a refusal says which vBucket and no more */
	bool at_a_loss; /* not even that */
	bool without_texts;
};

struct own {
	struct shelf *shelf;
	unsigned seen[VBS];
};

static int own_load(void *arg, const uint16_t *vb, size_t n, weir_dcp_loaded *to, weir_error *e)
{
	struct own *o = arg;
	(void)e;
	for (size_t i = n; i-- > 0;) { /* in any order */
		o->seen[vb[i]] = o->shelf->slot[vb[i]].version;
		const char *text = o->shelf->slot[vb[i]].text;
		if (text && o->shelf->without_texts)
			weir_dcp_found(to, vb[i], NULL, 0);
		else if (text)
			weir_dcp_found(to, vb[i], text, strlen(text));
	}
	weir_dcp_found(to, 999, "{}", 2); /* nobody asked */
	return 0;
}

static int own_save(void *arg, const weir_dcp_saved *s, size_t n, weir_error *e)
{
	struct own *o = arg;
	if (o->shelf->fail && o->shelf->terse)
		(void)snprintf(e->message, sizeof(e->message), "the shelf is full");
	if (o->shelf->fail)
		return o->shelf->fail;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = s[i].vbucket;
		if (o->shelf->slot[vb].version != o->seen[vb]) {
			e->newest = o->shelf->at_a_loss ? 0 : vb;
			if (o->shelf->terse)
				return WEIR_ERR_FENCED;
			e->code = WEIR_ERR_FENCED;
			(void)snprintf(e->message, sizeof(e->message), "vBucket %u is taken", vb);
			return WEIR_ERR_FENCED;
		}
		assert_int_equal(strlen(s[i].text), s[i].len);
		free(o->shelf->slot[vb].text);
		o->shelf->slot[vb].text = strdup(s[i].text);
		o->seen[vb] = ++o->shelf->slot[vb].version;
	}
	o->shelf->saves++;
	return 0;
}

static int own_clear(void *arg, const uint16_t *vb, size_t n, weir_error *e)
{
	struct own *o = arg;
	(void)e;
	for (size_t i = 0; i < n; i++) {
		free(o->shelf->slot[vb[i]].text);
		o->shelf->slot[vb[i]].text = NULL;
		o->shelf->clears++;
	}
	return 0;
}

static void own_free(void *arg)
{
	((struct own *)arg)->shelf->frees++;
}

static weir_dcp_store own_store(struct own *o)
{
	return (weir_dcp_store){ .size = sizeof(weir_dcp_store),
				 .arg = o,
				 .fences = true,
				 .load = own_load,
				 .save = own_save,
				 .clear = own_clear,
				 .free = own_free };
}

static void shelf_done(struct shelf *s)
{
	for (unsigned i = 0; i < VBS; i++)
		free(s->slot[i].text);
}

/* ---- the stream ---- */

static weir_dcp_options options_of(struct fake *f, char hosts[64])
{
	(void)snprintf(hosts, 64, "127.0.0.1:%u", fake_kv_port(f, 0));
	return client_options(hosts);
}

static void load_documents(struct fake *f, unsigned round, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%u-%u", round, i);
		(void)fake_set(f, i % VBS, 0, key, SLICE_LIT("{}"));
	}
}

/* Takes what comes until n events are here; what else comes within a moment is too much. */
static unsigned drain(weir_dcp *d, unsigned want)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	unsigned got = 0;
	while (weir_dcp_poll(d, got < want ? PATIENCE_MS : 30, &events, &n, &e) == 1) {
		for (size_t i = 0; i < n; i++) {
			weir_dcp_info info = { .size = sizeof(info) };
			weir_dcp_event_info(d, weir_dcp_event_at(events, i), &info);
			got += info.kind == WEIR_DCP_MUTATION;
		}
		(void)weir_dcp_ack(d, events, n);
	}
	return got;
}

struct looked {
	unsigned n, found, behind, damaged, foreign;
};

static int look(void *arg, const weir_dcp_place *p)
{
	struct looked *l = arg;
	assert_int_equal(p->vbucket, l->n++);
	l->found += p->found;
	l->behind += p->lag > 0;
	l->damaged += p->damaged;
	l->foreign += p->foreign;
	return 0;
}

static struct looked places(const weir_dcp_options *o)
{
	struct looked l = { 0 };
	weir_error e = WEIR_ERROR_INIT;
	if (weir_dcp_places(o, PATIENCE_MS, look, &l, &e) != 0)
		fail_msg("%s", e.message);
	assert_int_equal(l.n, VBS);
	return l;
}

/* Two lives, looked at before, between, and while the second is open. */
static void two_lives(struct fake *f, const weir_dcp_options *o, bool keeps)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	assert_int_equal(places(o).found, 0);
	for (unsigned round = 0; round < 2; round++) {
		load_documents(f, round, 4 * VBS);
		if (weir_dcp_open(o, &d, &e) != 0)
			fail_msg("%s", e.message);
		assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
		unsigned want = keeps ? 4 * VBS : (round + 1) * 4 * VBS;
		assert_int_equal(drain(d, want), want);
		assert_int_equal(weir_dcp_commit(d, &e), 0);
		struct looked l = places(o);
		assert_int_equal(l.found, keeps ? VBS : 0);
		assert_int_equal(l.behind, keeps ? 0 : VBS);
		assert_int_equal(weir_dcp_close(d, &e), 0);
	}
	load_documents(f, 2, 3);
	assert_int_equal(places(o).behind, keeps ? 3 : VBS);
}

static struct fake *cluster(void)
{
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	assert_non_null(f);
	return f;
}

static void a_file_a_log_and_none(void **state)
{
	(void)state;
	char path[300], folder[256], hosts[64];
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	for (int kind = 0; kind < 3; kind++) {
		struct fake *f = cluster();
		weir_dcp_options o = options_of(f, hosts);
		(void)snprintf(path, sizeof(path), "%s/%d", folder, kind);
		o.checkpoint_file = kind == 0 ? path : NULL;
		o.checkpoint_log = kind == 1 ? path : NULL;
		o.checkpoint_none = kind == 2;
		two_lives(f, &o, kind < 2);
		fake_stop(f);
	}
	test_rmdir(folder);
}

/* Beside the one who writes, and without leaving as much as a lock behind. */
static void who_only_reads_a_file_or_a_log_needs_no_lock_and_makes_nothing(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *writer, *reader;
	char path[300], lock[320], folder[256], hosts[64];
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	for (int log = 0; log < 2; log++) {
		struct fake *f = cluster();
		weir_dcp_options o = options_of(f, hosts);
		(void)snprintf(path, sizeof(path), "%s/%d", folder, log);
		(void)snprintf(lock, sizeof(lock), "%s%s", path, log ? "" : ".lock");
		*(log ? &o.checkpoint_log : &o.checkpoint_file) = path;
		weir_dcp_options only = o;
		only.checkpoint_read_only = true;
		load_documents(f, 0, VBS);
		assert_int_equal(weir_dcp_open(&only, &reader, &e), 0);
		assert_int_equal(weir_dcp_assign_share(reader, 1, 1, &e), 0);
		assert_int_equal(drain(reader, VBS), VBS);
		assert_int_equal(weir_dcp_close(reader, &e), 0);
		assert_int_equal(access(lock, F_OK), -1);
		assert_int_equal(weir_dcp_open(&o, &writer, &e), 0);
		assert_int_equal(weir_dcp_assign_share(writer, 1, 1, &e), 0);
		assert_int_equal(drain(writer, VBS), VBS);
		assert_int_equal(weir_dcp_commit(writer, &e), 0);
		load_documents(f, 1, 3);
		if (weir_dcp_open(&only, &reader, &e) != 0)
			fail_msg("%s", e.message);
		assert_int_equal(weir_dcp_assign_share(reader, 1, 1, &e), 0);
		assert_int_equal(drain(reader, 3), 3);
		assert_int_equal(weir_dcp_commit(reader, &e), 0);
		assert_int_equal(weir_dcp_close(reader, &e), 0);
		assert_int_equal(places(&o).behind, 3);
		assert_int_equal(drain(writer, 3), 3);
		assert_int_equal(weir_dcp_close(writer, &e), 0);
		fake_stop(f);
	}
	test_rmdir(folder);
}

/* The cluster's own documents count as changes of it, so they lie elsewhere. */
static void documents_in_another_cluster_with_its_own_login_and_collection(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	char hosts[64], meta_hosts[64];
	struct fake *f = cluster();
	struct fake *meta = fake_start(&(struct fake_options){ .nodes = 3,
							       .vbuckets = 64,
							       .bucket = "meta",
							       .user = "keeper",
							       .password = "secret" });
	assert_non_null(meta);
	assert_true(fake_create_scope(meta, "groups"));
	assert_true(fake_create_collection(meta, "groups", "checkpoints"));
	weir_dcp_options o = options_of(f, hosts);
	(void)snprintf(meta_hosts, sizeof(meta_hosts), "127.0.0.1:%u", fake_kv_port(meta, 1));
	o.checkpoint_hosts = meta_hosts;
	o.checkpoint_bucket = "meta";
	o.checkpoint_scope = "groups";
	o.checkpoint_collection = "checkpoints";
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), WEIR_ERR_AUTH);
	(void)weir_dcp_close(d, NULL);
	o.checkpoint_user = "keeper";
	o.checkpoint_password = "secret";
	two_lives(f, &o, true);
	/* one who only reads changes nothing there */
	struct fake_stats before, after;
	o.checkpoint_read_only = true;
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
	assert_int_equal(drain(d, 3), 3);
	uint64_t high = 0, now = 0;
	fake_stats(meta, &before);
	for (unsigned vb = 0; vb < 64; vb++)
		high += fake_high_seqno(meta, vb);
	assert_int_equal(weir_dcp_commit(d, &e), 0);
	assert_int_equal(weir_dcp_close(d, &e), 0);
	fake_stats(meta, &after);
	for (unsigned vb = 0; vb < 64; vb++)
		now += fake_high_seqno(meta, vb);
	assert_int_equal(now, high);
	assert_int_equal(after.connections, before.connections);
	fake_stop(meta);
	fake_stop(f);
}

static void documents_in_the_bucket_itself_are_looked_at(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	char hosts[64];
	struct fake *f = cluster();
	weir_dcp_options o = options_of(f, hosts);
	o.checkpoint_bucket = "default";
	assert_int_equal(places(&o).found, 0);
	load_documents(f, 0, 4 * VBS);
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
	assert_int_equal(drain(d, 4 * VBS), 4 * VBS);
	assert_int_equal(weir_dcp_commit(d, &e), 0);
	assert_int_equal(places(&o).found, VBS);
	assert_int_equal(weir_dcp_close(d, &e), 0);
	/* a member of a group that looks does not join it */
	weir_dcp_membership m = { .size = sizeof(m), .kind = WEIR_DCP_MEMBERS_COUCHBASE };
	o.membership = &m;
	assert_int_equal(places(&o).found, VBS);
	fake_flush_bucket(f);
	assert_int_equal(places(&o).found, 0);
	fake_stop(f);
}

static void a_store_of_ones_own_keeps_fences_and_is_freed_once(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	char hosts[64];
	struct fake *f = cluster();
	struct shelf shelf = { 0 };
	struct own mine = { &shelf, { 0 } }, other = { &shelf, { 0 } };
	weir_dcp_store store = own_store(&mine), theirs = own_store(&other);
	weir_dcp_options o = options_of(f, hosts);
	o.checkpoint_store = &store;
	two_lives(f, &o, true);
	assert_int_equal(shelf.frees, 2); /* by close, not by who looked */
	/* open fails: it stays the caller's */
	o.password = "wrong";
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_AUTH);
	assert_int_equal(shelf.frees, 2);
	o.password = "password";
	/* what is refused is told, and tried again */
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
	assert_int_equal(drain(d, 3), 3);
	shelf.fail = WEIR_ERR_NOSPACE;
	assert_int_equal(weir_dcp_commit(d, &e), WEIR_ERR_NOSPACE);
	assert_non_null(strstr(e.message, "checkpoint store"));
	shelf.fail = 0;
	/* another one writes vBucket 2 meanwhile */
	shelf.slot[2].version++;
	assert_int_equal(weir_dcp_commit(d, &e), WEIR_ERR_FENCED);
	const weir_dcp_event *events;
	size_t n;
	weir_dcp_info info = { .size = sizeof(info) };
	assert_int_equal(weir_dcp_poll(d, PATIENCE_MS, &events, &n, &e), 1);
	weir_dcp_event_info(d, weir_dcp_event_at(events, 0), &info);
	assert_true(info.kind == WEIR_DCP_END && info.vbucket == 2 && info.code == WEIR_ERR_FENCED);
	assert_int_equal(weir_dcp_commit(d, &e), 0); /* the others are saved */
	/* clearing: not what is assigned */
	assert_int_equal(weir_dcp_clear_checkpoints(d, (uint16_t[]){ 1 }, 1, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_assign(d, (uint16_t[]){ 3, 4 }, 2, &e), 0);
	assert_int_equal(weir_dcp_clear_checkpoints(d, (uint16_t[]){ 1 }, 1, &e), 0);
	assert_int_equal(shelf.clears, 1);
	assert_int_equal(weir_dcp_close(d, &e), 0);
	assert_int_equal(shelf.frees, 3);
	/* a text that is none ends its vBucket, or begins anew */
	free(shelf.slot[5].text);
	shelf.slot[5].text = strdup("{\"checkpoint\":");
	o.checkpoint_store = &theirs;
	struct looked l = places(&o);
	assert_true(l.damaged == 1 && l.found == VBS - 2);
	o.damaged = WEIR_DCP_POLICY_RESTART;
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign(d, (uint16_t[]){ 5 }, 1, &e), 0);
	assert_int_equal(drain(d, 8), 8);
	assert_int_equal(weir_dcp_close(d, &e), 0);
	assert_int_equal(places(&o).damaged, 0);
	shelf_done(&shelf);
	fake_stop(f);
}

/* One event, of a vBucket that ended with this error. */
static void ends(weir_dcp *d, unsigned vbucket, int code)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_info info = { .size = sizeof(info) };
	const weir_dcp_event *events;
	size_t n;
	assert_int_equal(weir_dcp_poll(d, 5000, &events, &n, &e), 1);
	weir_dcp_event_info(d, weir_dcp_event_at(events, 0), &info);
	assert_int_equal(info.kind, WEIR_DCP_END);
	assert_int_equal(info.vbucket, vbucket);
	assert_int_equal(info.code, code);
}

/* What weir_dcp_options.checkpoint_store asks of it, and no more; then less. */
static void a_store_that_says_little_is_understood(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	char hosts[64];
	struct fake *f = cluster();
	struct shelf shelf = { .terse = true };
	struct own mine = { &shelf, { 0 } };
	weir_dcp_store store = own_store(&mine);
	weir_dcp_options o = options_of(f, hosts);
	o.checkpoint_store = &store;
	load_documents(f, 0, VBS);
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
	assert_int_equal(drain(d, VBS), VBS);
	assert_int_equal(weir_dcp_commit(d, &e),
			 0); /* the first ones, too: from here on only we save */
	load_documents(f, 1, VBS);
	assert_int_equal(drain(d, VBS), VBS);
	shelf.fail = WEIR_ERR_IO;
	assert_int_equal(weir_dcp_commit(d, &e), WEIR_ERR_IO);
	assert_string_equal(e.message, "the shelf is full");
	shelf.fail = 0;
	shelf.slot[2].version++;
	assert_int_equal(weir_dcp_commit(d, &e), WEIR_ERR_FENCED);
	ends(d, 2, WEIR_ERR_FENCED);
	assert_int_equal(weir_dcp_commit(d, &e), 0);
	/* a vBucket that is not even among those to be saved: the save fails, it does not go on for ever */
	load_documents(f, 2, VBS);
	assert_int_equal(drain(d, VBS - 1), VBS - 1);
	shelf.at_a_loss = true;
	shelf.slot[0].version++;
	assert_int_equal(weir_dcp_commit(d, &e), WEIR_ERR_FENCED);
	ends(d, 0, WEIR_ERR_FENCED);
	load_documents(f, 3, VBS);
	assert_int_equal(drain(d, VBS - 2), VBS - 2);
	shelf.slot[5].version++;
	assert_int_equal(weir_dcp_commit(d, &e), WEIR_ERR_FENCED);
	assert_int_equal(weir_dcp_close(d, &e), WEIR_ERR_FENCED);
	/* a checkpoint without a text is damaged: none would begin anew */
	shelf.without_texts = true;
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign(d, (uint16_t[]){ 3 }, 1, &e), 0);
	ends(d, 3, WEIR_ERR_CORRUPT);
	(void)weir_dcp_close(d, NULL);
	shelf_done(&shelf);
	fake_stop(f);
}

static void closing_tells_of_a_last_save_that_failed_with_and_without_a_membership(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	char hosts[64];
	struct fake *f = cluster();
	weir_dcp_membership alone = {
		.size = sizeof(alone), .kind = WEIR_DCP_MEMBERS_STATIC, .member = 1, .total = 1
	};
	load_documents(f, 0, VBS);
	for (int group = 0; group < 2; group++) {
		struct shelf shelf = { .terse = true };
		struct own mine = { &shelf, { 0 } };
		weir_dcp_store store = own_store(&mine);
		weir_dcp_options o = options_of(f, hosts);
		o.checkpoint_store = &store;
		o.membership = group ? &alone : NULL;
		assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
		if (!group)
			assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
		assert_int_equal(drain(d, (1 + group) * VBS), (1 + group) * VBS);
		assert_int_equal(weir_dcp_commit(d, &e), 0);
		load_documents(f, 1 + group, VBS);
		assert_int_equal(drain(d, VBS), VBS);
		shelf.fail = WEIR_ERR_NOSPACE;
		assert_int_equal(weir_dcp_close(d, &e), WEIR_ERR_NOSPACE);
		assert_string_equal(e.message, "the shelf is full");
		shelf_done(&shelf);
	}
	fake_stop(f);
}

/* A group that changes may use a store that fences: what a member takes over is refused to whoever had it. */
static void a_store_that_fences_serves_a_group_that_changes(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	char hosts[64];
	struct fake *f = cluster();
	struct shelf shelf = { 0 };
	struct own own[2] = { { &shelf, { 0 } }, { &shelf, { 0 } } };
	weir_dcp_store store[2] = { own_store(&own[0]), own_store(&own[1]) };
	weir_dcp_membership m = { .size = sizeof(m), .kind = WEIR_DCP_MEMBERS_DYNAMIC };
	weir_dcp_options o = options_of(f, hosts);
	weir_dcp *d[2];
	o.membership = &m;
	o.manual_commit = true;
	store[0].fences = false;
	o.checkpoint_store = &store[0];
	assert_int_equal(weir_dcp_open(&o, &d[0], &e), WEIR_ERR_INVALID);
	store[0].fences = true;
	load_documents(f, 0, VBS);
	for (int i = 0; i < 2; i++) {
		o.checkpoint_store = &store[i];
		assert_int_equal(weir_dcp_open(&o, &d[i], &e), 0);
	}
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 1, &e), 0);
	assert_int_equal(drain(d[0], VBS), VBS);
	/* the second takes everything; the first has not heard of it */
	assert_int_equal(weir_dcp_set_membership(d[1], 1, 1, &e), 0);
	assert_int_equal(drain(d[1], VBS), VBS); /* nothing was committed */
	assert_int_equal(weir_dcp_commit(d[0], &e), WEIR_ERR_FENCED);
	assert_int_equal(weir_dcp_commit(d[1], &e), 0);
	(void)weir_dcp_close(d[0], NULL);
	assert_int_equal(weir_dcp_close(d[1], &e), 0);
	assert_int_equal(shelf.frees, 2);
	shelf_done(&shelf);
	fake_stop(f);
}

static void places_that_exclude_each_other_are_refused(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	struct shelf shelf = { 0 };
	struct own own = { &shelf, { 0 } };
	weir_dcp_store store = own_store(&own), empty = { .size = sizeof(empty) };
	const weir_dcp_options plain = {
		.size = sizeof(plain), .hosts = "127.0.0.1:1", .bucket = "b", .group = "g"
	};
	weir_dcp_options o = plain;
	o.checkpoint_file = "a";
	o.checkpoint_log = "b";
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o = plain;
	o.checkpoint_store = &store;
	o.checkpoint_none = true;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o = plain;
	o.checkpoint_store = &empty;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o = plain;
	o.checkpoint_hosts = "127.0.0.1:1";
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o = plain;
	o.damaged = WEIR_DCP_POLICY_REWIND;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o = plain;
	o.foreign = WEIR_DCP_POLICY_REWIND;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	assert_int_equal(shelf.frees, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_a_log_and_none),
		cmocka_unit_test(who_only_reads_a_file_or_a_log_needs_no_lock_and_makes_nothing),
		cmocka_unit_test(documents_in_another_cluster_with_its_own_login_and_collection),
		cmocka_unit_test(documents_in_the_bucket_itself_are_looked_at),
		cmocka_unit_test(a_store_of_ones_own_keeps_fences_and_is_freed_once),
		cmocka_unit_test(a_store_that_says_little_is_understood),
		cmocka_unit_test(
			closing_tells_of_a_last_save_that_failed_with_and_without_a_membership),
		cmocka_unit_test(a_store_that_fences_serves_a_group_that_changes),
		cmocka_unit_test(places_that_exclude_each_other_are_refused),
	};
	return cmocka_run_group_tests_name("dcp/e2e places", tests, NULL, NULL);
}
