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
	  .choices = "table|json",
	  .def = "table",
	  .help = "json: one object" },
	{ .name = "all",
	  .letter = 'a',
	  .kind = OPTION_FLAG,
	  .help = "In the table, vBuckets that are not behind, too" },
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

struct totals {
	bool json, all;
	uint32_t n, found, behind, ahead, foreign;
	uint64_t lag, seqno, high;
};

static int show(void *arg, const weir_dcp_place *p)
{
	struct totals *t = arg;
	const char *note = p->foreign ? "of another bucket"
			   : p->ahead ? "ahead of the server"
			   : p->found ? ""
				      : "no checkpoint";
	if (t->n == 0)
		puts(t->json ? "{\n  \"places\":["
			     : "vBucket         seqno          high           lag");
	if (t->json)
		printf("%s    {\"vbucket\":%u,\"checkpoint\":%s,\"seqno\":%" PRIu64
		       ",\"high\":%" PRIu64 ",\"lag\":%" PRIu64 ",\"ahead\":%s,\"foreign\":%s}",
		       t->n ? ",\n" : "", p->vbucket, p->found ? "true" : "false", p->seqno,
		       p->high, p->lag, p->ahead ? "true" : "false", p->foreign ? "true" : "false");
	else if (t->all || p->lag || p->ahead || p->foreign)
		printf("%7u  %12" PRIu64 "  %12" PRIu64 "  %12" PRIu64 "%s%s\n", p->vbucket,
		       p->seqno, p->high, p->lag, *note ? "  " : "", note);
	t->n++;
	t->found += p->found;
	t->behind += p->lag > 0;
	t->ahead += p->ahead;
	t->foreign += p->foreign;
	t->lag += p->lag;
	t->seqno += p->seqno;
	t->high += p->high;
	return 0;
}

static void show_totals(const struct totals *t, const struct members *m)
{
	if (t->json) {
		if (m->n)
			printf("\n  ],\n  \"members\":[\n%.*s", (int)m->text.len,
			       (const char *)m->text.p);
		printf("\n  ],\n  \"vbuckets\":%u,\"checkpoints\":%u,\"behind\":%u,\"ahead\":%u,"
		       "\"foreign\":%u,\"seqno\":%" PRIu64 ",\"high\":%" PRIu64 ",\"lag\":%" PRIu64
		       "\n}\n",
		       t->n, t->found, t->behind, t->ahead, t->foreign, t->seqno, t->high, t->lag);
		return;
	}
	printf("  total  %12" PRIu64 "  %12" PRIu64 "  %12" PRIu64 "\n", t->seqno, t->high, t->lag);
	printf("%u vBuckets, %u with a checkpoint, %u behind", t->n, t->found, t->behind);
	if (t->ahead)
		printf(", %u ahead of the server", t->ahead);
	if (t->foreign)
		printf(", %u of another bucket", t->foreign);
	putchar('\n');
	fwrite(m->text.p, 1, m->text.len, stdout);
}

static int run(const struct args *a)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_config *c = NULL;
	struct totals t = { .json = args_choice(a, "format", "json"), .all = args_flag(a, "all") };
	struct members m = { .json = t.json, .text = BUF_INIT };
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
	.details = "Asks the servers for every vBucket's high seqno and compares them with the "
		   "checkpoints that the "
		   "configuration names. Nothing is streamed or written, and a consumer that runs "
		   "meanwhile is not "
		   "disturbed; what it has not saved yet counts as lag.\n\n"
		   "Lag counts seqnos: deletions and replaced versions count, documents of other "
		   "collections too.\n\n"
		   "Where the members of the group keep a list (couchbase, lil_couchbase, lease), "
		   "it is "
		   "shown, with each one's share and its last sign of life by its own clock.",
	.examples = "weir couchbase status -c weir.yml\tWhat is behind\n"
		    "weir couchbase status -c weir.yml --format json\tFor a program",
	.options = options,
	.run = run,
};
