/* doc_update: every operator, replacements and pipelines give the after-image; what cannot be applied is an error. */
#include "tests/doc_text.h"
#include "tests/scarce.h"

#include "doc/compare.h"
#include "doc/json.h"
#include "doc/update.h"

#include <stdlib.h>

struct update_case {
	const char *before, *update, *after; /* after NULL: an error with `number` */
	int number;
	const char *filters, *query;
	bool insert;
};

static int apply(const struct update_case *c, struct buf *out, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT, s = BUF_INIT, f = BUF_INIT, q = BUF_INIT;
	struct slice before = parse(&b, c->before), spec = parse(&s, c->update);
	struct update_options o = { .array_filters = parse(&f, c->filters),
				    .query = parse(&q, c->query) };
	struct update *u;
	int rc = update_compile(spec, c->update[0] == '[', &o, &u, e);
	if (rc < 0)
		return rc;
	memset(s.p, 0xff, s.len); /* the spec was copied */
	struct eval ev;
	eval_init(&ev);
	ev.now_ms = 1700000000123;
	for (int round = 0; rc == 0 && round < 2; round++) {
		eval_reset(&ev);
		buf_reset(out);
		rc = update_apply(u, &ev, before, c->insert, out, e);
	}
	eval_done(&ev);
	update_free(u);
	return rc;
}

static void check(const struct update_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct update_case *c = &cases[i];
		struct err e = ERR_INIT;
		AUTO(buf)
		struct buf out = BUF_INIT, text = BUF_INIT, want = BUF_INIT, want_text = BUF_INIT;
		int rc = apply(c, &out, &e);
		if (!c->after) {
			if (rc >= 0)
				fail_msg("%s: accepted", c->update);
			if (e.number != c->number)
				fail_msg("%s: number %d instead of %d: %s", c->update, e.number,
					 c->number, e.msg);
			assert_int_equal(out.len, 0);
			continue;
		}
		if (rc < 0)
			fail_msg("%s: %s", c->update, e.msg);
		assert_ok(bson_validate(buf_slice(&out), &e), &e);
		json_from_bson(buf_slice(&out), JSON_CANONICAL, &text);
		json_from_bson(parse(&want, c->after), JSON_CANONICAL, &want_text);
		if (strcmp(buf_cstr(&text), buf_cstr(&want_text)) != 0)
			fail_msg("%s:\n got %s\nwant %s", c->update, buf_cstr(&text),
				 buf_cstr(&want_text));
	}
}

#define CHECK(cases) check(cases, ARRAY_LEN(cases))

static void update_sets_and_removes_fields_in_place(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"_id\":1,\"a\":1,\"b\":2}", "{\"$set\":{\"a\":5}}",
		  "{\"_id\":1,\"a\":5,\"b\":2}" },
		{ "{\"_id\":1}", "{\"$set\":{\"b\":1,\"a\":2}}", "{\"_id\":1,\"a\":2,\"b\":1}" },
		{ "{\"_id\":1}", "{\"$set\":{\"x.y.z\":1,\"x.y.a\":2}}",
		  "{\"_id\":1,\"x\":{\"y\":{\"a\":2,\"z\":1}}}" },
		{ "{\"_id\":1}", "{\"$set\":{\"x.10\":1,\"x.9\":2}}",
		  "{\"_id\":1,\"x\":{\"9\":2,\"10\":1}}" },
		{ "{\"a\":[1,2]}", "{\"$set\":{\"a.4\":9,\"a.0\":7}}",
		  "{\"a\":[7,2,null,null,9]}" },
		{ "{\"a\":[{\"b\":1},{\"b\":2}]}", "{\"$set\":{\"a.1.b\":9,\"a.2.c\":1}}",
		  "{\"a\":[{\"b\":1},{\"b\":9},{\"c\":1}]}" },
		{ "{\"a\":1,\"b\":{\"c\":1,\"d\":2}}",
		  "{\"$unset\":{\"a\":\"\",\"b.c\":1,\"zz.y\":1}}", "{\"b\":{\"d\":2}}" },
		{ "{\"a\":[1,2,3]}", "{\"$unset\":{\"a.1\":1,\"a.7\":1}}", "{\"a\":[1,null,3]}" },
		{ "{\"a\":1}", "{\"$unset\":{\"a.b\":1}}", "{\"a\":1}" },
		{ "{\"a\":1}", "{\"$set\":{}}", "{\"a\":1}" },
		{ "{\"a\":1}", "{\"$setOnInsert\":{\"b\":1}}", "{\"a\":1}" },
		{ "{\"a\":1}", "{\"$setOnInsert\":{\"b.c\":1}}", "{\"a\":1,\"b\":{\"c\":1}}",
		  .insert = true },
		{ "{\"a\":1}", "{\"$set\":{\"a.b\":1}}", NULL, 28 },
		{ "{\"a\":null}", "{\"$set\":{\"a.b\":1}}", NULL, 28 },
		{ "{\"a\":[]}", "{\"$set\":{\"a.b\":1}}", NULL, 28 },
		{ "{\"a\":1}", "{\"$set\":{\"\":1}}", NULL, 56 },
		{ "{\"a\":1}", "{\"$set\":{\"a..b\":1}}", NULL, 56 },
		{ "{\"a\":1}", "{\"$set\":{\"a.$x\":1}}", NULL, 52 },
		{ "{\"a\":1}", "{\"$set\":{\"a\":1,\"a.b\":1}}", NULL, 40 },
		{ "{\"a\":1}", "{\"$set\":{\"a\":1},\"$inc\":{\"a\":1}}", NULL, 40 },
		{ "{\"a\":1}", "{\"$set\":5}", NULL, 9 },
		{ "{\"a\":1}", "{\"$sett\":{\"a\":1}}", NULL, 9 },
		{ "{\"a\":1}", "{\"$set\":{\"a\":1},\"b\":1}", NULL, 9 },
	};
	CHECK(cases);
}

static void update_arithmetic_widens_as_needed_and_refuses_overflow(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"a\":1}", "{\"$inc\":{\"a\":2,\"n\":5}}", "{\"a\":3,\"n\":5}" },
		{ "{\"a\":2147483647}", "{\"$inc\":{\"a\":1}}",
		  "{\"a\":{\"$numberLong\":\"2147483648\"}}" },
		{ "{\"a\":{\"$numberLong\":\"1\"}}", "{\"$inc\":{\"a\":1}}",
		  "{\"a\":{\"$numberLong\":\"2\"}}" },
		{ "{\"a\":1}", "{\"$inc\":{\"a\":0.5}}", "{\"a\":1.5}" },
		{ "{\"a\":1}", "{\"$inc\":{\"a\":{\"$numberDecimal\":\"0.10\"}}}",
		  "{\"a\":{\"$numberDecimal\":\"1.10\"}}" },
		{ "{\"a\":3}", "{\"$mul\":{\"a\":2,\"b\":4}}", "{\"a\":6,\"b\":0}" },
		{ "{}", "{\"$mul\":{\"b\":{\"$numberLong\":\"4\"}}}",
		  "{\"b\":{\"$numberLong\":\"0\"}}" },
		{ "{}", "{\"$mul\":{\"b\":1.5}}", "{\"b\":0.0}" },
		{ "{\"a\":65536}", "{\"$mul\":{\"a\":65536}}",
		  "{\"a\":{\"$numberLong\":\"4294967296\"}}" },
		{ "{\"a\":{\"$numberLong\":\"9223372036854775807\"}}", "{\"$inc\":{\"a\":1}}", NULL,
		  2 },
		{ "{\"a\":{\"$numberLong\":\"9223372036854775807\"}}", "{\"$mul\":{\"a\":2}}", NULL,
		  2 },
		{ "{\"a\":\"x\"}", "{\"$inc\":{\"a\":1}}", NULL, 14 },
		{ "{\"a\":null}", "{\"$inc\":{\"a\":1}}", NULL, 14 },
		{ "{\"a\":1}", "{\"$inc\":{\"a\":\"1\"}}", NULL, 14 },
		{ "{\"a\":5,\"b\":5}", "{\"$min\":{\"a\":3,\"b\":9,\"c\":1}}",
		  "{\"a\":3,\"b\":5,\"c\":1}" },
		{ "{\"a\":5,\"b\":5}", "{\"$max\":{\"a\":3,\"b\":9,\"c\":1}}",
		  "{\"a\":5,\"b\":9,\"c\":1}" },
		{ "{\"a\":5}", "{\"$max\":{\"a\":\"text\"}}", "{\"a\":\"text\"}" },
		{ "{\"a\":5}", "{\"$min\":{\"a\":null}}", "{\"a\":null}" },
		{ "{\"a\":5}", "{\"$max\":{\"a\":5.0}}", "{\"a\":5}" },
		{ "{\"a\":13}", "{\"$bit\":{\"a\":{\"and\":10}}}", "{\"a\":8}" },
		{ "{\"a\":3}", "{\"$bit\":{\"a\":{\"or\":5},\"b\":{\"xor\":6}}}",
		  "{\"a\":7,\"b\":6}" },
		{ "{\"a\":3}", "{\"$bit\":{\"a\":{\"or\":{\"$numberLong\":\"4\"}}}}",
		  "{\"a\":{\"$numberLong\":\"7\"}}" },
		{ "{\"a\":-1}", "{\"$bit\":{\"a\":{\"and\":255}}}", "{\"a\":255}" },
		{ "{\"a\":3}", "{\"$bit\":{\"a\":{\"nand\":5}}}", NULL, 2 },
		{ "{\"a\":3}", "{\"$bit\":{\"a\":{\"or\":5.5}}}", NULL, 2 },
		{ "{\"a\":3.5}", "{\"$bit\":{\"a\":{\"or\":5}}}", NULL, 2 },
		{ "{\"a\":3}", "{\"$bit\":{\"a\":{}}}", NULL, 2 },
		{ "{\"a\":3}", "{\"$bit\":{\"a\":1}}", NULL, 2 },
	};
	CHECK(cases);
}

static void update_current_date_takes_the_time_of_the_eval(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{}", "{\"$currentDate\":{\"a\":true,\"b\":{\"$type\":\"date\"}}}",
		  "{\"a\":{\"$date\":{\"$numberLong\":\"1700000000123\"}},"
		  "\"b\":{\"$date\":{\"$numberLong\":\"1700000000123\"}}}" },
		{ "{}", "{\"$currentDate\":{\"a\":{\"$type\":\"timestamp\"}}}",
		  "{\"a\":{\"$timestamp\":{\"t\":1700000000,\"i\":1}}}" },
		{ "{}", "{\"$currentDate\":{\"a\":{\"$type\":\"hour\"}}}", NULL, 2 },
		{ "{}", "{\"$currentDate\":{\"a\":1}}", NULL, 2 },
		{ "{}", "{\"$currentDate\":{\"a\":{}}}", NULL, 2 },
	};
	CHECK(cases);
}

static void update_renames_move_the_value(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"_id\":1,\"a\":{\"x\":1},\"b\":2}", "{\"$rename\":{\"a\":\"c\"}}",
		  "{\"_id\":1,\"b\":2,\"c\":{\"x\":1}}" },
		{ "{\"a\":1,\"b\":2}", "{\"$rename\":{\"a\":\"b\"}}", "{\"b\":1}" },
		{ "{\"a\":{\"x\":1}}", "{\"$rename\":{\"a.x\":\"y.z\"}}",
		  "{\"a\":{},\"y\":{\"z\":1}}" },
		{ "{\"b\":1}", "{\"$rename\":{\"a\":\"c.d\"}}", "{\"b\":1}" },
		{ "{\"a\":1}", "{\"$rename\":{\"a\":\"a\"}}", NULL, 2 },
		{ "{\"a\":1}", "{\"$rename\":{\"a\":5}}", NULL, 2 },
		{ "{\"a\":1}", "{\"$rename\":{\"a\":\"a.b\"}}", NULL, 2 },
		{ "{\"a\":{\"b\":1}}", "{\"$rename\":{\"a.b\":\"a\"}}", NULL, 2 },
		{ "{\"a\":[{\"x\":1}]}", "{\"$rename\":{\"a.0.x\":\"b\"}}", NULL, 2 },
		{ "{\"a\":[{\"x\":1}],\"b\":1}", "{\"$rename\":{\"b\":\"a.0.y\"}}", NULL, 2 },
		{ "{\"a\":1}", "{\"$rename\":{\"a\":\"b.$[]\"}}", NULL, 2 },
	};
	CHECK(cases);
}

static void update_pushes_with_each_position_sort_and_slice(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{}", "{\"$push\":{\"a\":1}}", "{\"a\":[1]}" },
		{ "{\"a\":[1]}", "{\"$push\":{\"a\":[2,3]}}", "{\"a\":[1,[2,3]]}" },
		{ "{\"a\":[1]}", "{\"$push\":{\"a\":{\"$each\":[2,3]}}}", "{\"a\":[1,2,3]}" },
		{ "{\"a\":[1]}", "{\"$push\":{\"a\":{\"$each\":[]}}}", "{\"a\":[1]}" },
		{ "{\"a\":[1,2]}", "{\"$push\":{\"a\":{\"$each\":[8,9],\"$position\":1}}}",
		  "{\"a\":[1,8,9,2]}" },
		{ "{\"a\":[1,2,3]}", "{\"$push\":{\"a\":{\"$each\":[9],\"$position\":-1}}}",
		  "{\"a\":[1,2,9,3]}" },
		{ "{\"a\":[1,2,3]}", "{\"$push\":{\"a\":{\"$each\":[9],\"$position\":-9}}}",
		  "{\"a\":[9,1,2,3]}" },
		{ "{\"a\":[1,2]}", "{\"$push\":{\"a\":{\"$each\":[9],\"$position\":7}}}",
		  "{\"a\":[1,2,9]}" },
		{ "{\"a\":[5,1]}", "{\"$push\":{\"a\":{\"$each\":[3],\"$sort\":1}}}",
		  "{\"a\":[1,3,5]}" },
		{ "{\"a\":[5,1]}", "{\"$push\":{\"a\":{\"$each\":[3],\"$sort\":-1,\"$slice\":2}}}",
		  "{\"a\":[5,3]}" },
		{ "{\"a\":[1,2]}", "{\"$push\":{\"a\":{\"$each\":[3,4],\"$slice\":-3}}}",
		  "{\"a\":[2,3,4]}" },
		{ "{\"a\":[1,2]}", "{\"$push\":{\"a\":{\"$each\":[3],\"$slice\":0}}}",
		  "{\"a\":[]}" },
		{ "{\"a\":[{\"k\":2,\"n\":1},{\"k\":1,\"n\":2}]}",
		  "{\"$push\":{\"a\":{\"$each\":[{\"k\":2,\"n\":3},{\"n\":4}],\"$sort\":{\"k\":-1}}"
		  "}}",
		  "{\"a\":[{\"k\":2,\"n\":1},{\"k\":2,\"n\":3},{\"k\":1,\"n\":2},{\"n\":4}]}" },
		{ "{\"a\":[{\"k\":{\"j\":2}},{\"k\":{\"j\":1}}]}",
		  "{\"$push\":{\"a\":{\"$each\":[],\"$sort\":{\"k.j\":1}}}}",
		  "{\"a\":[{\"k\":{\"j\":1}},{\"k\":{\"j\":2}}]}" },
		{ "{\"a\":1}", "{\"$push\":{\"a\":1}}", NULL, 2 },
		{ "{\"a\":null}", "{\"$push\":{\"a\":1}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":1}}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":[],\"$foo\":1}}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":[],\"$slice\":1.5}}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":[],\"$position\":\"x\"}}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":[],\"$sort\":2}}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":[],\"$sort\":{\"a..b\":1}}}}", NULL, 2 },
		{ "{}", "{\"$push\":{\"a\":{\"$each\":[],\"$sort\":{}}}}", NULL, 2 },
	};
	CHECK(cases);
}

static void update_adds_to_sets_pops_and_pulls(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"a\":[1,2]}", "{\"$addToSet\":{\"a\":2}}", "{\"a\":[1,2]}" },
		{ "{\"a\":[1,2]}", "{\"$addToSet\":{\"a\":{\"$numberLong\":\"2\"}}}",
		  "{\"a\":[1,2]}" },
		{ "{\"a\":[1]}", "{\"$addToSet\":{\"a\":{\"$each\":[1,2,2,3]}}}",
		  "{\"a\":[1,2,3]}" },
		{ "{}", "{\"$addToSet\":{\"a\":{\"$each\":[]}}}", "{\"a\":[]}" },
		{ "{\"a\":[1]}", "{\"$addToSet\":{\"a\":[1]}}", "{\"a\":[1,[1]]}" },
		{ "{\"a\":[{\"x\":1,\"y\":2}]}", "{\"$addToSet\":{\"a\":{\"y\":2,\"x\":1}}}",
		  "{\"a\":[{\"x\":1,\"y\":2},{\"y\":2,\"x\":1}]}" },
		{ "{\"a\":1}", "{\"$addToSet\":{\"a\":1}}", NULL, 2 },
		{ "{}", "{\"$addToSet\":{\"a\":{\"$each\":1}}}", NULL, 14 },
		{ "{}", "{\"$addToSet\":{\"a\":{\"$each\":[],\"x\":1}}}", NULL, 2 },
		{ "{\"a\":[1,2,3]}", "{\"$pop\":{\"a\":1,\"zz\":1}}", "{\"a\":[1,2]}" },
		{ "{\"a\":[1,2,3]}", "{\"$pop\":{\"a\":-1}}", "{\"a\":[2,3]}" },
		{ "{\"a\":[]}", "{\"$pop\":{\"a\":-1}}", "{\"a\":[]}" },
		{ "{\"a\":1}", "{\"$pop\":{\"a\":-1}}", NULL, 14 },
		{ "{\"a\":1}", "{\"$pop\":{\"a\":2}}", NULL, 9 },
		{ "{\"a\":[1,2,1,3]}", "{\"$pullAll\":{\"a\":[1,3.0],\"zz\":[1]}}", "{\"a\":[2]}" },
		{ "{\"a\":1}", "{\"$pullAll\":{\"a\":[1]}}", NULL, 2 },
		{ "{\"a\":1}", "{\"$pullAll\":{\"a\":1}}", NULL, 2 },
		{ "{\"a\":[1,2,1,[1]]}", "{\"$pull\":{\"a\":1,\"zz\":1}}", "{\"a\":[2,[1]]}" },
		{ "{\"a\":[1,5,9]}", "{\"$pull\":{\"a\":{\"$gte\":5}}}", "{\"a\":[1]}" },
		{ "{\"a\":[1,5,9]}", "{\"$pull\":{\"a\":{\"$in\":[1,9]}}}", "{\"a\":[5]}" },
		{ "{\"a\":[{\"x\":1,\"y\":1},{\"x\":2},5]}", "{\"$pull\":{\"a\":{\"x\":1}}}",
		  "{\"a\":[{\"x\":2},5]}" },
		{ "{\"a\":[{\"x\":[1,7]},{\"x\":[2]}]}",
		  "{\"$pull\":{\"a\":{\"x\":{\"$elemMatch\":{\"$gt\":5}}}}}",
		  "{\"a\":[{\"x\":[2]}]}" },
		{ "{\"a\":[\"abc\",\"xbc\"]}",
		  "{\"$pull\":{\"a\":{\"$regularExpression\":{\"pattern\":\"^a\",\"options\":\"\"}}"
		  "}}",
		  "{\"a\":[\"xbc\"]}" },
		{ "{\"a\":[[1,2],[3]]}", "{\"$pull\":{\"a\":[1,2]}}", "{\"a\":[[3]]}" },
		{ "{\"a\":1}", "{\"$pull\":{\"a\":1}}", NULL, 2 },
		{ "{\"a\":[1]}", "{\"$pull\":{\"a\":{\"$foo\":1}}}", NULL, 2 },
	};
	CHECK(cases);
}

static void update_reaches_array_elements_by_filter_and_position(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"a\":[1,2,3]}", "{\"$inc\":{\"a.$[]\":10}}", "{\"a\":[11,12,13]}" },
		{ "{\"a\":[{\"b\":[1,2]},{\"b\":[3]}]}", "{\"$inc\":{\"a.$[].b.$[]\":1}}",
		  "{\"a\":[{\"b\":[2,3]},{\"b\":[4]}]}" },
		{ "{\"a\":[1,5,9]}", "{\"$set\":{\"a.$[x]\":0}}", "{\"a\":[1,0,0]}",
		  .filters = "[{\"x\":{\"$gte\":5}}]" },
		{ "{\"a\":[{\"k\":1},{\"k\":2},7]}", "{\"$set\":{\"a.$[e].v\":true}}",
		  "{\"a\":[{\"k\":1},{\"k\":2,\"v\":true},7]}", .filters = "[{\"e.k\":2}]" },
		{ "{\"a\":[{\"k\":1},{\"k\":2},{\"k\":3}]}", "{\"$unset\":{\"a.$[e].k\":1}}",
		  "{\"a\":[{},{\"k\":2},{}]}",
		  .filters = "[{\"$or\":[{\"e.k\":1},{\"e.k\":{\"$gt\":2}}]}]" },
		{ "{\"a\":[{\"k\":1,\"n\":0},{\"k\":2,\"n\":0}]}",
		  "{\"$set\":{\"a.$[].m\":1,\"a.$[e].n\":5}}",
		  "{\"a\":[{\"k\":1,\"n\":0,\"m\":1},{\"k\":2,\"n\":5,\"m\":1}]}",
		  .filters = "[{\"e.k\":2}]" },
		{ "{\"a\":[1,2,3]}", "{\"$set\":{\"a.$\":9}}", "{\"a\":[1,9,3]}",
		  .query = "{\"a\":2}" },
		{ "{\"a\":[{\"k\":1},{\"k\":2}]}", "{\"$set\":{\"a.$.v\":9}}",
		  "{\"a\":[{\"k\":1},{\"k\":2,\"v\":9}]}", .query = "{\"_id\":5,\"a.k\":2}" },
		{ "{\"a\":[{\"k\":1},{\"k\":2}]}", "{\"$set\":{\"a.$.v\":9}}",
		  "{\"a\":[{\"k\":1},{\"k\":2,\"v\":9}]}",
		  .query = "{\"$and\":[{\"a\":{\"$elemMatch\":{\"k\":{\"$gt\":1}}}}]}" },
		{ "{\"x\":{\"a\":[1,2]}}", "{\"$set\":{\"x.a.$\":9}}", "{\"x\":{\"a\":[1,9]}}",
		  .query = "{\"x.a\":{\"$gte\":2}}" },
		{ "{\"a\":[1,2]}", "{\"$set\":{\"a.$\":9}}", NULL, 2, .query = "{\"b\":2}" },
		{ "{\"a\":[1,2]}", "{\"$set\":{\"a.$\":9}}", NULL, 2 },
		{ "{\"a\":[1,2]}", "{\"$set\":{\"a.$\":9}}", NULL, 2, .query = "{\"a\":7}" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$.b.$\":9}}", NULL, 2, .query = "{\"a\":1}" },
		{ "{\"a\":[1]}", "{\"$set\":{\"$[]\":9}}", NULL, 2 },
		{ "{\"a\":1}", "{\"$set\":{\"a.$[]\":9}}", NULL, 2 },
		{ "{\"a\":{\"b\":1}}", "{\"$set\":{\"a.$[]\":9}}", NULL, 2 },
		{ "{}", "{\"$set\":{\"a.$[]\":9}}", NULL, 2 },
		{ "{}", "{\"$unset\":{\"a.$[]\":9}}", NULL, 2 },
		{ "{}", "{\"$unset\":{\"x.a.$[]\":9}}", NULL, 2 },
		{ "{\"a\":[]}", "{\"$unset\":{\"a.$[].b.$[]\":9}}", "{\"a\":[]}" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$[x]\":0}}", NULL, 2 },
		{ "{\"a\":[1]}", "{\"$set\":{\"b\":0}}", NULL, 9, .filters = "[{\"x\":1}]" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$[x]\":0}}", NULL, 9,
		  .filters = "[{\"x\":1},{\"x\":2}]" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$[x]\":0}}", NULL, 9,
		  .filters = "[{\"x\":1,\"y\":2}]" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$[X]\":0}}", NULL, 2, .filters = "[{\"X\":1}]" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$[x]\":0}}", NULL, 9, .filters = "[{}]" },
		{ "{\"a\":[1]}", "{\"$set\":{\"a.$[]\":0,\"a.0\":1}}", NULL, 40 },
		{ "{\"a\":[{}]}", "{\"$set\":{\"a.$[]\":0,\"a.0.b\":1}}", NULL, 40 },
		{ "{\"a\":[{}]}", "{\"$set\":{\"a.$[].b\":0,\"a.c\":1}}", NULL, 40 },
		{ "{\"a\":[{}]}", "{\"$set\":{\"a.$[].b\":0,\"a.$[e].b\":1}}", NULL, 40,
		  .filters = "[{\"e\":{\"$exists\":true}}]" },
		{ "{\"a\":[{},{}]}", "{\"$set\":{\"a.$.b\":0,\"a.1.b\":1}}",
		  "{\"a\":[{\"b\":0},{\"b\":1}]}", .query = "{\"a\":{}}" },
		{ "{\"a\":[{},{}]}", "{\"$set\":{\"a.$.b\":0,\"a.0.b\":1}}", NULL, 40,
		  .query = "{\"a\":{}}" },
		{ "{\"a\":[{},{}]}", "{\"$set\":{\"a.$.b\":0,\"a.0.c\":1}}",
		  "{\"a\":[{\"b\":0,\"c\":1},{}]}", .query = "{\"a\":{}}" },
	};
	CHECK(cases);
}

static void update_by_replacement_keeps_the_id(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"_id\":1,\"a\":1}", "{\"b\":2}", "{\"_id\":1,\"b\":2}" },
		{ "{\"_id\":1,\"a\":1}", "{\"b\":2,\"_id\":1.0}", "{\"_id\":1,\"b\":2}" },
		{ "{\"_id\":1,\"a\":1}", "{}", "{\"_id\":1}" },
		{ "{}", "{\"b\":2,\"_id\":7}", "{\"b\":2,\"_id\":7}" },
		{ "{\"_id\":1,\"a\":1}", "{\"_id\":2}", NULL, 66 },
		{ "{\"_id\":1,\"a\":1}", "{\"b\":1,\"$set\":{\"a\":1}}", NULL, 52 },
		{ "{\"_id\":1}", "{\"$set\":{\"_id\":2}}", NULL, 66 },
		{ "{\"_id\":1}", "{\"$unset\":{\"_id\":2}}", NULL, 66 },
		{ "{\"_id\":{\"a\":1}}", "{\"$set\":{\"_id.a\":2}}", NULL, 66 },
		{ "{\"_id\":1}", "{\"$set\":{\"_id\":1,\"a\":2}}", "{\"_id\":1,\"a\":2}" },
		{ "{\"a\":1}", "{\"$set\":{\"_id\":1}}", "{\"a\":1,\"_id\":1}", .insert = true },
	};
	CHECK(cases);
}

static void update_pipelines_run_their_stages(void **state)
{
	(void)state;
	static const struct update_case cases[] = {
		{ "{\"_id\":1,\"a\":1}", "[{\"$set\":{\"b\":\"$a\"}},{\"$unset\":\"a\"}]",
		  "{\"_id\":1,\"b\":1}" },
		{ "{\"_id\":1,\"d\":{\"x\":1}}", "[{\"$replaceWith\":\"$d\"}]",
		  "{\"_id\":1,\"x\":1}" },
		{ "{\"_id\":1,\"a\":1}", "[{\"$set\":{\"_id\":2}}]", NULL, 66 },
		{ "{\"_id\":1,\"a\":1}", "[{\"$match\":{\"a\":2}}]", NULL, 72 },
		{ "{\"_id\":1,\"a\":1}", "[{\"$group\":{\"_id\":2}}]", NULL, 72 },
		{ "{\"_id\":1,\"a\":1}", "[{\"$sett\":{\"_id\":2}}]", NULL, 40324 },
		{ "{\"_id\":1,\"a\":1}", "[]", "{\"_id\":1,\"a\":1}" },
	};
	CHECK(cases);
}

static void update_errors_name_the_operator_the_path_and_a_suggestion(void **state)
{
	(void)state;
	static const struct {
		struct update_case c;
		const char *words[2];
	} cases[] = {
		{ { "{\"a\":{\"b\":\"x\"}}", "{\"$inc\":{\"a.b\":1}}" }, { "$inc.a.b", "string" } },
		{ { "{}", "{\"$psh\":{\"a\":1}}" }, { "$psh", "did you mean $push?" } },
		{ { "{}", "{\"$push\":{\"a.b\":{\"$each\":5}}}" }, { "$push.a.b", "$each" } },
		{ { "{}", "{\"$set\":{\"a.$[e]\":5}}" }, { "'e'", "a.$[e]" } },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		AUTO(buf) struct buf out = BUF_INIT;
		assert_true(apply(&cases[i].c, &out, &e) < 0);
		for (size_t k = 0; k < 2; k++)
			if (!strstr(e.msg, cases[i].words[k]))
				fail_msg("'%s' is not in: %s", cases[i].words[k], e.msg);
	}
}

/* ---- one walk for all paths is the same as one update after the other ---- */

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void random_json(uint64_t *s, struct buf *out, int depth)
{
	static const char *const scalars[] = {
		"1", "-7", "\"x\"", "null", "2.5", "true", "[]", "{}"
	};
	static const char *const names[] = { "a", "b", "c", "0", "1" };
	size_t n = random_next(s) % 4;
	if (depth > 3 || random_next(s) % 3 == 0) {
		buf_add_str(out, scalars[random_next(s) % ARRAY_LEN(scalars)]);
		return;
	}
	bool array = depth > 0 && random_next(s) % 2;
	size_t first = random_next(s) % ARRAY_LEN(names);
	buf_add_str(out, array ? "[" : "{");
	for (size_t i = 0; i < n; i++) {
		if (!array)
			buf_add_fmt(out, "\"%s\":", names[(first + i) % ARRAY_LEN(names)]);
		random_json(s, out, depth + 1);
		if (i + 1 < n)
			buf_add_str(out, ",");
	}
	buf_add_str(out, array ? "]" : "}");
}

static void random_operation(uint64_t *s, struct buf *out)
{
	static const char *const operations[] = {
		"$set",  "1",           "$set", "{\"a\":2}", "$unset",    "1",     "$inc", "5",
		"$push", "[1]",         "$min", "0",         "$max",      "\"m\"", "$pop", "1",
		"$pull", "{\"$gt\":0}", "$mul", "3",         "$addToSet", "1",
	};
	static const char *const parts[] = { "a", "b", "c", "0", "1", "3", "$[]" };
	size_t i = random_next(s) % (ARRAY_LEN(operations) / 2) * 2;
	buf_add_fmt(out, "{\"%s\":{\"%s", operations[i], parts[random_next(s) % 5]);
	for (size_t n = random_next(s) % 4; n > 0; n--)
		buf_add_fmt(out, ".%s", parts[random_next(s) % ARRAY_LEN(parts)]);
	buf_add_fmt(out, "\":%s}}", operations[i + 1]);
}

static bool same_fields(struct slice a, struct slice b);

static bool same_value(struct value a, struct value b)
{
	if (a.type == b.type && (a.type == BSON_DOCUMENT || a.type == BSON_ARRAY))
		return same_fields(value_slice(a), value_slice(b));
	return value_identical(a, b);
}

static bool same_fields(struct slice a, struct slice b)
{
	struct bson_iter it;
	if (a.len != b.len)
		return false;
	for (bson_iter_init(&it, a); bson_next(&it);)
		if (!same_value(it.value, bson_get(b, it.key)))
			return false;
	return true;
}

/* {$set: {"a.b": 1}} and {$inc: {c: 1}} as one specification. */
static void join(const struct buf *one, const struct buf *two, struct buf *out)
{
	struct err e = ERR_INIT;
	struct bson_writer w;
	struct bson_iter a, b, x;
	bson_writer_init(&w, out);
	bson_iter_init(&a, buf_slice(one));
	bson_iter_init(&b, buf_slice(two));
	assert_true(bson_next(&a) && bson_next(&b));
	if (!slice_eq(a.key, b.key)) {
		bson_put_raw(&w, a.raw);
		bson_put_raw(&w, b.raw);
	} else {
		bson_begin_doc(&w, a.key);
		for (bson_iter_init(&x, value_slice(a.value)); bson_next(&x);)
			bson_put_raw(&w, x.raw);
		for (bson_iter_init(&x, value_slice(b.value)); bson_next(&x);)
			bson_put_raw(&w, x.raw);
		bson_end(&w);
	}
	assert_ok(bson_finish(&w, &e), &e);
}

static int apply_spec(struct slice spec, struct slice before, struct buf *out, struct err *e)
{
	struct update *u;
	int rc = update_compile(spec, false, NULL, &u, e);
	if (rc < 0)
		return rc;
	struct eval ev;
	eval_init(&ev);
	buf_reset(out);
	rc = update_apply(u, &ev, before, false, out, e);
	eval_done(&ev);
	update_free(u);
	return rc;
}

static int apply_in_turn(const struct buf *one, const struct buf *two, const struct buf *before,
			 struct buf *out)
{
	AUTO(buf) struct buf between = BUF_INIT;
	int rc = apply_spec(buf_slice(one), buf_slice(before), &between, NULL);
	return rc < 0 ? rc : apply_spec(buf_slice(two), buf_slice(&between), out, NULL);
}

static void update_of_two_paths_is_the_same_as_one_after_the_other(void **state)
{
	(void)state;
	uint64_t s = 0x2545f4914f6cdd1d;
	long agreed = 0, rounds = test_count(40000, 2000000);
	for (long i = 0; i < rounds; i++) {
		AUTO(buf) struct buf text = BUF_INIT, before = BUF_INIT, one = BUF_INIT;
		AUTO(buf) struct buf two = BUF_INIT, both = BUF_INIT, all = BUF_INIT;
		AUTO(buf) struct buf first = BUF_INIT, second = BUF_INIT;
		struct err e = ERR_INIT;
		do {
			buf_reset(&text);
			random_json(&s, &text, 0);
		} while (text.p[0] != '{');
		(void)parse(&before, buf_cstr(&text));
		buf_reset(&text);
		random_operation(&s, &text);
		(void)parse(&one, buf_cstr(&text));
		buf_reset(&text);
		random_operation(&s, &text);
		(void)parse(&two, buf_cstr(&text));
		join(&one, &two, &both);
		int rc = apply_spec(buf_slice(&both), buf_slice(&before), &all, &e);
		if (e.number == 40)
			continue;
		int rc_one = apply_in_turn(&one, &two, &before, &first);
		int rc_two = apply_in_turn(&two, &one, &before, &second);
		/* An element that the first made may be what the second needs, so the order can matter; and where one
		 * of them fails on what the other made, nothing can be said. */
		if (rc < 0 || rc_one < 0 || rc_two < 0)
			continue;
		if (same_fields(buf_slice(&all), buf_slice(&first)) ||
		    same_fields(buf_slice(&all), buf_slice(&second))) {
			agreed++;
			continue;
		}
		buf_reset(&text);
		const struct buf *show[] = { &before, &both, &all, &second };
		for (size_t k = 0; k < ARRAY_LEN(show); k++) {
			json_from_bson(buf_slice(show[k]), JSON_RELAXED, &text);
			buf_add_byte(&text, '\n');
		}
		fail_msg("%s", buf_cstr(&text));
	}
	assert_true(agreed > rounds / 10);
}

/* ---- memory ---- */

static const char operators[] =
	"{\"$set\":{\"o.b\":1,\"a.$[e].c\":2},\"$inc\":{\"n\":1},\"$push\":{\"l\":{\"$each\":[3,1],"
	"\"$sort\":1,\"$slice\":5}},\"$pull\":{\"m\":{\"$gt\":3}},\"$rename\":{\"x\":\"y.z\"}}";
static const char target[] = "{\"_id\":1,\"a\":[{\"c\":1}],\"n\":1,\"l\":[2],\"m\":[1,5],\"x\":7}";

static void update_allocates_nothing_once_warm(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf) struct buf b = BUF_INIT, s = BUF_INIT, out = BUF_INIT;
	struct slice before =
		parse(&b, "{\"_id\":1,\"a\":{\"b\":0},\"n\":1,\"l\":[2],\"m\":[1,5],\"x\":7}");
	struct slice spec =
		parse(&s, "{\"$set\":{\"a.b\":1},\"$inc\":{\"n\":1},\"$push\":{\"l\":{\"$each\":"
			  "[3,1],\"$sort\":1}},\"$pull\":{\"m\":{\"$gt\":3}},"
			  "\"$addToSet\":{\"s\":4},\"$rename\":{\"x\":\"y.z\"}}");
	struct update *u;
	assert_ok(update_compile(spec, false, NULL, &u, &e), &e);
	struct eval ev;
	eval_init(&ev);
	assert_ok(update_apply(u, &ev, before, false, &out, &e), &e);
	scarce_begin();
	for (int i = 0; i < 100; i++) {
		eval_reset(&ev);
		buf_reset(&out);
		assert_ok(update_apply(u, &ev, before, false, &out, &e), &e);
	}
	assert_int_equal(scarce_calls(), 0);
	scarce_end();
	eval_done(&ev);
	update_free(u);
}

static void update_survives_the_failure_of_every_allocation(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT, s = BUF_INIT, f = BUF_INIT;
	struct slice before = parse(&b, target), spec = parse(&s, operators);
	struct update_options o = { .array_filters = parse(&f, "[{\"e.c\":1}]") };
	bool done = false;
	scarce_begin();
	for (long k = 1; !done && k < 10000; k++) {
		struct err e = ERR_INIT;
		struct update *u = NULL;
		struct buf out = BUF_INIT;
		struct eval ev;
		scarce_fail(k, false);
		eval_init(&ev);
		int rc = update_compile(spec, false, &o, &u, &e);
		if (rc == 0)
			rc = update_apply(u, &ev, before, false, &out, &e);
		update_free(u);
		eval_done(&ev);
		buf_done(&out);
		done = scarce_calls() < k;
		assert_int_equal(rc, done ? 0 : ERR_NOMEM);
	}
	scarce_end();
	assert_true(done);
}

static int count_row(void *arg, const char *name, const char *group, const char *help)
{
	assert_true(name[0] == '$' && group[0] && strlen(help) > 10);
	++*(int *)arg;
	return 0;
}

static void update_operators_are_listed_with_help(void **state)
{
	(void)state;
	int n = 0;
	assert_int_equal(update_operators(count_row, &n), 0);
	assert_int_equal(n, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(update_sets_and_removes_fields_in_place),
		cmocka_unit_test(update_arithmetic_widens_as_needed_and_refuses_overflow),
		cmocka_unit_test(update_current_date_takes_the_time_of_the_eval),
		cmocka_unit_test(update_renames_move_the_value),
		cmocka_unit_test(update_pushes_with_each_position_sort_and_slice),
		cmocka_unit_test(update_adds_to_sets_pops_and_pulls),
		cmocka_unit_test(update_reaches_array_elements_by_filter_and_position),
		cmocka_unit_test(update_by_replacement_keeps_the_id),
		cmocka_unit_test(update_pipelines_run_their_stages),
		cmocka_unit_test(update_errors_name_the_operator_the_path_and_a_suggestion),
		cmocka_unit_test(update_of_two_paths_is_the_same_as_one_after_the_other),
		cmocka_unit_test(update_allocates_nothing_once_warm),
		cmocka_unit_test(update_survives_the_failure_of_every_allocation),
		cmocka_unit_test(update_operators_are_listed_with_help),
	};
	return cmocka_run_group_tests_name("doc_update", tests, NULL, NULL);
}
