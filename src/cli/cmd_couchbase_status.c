/* cmd_couchbase_status.c: how far a group is behind its bucket: checkpoints beside the server's high seqnos. */
#include "cli/commands.h"
#include "cli/couchbase_config.h"

#include <inttypes.h>

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

static void show_totals(const struct totals *t)
{
	if (t->json) {
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
}

static int run(const struct args *a)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_config *c = NULL;
	struct totals t = { .json = args_choice(a, "format", "json"), .all = args_flag(a, "all") };
	int code = config_open(args_text(a, "config"), &c);
	if (code != EXIT_OK)
		return code;
	if (weir_dcp_places(weir_dcp_config_options(c), args_duration_ms(a, "timeout"), show, &t,
			    &e) < 0) {
		code = fail(NULL, &e);
	} else {
		show_totals(&t);
		code = out_finish();
	}
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
		   "collections too.",
	.examples = "weir couchbase status -c weir.yml\tWhat is behind\n"
		    "weir couchbase status -c weir.yml --format json\tFor a program",
	.options = options,
	.run = run,
};
