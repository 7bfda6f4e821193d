/* The query language, operator by operator; what it refuses and with which words; its independence
 * of the way documents are given (bytes or virtual roots); that it allocates nothing once warm.
 * A naive evaluator at the end checks random filters on random documents. */
#include "tests/doc_text.h"
#include "tests/scarce.h"

#include "doc/compare.h"
#include "doc/json.h"
#include "doc/match.h"

#include <stdlib.h>
#include <string.h>

/* ---- helpers ---- */

static int compile_json(const char *json, struct match **m, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	return match_compile(doc_of(json, &b), NULL, m, e);
}

static int matches_within(const char *filter, const char *json, uint64_t steps_max)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct match *m;
	struct eval ev;
	if (compile_json(filter, &m, &e) < 0)
		fail_msg("%s: %s", filter, e.msg);
	eval_init(&ev);
	ev.steps_max = steps_max;
	int rc = match_doc(m, &ev, doc_of(json, &b), &e);
	eval_done(&ev);
	match_free(m);
	return rc;
}

static int matches(const char *filter, const char *json)
{
	return matches_within(filter, json, EVAL_STEPS_DEFAULT);
}

struct row {
	const char *filter, *doc;
	int expect;
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int rc = matches(rows[i].filter, rows[i].doc);
		if (rc != rows[i].expect)
			fail_msg("%s on %s: %d, not %d", rows[i].filter, rows[i].doc, rc,
				 rows[i].expect);
	}
}

/* ---- semantics ---- */

static void comparisons_stay_within_a_type(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': 1}", "{'a': 1.0}", 1 },
		{ "{'a': {'$numberLong': '1'}}", "{'a': 1}", 1 },
		{ "{'a': {'$numberDecimal': '1.00'}}", "{'a': 1}", 1 },
		{ "{'a': {'$numberLong': '9007199254740993'}}",
		  "{'a': {'$numberDouble': '9007199254740992'}}", 0 },
		{ "{'a': {'$gt': {'$numberDouble': '9007199254740992'}}}",
		  "{'a': {'$numberLong': '9007199254740993'}}", 1 },
		{ "{'a': {'$lt': {'$numberLong': '9007199254740993'}}}",
		  "{'a': {'$numberDouble': '9007199254740992'}}", 1 },
		{ "{'a': {'$lte': -2.5}}", "{'a': {'$numberLong': '-3'}}", 1 },
		{ "{'a': {'$gte': -2}}", "{'a': -2.5}", 0 },
		{ "{'a': {'$lt': 3}}", "{'a': {'$numberDouble': 'NaN'}}", 0 },
		{ "{'a': {'$gte': {'$numberDouble': 'NaN'}}}", "{'a': 3}", 0 },
		{ "{'a': {'$gt': 1}}", "{'a': '2'}", 0 },
		{ "{'a': {'$gt': 1}}", "{'a': 1.5}", 1 },
		{ "{'a': {'$lt': 'b'}}", "{'a': 'a'}", 1 },
		{ "{'a': {'$lt': 'b'}}", "{'a': 5}", 0 },
		{ "{'a': {'$lte': 'b'}}", "{'a': 'b'}", 1 },
		{ "{'a': {'$gte': true}}", "{'a': true}", 1 },
		{ "{'a': {'$gte': true}}", "{'a': false}", 0 },
		{ "{'a': {'$gt': {'$numberDouble': 'NaN'}}}", "{'a': 5}", 0 },
		{ "{'a': {'$lt': {'$numberDouble': 'NaN'}}}", "{'a': 5}", 0 },
		{ "{'a': {'$gte': {'$numberDouble': 'NaN'}}}", "{'a': {'$numberDouble': 'NaN'}}",
		  1 },
		{ "{'a': {'$numberDouble': 'NaN'}}", "{'a': {'$numberDecimal': 'NaN'}}", 1 },
		{ "{'a': {'$lt': 5}}", "{'a': {'$numberDouble': 'NaN'}}", 0 },
		{ "{'a': {'$lt': 5.5}}", "{'a': {'$numberDouble': 'NaN'}}", 0 },
		{ "{'a': {'$gt': {'$minKey': 1}}}", "{'a': 'x'}", 1 },
		{ "{'a': {'$lt': {'$maxKey': 1}}}", "{'a': 'x'}", 1 },
		{ "{'a': {'$lt': {'$maxKey': 1}}}", "{'a': {'$maxKey': 1}}", 0 },
		{ "{'a': {'$lte': {'$maxKey': 1}}}", "{'a': {'$maxKey': 1}}", 1 },
		{ "{'a': {'$gt': {'$maxKey': 1}}}", "{'a': 'x'}", 0 },
		{ "{'a': {'$minKey': 1}}", "{'a': 1}", 0 },
		{ "{'a': {'$lte': {'$maxKey': 1}}}", "{'a': 'x'}", 1 },
		{ "{'a': {'$gte': {'$minKey': 1}}}", "{'a': 'x'}", 1 },
		{ "{'a': {'$lt': {'$minKey': 1}}}", "{'a': 'x'}", 0 },
		{ "{'a': {'$gt': {'$numberDouble': 'NaN'}}}", "{'a': {'$numberDouble': 'NaN'}}",
		  0 },
		{ "{'a': {'$lt': {'$numberDouble': 'NaN'}}}", "{'a': {'$numberDecimal': 'NaN'}}",
		  0 },
		{ "{'a': {'$date': '1970-01-01T00:00:01Z'}}",
		  "{'a': {'$date': {'$numberLong': '1000'}}}", 1 },
		{ "{'a': {'$lt': {'$timestamp': {'t': 4000000000, 'i': 1}}}}",
		  "{'a': {'$timestamp': {'t': 5, 'i': 9}}}", 1 },
		{ "{'a': {'$lt': {'$date': '1970-01-01T00:00:00Z'}}}",
		  "{'a': {'$date': {'$numberLong': '-5'}}}", 1 },
		{ "{'a': {'b': 1, 'c': 2}}", "{'a': {'b': 1, 'c': 2}}", 1 },
		{ "{'a': {'b': 1, 'c': 2}}", "{'a': {'c': 2, 'b': 1}}", 0 },
		{ "{'a': {}}", "{'a': {}}", 1 },
		{ "{'a': {}}", "{'a': [{}]}", 1 },
		{ "{'a': {}}", "{'a': {'b': 1}}", 0 },
		{ "{'a': []}", "{'a': [[]]}", 1 },
		{ "{'a': 'x'}", "{'a': {'$symbol': 'x'}}", 1 },
		{ "{'a': {'$eq': {'$gt': 5}}}", "{'a': {'$gt': 5}}", 1 },
		{ "{'a': {'$ref': 'c', '$id': 1}}", "{'a': {'$ref': 'c', '$id': 1}}", 1 },
		{ "{'a.$id': 1}", "{'a': {'$ref': 'c', '$id': 1}}", 1 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void paths_enter_arrays_one_level_and_by_index(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': 2}", "{'a': [1, 2]}", 1 },
		{ "{'a': 2}", "{'a': [[2]]}", 0 },
		{ "{'a': [2]}", "{'a': [[2]]}", 1 },
		{ "{'a': [1, 2]}", "{'a': [1, 2]}", 1 },
		{ "{'a.b': 2}", "{'a': [{'b': 1}, {'b': 2}]}", 1 },
		{ "{'a.b': 2}", "{'a': [[{'b': 2}]]}", 0 },
		{ "{'a.0.b': 2}", "{'a': [[{'b': 2}]]}", 1 },
		{ "{'a.0': 1}", "{'a': [1, 2]}", 1 },
		{ "{'a.1': 1}", "{'a': [1, 2]}", 0 },
		{ "{'a.00': 1}", "{'a': [1, 2]}", 0 },
		{ "{'a.0': 1}", "{'a': [[1]]}", 0 },
		{ "{'a.0': [1]}", "{'a': [[1]]}", 1 },
		{ "{'a.0.0': 1}", "{'a': [[1]]}", 1 },
		{ "{'a.0': 7}", "{'a': [{'0': 7}]}", 1 },
		{ "{'a.0.x': 7}", "{'a': [{'0': {'x': 7}}]}", 1 },
		{ "{'a.0.x': 7}", "{'a': [{'x': 7}]}", 1 },
		{ "{'a.0': 7}", "{'a': {'0': 7}}", 1 },
		{ "{'a.b.c': 3}", "{'a': {'b': [{'c': [1, 3]}]}}", 1 },
		{ "{'a.b.c': 3, 'a.b.d': 4}", "{'a': {'b': [{'c': 3}, {'d': 4}]}}", 1 },
		{ "{'a.b.c': 3, 'a.b.d': 5}", "{'a': {'b': [{'c': 3}, {'d': 4}]}}", 0 },
		{ "{'c.d.0': {'$eq': -1}}", "{'c': [{'d': [[-1, 1, 2]]}]}", 0 },
		{ "{'c.d.0.0': {'$eq': -1}}", "{'c': [{'d': [[-1, 1, 2]]}]}", 1 },
		{ "{'c.d': {'$eq': [-1, 1, 2]}}", "{'c': [{'d': [[-1, 1, 2]]}]}", 1 },
		{ "{'a.b': 1}", "{'a.b': 1}", 0 },
		{ "{'a..b': 1}", "{'a': {'': {'b': 1}}}", 1 },
		{ "{'': 1}", "{'': 1}", 1 },
		{ "{'longer than eight': 1}", "{'longer than eighT': 1}", 0 },
		{ "{'longer than eight': 1}", "{'longer than eight': 1}", 1 },
		{ "{'a.b': {'$gt': [0, 0]}}", "{'a': {'b': [0, 1]}}", 1 },
		{ "{'a.b': {'$gt': [0, 0]}}", "{'a': {'b': 5}}", 0 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void null_means_null_or_missing(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': null}", "{}", 1 },
		{ "{'a': null}", "{'a': null}", 1 },
		{ "{'a': null}", "{'a': [null]}", 1 },
		{ "{'a': null}", "{'a': []}", 0 },
		{ "{'a': null}", "{'a': {'$undefined': true}}", 0 },
		{ "{'a': {'$gte': null}}", "{}", 1 },
		{ "{'a': {'$gt': null}}", "{}", 0 },
		{ "{'a.b': null}", "{'a': 4}", 1 },
		{ "{'a.b': null}", "{'a': {}}", 1 },
		{ "{'a.b': null}", "{'a': [{'b': 3}, {}]}", 1 },
		{ "{'a.b': null}", "{'a': []}", 0 },
		{ "{'a.b': null}", "{'a': [1, 2]}", 0 },
		{ "{'a.b': null}", "{'a': [[]]}", 0 },
		{ "{'a': {'$ne': null}}", "{'a': []}", 1 },
		{ "{'a': {'$in': [null, 3]}}", "{}", 1 },
		{ "{'a': {'$nin': [null, 3]}}", "{}", 0 },
		{ "{'a': {'$elemMatch': {'b': null}}}", "{'a': [[]]}", 1 },
		{ "{'a': {'$elemMatch': {'b': null}}}", "{'a': [1, null]}", 0 },
		{ "{'a': {'$all': [null]}}", "{}", 1 },
		{ "{'a': {'$gte': {'$minKey': 1}}}", "{}", 1 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void negation_turns_the_whole_predicate_round(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': {'$ne': 5}}", "{'a': [5, 6]}", 0 },
		{ "{'a': {'$ne': 5}}", "{}", 1 },
		{ "{'a': {'$nin': [5, 7]}}", "{'a': [6, 7]}", 0 },
		{ "{'a': {'$nin': [5, 7]}}", "{'a': 6}", 1 },
		{ "{'a': {'$nin': []}}", "{'a': 6}", 1 },
		{ "{'a': {'$in': []}}", "{'a': 6}", 0 },
		{ "{'a': {'$not': {'$gt': 5}}}", "{'a': 'x'}", 1 },
		{ "{'a': {'$not': {'$gt': 5, '$lt': 8}}}", "{'a': 6}", 0 },
		{ "{'a': {'$not': {'$gt': 5, '$lt': 8}}}", "{'a': 9}", 1 },
		{ "{'a': {'$not': {'$ne': 5}}}", "{'a': 5}", 1 },
		{ "{'a': {'$not': {'$not': {'$eq': 5}}}}", "{'a': 5}", 1 },
		{ "{'$nor': [{'a': 1}, {'b': 2}]}", "{'a': 2, 'b': 3}", 1 },
		{ "{'$nor': [{'a': 1}, {'b': 2}]}", "{'a': 2, 'b': 2}", 0 },
		{ "{'$nor': [{'a': {'$ne': 1}}]}", "{'a': 1}", 1 },
		{ "{'$or': [{'a': 1}, {'b': 2}], 'c': 3}", "{'b': 2, 'c': 3}", 1 },
		{ "{'$or': [{'a': 1}, {'b': 2}], 'c': 3}", "{'b': 2, 'c': 4}", 0 },
		{ "{'$and': [{'a': {'$gt': 1}}, {'a': {'$lt': 3}}]}", "{'a': [0, 9]}", 1 },
		{ "{'a': {'$gt': 1, '$lt': 3}}", "{'a': [0, 9]}", 1 },
		{ "{'$and': [{'$or': [{'a': 1}]}, {'$nor': [{'b': 1}]}]}", "{'a': 1}", 1 },
		{ "{'$or': [{}]}", "{'a': 1}", 1 },
		{ "{'$alwaysFalse': 1}", "{}", 0 },
		{ "{'$alwaysTrue': 1.0, '$comment': 'x'}", "{}", 1 },
		{ "{'$sampleRate': 0}", "{}", 0 },
		{ "{'$sampleRate': 1}", "{}", 1 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void element_operators_look_at_presence_and_type(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': {'$exists': true}}", "{'a': null}", 1 },
		{ "{'a': {'$exists': 1}}", "{'a': []}", 1 },
		{ "{'a': {'$exists': 'x'}}", "{}", 0 },
		{ "{'a': {'$exists': 0}}", "{}", 1 },
		{ "{'a': {'$exists': null}}", "{}", 1 },
		{ "{'a.b': {'$exists': true}}", "{'a': [1, {'b': 1}]}", 1 },
		{ "{'a.b': {'$exists': true}}", "{'a': [1, {'c': 1}]}", 0 },
		{ "{'a.1': {'$exists': true}}", "{'a': [1, 2]}", 1 },
		{ "{'a.2': {'$exists': false}}", "{'a': [1, 2]}", 1 },
		{ "{'a': {'$type': 'number'}}", "{'a': {'$numberDecimal': '1'}}", 1 },
		{ "{'a': {'$type': 'int'}}", "{'a': 1}", 1 },
		{ "{'a': {'$type': 1}}", "{'a': 1.5}", 1 },
		{ "{'a': {'$type': ['string', 8]}}", "{'a': true}", 1 },
		{ "{'a': {'$type': 'string'}}", "{'a': [1, 'x']}", 1 },
		{ "{'a': {'$type': 'array'}}", "{'a': []}", 1 },
		{ "{'a': {'$type': 'object'}}", "{'a': [{}]}", 1 },
		{ "{'a': {'$type': -1}}", "{'a': {'$minKey': 1}}", 1 },
		{ "{'a': {'$type': 'null'}}", "{}", 0 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void array_operators(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': {'$size': 2}}", "{'a': [1, 2]}", 1 },
		{ "{'a': {'$size': 2.0}}", "{'a': [1, 2, 3]}", 0 },
		{ "{'a': {'$size': 0}}", "{'a': []}", 1 },
		{ "{'a': {'$size': 2}}", "{'a': [[1, 2]]}", 0 },
		{ "{'a.0': {'$size': 2}}", "{'a': [[1, 2]]}", 1 },
		{ "{'a': {'$size': 1}}", "{'a': 'x'}", 0 },
		{ "{'a': {'$all': []}}", "{'a': []}", 0 },
		{ "{'a': {'$all': [1, 2]}}", "{'a': [2, 3, 1]}", 1 },
		{ "{'a': {'$all': [1, 4]}}", "{'a': [2, 3, 1]}", 0 },
		{ "{'a': {'$all': [1]}}", "{'a': 1}", 1 },
		{ "{'a': {'$all': [[1, 2]]}}", "{'a': [1, 2]}", 1 },
		{ "{'a': {'$all': [[1, 2]]}}", "{'a': [[1, 2]]}", 1 },
		{ "{'a': {'$all': [{'$regularExpression': {'pattern': '^x', 'options': ''}}]}}",
		  "{'a': ['xy']}", 1 },
		{ "{'a': {'$all': [{'$elemMatch': {'b': 1}}, {'$elemMatch': {'c': 2}}]}}",
		  "{'a': [{'b': 1}, {'c': 2}]}", 1 },
		{ "{'a': {'$elemMatch': {'$gt': 1, '$lt': 3}}}", "{'a': [0, 9]}", 0 },
		{ "{'a': {'$elemMatch': {'$gt': 1, '$lt': 3}}}", "{'a': [0, 2]}", 1 },
		{ "{'a': {'$elemMatch': {'$gt': 1}}}", "{'a': 5}", 0 },
		{ "{'a': {'$elemMatch': {'$gt': 1}}}", "{'a': [[5]]}", 0 },
		{ "{'a': {'$elemMatch': {'$ne': 1}}}", "{'a': [1, 1]}", 0 },
		{ "{'a': {'$elemMatch': {'$ne': 1}}}", "{'a': [1, 2]}", 1 },
		{ "{'a': {'$elemMatch': {'$not': {'$gt': 1}}}}", "{'a': [5, 1]}", 1 },
		{ "{'a': {'$elemMatch': {'b': 1, 'c': 2}}}", "{'a': [{'b': 1}, {'c': 2}]}", 0 },
		{ "{'a': {'$elemMatch': {'b': 1, 'c': 2}}}", "{'a': [{'b': 1, 'c': 2}]}", 1 },
		{ "{'a': {'$elemMatch': {'b': {'$exists': false}}}}", "{'a': [1, 15, [18]]}", 1 },
		{ "{'a': {'$elemMatch': {}}}", "{'a': [1]}", 0 },
		{ "{'a': {'$elemMatch': {}}}", "{'a': [{}]}", 1 },
		{ "{'a': {'$elemMatch': {'$elemMatch': {'$in': [100]}}}}", "{'a': [[100, 200]]}",
		  1 },
		{ "{'a': {'$elemMatch': {'0': {'$gte': 100}}}}", "{'a': [[100, 200]]}", 1 },
		{ "{'a': {'$elemMatch': {'$or': [{'b': 1}, {'b': 2}]}}}", "{'a': [{'b': 2}]}", 1 },
		{ "{'a': {'$elemMatch': {'$size': 2}}}", "{'a': [1, [1, 2]]}", 1 },
		{ "{'a.b': {'$elemMatch': {'c': 1}}}", "{'a': [{'b': [{'c': 1}]}]}", 1 },
		{ "{'a': {'$elemMatch': {'$ref': 'x'}}}", "{'a': [{'$ref': 'x', '$id': 1}]}", 1 },
		{ "{'a': {'$in': [1, [2, 3]]}}", "{'a': [2, 3]}", 1 },
		{ "{'a': {'$in': [{'$regularExpression': {'pattern': 'b$', 'options': 'i'}}, 7]}}",
		  "{'a': 'AB'}", 1 },
		{ "{'a': {'$in': [1, 2, 3, 4, 5, 6, 7, 8]}}", "{'a': 5.0}", 1 },
		{ "{'a': {'$in': [1, 2, 3, 4, 5, 6, 7, 8]}}", "{'a': 5.5}", 0 },
		{ "{'a': {'$in': [1, 2, 3, 4, 5, 6, 7, {'$numberDouble': 'NaN'}]}}",
		  "{'a': {'$numberDecimal': 'NaN'}}", 1 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void arithmetic_and_bit_operators(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': {'$mod': [4, 0]}}", "{'a': 8}", 1 },
		{ "{'a': {'$mod': [4, 1]}}", "{'a': -7}", 0 },
		{ "{'a': {'$mod': [4, -3]}}", "{'a': -7}", 1 },
		{ "{'a': {'$mod': [4.9, 3.9]}}", "{'a': 7.9}", 1 },
		{ "{'a': {'$mod': [-1, 0]}}", "{'a': {'$numberLong': '-9223372036854775808'}}", 1 },
		{ "{'a': {'$mod': [1, 0]}}", "{'a': {'$numberDouble': 'Infinity'}}", 0 },
		{ "{'a': {'$mod': [1, 0]}}", "{'a': {'$numberDouble': 'NaN'}}", 0 },
		{ "{'a': {'$mod': [1, 0]}}", "{'a': 1e19}", 0 },
		{ "{'a': {'$mod': [1, 0]}}", "{'a': {'$numberDecimal': '9223372036854775807.5'}}",
		  1 },
		{ "{'a': {'$mod': [1, 0]}}", "{'a': {'$numberDecimal': '9223372036854775808'}}",
		  0 },
		{ "{'a': {'$mod': [2, 1]}}", "{'a': [2, 3]}", 1 },
		{ "{'a': {'$mod': [2, 1]}}", "{'a': [[3]]}", 0 },
		{ "{'a': {'$bitsAllSet': 6}}", "{'a': 7}", 1 },
		{ "{'a': {'$bitsAllSet': [1, 2]}}", "{'a': 5}", 0 },
		{ "{'a': {'$bitsAllSet': [63, 200]}}", "{'a': -1}", 1 },
		{ "{'a': {'$bitsAllClear': [200]}}", "{'a': 1}", 1 },
		{ "{'a': {'$bitsAnyClear': 3}}", "{'a': 2.0}", 1 },
		{ "{'a': {'$bitsAnySet': 1}}", "{'a': 1.5}", 0 },
		{ "{'a': {'$bitsAnySet': 1}}", "{'a': 'x'}", 0 },
		{ "{'a': {'$bitsAllSet': []}}", "{'a': 0}", 1 },
		{ "{'a': {'$bitsAllClear': []}}", "{'a': 5}", 1 },
		{ "{'a': {'$bitsAnySet': []}}", "{'a': 5}", 0 },
		{ "{'a': {'$bitsAnyClear': []}}", "{'a': 5}", 0 },
		{ "{'a': {'$bitsAllSet': {'$binary': {'base64': 'Ag==', 'subType': '00'}}}}",
		  "{'a': 2}", 1 },
		{ "{'a': {'$bitsAllSet': [9]}}",
		  "{'a': {'$binary': {'base64': 'AAI=', 'subType': '00'}}}", 1 },
		{ "{'a': {'$bitsAllSet': [17]}}",
		  "{'a': {'$binary': {'base64': 'AAI=', 'subType': '00'}}}", 0 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void regular_expressions(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'a': {'$regex': 'b+'}}", "{'a': 'abbc'}", 1 },
		{ "{'a': {'$regex': '^b'}}", "{'a': 'abbc'}", 0 },
		{ "{'a': {'$regex': '^B', '$options': 'i'}}", "{'a': 'bc'}", 1 },
		{ "{'a': {'$options': 'im', '$regex': '^b$'}}", "{'a': 'a\\nB\\nc'}", 1 },
		{ "{'a': {'$regex': 'a.b', '$options': 's'}}", "{'a': 'a\\nb'}", 1 },
		{ "{'a': {'$regex': 'a b # no', '$options': 'xu'}}", "{'a': 'ab'}", 1 },
		{ "{'a': {'$regex': '\\\\p{Hangul}'}}", "{'a': '\\uc815'}", 1 },
		{ "{'a': {'$regex': '[[:digit:]]{3}'}}", "{'a': 'x123'}", 1 },
		{ "{'a': {'$regex': '(*UTF)^.$'}}", "{'a': '\\uc815'}", 1 },
		{ "{'a': {'$regex': ''}}", "{'a': ''}", 1 },
		{ "{'a': {'$regex': 'b'}}", "{'a': ['x', 'b']}", 1 },
		{ "{'a': {'$regex': 'b'}}", "{'a': 5}", 0 },
		{ "{'a': {'$regex': 'b'}}", "{}", 0 },
		{ "{'a': {'$regularExpression': {'pattern': 'b', 'options': ''}}}",
		  "{'a': {'$regularExpression': {'pattern': 'b', 'options': ''}}}", 1 },
		{ "{'a': {'$eq': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  "{'a': 'b'}", 0 },
		{ "{'a': {'$eq': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  "{'a': {'$regularExpression': {'pattern': 'b', 'options': ''}}}", 1 },
		{ "{'a': {'$not': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  "{'a': 'abc'}", 0 },
		{ "{'a': {'$not': {'$regex': 'b'}}}", "{'a': 'xyz'}", 1 },
		{ "{'a': {'$regex': {'$regularExpression': {'pattern': 'B', 'options': 'i'}}}}",
		  "{'a': 'b'}", 1 },
		{ "{'a': {'$regex': 'z', '$gt': 'a'}}", "{'a': 'z'}", 1 },
	};
	check_rows(rows, ARRAY_LEN(rows));
}

static void expressions_and_schemas(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'$expr': {'$gt': ['$a', '$b']}}", "{'a': 2, 'b': 1}", 1 },
		{ "{'$expr': {'$gt': ['$a', '$b']}}", "{'a': 'x', 'b': 1}", 1 },
		{ "{'$expr': {'$lt': ['$missing', null]}}", "{}", 1 },
		{ "{'$expr': '$a'}", "{'a': 0}", 0 },
		{ "{'$expr': {'$eq': ['$a.b', [1, 2]]}}", "{'a': [{'b': 1}, {'b': 2}]}", 1 },
		{ "{'$or': [{'$expr': {'$eq': ['$a', 1]}}, {'b': 1}]}", "{'a': 2, 'b': 1}", 1 },
		{ "{'$nor': [{'$expr': {'$eq': ['$a', 1]}}]}", "{'a': 1}", 0 },
		{ "{'$expr': {'$lt': [{'$rand': {}}, 1]}}", "{}", 1 },
		{ "{'$jsonSchema': {'required': ['a']}}", "{'a': 1}", 1 },
		{ "{'$jsonSchema': {'properties': {'a': {'bsonType': 'string'}}}}", "{'a': 1}", 0 },
		{ "{'$nor': [{'$jsonSchema': {'required': ['a']}}]}", "{}", 1 },
	};
	check_rows(rows, ARRAY_LEN(rows));
	assert_true(matches("{'$expr': {'$divide': ['$a', '$b']}}", "{'a': 1, 'b': 0}") < 0);
}

/* ---- errors ---- */

static void errors_name_the_place_and_the_cure(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		int code, number;
		const char *text; /* part of the message */
	} rows[] = {
		{ "{'a': {'$gtt': 1}}", ERR_INVALID, 2,
		  "a: unknown operator: $gtt; did you mean $gt?" },
		{ "{'a': {'$exsits': 1}}", ERR_INVALID, 2, "did you mean $exists?" },
		{ "{'$orr': []}", ERR_INVALID, 2, "did you mean $or?" },
		{ "{'$gt': 1}", ERR_INVALID, 2, "belongs to a field" },
		{ "{'a': {'$or': []}}", ERR_INVALID, 2, "beside the fields" },
		{ "{'a': {'$gt': 1, 'b': 2}}", ERR_INVALID, 2, "unknown operator: b" },
		{ "{'a': {'$bogus': 1}}", ERR_INVALID, 2, "unknown operator: $bogus" },
		{ "{'$or': [{'x': 1}, {'a.b': {'$in': [1, 2, {'$gt': 3}]}}]}", ERR_INVALID, 2,
		  "$or[1].a.b.$in[2]: " },
		{ "{'$and': []}", ERR_INVALID, 2, "$and: " },
		{ "{'$and': {}}", ERR_INVALID, 2, "needs an array" },
		{ "{'$and': [1]}", ERR_INVALID, 2, "$and[0]: " },
		{ "{'a': {'$in': 1}}", ERR_INVALID, 2, "needs an array, not int" },
		{ "{'a': {'$all': 1}}", ERR_INVALID, 2, "needs an array" },
		{ "{'a': {'$all': [{'$gt': 1}]}}", ERR_INVALID, 2, "inside $all" },
		{ "{'a': {'$all': [{'$elemMatch': {}}, 1]}}", ERR_INVALID, 2, "a.$all[1]: " },
		{ "{'a': {'$all': [1, {'$elemMatch': {}}]}}", ERR_INVALID, 2, "a.$all[1]: " },
		{ "{'a': {'$elemMatch': 1}}", ERR_INVALID, 2, "needs an object" },
		{ "{'a': {'$elemMatch': {'$gt': 1, 'b': 1}}}", ERR_INVALID, 2,
		  "unknown operator: b" },
		{ "{'a': {'$elemMatch': {'b': 1, '$gt': 1}}}", ERR_INVALID, 2, "top level" },
		{ "{'a': {'$not': {}}}", ERR_INVALID, 2, "empty" },
		{ "{'a': {'$not': 1}}", ERR_INVALID, 2, "$not needs" },
		{ "{'a': {'$not': {'b': 1}}}", ERR_INVALID, 2, "unknown operator: b" },
		{ "{'a': {'$gt': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  ERR_INVALID, 2, "a.$gt: " },
		{ "{'a': {'$ne': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  ERR_INVALID, 2, "a.$ne: " },
		{ "{'a': {'$undefined': true}}", ERR_INVALID, 2, "undefined" },
		{ "{'a': {'$in': [{'$undefined': true}]}}", ERR_INVALID, 2, "undefined" },
		{ "{'a': {'$options': 'i'}}", ERR_INVALID, 2, "$regex" },
		{ "{'a': {'$regex': 1}}", ERR_INVALID, 2, "not int" },
		{ "{'a': {'$regex': 'a', '$options': 1}}", ERR_INVALID, 2, "$options" },
		{ "{'a': {'$regex': 'a\\u0000b'}}", ERR_INVALID, 2, "NUL" },
		{ "{'a': {'$regex': 'a', '$options': 'g'}}", ERR_INVALID, 51108, "option" },
		{ "{'a': {'$regex': '(a'}}", ERR_INVALID, 51091, "a.$regex: malformed" },
		{ "{'a': {'$regex': {'$regularExpression': {'pattern': 'b', 'options': 'i'}}, "
		  "'$options': 's'}}",
		  ERR_INVALID, 51075, "both" },
		{ "{'a': {'$size': 2.5}}", ERR_INVALID, 2, "whole" },
		{ "{'a': {'$size': -1}}", ERR_INVALID, 2, "negative" },
		{ "{'a': {'$size': '1'}}", ERR_INVALID, 2, "whole" },
		{ "{'a': {'$type': 'strin'}}", ERR_INVALID, 2, "strin" },
		{ "{'a': {'$type': {}}}", ERR_INVALID, 14, "$type" },
		{ "{'a': {'$type': []}}", ERR_INVALID, 9, "at least one" },
		{ "{'a': {'$type': 99}}", ERR_INVALID, 2, "99" },
		{ "{'a': {'$type': 0}}", ERR_INVALID, 2, "$exists" },
		{ "{'a': {'$mod': [1]}}", ERR_INVALID, 2, "not 1" },
		{ "{'a': {'$mod': [1, 2, 3]}}", ERR_INVALID, 2, "not 3" },
		{ "{'a': {'$mod': [0, 2]}}", ERR_INVALID, 2, "cannot be 0" },
		{ "{'a': {'$mod': [0.5, 2]}}", ERR_INVALID, 2, "cannot be 0" },
		{ "{'a': {'$mod': ['1', 2]}}", ERR_INVALID, 2, "divisor" },
		{ "{'a': {'$mod': [{'$numberDouble': 'NaN'}, 2]}}", ERR_INVALID, 2, "divisor" },
		{ "{'a': {'$mod': [1, {'$numberDouble': 'Infinity'}]}}", ERR_INVALID, 2,
		  "remainder" },
		{ "{'a': {'$bitsAllSet': -1}}", ERR_INVALID, 9, "from 0" },
		{ "{'a': {'$bitsAllSet': 1.5}}", ERR_INVALID, 9, "whole" },
		{ "{'a': {'$bitsAllSet': [-1]}}", ERR_INVALID, 9, "$bitsAllSet[0]: " },
		{ "{'a': {'$bitsAllSet': 'x'}}", ERR_INVALID, 9, "not string" },
		{ "{'$alwaysTrue': 0}", ERR_INVALID, 9, "must be 1" },
		{ "{'$sampleRate': 1.5}", ERR_INVALID, 2, "between" },
		{ "{'a': {'$elemMatch': {'$expr': '$b'}}}", ERR_INVALID, 2,
		  "a.$elemMatch.$expr: " },
		{ "{'a': {'$elemMatch': {'$jsonSchema': {}}}}", ERR_INVALID, 2, "$jsonSchema" },
		{ "{'$jsonSchema': {'properties': {'a': {'minumum': 1}}}}", ERR_INVALID, 9,
		  "$jsonSchema: properties.a: unknown keyword: minumum; did you mean minimum?" },
		{ "{'$jsonSchema': 1}", ERR_INVALID, 14, "$jsonSchema: " },
		{ "{'$or': [{'$expr': {'$addd': [1, 2]}}]}", ERR_INVALID, 168, "$or[0].$expr" },
		{ "{'$where': 'x'}", ERR_UNSUPPORTED, 0, "$expr" },
		{ "{'$text': {'$search': 'x'}}", ERR_UNSUPPORTED, 0, "$text" },
		{ "{'a': {'$near': [1, 2]}}", ERR_UNSUPPORTED, 0, "a.$near: " },
		{ "{'a': {'$geoWithin': {}}}", ERR_UNSUPPORTED, 0, "$geoWithin" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct match *m = NULL;
		int rc = compile_json(rows[i].filter, &m, &e);
		if (rc != rows[i].code || e.number != rows[i].number ||
		    !strstr(e.msg, rows[i].text))
			fail_msg("%s: %d, %d, \"%s\"", rows[i].filter, rc, e.number, e.msg);
		assert_null(m);
		assert_int_equal(compile_json(rows[i].filter, &m, NULL), rows[i].code);
	}
}

static int compile_nested(int depth, const char *open, const char *close, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct match *m = NULL;
	buf_add_str(&text, "{'a': ");
	for (int i = 0; i < depth; i++)
		buf_add_str(&text, open);
	buf_add_str(&text, "{'$gt': 1}");
	for (int i = 0; i < depth; i++)
		buf_add_str(&text, close);
	buf_add_str(&text, "}");
	int rc = compile_json(buf_cstr(&text), &m, e);
	match_free(m);
	return rc;
}

static void nesting_ends_in_a_limit(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_ok(compile_nested(MATCH_DEPTH_MAX - 1, "{'$not': ", "}", &e), &e);
	assert_int_equal(compile_nested(MATCH_DEPTH_MAX, "{'$not': ", "}", &e), ERR_LIMIT);
	assert_true(strstr(e.msg, "....$not.$not") != NULL);
	assert_ok(compile_nested(MATCH_DEPTH_MAX - 1, "{'$elemMatch': ", "}", &e), &e);
	assert_int_equal(compile_nested(MATCH_DEPTH_MAX, "{'$elemMatch': ", "}", &e), ERR_LIMIT);
	assert_ok(compile_nested(49, "{'$elemMatch': {'$and': [{'b': ", "}]}}", &e), &e);
}

/* Paths are short and fields are large: a filter must not take a hundred times its size. */
static void too_many_fields_end_in_a_limit(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, path = BUF_INIT;
	struct err e = ERR_INIT;
	struct match *m = NULL;
	struct bson_writer w;
	bson_writer_init(&w, &spec);
	for (int i = 0; i < 2000; i++) {
		buf_reset(&path);
		buf_add_fmt(&path, "%d", i);
		for (int k = 0; k < 150; k++)
			buf_add_str(&path, ".a");
		bson_put_int32(&w, buf_slice(&path), 1);
	}
	assert_ok(bson_finish(&w, &e), &e);
	assert_int_equal(match_compile(buf_slice(&spec), NULL, &m, &e), ERR_LIMIT);
	assert_true(strstr(e.msg, "different fields") != NULL);
}

static void a_catastrophic_pattern_ends_in_a_limit(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_str(&text, "{'a': '");
	for (int i = 0; i < 3000; i++)
		buf_add_str(&text, "a");
	buf_add_str(&text, "!'}");
	assert_int_equal(matches("{'a': {'$regex': '^(a|aa)+!$'}}", buf_cstr(&text)), 1);
	assert_int_equal(matches("{'a': {'$regex': '^(a|aa)+$'}}", buf_cstr(&text)), ERR_LIMIT);
}

/* Each level offers the element both as a field and by index. */
static void a_path_that_branches_at_every_level_ends_in_a_limit(void **state)
{
	(void)state;
	enum { DEPTH = 60 };
	AUTO(buf) struct buf filter = BUF_INIT, text = BUF_INIT;
	buf_add_str(&filter, "{'0");
	buf_add_str(&text, "{'0': ");
	for (int i = 0; i < DEPTH; i++) {
		buf_add_str(&filter, ".0");
		buf_add_str(&text, "[{'0': ");
	}
	buf_add_str(&filter, "': 7}");
	buf_add_str(&text, "1");
	for (int i = 0; i < DEPTH; i++)
		buf_add_str(&text, "}]");
	buf_add_str(&text, "}");
	assert_int_equal(matches_within(buf_cstr(&filter), buf_cstr(&text), 1000000), ERR_LIMIT);
}

/* Terms times elements: found or not, both count. */
static void many_terms_over_many_elements_end_in_a_limit(void **state)
{
	(void)state;
	enum { N = 3000 };
	AUTO(buf) struct buf list = BUF_INIT, all = BUF_INIT, any = BUF_INIT, text = BUF_INIT;
	for (int i = 0; i < N; i++)
		buf_add_fmt(&list, "%s%d", i ? "," : "", i);
	buf_add_str(&list, "]");
	buf_add_fmt(&all, "{'a': {'$all': [%s}}", buf_cstr(&list));
	buf_add_fmt(&text, "{'a': [%s}", buf_cstr(&list));
	assert_int_equal(matches(buf_cstr(&all), buf_cstr(&text)), 1);
	assert_int_equal(matches_within(buf_cstr(&all), buf_cstr(&text), 1000000), ERR_LIMIT);
	buf_reset(&text);
	buf_reset(&all);
	buf_add_str(&text, "{'a': [");
	for (int i = 0; i < 20; i++)
		buf_add_fmt(&text, "%s[%s", i ? "," : "", buf_cstr(&list));
	buf_add_str(&text, "]}");
	buf_add_fmt(&all, "{'a': [%s}", buf_cstr(&list));
	assert_int_equal(matches(buf_cstr(&all), buf_cstr(&text)), 1);
	buf_reset(&all);
	buf_add_fmt(&all, "{'a': [0,%s}", buf_cstr(&list));
	assert_int_equal(matches_within(buf_cstr(&all), buf_cstr(&text), 1000), ERR_LIMIT);
	buf_reset(&text);
	buf_add_str(&any, "{'$or': [");
	buf_add_str(&text, "{'a': [{");
	for (int i = 0; i < N; i++) {
		buf_add_fmt(&any, "%s{'a.x%d': 1}", i ? "," : "", i);
		buf_add_fmt(&text, "%s'y%d': 1", i ? "," : "", i);
	}
	buf_add_str(&any, "]}");
	buf_add_str(&text, "}]}");
	assert_int_equal(matches_within(buf_cstr(&any), buf_cstr(&text), 500000), ERR_LIMIT);
}

/* ---- virtual roots, single values ---- */

static const char *const roots[] = { "op", "ns", "fullDocument", NULL };

static void virtual_roots_match_like_documents(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		int expect;
		uint64_t used;
	} rows[] = {
		{ "{}", 1, 0 },
		{ "{'op': 'insert'}", 1, 1 },
		{ "{'ns.coll': 'c', 'ns.db': 'd'}", 1, 2 },
		{ "{'fullDocument.a.b': 2}", 1, 4 },
		{ "{'fullDocument.a.b': 3}", 0, 4 },
		{ "{'nothing': null}", 1, 0 },
		{ "{'nothing': 1}", 0, 0 },
		{ "{'$or': [{'op': 'delete'}, {'ns.coll': {'$in': ['a', 'c']}}]}", 1, 3 },
		{ "{'fullDocument': {'$exists': true}}", 1, 4 },
		{ "{'$expr': {'$eq': ['$ns.coll', 'c']}}", 1, 2 },
		{ "{'$jsonSchema': {'required': ['op', 'fullDocument'], 'maxProperties': 3}}", 1,
		  UINT64_MAX },
	};
	AUTO(buf) struct buf ns = BUF_INIT, full = BUF_INIT, spec = BUF_INIT;
	const struct value v[3] = {
		value_string(slice_str("insert")),
		value_doc(doc_of("{'db': 'd', 'coll': 'c'}", &ns)),
		value_doc(doc_of("{'a': [{'b': 1}, {'b': 2}]}", &full)),
	};
	struct eval ev;
	eval_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct match *m;
		assert_ok(match_compile(doc_of(rows[i].filter, &spec),
					&(struct match_options){ .roots = roots }, &m, &e),
			  &e);
		assert_int_equal(match_roots(m, &ev, v, &e), rows[i].expect);
		assert_int_equal(match_roots_used(m), rows[i].used);
		match_free(m);
	}
	eval_done(&ev);
}

static void a_single_value_matches_like_a_field(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *value;
		int expect;
	} rows[] = {
		{ "{'v': {'$gt': 3}}", "{'v': 5}", 1 },
		{ "{'v': {'$gt': 3}}", "{'v': [1]}", 0 },
		{ "{'v': 5}", "{'v': 5.0}", 1 },
		{ "{'v': {'x': 1}}", "{'v': {'x': 1}}", 1 },
		{ "{'v': {'$not': {'$in': [1, 2]}}}", "{'v': 3}", 1 },
		{ "{'v': {'$regularExpression': {'pattern': 'b', 'options': ''}}}", "{'v': 'abc'}",
		  1 },
	};
	struct eval ev;
	eval_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) struct buf spec = BUF_INIT, value = BUF_INIT;
		struct err e = ERR_INIT;
		struct match *m;
		assert_ok(match_value_compile(bson_get_str(doc_of(rows[i].spec, &spec), "v"), &m,
					      &e),
			  &e);
		buf_done(&spec); /* the match keeps a copy */
		spec = (struct buf)BUF_INIT;
		struct value v = bson_get_str(doc_of(rows[i].value, &value), "v");
		assert_int_equal(match_value(m, &ev, v, &e), rows[i].expect);
		match_free(m);
	}
	eval_done(&ev);
}

static void filters_on_very_many_fields_work(void **state)
{
	(void)state;
	AUTO(buf) struct buf filter = BUF_INIT, text = BUF_INIT;
	buf_add_str(&filter, "{'z': 1");
	buf_add_str(&text, "{'z': 1");
	for (int i = 0; i < 500; i++) {
		buf_add_fmt(&filter, ", 'field%d.x%d': %d", i, i % 7, i);
		buf_add_fmt(&text, ", 'field%d': {'x%d': %d}", i, i % 7, i);
	}
	AUTO(buf) struct buf wrong = BUF_INIT;
	buf_add(&wrong, text.p, text.len);
	buf_add_str(&filter, "}");
	buf_add_str(&text, "}");
	buf_add_str(&wrong, ", 'last': 1}");
	assert_int_equal(matches(buf_cstr(&filter), buf_cstr(&text)), 1);
	filter.len--;
	buf_add_str(&filter, ", 'last': 2}");
	assert_int_equal(matches(buf_cstr(&filter), buf_cstr(&wrong)), 0);
}

static void the_first_of_two_fields_with_one_name_wins(void **state)
{
	(void)state;
	AUTO(buf) struct buf doc = BUF_INIT;
	struct bson_writer w;
	struct err e = ERR_INIT;
	struct match *m;
	struct eval ev;
	bson_writer_init(&w, &doc);
	bson_put_int32(&w, SLICE_LIT("a"), 1);
	bson_put_int32(&w, SLICE_LIT("a"), 2);
	bson_put_int32(&w, SLICE_LIT("b"), 3);
	assert_ok(bson_finish(&w, &e), &e);
	eval_init(&ev);
	assert_ok(compile_json("{'b': 3, 'a': 1}", &m, &e), &e);
	assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 1);
	match_free(m);
	assert_ok(compile_json("{'b': 3, 'a': 2}", &m, &e), &e);
	assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 0);
	match_free(m);
	eval_done(&ev);
}

static void knows_when_it_accepts_everything(void **state)
{
	(void)state;
	struct match *m;
	assert_int_equal(compile_json("{'$comment': 'x', '$alwaysTrue': 1}", &m, NULL), 0);
	match_free(m);
	assert_int_equal(compile_json("{}", &m, NULL), 0);
	assert_true(match_is_all(m));
	match_free(m);
	assert_int_equal(compile_json("{'a': 1}", &m, NULL), 0);
	assert_false(match_is_all(m));
	match_free(m);
}

static void explains_itself(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT;
	struct match *m;
	assert_int_equal(
		compile_json(
			"{'a.b': {'$gte': 4.5, '$ne': null}, 'c': {'$in': [1, null, 'x', 2, 3]},"
			" '$nor': [{'d': {'$elemMatch': {'$lt': 3}}}, {'e': {'$type': 'number'}}]}",
			&m, NULL),
		0);
	match_explain(m, &text);
	assert_string_equal(buf_cstr(&text), "all of\n"
					     "  a.b >= 4.5\n"
					     "  not a.b = null\n"
					     "  c in [null, 1, 2, ... 5 values]\n"
					     "  not any of\n"
					     "    e of type double or int or long or decimal\n"
					     "    d has an element with\n"
					     "      value < 3\n");
	match_free(m);
}

static int check_listed(void *arg, const char *name, const char *group, const char *help)
{
	assert_true(name[0] == '$' && group[0] && help[0]);
	++*(int *)arg;
	return strcmp(name, "$size") == 0 ? 7 : 0;
}

static void lists_its_operators_until_told_to_stop(void **state)
{
	(void)state;
	int n = 0;
	assert_int_equal(match_operators(check_listed, &n), 7);
	assert_true(n > 20);
}

/* ---- memory ---- */

static const char *const busy_filter =
	"{'_id': {'$gt': 3}, 'a.b': {'$in': [1, 2, 3, 4, 5, 6, 7, 'x']}, 's': {'$regex': '(b+)c$'},"
	" 'l': {'$elemMatch': {'k': {'$gte': 2}, 'm': null}}, 'n': {'$all': [1, 2]},"
	" '$or': [{'x': 1}, {'y': {'$type': 'string'}}], 'z': {'$not': {'$size': 2}}}";
static const char *const busy_doc =
	"{'_id': 4, 'a': [{'b': 9}, {'b': 'x'}], 's': 'aabbc', 'l': [{'k': 1}, {'k': 2}],"
	" 'n': [3, 2, 1], 'y': 'q', 'z': [1]}";

static void a_warm_match_allocates_nothing(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	struct err e = ERR_INIT;
	doc_of(busy_filter, &spec);
	doc_of(busy_doc, &doc);
	scarce_begin();
	struct match *m;
	struct eval ev;
	eval_init(&ev);
	assert_ok(match_compile(buf_slice(&spec), NULL, &m, &e), &e);
	eval_reset(&ev);
	assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 1);
	long before = scarce_calls();
	assert_true(before > 0);
	for (int i = 0; i < 1000; i++) {
		eval_reset(&ev);
		assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 1);
	}
	assert_int_equal(scarce_calls(), before);
	eval_done(&ev);
	match_free(m);
	scarce_end();
}

static void every_failed_allocation_is_an_error(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	doc_of(busy_filter, &spec);
	doc_of(busy_doc, &doc);
	long k = 1;
	scarce_begin();
	for (;; k++) {
		struct err e = ERR_INIT;
		struct match *m = NULL;
		struct eval ev;
		scarce_fail(k, false);
		eval_init(&ev);
		int rc = match_compile(buf_slice(&spec), NULL, &m, &e);
		if (rc == 0)
			rc = match_doc(m, &ev, buf_slice(&doc), &e);
		match_free(m);
		eval_done(&ev);
		if (scarce_calls() < k) {
			assert_int_equal(rc, 1);
			break;
		}
		assert_int_equal(rc, ERR_NOMEM);
	}
	scarce_end();
	assert_true(k > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparisons_stay_within_a_type),
		cmocka_unit_test(paths_enter_arrays_one_level_and_by_index),
		cmocka_unit_test(null_means_null_or_missing),
		cmocka_unit_test(negation_turns_the_whole_predicate_round),
		cmocka_unit_test(element_operators_look_at_presence_and_type),
		cmocka_unit_test(array_operators),
		cmocka_unit_test(arithmetic_and_bit_operators),
		cmocka_unit_test(regular_expressions),
		cmocka_unit_test(expressions_and_schemas),
		cmocka_unit_test(errors_name_the_place_and_the_cure),
		cmocka_unit_test(nesting_ends_in_a_limit),
		cmocka_unit_test(too_many_fields_end_in_a_limit),
		cmocka_unit_test(a_catastrophic_pattern_ends_in_a_limit),
		cmocka_unit_test(a_path_that_branches_at_every_level_ends_in_a_limit),
		cmocka_unit_test(many_terms_over_many_elements_end_in_a_limit),
		cmocka_unit_test(virtual_roots_match_like_documents),
		cmocka_unit_test(a_single_value_matches_like_a_field),
		cmocka_unit_test(filters_on_very_many_fields_work),
		cmocka_unit_test(the_first_of_two_fields_with_one_name_wins),
		cmocka_unit_test(knows_when_it_accepts_everything),
		cmocka_unit_test(explains_itself),
		cmocka_unit_test(lists_its_operators_until_told_to_stop),
		cmocka_unit_test(a_warm_match_allocates_nothing),
		cmocka_unit_test(every_failed_allocation_is_an_error),
	};
	return cmocka_run_group_tests_name("doc/match", tests, NULL, NULL);
}
