/* number.c: doubles read and printed with integer arithmetic.
 *
 * Reading: w * 10^q with w below 2^53 and 10^|q| exact in a double is one multiplication or
 * division. Otherwise w times the 128-bit fraction of 10^q has the double's bits on top (Lemire,
 * "Number Parsing at a Gigabyte per Second", 2021). More than 19 digits give a lower and an upper
 * bound first; where these differ, the decimal is compared with the point halfway between the two
 * doubles, exactly.
 *
 * Printing: the double times a power of ten is a whole number of 19 digits. Rounded to 15, 16 and
 * 17 digits it is read back; the first that is the same double again is the answer, without its
 * trailing zeros.
 */
#include "doc/number.h"

#include "doc/big.h"

#include <math.h>

typedef unsigned __int128 u128;

enum {
	WORD_DIGITS = 19 /* always fit into 64 bits */,
	SLOW_DIGITS = 780 /* beyond, only "more" matters */
};

static const double pow10_exact[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

static double from_bits(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, 8);
	return d;
}

/* floor(log2(10^q)) */
static int pow10_log2(int q)
{
	return (217706 * q) >> 16;
}

static double scale_by_table(uint64_t w, int q)
{
	if (q < -342)
		return 0;
	if (q > 308)
		return INFINITY;
	int zeros = __builtin_clzll(w);
	w <<= zeros;
	const uint64_t *t = pow10_table[q - POW10_MIN];
	u128 product = (u128)w * t[0];
	uint64_t hi = (uint64_t)(product >> 64), lo = (uint64_t)product;
	if ((hi & 0x1ff) == 0x1ff) {
		uint64_t more = (uint64_t)(((u128)w * t[1]) >> 64);
		lo += more;
		hi += lo < more;
	}
	int top = (int)(hi >> 63), shift = top + 9;
	uint64_t mantissa = hi >> shift; /* 54 bits: one more than the double has */
	int exponent = pow10_log2(q) + 63 + top - zeros + 1023;
	if (exponent <= 0) { /* subnormal, or about to be the least normal one */
		if (exponent <= -63)
			return 0;
		mantissa >>= 1 - exponent;
		mantissa += mantissa & 1;
		return from_bits(mantissa >> 1);
	}
	/* Exactly halfway happens only for these powers; then the even one is right. */
	if (lo <= 1 && q >= -4 && q <= 23 && (mantissa & 3) == 1 && mantissa << shift == hi)
		mantissa &= ~UINT64_C(1);
	mantissa += mantissa & 1;
	mantissa >>= 1;
	if (mantissa >= UINT64_C(1) << 53) {
		mantissa >>= 1;
		exponent++;
	}
	if (exponent >= 0x7ff)
		return INFINITY;
	return from_bits((uint64_t)exponent << 52 | (mantissa & ((UINT64_C(1) << 52) - 1)));
}

double num_scale(uint64_t w, int q)
{
	if (w == 0)
		return 0;
	if (w <= UINT64_C(1) << 53 && q >= -22 && q <= 22) {
		double d = (double)w;
		return q < 0 ? d / pow10_exact[-q] : d * pow10_exact[q];
	}
	return scale_by_table(w, q);
}

/* The parts of a number's text. */
struct parts {
	bool negative;
	struct slice whole, fraction; /* digits */
	int64_t exponent;             /* as written */
};

static size_t digits_at(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *at = p;
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return (size_t)(at - p);
}

static bool split(struct slice s, struct parts *out)
{
	const uint8_t *p = s.p, *end = s.p + s.len;
	*out = (struct parts){ 0 };
	if (p < end && (*p == '-' || *p == '+'))
		out->negative = *p++ == '-';
	out->whole = slice_of(p, digits_at(p, end));
	p += out->whole.len;
	if (p < end && *p == '.') {
		p++;
		out->fraction = slice_of(p, digits_at(p, end));
		p += out->fraction.len;
	}
	if (out->whole.len + out->fraction.len == 0)
		return false;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		bool negative = false;
		if (p < end && (*p == '-' || *p == '+'))
			negative = *p++ == '-';
		size_t n = digits_at(p, end);
		if (n == 0)
			return false;
		for (; n > 0; n--, p++)
			if (out->exponent < 1000000000)
				out->exponent = out->exponent * 10 + (*p - '0');
		if (negative)
			out->exponent = -out->exponent;
	}
	return p == end;
}

/* Significant digits in order, whichever side of the point. */
static int digit_of(const struct parts *n, size_t i)
{
	return i < n->whole.len ? n->whole.p[i] - '0' : n->fraction.p[i - n->whole.len] - '0';
}

/* Is the number above (> 0), at (0) or below the point halfway between low and the next double? */
static int against_halfway(const struct parts *n, size_t first, size_t total, int64_t exponent,
			   double low)
{
	uint64_t bits;
	memcpy(&bits, &low, 8);
	int binary = (int)(bits >> 52);
	uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
	if (binary)
		mantissa |= UINT64_C(1) << 52;
	else
		binary = 1;
	struct big half, number;
	big_set(&half, 2 * mantissa + 1);
	binary += -1075 - 1;
	big_set(&number, 0);
	size_t used = MIN(total - first, (size_t)SLOW_DIGITS);
	for (size_t i = 0; i < used; i++)
		big_mul_add(&number, 10, (uint32_t)digit_of(n, first + i));
	exponent += (int64_t)(total - first - used);
	bool more = false;
	for (size_t i = first + used; i < total && !more; i++)
		more = digit_of(n, i) != 0;
	if (more) { /* one more digit, not zero, stands for all the others */
		big_mul_add(&number, 10, 1);
		exponent--;
	}
	if (exponent >= 0)
		big_mul_pow10(&number, (int)exponent);
	else
		big_mul_pow10(&half, (int)-exponent);
	if (binary >= 0)
		big_mul_pow2(&half, binary);
	else
		big_mul_pow2(&number, -binary);
	return big_compare(&number, &half);
}

static double next_double(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, 8);
	return from_bits(bits + 1);
}

int num_parse_double(struct slice s, double *out)
{
	struct parts n;
	if (!split(s, &n))
		return ERR_FORMAT;
	size_t total = n.whole.len + n.fraction.len, first = 0;
	while (first < total && digit_of(&n, first) == 0)
		first++;
	while (total > first && digit_of(&n, total - 1) == 0)
		total--;
	/* The value is the digits [first, total) times 10^exponent. */
	int64_t exponent = n.exponent + (int64_t)n.whole.len - (int64_t)total;
	uint64_t w = 0;
	size_t used = MIN(total - first, (size_t)WORD_DIGITS);
	for (size_t i = 0; i < used; i++)
		w = w * 10 + (uint64_t)digit_of(&n, first + i);
	int64_t q = exponent + (int64_t)(total - first - used);
	q = MAX(MIN(q, 100000), -100000);
	double d = num_scale(w, (int)q);
	if (used < total - first && isfinite(d)) {
		double above = num_scale(w + 1, (int)q);
		if (above != d) {
			int c = against_halfway(&n, first, total, exponent, d);
			uint64_t bits;
			memcpy(&bits, &d, 8);
			if (c > 0 || (c == 0 && (bits & 1)))
				d = next_double(d);
		}
	}
	*out = n.negative ? -d : d;
	return isinf(d) ? ERR_LIMIT : 0;
}

/* ---- printing ---- */

static const char two_digits[] = "0001020304050607080910111213141516171819"
				 "2021222324252627282930313233343536373839"
				 "4041424344454647484950515253545556575859"
				 "6061626364656667686970717273747576777879"
				 "8081828384858687888990919293949596979899";

static size_t count_digits(uint64_t v)
{
	static const uint64_t limits[] = { 10,
					   100,
					   1000,
					   10000,
					   100000,
					   1000000,
					   10000000,
					   100000000,
					   1000000000,
					   10000000000,
					   100000000000,
					   1000000000000,
					   10000000000000,
					   100000000000000,
					   1000000000000000,
					   10000000000000000,
					   100000000000000000,
					   1000000000000000000,
					   10000000000000000000u };
	size_t n = 1;
	for (size_t i = 0; i < ARRAY_LEN(limits) && v >= limits[i]; i++)
		n++;
	return n;
}

/* Writes exactly n digits, ending at out + n. */
static void put_digits(char *out, size_t n, uint64_t v)
{
	while (n >= 2) {
		n -= 2;
		memcpy(out + n, two_digits + 2 * (v % 100), 2);
		v /= 100;
	}
	if (n)
		out[0] = (char)('0' + v % 10);
}

size_t num_print_uint64(uint64_t v, char *out)
{
	size_t n = count_digits(v);
	put_digits(out, n, v);
	return n;
}

size_t num_print_int64(int64_t v, char *out)
{
	if (v >= 0)
		return num_print_uint64((uint64_t)v, out);
	out[0] = '-';
	return 1 + num_print_uint64(0 - (uint64_t)v, out + 1);
}

/* d > 0 as floor(d * 10^*k), 19 digits. */
static uint64_t to_19_digits(double d, int *k)
{
	uint64_t bits;
	memcpy(&bits, &d, 8);
	int binary = (int)(bits >> 52);
	uint64_t m = bits & ((UINT64_C(1) << 52) - 1);
	if (binary)
		m |= UINT64_C(1) << 52;
	else
		binary = 1;
	int zeros = __builtin_clzll(m);
	m <<= zeros;
	binary += -1075 - zeros; /* d = m * 2^binary, m >= 2^63 */
	int power = 18 - (int)(((int64_t)(binary + 63) * 315653) >> 20);
	for (;;) {
		if (power > POW10_MAX)
			power = POW10_MAX;
		const uint64_t *t = pow10_table[power - POW10_MIN];
		u128 q = (u128)m * t[0] + (((u128)m * t[1]) >> 64);
		int shift = 63 - binary - pow10_log2(power);
		u128 v = shift < 128 ? q >> shift : 0;
		if (v >= UINT64_C(10000000000000000000)) {
			power--;
			continue;
		}
		*k = power;
		return (uint64_t)v;
	}
}

/* The shortest digits that read back as d: returns them, *exponent gets their power of ten. */
static uint64_t shortest(double d, int *exponent)
{
	static const uint64_t cut[] = { 1, 10, 100, 1000, 10000 };
	int k;
	uint64_t bits, v = to_19_digits(d, &k), r = v;
	memcpy(&bits, &d, 8);
	if (bits >> 52 == 0) { /* subnormal: precision is anything from 1 to 17 digits */
		uint64_t unit = UINT64_C(1000000000000000000);
		for (; unit > 10; unit /= 10) {
			r = (v + unit / 2) / unit * unit;
			if (num_scale(r, -k) == d)
				break;
		}
	} else {
		for (int drop = 4; drop >= 2; drop--) {
			r = (v + cut[drop] / 2) / cut[drop];
			if (num_scale(r, drop - k) == d) {
				r *= cut[drop];
				break;
			}
			/* Below a power of two the doubles are closer: the nearest may miss,
			 * the next hit. */
			if ((bits & ((UINT64_C(1) << 52) - 1)) == 0 &&
			    num_scale(r + 1, drop - k) == d) {
				r = (r + 1) * cut[drop];
				break;
			}
			r = v;
		}
	}
	*exponent = -k;
	while (r % 10000 == 0) {
		r /= 10000;
		*exponent += 4;
	}
	while (r % 10 == 0) {
		r /= 10;
		++*exponent;
	}
	return r;
}

/* Digits with the exponent of the first one: d.ddd E+n */
static size_t put_scientific(char *out, uint64_t digits, size_t n, int exponent)
{
	char *p = out;
	put_digits(p + 1, n, digits);
	p[0] = p[1];
	p++;
	if (n > 1) {
		*p = '.';
		p += n;
	}
	*p++ = 'E';
	*p++ = exponent < 0 ? '-' : '+';
	p += num_print_uint64((uint64_t)(exponent < 0 ? -exponent : exponent), p);
	return (size_t)(p - out);
}

enum {
	PLAIN_LOW = -7,
	PLAIN_HIGH = 16
}; /* first digit's exponent in [low, high) is written plainly */

size_t num_print_double(double d, char out[NUM_DOUBLE_MAX])
{
	ASSERT(isfinite(d));
	char *p = out;
	if (signbit(d)) {
		*p++ = '-';
		d = -d;
	}
	if (d < 1e15 && d == (double)(int64_t)d) {
		p += num_print_uint64((uint64_t)d, p);
		*p++ = '.';
		*p++ = '0';
		return (size_t)(p - out);
	}
	int exponent;
	uint64_t digits = shortest(d, &exponent);
	int n = (int)count_digits(digits), top = exponent + n - 1;
	if (top < PLAIN_LOW || top >= PLAIN_HIGH)
		return (size_t)(p - out) + put_scientific(p, digits, (size_t)n, top);
	if (exponent >= 0) {
		put_digits(p, (size_t)n, digits);
		p += n;
		for (; exponent > 0; exponent--)
			*p++ = '0';
		*p++ = '.';
		*p++ = '0';
		return (size_t)(p - out);
	}
	if (top < 0) { /* 0.000ddd */
		*p++ = '0';
		*p++ = '.';
		for (int i = -1; i > top; i--)
			*p++ = '0';
		put_digits(p, (size_t)n, digits);
		return (size_t)(p - out) + (size_t)n;
	}
	/* dd.ddd: written one place to the right, then the whole part moves back over the point */
	put_digits(p + 1, (size_t)n, digits);
	for (int i = 0; i <= top; i++)
		p[i] = p[i + 1];
	p[top + 1] = '.';
	return (size_t)(p - out) + (size_t)n + 1;
}
