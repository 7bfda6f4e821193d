/* sasl.c: the server's side of PLAIN and SCRAM (RFC 5802). A TLS client with a certificate needs no exchange: its
 * common name is the user. */
#include "tests/fake/couchbase/internal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a client's nonce is, is the client's choice: Couchbase's Node SDK writes its eight random bytes as numbers
 * of 5 to 11 characters each, with signs. */
enum { ITERATIONS = 10, CLIENT_NONCE_MAX = 256 };

static const char default_salt[] = "d2Vpci1mYWtlLXNhbHQh";

static const EVP_MD *md_of(int hash)
{
	return hash == 1 ? EVP_sha1() : hash == 256 ? EVP_sha256() : EVP_sha512();
}

static void hmac(const EVP_MD *md, const void *key, size_t key_len, const char *text, uint8_t *out)
{
	unsigned len;
	HMAC(md, key, (int)key_len, (const uint8_t *)text, strlen(text), out, &len);
}

static void refuse(struct conn *c, const struct packet *p)
{
	static const char body[] = "{\"error\":{\"ref\":\"00000000-0000-0000-0000-000000000000\"}}";
	c->auth = 0;
	c->user = NULL;
	kv_respond(c, p, ST_AUTH_ERROR, SLICE_NONE, SLICE_NONE, SLICE_LIT(body), c->json ? 1 : 0,
		   0);
}

bool sasl_certificate(struct fake *f, struct conn *c)
{
	bool has_one;
	struct user *u = user_of_certificate(f, c->ssl, &has_one);
	if (u) {
		c->user = u;
		c->auth = 2;
	}
	return u || !has_one;
}

/* authorization id NUL user NUL password; the first is ignored. */
static void plain(struct fake *f, struct conn *c, const struct packet *p)
{
	char text[200] = "";
	const char *user = NULL, *password = NULL;
	if (p->value.len < sizeof(text)) {
		memcpy(text, p->value.p, p->value.len);
		text[p->value.len] = '\0';
		user = memchr(text, 0, p->value.len);
		password =
			user ? memchr(user + 1, 0, p->value.len - (size_t)(user + 1 - text)) : NULL;
	}
	c->user = password ? user_named(f, user + 1) : NULL;
	if (!c->user || strcmp(password + 1, c->user->password) != 0) {
		refuse(c, p);
		return;
	}
	c->auth = 2;
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, SLICE_NONE, 0, 0);
}

/* In names "=2C" is a comma and "=3D" an equals sign. */
static void unescape(char *name)
{
	char *out = name;
	for (const char *p = name; *p; p++) {
		bool comma = strncmp(p, "=2C", 3) == 0, equals = strncmp(p, "=3D", 3) == 0;
		*out++ = comma ? ',' : equals ? '=' : *p;
		p += comma || equals ? 2 : 0;
	}
	*out = '\0';
}

static void scram_first(struct fake *f, struct conn *c, const struct packet *p)
{
	char first[640];
	snprintf(first, sizeof(first), "%.*s", (int)p->value.len, (const char *)p->value.p);
	const char *bare = strstr(first, "n="), *nonce = strstr(first, ",r=");
	char name[100];
	bool ok = strncmp(first, "n,,n=", 5) == 0 && nonce &&
		  strlen(nonce + 3) <= CLIENT_NONCE_MAX && sscanf(bare, "n=%99[^,]", name) == 1;
	if (ok)
		unescape(name);
	c->user = ok ? user_named(f, name) : NULL;
	if (!c->user) {
		refuse(c, p);
		return;
	}
	uint8_t random[8];
	char own[40], server_first[480];
	(void)RAND_bytes(random, sizeof(random));
	snprintf(own, sizeof(own), "%02x%02x%02x%02x%02x%02x%02x%02x", random[0], random[1],
		 random[2], random[3], random[4], random[5], random[6], random[7]);
	snprintf(c->nonce, sizeof(c->nonce), "%s%s", nonce + 3,
		 f->o.scram_nonce ? f->o.scram_nonce : own);
	const char *salt64 = f->o.scram_salt ? f->o.scram_salt : default_salt;
	size_t len = strlen(salt64);
	int n = len <= 84 ? EVP_DecodeBlock(c->salt, (const uint8_t *)salt64, (int)len) : -1;
	c->salt_len = n < 0 ? 0
			    : (size_t)n - (len && salt64[len - 1] == '=') -
				      (len > 1 && salt64[len - 2] == '=');
	snprintf(server_first, sizeof(server_first), "r=%s,s=%s,i=%d", c->nonce, salt64,
		 ITERATIONS);
	snprintf(c->scram, sizeof(c->scram), "%s,%s", first + 3, server_first);
	c->auth = 1;
	kv_respond(c, p, ST_AUTH_CONTINUE, SLICE_NONE, SLICE_NONE, slice_str(server_first), 0, 0);
}

static void scram_final(struct conn *c, const struct packet *p)
{
	char final[512], auth[1800];
	snprintf(final, sizeof(final), "%.*s", (int)p->value.len, (const char *)p->value.p);
	char *proof64 = strstr(final, ",p=");
	char expected[400];
	snprintf(expected, sizeof(expected), "c=biws,r=%s", c->nonce);
	if (c->auth != 1 || !proof64 || !c->user) {
		refuse(c, p);
		return;
	}
	*proof64 = '\0';
	proof64 += 3;
	snprintf(auth, sizeof(auth), "%s,%s", c->scram, final);
	const EVP_MD *md = md_of(c->scram_hash);
	size_t n = (size_t)EVP_MD_get_size(md);
	uint8_t salted[64], client_key[64], stored[64], signature[64], server_key[64],
		server_signature[64], got[96];
	PKCS5_PBKDF2_HMAC(c->user->password, (int)strlen(c->user->password), c->salt,
			  (int)c->salt_len, ITERATIONS, md, (int)n, salted);
	hmac(md, salted, n, "Client Key", client_key);
	unsigned len;
	EVP_Digest(client_key, n, stored, &len, md, NULL);
	hmac(md, stored, n, auth, signature);
	hmac(md, salted, n, "Server Key", server_key);
	hmac(md, server_key, n, auth, server_signature);
	int decoded = strlen(proof64) <= 124
			      ? EVP_DecodeBlock(got, (const uint8_t *)proof64, (int)strlen(proof64))
			      : -1;
	bool ok = strcmp(final, expected) == 0 && decoded >= (int)n;
	for (size_t i = 0; ok && i < n; i++)
		ok = (got[i] ^ signature[i]) == client_key[i];
	if (!ok) {
		refuse(c, p);
		return;
	}
	char text[120] = "v=";
	EVP_EncodeBlock((uint8_t *)text + 2, server_signature, (int)n);
	c->auth = 2;
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_str(text), 0, 0);
}

void sasl_request(struct fake *f, struct conn *c, const struct packet *p)
{
	if (p->opcode == 0x20) {
		static const char mechanisms[] = "SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN";
		kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, SLICE_LIT(mechanisms), 0, 0);
		return;
	}
	c->scram_hash = slice_is(p->key, "SCRAM-SHA1")     ? 1
			: slice_is(p->key, "SCRAM-SHA256") ? 256
			: slice_is(p->key, "SCRAM-SHA512") ? 512
							   : 0;
	if (slice_is(p->key, "PLAIN"))
		plain(f, c, p);
	else if (!c->scram_hash)
		refuse(c, p);
	else if (p->opcode == 0x21)
		scram_first(f, c, p);
	else
		scram_final(c, p);
}
