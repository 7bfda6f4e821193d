/* cmd_couchbase_watch.c: a Couchbase bucket's changes on standard output.
 *
 * With --checkpoint the place is saved after the events before it were written out: a kill repeats some events but
 * loses none. The password comes from the environment or a file, never from the command line.
 */
#include "cli/commands.h"
#include "cli/outcome.h"

#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 200, PASSWORD_MAX = 1024 };

static const struct option_row options[] = {
	{ .name = "user",
	  .letter = 'u',
	  .kind = OPTION_TEXT,
	  .arg = "NAME",
	  .def = "Administrator",
	  .help = "Who logs in; the password is taken from $COUCHBASE_PASSWORD" },
	{ .name = "password-file",
	  .kind = OPTION_FILE,
	  .arg = "FILE",
	  .help = "The password is the first line of FILE" },
	{ .name = "scope", .kind = OPTION_TEXT, .arg = "NAME", .help = "Only this scope" },
	{ .name = "collections",
	  .kind = OPTION_TEXT,
	  .arg = "A,B",
	  .help = "Only these collections of the scope (_default without --scope)" },
	{ .name = "from",
	  .kind = OPTION_CHOICE,
	  .arg = "WHERE",
	  .choices = "oldest|now",
	  .def = "oldest",
	  .help = "Where vBuckets without a checkpoint start" },
	{ .name = "follow",
	  .letter = 'f',
	  .kind = OPTION_FLAG,
	  .help = "Go on with what comes, until Ctrl-C; else end with what is there" },
	{ .name = "checkpoint",
	  .kind = OPTION_FILE,
	  .arg = "FILE",
	  .help = "Resume behind the checkpoints in FILE and keep them up to date" },
	{ .name = "group",
	  .kind = OPTION_TEXT,
	  .arg = "NAME",
	  .def = "weir-watch",
	  .help = "Names the connections" },
	{ .name = "member",
	  .kind = OPTION_TEXT,
	  .arg = "N/TOTAL",
	  .def = "1/1",
	  .help = "Only this member's share of the vBuckets; auto/TOTAL: a StatefulSet pod's" },
	{ .name = "mitigation",
	  .kind = OPTION_CHOICE,
	  .arg = "POLICY",
	  .choices = "none|all|majority|active",
	  .def = "none",
	  .help = "Show only what so many copies have persisted" },
	{ .name = "filter",
	  .kind = OPTION_TEXT,
	  .arg = "JSON",
	  .help = "Only events that match this query; @FILE reads it" },
	{ .name = "pipeline",
	  .kind = OPTION_TEXT,
	  .arg = "JSON",
	  .help = "An array of stages for each event; @FILE reads it" },
	{ .name = "system-events",
	  .kind = OPTION_FLAG,
	  .help = "Show collections that come and go" },
	{ .name = "limit",
	  .letter = 'n',
	  .kind = OPTION_COUNT,
	  .arg = "N",
	  .help = "End after N events" },
	{ .name = "tls", .kind = OPTION_FLAG, .help = "Connect with TLS" },
	{ .name = "tls-ca",
	  .kind = OPTION_FILE,
	  .arg = "FILE",
	  .help = "Trust these certificates" },
	{ .name = "tls-cert",
	  .kind = OPTION_FILE,
	  .arg = "FILE",
	  .help = "The client's certificate and key" },
	{ .name = "tls-insecure", .kind = OPTION_FLAG, .help = "Accept any certificate" },
	{ 0 },
};

struct run {
	weir_dcp *d;
	uint64_t shown, limit;
	uint32_t open; /* vBuckets that have not ended */
	bool follow, save;
	weir_buffer text;
};

static void on_stop(void *arg)
{
	(void)arg; /* the loop looks at stop_requested */
}

static int read_password(const char *path, char out[PASSWORD_MAX])
{
	const char *env = getenv("COUCHBASE_PASSWORD");
	if (!path) {
		(void)snprintf(out, PASSWORD_MAX, "%s", env ? env : "");
		return EXIT_OK;
	}
	FILE *f = fopen(path, "r");
	if (!f || !fgets(out, PASSWORD_MAX, f)) {
		say("cannot read a password from %s: %s", path,
		    f ? "it is empty" : strerror(errno));
		if (f)
			fclose(f);
		return EXIT_FAILED;
	}
	fclose(f);
	out[strcspn(out, "\r\n")] = '\0';
	return EXIT_OK;
}

static enum weir_dcp_mitigation policy_of(const struct args *a)
{
	if (args_choice(a, "mitigation", "all"))
		return WEIR_DCP_MITIGATE_ALL;
	if (args_choice(a, "mitigation", "majority"))
		return WEIR_DCP_MITIGATE_MAJORITY;
	return args_choice(a, "mitigation", "active") ? WEIR_DCP_MITIGATE_ACTIVE
						      : WEIR_DCP_MITIGATE_NONE;
}

/* Prints one event. EXIT_OK, or a code to end with. */
static int show(struct run *r, const weir_dcp_event *ev)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_info info = { .size = sizeof(info) };
	weir_doc doc;
	weir_dcp_event_info(r->d, ev, &info);
	if (info.kind == WEIR_DCP_END) {
		r->open -= r->open > 0;
		if (info.code == 0 && !r->follow)
			return EXIT_OK;
	}
	int rc = weir_dcp_event_doc(r->d, ev, &doc, &e);
	if (rc < 0)
		return fail("event", &e);
	if (rc == 0 || (r->limit && r->shown == r->limit))
		return EXIT_OK;
	weir_buffer_clear(&r->text);
	if (weir_bson_to_json(doc, WEIR_JSON_RELAXED, 0, &r->text, &e) < 0)
		return fail("event", &e);
	fwrite(r->text.data, 1, r->text.len, stdout);
	putchar('\n');
	r->shown++;
	return EXIT_OK;
}

static int pump(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	while (!stop_requested() && !(r->limit && r->shown == r->limit) && r->open) {
		int rc = weir_dcp_poll(r->d, POLL_MS, &events, &n, &e);
		if (rc < 0)
			return fail(NULL, &e);
		if (rc == 0)
			continue;
		for (size_t i = 0; i < n && !(r->limit && r->shown == r->limit); i++) {
			int code = show(r, weir_dcp_event_at(events, i));
			if (code != EXIT_OK)
				return code;
			if (out_finish() != EXIT_OK)
				return EXIT_FAILED;
			(void)weir_dcp_ack(r->d, weir_dcp_event_at(events, i), 1);
		}
	}
	return EXIT_OK;
}

static int open_and_pump(const struct args *a, weir_dcp_options *o)
{
	weir_error e = WEIR_ERROR_INIT;
	unsigned member, total;
	char rest;
	const char *share = args_text(a, "member"), *host = getenv("HOSTNAME");
	if (sscanf(share, "auto/%u%c", &total, &rest) == 1) {
		if (weir_dcp_statefulset_member(host ? host : "", &member, &e) < 0)
			return fail("--member auto", &e);
	} else if (sscanf(share, "%u/%u%c", &member, &total, &rest) != 2) {
		return usage_error(a->command, "--member is N/TOTAL or auto/TOTAL, such as 1/3");
	}
	if (member < 1 || member > total)
		return usage_error(a->command, "there is no member %u of %u", member, total);
	struct run r = { .limit = args_count(a, "limit"),
			 .follow = args_flag(a, "follow"),
			 .text = WEIR_BUFFER_INIT };
	if (weir_dcp_open(o, &r.d, &e) < 0)
		return fail(NULL, &e);
	stop_on_signal(on_stop, NULL);
	int code = EXIT_OK;
	weir_dcp_stats st = { .size = sizeof(st) };
	if (weir_dcp_assign_share(r.d, member, total, &e) < 0 || weir_dcp_stats_get(r.d, &st) < 0)
		code = fail(NULL, &e);
	r.open = st.assigned;
	if (code == EXIT_OK)
		code = pump(&r);
	if (weir_dcp_close(r.d, &e) < 0 && code == EXIT_OK)
		code = fail("saving checkpoints", &e);
	weir_buffer_free(&r.text);
	return code;
}

static int run(const struct args *a)
{
	char password[PASSWORD_MAX], *hosts = strdup(a->operand[0]);
	weir_buffer filter = WEIR_BUFFER_INIT, pipeline = WEIR_BUFFER_INIT;
	char *slash = hosts ? strchr(hosts, '/') : NULL;
	int code = EXIT_OK;
	if (!slash || slash == hosts || !slash[1]) {
		free(hosts);
		return usage_error(a->command, "'%s' is not HOST[:PORT][,...]/BUCKET",
				   a->operand[0]);
	}
	*slash = '\0';
	code = read_password(args_text(a, "password-file"), password);
	weir_dcp_options o = {
		.size = sizeof(o),
		.hosts = hosts,
		.bucket = slash + 1,
		.user = args_text(a, "user"),
		.password = password,
		.group = args_text(a, "group"),
		.tls = args_flag(a, "tls") || args_given(a, "tls-ca") || args_given(a, "tls-cert"),
		.tls_ca = args_text(a, "tls-ca"),
		.tls_cert = args_text(a, "tls-cert"),
		.tls_insecure = args_flag(a, "tls-insecure"),
		.scope = args_text(a, "scope"),
		.collections = args_text(a, "collections"),
		.latest = args_choice(a, "from", "now"),
		.finite = !args_flag(a, "follow"),
		.system_events = args_flag(a, "system-events"),
		.mitigation = policy_of(a),
		.checkpoint_file = args_text(a, "checkpoint"),
	};
	if (code == EXIT_OK && args_text(a, "filter"))
		code = json_operand(args_text(a, "filter"), &filter);
	if (code == EXIT_OK && args_text(a, "pipeline"))
		code = json_operand(args_text(a, "pipeline"), &pipeline);
	if (filter.len)
		o.filter = weir_json_n((const char *)filter.data, filter.len);
	if (pipeline.len)
		o.pipeline = weir_json_n((const char *)pipeline.data, pipeline.len);
	if (code == EXIT_OK)
		code = open_and_pump(a, &o);
	weir_buffer_free(&filter);
	weir_buffer_free(&pipeline);
	free(hosts);
	return code;
}

const struct command couchbase_watch_command = {
	.group = "couchbase",
	.name = "watch",
	.operands = "HOST[:PORT][,...]/BUCKET",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Print a Couchbase bucket's changes as change events",
	.details = "Reads the bucket's change stream from all its nodes and prints one event a "
		   "line: replace, delete, "
		   "rollback, and with --system-events what happens to collections. A mutation is "
		   "always a replace: "
		   "Couchbase does not tell inserts from replaces.\n\n"
		   "A rollback event says that a node was lost with items no other node had: what "
		   "was printed of that "
		   "vBucket above rollbackTo never happened, and the new history follows. With "
		   "--mitigation events are "
		   "held back until enough copies have persisted them.\n\n"
		   "Ports are those of the data service (11210, with TLS 11207).",
	.examples = "weir couchbase watch 10.0.0.1/orders\tPrint what is there, and end\n"
		    "weir couchbase watch -f --checkpoint o.json 10.0.0.1,10.0.0.2/orders\tFollow, "
		    "and resume after a restart\n"
		    "weir couchbase watch -f --filter '{\"fullDocument.total\":{\"$gt\":100}}' "
		    "10.0.0.1/orders\tOnly some",
	.options = options,
	.run = run,
};
