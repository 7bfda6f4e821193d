/* sum.c: exact summation after Shewchuk ("Adaptive precision floating-point arithmetic", 1997): the sum of two doubles is
 * a double and an error that is a double too; the errors are kept instead of being lost.
 */
#include "doc/sum.h"

#include "doc/decimal.h"
#include "doc/expr_node.h"

#include <math.h>

void sum_init(struct sum *s)
{
	/* The parts stay as they are: only n_parts of them are ever read. */
	s->ints = 0;
	s->decimal = dec_from_int64(0);
	s->special = 0;
	s->huge = 0;
	s->widest = SUM_INT32;
	s->n_parts = 0;
}

/* The same sum in as few parts as hold it: down from the largest, each takes in what fits its 53 bits; then up again,
 * dropping what became zero. Between neighbours then lie 53 bits, so the parts are at most 2098 / 53. */
static void compress(struct sum *s)
{
	unsigned n = s->n_parts, bottom = n - 1, top = 0;
	double carry = s->part[n - 1];
	for (unsigned i = n - 1; i-- > 0;) {
		double hi = carry + s->part[i];
		double lo = s->part[i] - (hi - carry);
		if (lo != 0) {
			s->part[bottom--] = hi;
			carry = lo;
		} else
			carry = hi;
	}
	s->part[bottom] = carry;
	for (unsigned i = bottom + 1; i < n; i++) {
		double hi = s->part[i] + carry;
		double lo = carry - (hi - s->part[i]);
		if (lo != 0)
			s->part[top++] = lo;
		carry = hi;
	}
	s->part[top] = carry;
	s->n_parts = (uint8_t)(top + 1);
}

/* Adds x to the parts: each step replaces two numbers by their rounded sum and the exact error. */
static void add_double(struct sum *s, double x)
{
	if (!isfinite(x)) {
		s->special += x;
		return;
	}
	if (fabs(x) >= 0x1p1023) {
		s->huge += x > 0 ? 1 : -1;
		x -= copysign(0x1p1023, x);
	}
	if (s->n_parts >= SUM_PARTS_MAX - 1)
		compress(s);
	unsigned kept = 0;
	for (unsigned i = 0; i < s->n_parts; i++) {
		double y = s->part[i];
		if (fabs(x) < fabs(y)) {
			double t = x;
			x = y;
			y = t;
		}
		double hi = x + y;
		double lo = y - (hi - x);
		if (lo != 0)
			s->part[kept++] = lo;
		x = hi;
	}
	if (fabs(x) >= 0x1p1023) {
		s->huge += x > 0 ? 1 : -1;
		x -= copysign(0x1p1023, x);
	}
	if (x != 0 || kept == 0) {
		ASSERT(kept < SUM_PARTS_MAX);
		s->part[kept++] = x;
	}
	s->n_parts = (uint8_t)kept;
}

/* The sum of the parts, correctly rounded. */
static double round_parts(const struct sum *s)
{
	unsigned n = s->n_parts;
	if (n == 0)
		return 0;
	double hi = s->part[--n], lo = 0;
	while (n > 0) {
		double x = hi, y = s->part[--n];
		hi = x + y;
		lo = y - (hi - x);
		if (lo != 0)
			break;
	}
	/* A tie that the parts further down decide. */
	if (n > 0 && ((lo < 0 && s->part[n - 1] < 0) || (lo > 0 && s->part[n - 1] > 0))) {
		double y = lo * 2, x = hi + y;
		if (y == x - hi)
			hi = x;
	}
	return hi;
}

static void add_ints(struct sum *s, __int128 v)
{
	/* Three pieces of at most 53 bits, each exact. */
	__int128 low = v & (((__int128)1 << 48) - 1);
	__int128 middle = (v >> 48) & (((__int128)1 << 48) - 1);
	__int128 high = v >> 96;
	add_double(s, ldexp((double)high, 96));
	add_double(s, ldexp((double)middle, 48));
	add_double(s, (double)low);
}

void sum_add(struct sum *s, struct value v)
{
	switch (v.type) {
	case BSON_INT32: s->ints += v.i64; break;
	case BSON_INT64:
		s->ints += v.i64;
		s->widest = MAX(s->widest, SUM_INT64);
		break;
	case BSON_DOUBLE:
		add_double(s, v.f64);
		s->widest = MAX(s->widest, SUM_DOUBLE);
		break;
	case BSON_DECIMAL128:
		s->decimal = dec_add(s->decimal, v.dec);
		s->widest = SUM_DECIMAL;
		break;
	default: break;
	}
}

void sum_merge(struct sum *s, const struct sum *other)
{
	s->ints += other->ints;
	if (other->widest == SUM_DECIMAL)
		s->decimal = dec_add(s->decimal, other->decimal);
	s->special += other->special;
	s->huge += other->huge;
	for (unsigned i = 0; i < other->n_parts; i++)
		add_double(s, other->part[i]);
	s->widest = MAX(s->widest, other->widest);
}

double sum_double(const struct sum *s)
{
	if (s->special != 0 || isnan(s->special))
		return s->special;
	if (s->ints == 0 && s->huge == 0)
		return round_parts(s);
	struct sum all = *s;
	add_ints(&all, s->ints);
	if (all.huge == 0)
		return round_parts(&all);
	if (all.huge > 4 || all.huge < -4)
		return all.huge > 0 ? INFINITY : -INFINITY;
	/* Scaled down by 8, the multiples of 2^1023 fit. */
	double huge = ldexp((double)all.huge, 1020);
	struct sum scaled = { 0 };
	for (unsigned i = 0; i < all.n_parts; i++)
		add_double(&scaled, all.part[i] / 8);
	add_double(&scaled, huge);
	return round_parts(&scaled) * 8;
}

struct dec128 sum_decimal(const struct sum *s)
{
	struct dec128 d = s->decimal;
	bool ints_fit = s->ints >= INT64_MIN && s->ints <= INT64_MAX;
	if (s->n_parts || s->huge || s->special != 0 || isnan(s->special) || !ints_fit)
		return dec_add(d, dec_from_double(sum_double(s)));
	return s->ints ? dec_add(d, dec_from_int64((int64_t)s->ints)) : d;
}

bool sum_int64(const struct sum *s, int64_t *out)
{
	if (s->widest < SUM_DOUBLE) {
		*out = (int64_t)s->ints;
		return s->ints >= INT64_MIN && s->ints <= INT64_MAX;
	}
	/* The doubles' share rounded on its own keeps large integers exact. */
	struct sum doubles = *s;
	doubles.ints = 0;
	double d = rint(sum_double(&doubles));
	if (!(d >= -0x1p63 && d < 0x1p63))
		return false;
	__int128 total = s->ints + (int64_t)d;
	*out = (int64_t)total;
	return total >= INT64_MIN && total <= INT64_MAX;
}

struct value sum_value(const struct sum *s)
{
	switch ((enum sum_type)s->widest) {
	case SUM_INT32:
	case SUM_INT64:
		if (s->ints < INT64_MIN || s->ints > INT64_MAX)
			return value_double(sum_double(s));
		if (s->widest == SUM_INT32)
			return value_int((int64_t)s->ints);
		return value_int64((int64_t)s->ints);
	case SUM_DOUBLE: return value_double(sum_double(s));
	case SUM_DECIMAL: return value_decimal(sum_decimal(s));
	}
	return VALUE_MISSING;
}

struct value sum_average(const struct sum *s, int64_t n)
{
	if (n == 0)
		return VALUE_NULL;
	if (s->widest == SUM_DECIMAL)
		return value_decimal(dec_div(sum_decimal(s), dec_from_int64(n)));
	return value_double(sum_double(s) / (double)n);
}

/*	widest u8 | n_parts u8 | ints i128 | decimal 16 | special f64 | huge i64 | parts f64 ... */
enum { SUM_FIXED_BYTES = 2 + 16 + 16 + 8 + 8 };

void sum_encode(const struct sum *s, struct buf *out)
{
	buf_add_byte(out, s->widest);
	buf_add_byte(out, s->n_parts);
	buf_add(out, &s->ints, 16);
	buf_add(out, &s->decimal, 16);
	buf_add(out, &s->special, 8);
	buf_add(out, &s->huge, 8);
	buf_add(out, s->part, s->n_parts * sizeof(s->part[0]));
}

bool sum_decode(struct sum *s, struct slice *in)
{
	if (in->len < SUM_FIXED_BYTES || in->p[0] > SUM_DECIMAL || in->p[1] > SUM_PARTS_MAX)
		return false;
	size_t parts = in->p[1] * sizeof(s->part[0]);
	if (in->len - SUM_FIXED_BYTES < parts)
		return false;
	struct sum read = { .widest = in->p[0] };
	memcpy(&read.ints, in->p + 2, 16);
	memcpy(&read.decimal, in->p + 18, 16);
	memcpy(&read.special, in->p + 34, 8);
	memcpy(&read.huge, in->p + 42, 8);
	for (unsigned i = 0; i < in->p[1]; i++) {
		double d;
		memcpy(&d, in->p + SUM_FIXED_BYTES + i * sizeof(d), sizeof(d));
		if (!isfinite(d) || fabs(d) >= 0x1p1023)
			return false;
		add_double(&read, d); /* restores the order and the gaps, whatever the bytes say */
	}
	in->p += SUM_FIXED_BYTES + parts;
	in->len -= SUM_FIXED_BYTES + parts;
	*s = read;
	return true;
}
