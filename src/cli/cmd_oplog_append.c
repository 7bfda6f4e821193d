/* cmd_oplog_append.c: one operation from the command line, or many as NDJSON on standard input. */
#include "cli/commands.h"
#include "cli/outcome.h"

#include "base/base.h"
#include "base/buf.h"
#include "base/suggest.h"

#include <inttypes.h>
#include <string.h>

static const struct option_row append_options[] = {
	{ .name = "ack",
	  .kind = OPTION_CHOICE,
	  .arg = "LEVEL",
	  .choices = "durable|written|none",
	  .def = "durable",
	  .help = "When the append returns" },
	{ .name = "time",
	  .kind = OPTION_TEXT,
	  .arg = "TIME",
	  .help = "When it happened, instead of now" },
	{ .name = "before",
	  .kind = OPTION_TEXT,
	  .arg = "JSON",
	  .help = "The document before an update, instead of the latest one in the log" },
	{ 0 },
};

/* One operation, however it was written down. Documents are JSON text or BSON; none where it has none. */
struct operation {
	const char *op;
	const char *db, *coll;
	const char *to_db, *to_coll;
	weir_doc doc; /* insert, replace, put; the key of update and delete; an index; a note */
	weir_doc update;
	weir_append_options options;
};

typedef int append_fn(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e);

static int insert(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_insert(o, p->db, p->coll, p->doc, &p->options, at, e);
}

static int put(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_put(o, p->db, p->coll, p->doc, &p->options, at, NULL, e);
}

static int update(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_update(o, p->db, p->coll, p->doc, p->update, &p->options, at, e);
}

static int replace(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_replace(o, p->db, p->coll, p->doc, &p->options, at, e);
}

static int delete_(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_delete(o, p->db, p->coll, p->doc, &p->options, at, e);
}

static int create(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_create_collection(o, p->db, p->coll, p->doc, &p->options, at, e);
}

static int drop(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_drop_collection(o, p->db, p->coll, &p->options, at, e);
}

static int rename_(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_rename_collection(o, p->db, p->coll, p->to_db, p->to_coll, &p->options,
					    at, e);
}

static int drop_database(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_drop_database(o, p->db, &p->options, at, e);
}

static int create_index(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_create_index(o, p->db, p->coll, p->doc, &p->options, at, e);
}

static int drop_index(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_drop_index(o, p->db, p->coll, p->doc, &p->options, at, e);
}

static int noop(weir_oplog *o, const struct operation *p, weir_position *at, weir_error *e)
{
	return weir_oplog_noop(o, p->doc, &p->options, at, e);
}

/* What an operation needs, in the order of the command line. */
static const struct op_row {
	const char *name;
	append_fn *append;
	int docs_min, docs_max;    /* JSON operands */
	bool has_coll, has_target; /* shop.orders rather than shop; a new namespace follows */
} ops[] = {
	{ "insert", insert, 1, 1, true, false },
	{ "put", put, 1, 1, true, false },
	{ "update", update, 2, 2, true, false },
	{ "replace", replace, 1, 1, true, false },
	{ "delete", delete_, 1, 1, true, false },
	{ "create", create, 0, 1, true, false },
	{ "drop", drop, 0, 0, true, false },
	{ "rename", rename_, 0, 0, true, true },
	{ "dropDatabase", drop_database, 0, 0, false, false },
	{ "createIndex", create_index, 1, 1, true, false },
	{ "dropIndex", drop_index, 1, 1, true, false },
	{ "noop", noop, 0, 1, false, false },
};

static const struct op_row *op_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	return NULL;
}

static const char *op_near(const char *name)
{
	const char *names[ARRAY_LEN(ops) + 1] = { NULL };
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		names[i] = ops[i].name;
	return suggest(name, names);
}

static void print_position(const weir_position *at)
{
	if (at->offset == WEIR_OFFSET_NONE)
		puts("{\"unchanged\":true}");
	else
		printf("{\"offset\":%" PRIu64 ",\"clusterTime\":{\"$timestamp\":{\"t\":%" PRIu32
		       ",\"i\":%" PRIu32 "}}}\n",
		       at->offset, at->cluster_time.seconds, at->cluster_time.increment);
}

static weir_doc text_doc(const weir_buffer *b)
{
	return weir_json_n((const char *)b->data, b->len);
}

/* What an operation of the command line holds. */
struct operands {
	char ns[400], target[400];
	weir_buffer doc, update, before;
};

static void operands_free(struct operands *t)
{
	weir_buffer_free(&t->doc);
	weir_buffer_free(&t->update);
	weir_buffer_free(&t->before);
}

/* One JSON operand; `what` it is. Arrays, the pipelines of updates, are left to the append. */
static int read_document(const char *op, const char *what, const char *operand, weir_buffer *out)
{
	AUTO(buf) struct buf context = BUF_INIT;
	weir_buffer bson = WEIR_BUFFER_INIT;
	weir_error e = WEIR_ERROR_INIT;
	int rc = json_operand(operand, out);
	size_t at = 0;
	while (!rc && at < out->len && strchr(" \t\r\n", out->data[at]))
		at++;
	if (rc || (at < out->len && out->data[at] == '['))
		return rc;
	if (weir_json_to_bson((const char *)out->data, out->len, &bson, NULL, &e) < 0) {
		buf_add_fmt(&context, "%s: %s", op, what);
		rc = fail(buf_cstr(&context), &e);
	}
	weir_buffer_free(&bson);
	return rc;
}

/* LOG DB.COLL OP [JSON...]: read whole before there is a log, so that a mistake does not make one. */
static int read_operation(const struct args *a, const struct op_row *row, struct operands *t,
			  struct operation *p)
{
	if (!split_ns(a->operand[1], t->ns, sizeof(t->ns), &p->db, &p->coll) ||
	    (row->has_coll && !*p->coll))
		return usage_error(a->command, "%s needs DATABASE%s, not '%s'", row->name,
				   row->has_coll ? ".COLLECTION" : "", a->operand[1]);
	int left = a->n_operands - 3;
	const char *const *operand = a->operand + 3;
	if (row->has_target) {
		if (left < 1 ||
		    !split_ns(operand[0], t->target, sizeof(t->target), &p->to_db, &p->to_coll) ||
		    !*p->to_coll)
			return usage_error(a->command, "rename needs the new DATABASE.COLLECTION");
		left--;
	}
	if (left < row->docs_min || left > row->docs_max)
		return usage_error(a->command, "%s takes %d JSON document%s", row->name,
				   row->docs_max, row->docs_max == 1 ? "" : "s");
	int rc = left > 0 ? read_document(row->name, "document", operand[0], &t->doc) : EXIT_OK;
	if (!rc && left > 1)
		rc = read_document(row->name, "update", operand[1], &t->update);
	if (!rc && args_text(a, "before"))
		rc = read_document(row->name, "before", args_text(a, "before"), &t->before);
	p->doc = left > 0 ? text_doc(&t->doc) : weir_none();
	p->update = left > 1 ? text_doc(&t->update) : weir_none();
	p->options.before = t->before.data ? text_doc(&t->before) : weir_none();
	return rc;
}

static int append_one(weir_oplog *o, const struct op_row *row, const struct operation *p)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_position at;
	if (row->append(o, p, &at, &e) < 0)
		return fail(row->name, &e);
	print_position(&at);
	return EXIT_OK;
}

/* {"op": "update", "ns": "shop.orders", "key": {...}, "update": {...}} */
static int append_line(weir_oplog *o, weir_doc line, struct operation p, weir_error *e)
{
	const char *op = NULL, *ns = NULL, *to = NULL;
	char ns_text[400], to_text[400];
	if (weir_get_string(line, "op", &op) != 1 || !op_named(op)) {
		const char *near = op ? op_near(op) : NULL;
		e->code = WEIR_ERR_INVALID;
		snprintf(e->message, sizeof(e->message),
			 op ? "unknown op '%.40s'%s%s%s" : "\"op\" is missing", op,
			 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
		return -1;
	}
	const struct op_row *row = op_named(op);
	p.db = p.coll = "";
	if (weir_get_string(line, "ns", &ns) == 1)
		(void)split_ns(ns, ns_text, sizeof(ns_text), &p.db, &p.coll);
	if (weir_get_string(line, "to", &to) == 1)
		(void)split_ns(to, to_text, sizeof(to_text), &p.to_db, &p.to_coll);
	if (row->has_target && !to) {
		e->code = WEIR_ERR_INVALID;
		snprintf(e->message, sizeof(e->message), "\"to\" is missing");
		return -1;
	}
	if (weir_get_doc(line, "doc", &p.doc) != 1)
		(void)weir_get_doc(line, "key", &p.doc);
	(void)weir_get_doc(line, "update", &p.update);
	(void)weir_get_doc(line, "before", &p.options.before);
	(void)weir_get_date(line, "wallTime", &p.options.wall_time_ms);
	weir_position at;
	if (row->append(o, &p, &at, e) < 0)
		return -1;
	print_position(&at);
	return 0;
}

static int append_stream(weir_oplog *o, const struct operation *base)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_json_reader *r;
	if (weir_json_reader_new(WEIR_INPUT_AUTO, &r, &e) < 0)
		return fail(NULL, &e);
	static char piece[1 << 16];
	weir_doc line;
	weir_place place = { 0 };
	int rc = 0;
	bool in_operation = false; /* else the message tells the line itself */
	for (bool more = true; more && rc >= 0;) {
		size_t n = fread(piece, 1, sizeof(piece), stdin);
		more = n > 0;
		if (more)
			rc = weir_json_reader_feed(r, piece, n, &e);
		else
			weir_json_reader_end(r);
		while (rc >= 0 && (rc = weir_json_reader_next(r, &line, &place, &e)) == 1) {
			rc = append_line(o, line, *base, &e);
			in_operation = rc < 0;
		}
	}
	weir_json_reader_free(r);
	if (rc >= 0)
		return EXIT_OK;
	char context[64] = "standard input";
	if (in_operation)
		snprintf(context, sizeof(context), "standard input, line %" PRIu64, place.line);
	return fail(context, &e);
}

static int run(const struct args *a)
{
	bool stream = a->n_operands == 2 && strcmp(a->operand[1], "-") == 0;
	if (!stream && a->n_operands < 3)
		return usage_error(a->command, "operands are missing");
	const struct op_row *row = stream ? NULL : op_named(a->operand[2]);
	if (!stream && !row) {
		const char *near = op_near(a->operand[2]);
		return usage_error(a->command, "unknown operation '%s'%s%s%s", a->operand[2],
				   near ? "; did you mean " : "", near ? near : "",
				   near ? "?" : "");
	}
	struct operation p = { .options = { .size = sizeof(p.options) } };
	const char *time = args_text(a, "time");
	if (time && !parse_time_ms(time, &p.options.wall_time_ms))
		return usage_error(a->command,
				   "--time must be a time such as 2026-01-31T10:00:00Z, not '%s'",
				   time);
	struct operands t = { .doc = WEIR_BUFFER_INIT,
			      .update = WEIR_BUFFER_INIT,
			      .before = WEIR_BUFFER_INIT };
	int rc = stream ? EXIT_OK : read_operation(a, row, &t, &p);
	weir_oplog *o = NULL;
	if (!rc)
		o = open_oplog(a->operand[0], false, false, args_text(a, "ack"), &rc);
	if (o) {
		rc = stream ? append_stream(o, &p) : append_one(o, row, &p);
		rc = close_oplog(o, rc);
	}
	operands_free(&t);
	int flushed = out_finish();
	return rc ? rc : flushed;
}

const struct command oplog_append_command = {
	.group = "oplog",
	.name = "append",
	.operands = "LOG DB.COLL OP [JSON...] | LOG -",
	.operands_min = 2,
	.operands_max = -1,
	.summary = "Append operations to an oplog, created when missing",
	.details = "OP is insert, put, replace (JSON: the document), update (the key, then "
		   "operators or a pipeline),\n"
		   "delete (the key), create, drop, rename (the new DB.COLL), dropDatabase, "
		   "createIndex, dropIndex or\n"
		   "noop. put is an insert, or an update with the exact difference where the _id "
		   "is known.\n"
		   "JSON may be @FILE. Prints the position of each entry.\n\n"
		   "With - as second operand, operations come from standard input, one JSON "
		   "document each:\n\n"
		   "  {\"op\": \"insert\", \"ns\": \"shop.orders\", \"doc\": {\"_id\": 1}}\n"
		   "  {\"op\": \"update\", \"ns\": \"shop.orders\", \"key\": {\"_id\": 1}, "
		   "\"update\": {\"$set\": {\"qty\": 3}}}",
	.examples = "weir oplog append ./log shop.orders insert '{\"_id\": 1, \"qty\": 2}'\tInsert "
		    "a document\n"
		    "weir oplog append ./log shop.orders update '{\"_id\": 1}' '{\"$inc\": "
		    "{\"qty\": 1}}'\tUpdate it\n"
		    "weir oplog append ./log shop.orders delete '{\"_id\": 1}'\tDelete it",
	.options = append_options,
	.run = run,
};
