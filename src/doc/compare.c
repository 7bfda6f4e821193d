/* compare.c: the total order of BSON values, equality that goes with it, and hashes that go with
 * that.
 *
 * First the canonical type decides (value_rank), then the value. Numbers form one type and compare
 * exactly: an int64 is never rounded to a double to meet one.
 */
#include "doc/compare.h"

#include "doc/decimal.h"

#include <math.h>

#define SIGN(a, b) ((a) < (b) ? -1 : (a) > (b))

int value_rank(uint8_t type)
{
	switch ((enum bson_type)type) {
	case BSON_MINKEY: return -1;
	case BSON_UNDEFINED:
	case BSON_MISSING: return 0;
	case BSON_NULL: return 5;
	case BSON_DOUBLE:
	case BSON_INT32:
	case BSON_INT64:
	case BSON_DECIMAL128: return 10;
	case BSON_STRING:
	case BSON_SYMBOL: return 15;
	case BSON_DOCUMENT: return 20;
	case BSON_ARRAY: return 25;
	case BSON_BINARY: return 30;
	case BSON_OID: return 35;
	case BSON_BOOL: return 40;
	case BSON_DATE: return 45;
	case BSON_TIMESTAMP: return 47;
	case BSON_REGEX: return 50;
	case BSON_DBPOINTER: return 55;
	case BSON_CODE: return 60;
	case BSON_CODE_W_SCOPE: return 65;
	case BSON_MAXKEY: return 127;
	}
	return 127;
}

static int compare_doubles(double a, double b)
{
	if (a < b)
		return -1;
	if (a > b)
		return 1;
	if (a == b)
		return 0;
	return (int)isnan(b) - (int)isnan(a);
}

/* Exact: the double is cut to an integer, and what was cut off decides a tie. */
static int compare_int_double(int64_t a, double b)
{
	if (isnan(b))
		return 1;
	if (b >= 0x1p63)
		return -1;
	if (b < -0x1p63)
		return 1;
	int64_t whole = (int64_t)b;
	if (a != whole)
		return a < whole ? -1 : 1;
	double rest = b - (double)whole;
	return SIGN(0.0, rest);
}

static int compare_numbers(struct value a, struct value b)
{
	bool int_a = a.type == BSON_INT32 || a.type == BSON_INT64;
	bool int_b = b.type == BSON_INT32 || b.type == BSON_INT64;
	if (int_a && int_b)
		return SIGN(a.i64, b.i64);
	if (a.type == BSON_DOUBLE && b.type == BSON_DOUBLE)
		return compare_doubles(a.f64, b.f64);
	if (int_a && b.type == BSON_DOUBLE)
		return compare_int_double(a.i64, b.f64);
	if (a.type == BSON_DOUBLE && int_b)
		return -compare_int_double(b.i64, a.f64);
	if (a.type == BSON_DOUBLE)
		return -dec_compare_double(b.dec, a.f64);
	if (b.type == BSON_DOUBLE)
		return dec_compare_double(a.dec, b.f64);
	return dec_compare(int_a ? dec_from_int64(a.i64) : a.dec,
			   int_b ? dec_from_int64(b.i64) : b.dec);
}

static int compare_docs(struct slice a, struct slice b, bool names)
{
	struct bson_iter x, y;
	bson_iter_init(&x, a);
	bson_iter_init(&y, b);
	for (;;) {
		bool more_x = bson_next(&x), more_y = bson_next(&y);
		if (!more_x || !more_y)
			return (int)more_x - (int)more_y;
		if (names) {
			int rx = value_rank(x.value.type), ry = value_rank(y.value.type);
			if (rx != ry)
				return SIGN(rx, ry);
			int c = slice_cmp(x.key, y.key);
			if (c)
				return c;
		}
		int c = value_compare(x.value, y.value);
		if (c)
			return c;
	}
}

static int compare_binaries(struct value a, struct value b)
{
	if (a.len != b.len)
		return SIGN(a.len, b.len);
	if (a.subtype != b.subtype)
		return SIGN(a.subtype, b.subtype);
	return slice_cmp(value_slice(a), value_slice(b));
}

static int compare_regexes(struct value a, struct value b)
{
	int c = slice_cmp(value_regex_pattern(a), value_regex_pattern(b));
	return c ? c : slice_cmp(value_regex_options(a), value_regex_options(b));
}

/* Raw bytes: int32 length, namespace NUL, 12 bytes. */
static int compare_dbpointers(struct value a, struct value b)
{
	uint32_t na = get_le32(a.p), nb = get_le32(b.p);
	if (na != nb)
		return SIGN(na, nb);
	return memcmp(a.p + 4, b.p + 4, na + 12);
}

/* Raw bytes: int32 total, int32 length, text NUL, document. */
static int compare_scoped_code(struct value a, struct value b)
{
	uint32_t na = get_le32(a.p + 4), nb = get_le32(b.p + 4);
	int c = slice_cmp(slice_of(a.p + 8, na - 1), slice_of(b.p + 8, nb - 1));
	if (c)
		return c;
	return compare_docs(slice_of(a.p + 8 + na, a.len - 8 - na),
			    slice_of(b.p + 8 + nb, b.len - 8 - nb), true);
}

int value_compare(struct value a, struct value b)
{
	if (a.type != b.type) {
		int ra = value_rank(a.type), rb = value_rank(b.type);
		if (ra != rb)
			return SIGN(ra, rb);
	}
	switch ((enum bson_type)a.type) {
	case BSON_MINKEY:
	case BSON_MAXKEY:
	case BSON_UNDEFINED:
	case BSON_MISSING:
	case BSON_NULL: return 0;
	case BSON_DOUBLE:
	case BSON_INT32:
	case BSON_INT64:
	case BSON_DECIMAL128: return compare_numbers(a, b);
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE: return slice_cmp(value_slice(a), value_slice(b));
	case BSON_DOCUMENT: return compare_docs(value_slice(a), value_slice(b), true);
	case BSON_ARRAY: return compare_docs(value_slice(a), value_slice(b), false);
	case BSON_BINARY: return compare_binaries(a, b);
	case BSON_OID: return memcmp(a.p, b.p, 12);
	case BSON_BOOL:
	case BSON_DATE: return SIGN(a.i64, b.i64);
	case BSON_TIMESTAMP: return SIGN((uint64_t)a.i64, (uint64_t)b.i64);
	case BSON_REGEX: return compare_regexes(a, b);
	case BSON_DBPOINTER: return compare_dbpointers(a, b);
	case BSON_CODE_W_SCOPE: return compare_scoped_code(a, b);
	}
	return 0;
}

bool value_identical(struct value a, struct value b)
{
	if (a.type != b.type)
		return false;
	switch ((enum bson_type)a.type) {
	case BSON_MINKEY:
	case BSON_MAXKEY:
	case BSON_UNDEFINED:
	case BSON_MISSING:
	case BSON_NULL: return true;
	case BSON_INT32:
	case BSON_INT64:
	case BSON_BOOL:
	case BSON_DATE:
	case BSON_TIMESTAMP:
	case BSON_DOUBLE: return a.i64 == b.i64;
	case BSON_DECIMAL128: return a.dec.lo == b.dec.lo && a.dec.hi == b.dec.hi;
	case BSON_BINARY: return a.subtype == b.subtype && slice_eq(value_slice(a), value_slice(b));
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE:
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: return slice_eq(value_slice(a), value_slice(b));
	}
	return false;
}

/* ---- hashing ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
	unsigned __int128 m = (unsigned __int128)(h ^ x ^ UINT64_C(0x9e3779b97f4a7c15)) *
			      UINT64_C(0xd6e8feb86659fd93);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t mix_bytes(uint64_t h, struct slice s)
{
	h = mix(h, s.len);
	const uint8_t *p = s.p;
	size_t n = s.len;
	for (; n >= 8; p += 8, n -= 8)
		h = mix(h, get_le64(p));
	uint64_t tail = 0;
	if (n)
		memcpy(&tail, p, n);
	return mix(h, tail);
}

/* A number hashes as an int64 where it is one, else as the double that it equals, else (a decimal
 * between the doubles) as its own digits without trailing zeros. */
static uint64_t hash_double(double d, uint64_t seed)
{
	if (d >= -0x1p63 && d < 0x1p63 && d == floor(d))
		return mix(seed, (uint64_t)(int64_t)d);
	if (isnan(d))
		return mix(seed, UINT64_C(0x7ff8000000000000));
	uint64_t bits;
	memcpy(&bits, &d, 8);
	return mix(mix(seed, 1), bits);
}

static uint64_t hash_decimal(struct dec128 d, uint64_t seed)
{
	int64_t whole;
	if (dec_to_int64(d, &whole) && dec_compare(d, dec_from_int64(whole)) == 0)
		return mix(seed, (uint64_t)whole);
	double nearest = dec_to_double(d);
	if (dec_compare_double(d, nearest) == 0)
		return hash_double(nearest, seed);
	d = dec_reduce(d);
	return mix(mix(mix(seed, 2), d.lo), d.hi);
}

static uint64_t hash_doc(struct slice doc, bool names, uint64_t seed)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		if (names)
			seed = mix_bytes(seed, it.key);
		seed = value_hash(it.value, seed);
	}
	return mix(seed, 3);
}

uint64_t value_hash(struct value v, uint64_t seed)
{
	seed = mix(seed, (uint64_t)value_rank(v.type));
	switch ((enum bson_type)v.type) {
	case BSON_MINKEY:
	case BSON_MAXKEY:
	case BSON_UNDEFINED:
	case BSON_MISSING:
	case BSON_NULL: return seed;
	case BSON_INT32:
	case BSON_INT64:
	case BSON_BOOL:
	case BSON_DATE:
	case BSON_TIMESTAMP: return mix(seed, (uint64_t)v.i64);
	case BSON_DOUBLE: return hash_double(v.f64, seed);
	case BSON_DECIMAL128: return hash_decimal(v.dec, seed);
	case BSON_DOCUMENT: return hash_doc(value_slice(v), true, seed);
	case BSON_ARRAY: return hash_doc(value_slice(v), false, seed);
	case BSON_CODE_W_SCOPE:
		/* The scope compares field by field, so only the text is hashed. */
		return mix_bytes(seed, slice_of(v.p + 8, get_le32(v.p + 4) - 1));
	case BSON_BINARY: return mix_bytes(mix(seed, v.subtype), value_slice(v));
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER: return mix_bytes(seed, value_slice(v));
	}
	return seed;
}
