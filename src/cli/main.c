/* main.c: the command table, and finding the row that argv names. */
#include "cli/cli.h"
#include "cli/commands.h"

#include "base/suggest.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* clang-format off: one row a command */
const struct command *const commands[] = {
	&oplog_append_command,
	&oplog_import_command,
	&oplog_dump_command,
	&oplog_stat_command,
	&oplog_verify_command,
	&oplog_repair_command,
	&oplog_trim_command,
	&watch_command,
	&query_command,
	&couchbase_watch_command,
	&couchbase_status_command,
	&couchbase_options_command,
	&couchbase_import_command,
	&couchbase_check_command,
	&completion_command,
	&version_command,
	&help_command_,
	NULL,
};
/* clang-format on */

static bool is_group(const char *word)
{
	for (int i = 0; commands[i]; i++)
		if (commands[i]->group && strcmp(commands[i]->group, word) == 0)
			return true;
	return false;
}

static const struct command *find(const char *group, const char *name)
{
	for (int i = 0; commands[i]; i++) {
		const struct command *c = commands[i];
		bool same_group = group ? c->group && strcmp(c->group, group) == 0 : !c->group;
		if (same_group && strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

/* The nearest name among the commands (of the group), or NULL. */
static const char *nearest(const char *group, const char *word)
{
	const char *names[64];
	size_t n = 0;
	for (int i = 0; commands[i] && n < 63; i++) {
		const struct command *c = commands[i];
		if (!group)
			names[n++] = c->group ? c->group : c->name;
		else if (c->group && strcmp(c->group, group) == 0)
			names[n++] = c->name;
	}
	names[n] = NULL;
	return suggest(word, names);
}

static int no_such(const char *group, const char *word)
{
	const char *near = nearest(group, word);
	const char *space = group ? " " : "";
	if (!group)
		group = "";
	if (near)
		return usage_error(NULL, "no command '%s%s%s'; did you mean '%s%s%s'?", group,
				   space, word, group, space, near);
	return usage_error(NULL, "no command '%s%s%s'", group, space, word);
}

static bool asks_for_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* `weir help [COMMAND [SUBCOMMAND]]`, also for `weir GROUP help`. */
int show_help(const char *first, const char *second)
{
	if (!first) {
		help_overview(stdout);
	} else if (is_group(first) && !second) {
		help_group(first, stdout);
	} else {
		const struct command *c = is_group(first) ? find(first, second) : find(NULL, first);
		if (!c)
			return is_group(first) ? no_such(first, second) : no_such(NULL, first);
		help_command(c, stdout);
	}
	return out_finish();
}

/* A descriptor below 3 that the caller closed would be given to the next file that is opened, a log's or a token's, and
 * what is printed would land in it. Reading from standard input then gives nothing, writing to standard output fails. */
static void fill_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	fill_standard_streams();
	(void)signal(SIGXFSZ,
		     SIG_IGN); /* a file that may grow no further is an error to be told (EFBIG) */
	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		help_overview(stderr);
		return EXIT_USAGE;
	}
	const char *const *word = (const char *const *)argv + 1;
	int words = argc - 1;
	if (strcmp(word[0], "--version") == 0)
		return version_command.run(NULL);
	if (asks_for_help(word[0]) && (words < 2 || word[1][0] != '-'))
		return show_help(words > 1 ? word[1] : NULL, words > 2 ? word[2] : NULL);
	const char *group = NULL;
	if (is_group(word[0])) {
		group = word[0];
		if (words < 2) {
			help_group(group, stderr);
			return EXIT_USAGE;
		}
		if (asks_for_help(word[1]))
			return show_help(group, words > 2 ? word[2] : NULL);
		word++;
		words--;
	}
	const struct command *c = find(group, word[0]);
	if (!c)
		return word[0][0] == '-' ? usage_error(NULL, "unknown option %s", word[0])
					 : no_such(group, word[0]);
	struct args a;
	bool help;
	int rc = args_parse(c, words - 1, word + 1, &a, &help);
	if (help) {
		help_command(c, stdout);
		return out_finish();
	}
	return rc ? rc : c->run(&a);
}
