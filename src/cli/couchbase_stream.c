/* couchbase_stream.c: opens, prints, acknowledges what was written out, closes.
 *
 * The place is saved behind the events that were written: with checkpoints by the library, with a token file here, at most
 * every half second and at the end. A kill repeats some events but loses none.
 */
#include "cli/couchbase_stream.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 200, SAVE_EVERY_MS = 500, TOKEN_BYTES_MAX = 16 << 20 };

struct run {
	weir_dcp *d;
	uint64_t shown, limit;
	bool follow, ended; /* ended: some vBucket has, since it was looked whether all have */
	const char *token_path;
	int64_t saved_ms;
	weir_buffer text, token;
};

static void on_stop(void *arg)
{
	(void)arg; /* the loop looks at stop_requested */
}

int couchbase_password(const char *path, char out[COUCHBASE_PASSWORD_MAX])
{
	const char *env = getenv("COUCHBASE_PASSWORD");
	if (!path) {
		(void)snprintf(out, COUCHBASE_PASSWORD_MAX, "%s", env ? env : "");
		return EXIT_OK;
	}
	FILE *f = fopen(path, "r");
	if (!f || !fgets(out, COUCHBASE_PASSWORD_MAX, f)) {
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

/* ---- the token file: replaced whole ---- */

static int write_token(struct run *r, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	FILE *f = fdopen(fd, "w");
	if (!f) {
		(void)close(fd);
		return -1;
	}
	fwrite(r->token.data, 1, r->token.len, f);
	putc('\n', f);
	int bad = fflush(f) != 0 || ferror(f) || fsync(fd) != 0;
	return fclose(f) != 0 || bad ? -1 : 0;
}

/* Everything printed so far reaches the output before the token does. */
static int save_token(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	AUTO(buf) struct buf next = BUF_INIT;
	if (!r->token_path)
		return EXIT_OK;
	weir_buffer_clear(&r->token);
	if (weir_dcp_token(r->d, &r->token, &e) < 0)
		return fail("token", &e);
	buf_add_fmt(&next, "%s.new", r->token_path);
	if (write_token(r, buf_cstr(&next)) != 0 || rename(buf_cstr(&next), r->token_path) != 0) {
		say("cannot write %s: %s", r->token_path, strerror(errno));
		return EXIT_FAILED;
	}
	r->saved_ms = mono_ms();
	return EXIT_OK;
}

static int load_token(const char *path, struct buf *out)
{
	char piece[4096];
	size_t n;
	FILE *f = fopen(path, "r");
	if (!f && errno == ENOENT)
		return EXIT_OK;
	if (!f) {
		say("cannot read %s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0 && out->len < TOKEN_BYTES_MAX)
		buf_add(out, piece, n);
	fclose(f);
	while (out->len && (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
		out->len--;
	return EXIT_OK;
}

/* ---- events ---- */

/* Prints one event. EXIT_OK, or a code to end with. */
static int show(struct run *r, const weir_dcp_event *ev)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_info info = { .size = sizeof(info) };
	weir_doc doc;
	weir_dcp_event_info(r->d, ev, &info);
	r->ended |= info.kind == WEIR_DCP_END;
	if (info.kind == WEIR_DCP_END && info.code == 0 && !r->follow)
		return EXIT_OK;
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

/* Whatever is this member's has ended. 1, 0, or an exit code negated. */
static int at_end(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_stats st = { .size = sizeof(st) };
	weir_dcp_member m = { .size = sizeof(m) };
	r->ended = false;
	if (weir_dcp_stats_get(r->d, &st) < 0 || weir_dcp_member_get(r->d, &m, &e) < 0)
		return -fail(NULL, &e);
	if (m.over) {
		say("membership: %s", m.message);
		return -EXIT_FAILED;
	}
	return m.settled && st.ended == st.assigned && (st.assigned || !r->follow);
}

static int pump(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	bool idle = false;
	while (!stop_requested() && !(r->limit && r->shown == r->limit)) {
		int end = r->ended || idle ? at_end(r) : 0;
		if (end < 0)
			return -end;
		int rc = weir_dcp_poll(r->d, end ? 0 : POLL_MS, &events, &n, &e);
		if (rc < 0)
			return fail(NULL, &e);
		if (rc == 0 && end)
			break;
		idle = rc == 0;
		if (idle)
			continue;
		for (size_t i = 0; i < n && !(r->limit && r->shown == r->limit); i++) {
			int code = show(r, weir_dcp_event_at(events, i));
			if (code != EXIT_OK)
				return code;
			if (out_finish() != EXIT_OK)
				return EXIT_FAILED;
			(void)weir_dcp_ack(r->d, weir_dcp_event_at(events, i), 1);
		}
		if (mono_ms() - r->saved_ms >= SAVE_EVERY_MS && save_token(r) != EXIT_OK)
			return EXIT_FAILED;
	}
	return save_token(r);
}

static int open_and_pump(struct couchbase_stream *s)
{
	weir_error e = WEIR_ERROR_INIT;
	struct run r = { .limit = s->limit,
			 .follow = !s->o.finite,
			 .token_path = s->token_path,
			 .saved_ms = mono_ms(),
			 .text = WEIR_BUFFER_INIT,
			 .token = WEIR_BUFFER_INIT };
	if (weir_dcp_open(&s->o, &r.d, &e) < 0)
		return fail(NULL, &e);
	stop_on_signal(on_stop, NULL);
	int code = pump(&r);
	if (weir_dcp_close(r.d, &e) < 0 && code == EXIT_OK)
		code = fail("saving checkpoints", &e);
	weir_buffer_free(&r.text);
	weir_buffer_free(&r.token);
	return code;
}

int couchbase_stream(struct couchbase_stream *s)
{
	weir_buffer filter = WEIR_BUFFER_INIT, pipeline = WEIR_BUFFER_INIT;
	AUTO(buf) struct buf token = BUF_INIT;
	int code = EXIT_OK;
	if (s->filter)
		code = json_operand(s->filter, &filter);
	if (code == EXIT_OK && s->pipeline)
		code = json_operand(s->pipeline, &pipeline);
	if (filter.len)
		s->o.filter = weir_json_n((const char *)filter.data, filter.len);
	if (pipeline.len)
		s->o.pipeline = weir_json_n((const char *)pipeline.data, pipeline.len);
	if (code == EXIT_OK && s->token_path)
		code = load_token(s->token_path, &token);
	if (token.len)
		s->o.resume_after = buf_cstr(&token);
	if (code == EXIT_OK)
		code = open_and_pump(s);
	weir_buffer_free(&filter);
	weir_buffer_free(&pipeline);
	return code;
}

/* ---- weir watch couchbase:// ---- */

bool couchbase_is_address(const char *text)
{
	return strncmp(text, "couchbase://", 12) == 0 || strncmp(text, "couchbases://", 13) == 0;
}

/* What weir watch has for its own log only. */
static const char *not_here(const struct args *a)
{
	static const char *const names[] = { "since",   "resume-after", "full-document", "out",
					     "timeout", "written",      "noops" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (args_given(a, names[i]))
			return names[i];
	return args_choice(a, "format", "ndjson") ? NULL : "format";
}

/* Cuts the next part off *p at `stop`; NULL when it is empty. */
static const char *cut(char **p, char stop)
{
	char *part = *p, *at = part ? strchr(part, stop) : NULL;
	*p = at ? at + 1 : NULL;
	if (at)
		*at = '\0';
	return part && *part ? part : NULL;
}

int couchbase_watch_address(const struct args *a)
{
	char password[COUCHBASE_PASSWORD_MAX];
	const char *other = not_here(a), *address = a->operand[0];
	if (other)
		return usage_error(a->command, "--%s does not go with couchbase://", other);
	if (a->n_operands > 1)
		return usage_error(a->command,
				   "the scope stands in the address: couchbase://HOST/BUCKET/"
				   "SCOPE/COLLECTION");
	char *copy = strdup(strstr(address, "://") + 3), *rest = copy;
	char *at = copy ? strchr(copy, '@') : NULL;
	const char *user = at ? cut(&rest, '@') : "Administrator";
	const char *hosts = cut(&rest, '/'), *bucket = cut(&rest, '/'), *scope = cut(&rest, '/'),
		   *collection = rest && *rest ? rest : NULL;
	int code = couchbase_password(NULL, password);
	const weir_dcp_membership alone = {
		.size = sizeof(alone), .kind = WEIR_DCP_MEMBERS_STATIC, .member = 1, .total = 1
	};
	bool now = args_text(a, "from") ? args_choice(a, "from", "now") : args_flag(a, "follow");
	struct couchbase_stream s = {
		.o = { .size = sizeof(s.o),
		       .hosts = hosts,
		       .bucket = bucket,
		       .user = user,
		       .password = password,
		       .group = "weir-watch",
		       .tls = strncmp(address, "couchbases", 10) == 0,
		       .scope = scope,
		       .collections = collection,
		       .latest = now,
		       .finite = !args_flag(a, "follow"),
		       .membership = &alone },
		.filter = args_text(a, "filter"),
		.pipeline = args_text(a, "pipeline"),
		.token_path = args_text(a, "token"),
		.limit = args_count(a, "limit"),
	};
	if (!hosts || !bucket || !user || strchr(user, ':'))
		code = usage_error(a->command,
				   "'%s' is not couchbase://[USER@]HOST[:PORT][,...]/BUCKET[/SCOPE["
				   "/COLLECTION]]; the password is taken from $COUCHBASE_PASSWORD",
				   address);
	if (code == EXIT_OK)
		code = couchbase_stream(&s);
	free(copy);
	return code;
}
