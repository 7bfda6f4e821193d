/* conf_godcp.c: go-dcp's file as weir's.
 *
 *	go-dcp's keys (dcp/options_godcp.c), in order ─▶ each gives one row its text ─▶ the rows, in theirs
 *
 * What go-dcp takes, weir has to take afterwards: values are read as Go and its YAML library read them (durations with
 * ns and us, sizes with a decimal comma, yes for true, 0x10, no value at all for the default) and written as weir does.
 * What lies outside of weir's limits is brought to the nearest that does not, with a comment. */
#include "app/conf_godcp.h"

#include "base/suggest.h"

#include <stdio.h>
#include <strings.h>

enum { PATH_MAX_BYTES = 128 };

static int keep(struct import *m, const char *row, struct buf *text)
{
	const struct dcp_option *o = dcp_option_find(row);
	ASSERT(o);
	if (buf_check(text, m->e) < 0)
		return ERR_NOMEM;
	m->value[o - dcp_options_table] = arena_strdup(&m->arena, buf_slice(text));
	return m->value[o - dcp_options_table] ? 0 : err_nomem(m->e);
}

static int keep_text(struct import *m, const char *row, const char *text)
{
	AUTO(buf) struct buf out = BUF_INIT;
	godcp_put_scalar(&out, text);
	return keep(m, row, &out);
}

/* ---- finding ---- */

/* For Go's YAML library a key without a value is one that is not there. */
static bool is_null(const struct conf_node *n)
{
	return n->kind == CONF_SCALAR && !n->quoted &&
	       (!*n->text || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0 ||
		strcmp(n->text, "Null") == 0 || strcmp(n->text, "NULL") == 0);
}

static const struct conf_node *at_path(const struct conf_node *n, const char *path)
{
	char part[PATH_MAX_BYTES];
	while (n && *path) {
		size_t len = strcspn(path, ".");
		ASSERT(len < sizeof(part));
		memcpy(part, path, len);
		part[len] = '\0';
		n = n->kind == CONF_MAP ? conf_get(n, part) : NULL;
		path += len + (path[len] == '.');
	}
	return n && !is_null(n) ? n : NULL;
}

/* The node at a path, or at that of the older place under dcp. */
static const struct conf_node *find(const struct import *m, const char *path)
{
	const struct conf_node *n = at_path(conf_root(m->c), path);
	if (!n && strncmp(path, "rollbackMitigation.", 19) == 0) {
		n = at_path(conf_root(m->c), "dcp");
		n = n ? at_path(n, path) : NULL;
	}
	return n;
}

static const char *text_at(const struct import *m, const char *path, const char *otherwise)
{
	const struct conf_node *n = find(m, path);
	return n && n->kind == CONF_SCALAR && n->text[0] ? n->text : otherwise;
}

/* ---- lists ---- */

/* The management service has another port with TLS. */
static void put_host(struct import *m, const struct conf_node *n, const struct godcp_key *k,
		     const char *host, struct buf *out)
{
	char text[256];
	size_t len = strlen(host);
	const char *secure = text_at(m, "secureConnection", "false");
	if (k->apart)
		secure = text_at(m, "metadata.config.secureConnection", secure);
	bool tls = strcasecmp(secure, "true") == 0 || strcasecmp(secure, "yes") == 0 ||
		   strcasecmp(secure, "on") == 0 || strcasecmp(secure, "y") == 0;
	bool plain_port = len > 5 && strcmp(host + len - 5, ":8091") == 0;
	(void)snprintf(text, sizeof(text), "%s", host);
	if (tls && plain_port && len + 2 < sizeof(text)) {
		(void)snprintf(text + len - 5, sizeof(text) - len + 5, ":18091");
		if (!m->told_port)
			godcp_note(m, n, k->key,
				   "with TLS the management service has port 18091, not 8091");
		m->told_port = true;
	}
	godcp_put_scalar(out, text);
}

/* The parts of "a,b", each as a host. */
static void put_hosts(struct import *m, const struct conf_node *n, const struct godcp_key *k,
		      const char *text, struct buf *out)
{
	char host[256];
	bool some = false;
	while (*text) {
		size_t len = strcspn(text, ",");
		(void)snprintf(host, sizeof(host), "%.*s", (int)len, text + strspn(text, " "));
		host[strcspn(host, " ,")] = '\0';
		text += len + (text[len] == ',');
		if (!*host)
			continue;
		buf_add_str(out, some ? ", " : "");
		put_host(m, n, k, host, out);
		some = true;
	}
}

/* Lists, and single texts as a list of one. */
static int put_names(struct import *m, const struct conf_node *n, const struct godcp_key *k,
		     struct buf *out)
{
	if (!n) {
		buf_add_fmt(out, "[%s]", k->def);
		return 0;
	}
	if (n->kind == CONF_MAP)
		return conf_error(m->c, n, m->e, ERR_INVALID, "%s takes a list of names", k->key);
	buf_add_byte(out, '[');
	const struct conf_node *first = n->kind == CONF_LIST ? n->first : n;
	for (const struct conf_node *i = first; i; i = n->kind == CONF_LIST ? i->next : NULL) {
		if (i->kind != CONF_SCALAR || !i->text[0])
			return conf_error(m->c, i, m->e, ERR_INVALID, "%s: each is one name",
					  k->key);
		if (i != first)
			buf_add_str(out, ", ");
		if (k->way == GODCP_HOSTS)
			put_hosts(m, n, k, i->text, out);
		else
			godcp_put_scalar(out, i->text);
	}
	buf_add_byte(out, ']');
	return 0;
}

/* ---- members ---- */

static bool in_documents(uint32_t members)
{
	return members == DCP_MEMBERS_COUCHBASE || members == DCP_MEMBERS_LIL_COUCHBASE;
}

static bool keeps_file(const struct import *m)
{
	return strcmp(text_at(m, "metadata.type", "couchbase"), "file") == 0;
}

/* A file of each member cannot be handed over, so a file means that there is one. */
static int import_members(struct import *m)
{
	static const char *const theirs[] = { "static",    "dynamic",      "kubernetesStatefulSet",
					      "couchbase", "lilCouchbase", "kubernetesHa" };
	static const char *const ours[] = { "static",    "dynamic",       "statefulset",
					    "couchbase", "lil_couchbase", "lease" };
	static const char key[] = "dcp.group.membership.type";
	const struct conf_node *n = find(m, key);
	const char *type = text_at(m, key, "couchbase");
	uint32_t i = 0;
	while (i < ARRAY_LEN(theirs) && strcmp(type, theirs[i]) != 0)
		i++;
	if (i == ARRAY_LEN(theirs))
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "%s: '%.40s' is none of "
				  "static|dynamic|couchbase|lilCouchbase|kubernetesStatefulSet|"
				  "kubernetesHa",
				  key, type);
	bool fixed = i == DCP_MEMBERS_STATIC || i == DCP_MEMBERS_STATEFULSET;
	if (keeps_file(m) && !fixed) {
		godcp_note(m, n, key,
			   "members that come and go cannot share metadata.type: file; this is one "
			   "member "
			   "of one. For more: checkpoint.bucket and group.membership.kind");
		i = DCP_MEMBERS_STATIC;
		m->members = i;
		return 0;
	}
	m->members = i;
	if (i == DCP_MEMBERS_LEASE &&
	    (!text_at(m, "leaderElection.config.leaseLockName", NULL) ||
	     !text_at(m, "leaderElection.config.leaseLockNamespace", NULL)))
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "%s: kubernetesHa needs leaderElection.config.leaseLockName and "
				  "leaseLockNamespace",
				  key);
	int rc = keep_text(m, "group.membership.kind", ours[i]);
	if (rc == 0 && fixed && keeps_file(m)) /* it holds what go-dcp's share had */
		rc = keep_text(m, "group.membership.contiguous", "true");
	return rc;
}

/* A number that the environment may override. */
static int import_number(struct import *m, const struct godcp_key *k, const struct given *g)
{
	AUTO(buf) struct buf value = BUF_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	if (godcp_has_variable(g->text)) {
		char why[160];
		(void)snprintf(why, sizeof(why),
			       "the variable %s is not looked at, since the value is "
			       "a variable itself",
			       k->variable);
		godcp_note(m, g->n, g->key, why);
		return keep_text(m, k->to, g->text);
	}
	int rc = godcp_put_count(m, g, &value);
	if (rc == 0)
		buf_add_str(&value, k->def);
	if (rc >= 0) {
		buf_add_fmt(&out, "\"${%s:%s}\"", k->variable, buf_cstr(&value));
		rc = keep(m, k->to, &out);
	}
	return rc;
}

/* ---- keys ---- */

/* metadata.*: one of the two places; and where members are kept, when that is another. */
static int import_place(struct import *m)
{
	const struct conf_node *n = find(m, "metadata.type");
	const char *type = text_at(m, "metadata.type", "couchbase"),
		   *source = text_at(m, "bucketName", "");
	const char *bucket = text_at(m, "metadata.config.bucket", source);
	if (strcmp(type, "couchbase") == 0)
		return *bucket ? keep_text(m, "checkpoint.bucket", bucket) : 0;
	if (in_documents(m->members) && strcmp(bucket, source) != 0) {
		int rc = keep_text(m, "group.membership.bucket", bucket);
		if (rc < 0)
			return rc;
	}
	if (strcmp(type, "noop") == 0)
		return keep_text(m, "checkpoint.none", "true");
	if (strcmp(type, "file") != 0)
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "metadata.type: '%.40s' is none of couchbase|file|noop", type);
	const char *file = text_at(m, "metadata.config.fileName", NULL);
	if (!file)
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "metadata.type: file needs metadata.config.fileName");
	return keep_text(m, "checkpoint.file", file);
}

/* Whether the key means anything with these members. */
static bool applies(struct import *m, const struct godcp_key *k, const struct conf_node *n)
{
	bool elsewhere =
		k->apart && strcmp(text_at(m, "metadata.type", "couchbase"), "couchbase") != 0;
	if (!elsewhere && (!k->members || (k->members >> m->members & 1)))
		return true;
	if (n)
		godcp_note(m, n, k->key,
			   elsewhere ? "means nothing but with metadata.type: couchbase"
				     : "means nothing with these members");
	return false;
}

/* The value of one key under its row. */
static int import_key(struct import *m, const struct godcp_key *k)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const struct conf_node *n = find(m, k->key);
	const struct dcp_option *o = k->to ? dcp_option_find(k->to) : NULL;
	if (k->way == GODCP_NOTHING || k->way == GODCP_PLACE || k->way == GODCP_MEMBERS) {
		if (n && k->way == GODCP_NOTHING)
			godcp_note(m, n, k->key, k->note);
		return 0;
	}
	ASSERT(o);
	const char *def = k->given ? NULL : k->def;
	if (!applies(m, k, n) || (!n && (!def || m->value[o - dcp_options_table])))
		return 0;
	if (n && n->kind == CONF_LIST && !n->n)
		n = NULL;
	if (o->kind == DCP_OPTION_NAMES) {
		int rc = n || def ? put_names(m, n, k, &out) : 0;
		return rc < 0 || !out.len ? rc : keep(m, k->to, &out);
	}
	if (n && n->kind != CONF_SCALAR)
		return conf_error(m->c, n, m->e, ERR_INVALID, "%s takes a single value, not %s",
				  k->key, conf_kind_name(n));
	struct given g = { n, k->key, n ? n->text : def, o };
	if (!g.text || !*g.text)
		g = (struct given){ NULL, k->key, def, o };
	if (!g.text)
		return 0;
	if (k->variable)
		return import_number(m, k, &g);
	int rc = godcp_put_value(m, &g, k, &out);
	if (rc == 0 && def) { /* nothing: the default */
		buf_reset(&out);
		g = (struct given){ NULL, k->key, def, o };
		rc = godcp_put_value(m, &g, k, &out);
	}
	if (rc <= 0 || (!g.n && o->def && strcmp(o->def, buf_cstr(&out)) == 0))
		return MIN(rc, 0);
	return keep(m, k->to, &out);
}

static const char *value_of(const struct import *m, const char *row)
{
	return m->value[dcp_option_find(row) - dcp_options_table];
}

/* What one row means for another. For weir a certificate means TLS; for go-dcp it does not. */
static int settle(struct import *m)
{
	const char *interval = value_of(m, "mitigation.interval");
	uint64_t most, least;
	int rc = 0;
	if (value_of(m, "tls.ca") && !value_of(m, "tls.enabled"))
		rc = keep_text(m, "tls.enabled", "false");
	if (rc == 0 && value_of(m, "checkpoint.hosts") && !value_of(m, "checkpoint.tls.enabled") &&
	    value_of(m, "tls.enabled"))
		m->value[dcp_option_find("checkpoint.tls.enabled") - dcp_options_table] =
			value_of(m, "tls.enabled");
	bool short_one =
		interval && dcp_parse_duration_ms(interval, &most) &&
		dcp_parse_duration_ms(dcp_option_find("mitigation.interval_min")->def, &least) &&
		most < least;
	return rc == 0 && short_one ? keep_text(m, "mitigation.interval_min", interval) : rc;
}

/* ---- the whole file ---- */

static int unknown(struct import *m, const struct conf_node *n, const char *path, const char *near)
{
	if (near)
		return conf_key_error(m->c, n, m->e, ERR_INVALID,
				      "'%.60s' is no key of go-dcp; did you mean %s?", path, near);
	godcp_note(m, n, path, "no key of go-dcp; it was left out");
	return 0;
}

/* What the file has that go-dcp does not know: what looks like a slip is an error, the rest (a connector's own
 * sections) is left out. */
static int check_keys(struct import *m, const struct conf_node *map, const char *prefix)
{
	for (const struct conf_node *n = map->first; n; n = n->next) {
		char path[PATH_MAX_BYTES];
		int len = snprintf(path, sizeof(path), "%s%s", prefix, n->key);
		bool section = false;
		struct suggestion s = SUGGESTION_INIT;
		if (len >= (int)sizeof(path) - 1)
			return conf_key_error(m->c, n, m->e, ERR_INVALID, "unknown key '%.60s'",
					      n->key);
		const char *known =
			strncmp(path, "dcp.rollbackMitigation", 22) == 0 ? path + 4 : path;
		if (godcp_find(known))
			continue;
		for (const struct godcp_key *k = godcp_keys; k->key; k++) {
			size_t at = strlen(known);
			section |= strncmp(k->key, known, at) == 0 && k->key[at] == '.';
			suggest_add(&s, slice_str(path), k->key);
		}
		if (section && is_null(n))
			continue;
		if (section && n->kind != CONF_MAP)
			return conf_error(m->c, n, m->e, ERR_INVALID,
					  "%s is a section: a mapping, not %s", path,
					  conf_kind_name(n));
		path[len] = section ? '.' : '\0';
		path[len + section] = '\0';
		int rc = section ? check_keys(m, n, path) : unknown(m, n, path, s.name);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Opens the sections of a key that are not open yet; where its own name begins. */
static const char *open_sections(char open[PATH_MAX_BYTES], const char *key, struct buf *out)
{
	const char *at = key, *dot;
	while ((dot = strchr(at, '.')) != NULL) {
		size_t n = (size_t)(dot - key) + 1; /* with the dot */
		if (strncmp(open, key, n) != 0) {
			for (const char *p = key; p < at; p++)
				buf_add_str(out, *p == '.' ? "  " : "");
			buf_add_fmt(out, "%.*s:\n", (int)(dot - at), at);
			memcpy(open, key, n);
			open[n] = '\0';
		}
		at = dot + 1;
	}
	for (const char *p = key; p < at; p++)
		buf_add_str(out, *p == '.' ? "  " : "");
	return at;
}

static void write_rows(const struct import *m, const char *name, struct buf *out)
{
	char open[PATH_MAX_BYTES] = "";
	buf_add_str(out, "# From ");
	godcp_put_comment(out, name);
	buf_add_str(
		out,
		", a configuration of go-dcp. Stop go-dcp before this takes over its checkpoints: "
		"go-dcp does not fence.\n");
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		const char *value = m->value[o - dcp_options_table];
		if (value) {
			const char *own = open_sections(open, o->key, out);
			buf_add_fmt(out, "%s: %s\n", own, value);
		} else if (o->required) {
			buf_add_fmt(out, "# %s: is missing there, and required here\n", o->key);
		}
	}
	if (m->notes.len) {
		buf_add_str(out, "\n# Without a counterpart, or to be looked at:\n");
		buf_add(out, m->notes.p, m->notes.len);
	}
}

int conf_couchbase_import(struct slice text, const char *name, struct buf *out, struct err *e)
{
	struct conf *c;
	int rc = conf_parse(text, name, NULL, NULL, &c, e);
	if (rc < 0)
		return rc;
	struct import m = { .c = c, .arena = ARENA_INIT, .notes = BUF_INIT, .e = e };
	const struct conf_node *root = conf_root(c);
	if (root->kind != CONF_MAP)
		rc = conf_error(c, root, e, ERR_INVALID, "keys and values are wanted, not %s",
				conf_kind_name(root));
	else
		rc = check_keys(&m, root, "");
	if (rc == 0)
		rc = import_members(&m);
	for (const struct godcp_key *k = godcp_keys; rc == 0 && k->key; k++)
		rc = import_key(&m, k);
	if (rc == 0)
		rc = import_place(&m);
	if (rc == 0)
		rc = settle(&m);
	if (rc == 0) {
		rc = buf_check(&m.notes, e);
		write_rows(&m, name, out);
	}
	if (rc == 0)
		rc = buf_check(out, e);
	buf_done(&m.notes);
	arena_done(&m.arena);
	conf_free(c);
	return rc;
}
