/* couchbase_stream.c: opens, prints, acknowledges what was written out, closes.
 *
 * The place is saved behind the events that were written: with checkpoints by the library, with a token file by
 * watch_sink.h. A kill repeats some events but loses none; with a token and --out it does not repeat any.
 */
#include "cli/couchbase_stream.h"
#include "cli/watch_sink.h"

#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 200, REFRESH_MS = 10000 };

struct run {
	weir_dcp *d;
	const struct args *a;
	struct watch_sink sink;
	uint64_t shown, limit;
	bool follow, ended; /* ended: some vBucket has, since it was looked whether all have */
	bool now, ready;    /* starts with what comes; everything streams */
	bool sync;          /* the output before the checkpoints */
	bool unsaved;       /* something came since the last save */
	int64_t event_ms;   /* of the last event shown */
	int64_t lost_ms;    /* since when some node is not connected; 0: all are */
	bool lost_told;
	uint64_t save_failures; /* as they were when the last one was told, */
	uint64_t saves;         /* and the successes then */
	bool unsaved_told;
	weir_buffer token;
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
		    f && !ferror(f) ? "it is empty" : strerror(errno));
		if (f)
			fclose(f);
		return EXIT_FAILED;
	}
	fclose(f);
	out[strcspn(out, "\r\n")] = '\0';
	return EXIT_OK;
}

/* Where it stands, behind what was printed. Streams that begin with what comes have no place before they run. */
static int save(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	if (!r->sink.token.path)
		return watch_sink_flush(&r->sink, false);
	if (r->now && !r->ready)
		r->ready = weir_dcp_wait_ready(r->d, 0, NULL) == 1;
	if (r->now && !r->ready)
		return watch_sink_flush(&r->sink, false);
	weir_buffer_clear(&r->token);
	if (weir_dcp_token(r->d, &r->token, &e) < 0)
		return fail("token", &e);
	return watch_sink_save(&r->sink, (const char *)r->token.data);
}

/* ---- events ---- */

int fail_stream(const weir_error *e)
{
	say("%s", e->message[0] ? e->message : weir_error_text(e->code));
	return exit_code_of(e->code);
}

static int ended_badly(struct run *r, const weir_dcp_info *info)
{
	weir_dcp_stats st = { .size = sizeof(st) };
	bool known = info->code != WEIR_ERR_FENCED && weir_dcp_stats_get(r->d, &st) == 0 &&
		     st.last_error[0];
	if (known && strstr(st.last_error, "vBucket"))
		say("%s", st.last_error);
	else
		say("vBucket %u: %s", info->vbucket,
		    known ? st.last_error : weir_error_text(info->code));
	return exit_code_of(info->code);
}

/* Prints one event. EXIT_OK, or a code to end with. */
static int show(struct run *r, const weir_dcp_event *ev)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_info info = { .size = sizeof(info) };
	weir_doc doc;
	weir_dcp_event_info(r->d, ev, &info);
	if (info.kind == WEIR_DCP_END) {
		r->ended = true;
		return info.code ? ended_badly(r, &info) : EXIT_OK;
	}
	int rc = weir_dcp_event_doc(r->d, ev, &doc, &e);
	if (rc > 0)
		rc = event_print_doc(&r->sink.printer, doc, &e) < 0 ? e.code : 1;
	if (rc < 0)
		return fail("event", &e);
	r->shown += rc > 0;
	return EXIT_OK;
}

static bool limit_reached(const struct run *r)
{
	return r->limit && r->shown == r->limit;
}

/* A batch, or what the limit leaves of it: printed, written out, acknowledged. */
static int show_batch(struct run *r, const weir_dcp_event *events, size_t n)
{
	uint64_t before = r->shown;
	size_t done = 0;
	int code = EXIT_OK;
	for (; done < n && !limit_reached(r) && code == EXIT_OK; done += code == EXIT_OK)
		code = show(r, weir_dcp_event_at(events, done));
	if (r->shown != before)
		r->event_ms = mono_ms();
	int written = watch_sink_flush(&r->sink, r->sync);
	if (written == EXIT_OK && done)
		(void)weir_dcp_ack(r->d, events, done);
	return code != EXIT_OK ? code : written;
}

/* A connection that is gone for a second is told once, and that it is back. */
static void tell_lost(struct run *r, const weir_dcp_stats *st)
{
	enum { AFTER_MS = 1000 };
	if (st->connected >= st->nodes) {
		if (r->lost_told)
			say("connected to all %u nodes again", st->nodes);
		r->lost_told = false;
		r->lost_ms = 0;
		return;
	}
	if (r->lost_ms == 0)
		r->lost_ms = mono_ms();
	if (r->lost_told || mono_ms() - r->lost_ms < AFTER_MS)
		return;
	r->lost_told = true;
	say("connected to %u of %u nodes only, trying again: %s", st->connected, st->nodes,
	    st->last_error);
}

/* Without its first checkpoint a vBucket hands out nothing: a full disk would look like a bucket in which nothing happens. */
static void tell_unsaved(struct run *r, const weir_dcp_stats *st)
{
	if (r->unsaved_told && st->saves > r->saves) {
		say("the checkpoints are saved again");
		r->unsaved_told = false;
	}
	if (!r->unsaved_told && st->save_failures > r->save_failures) {
		say("the checkpoints cannot be saved, trying again: %s", st->last_error);
		r->unsaved_told = true;
	}
	r->save_failures = st->save_failures;
	r->saves = st->saves;
}

/* Whatever is this member's has ended. 1, 0, or an exit code negated. */
static int at_end(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_stats st = { .size = sizeof(st) };
	weir_dcp_member m = { .size = sizeof(m) };
	r->ended = false;
	if (weir_dcp_stats_get(r->d, &st) < 0 || weir_dcp_member_get(r->d, &m, &e) < 0)
		return -fail_stream(&e);
	if (m.over) {
		say("membership: %s", m.message);
		return -EXIT_FAILED;
	}
	tell_lost(r, &st);
	tell_unsaved(r, &st);
	return m.settled && !st.queued && st.ended == st.assigned && (st.assigned || !r->follow);
}

/* What is followed does not end by itself, unless it is gone. */
static int nothing_left(const struct run *r)
{
	if (!r->follow)
		return EXIT_OK;
	say("nothing is left to follow: the scope or the collections are gone");
	return EXIT_NOT_FOUND;
}

/* Nothing came. EXIT_OK: go on waiting. */
static int wait_more(struct run *r)
{
	int64_t timeout = args_duration_ms(r->a, "timeout");
	if (!r->follow || timeout < 0 || mono_ms() - r->event_ms < timeout)
		return EXIT_OK;
	say("no event for %s", args_text(r->a, "timeout"));
	return EXIT_TIMED_OUT;
}

static int save_start(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	if (!watch_sink_wants_start(&r->sink))
		return EXIT_OK;
	while (!r->ready && !stop_requested()) {
		int rc = weir_dcp_wait_ready(r->d, POLL_MS, &e);
		if (rc < 0)
			return fail_stream(&e);
		r->ready = rc == 1;
	}
	return r->ready ? save(r) : EXIT_OK;
}

static int pump(struct run *r)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	bool idle = false;
	int ended = EXIT_OK, code = save_start(r);
	r->event_ms = mono_ms();
	while (code == EXIT_OK && !stop_requested() && !limit_reached(r)) {
		int end = r->ended || idle ? at_end(r) : 0;
		if (end < 0)
			return -end;
		int rc = weir_dcp_poll(r->d, end ? 0 : POLL_MS, &events, &n, &e);
		if (rc < 0)
			code = fail_stream(&e);
		if (rc == 0 && end) {
			ended = nothing_left(r);
			break;
		}
		idle = rc == 0;
		if (rc >= 0)
			code = idle ? wait_more(r) : show_batch(r, events, n);
		r->unsaved |= rc > 0;
		int64_t every = !idle ? WATCH_SAVE_EVERY_MS : r->unsaved ? 0 : REFRESH_MS;
		if (code == EXIT_OK && mono_ms() - r->sink.saved_ms >= every) {
			code = save(r);
			r->unsaved = false;
		}
	}
	if (code != EXIT_OK && code != EXIT_TIMED_OUT)
		return code;
	int saved = save(r);
	return saved != EXIT_OK ? saved : code != EXIT_OK ? code : ended;
}

static int open_and_pump(struct run *r, const weir_dcp_options *o)
{
	weir_error e = WEIR_ERROR_INIT;
	if (weir_dcp_open(o, &r->d, &e) < 0) {
		int failed = fail_stream(&e);
		if (e.code == WEIR_ERR_AUTH && !(o->password && *o->password))
			fprintf(stderr,
				"      no password was given: $COUCHBASE_PASSWORD is not set\n");
		return failed;
	}
	stop_on_signal(on_stop, NULL);
	int code = pump(r);
	if (weir_dcp_close(r->d, &e) < 0 && code == EXIT_OK) {
		say("the last save failed: %s", e.message);
		code = exit_code_of(e.code);
	}
	weir_buffer_free(&r->token);
	return code;
}

/* ---- what the options say ---- */

static bool keeps_checkpoints(const weir_dcp_options *o)
{
	return o->checkpoint_file || o->checkpoint_bucket || o->checkpoint_log;
}

/* The token file before everything else, then what the options say. */
static int set_start(const struct args *a, const struct watch_sink *sink, weir_dcp_options *o)
{
	const char *since = args_text(a, "since"), *after = args_text(a, "resume-after");
	if (args_given(a, "from") + (since != NULL) + (after != NULL) > 1)
		return usage_error(a->command,
				   "--from, --since and --resume-after exclude each other");
	if (keeps_checkpoints(o) && (after || sink->token.path))
		return usage_error(a->command,
				   "--%s and checkpoints exclude each other: both say where to "
				   "start",
				   after ? "resume-after" : "token");
	if (since && !parse_time_ms(since, &o->skip_until_ms))
		return usage_error(a->command,
				   "--since must be a time such as 2026-01-31T10:00:00Z or -5m, "
				   "not '%s'",
				   since);
	if (since)
		o->latest = false;
	o->resume_after = watch_sink_has_token(sink) ? (const char *)sink->token.token.p : after;
	return EXIT_OK;
}

/* --filter and --pipeline, over what the configuration says. */
static int take_queries(const struct args *a, weir_buffer *filter, weir_buffer *pipeline,
			weir_dcp_options *o)
{
	int code = EXIT_OK;
	if (args_text(a, "filter"))
		code = json_operand(args_text(a, "filter"), filter);
	if (code == EXIT_OK && args_text(a, "pipeline"))
		code = json_operand(args_text(a, "pipeline"), pipeline);
	if (filter->len)
		o->filter = weir_json_n((const char *)filter->data, filter->len);
	if (pipeline->len)
		o->pipeline = weir_json_n((const char *)pipeline->data, pipeline->len);
	return code;
}

int couchbase_stream(const struct args *a, weir_dcp_options *o)
{
	weir_buffer filter = WEIR_BUFFER_INIT, pipeline = WEIR_BUFFER_INIT;
	struct run r = { .a = a,
			 .limit = args_count(a, "limit"),
			 .follow = !o->finite,
			 .token = WEIR_BUFFER_INIT };
	int code = take_queries(a, &filter, &pipeline, o);
	int token = watch_sink_open_token(&r.sink, a);
	code = code == EXIT_OK ? token : code;
	if (code == EXIT_OK)
		code = set_start(a, &r.sink, o);
	if (code == EXIT_OK)
		code = watch_sink_open_out(&r.sink, a);
	r.now = o->latest;
	r.sync = keeps_checkpoints(o);
	if (code == EXIT_OK)
		code = open_and_pump(&r, o);
	code = watch_sink_close(&r.sink, code);
	weir_buffer_free(&filter);
	weir_buffer_free(&pipeline);
	return code;
}

/* ---- weir watch couchbase:// ---- */

bool couchbase_is_address(const char *text)
{
	return strncmp(text, "couchbase://", 12) == 0 || strncmp(text, "couchbases://", 13) == 0;
}

/* What weir watch has for its own log only, and why. */
static int refuse_others(const struct args *a)
{
	static const struct {
		const char *name, *why;
	} rows[] = {
		{ "full-document", "a mutation always has the whole document" },
		{ "written", "'weir couchbase watch --mitigation' says what has to be durable" },
		{ "noops", "a bucket's changes have none" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (args_given(a, rows[i].name))
			return usage_error(a->command, "--%s does not go with couchbase://: %s",
					   rows[i].name, rows[i].why);
	if (a->n_operands > 1)
		return usage_error(a->command,
				   "the scope stands in the address: couchbase://HOST/BUCKET/"
				   "SCOPE/COLLECTION");
	return EXIT_OK;
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
	const char *address = a->operand[0];
	int refused = refuse_others(a);
	if (refused != EXIT_OK)
		return refused;
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
	weir_dcp_options o = {
		.size = sizeof(o),
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
		.membership = &alone,
	};
	if (!hosts || !bucket || !user || strchr(user, ':'))
		code = usage_error(a->command,
				   "'%s' is not couchbase://[USER@]HOST[:PORT][,...]/BUCKET[/SCOPE["
				   "/COLLECTION]]; the password is taken from $COUCHBASE_PASSWORD",
				   address);
	if (code == EXIT_OK)
		code = couchbase_stream(a, &o);
	free(copy);
	return code;
}
