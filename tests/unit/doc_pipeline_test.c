/* doc_pipeline: the stateless stages shape, filter and spread documents as MongoDB's do. */
#include "tests/doc_text.h"
#include "tests/scarce.h"

#include "doc/json.h"
#include "doc/pipeline.h"

#include <stdio.h>
#include <stdlib.h>

static int compile(const char *json, enum pipeline_context context, struct pipeline **out,
		   struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct slice spec = parse(&b, json);
	struct pipeline_options o = { .context = context };
	int rc = pipeline_compile(spec, &o, out, e);
	memset(b.p, 0xff, b.len); /* the spec was copied */
	return rc;
}

static int collect(void *arg, struct slice doc, struct err *e)
{
	struct buf *text = arg;
	assert_ok(bson_validate(doc, e), e);
	if (text->len)
		buf_add_byte(text, ' ');
	json_from_bson(doc, JSON_RELAXED, text);
	return 0;
}

static int compile_let(const char *json, const char *let, struct pipeline **out, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT, l = BUF_INIT;
	struct slice spec = parse(&b, json);
	struct pipeline_options o = { .let = parse(&l, let) };
	int rc = pipeline_compile(spec, &o, out, e);
	memset(b.p, 0xff, b.len);
	memset(l.p, 0xff, l.len);
	return rc;
}

struct run_case {
	const char *doc, *stages, *out; /* the results, with a blank between; NULL: an error */
	int number;
};

static int run(const struct run_case *c, struct buf *out, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct slice doc = parse(&b, c->doc);
	struct pipeline *p;
	int rc = compile(c->stages, PIPELINE_PLAIN, &p, e);
	if (rc < 0)
		return rc;
	struct eval ev;
	eval_init(&ev);
	for (int round = 0; rc == 0 && round < 2; round++) {
		eval_reset(&ev);
		buf_reset(out);
		rc = pipeline_run(p, &ev, doc, collect, out, e);
		assert_int_equal(ev.scratch.len, 0);
	}
	eval_done(&ev);
	pipeline_free(p);
	return rc;
}

static void check(const struct run_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct run_case *c = &cases[i];
		struct err e = ERR_INIT;
		AUTO(buf) struct buf out = BUF_INIT;
		int rc = run(c, &out, &e);
		if (!c->out) {
			if (rc >= 0)
				fail_msg("%s: accepted", c->stages);
			if (e.number != c->number)
				fail_msg("%s: number %d instead of %d: %s", c->stages, e.number,
					 c->number, e.msg);
			continue;
		}
		if (rc < 0)
			fail_msg("%s: %s", c->stages, e.msg);
		if (strcmp(buf_cstr(&out), c->out) != 0)
			fail_msg("%s:\n got %s\nwant %s", c->stages, buf_cstr(&out), c->out);
	}
}

#define CHECK(cases) check(cases, ARRAY_LEN(cases))

static void project_includes_in_document_order(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"c\":3,\"_id\":1,\"a\":1,\"b\":2}", "[{\"$project\":{\"a\":1,\"c\":true}}]",
		  "{\"c\":3,\"_id\":1,\"a\":1}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$project\":{\"_id\":0,\"a\":5.5}}]",
		  "{\"a\":1}" },
		{ "{\"_id\":1,\"a\":1}", "[{\"$project\":{\"_id\":1}}]", "{\"_id\":1}" },
		{ "{\"_id\":1,\"a\":1}", "[{\"$project\":{\"zz\":1}}]", "{\"_id\":1}" },
		{ "{\"_id\":1,\"a\":{\"b\":1,\"c\":2},\"d\":1}",
		  "[{\"$project\":{\"a.b\":1,\"d.x\":1}}]", "{\"_id\":1,\"a\":{\"b\":1}}" },
		{ "{\"_id\":1,\"a\":{\"b\":1,\"c\":2}}",
		  "[{\"$project\":{\"a\":{\"c\":1,\"x.y\":1}}}]", "{\"_id\":1,\"a\":{\"c\":2}}" },
		/* Through arrays of arrays; what is no object goes. */
		{ "{\"_id\":1,\"a\":[{\"b\":1,\"c\":1},2,[{\"b\":3}],{}]}",
		  "[{\"$project\":{\"a.b\":1}}]", "{\"_id\":1,\"a\":[{\"b\":1},[{\"b\":3}],{}]}" },
		{ "{\"_id\":{\"x\":1,\"y\":2},\"a\":1}", "[{\"$project\":{\"_id.x\":1}}]",
		  "{\"_id\":{\"x\":1}}" },
	};
	CHECK(cases);
}

static void project_excludes_and_keeps_the_rest(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$project\":{\"a\":0}}]",
		  "{\"_id\":1,\"b\":2}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$project\":{\"_id\":0}}]",
		  "{\"a\":1,\"b\":2}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$project\":{\"_id\":1,\"a\":false}}]",
		  "{\"_id\":1,\"b\":2}" },
		{ "{\"_id\":1,\"a\":[{\"b\":1,\"c\":1},2,[{\"b\":3,\"d\":4}]]}",
		  "[{\"$project\":{\"a.b\":0}}]", "{\"_id\":1,\"a\":[{\"c\":1},2,[{\"d\":4}]]}" },
		{ "{\"_id\":1,\"a\":5}", "[{\"$project\":{\"a.b\":0}}]", "{\"_id\":1,\"a\":5}" },
		{ "{\"_id\":1,\"a\":{\"b\":{\"c\":1,\"d\":2}},\"e\":3}",
		  "[{\"$unset\":[\"a.b.c\",\"e\"]}]", "{\"_id\":1,\"a\":{\"b\":{\"d\":2}}}" },
		{ "{\"_id\":1,\"a\":5}", "[{\"$unset\":\"a\"}]", "{\"_id\":1}" },
	};
	CHECK(cases);
}

static void project_computes_after_what_it_includes(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"_id\":1,\"a\":1,\"b\":2}",
		  "[{\"$project\":{\"z\":\"$b\",\"y\":\"text\",\"a\":1}}]",
		  "{\"_id\":1,\"a\":1,\"z\":2,\"y\":\"text\"}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$project\":{\"a\":\"$b\",\"b\":1}}]",
		  "{\"_id\":1,\"b\":2,\"a\":2}" },
		{ "{\"_id\":1,\"b\":2}",
		  "[{\"$project\":{\"x\":\"$none\",\"y\":\"$$REMOVE\",\"b\":1}}]",
		  "{\"_id\":1,\"b\":2}" },
		{ "{\"_id\":1,\"b\":2}", "[{\"$project\":{\"x.y\":\"$b\"}}]",
		  "{\"_id\":1,\"x\":{\"y\":2}}" },
		{ "{\"_id\":1,\"a\":[{\"b\":1},2,[3]],\"b\":7}",
		  "[{\"$project\":{\"a.x\":\"$b\"}}]",
		  "{\"_id\":1,\"a\":[{\"x\":7},{\"x\":7},[{\"x\":7}]]}" },
		{ "{\"_id\":1,\"a\":{\"b\":1,\"c\":2}}",
		  "[{\"$project\":{\"a\":{\"d\":\"$_id\",\"c\":1}}}]",
		  "{\"_id\":1,\"a\":{\"c\":2,\"d\":1}}" },
		{ "{\"_id\":1,\"a\":1}", "[{\"$project\":{\"_id\":\"$a\"}}]", "{\"_id\":1}" },
		{ "{\"_id\":1,\"a\":1}", "[{\"$project\":{\"v\":{\"$literal\":1}}}]",
		  "{\"_id\":1,\"v\":1}" },
		{ "{\"_id\":1,\"a\":1}", "[{\"$project\":{\"v\":[\"$a\",2]}}]",
		  "{\"_id\":1,\"v\":[1,2]}" },
	};
	CHECK(cases);
}

static void add_fields_keeps_places_and_makes_objects_of_scalars(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$addFields\":{\"c\":3,\"a\":\"$b\"}}]",
		  "{\"_id\":1,\"a\":2,\"b\":2,\"c\":3}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$set\":{\"a.x\":5}}]",
		  "{\"_id\":1,\"a\":{\"x\":5},\"b\":2}" },
		{ "{\"_id\":1,\"a\":{\"x\":1,\"y\":2}}", "[{\"$set\":{\"a.x\":5,\"a.z\":6}}]",
		  "{\"_id\":1,\"a\":{\"x\":5,\"y\":2,\"z\":6}}" },
		{ "{\"_id\":1,\"a\":[{\"x\":1},2,[{}]]}", "[{\"$set\":{\"a\":{\"x\":\"$_id\"}}}]",
		  "{\"_id\":1,\"a\":[{\"x\":1},{\"x\":1},[{\"x\":1}]]}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}",
		  "[{\"$set\":{\"a\":\"$$REMOVE\",\"q\":\"$none\"}}]", "{\"_id\":1,\"b\":2}" },
		{ "{\"_id\":1}", "[{\"$set\":{\"a.b\":\"$none\"}}]", "{\"_id\":1,\"a\":{}}" },
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "[{\"$set\":{\"a\":\"$b\",\"b\":\"$a\"}}]",
		  "{\"_id\":1,\"a\":2,\"b\":1}" },
	};
	CHECK(cases);
}

static void projections_that_contradict_themselves_are_errors(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{}", "[{\"$project\":{\"a\":1,\"b\":0}}]", NULL, 31254 },
		{ "{}", "[{\"$project\":{\"a\":0,\"b\":1}}]", NULL, 31253 },
		{ "{}", "[{\"$project\":{\"a\":0,\"b\":\"$c\"}}]", NULL, 31252 },
		{ "{}", "[{\"$project\":{\"a\":\"$c\",\"b\":0}}]", NULL, 31254 },
		{ "{}", "[{\"$project\":{\"a\":1,\"_id.x\":0}}]", NULL, 31254 },
		{ "{}", "[{\"$project\":{\"a\":1,\"a.b\":1}}]", NULL, 31250 },
		{ "{}", "[{\"$project\":{\"a.b\":1,\"a\":1}}]", NULL, 31250 },
		{ "{}", "[{\"$project\":{\"a.b\":1,\"a\":{\"b\":1}}}]", NULL, 31250 },
		{ "{}", "[{\"$set\":{\"a\":1,\"a.b\":1}}]", NULL, 40176 },
		{ "{}", "[{\"$project\":{}}]", NULL, 51272 },
		{ "{}", "[{\"$set\":{}}]", NULL, 40177 },
		{ "{}", "[{\"$project\":{\"a\":{}}}]", NULL, 51270 },
		{ "{}", "[{\"$set\":{\"a\":{}}}]", NULL, 40180 },
		{ "{}", "[{\"$set\":{\"a\":{\"b.c\":1}}}]", NULL, 40183 },
		{ "{}", "[{\"$project\":\"a\"}]", NULL, 15969 },
		{ "{}", "[{\"$addFields\":1}]", NULL, 40272 },
		{ "{}", "[{\"$project\":{\"\":1}}]", NULL, 40352 },
		{ "{}", "[{\"$project\":{\"a..b\":1}}]", NULL, 9 },
		{ "{}", "[{\"$project\":{\"a.\":1}}]", NULL, 9 },
		{ "{}", "[{\"$project\":{\"$a\":1}}]", NULL, 16410 },
		{ "{}", "[{\"$project\":{\"a.$\":1}}]", NULL, 16410 },
		{ "{}", "[{\"$unset\":5}]", NULL, 31002 },
		{ "{}", "[{\"$unset\":[]}]", NULL, 31119 },
		{ "{}", "[{\"$unset\":[\"a\",5]}]", NULL, 31120 },
		{ "{}", "[{\"$unset\":[\"a\",\"a.b\"]}]", NULL, 31250 },
		{ "{}", "[{\"$project\":{\"a\":{\"$foo\":1}}}]", NULL, 31325 },
	};
	CHECK(cases);
}

static void unwind_makes_a_document_of_each_element(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"_id\":1,\"a\":[1,2],\"b\":3}", "[{\"$unwind\":\"$a\"}]",
		  "{\"_id\":1,\"a\":1,\"b\":3} {\"_id\":1,\"a\":2,\"b\":3}" },
		{ "{\"_id\":1,\"a\":{\"b\":[1,[2]],\"c\":1}}",
		  "[{\"$unwind\":{\"path\":\"$a.b\"}}]",
		  "{\"_id\":1,\"a\":{\"b\":1,\"c\":1}} {\"_id\":1,\"a\":{\"b\":[2],\"c\":1}}" },
		{ "{\"_id\":1,\"a\":[1,2]}",
		  "[{\"$unwind\":{\"path\":\"$a\",\"includeArrayIndex\":\"i\"}}]",
		  "{\"_id\":1,\"a\":1,\"i\":0} {\"_id\":1,\"a\":2,\"i\":1}" },
		{ "{\"_id\":1,\"a\":7}",
		  "[{\"$unwind\":{\"path\":\"$a\",\"includeArrayIndex\":\"x.i\"}}]",
		  "{\"_id\":1,\"a\":7,\"x\":{\"i\":null}}" },
		{ "{\"_id\":1,\"a\":[]}", "[{\"$unwind\":\"$a\"}]", "" },
		{ "{\"_id\":1,\"a\":null}", "[{\"$unwind\":\"$a\"}]", "" },
		{ "{\"_id\":1}", "[{\"$unwind\":\"$a\"}]", "" },
		{ "{\"_id\":1,\"a\":[]}",
		  "[{\"$unwind\":{\"path\":\"$a\",\"preserveNullAndEmptyArrays\":true}}]",
		  "{\"_id\":1}" },
		{ "{\"_id\":1,\"a\":null}",
		  "[{\"$unwind\":{\"path\":\"$a\",\"preserveNullAndEmptyArrays\":true}}]",
		  "{\"_id\":1,\"a\":null}" },
		{ "{\"_id\":1}",
		  "[{\"$unwind\":{\"path\":\"$a\",\"preserveNullAndEmptyArrays\":true,"
		  "\"includeArrayIndex\":\"i\"}}]",
		  "{\"_id\":1,\"i\":null}" },
		{ "{\"a\":[1,2],\"b\":[3,4]}", "[{\"$unwind\":\"$a\"},{\"$unwind\":\"$b\"}]",
		  "{\"a\":1,\"b\":3} {\"a\":1,\"b\":4} {\"a\":2,\"b\":3} {\"a\":2,\"b\":4}" },
		{ "{\"a\":[1,2,3]}", "[{\"$unwind\":\"$a\"},{\"$match\":{\"a\":{\"$gt\":1}}}]",
		  "{\"a\":2} {\"a\":3}" },
		{ "{\"a\":[{\"b\":[1]}]}", "[{\"$unwind\":\"$a.b\"}]", "" },
		{ "{}", "[{\"$unwind\":5}]", NULL, 15981 },
		{ "{}", "[{\"$unwind\":{\"path\":5}}]", NULL, 28808 },
		{ "{}", "[{\"$unwind\":{\"path\":\"$a\",\"preserveNullAndEmptyArrays\":1}}]", NULL,
		  28809 },
		{ "{}", "[{\"$unwind\":{\"path\":\"$a\",\"includeArrayIndex\":1}}]", NULL, 28810 },
		{ "{}", "[{\"$unwind\":{\"path\":\"$a\",\"foo\":1}}]", NULL, 28811 },
		{ "{}", "[{\"$unwind\":{}}]", NULL, 28812 },
		{ "{}", "[{\"$unwind\":\"a\"}]", NULL, 28818 },
		{ "{}", "[{\"$unwind\":{\"path\":\"$a\",\"includeArrayIndex\":\"$i\"}}]", NULL,
		  28822 },
	};
	CHECK(cases);
}

static void replace_root_wants_an_object(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"_id\":1,\"a\":{\"x\":1}}", "[{\"$replaceRoot\":{\"newRoot\":\"$a\"}}]",
		  "{\"x\":1}" },
		{ "{\"_id\":1,\"a\":{\"x\":1}}",
		  "[{\"$replaceWith\":{\"k\":\"$a.x\",\"l\":\"$_id\"}}]", "{\"k\":1,\"l\":1}" },
		{ "{\"a\":1}", "[{\"$replaceRoot\":{\"newRoot\":\"$a\"}}]", NULL, 40228 },
		{ "{\"a\":1}", "[{\"$replaceWith\":\"$b\"}]", NULL, 40228 },
		{ "{\"a\":1}", "[{\"$replaceRoot\":\"$a\"}]", NULL, 40229 },
		{ "{\"a\":1}", "[{\"$replaceRoot\":{}}]", NULL, 40414 },
		{ "{\"a\":1}", "[{\"$replaceRoot\":{\"root\":\"$a\"}}]", NULL, 40415 },
	};
	CHECK(cases);
}

static void redact_keeps_prunes_and_descends(void **state)
{
	(void)state;
#define BY_LEVEL "[{\"$redact\":{\"$cond\":[{\"$gt\":[\"$level\",2]},\"$$PRUNE\",\"$$DESCEND\"]}}]"
	static const struct run_case cases[] = {
		{ "{\"level\":1,\"a\":{\"level\":3},\"b\":{\"level\":2,\"c\":[{\"level\":5},7,[{"
		  "\"level\":"
		  "4},{\"x\":1}]]}}",
		  BY_LEVEL, "{\"level\":1,\"b\":{\"level\":2,\"c\":[7,[{\"x\":1}]]}}" },
		{ "{\"level\":3}", BY_LEVEL, "" },
		{ "{\"a\":{\"b\":1}}", "[{\"$redact\":\"$$KEEP\"}]", "{\"a\":{\"b\":1}}" },
		{ "{\"a\":{\"b\":1}}", "[{\"$redact\":\"$$PRUNE\"}]", "" },
		{ "{\"a\":1}", "[{\"$redact\":\"$a\"}]", NULL, 17053 },
		{ "{\"a\":1}", "[{\"$redact\":true}]", NULL, 17053 },
	};
	CHECK(cases);
#undef BY_LEVEL
}

static void stages_follow_each_other(void **state)
{
	(void)state;
	static const struct run_case cases[] = {
		{ "{\"_id\":1,\"a\":5,\"b\":1}",
		  "[{\"$match\":{\"a\":{\"$gt\":1}}},{\"$set\":{\"c\":\"$a\"}},{\"$match\":{\"c\":"
		  "5}},"
		  "{\"$project\":{\"c\":1,\"_id\":0}}]",
		  "{\"c\":5}" },
		{ "{\"_id\":1,\"a\":5}", "[{\"$match\":{\"a\":1}},{\"$set\":{\"c\":1}}]", "" },
		{ "{\"_id\":1}", "[]", "{\"_id\":1}" },
		{ "{}", "[{}]", NULL, 40323 },
		{ "{}", "[{\"$match\":{},\"$unset\":\"a\"}]", NULL, 40323 },
		{ "{}", "[5]", NULL, 14 },
		{ "{}", "[{\"$match\":5}]", NULL, 15959 },
		{ "{}", "[{\"$bogus\":{}}]", NULL, 40324 },
	};
	CHECK(cases);
}

static void change_streams_permit_only_some_stages(void **state)
{
	(void)state;
	static const char *const forbidden[] = {
		"$group",  "$sort",   "$skip",        "$limit",      "$sample",
		"$unwind", "$lookup", "$graphLookup", "$bucketAuto", "$facet",
	};
	static const char *const allowed =
		"[{\"$match\":{}},{\"$project\":{\"a\":1}},{\"$addFields\":{\"a\":\"x\"}},"
		"{\"$set\":{\"a\":\"x\"}},{\"$unset\":\"a\"},{\"$replaceRoot\":{\"newRoot\":\"$a\"}"
		"},"
		"{\"$replaceWith\":\"$a\"},{\"$redact\":\"$$KEEP\"}]";
	struct pipeline *p;
	struct err e = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		char json[100];
		snprintf(json, sizeof(json), "[{\"%s\":{}}]", forbidden[i]);
		assert_int_equal(compile(json, PIPELINE_CHANGE_STREAM, &p, &e), ERR_INVALID);
		assert_int_equal(e.number, 20);
		assert_non_null(strstr(e.msg, "is not permitted in a $changeStream pipeline"));
		assert_non_null(strstr(e.msg, forbidden[i]));
	}
	assert_ok(compile(allowed, PIPELINE_CHANGE_STREAM, &p, &e), &e);
	assert_int_equal(pipeline_stage_count(p), 8);
	pipeline_free(p);
	assert_int_equal(compile("[{\"$projct\":{}}]", PIPELINE_CHANGE_STREAM, &p, &e),
			 ERR_INVALID);
	assert_int_equal(e.number, 40324);
	assert_non_null(strstr(e.msg, "did you mean $project?"));
	assert_int_equal(compile("[{\"$changeStreamSplitLargeEvent\":{}}]", PIPELINE_CHANGE_STREAM,
				 &p, &e),
			 ERR_UNSUPPORTED);
	assert_int_equal(compile("[{\"$group\":{}}]", PIPELINE_PLAIN, &p, &e), ERR_UNSUPPORTED);
}

static void the_leading_matches_are_one_filter(void **state)
{
	(void)state;
	static const struct {
		const char *stages, *leading;
	} cases[] = {
		{ "[]", "" },
		{ "[{\"$unset\":\"a\"},{\"$match\":{\"a\":1}}]", "" },
		{ "[{\"$match\":{\"a\":1}},{\"$unset\":\"a\"},{\"$match\":{\"b\":1}}]",
		  "{\"a\":1}" },
		{ "[{\"$match\":{\"a\":1}},{\"$match\":{\"b\":1}},{\"$unset\":\"a\"}]",
		  "{\"$and\":[{\"a\":1},{\"b\":1}]}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		struct pipeline *p;
		AUTO(buf) struct buf text = BUF_INIT;
		assert_ok(compile(cases[i].stages, PIPELINE_PLAIN, &p, &e), &e);
		struct slice leading = pipeline_leading_match(p);
		if (leading.len)
			json_from_bson(leading, JSON_RELAXED, &text);
		assert_string_equal(buf_cstr(&text), cases[i].leading);
		pipeline_free(p);
	}
}

static int stop_at_two(void *arg, struct slice doc, struct err *e)
{
	(void)doc, (void)e;
	return ++*(int *)arg == 2 ? 7 : 0;
}

static void emit_can_stop_the_pipeline(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pipeline *p;
	struct eval ev;
	AUTO(buf) struct buf b = BUF_INIT;
	int n = 0;
	assert_ok(compile("[{\"$unwind\":\"$a\"},{\"$set\":{\"b\":1}}]", PIPELINE_PLAIN, &p, &e),
		  &e);
	eval_init(&ev);
	struct slice doc = parse(&b, "{\"a\":[1,2,3,4]}");
	assert_int_equal(pipeline_run(p, &ev, doc, stop_at_two, &n, &e), 7);
	assert_int_equal(n, 2);
	eval_done(&ev);
	pipeline_free(p);
}

static void the_error_names_the_stage(void **state)
{
	(void)state;
	static const struct {
		struct run_case c;
		const char *words;
	} cases[] = {
		{ { "{}", "[{\"$match\":{}},{\"$unset\":5}]" }, "stage 1: $unset: " },
		{ { "{}", "[{\"$match\":{\"a\":{\"$gtt\":1}}}]" }, "stage 0: $match: " },
		{ { "{\"a\":1}", "[{\"$match\":{}},{\"$replaceWith\":\"$a\"}]" },
		  "stage 1 ($replaceWith): " },
		{ { "{}", "[{\"$project\":{\"x\":{\"y\":{\"$ad\":1}}}}]" }, "$project.x.y" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		AUTO(buf) struct buf out = BUF_INIT;
		assert_true(run(&cases[i].c, &out, &e) < 0);
		if (!strstr(e.msg, cases[i].words))
			fail_msg("'%s' is not in: %s", cases[i].words, e.msg);
	}
}

static void explain_shows_the_compiled_stages(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pipeline *p;
	AUTO(buf) struct buf text = BUF_INIT;
	assert_ok(compile("[{\"$project\":{\"a\":1,\"b.c\":1,\"x\":\"$y\"}},{\"$unset\":[\"q\",\"r."
			  "s\"]},"
			  "{\"$unwind\":{\"path\":\"$a.b\",\"includeArrayIndex\":\"i\"}}]",
			  PIPELINE_PLAIN, &p, &e),
		  &e);
	pipeline_explain(p, &text);
	const char *t = buf_cstr(&text);
	if (!strstr(t, "0 $project\n    include a, b{c}, _id\n    x = ") ||
	    !strstr(t, "\n1 $unset\n    exclude q, r{s}\n") ||
	    !strstr(t, "\n2 $unwind\n    a.b, index in i\n"))
		fail_msg("%s", t);
	pipeline_free(p);
}

static void variables_of_the_caller_are_seen_by_every_stage(void **state)
{
	(void)state;
	static const char let[] = "{\"x\":20,\"y\":{\"$add\":[\"$$x\",2]},\"z\":\"$$REMOVE\"}";
	static const struct {
		const char *stages, *out;
	} cases[] = {
		{ "[{\"$project\":{\"x\":\"$$x\",\"y\":\"$$y\",\"z\":\"$$z\"}}]",
		  "{\"_id\":1,\"x\":20,\"y\":22}" },
		{ "[{\"$set\":{\"b\":{\"$add\":[\"$a\",\"$$x\"]}}}]",
		  "{\"_id\":1,\"a\":5,\"b\":25}" },
		{ "[{\"$replaceWith\":{\"y\":\"$$y\"}}]", "{\"y\":22}" },
		{ "[{\"$redact\":{\"$cond\":[{\"$eq\":[\"$$x\",20]},\"$$KEEP\",\"$$PRUNE\"]}}]",
		  "{\"_id\":1,\"a\":5}" },
		{ "[{\"$match\":{\"$expr\":{\"$lt\":[\"$a\",\"$$x\"]}}}]", "{\"_id\":1,\"a\":5}" },
		{ "[{\"$match\":{\"a\":5,\"$and\":[{\"$or\":[{\"$expr\":{\"$gt\":[\"$a\",\"$$x\"]}}"
		  "]}]}}]",
		  "" },
	};
	struct pipeline *p;
	struct err e = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf out = BUF_INIT, b = BUF_INIT;
		struct eval ev;
		assert_ok(compile_let(cases[i].stages, let, &p, &e), &e);
		eval_init(&ev);
		assert_ok(pipeline_run(p, &ev, parse(&b, "{\"_id\":1,\"a\":5}"), collect, &out, &e),
			  &e);
		assert_string_equal(buf_cstr(&out), cases[i].out);
		eval_done(&ev);
		pipeline_free(p);
	}
	assert_int_equal(compile_let("[]", "{\"x\":\"$a\"}", &p, &e), ERR_INVALID);
	assert_int_equal(e.number, 4890500);
	assert_int_equal(compile_let("[]", "{\"x\":\"$$y\",\"y\":1}", &p, &e), ERR_INVALID);
	assert_int_equal(e.number, 17276);
	assert_true(compile_let("[{\"$set\":{\"a\":\"$$q\"}}]", "{\"x\":1}", &p, &e) < 0);
	assert_int_equal(e.number, 17276);
}

/* ---- memory and limits ---- */

static int count_docs(void *arg, struct slice doc, struct err *e)
{
	(void)doc, (void)e;
	++*(int *)arg;
	return 0;
}

static const char busy[] =
	"[{\"$match\":{\"a\":{\"$gt\":1}}},{\"$set\":{\"x.y\":\"$a\"}},{\"$unwind\":{\"path\":\"$"
	"l\","
	"\"includeArrayIndex\":\"i\"}},{\"$redact\":\"$$DESCEND\"},{\"$project\":{\"a\":1,\"x.y\":"
	"1,"
	"\"l\":1,\"n\":{\"$add\":[\"$a\",1]}}},{\"$replaceWith\":{\"all\":\"$$ROOT\"}}]";
static const char busy_doc[] = "{\"_id\":1,\"a\":5,\"l\":[1,2,3],\"d\":{\"e\":[{}]}}";

static void a_warm_pipeline_allocates_nothing(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pipeline *p;
	struct eval ev;
	AUTO(buf) struct buf b = BUF_INIT;
	struct slice doc = parse(&b, busy_doc);
	int n = 0;
	assert_ok(compile(busy, PIPELINE_PLAIN, &p, &e), &e);
	eval_init(&ev);
	assert_ok(pipeline_run(p, &ev, doc, count_docs, &n, &e), &e);
	scarce_begin();
	for (int i = 0; i < 1000; i++) {
		eval_reset(&ev);
		assert_ok(pipeline_run(p, &ev, doc, count_docs, &n, &e), &e);
	}
	assert_int_equal(scarce_calls(), 0);
	assert_int_equal(n, 3003);
	scarce_end();
	eval_done(&ev);
	pipeline_free(p);
}

static void pipelines_survive_the_failure_of_every_allocation(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT, s = BUF_INIT;
	struct slice doc = parse(&b, busy_doc), spec = parse(&s, busy);
	bool done = false;
	scarce_begin();
	for (long k = 1; !done && k < 10000; k++) {
		struct err e = ERR_INIT;
		struct pipeline *p = NULL;
		struct eval ev;
		int n = 0;
		scarce_fail(k, false);
		eval_init(&ev);
		int rc = pipeline_compile(spec, NULL, &p, &e);
		if (rc == 0)
			rc = pipeline_run(p, &ev, doc, count_docs, &n, &e);
		pipeline_free(p);
		eval_done(&ev);
		done = scarce_calls() < k;
		/* Some allocations only serve the text of an error; without them all is well. */
		if (rc < 0 || done)
			assert_int_equal(rc, done ? 0 : ERR_NOMEM);
		if (rc == 0)
			assert_int_equal(n, 3);
	}
	scarce_end();
	assert_true(done);
}

static void hostile_pipelines_end_in_a_limit(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pipeline *p;
	AUTO(buf) struct buf json = BUF_INIT;
	buf_add_str(&json, "[{\"$project\":{\"a");
	for (int i = 0; i < 100000; i++)
		buf_add_str(&json, ".a");
	buf_add_str(&json, "\":1}}]");
	assert_int_equal(compile(buf_cstr(&json), PIPELINE_PLAIN, &p, &e), ERR_LIMIT);
	buf_reset(&json);
	buf_add_str(&json, "[{\"$unset\":\"a\"}");
	for (int i = 0; i < PIPELINE_STAGES_MAX; i++)
		buf_add_str(&json, ",{\"$unset\":\"a\"}");
	buf_add_str(&json, "]");
	assert_int_equal(compile(buf_cstr(&json), PIPELINE_PLAIN, &p, &e), ERR_LIMIT);
	buf_reset(&json);
	buf_add_str(&json, "[{\"$set\":{\"a0\":1");
	for (int i = 1; i < 20000; i++)
		buf_add_fmt(&json, ",\"a%d\":1", i);
	buf_add_str(&json, "}}]");
	assert_int_equal(compile(buf_cstr(&json), PIPELINE_PLAIN, &p, &e), ERR_LIMIT);
}

static void unwinding_without_end_is_a_limit(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pipeline *p;
	AUTO(buf) struct buf b = BUF_INIT;
	struct slice doc = parse(&b, "{\"a\":[1,2,3,4,5,6,7,8,9],\"b\":[1,2,3,4,5,6,7,8,9],"
				     "\"c\":[1,2,3,4,5,6,7,8,9],\"d\":[1,2,3,4,5,6,7,8,9]}");
	static const struct {
		size_t memory;
		uint64_t steps;
	} limits[] = { { 1 << 18, EVAL_STEPS_DEFAULT }, { EVAL_MEMORY_DEFAULT, 1000 } };
	assert_ok(compile("[{\"$unwind\":\"$a\"},{\"$unwind\":\"$b\"},{\"$unwind\":\"$c\"},"
			  "{\"$unwind\":\"$d\"}]",
			  PIPELINE_PLAIN, &p, &e),
		  &e);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct eval ev;
		int n = 0;
		eval_init(&ev);
		ev.arena.limit_bytes = limits[i].memory;
		ev.steps_max = limits[i].steps;
		assert_int_equal(pipeline_run(p, &ev, doc, count_docs, &n, &e), ERR_LIMIT);
		assert_int_equal(e.number, 146);
		assert_in_range(n, 500, 6000);
		eval_done(&ev);
	}
	pipeline_free(p);
}

static int check_row(void *arg, const char *name, const char *group, const char *help)
{
	assert_true(name[0] == '$' && group[0] && strlen(help) > 10);
	assert_true(pipeline_stage_known(slice_str(name)));
	++*(int *)arg;
	return 0;
}

static void stages_are_listed_with_help(void **state)
{
	(void)state;
	int n = 0;
	assert_int_equal(pipeline_stages(check_row, &n), 0);
	assert_int_equal(n, 9);
	assert_true(pipeline_stage_known(SLICE_LIT("$group")));
	assert_false(pipeline_stage_known(SLICE_LIT("$bogus")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(project_includes_in_document_order),
		cmocka_unit_test(project_excludes_and_keeps_the_rest),
		cmocka_unit_test(project_computes_after_what_it_includes),
		cmocka_unit_test(add_fields_keeps_places_and_makes_objects_of_scalars),
		cmocka_unit_test(projections_that_contradict_themselves_are_errors),
		cmocka_unit_test(unwind_makes_a_document_of_each_element),
		cmocka_unit_test(replace_root_wants_an_object),
		cmocka_unit_test(redact_keeps_prunes_and_descends),
		cmocka_unit_test(stages_follow_each_other),
		cmocka_unit_test(change_streams_permit_only_some_stages),
		cmocka_unit_test(the_leading_matches_are_one_filter),
		cmocka_unit_test(emit_can_stop_the_pipeline),
		cmocka_unit_test(the_error_names_the_stage),
		cmocka_unit_test(explain_shows_the_compiled_stages),
		cmocka_unit_test(variables_of_the_caller_are_seen_by_every_stage),
		cmocka_unit_test(a_warm_pipeline_allocates_nothing),
		cmocka_unit_test(pipelines_survive_the_failure_of_every_allocation),
		cmocka_unit_test(hostile_pipelines_end_in_a_limit),
		cmocka_unit_test(unwinding_without_end_is_a_limit),
		cmocka_unit_test(stages_are_listed_with_help),
	};
	return cmocka_run_group_tests_name("doc_pipeline", tests, NULL, NULL);
}
