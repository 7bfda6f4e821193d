/* cmd_couchbase_config.c: `options` prints the keys of configuration files, `import-config` translates go-dcp's,
 * `check-config` reads one and says whether it holds. */
#include "cli/commands.h"
#include "cli/couchbase_config.h"

static const struct option_row options_options[] = {
	{ .name = "go-dcp", .kind = OPTION_FLAG, .help = "go-dcp's keys and their counterparts" },
	{ 0 },
};

static const struct option_row no_options[] = { { 0 } };

static int print(const weir_buffer *text)
{
	fwrite(text->data, 1, text->len, stdout);
	return out_finish();
}

static int run_options(const struct args *a)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_buffer text = WEIR_BUFFER_INIT;
	int code = weir_dcp_config_markdown(args_flag(a, "go-dcp"), &text, &e) < 0 ? fail(NULL, &e)
										   : print(&text);
	weir_buffer_free(&text);
	return code;
}

static int run_import(const struct args *a)
{
	weir_error e = WEIR_ERROR_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	weir_buffer out = WEIR_BUFFER_INIT;
	int code = config_text(a->operand[0], &text);
	if (code == EXIT_OK &&
	    weir_dcp_config_import(buf_cstr(&text), text.len, a->operand[0], &out, &e) < 0)
		code = fail(NULL, &e);
	if (code == EXIT_OK)
		code = print(&out);
	weir_buffer_free(&out);
	return code;
}

static void print_members(const weir_dcp_membership *m)
{
	switch (m->kind) {
	case WEIR_DCP_MEMBERS_NONE: break;
	case WEIR_DCP_MEMBERS_STATIC: printf("member %u of %u\n", m->member, m->total); break;
	case WEIR_DCP_MEMBERS_DYNAMIC: puts("members as the program tells them"); break;
	case WEIR_DCP_MEMBERS_STATEFULSET:
		printf("member by the pod's name of %s\n",
		       m->total_file ? m->total_file : "a fixed total");
		break;
	case WEIR_DCP_MEMBERS_COUCHBASE: puts("members found through documents"); break;
	case WEIR_DCP_MEMBERS_LIL_COUCHBASE: puts("members found through one document"); break;
	case WEIR_DCP_MEMBERS_LEASE:
		printf("members numbered by the leader of Lease %s/%s\n", m->lease_namespace,
		       m->lease_name);
		break;
	}
}

static int run_check(const struct args *a)
{
	weir_dcp_config *c = NULL;
	int code = config_open(a->operand[0], &c);
	if (code == EXIT_OK) {
		const weir_dcp_options *o = weir_dcp_config_options(c);
		printf("%s: good: bucket %s at %s as %s, group %s, ", a->operand[0], o->bucket,
		       o->hosts, o->user, o->group);
		print_members(o->membership);
		code = out_finish();
	}
	weir_dcp_config_free(c);
	return code;
}

const struct command couchbase_options_command = {
	.group = "couchbase",
	.name = "options",
	.operands = "",
	.operands_max = 0,
	.summary = "Print the keys of a configuration file",
	.details = "Every key that `weir couchbase watch --config` knows, what it takes, and its "
		   "default, as a Markdown table.",
	.examples = "weir couchbase options\tAll keys\n"
		    "weir couchbase options --go-dcp\tWhere go-dcp's keys have gone",
	.options = options_options,
	.run = run_options,
};

const struct command couchbase_import_command = {
	.group = "couchbase",
	.name = "import-config",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Translate a configuration file of go-dcp",
	.details =
		"Prints weir's YAML for it. Defaults of go-dcp that differ from weir's are written "
		"out; what has no "
		"counterpart becomes a comment that says why. Variables stay as they are written.",
	.examples = "weir couchbase import-config config.yml >weir.yml\tTranslate",
	.options = no_options,
	.run = run_import,
};

const struct command couchbase_check_command = {
	.group = "couchbase",
	.name = "check-config",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Say whether a configuration file holds",
	.details =
		"Reads the file, fills in its variables and checks every key and value. Nothing is "
		"connected.",
	.examples = "weir couchbase check-config weir.yml\tBefore a deployment",
	.options = no_options,
	.run = run_check,
};
