#include "dcp/sasl.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const struct {
	const char *name;
	size_t hash_len;
} mechanisms[] = {
	[SASL_PLAIN] = { "PLAIN", 0 },
	[SASL_SCRAM_SHA1] = { "SCRAM-SHA1", 20 },
	[SASL_SCRAM_SHA256] = { "SCRAM-SHA256", 32 },
	[SASL_SCRAM_SHA512] = { "SCRAM-SHA512", 64 },
	[SASL_NONE] = { "none", 0 },
};

const char *sasl_name(enum sasl_mechanism m)
{
	return mechanisms[m].name;
}

enum sasl_mechanism sasl_choose(struct slice offered, bool allow_plain)
{
	enum sasl_mechanism best = SASL_NONE;
	const uint8_t *p = offered.p, *end = p + offered.len;
	while (p < end) {
		const uint8_t *blank = memchr(p, ' ', (size_t)(end - p));
		struct slice word = slice_of(p, (size_t)((blank ? blank : end) - p));
		for (int m = SASL_PLAIN; m < SASL_NONE; m++)
			if (slice_is(word, mechanisms[m].name) &&
			    (m != SASL_PLAIN || allow_plain) &&
			    (best == SASL_NONE || m > (int)best))
				best = (enum sasl_mechanism)m;
		p += word.len + 1;
	}
	return best;
}

void scram_cache_wipe(struct scram_cache *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
	c->mechanism = SASL_NONE;
}

static const EVP_MD *hash_of(enum sasl_mechanism m)
{
	return m == SASL_SCRAM_SHA1     ? EVP_sha1()
	       : m == SASL_SCRAM_SHA256 ? EVP_sha256()
					: EVP_sha512();
}

static int crypto_failed(struct err *e)
{
	return err_set(e, ERR_AUTH, "the cryptographic library refused");
}

static int hmac(enum sasl_mechanism m, const uint8_t *key, struct slice data, uint8_t *out,
		struct err *e)
{
	unsigned len = 0;
	if (!HMAC(hash_of(m), key, (int)mechanisms[m].hash_len, data.p, data.len, out, &len) ||
	    len != mechanisms[m].hash_len)
		return crypto_failed(e);
	return 0;
}

static void add_base64(struct buf *out, const uint8_t *p, size_t len)
{
	char text[4 * (SASL_HASH_MAX / 3 + 2)];
	ASSERT(len <= SASL_HASH_MAX);
	int n = EVP_EncodeBlock((unsigned char *)text, p, (int)len);
	buf_add(out, text, (size_t)n);
}

/* Exact, with padding. */
static int from_base64(struct slice text, uint8_t *out, size_t max, size_t *len, struct err *e)
{
	uint8_t bytes[3 * (SASL_SALT_MAX / 3 + 2)];
	if (text.len == 0 || text.len % 4 || text.len / 4 * 3 > sizeof(bytes))
		return err_set(e, ERR_PROTOCOL, "login: base64 text of %zu characters", text.len);
	int n = EVP_DecodeBlock(bytes, text.p, (int)text.len);
	if (n < 0)
		return err_set(e, ERR_PROTOCOL, "login: damaged base64 text");
	for (size_t i = 1; i <= 2 && text.p[text.len - i] == '='; i++)
		n--;
	if ((size_t)n > max)
		return err_set(e, ERR_PROTOCOL, "login: %d bytes where at most %zu fit", n, max);
	memcpy(out, bytes, (size_t)n);
	*len = (size_t)n;
	return 0;
}

/* The value of attribute `name` in "a=..,b=.."; false when it is not there. */
static bool attribute(struct slice text, char name, struct slice *value)
{
	const uint8_t *p = text.p, *end = p + text.len;
	while (p < end) {
		const uint8_t *comma = memchr(p, ',', (size_t)(end - p));
		const uint8_t *stop = comma ? comma : end;
		if (stop - p >= 2 && p[0] == (uint8_t)name && p[1] == '=') {
			*value = slice_of(p + 2, (size_t)(stop - p - 2));
			return true;
		}
		p = stop + 1;
	}
	return false;
}

static void add_user(struct buf *out, struct slice user)
{
	for (size_t i = 0; i < user.len; i++) {
		if (user.p[i] == '=')
			buf_add_str(out, "=3D");
		else if (user.p[i] == ',')
			buf_add_str(out, "=2C");
		else
			buf_add_byte(out, user.p[i]);
	}
}

int sasl_start(struct sasl *s, enum sasl_mechanism m, struct slice user, struct slice password,
	       struct slice nonce, struct scram_cache *cache, struct buf *out, struct err *e)
{
	ASSERT(m != SASL_NONE);
	*s = (struct sasl){ .mechanism = m, .user = user, .password = password, .cache = cache };
	if (m == SASL_PLAIN) {
		buf_add_byte(out, 0);
		buf_add_slice(out, user);
		buf_add_byte(out, 0);
		buf_add_slice(out, password);
		return buf_check(out, e);
	}
	buf_add_slice(&s->nonce, nonce);
	buf_add_str(&s->first_bare, "n=");
	add_user(&s->first_bare, user);
	buf_add_str(&s->first_bare, ",r=");
	buf_add_slice(&s->first_bare, nonce);
	buf_add_str(out, "n,,");
	buf_add_slice(out, buf_slice(&s->first_bare));
	int rc = buf_check(&s->first_bare, e);
	return rc < 0 ? rc : buf_check(out, e);
}

static int salt_password(struct sasl *s, struct slice salt, uint32_t iterations, uint8_t *out,
			 struct err *e)
{
	struct scram_cache *c = s->cache;
	size_t len = mechanisms[s->mechanism].hash_len;
	if (c && c->mechanism == s->mechanism && c->iterations == iterations &&
	    c->hash_len == len && slice_eq(salt, slice_of(c->salt, c->salt_len))) {
		memcpy(out, c->salted, len);
		return 0;
	}
	if (PKCS5_PBKDF2_HMAC((const char *)s->password.p, (int)s->password.len, salt.p,
			      (int)salt.len, (int)iterations, hash_of(s->mechanism), (int)len,
			      out) != 1)
		return crypto_failed(e);
	if (c) {
		*c = (struct scram_cache){ .mechanism = s->mechanism,
					   .iterations = iterations,
					   .salt_len = salt.len,
					   .hash_len = len };
		memcpy(c->salt, salt.p, salt.len);
		memcpy(c->salted, out, len);
	}
	return 0;
}

static int parse_server_first(struct sasl *s, struct slice data, struct slice *nonce,
			      uint8_t salt[SASL_SALT_MAX], size_t *salt_len, uint32_t *iterations,
			      struct err *e)
{
	struct slice text, count;
	if (!attribute(data, 'r', nonce) || !attribute(data, 's', &text) ||
	    !attribute(data, 'i', &count))
		return err_set(e, ERR_PROTOCOL, "login: the server's challenge lacks a part");
	if (nonce->len > SASL_NONCE_MAX || nonce->len <= s->nonce.len ||
	    memcmp(nonce->p, s->nonce.p, s->nonce.len) != 0)
		return err_set(e, ERR_AUTH, "login: the server's nonce does not continue ours");
	uint64_t n = 0;
	for (size_t i = 0; i < count.len; i++) {
		if (count.p[i] < '0' || count.p[i] > '9' || n > SASL_ITERATIONS_MAX)
			return err_set(e, ERR_PROTOCOL, "login: bad iteration count");
		n = 10 * n + count.p[i] - '0';
	}
	if (n == 0 || n > SASL_ITERATIONS_MAX)
		return err_set(e, ERR_PROTOCOL, "login: %llu iterations, the limit is %u",
			       (unsigned long long)n, SASL_ITERATIONS_MAX);
	*iterations = (uint32_t)n;
	return from_base64(text, salt, SASL_SALT_MAX, salt_len, e);
}

/* Proof and expected signature out of the salted password and what was said so far. */
static int prove(struct sasl *s, const uint8_t *salted, struct slice auth_message, uint8_t *proof,
		 struct err *e)
{
	enum sasl_mechanism m = s->mechanism;
	uint8_t client[SASL_HASH_MAX], stored[SASL_HASH_MAX], server[SASL_HASH_MAX];
	size_t len = mechanisms[m].hash_len;
	int rc;
	if ((rc = hmac(m, salted, SLICE_LIT("Client Key"), client, e)) < 0)
		return rc;
	if (EVP_Digest(client, len, stored, NULL, hash_of(m), NULL) != 1)
		return crypto_failed(e);
	if ((rc = hmac(m, stored, auth_message, proof, e)) < 0 ||
	    (rc = hmac(m, salted, SLICE_LIT("Server Key"), server, e)) < 0 ||
	    (rc = hmac(m, server, auth_message, s->server_signature, e)) < 0)
		return rc;
	for (size_t i = 0; i < len; i++)
		proof[i] ^= client[i];
	OPENSSL_cleanse(client, sizeof(client));
	OPENSSL_cleanse(server, sizeof(server));
	return 0;
}

int sasl_step(struct sasl *s, struct slice data, struct buf *out, struct err *e)
{
	if (s->mechanism == SASL_PLAIN || s->step != 0)
		return err_set(e, ERR_PROTOCOL, "login: the server asks for a step too many");
	s->step = 1;
	struct slice nonce;
	uint8_t salt[SASL_SALT_MAX], salted[SASL_HASH_MAX], proof[SASL_HASH_MAX];
	size_t salt_len = 0;
	uint32_t iterations = 0;
	int rc = parse_server_first(s, data, &nonce, salt, &salt_len, &iterations, e);
	if (rc < 0 || (rc = salt_password(s, slice_of(salt, salt_len), iterations, salted, e)) < 0)
		return rc;
	AUTO(buf) struct buf auth_message = BUF_INIT;
	buf_add_slice(&auth_message, buf_slice(&s->first_bare));
	buf_add_byte(&auth_message, ',');
	buf_add_slice(&auth_message, data);
	buf_add_str(&auth_message, ",c=biws,r=");
	buf_add_slice(&auth_message, nonce);
	if ((rc = buf_check(&auth_message, e)) < 0)
		return rc;
	rc = prove(s, salted, buf_slice(&auth_message), proof, e);
	OPENSSL_cleanse(salted, sizeof(salted));
	if (rc < 0)
		return rc;
	buf_add_str(out, "c=biws,r=");
	buf_add_slice(out, nonce);
	buf_add_str(out, ",p=");
	add_base64(out, proof, mechanisms[s->mechanism].hash_len);
	return buf_check(out, e);
}

int sasl_finish(struct sasl *s, struct slice data, struct err *e)
{
	if (s->mechanism == SASL_PLAIN)
		return 0;
	struct slice text;
	uint8_t signature[SASL_HASH_MAX];
	size_t len;
	if (s->step != 1 || !attribute(data, 'v', &text))
		return err_set(e, ERR_AUTH, "login: the server accepts without a signature");
	int rc = from_base64(text, signature, sizeof(signature), &len, e);
	if (rc < 0)
		return rc;
	if (len != mechanisms[s->mechanism].hash_len ||
	    CRYPTO_memcmp(signature, s->server_signature, len) != 0)
		return err_set(
			e, ERR_AUTH,
			"login: the server does not know the password (its signature is wrong)");
	return 0;
}

void sasl_done(struct sasl *s)
{
	buf_done(&s->first_bare);
	buf_done(&s->nonce);
	OPENSSL_cleanse(s, sizeof(*s));
}
