/* The operators of expressions: what the conformance data leave out. */
#include "tests/doc_expr.h"

#include <stdio.h>

static void numbers_widen_as_they_must(void **state)
{
	static const struct row rows[] = {
		{ "{\"$add\":[2147483647,1]}", "{}", "2147483648l" },
		{ "{\"$add\":[{\"$numberLong\":\"9223372036854775807\"},1]}", "{}",
		  "9.223372036854776E+18d" },
		{ "{\"$multiply\":[65536,65536]}", "{}", "4294967296l" },
		{ "{\"$add\":[0.1,0.2,-0.3]}", "{}", "2.7755575615628914E-17d" },
		{ "{\"$add\":[1e100,1,-1e100]}", "{}", "1.0d" },
		{ "{\"$subtract\":[{\"$numberInt\":\"-2147483648\"},1]}", "{}", "-2147483649l" },
		{ "{\"$divide\":[6,3]}", "{}", "2.0d" },
		{ "{\"$mod\":[-7,3]}", "{}", "-1i" },
		{ "{\"$mod\":[{\"$numberLong\":\"-9223372036854775808\"},-1]}", "{}", "0l" },
		{ "{\"$round\":[2.5]}", "{}", "2.0d" },
		{ "{\"$round\":[1250,-2]}", "{}", "1200i" },
		{ "{\"$round\":[2147483647,-1]}", "{}", "2147483650l" },
		{ "{\"$trunc\":[-1250,-2]}", "{}", "-1200i" },
		{ "{\"$bitAnd\":[12,10]}", "{}", "8i" },
		{ "{\"$bitOr\":[12,{\"$numberLong\":\"3\"}]}", "{}", "15l" },
		{ "{\"$bitXor\":[12,10]}", "{}", "6i" },
		{ "{\"$bitNot\":5}", "{}", "-6i" },
		{ "{\"$bitAnd\":[]}", "{}", "-1i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$add\":[1,\"x\"]}", "{}", 14 },
		{ "{\"$bitAnd\":[1.5]}", "{}", 14 },
		{ "{\"$abs\":{\"$numberLong\":\"-9223372036854775808\"}}", "{}", 28680 },
		{ "{\"$round\":[1,101]}", "{}", 51083 },
		{ "{\"$round\":[{\"$numberLong\":\"9223372036854775807\"},-1]}", "{}", 51080 },
		{ "{\"$mod\":[1,0]}", "{}", 16610 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void arrays_are_mapped_folded_zipped_and_sorted(void **state)
{
	static const struct row rows[] = {
		{ "{\"$map\":{\"input\":\"$a\",\"as\":\"x\",\"in\":{\"$multiply\":[\"$$x\",2]}}}",
		  "{\"a\":[1,2]}", "[2i,4i]" },
		{ "{\"$map\":{\"input\":\"$a\",\"in\":\"$$this.b\"}}", "{\"a\":[{\"b\":1},{}]}",
		  "[1i,null]" },
		{ "{\"$map\":{\"input\":null,\"in\":1}}", "{}", "null" },
		{ "{\"$map\":{\"input\":[7,8],\"arrayIndexAs\":\"i\",\"in\":[\"$$i\",\"$$this\"]}}",
		  "{}", "[[0i,7i],[1i,8i]]" },
		{ "{\"$filter\":{\"input\":[7,8,9],\"as\":\"x\",\"arrayIndexAs\":\"i\",\"cond\":"
		  "{\"$ne\":[\"$$i\",1]}}}",
		  "{}", "[7i,9i]" },
		{ "{\"$reduce\":{\"input\":[5,5,5],\"initialValue\":0,\"arrayIndexAs\":\"i\","
		  "\"in\":{\"$add\":[\"$$value\",\"$$i\"]}}}",
		  "{}", "3i" },
		{ "{\"$zip\":{\"inputs\":[[1,2],[\"a\"]]}}", "{}", "[[1i,\"a\"]]" },
		{ "{\"$zip\":{\"inputs\":[[1,2],[\"a\"]],\"useLongestLength\":true,\"defaults\":[0,"
		  "\"z\"]}}",
		  "{}", "[[1i,\"a\"],[2i,\"z\"]]" },
		{ "{\"$zip\":{\"inputs\":[[1],null]}}", "{}", "null" },
		{ "{\"$isArray\":[[1]]}", "{}", "true" },
		{ "{\"$isArray\":1}", "{}", "false" },
		{ "{\"$sortArray\":{\"input\":[{\"a\":2,\"b\":1},{\"a\":1,\"b\":1},{\"a\":1,\"b\":"
		  "2}],"
		  "\"sortBy\":{\"a\":1,\"b\":-1}}}",
		  "{}", "[{\"a\":1i,\"b\":2i},{\"a\":1i,\"b\":1i},{\"a\":2i,\"b\":1i}]" },
		{ "{\"$sortArray\":{\"input\":[3,\"x\",null,1],\"sortBy\":-1}}", "{}",
		  "[\"x\",3i,1i,null]" },
		{ "{\"$range\":[0,11,1]}", "{}", "[0i,1i,2i,3i,4i,5i,6i,7i,8i,9i,10i]" },
		{ "{\"$slice\":[[1,2,3],-2]}", "{}", "[2i,3i]" },
		{ "{\"$arrayToObject\":[[[\"a\",1],[\"b\",2],[\"a\",3]]]}", "{}",
		  "{\"a\":3i,\"b\":2i}" },
		{ "{\"$type\":\"$x\"}", "{}", "\"missing\"" },
		{ "{\"$type\":[[1]]}", "{}", "\"array\"" },
	};
	static const struct error_row errors[] = {
		{ "{\"$map\":{\"input\":1,\"in\":1}}", "{}", 16883 },
		{ "{\"$map\":{\"input\":[],\"in\":1,\"x\":2}}", "{}", 16879 },
		{ "{\"$map\":{\"in\":1}}", "{}", 16880 },
		{ "{\"$map\":{\"input\":\"$$i\",\"arrayIndexAs\":\"i\",\"in\":1}}", "{}", 17276 },
		{ "{\"$map\":{\"input\":[],\"arrayIndexAs\":1,\"in\":1}}", "{}", 9 },
		{ "{\"$map\":{\"input\":[],\"arrayIndexAs\":\"I\",\"in\":1}}", "{}", 9 },
		{ "{\"$reduce\":{\"input\":1,\"initialValue\":0,\"in\":1}}", "{}", 40080 },
		{ "{\"$reduce\":{\"initialValue\":0,\"in\":1}}", "{}", 40077 },
		{ "{\"$zip\":{\"inputs\":[]}}", "{}", 34465 },
		{ "{\"$zip\":{\"inputs\":[[1]],\"defaults\":[1]}}", "{}", 34466 },
		{ "{\"$sortArray\":{\"input\":[]}}", "{}", 2942503 },
		{ "{\"$size\":\"$a\"}", "{}", 17124 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void medians_and_percentiles_are_exact(void **state)
{
	static const struct row rows[] = {
		{ "{\"$median\":{\"input\":\"$a\",\"method\":\"approximate\"}}",
		  "{\"a\":[3,1,\"x\",2]}", "2.0d" },
		{ "{\"$median\":{\"input\":[],\"method\":\"approximate\"}}", "{}", "null" },
		{ "{\"$percentile\":{\"input\":[1,2,3,4],\"p\":[0,0.5,1],\"method\":"
		  "\"approximate\"}}",
		  "{}", "[1.0d,2.0d,4.0d]" },
		{ "{\"$percentile\":{\"input\":[1,2,3,4],\"p\":[0.5],\"method\":\"continuous\"}}",
		  "{}", "[2.5d]" },
		{ "{\"$stdDevPop\":[2,4,4,4,5,5,7,9]}", "{}", "2.0d" },
		{ "{\"$stdDevSamp\":[1]}", "{}", "null" },
	};
	static const struct error_row errors[] = {
		{ "{\"$median\":{\"input\":[],\"method\":\"best\"}}", "{}", 2 },
		{ "{\"$percentile\":{\"input\":[1],\"p\":[2],\"method\":\"approximate\"}}", "{}",
		  7750303 },
		{ "{\"$percentile\":{\"input\":[1],\"p\":[],\"method\":\"approximate\"}}", "{}",
		  7750301 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

#define CONVERT(input, to, more) "{\"$convert\":{\"input\":" input ",\"to\":\"" to "\"" more "}}"
#define BINARY(base64)           "{\"$binary\":{\"base64\":\"" base64 "\",\"subType\":\"00\"}}"

static void whole_numbers_have_a_base_and_numbers_an_order_of_bytes(void **state)
{
	static const struct row rows[] = {
		{ CONVERT("\"fF\"", "int", ",\"base\":16"), "{}", "255i" },
		{ CONVERT("\"-101\"", "long", ",\"base\":2"), "{}", "-5l" },
		{ CONVERT("\"17\"", "double", ",\"base\":8"), "{}", "15.0d" },
		{ CONVERT("-255", "string", ",\"base\":16"), "{}", "\"-FF\"" },
		{ CONVERT("{\"$numberLong\":\"-9223372036854775808\"}", "string", ",\"base\":16"),
		  "{}", "\"-8000000000000000\"" },
		{ CONVERT("\"12\"", "int", ",\"base\":null"), "{}", "12i" },
		{ CONVERT(BINARY("BQAAAA=="), "int", ""), "{}", "5i" },
		{ CONVERT(BINARY("BQAAAA=="), "int", ",\"byteOrder\":\"big\""), "{}", "83886080i" },
		{ CONVERT(BINARY("/w=="), "int", ""), "{}", "-1i" },
		{ CONVERT(BINARY("/v///////38="), "long", ""), "{}", "9223372036854775806l" },
		{ CONVERT(BINARY("P/gAAAAAAAA="), "double", ",\"byteOrder\":\"big\""), "{}",
		  "1.5d" },
		{ CONVERT(BINARY("AADAPw=="), "double", ""), "{}", "1.5d" },
		{ "{\"$toString\":" BINARY("aGk=") "}", "{}", "\"aGk=\"" },
	};
	static const struct error_row errors[] = {
		{ CONVERT("\"12\"", "int", ",\"base\":2"), "{}", 241 },
		{ CONVERT("\"12\"", "int", ",\"base\":7"), "{}", 9 },
		{ CONVERT("1.5", "string", ",\"base\":2"), "{}", 241 },
		{ CONVERT("1", "binData", ",\"byteOrder\":\"middle\""), "{}", 9 },
		{ CONVERT(BINARY("BQAA"), "int", ""), "{}", 241 },
		{ CONVERT("1", "binData", ",\"format\":\"base64\""), "{}", 241 },
		{ CONVERT(BINARY("BQAAAAAAAAA="), "int", ""), "{}", 241 },
		{ CONVERT(BINARY("BQ=="), "double", ""), "{}", 241 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
	static const char *const back[] = { "7", "-1", "{\"$numberLong\":\"-2\"}", "0.1" };
	static const char *const type[] = { "int", "int", "long", "double" };
	for (size_t i = 0; i < ARRAY_LEN(back); i++) {
		char spec[400];
		snprintf(
			spec, sizeof(spec),
			"{\"$eq\":[%s,{\"$convert\":{\"to\":\"%s\",\"byteOrder\":\"big\",\"input\":"
			"{\"$convert\":{\"input\":%s,\"to\":\"binData\",\"byteOrder\":\"big\"}}}}]"
			"}",
			back[i], type[i], back[i]);
		check_rows(&(struct row){ spec, "{}", "true" }, 1);
	}
}

static void texts_convert_strictly(void **state)
{
	static const struct row rows[] = {
		{ "{\"$toInt\":\"-5\"}", "{}", "-5i" },
		{ "{\"$toLong\":2.9}", "{}", "2l" },
		{ "{\"$toDouble\":\"1e3\"}", "{}", "1000.0d" },
		{ "{\"$toBool\":\"\"}", "{}", "true" },
		{ "{\"$toString\":1.5}", "{}", "\"1.5\"" },
		{ "{\"$toString\":0.1}", "{}", "\"0.1\"" },
		{ "{\"$toString\":{\"$numberDouble\":\"-0.0\"}}", "{}", "\"-0\"" },
		{ "{\"$toString\":1e100}", "{}", "\"1e+100\"" },
		{ "{\"$toString\":-1.25e-7}", "{}", "\"-1.25e-07\"" },
		{ "{\"$toString\":123456789012.5}", "{}", "\"123456789012.5\"" },
		{ "{\"$toString\":0.0001}", "{}", "\"0.0001\"" },
		{ "{\"$toString\":{\"$numberDouble\":\"120\"}}", "{}", "\"120\"" },
		{ "{\"$toString\":{\"$numberDouble\":\"3.0\"}}", "{}", "\"3\"" },
		{ "{\"$toString\":{\"$date\":\"2020-01-02T03:04:05.006Z\"}}", "{}",
		  "\"2020-01-02T03:04:05.006Z\"" },
		{ "{\"$convert\":{\"input\":\"x\",\"to\":\"int\",\"onError\":\"bad\"}}", "{}",
		  "\"bad\"" },
		{ "{\"$convert\":{\"input\":\"$a\",\"to\":\"int\",\"onNull\":0}}", "{}", "0i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$toInt\":\"5.5\"}", "{}", 241 },
		{ "{\"$toInt\":2147483648}", "{}", 241 },
		{ "{\"$toString\":[[1]]}", "{}", 241 },
		{ "{\"$convert\":{\"input\":1,\"to\":\"unknown\",\"onError\":1}}", "{}", 2 },
		{ "{\"$toDate\":\"yesterday\"}", "{}", 241 },
		{ "{\"$toDate\":\"2018-02-30\"}", "{}", 241 },
		{ "{\"$dateDiff\":{\"startDate\":{\"$date\":{\"$numberLong\":\"-2\"}},\"endDate\":"
		  "{\"$date\":{\"$numberLong\":\"9223372036854775807\"}},\"unit\":\"millisecond\"}"
		  "}",
		  "{}", 5166308 },
		{ "{\"$toDate\":\"2019-02-29\"}", "{}", 241 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void digests_are_the_published_ones(void **state)
{
	static const struct row rows[] = {
		{ "{\"$hexHash\":{\"input\":\"\",\"algorithm\":\"md5\"}}", "{}",
		  "\"D41D8CD98F00B204E9800998ECF8427E\"" },
		{ "{\"$hexHash\":{\"input\":\"abc\",\"algorithm\":\"md5\"}}", "{}",
		  "\"900150983CD24FB0D6963F7D28E17F72\"" },
		{ "{\"$hexHash\":{\"input\":"
		  "\"123456789012345678901234567890123456789012345678901234567890123456789012345678"
		  "90\","
		  "\"algorithm\":\"md5\"}}",
		  "{}", "\"57EDF4A22BE3C955AC49DA2E2107B67A\"" },
		{ "{\"$hexHash\":{\"input\":\"report.pdf\",\"algorithm\":\"sha256\"}}", "{}",
		  "\"6466E450A16B77B865C5829D6B6C56D9F892956475642DBEB9CCC4340FE01B15\"" },
		{ "{\"$hexHash\":{\"input\":"
		  "\"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq\",\"algorithm\":"
		  "\"sha256\"}}",
		  "{}", "\"248D6A61D20638B8E5C026930C3E6039A33CE45964FF2167F6ECEDD419DB06C1\"" },
		{ "{\"$hexHash\":{\"input\":\"\",\"algorithm\":\"xxh64\"}}", "{}",
		  "\"EF46DB3751D8E999\"" },
		{ "{\"$hexHash\":{\"input\":\"abc\",\"algorithm\":\"xxh64\"}}", "{}",
		  "\"44BC2CF5AD770999\"" },
		{ "{\"$hexHash\":{\"input\":\"Nobody inspects the spammish "
		  "repetition\",\"algorithm\":\"xxh64\"}}",
		  "{}", "\"FBCEA83C8A378BF1\"" },
		{ "{\"$hexHash\":{\"input\":\"$none\",\"algorithm\":\"md5\"}}", "{}", "null" },
		{ "{\"$hash\":{\"input\":\"report.pdf\",\"algorithm\":\"sha256\"}}", "{}",
		  "{\"$binary\":{\"base64\":\"ZGbkUKFrd7hlxYKda2xW2fiSlWR1ZC2+uczENA/"
		  "gGxU=\",\"subType\":\"00\"}}" },
		{ "{\"$toHashedIndexKey\":null}", "{}", "2338878944348059895l" },
		{ "{\"$eq\":[{\"$toHashedIndexKey\":{\"$literal\":{\"a\":1}}},"
		  "{\"$toHashedIndexKey\":{\"$literal\":{\"a\":1.5}}}]}",
		  "{}", "true" },
		{ "{\"$subtype\":{\"$binary\":{\"base64\":\"AQ==\",\"subType\":\"05\"}}}", "{}",
		  "5i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$hash\":{\"input\":1,\"algorithm\":\"md5\"}}", "{}", 2 },
		{ "{\"$hash\":{\"input\":\"x\",\"algorithm\":\"sha1\"}}", "{}", 2 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void extended_json_goes_into_values_and_out(void **state)
{
	static const struct row rows[] = {
		{ "{\"$toObject\":\"{\\\"a\\\":[1,true]}\"}", "{}", "{\"a\":[1i,true]}" },
		{ "{\"$toArray\":\"[1,2]\"}", "{}", "[1i,2i]" },
		{ "{\"$toArray\":\"$a\"}", "{\"a\":[1]}", "[1i]" },
		{ "{\"$toObject\":null}", "{}", "null" },
		/* wrappers are objects of their own: seen by their keys */
		{ "{\"$map\":{\"input\":{\"$objectToArray\":{\"$serializeEJSON\":{\"input\":\"$a\"}"
		  "}},\"in\":\"$$this.k\"}}",
		  "{\"a\":5}", "[\"$numberInt\"]" },
		{ "{\"$let\":{\"vars\":{\"x\":{\"$serializeEJSON\":{\"input\":\"$a\",\"relaxed\":"
		  "true}}},\"in\":\"$$x.b\"}}",
		  "{\"a\":{\"b\":[1,{\"c,\\\"\":\"x:{\\\"\"}]}}", "[1i,{\"c,\\\"\":\"x:{\\\"\"}]" },
		{ "{\"$deserializeEJSON\":{\"input\":{\"$serializeEJSON\":{\"input\":\"$$ROOT\"}}}"
		  "}",
		  "{\"a\":1,\"b\":{\"$date\":{\"$numberLong\":\"5\"}},\"c\":[null,{\"$oid\":"
		  "\"639926cee6bda3127f153bf1\"}]}",
		  "{\"a\":1i,\"b\":{\"$date\":{\"$numberLong\":\"5\"}},\"c\":[null,{\"$oid\":"
		  "\"639926cee6bda3127f153bf1\"}]}" },
		{ "{\"$deserializeEJSON\":{\"input\":{\"$setField\":{\"field\":{\"$literal\":\"$"
		  "numberInt\"},\"input\":{},"
		  "\"value\":\"x\"}},\"onError\":\"bad\"}}",
		  "{}", "\"bad\"" },
	};
	static const struct error_row errors[] = {
		{ "{\"$toObject\":\"[1]\"}", "{}", 241 },
		{ "{\"$toArray\":\"[1\"}", "{}", 241 },
		{ "{\"$toArray\":1}", "{}", 241 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_widen_as_they_must),
		cmocka_unit_test(arrays_are_mapped_folded_zipped_and_sorted),
		cmocka_unit_test(medians_and_percentiles_are_exact),
		cmocka_unit_test(whole_numbers_have_a_base_and_numbers_an_order_of_bytes),
		cmocka_unit_test(texts_convert_strictly),
		cmocka_unit_test(digests_are_the_published_ones),
		cmocka_unit_test(extended_json_goes_into_values_and_out),
	};
	return cmocka_run_group_tests_name("doc/expr_operators", tests, NULL, NULL);
}
