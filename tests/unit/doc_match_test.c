/* The query language, operator by operator. How filters are used: doc_match_use; what is refused, limits and memory:
 * doc_match_limits. */
#include "tests/doc_match.h"

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
	};
	return cmocka_run_group_tests_name("doc/match", tests, NULL, NULL);
}
