/* users.c: who there is and what each may do. Roles are written as the management port takes them:
 *
 *	data_reader[orders],data_dcp_reader[*],ro_admin
 *
 * The first user may do everything. Privileges are looked up at each request, so a role that is taken away is missed at
 * the next one; streams that lose theirs end with reason 8.
 */
#include "tests/fake/couchbase/internal.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned may;
} roles[] = {
	{ "admin", MAY_DATA | MAY_MANAGE | MAY_ADMIN | MAY_VIEW },
	{ "cluster_admin", MAY_STAT | MAY_MANAGE | MAY_ADMIN | MAY_VIEW },
	{ "ro_admin", MAY_STAT | MAY_VIEW },
	{ "bucket_admin", MAY_STAT | MAY_MANAGE | MAY_VIEW },
	{ "scope_admin", MAY_MANAGE | MAY_VIEW },
	{ "bucket_full_access", MAY_DATA | MAY_VIEW },
	{ "data_backup", MAY_DATA | MAY_MANAGE | MAY_VIEW },
	{ "data_reader", MAY_READ | MAY_META | MAY_VIEW },
	{ "data_writer", MAY_WRITE | MAY_VIEW },
	{ "data_dcp_reader", MAY_READ | MAY_META | MAY_STREAM | MAY_VIEW },
	{ "data_monitoring", MAY_STAT | MAY_VIEW },
};

struct user *user_named(struct fake *f, const char *name)
{
	for (unsigned i = 0; i < f->n_users; i++)
		if (!f->user[i].removed && strcmp(f->user[i].name, name) == 0)
			return &f->user[i];
	return NULL;
}

/* One of "name", "name[bucket]", "name[bucket:scope:collection]": what follows the bucket's name does not count. */
static bool parse_role(const char *text, struct role *out)
{
	char name[64];
	size_t n = strcspn(text, "[");
	const char *arg = text[n] ? text + n + 1 : "*";
	snprintf(name, sizeof(name), "%.*s", (int)n, text);
	snprintf(out->bucket, sizeof(out->bucket), "%.*s", (int)strcspn(arg, "]:"), arg);
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		if (strcmp(roles[i].name, name) == 0) {
			out->may = roles[i].may;
			return true;
		}
	}
	return false;
}

static bool parse_roles(struct user *u, const char *text)
{
	char one[200];
	u->n_roles = 0;
	snprintf(u->roles_text, sizeof(u->roles_text), "%s", text);
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ",");
		snprintf(one, sizeof(one), "%.*s", (int)n, p);
		if (u->n_roles == ROLES_MAX || !parse_role(one, &u->role[u->n_roles++]))
			return false;
		p += n + (p[n] == ',');
	}
	return true;
}

/* Streams of a user who may not stream any more. */
static void end_streams(struct fake *f)
{
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			if (c->is_dcp && c->b && !(user_may(c->user, c->b) & MAY_STREAM))
				dcp_end_all(f, c, 8);
}

bool user_set(struct fake *f, const char *name, const char *password, const char *text)
{
	struct user fresh = { 0 }, *u = user_named(f, name);
	if (u)
		fresh = *u;
	snprintf(fresh.name, sizeof(fresh.name), "%s", name);
	if (password)
		snprintf(fresh.password, sizeof(fresh.password), "%s", password);
	if (!*name || !parse_roles(&fresh, text) || (!u && f->n_users == USERS_MAX))
		return false;
	if (!u)
		u = &f->user[f->n_users++];
	*u = fresh;
	end_streams(f);
	return true;
}

bool user_remove(struct fake *f, const char *name)
{
	struct user *u = user_named(f, name);
	if (!u || u == &f->user[0])
		return false;
	u->removed = true;
	u->n_roles = 0;
	end_streams(f);
	return true;
}

unsigned user_may(const struct user *u, const struct bucket *b)
{
	unsigned may = 0;
	for (unsigned i = 0; u && i < u->n_roles; i++) {
		const struct role *r = &u->role[i];
		if (!b || strcmp(r->bucket, "*") == 0 || strcmp(r->bucket, b->name) == 0)
			may |= r->may;
	}
	return may;
}

struct user *user_of_certificate(struct fake *f, SSL *ssl, bool *has_one)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	char name[64] = "";
	*has_one = cert != NULL;
	if (!cert)
		return NULL;
	int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
					  sizeof(name));
	X509_free(cert);
	return n > 0 ? user_named(f, name) : NULL;
}

void users_json(struct fake *f, struct buf *out)
{
	bool first = true;
	buf_add_str(out, "[");
	for (unsigned i = 0; i < f->n_users; i++) {
		const struct user *u = &f->user[i];
		if (u->removed)
			continue;
		buf_add_fmt(out, "%s{\"id\":\"%s\",\"domain\":\"local\",\"roles\":[",
			    first ? "" : ",", u->name);
		first = false;
		for (const char *p = u->roles_text; *p;) {
			size_t n = strcspn(p, ","), name = strcspn(p, "[,");
			buf_add_fmt(out, "%s{\"role\":\"%.*s\"", p == u->roles_text ? "" : ",",
				    (int)name, p);
			if (name < n)
				buf_add_fmt(out, ",\"bucket_name\":\"%.*s\"",
					    (int)strcspn(p + name + 1, "]:"), p + name + 1);
			buf_add_str(out, "}");
			p += n + (p[n] == ',');
		}
		buf_add_str(out, "]}");
	}
	buf_add_str(out, "]");
}
