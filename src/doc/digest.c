/* digest.c: the tables of constants are computed from their definitions: MD5's from sines, SHA-256's from the roots of
 * primes. They are small, and computed for each call on the stack: an expression that hashes does little else. */
#include "doc/digest.h"

#include <math.h>

static uint32_t rotate_left(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t rotate_right(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

/* Calls block for each 64 bytes of the message, which ends in 0x80, zeros and its length in bits. */
static void each_block(struct slice s, bool big_endian, void (*block)(const uint8_t *p, void *arg),
		       void *arg)
{
	uint8_t tail[128] = { 0 };
	size_t whole = s.len / 64 * 64, rest = s.len - whole;
	for (size_t i = 0; i < whole; i += 64)
		block(s.p + i, arg);
	if (rest)
		memcpy(tail, s.p + whole, rest);
	tail[rest] = 0x80;
	size_t n = rest < 56 ? 64 : 128;
	uint64_t bits = (uint64_t)s.len * 8;
	if (big_endian)
		put_be64(tail + n - 8, bits);
	else
		put_le64(tail + n - 8, bits);
	for (size_t i = 0; i < n; i += 64)
		block(tail + i, arg);
}

/* ---- MD5 ---- */

struct md5 {
	uint32_t state[4], sine[64];
};

static void md5_block(const uint8_t *p, void *arg)
{
	static const uint8_t shift[4][4] = {
		{ 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 }
	};
	struct md5 *m = arg;
	uint32_t a = m->state[0], b = m->state[1], c = m->state[2], d = m->state[3];
	for (unsigned i = 0; i < 64; i++) {
		uint32_t f;
		unsigned word;
		switch (i / 16) {
		case 0:
			f = (b & c) | (~b & d);
			word = i;
			break;
		case 1:
			f = (d & b) | (~d & c);
			word = (5 * i + 1) % 16;
			break;
		case 2:
			f = b ^ c ^ d;
			word = (3 * i + 5) % 16;
			break;
		default:
			f = c ^ (b | ~d);
			word = 7 * i % 16;
			break;
		}
		f += a + m->sine[i] + get_le32(p + 4 * word);
		a = d;
		d = c;
		c = b;
		b += rotate_left(f, shift[i / 16][i % 4]);
	}
	m->state[0] += a;
	m->state[1] += b;
	m->state[2] += c;
	m->state[3] += d;
}

void digest_md5(struct slice s, uint8_t out[16])
{
	struct md5 m = { .state = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 } };
	for (int i = 0; i < 64; i++)
		m.sine[i] = (uint32_t)floor(0x1p32 * fabs(sin(i + 1)));
	each_block(s, /* big_endian */ false, md5_block, &m);
	for (int i = 0; i < 4; i++)
		put_le32(out + 4 * i, m.state[i]);
}

/* ---- SHA-256 ---- */

struct sha256 {
	uint32_t state[8], k[64];
};

/* 32 bits of the fraction of the square (cube) root of a prime. */
static uint32_t fraction(uint64_t prime, bool cube)
{
	/* The largest r with r^2 <= prime * 2^64, or r^3 <= prime * 2^96: the root times 2^32. */
	uint64_t low = 0, high = UINT64_C(1) << 37;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;
		unsigned __int128 square = (unsigned __int128)mid * mid;
		/* mid^3 has up to 111 bits. */
		bool fits = cube ? square * mid <= (unsigned __int128)prime << 96
				 : square <= (unsigned __int128)prime << 64;
		if (fits)
			low = mid;
		else
			high = mid;
	}
	return (uint32_t)low;
}

static void sha256_init(struct sha256 *h)
{
	uint64_t prime = 1;
	for (int i = 0; i < 64; i++) {
		bool is_prime;
		do {
			prime++;
			is_prime = true;
			for (uint64_t d = 2; is_prime && d * d <= prime; d++)
				is_prime = prime % d != 0;
		} while (!is_prime);
		h->k[i] = fraction(prime, /* cube */ true);
		if (i < 8)
			h->state[i] = fraction(prime, /* cube */ false);
	}
}

static void sha256_block(const uint8_t *p, void *arg)
{
	struct sha256 *h = arg;
	uint32_t w[64], s[8];
	for (int i = 0; i < 16; i++)
		w[i] = get_be32(p + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];
		w[i] = w[i - 16] + (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) + w[i - 7] +
		       (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10);
	}
	memcpy(s, h->state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t e = s[4], a = s[0];
		uint32_t one = s[7] +
			       (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
			       ((e & s[5]) ^ (~e & s[6])) + h->k[i] + w[i];
		uint32_t two = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
			       ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += one;
		s[0] = one + two;
	}
	for (int i = 0; i < 8; i++)
		h->state[i] += s[i];
}

void digest_sha256(struct slice s, uint8_t out[32])
{
	struct sha256 h;
	sha256_init(&h);
	each_block(s, /* big_endian */ true, sha256_block, &h);
	for (int i = 0; i < 8; i++)
		put_be32(out + 4 * i, h.state[i]);
}

/* ---- XXH64 ---- */

static const uint64_t prime1 = UINT64_C(0x9e3779b185ebca87), prime2 = UINT64_C(0xc2b2ae3d27d4eb4f),
		      prime3 = UINT64_C(0x165667b19e3779f9), prime4 = UINT64_C(0x85ebca77c2b2ae63),
		      prime5 = UINT64_C(0x27d4eb2f165667c5);

static uint64_t rotate64(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static uint64_t xxh_round(uint64_t acc, uint64_t input)
{
	return rotate64(acc + input * prime2, 31) * prime1;
}

uint64_t digest_xxh64(struct slice s)
{
	const uint8_t *p = s.p, *end = s.p + s.len;
	uint64_t h = prime5;
	if (s.len >= 32) {
		uint64_t lane[4] = { prime1 + prime2, prime2, 0, 0 - prime1 };
		for (; end - p >= 32; p += 32)
			for (int i = 0; i < 4; i++)
				lane[i] = xxh_round(lane[i], get_le64(p + 8 * i));
		h = rotate64(lane[0], 1) + rotate64(lane[1], 7) + rotate64(lane[2], 12) +
		    rotate64(lane[3], 18);
		for (int i = 0; i < 4; i++)
			h = (h ^ xxh_round(0, lane[i])) * prime1 + prime4;
	}
	h += s.len;
	for (; end - p >= 8; p += 8)
		h = rotate64(h ^ xxh_round(0, get_le64(p)), 27) * prime1 + prime4;
	if (end - p >= 4) {
		h = rotate64(h ^ get_le32(p) * prime1, 23) * prime2 + prime3;
		p += 4;
	}
	for (; p < end; p++)
		h = rotate64(h ^ *p * prime5, 11) * prime1;
	h = (h ^ h >> 33) * prime2;
	h = (h ^ h >> 29) * prime3;
	return h ^ h >> 32;
}
