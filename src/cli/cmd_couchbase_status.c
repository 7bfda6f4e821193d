/* cmd_couchbase_status.c: how far a group is behind its bucket: checkpoints beside the server's high seqnos. */
#include "cli/commands.h"
#include "cli/couchbase_config.h"

#include "base/buf.h"

#include <inttypes.h>
#include <time.h>

static const struct option_row options[] = {
	{ .name = "config",
	  .letter = 'c',
	  .kind = OPTION_FILE,
	  .arg = "FILE",
	  .def = "weir.yml",
	  .help = "The stream's configuration; says where the checkpoints are" },
	{ .name = "format",
	  .kind = OPTION_CHOICE,
	  .arg = "FORM",
	  .choices = "table|json|metrics",
	  .def = "table",
	  .help = "json: one object; metrics: Prometheus's text format" },
	{ .name = "all",
	  .letter = 'a',
	  .kind = OPTION_FLAG,
	  .help = "In the table, vBuckets that are not behind, too" },
	{ .name = "max-lag",
	  .kind = OPTION_COUNT,
	  .arg = "N",
	  .help = "Exit code 1 when the group is more than N seqnos behind" },
	{ .name = "timeout",
	  .kind = OPTION_DURATION,
	  .arg = "TIME",
	  .def = "10s",
	  .help = "How long the servers may take to answer" },
	{ 0 },
};

/* The members as text, before anything is printed: JSON has them last. */
struct members {
	bool json;
	uint32_t n;
	struct buf text;
};

/* Documents of others may name their members in any way. */
static void put_id(struct buf *out, const char *id)
{
	for (; *id; id++)
		buf_add_byte(out, (unsigned char)*id < ' ' || *id == '"' || *id == '\\'
					  ? '?'
					  : (uint8_t)*id);
}

static int add_member(void *arg, const weir_dcp_peer *p)
{
	struct members *m = arg;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t ago = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - p->seen_ms;
	if (m->json) {
		buf_add_fmt(&m->text, "%s    {\"member\":%u,\"vbuckets\":%u,\"leads\":%s,\"id\":\"",
			    m->n ? ",\n" : "", p->member, p->vbuckets, p->leads ? "true" : "false");
		put_id(&m->text, p->id);
		buf_add_byte(&m->text, '"');
		if (p->joined_ms)
			buf_add_fmt(&m->text, ",\"joinedMs\":%" PRId64, p->joined_ms);
		if (p->seen_ms)
			buf_add_fmt(&m->text, ",\"seenMs\":%" PRId64, p->seen_ms);
		buf_add_byte(&m->text, '}');
	} else {
		if (m->n == 0)
			buf_add_str(&m->text, "\n member  vBuckets     last seen  id\n");
		buf_add_fmt(&m->text, "%7u  %8u", p->member, p->vbuckets);
		if (p->seen_ms)
			buf_add_fmt(&m->text, "  %6.1f s ago", (double)ago / 1000);
		else
			buf_add_fmt(&m->text, "  %12s", "unknown");
		buf_add_str(&m->text, "  ");
		put_id(&m->text, p->id);
		buf_add_fmt(&m->text, "%s%s\n", p->leads ? " (leads)" : "",
			    p->member ? "" : " (to come)");
	}
	m->n++;
	return 0;
}

/* A list that cannot be read (from outside of its Kubernetes cluster, say) is told, and the rest is shown. */
static void learn_members(const weir_dcp_options *o, struct members *m)
{
	weir_error e = WEIR_ERROR_INIT;
	int rc = weir_dcp_group(o, add_member, m, &e);
	if (rc < 0)
		buf_reset(&m->text);
	if (rc < 0 && rc != WEIR_ERR_UNSUPPORTED)
		say("members: %s", e.message);
}

enum form { FORM_TABLE, FORM_JSON, FORM_METRICS };

struct totals {
	enum form form;
	bool all;
	uint32_t n, found, behind, ahead, foreign, damaged;
	uint64_t lag, seqno, high;
	struct buf seqnos, highs, lags; /* FORM_METRICS */
};

static const char *note_of(const weir_dcp_place *p)
{
	if (p->damaged)
		return "cannot be read";
	if (p->foreign)
		return "of another bucket";
	if (p->ahead)
		return "ahead of the server";
	return p->found ? "" : "no checkpoint";
}

static const char *bool_text(bool b)
{
	return b ? "true" : "false";
}

static void show_json(const struct totals *t, const weir_dcp_place *p)
{
	printf("%s    {\"vbucket\":%u,\"checkpoint\":%s,\"seqno\":%" PRIu64 ",\"high\":%" PRIu64
	       ",\"lag\":%" PRIu64 ",\"ahead\":%s,\"foreign\":%s,\"damaged\":%s",
	       t->n ? ",\n" : "{\n  \"places\":[\n", p->vbucket, bool_text(p->found), p->seqno,
	       p->high, p->lag, bool_text(p->ahead), bool_text(p->foreign), bool_text(p->damaged));
	if (p->found)
		printf(",\"snapshotStart\":%" PRIu64 ",\"snapshotEnd\":%" PRIu64
		       ",\"vbuuid\":%" PRIu64,
		       p->snapshot_start, p->snapshot_end, p->vbuuid);
	putchar('}');
}

static void show_row(const struct totals *t, const weir_dcp_place *p)
{
	const char *note = note_of(p);
	if (t->n == 0)
		puts("vBucket         seqno          high           lag");
	if (t->all || p->lag || p->ahead || p->foreign || p->damaged)
		printf("%7u  %12" PRIu64 "  %12" PRIu64 "  %12" PRIu64 "%s%s\n", p->vbucket,
		       p->seqno, p->high, p->lag, *note ? "  " : "", note);
}

/* Kept until the end: the format wants all of one metric together. */
static void keep_metrics(struct totals *t, const weir_dcp_place *p)
{
	if (p->found)
		buf_add_fmt(&t->seqnos, "weir_dcp_checkpoint_seqno{vbucket=\"%u\"} %" PRIu64 "\n",
			    p->vbucket, p->seqno);
	buf_add_fmt(&t->highs, "weir_dcp_high_seqno{vbucket=\"%u\"} %" PRIu64 "\n", p->vbucket,
		    p->high);
	buf_add_fmt(&t->lags, "weir_dcp_lag_seqnos{vbucket=\"%u\"} %" PRIu64 "\n", p->vbucket,
		    p->lag);
}

static int show(void *arg, const weir_dcp_place *p)
{
	struct totals *t = arg;
	switch (t->form) {
	case FORM_TABLE: show_row(t, p); break;
	case FORM_JSON: show_json(t, p); break;
	case FORM_METRICS: keep_metrics(t, p); break;
	}
	t->n++;
	t->found += p->found;
	t->behind += p->lag > 0;
	t->ahead += p->ahead;
	t->foreign += p->foreign;
	t->damaged += p->damaged;
	t->lag += p->lag;
	t->seqno += p->seqno;
	t->high += p->high;
	return 0;
}

static void totals_json(const struct totals *t, const struct members *m)
{
	if (m->n)
		printf("\n  ],\n  \"members\":[\n%.*s", (int)m->text.len, (const char *)m->text.p);
	printf("\n  ],\n  \"vbuckets\":%u,\"checkpoints\":%u,\"behind\":%u,\"ahead\":%u,"
	       "\"foreign\":%u,\"seqno\":%" PRIu64 ",\"high\":%" PRIu64 ",\"lag\":%" PRIu64
	       ",\"damaged\":%u\n}\n",
	       t->n, t->found, t->behind, t->ahead, t->foreign, t->seqno, t->high, t->lag,
	       t->damaged);
}

static void put_metric(const char *name, struct buf *samples)
{
	printf("# TYPE %s gauge\n%.*s", name, (int)samples->len, (const char *)samples->p);
	buf_done(samples);
}

static void totals_metrics(struct totals *t, const struct members *m)
{
	put_metric("weir_dcp_checkpoint_seqno", &t->seqnos);
	put_metric("weir_dcp_high_seqno", &t->highs);
	put_metric("weir_dcp_lag_seqnos", &t->lags);
	printf("# TYPE weir_dcp_total_lag_seqnos gauge\nweir_dcp_total_lag_seqnos %" PRIu64 "\n"
	       "# TYPE weir_dcp_unusable_checkpoints gauge\n"
	       "weir_dcp_unusable_checkpoints{why=\"ahead\"} %u\n"
	       "weir_dcp_unusable_checkpoints{why=\"foreign\"} %u\n"
	       "weir_dcp_unusable_checkpoints{why=\"damaged\"} %u\n",
	       t->lag, t->ahead, t->foreign, t->damaged);
	if (m->n)
		printf("# TYPE weir_dcp_group_members gauge\nweir_dcp_group_members %u\n", m->n);
}

static void totals_table(const struct totals *t, const struct members *m)
{
	printf("  total  %12" PRIu64 "  %12" PRIu64 "  %12" PRIu64 "\n", t->seqno, t->high, t->lag);
	printf("%u vBuckets, %u with a checkpoint, %u behind", t->n, t->found, t->behind);
	if (t->ahead)
		printf(", %u ahead of the server", t->ahead);
	if (t->foreign)
		printf(", %u of another bucket", t->foreign);
	if (t->damaged)
		printf(", %u that cannot be read", t->damaged);
	putchar('\n');
	if (m->text.len)
		fwrite(m->text.p, 1, m->text.len, stdout);
}

static void show_totals(struct totals *t, const struct members *m)
{
	switch (t->form) {
	case FORM_TABLE: totals_table(t, m); return;
	case FORM_JSON: totals_json(t, m); return;
	case FORM_METRICS: totals_metrics(t, m); return;
	}
}

/* What a check wants to know: whether a consumer would start, and how far it is behind. */
static int verdict(const struct args *a, const struct totals *t)
{
	if (t->foreign || t->damaged) {
		say("%u checkpoints cannot be used", t->foreign + t->damaged);
		return EXIT_DAMAGED;
	}
	if (args_given(a, "max-lag") && t->lag > args_count(a, "max-lag")) {
		say("%" PRIu64 " seqnos behind", t->lag);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int run(const struct args *a)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_config *c = NULL;
	struct totals t = { .form = args_choice(a, "format", "json")      ? FORM_JSON
				    : args_choice(a, "format", "metrics") ? FORM_METRICS
									  : FORM_TABLE,
			    .all = args_flag(a, "all"),
			    .seqnos = BUF_INIT,
			    .highs = BUF_INIT,
			    .lags = BUF_INIT };
	struct members m = { .json = t.form == FORM_JSON, .text = BUF_INIT };
	int code = config_open(args_text(a, "config"), &c);
	if (code != EXIT_OK)
		return code;
	learn_members(weir_dcp_config_options(c), &m);
	if (weir_dcp_places(weir_dcp_config_options(c), args_duration_ms(a, "timeout"), show, &t,
			    &e) < 0) {
		code = fail(NULL, &e);
	} else {
		show_totals(&t, &m);
		code = out_finish();
		if (code == EXIT_OK)
			code = verdict(a, &t);
	}
	buf_done(&m.text);
	weir_dcp_config_free(c);
	return code;
}

const struct command couchbase_status_command = {
	.group = "couchbase",
	.name = "status",
	.operands = "",
	.operands_max = 0,
	.summary = "Show how far a group is behind its bucket",
	.details =
		"Asks the servers for every vBucket's high seqno and compares them with the "
		"checkpoints that the "
		"configuration names. Nothing is streamed or written, and a consumer that runs "
		"meanwhile is not "
		"disturbed; what it has not saved yet counts as lag.\n\n"
		"Lag counts seqnos: deletions and replaced versions count, documents of other "
		"collections too.\n\n"
		"Where the members of the group keep a list (couchbase, lil_couchbase, lease), "
		"it is "
		"shown, with each one's share and its last sign of life by its own clock.\n\n"
		"Exit codes: 1 more than --max-lag behind, 4 wrong login, 6 checkpoints that are "
		"damaged or of another bucket, 7 no answer in time.",
	.examples = "weir couchbase status -c weir.yml\tWhat is behind\n"
		    "weir couchbase status -c weir.yml --format json\tFor a program\n"
		    "weir couchbase status -c weir.yml --max-lag 10000 >/dev/null\tAs a check",
	.options = options,
	.run = run,
};
