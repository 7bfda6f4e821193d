/* cmd_oplog_import.c: files of documents become changes.
 *
 * Each document is put: an insert where its key is new, an update with the exact difference where it is not, nothing
 * where it is the same. So an import can be repeated, and one that was cut short is finished by running it again.
 *
 * With --insert-time and --replace-time the documents carry their own history: every one becomes an insert at the
 * first time and a replace at the second, all of them in the order of time.
 *
 * --on-error stop reads everything once before it appends anything, so that a malformed document means that nothing
 * is imported; skip tells about each and imports the rest.
 */
#include "cli/commands.h"
#include "cli/outcome.h"

#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	PIECE_BYTES = 1 << 18,
	BATCH_BYTES = 4 << 20, /* of documents in one append */
	ENTRY_FRAME = 1024,    /* what an entry holds beside its document, but for a long _id */
	FILES_MAX = 63,
	SKIPS_TOLD = 20, /* malformed documents told one by one */
};

static const struct option_row import_options[] = {
	{ .name = "ns",
	  .kind = OPTION_TEXT,
	  .arg = "DB.COLL",
	  .help = "The collection that the documents belong to" },
	{ .name = "key",
	  .kind = OPTION_TEXT,
	  .arg = "FIELD",
	  .def = "_id",
	  .help = "The field that becomes _id; may be dotted" },
	{ .name = "format",
	  .kind = OPTION_CHOICE,
	  .arg = "FORMAT",
	  .choices = "auto|ndjson|json|geojson",
	  .def = "auto",
	  .help = "A document a line, an array, or a FeatureCollection's features" },
	{ .name = "on-error",
	  .kind = OPTION_CHOICE,
	  .arg = "WHAT",
	  .choices = "stop|skip",
	  .def = "stop",
	  .help = "A malformed document: import nothing, or all the others" },
	{ .name = "insert-time",
	  .kind = OPTION_TEXT,
	  .arg = "FIELD",
	  .help = "As history: insert each document at the time in this field" },
	{ .name = "replace-time",
	  .kind = OPTION_TEXT,
	  .arg = "FIELD",
	  .help = "As history: and replace it at the time in this field" },
	{ .name = "batch",
	  .kind = OPTION_COUNT,
	  .arg = "N",
	  .def = "1000",
	  .help = "Documents in one append" },
	{ .name = "ack",
	  .kind = OPTION_CHOICE,
	  .arg = "LEVEL",
	  .choices = "durable|written|none",
	  .def = "durable",
	  .help = "When each batch counts as appended" },
	{ .name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .help = "No summary" },
	{ 0 },
};

/* One document of a history, to be sorted by time. */
struct moment {
	int64_t ms;
	uint32_t doc; /* index into docs */
	bool is_replace;
};

struct import {
	const struct args *args;
	weir_oplog *oplog; /* NULL while everything is only checked */
	weir_batch *batch;
	const char *db, *coll;
	const char *path; /* of the input at hand, for messages */
	bool skip;
	uint64_t batch_docs, batch_bytes;
	uint64_t skipped;
	weir_batch_result total;
	struct progress progress;
	uint64_t units;
	/* history */
	bool history;
	weir_buffer *docs;
	struct moment *moments;
	size_t n_docs, n_moments, cap_docs, cap_moments;
	bool stopped;
};

static struct import *running; /* for Ctrl-C */

static void stop(void *arg)
{
	(void)arg;
	__atomic_store_n(&running->stopped, true, __ATOMIC_RELAXED);
}

static bool stopped(struct import *im)
{
	return __atomic_load_n(&im->stopped, __ATOMIC_RELAXED);
}

static int commit(struct import *im, weir_error *e)
{
	weir_batch_result r = { 0 };
	im->batch_docs = im->batch_bytes = 0;
	if (weir_batch_count(im->batch) == 0)
		return 0;
	int rc = weir_batch_commit(im->batch, WEIR_ACK_DEFAULT, NULL, &r, NULL, e);
	if (rc < 0)
		return rc;
	im->total.inserted += r.inserted;
	im->total.updated += r.updated;
	im->total.replaced += r.replaced;
	im->total.unchanged += r.unchanged;
	return 0;
}

static int commit_when_full(struct import *im, size_t bytes, weir_error *e)
{
	im->batch_bytes += bytes;
	if (++im->batch_docs < args_count(im->args, "batch") && im->batch_bytes < BATCH_BYTES)
		return 0;
	return commit(im, e);
}

/* ---- one document ---- */

static int invalid(weir_error *e, const char *what, const char *field)
{
	e->code = WEIR_ERR_INVALID;
	e->number = 0;
	snprintf(e->message, sizeof(e->message), what, field);
	return e->code;
}

/* A time as a date, or as a number of milliseconds. */
static int time_of(weir_doc doc, const char *field, int64_t *ms, weir_error *e)
{
	if (weir_get_date(doc, field, ms) == 1 || weir_get_int64(doc, field, ms) == 1)
		return 0;
	const char *text;
	if (weir_get_string(doc, field, &text) == 1 && parse_time_ms(text, ms))
		return 0;
	return invalid(e, "'%.100s' holds no time (a date, RFC 3339 text, or milliseconds)", field);
}

static bool grow(void **p, size_t *cap, size_t n, size_t size)
{
	if (n < *cap)
		return true;
	size_t more = *cap ? *cap * 2 : 1024;
	void *q = realloc(*p, more * size);
	if (!q)
		return false;
	*p = q;
	*cap = more;
	return true;
}

static int remember(struct import *im, weir_buffer *doc, weir_error *e)
{
	weir_doc d = weir_bson(doc->data, doc->len);
	const char *first = args_text(im->args, "insert-time"),
		   *second = args_text(im->args, "replace-time");
	int64_t inserted, replaced;
	int rc = time_of(d, first, &inserted, e);
	if (rc == 0 && second)
		rc = time_of(d, second, &replaced, e);
	if (rc < 0 || !im->oplog)
		return rc;
	if (!grow((void **)&im->docs, &im->cap_docs, im->n_docs, sizeof(*im->docs)) ||
	    !grow((void **)&im->moments, &im->cap_moments, im->n_moments + 1, sizeof(*im->moments)))
		return invalid(e, "%s", "out of memory");
	uint32_t i = (uint32_t)im->n_docs++;
	im->docs[i] = *doc;
	*doc = (weir_buffer)WEIR_BUFFER_INIT;
	im->moments[im->n_moments++] = (struct moment){ inserted, i, false };
	if (second)
		im->moments[im->n_moments++] = (struct moment){ replaced, i, true };
	return 0;
}

/* What no entry can hold is found here, before its batch, which would fail as a whole. */
static int check_size(const weir_buffer *doc, weir_error *e)
{
	if (doc->len <= WEIR_ENTRY_MAX - ENTRY_FRAME)
		return 0;
	e->code = WEIR_ERR_LIMIT;
	e->number = 0;
	snprintf(e->message, sizeof(e->message), "a document of %zu bytes; an entry may have %u",
		 doc->len, WEIR_ENTRY_MAX);
	return e->code;
}

static int take(struct import *im, weir_doc parsed, weir_error *e)
{
	weir_buffer doc = WEIR_BUFFER_INIT;
	int rc = weir_doc_with_id(parsed, args_text(im->args, "key"), &doc, e);
	if (rc == WEIR_ERR_NOTFOUND)
		rc = e->code = WEIR_ERR_INVALID; /* the input's fault, not a file that is missing */
	if (rc == 0)
		rc = check_size(&doc, e);
	if (rc == 0 && im->history)
		rc = remember(im, &doc, e);
	else if (rc == 0 && im->oplog) {
		rc = weir_batch_put(im->batch, im->db, im->coll, weir_bson(doc.data, doc.len), NULL,
				    e);
		if (rc == 0)
			rc = commit_when_full(im, doc.len, e);
	}
	weir_buffer_free(&doc);
	return rc;
}

/* ---- a history ---- */

static int by_time(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;
	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	if (x->doc != y->doc)
		return x->doc < y->doc ? -1 : 1;
	return x->is_replace - y->is_replace;
}

static int append_history(struct import *im, weir_error *e)
{
	qsort(im->moments, im->n_moments, sizeof(*im->moments), by_time);
	bool *known = calloc(im->n_docs ? im->n_docs : 1, sizeof(*known));
	if (!known)
		return invalid(e, "%s", "out of memory");
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < im->n_moments && !stopped(im); i++) {
		const struct moment *m = &im->moments[i];
		weir_doc doc = weir_bson(im->docs[m->doc].data, im->docs[m->doc].len);
		weir_append_options options = { .size = sizeof(options), .wall_time_ms = m->ms };
		if (!m->is_replace) {
			/* A document from an earlier import is put once, at its last time. */
			weir_buffer before = WEIR_BUFFER_INIT;
			rc = weir_oplog_find(im->oplog, im->db, im->coll, doc, &before, e);
			weir_buffer_free(&before);
			if (rc < 0)
				break;
			known[m->doc] = rc == 1;
			bool last = !args_given(im->args, "replace-time");
			rc = 0;
			if (known[m->doc] && !last)
				continue;
			rc = known[m->doc]
				     ? weir_batch_put(im->batch, im->db, im->coll, doc, &options, e)
				     : weir_batch_insert(im->batch, im->db, im->coll, doc, &options,
							 e);
		} else if (known[m->doc]) {
			rc = weir_batch_put(im->batch, im->db, im->coll, doc, &options, e);
		} else {
			rc = weir_batch_replace(im->batch, im->db, im->coll, doc, &options, e);
		}
		if (rc == 0)
			rc = commit_when_full(im, doc.len, e);
		progress_step(&im->progress, 0, i + 1);
	}
	free(known);
	return rc;
}

/* ---- reading ---- */

/* Where an error happened: "path: line 3". A reader's message begins with the line itself. */
static void place_text(const struct import *im, const weir_place *place, bool from_reader,
		       char *out, size_t size)
{
	if (from_reader)
		snprintf(out, size, "%s", im->path);
	else
		snprintf(out, size, "%s: line %" PRIu64, im->path, place->line);
}

/* A document is malformed or has no key. True: go on with the next. */
static bool skip_it(struct import *im, const char *where, const weir_error *e)
{
	if (!im->skip)
		return false;
	im->skipped++;
	if (im->skipped <= SKIPS_TOLD)
		say("%s: %s; skipped", where, e->message);
	else if (im->skipped == SKIPS_TOLD + 1)
		say("%s: more malformed documents are skipped without a word each", im->path);
	return true;
}

static bool harms_only_itself(int code)
{
	return code == WEIR_ERR_FORMAT || code == WEIR_ERR_INVALID || code == WEIR_ERR_NOTFOUND ||
	       code == WEIR_ERR_LIMIT || code == WEIR_ERR_TYPE;
}

/* Every document that the reader has ready. 0 feed more; 1 the rest cannot be read and is skipped; negative: over, after
 * telling why. */
static int drain(struct import *im, weir_json_reader *r, weir_error *e)
{
	uint64_t failed_at = UINT64_MAX;
	for (;;) {
		weir_doc doc;
		weir_place place = { 0 };
		int rc = weir_json_reader_next(r, &doc, &place, e);
		bool text_is_wrong = rc < 0;
		if (rc == 0 || stopped(im))
			return 0;
		if (rc == 1)
			rc = take(im, doc, e);
		if (rc == 0) {
			im->units++;
			progress_step(&im->progress, place.offset, im->units);
			continue;
		}
		/* The same place twice: the input as a whole is broken and cannot be followed further. */
		if (text_is_wrong && place.offset == failed_at) {
			say("%s: what follows cannot be read", im->path);
			return 1;
		}
		failed_at = text_is_wrong ? place.offset : UINT64_MAX;
		char context[512];
		place_text(im, &place, text_is_wrong || !harms_only_itself(e->code), context,
			   sizeof(context));
		if (harms_only_itself(e->code) && skip_it(im, context, e))
			continue;
		progress_end(&im->progress);
		return -fail(context, e);
	}
}

static int read_input(struct import *im, FILE *f)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_json_reader *r;
	if (weir_json_reader_new(json_input_of(args_text(im->args, "format")), &r, &e) < 0)
		return fail(NULL, &e);
	char *piece = malloc(PIECE_BYTES);
	int rc = piece ? 0 : -EXIT_FAILED;
	for (bool more = true; more && rc == 0 && !stopped(im);) {
		size_t n = fread(piece, 1, PIECE_BYTES, f);
		more = n > 0;
		if (!more)
			weir_json_reader_end(r);
		else if (weir_json_reader_feed(r, piece, n, &e) < 0)
			rc = -fail(im->path, &e);
		if (rc == 0)
			rc = drain(im, r, &e);
	}
	if (rc > 0)
		rc = 0;
	if (rc == 0 && ferror(f)) {
		say("cannot read %s: %s", im->path, strerror(errno));
		rc = -EXIT_FAILED;
	}
	free(piece);
	weir_json_reader_free(r);
	return -rc;
}

/* A copy that can be read twice, for input that cannot. */
static FILE *spool(FILE *in, const char *path)
{
	FILE *copy = tmpfile();
	char block[1 << 16];
	size_t n;
	bool ok = copy != NULL;
	while (ok && (n = fread(block, 1, sizeof(block), in)) > 0)
		ok = fwrite(block, 1, n, copy) == n;
	if (ok && !ferror(in) && fflush(copy) == 0) {
		rewind(copy);
		return copy;
	}
	say("cannot copy %s to a temporary file: %s (with --on-error skip no copy is needed)", path,
	    strerror(errno));
	if (copy)
		fclose(copy);
	return NULL;
}

static FILE *open_input(const char *path)
{
	if (strcmp(path, "-") == 0)
		return stdin;
	FILE *f = fopen(path, "rbe");
	struct stat st;
	if (f && fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		fclose(f);
		f = NULL;
		errno = EISDIR;
	}
	if (!f)
		say("cannot open %s: %s", path, strerror(errno));
	return f;
}

static uint64_t size_of(FILE *f)
{
	struct stat st;
	return fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

/* ---- the command ---- */

/* Without a log reading only checks: a log is not made for an input that cannot be used. */
static int check_first(struct import *im, FILE *f)
{
	ASSERT(!im->oplog);
	progress_start(&im->progress, "checking", "documents", size_of(f));
	int rc = read_input(im, f);
	progress_end(&im->progress);
	im->units = 0;
	if (rc)
		fprintf(stderr, "      nothing was imported; --on-error skip imports the other "
				"documents\n");
	else
		rewind(f);
	return rc;
}

static int open_files(struct import *im, FILE **file, int n)
{
	int rc = EXIT_OK;
	for (int i = 0; !rc && i < n; i++) {
		im->path = im->args->operand[i + 1];
		file[i] = open_input(im->path);
		if (!file[i]) {
			rc = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
		} else if (!im->skip && fseeko(file[i], 0, SEEK_CUR) != 0) {
			FILE *copy = spool(file[i], im->path);
			if (file[i] != stdin)
				fclose(file[i]);
			file[i] = copy;
			rc = copy ? EXIT_OK : EXIT_FAILED;
		}
		if (!rc && !im->skip)
			rc = check_first(im, file[i]);
	}
	return rc;
}

static int import_files(struct import *im, FILE *const *file, int n)
{
	int rc = EXIT_OK;
	weir_error e = WEIR_ERROR_INIT;
	if (weir_batch_new(im->oplog, &im->batch, &e) < 0)
		return fail(NULL, &e);
	for (int i = 0; !rc && i < n && !stopped(im); i++) {
		im->path = im->args->operand[i + 1];
		progress_start(&im->progress, im->history ? "reading" : "importing", "documents",
			       size_of(file[i]));
		rc = read_input(im, file[i]);
		progress_end(&im->progress);
	}
	if (!rc && im->history) {
		progress_start(&im->progress, "importing", "changes", 0);
		int failed = append_history(im, &e);
		progress_end(&im->progress);
		rc = failed < 0 ? fail(NULL, &e) : EXIT_OK;
	}
	if (!rc && commit(im, &e) < 0)
		rc = fail(NULL, &e);
	weir_batch_free(im->batch);
	return rc;
}

static uint64_t imported(const struct import *im)
{
	const weir_batch_result *t = &im->total;
	return t->inserted + t->updated + t->replaced + t->unchanged;
}

static void summarize(const struct import *im, int64_t started_ms)
{
	const weir_batch_result *t = &im->total;
	double seconds = (double)(mono_ms() - started_ms) / 1000;
	fprintf(stderr,
		"imported %" PRIu64 " documents: %" PRIu64 " inserted, %" PRIu64
		" updated, %" PRIu64 " replaced, %" PRIu64 " unchanged, %" PRIu64
		" skipped (%.2f s)\n",
		im->history ? im->units : imported(im), t->inserted, t->updated, t->replaced,
		t->unchanged, im->skipped, seconds);
}

static int run(const struct args *a)
{
	char ns[400];
	struct import im = { .args = a };
	const char *name = args_text(a, "ns");
	if (!name || !split_ns(name, ns, sizeof(ns), &im.db, &im.coll) || !*im.coll)
		return usage_error(a->command, "--ns DATABASE.COLLECTION is needed%s",
				   name ? " (both parts)" : "");
	if (args_text(a, "replace-time") && !args_text(a, "insert-time"))
		return usage_error(a->command, "--replace-time goes with --insert-time");
	if (args_count(a, "batch") == 0)
		return usage_error(a->command, "--batch must be at least 1");
	if (a->n_operands - 1 > FILES_MAX)
		return usage_error(a->command, "at most %d files at once", FILES_MAX);
	im.skip = args_choice(a, "on-error", "skip");
	im.history = args_text(a, "insert-time") != NULL;
	running = &im;
	stop_on_signal(stop, NULL);

	int64_t started_ms = mono_ms();
	FILE *file[FILES_MAX] = { NULL };
	int n = a->n_operands - 1, rc = open_files(&im, file, n);
	if (!rc && !stopped(&im))
		im.oplog = open_oplog(a->operand[0], false, false, args_text(a, "ack"), &rc);
	if (im.oplog)
		rc = close_oplog(im.oplog, import_files(&im, file, n));
	for (int i = 0; i < n; i++)
		if (file[i] && file[i] != stdin)
			fclose(file[i]);
	if (!args_flag(a, "quiet") && (rc == EXIT_OK || imported(&im)))
		summarize(&im, started_ms);
	if (stopped(&im))
		say("stopped; run the same import again to finish it");
	for (size_t i = 0; i < im.n_docs; i++)
		weir_buffer_free(&im.docs[i]);
	free(im.docs);
	free(im.moments);
	return rc == EXIT_OK && (im.skipped || stopped(&im)) ? EXIT_FAILED : rc;
}

const struct command oplog_import_command = {
	.group = "oplog",
	.name = "import",
	.operands = "LOG FILE...",
	.operands_min = 2,
	.operands_max = -1,
	.summary = "Import files of documents as changes",
	.details = "Reads NDJSON, JSON arrays and GeoJSON FeatureCollections; - is standard input. "
		   "A document whose key is\n"
		   "new is inserted; one whose key is known becomes an update with the exact "
		   "difference; one that did not\n"
		   "change is left alone, so an import may be repeated.\n\n"
		   "With --insert-time (and --replace-time) the documents become a history: each "
		   "inserted at the one time,\n"
		   "replaced at the other, all in the order of time.\n\n"
		   "Where a document is malformed, nothing is imported and the line is told; with "
		   "--on-error skip the others\n"
		   "are imported, and the exit code is 1.",
	.examples = "weir oplog import ./log orders.ndjson --ns shop.orders --key orderId\tImport "
		    "a file\n"
		    "weir oplog import ./log quakes.json --ns usgs.quakes --key id --insert-time "
		    "properties.time "
		    "--replace-time properties.updated\tImport a feed as its history",
	.options = import_options,
	.run = run,
};
