#include "cli/cli.h"
#include "cli/commands.h"

#include "weir/version.h"

static const struct option_row help_options[] = {
	{ .name = "man", .kind = OPTION_FLAG, .help = "Print the manual page weir(1)" },
	{ .name = "exit-codes", .kind = OPTION_FLAG, .help = "Print the exit codes" },
	{ 0 },
};

static int run_help(const struct args *a)
{
	if (args_flag(a, "man")) {
		man_page(stdout);
	} else if (args_flag(a, "exit-codes")) {
		fputs("0  done\n1  failed\n2  wrong usage or bad input\n3  not found\n"
		      "4  not authenticated, or not allowed\n5  history lost: the position no "
		      "longer exists\n"
		      "6  damaged data was found\n7  timed out\n",
		      stdout);
	} else {
		return show_help(a->n_operands > 0 ? a->operand[0] : NULL,
				 a->n_operands > 1 ? a->operand[1] : NULL);
	}
	return out_finish();
}

const struct command help_command_ = {
	.name = "help",
	.operands = "[COMMAND]",
	.operands_max = 2,
	.summary = "Show the commands, or one of them",
	.options = help_options,
	.run = run_help,
};

static const struct option_row no_options[] = { { 0 } };

static int run_version(const struct args *a)
{
	(void)a;
	printf("weir %s\n", WEIR_VERSION);
	return out_finish();
}

const struct command version_command = {
	.name = "version",
	.operands = "",
	.summary = "Print the version",
	.options = no_options,
	.run = run_version,
};

static int run_completion(const struct args *a)
{
	if (!completion_script(a->operand[0], stdout))
		return usage_error(a->command, "no completion for '%s': bash, zsh or fish",
				   a->operand[0]);
	return out_finish();
}

const struct command completion_command = {
	.name = "completion",
	.operands = "bash|zsh|fish",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Print a shell's completion script",
	.details = "Load it into the running shell with: source <(weir completion bash)",
	.options = no_options,
	.run = run_completion,
};
