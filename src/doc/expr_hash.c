/* expr_hash.c: hashes of strings, binData and whole values.
 *
 * $toHashedIndexKey is the key of a hashed index: MD5 over a seed of 0 and a canonical form of the value, cut to 64 bits.
 *
 *	type rank i32 | field name (inside objects) | numbers as i64; objects and arrays member by member, with an end of
 *	rank 0; everything else as BSON stores it
 */
#include "doc/expr_node.h"

#include "doc/digest.h"

#define GROUP "hash"

/* ---- $hash, $hexHash: arg[0] input, arg[1] algorithm ---- */

static int digest_of(const struct node *x, struct value v, struct value algorithm,
		     uint8_t out[DIGEST_MAX], size_t *len, struct err *e)
{
	struct slice s = value_slice(v), name = value_slice(algorithm);
	if (v.type != BSON_STRING && v.type != BSON_BINARY)
		return err_number(e, ERR_TYPE, 2, "%s takes a string or binData, not %s",
				  x->op->name, value_type_name(v));
	if (algorithm.type == BSON_STRING && slice_is(name, "md5")) {
		digest_md5(s, out);
		*len = 16;
	} else if (algorithm.type == BSON_STRING && slice_is(name, "sha256")) {
		digest_sha256(s, out);
		*len = 32;
	} else if (algorithm.type == BSON_STRING && slice_is(name, "xxh64")) {
		put_be64(out, digest_xxh64(s));
		*len = 8;
	} else
		return err_number(e, ERR_INVALID, 2,
				  "%s: 'algorithm' is one of \"md5\", \"sha256\", \"xxh64\"",
				  x->op->name);
	return 0;
}

enum { BYTES, HEX };

static int op_hash(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	uint8_t digest[DIGEST_MAX];
	size_t len = 0;
	if (value_nullish(v[0])) {
		*out = VALUE_NULL;
		return 0;
	}
	int rc = digest_of(x, v[0], v[1], digest, &len, e);
	if (rc < 0)
		return rc;
	uint8_t *p = env_alloc(env, 2 * len + 1);
	if (!p)
		return env_nomem(env, e);
	if (x->op->arg == BYTES) {
		memcpy(p, digest, len);
		*out = (struct value){ .type = BSON_BINARY, .len = (uint32_t)len, .p = p };
		return 0;
	}
	for (size_t i = 0; i < len; i++) {
		p[2 * i] = (uint8_t) "0123456789ABCDEF"[digest[i] >> 4];
		p[2 * i + 1] = (uint8_t) "0123456789ABCDEF"[digest[i] & 15];
	}
	*out = value_string(slice_of(p, 2 * len));
	return 0;
}

static const struct expr_param params[] = { { "input", 40414 },
					    { "algorithm", 40414 },
					    { NULL, 0 } };

/* ---- $toHashedIndexKey ---- */

static int64_t number_for_hash(struct value v)
{
	int64_t i = 0;
	if (v.type == BSON_DECIMAL128)
		return dec_to_int64(v.dec, &i)  ? i
		       : dec_is_nan(v.dec)      ? 0
		       : dec_is_negative(v.dec) ? INT64_MIN
						: INT64_MAX;
	if (v.type == BSON_DOUBLE)
		return v.f64 != v.f64     ? 0
		       : v.f64 >= 0x1p63  ? INT64_MAX
		       : v.f64 <= -0x1p63 ? INT64_MIN
					  : (int64_t)v.f64;
	return v.i64;
}

static void hash_rank(struct buf *out, uint8_t type)
{
	uint8_t rank[4];
	put_le32(rank, (uint32_t)value_rank(type));
	buf_add(out, rank, 4);
}

/* raw: the element's bytes behind its type and name. */
static void hash_value(struct buf *out, struct value v, struct slice raw)
{
	struct bson_iter it;
	if (value_is_number(v)) {
		uint8_t number[8];
		put_le64(number, (uint64_t)number_for_hash(v));
		buf_add(out, number, 8);
	} else if (v.type != BSON_DOCUMENT && v.type != BSON_ARRAY)
		buf_add_slice(out, raw);
	else {
		bson_iter_init(&it, value_slice(v));
		while (bson_next(&it)) {
			size_t head = 1 + it.key.len + 1;
			hash_rank(out, it.value.type);
			buf_add_slice(out, it.key);
			buf_add_byte(out, 0);
			hash_value(out, it.value, slice_of(it.raw.p + head, it.raw.len - head));
		}
		hash_rank(out, BSON_MISSING);
	}
}

static int op_hashed_index_key(const struct node *x, struct expr_env *env, const struct value *v,
			       struct value *out, struct err *e)
{
	struct buf *b = &env->ev->scratch;
	struct value one;
	struct bson_iter it;
	uint8_t digest[16];
	(void)x;
	/* As an element, so that its raw bytes are at hand. */
	struct field f = { SLICE_LIT("x"), v[0].type == BSON_MISSING ? VALUE_NULL : v[0] };
	int rc = build_doc(env, &f, 1, &one, e);
	if (rc < 0)
		return rc;
	buf_reset(b);
	buf_add(b, "\0\0\0\0", 4); /* the seed */
	bson_iter_init(&it, value_slice(one));
	if (bson_next(&it)) {
		hash_rank(b, it.value.type);
		hash_value(b, it.value, slice_of(it.raw.p + 3, it.raw.len - 3));
	}
	rc = buf_check(b, e);
	digest_md5(buf_slice(b), digest);
	buf_reset(b);
	if (rc == 0)
		*out = value_int64((int64_t)get_le64(digest));
	return rc;
}

/* ---- $subtype ---- */

static int op_subtype(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	if (v[0].type != BSON_BINARY)
		return err_number(e, ERR_TYPE, 10389300, "$subtype takes binData, not %s",
				  value_type_name(v[0]));
	*out = value_int32(v[0].subtype);
	return 0;
}

static const struct expr_op ops[] = {
	{ "$hash", GROUP, "the hash of a string or binData as binData: md5, sha256, xxh64",
	  .apply = op_hash, .params = params, .object_number = 10065, .unknown_number = 40415,
	  .arg = BYTES },
	{ "$hexHash", GROUP, "the same as hexadecimal text", .apply = op_hash, .params = params,
	  .object_number = 10065, .unknown_number = 40415, .arg = HEX },
	{ "$subtype", "size", "the subtype of binData", .apply = op_subtype, .min = 1, .max = 1,
	  .flags = EXPR_NULL },
	{ "$toHashedIndexKey", GROUP, "the key of a value in a hashed index",
	  .apply = op_hashed_index_key, .min = 1, .max = 1 },
};

const struct expr_table expr_hash_ops = { ops, ARRAY_LEN(ops) };
