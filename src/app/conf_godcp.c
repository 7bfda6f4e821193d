/* conf_godcp.c: go-dcp's file as weir's.
 *
 *	go-dcp's keys (dcp/options_godcp.c), in order ─▶ each gives one row its text ─▶ the rows, in theirs
 *
 * What go-dcp takes, weir has to take afterwards: values are read as Go and its YAML library read them (durations with
 * ns and us, sizes with a decimal comma, yes for true, 0x10, no value at all for the default) and written as weir does.
 * What lies outside of weir's limits is brought to the nearest that does not, with a comment. */
#include "app/conf_couchbase.h"

#include "base/suggest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { PATH_MAX_BYTES = 128, TEXT_BYTES = 64 };

struct import {
	const struct conf *c;
	struct arena arena;
	const char *value[DCP_OPTIONS_MAX]; /* by row: how it is written */
	uint32_t members;                   /* DCP_MEMBERS_* */
	bool told_port;
	struct buf notes;
	struct err *e;
};

/* ---- writing ---- */

/* ${NAME} as both know it. Anything else that begins so is plain text for go-dcp. */
static bool is_variable(const char *text)
{
	size_t n =
		strspn(text + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	return n && text[2 + n] == '}' && !(text[2] >= '0' && text[2] <= '9');
}

static bool has_variable(const char *text)
{
	for (const char *p = text; (p = strstr(p, "${")) != NULL; p += 2)
		if (is_variable(p))
			return true;
	return false;
}

/* A scalar that reads back as it is. */
static void put_scalar(struct buf *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:-";
	size_t n = strspn(text, plain);
	bool risky = !*text || text[n] || text[0] == '-' || text[strlen(text) - 1] == ':' ||
		     strcmp(text, "null") == 0;
	if (!risky) {
		buf_add_str(out, text);
		return;
	}
	buf_add_byte(out, '"');
	for (; *text; text++) {
		uint8_t c = (uint8_t)*text;
		if (c == '$' && text[1] == '{' && !is_variable(text))
			buf_add_str(out, "$$");
		else if (c == '"' || c == '\\')
			buf_add_fmt(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_add_fmt(out, "\\x%02x", c);
		else
			buf_add_byte(out, c);
	}
	buf_add_byte(out, '"');
}

/* Text for a comment: what would end the line is left out. */
static void put_comment(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_add_byte(out, (uint8_t)*text < 0x20 || *text == 0x7f ? ' ' : (uint8_t)*text);
}

static void note(struct import *m, const struct conf_node *n, const char *key, const char *why)
{
	if (n)
		buf_add_fmt(&m->notes, "# line %u: %s: ", n->key_line, key);
	else
		buf_add_fmt(&m->notes, "# %s (not given): ", key);
	put_comment(&m->notes, why);
	buf_add_byte(&m->notes, '\n');
}

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
	put_scalar(&out, text);
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

/* ---- values as Go reads them ---- */

struct given {
	const struct conf_node *n; /* NULL: go-dcp's default */
	const char *key, *text;
	const struct dcp_option *o;
};

static int bad(struct import *m, const struct given *g, const char *what)
{
	return conf_error(m->c, g->n, m->e, ERR_INVALID, "%s: '%.40s' is not %s", g->key, g->text,
			  what);
}

/* Into the row's limits; what was changed is said. */
static uint64_t limited(struct import *m, const struct given *g, uint64_t v)
{
	char why[128];
	uint64_t max = g->o->max ? g->o->max : UINT32_MAX;
	uint64_t in = MAX(MIN(v, max), g->o->min);
	if (in != v) {
		(void)snprintf(why, sizeof(why), "%.40s is %s than weir takes; %s is the nearest",
			       g->text, v < in ? "less" : "more", g->o->key);
		note(m, g->n, g->key, why);
	}
	return in;
}

/* Go's durations: "1h2m3.5s", "-1us". Milliseconds, rounded up. False: none, or less than nothing. */
static bool go_duration(const char *p, uint64_t *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ns", 1e-6 }, { "us", 1e-3 }, { "\xC2\xB5s", 1e-3 }, { "\xCE\xBCs", 1e-3 },
		      { "ms", 1 },    { "s", 1000 },  { "m", 60000 },        { "h", 3600000 } };
	double sum = 0;
	p += *p == '+';
	if (strcmp(p, "0") == 0) {
		*ms = 0;
		return true;
	}
	do {
		size_t digits = strspn(p, "0123456789."), i = 0;
		char *end;
		if (!digits || digits > 30 || !strpbrk(p, "0123456789"))
			return false;
		double n = strtod(p, &end);
		if (end != p + digits)
			return false;
		size_t len = strcspn(end, "0123456789.");
		while (i < ARRAY_LEN(units) &&
		       !(strlen(units[i].unit) == len && memcmp(units[i].unit, end, len) == 0))
			i++;
		if (i == ARRAY_LEN(units))
			return false;
		sum += n * units[i].ms;
		p = end + len;
	} while (*p);
	if (sum > 9.2e12) /* 292 years, Go's longest */
		return false;
	*ms = (uint64_t)ceil(sum - 1e-9);
	return true;
}

/* 1 written, 0 as good as not given. */
static int put_duration(struct import *m, const struct given *g, struct buf *out)
{
	uint64_t ms, same;
	bool plain = dcp_parse_duration_ms(g->text, &same);
	if (!go_duration(g->text, &ms)) {
		bool number = *g->text && !g->text[strspn(g->text, "0123456789")];
		return number ? conf_error(m->c, g->n, m->e, ERR_INVALID,
					   "%s: '%.40s' has no unit; did you mean %.40ss?", g->key,
					   g->text, g->text)
			      : bad(m, g, "a duration such as 250ms, 10s or 1m30s");
	}
	if (ms == 0)
		return 0;
	uint64_t in = limited(m, g, ms);
	if (plain && same == in)
		buf_add_str(out, g->text);
	else
		buf_add_fmt(out, "%" PRIu64 "ms", in);
	return 1;
}

/* KB is 1024 there, the comma is a point. Written in the largest unit that holds it. */
static int put_size(struct import *m, const struct given *g, struct buf *out)
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB" };
	char point[TEXT_BYTES];
	uint64_t bytes;
	size_t unit = 0;
	(void)snprintf(point, sizeof(point), "%s", g->text);
	for (char *p = point; *p; p++)
		*p = *p == ',' ? '.' : *p;
	if (!dcp_parse_size(point, 1024, &bytes))
		return bad(m, g, "a size such as 16mb");
	bytes = limited(m, g, bytes);
	for (; unit < 3 && bytes && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	buf_add_fmt(out, "%" PRIu64 "%s", bytes, units[unit]);
	return 1;
}

/* 12, 1_000, 0x10, 0o17, 0b11. */
static bool go_integer(const char *text, uint64_t *out)
{
	char digits[TEXT_BYTES], *end;
	size_t n = 0;
	text += *text == '+';
	for (; *text && n + 1 < sizeof(digits); text++)
		if (*text != '_')
			digits[n++] = *text;
	digits[n] = '\0';
	if (*text || !(digits[0] >= '0' && digits[0] <= '9'))
		return false;
	int base = digits[0] != '0' || n == 1 ? 10
		   : (digits[1] | 32) == 'x'  ? 16
		   : (digits[1] | 32) == 'b'  ? 2
					      : 8;
	const char *p = digits + (base == 10 ? 0 : (digits[1] | 32) >= 'a' ? 2 : 1);
	*out = strtoull(p, &end, base);
	return *p && !*end;
}

static int put_count(struct import *m, const struct given *g, struct buf *out)
{
	uint64_t n;
	if (!go_integer(g->text, &n))
		return bad(m, g, "a whole number");
	if (n == 0)
		return 0;
	buf_add_fmt(out, "%" PRIu64, limited(m, g, n));
	return 1;
}

static int put_seconds(struct import *m, const struct given *g, struct buf *out)
{
	uint64_t n;
	if (!go_integer(g->text, &n))
		return bad(m, g, "a whole number");
	if (n == 0)
		return 0;
	buf_add_fmt(out, "%" PRIu64 "s", limited(m, g, MIN(n, UINT32_MAX) * 1000) / 1000);
	return 1;
}

/* Go's library still takes YAML 1.1's words where a bool is wanted. */
static int put_flag(struct import *m, const struct given *g, bool turned, struct buf *out)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "n", "y" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(g->text, words[i]) == 0) {
			buf_add_str(out, (i % 2 != 0) != turned ? "true" : "false");
			return 1;
		}
	return bad(m, g, "true or false");
}

/* 2026-1-2, 2026-1-2 3:4:5, 2026-01-02T03:04:05.6+01:00 */
static int put_time(struct import *m, const struct given *g, struct buf *out)
{
	int year, month, day, hour = 0, minute = 0, second = 0, date = 0, used = 0;
	const char *t = g->text;
	if (sscanf(t, "%4d-%2d-%2d%n", &year, &month, &day, &date) != 3 || date == 0)
		return bad(m, g, "a time such as 2026-01-31T10:00:00Z");
	t += date;
	if (*t && (!strchr("Tt ", *t) ||
		   sscanf(t + 1, "%2d:%2d:%2d%n", &hour, &minute, &second, &used) != 3))
		return bad(m, g, "a time such as 2026-01-31T10:00:00Z");
	t += used ? used + 1 : 0;
	size_t fraction = *t == '.' ? 1 + strspn(t + 1, "0123456789") : 0;
	const char *zone = t + fraction;
	buf_add_fmt(out, "%04d-%02d-%02dT%02d:%02d:%02d%.*s%s", year, month, day, hour, minute,
		    second, (int)MIN(fraction, (size_t)4), t, *zone ? zone : "Z");
	return 1;
}

/* go-dcp compares with one word and takes everything else for the other. */
static int put_choice(struct import *m, const struct given *g, const struct godcp_key *k,
		      struct buf *out)
{
	struct dcp_config scratch;
	char why[128];
	const char *text = g->text;
	if (k->way == GODCP_FROM)
		text = strcmp(text, "latest") == 0     ? "now"
		       : strcmp(text, "earliest") == 0 ? "oldest"
						       : text;
	int rc = dcp_config_init(&scratch, m->e);
	if (rc < 0)
		return rc;
	rc = dcp_option_set(&scratch, g->o, text, NULL);
	dcp_config_done(&scratch);
	if (rc == ERR_NOMEM)
		return err_nomem(m->e);
	if (rc < 0) {
		(void)snprintf(why, sizeof(why),
			       "'%.40s' is none of its words; go-dcp takes it for %s", g->text,
			       k->otherwise);
		note(m, g->n, g->key, why);
		text = k->otherwise;
	}
	put_scalar(out, text);
	return 1;
}

/* As weir takes it under its row; variables are taken on trust. */
static int put_value(struct import *m, const struct given *g, const struct godcp_key *k,
		     struct buf *out)
{
	if (has_variable(g->text)) {
		put_scalar(out, g->text);
		return 1;
	}
	if (k->way == GODCP_SECONDS)
		return put_seconds(m, g, out);
	switch (g->o->kind) {
	case DCP_OPTION_TEXT:
	case DCP_OPTION_NAMES: put_scalar(out, g->text); return 1;
	case DCP_OPTION_FLAG: return put_flag(m, g, k->way == GODCP_NOT, out);
	case DCP_OPTION_COUNT: return put_count(m, g, out);
	case DCP_OPTION_SIZE: return put_size(m, g, out);
	case DCP_OPTION_DURATION: return put_duration(m, g, out);
	case DCP_OPTION_TIME: return put_time(m, g, out);
	case DCP_OPTION_CHOICE: return put_choice(m, g, k, out);
	}
	ASSERT(false);
	return 0;
}

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
			note(m, n, k->key,
			     "with TLS the management service has port 18091, not 8091");
		m->told_port = true;
	}
	put_scalar(out, text);
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
			put_scalar(out, i->text);
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
		note(m, n, key,
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
	if (has_variable(g->text)) {
		char why[160];
		(void)snprintf(why, sizeof(why),
			       "the variable %s is not looked at, since the value is "
			       "a variable itself",
			       k->variable);
		note(m, g->n, g->key, why);
		return keep_text(m, k->to, g->text);
	}
	int rc = put_count(m, g, &value);
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
		note(m, n, k->key,
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
			note(m, n, k->key, k->note);
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
	int rc = put_value(m, &g, k, &out);
	if (rc == 0 && def) { /* nothing: the default */
		buf_reset(&out);
		g = (struct given){ NULL, k->key, def, o };
		rc = put_value(m, &g, k, &out);
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
	note(m, n, path, "no key of go-dcp; it was left out");
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
	put_comment(out, name);
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
