/* cmd_couchbase_watch.c: a Couchbase bucket's changes on standard output.
 *
 * With --checkpoint the place is saved after the events before it were written out: a kill repeats some events but
 * loses none. The password comes from the environment or a file, never from the command line.
 */
#include "cli/commands.h"
#include "cli/couchbase_config.h"
#include "cli/couchbase_stream.h"
#include "cli/watch_options.h"

#include <stdlib.h>
#include <string.h>

static const struct option_row options[] = {
	{ .name = "config",
	  .letter = 'c',
	  .kind = OPTION_FILE,
	  .arg = "FILE",
	  .help = "A configuration file; what else is given goes before it" },
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
	{ .name = "since",
	  .kind = OPTION_TEXT,
	  .arg = "TIME",
	  .help = "Pass over documents changed before (2026-01-31T10:00:00Z, -5m)" },
	WATCH_ROW_RESUME_AFTER,
	WATCH_ROW_TOKEN,
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
	WATCH_ROW_FILTER,
	WATCH_ROW_PIPELINE,
	{ .name = "system-events",
	  .kind = OPTION_FLAG,
	  .help = "Show collections that come and go" },
	WATCH_ROW_FORMAT,
	WATCH_ROW_OUT,
	WATCH_ROW_LIMIT,
	WATCH_ROW_TIMEOUT,
	{ .name = "tls",
	  .kind = OPTION_FLAG,
	  .help = "Connect with TLS; so does any other of the options below" },
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

static enum weir_dcp_mitigation policy_of(const struct args *a)
{
	if (args_choice(a, "mitigation", "all"))
		return WEIR_DCP_MITIGATE_ALL;
	if (args_choice(a, "mitigation", "majority"))
		return WEIR_DCP_MITIGATE_MAJORITY;
	return args_choice(a, "mitigation", "active") ? WEIR_DCP_MITIGATE_ACTIVE
						      : WEIR_DCP_MITIGATE_NONE;
}

/* --member N/TOTAL, auto/TOTAL. */
static int share_of(const struct args *a, weir_dcp_membership *m)
{
	const char *text = args_text(a, "member");
	bool automatic = strncmp(text, "auto/", 5) == 0;
	unsigned long long member = 1, total = 0; /* as wide as what is typed: 2^32 + 1 is not 1 */
	char rest;
	*m = (weir_dcp_membership){ .size = sizeof(*m),
				    .kind = automatic ? WEIR_DCP_MEMBERS_STATEFULSET
						      : WEIR_DCP_MEMBERS_STATIC };
	if (automatic ? sscanf(text + 5, "%llu%c", &total, &rest) != 1
		      : sscanf(text, "%llu/%llu%c", &member, &total, &rest) != 2)
		total = 0;
	if (member < 1 || member > total || total > UINT32_MAX)
		return usage_error(a->command, "--member is N/TOTAL, such as 1/3, or auto/TOTAL");
	m->member = automatic ? 0 : (uint32_t)member;
	m->total = (uint32_t)total;
	return EXIT_OK;
}

/* What the options say that were given, over what the configuration says. */
static int overlay(const struct args *a, weir_dcp_options *o, weir_dcp_membership *share,
		   char *hosts, char *password)
{
	bool file = args_given(a, "config");
	if (!file || args_given(a, "member")) {
		int code = share_of(a, share);
		if (code != EXIT_OK)
			return code;
		o->membership = share;
	} else if (o->membership->kind == WEIR_DCP_MEMBERS_DYNAMIC) {
		return usage_error(a->command,
				   "group.membership.kind: dynamic is for programs, which tell the "
				   "numbers by a call; give --member");
	}
	if (hosts) {
		char *slash = strrchr(hosts, '/');
		*slash = '\0';
		o->hosts = hosts;
		o->bucket = slash + 1;
	}
	if (!file || args_given(a, "user"))
		o->user = args_text(a, "user");
	if (!file || args_given(a, "password-file")) {
		int code = couchbase_password(args_text(a, "password-file"), password);
		if (code != EXIT_OK)
			return code;
		o->password = password;
	}
	if (!file || args_given(a, "group"))
		o->group = args_text(a, "group");
	if (!file || args_given(a, "from"))
		o->latest = args_choice(a, "from", "now");
	if (!file || args_given(a, "mitigation"))
		o->mitigation = policy_of(a);
	if (args_flag(a, "follow") || !file)
		o->finite = !args_flag(a, "follow");
	if (args_text(a, "scope"))
		o->scope = args_text(a, "scope");
	if (args_text(a, "collections"))
		o->collections = args_text(a, "collections");
	if (args_text(a, "checkpoint")) {
		o->checkpoint_file = args_text(a, "checkpoint");
		o->checkpoint_bucket = o->checkpoint_log = o->checkpoint_hosts = NULL;
		o->checkpoint_user = o->checkpoint_scope = o->checkpoint_collection = NULL;
		o->checkpoint_none = false;
	}
	o->system_events |= args_flag(a, "system-events");
	o->tls |= args_flag(a, "tls") || args_given(a, "tls-ca") || args_given(a, "tls-cert") ||
		  args_flag(a, "tls-insecure");
	o->tls_insecure |= args_flag(a, "tls-insecure");
	if (args_text(a, "tls-ca"))
		o->tls_ca = args_text(a, "tls-ca");
	if (args_text(a, "tls-cert"))
		o->tls_cert = args_text(a, "tls-cert");
	return EXIT_OK;
}

static int run(const struct args *a)
{
	char password[COUCHBASE_PASSWORD_MAX], *hosts = NULL;
	weir_dcp_config *c = NULL;
	weir_dcp_membership share;
	weir_dcp_options o = { .size = sizeof(o) };
	const char *slash = a->n_operands ? strrchr(a->operand[0], '/') : NULL;
	if (a->n_operands == 0 && !args_given(a, "config"))
		return usage_error(a->command, "HOST/BUCKET or --config is missing");
	if (a->n_operands && (!slash || slash == a->operand[0] || slash[-1] == '/' || !slash[1]))
		return usage_error(a->command, "'%s' is not HOST[:PORT][,...]/BUCKET",
				   a->operand[0]);
	int code = EXIT_OK;
	if (args_given(a, "config")) {
		code = config_open(args_text(a, "config"), &c);
		if (code != EXIT_OK)
			return code;
		o = *weir_dcp_config_options(c);
	}
	if (a->n_operands)
		hosts = strdup(a->operand[0]);
	code = overlay(a, &o, &share, hosts, password);
	if (code == EXIT_OK)
		code = couchbase_stream(a, &o);
	weir_dcp_config_free(c);
	free(hosts);
	return code;
}

const struct command couchbase_watch_command = {
	.group = "couchbase",
	.name = "watch",
	.operands = "[HOST[:PORT][,...]/BUCKET]",
	.operands_min = 0,
	.operands_max = 1,
	.summary = "Print a Couchbase bucket's changes as change events",
	.details =
		"Reads the bucket's change stream from all its nodes and prints one event a "
		"line: replace, delete, "
		"rollback, and with --system-events what happens to collections. A mutation is "
		"always a replace: "
		"Couchbase does not tell inserts from replaces.\n\n"
		"A rollback event says that a node was lost with items no other node had: what "
		"was printed of that "
		"vBucket above rollbackTo never happened, and the new history follows. With "
		"--mitigation events are "
		"held back until enough copies have persisted them.\n\n"
		"Ports are those of the data service (11210, with TLS 11207) or of the management "
		"service (8091, with TLS 18091, or http://HOST:PORT).\n\n"
		"With --config the file says what is not given here; without stream.mode: finite "
		"there, it follows.\n\n"
		"--checkpoint keeps the place of each vBucket, saved once a minute and at the end; "
		"a "
		"kill repeats "
		"what came after the last save. --token keeps it as one text, saved twice a "
		"second; "
		"with --out as well, "
		"not even a kill makes an event come twice.\n\n"
		"Exit codes: 3 no such scope or collection, 4 wrong login, no such bucket, or not "
		"allowed to stream, 7 no answer in time. "
		"Ctrl-C ends a --follow in good order: what was printed is saved (exit code 0).",
	.examples =
		"weir couchbase watch 10.0.0.1/orders\tPrint what is there, and end\n"
		"weir couchbase watch -f --checkpoint o.json 10.0.0.1,10.0.0.2/orders\tFollow, "
		"and resume after a restart\n"
		"weir couchbase watch --config orders.yml\tAs the file says\n"
		"weir couchbase watch -f --token o.token --out o.ndjson 10.0.0.1/orders\tExactly "
		"once into a file\n"
		"weir couchbase watch -f --filter '{\"fullDocument.total\":{\"$gt\":100}}' "
		"10.0.0.1/orders\tOnly some",
	.options = options,
	.run = run,
};
