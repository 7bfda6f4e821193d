/* conf_couchbase.c: YAML nodes against the rows of dcp/options.h.
 *
 * A key's path ("stream.window") is a row, the beginning of rows (a section, so a mapping), or unknown. The translation
 * of go-dcp's file walks go-dcp's keys instead: each gives one row its text, and the rows are written out in their order.
 */
#include "app/conf_couchbase.h"

#include "base/suggest.h"

#include <inttypes.h>
#include <stdio.h>

enum { PATH_MAX_BYTES = 128, ROWS_MAX = DCP_OPTIONS_MAX };

struct walk {
	const struct conf *c;
	struct dcp_config *out;
	bool given[ROWS_MAX];
	struct err *e;
};

static bool is_section(const char *path)
{
	size_t n = strlen(path);
	for (const struct dcp_option *o = dcp_options_table; o->key; o++)
		if (strncmp(o->key, path, n) == 0 && o->key[n] == '.')
			return true;
	return false;
}

/* The names that may stand where `path` does; the nearest, as a path. */
static const char *nearest(const char *prefix, const char *word)
{
	struct suggestion s = SUGGESTION_INIT;
	size_t n = strlen(prefix);
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		if (strncmp(o->key, prefix, n) != 0)
			continue;
		suggest_add(&s, slice_str(word), o->key + n);
	}
	if (s.name)
		return s.name;
	/* A section that is misspelt: it is the first part of a row's key. */
	static const char *const sections[] = { "tls",        "group",      "stream",
						"checkpoint", "mitigation", NULL };
	if (!*prefix && (s.name = suggest(word, sections)) != NULL)
		return s.name;
	/* The right word in the wrong section. */
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		const char *dot = strrchr(o->key, '.');
		if (strcmp(dot ? dot + 1 : o->key, word) == 0)
			return o->key;
	}
	return NULL;
}

static int unknown_key(struct walk *w, const struct conf_node *n, const char *prefix)
{
	char path[PATH_MAX_BYTES];
	(void)snprintf(path, sizeof(path), "%s%.60s", prefix, n->key);
	const struct godcp_key *g = godcp_find(path);
	const char *near = nearest(prefix, n->key);
	if (near)
		return conf_key_error(w->c, n, w->e, ERR_INVALID,
				      "unknown key '%.60s'; did you mean %s?", n->key, near);
	if (g && g->to)
		return conf_key_error(w->c, n, w->e, ERR_INVALID,
				      "unknown key '%.60s': go-dcp's; here it is %s", n->key,
				      g->to);
	return conf_key_error(w->c, n, w->e, ERR_INVALID, "unknown key '%.60s'", n->key);
}

/* A list of names joined by commas. */
static int join_names(struct walk *w, const struct conf_node *n, const char *key, struct buf *out)
{
	if (!n->n)
		return conf_error(w->c, n, w->e, ERR_INVALID, "%s: the list is empty", key);
	for (const struct conf_node *i = n->first; i; i = i->next) {
		if (i->kind != CONF_SCALAR || !i->text[0] || strchr(i->text, ','))
			return conf_error(w->c, i, w->e, ERR_INVALID,
					  "%s: each is one name, without a comma", key);
		buf_add_fmt(out, "%s%s", i == n->first ? "" : ",", i->text);
	}
	return buf_check(out, w->e);
}

/* Sets one row; messages get their place and key in front. */
static int set_row(struct walk *w, const struct conf_node *n, const struct dcp_option *o)
{
	AUTO(buf) struct buf names = BUF_INIT;
	struct err why = ERR_INIT;
	const char *text = n->text;
	if (n->kind == CONF_LIST && o->kind == DCP_OPTION_NAMES) {
		int rc = join_names(w, n, o->key, &names);
		if (rc < 0)
			return rc;
		text = buf_cstr(&names);
	} else if (n->kind != CONF_SCALAR) {
		return conf_error(w->c, n, w->e, ERR_INVALID, "%s takes %s, not %s", o->key,
				  dcp_option_kind_name(o->kind), conf_kind_name(n));
	}
	if (!n->quoted && text == n->text &&
	    (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
		return conf_error(w->c, n, w->e, ERR_INVALID,
				  "%s has no value; leave the key out instead", o->key);
	w->given[o - dcp_options_table] = true;
	int rc = dcp_option_set(w->out, o, text, &why);
	return rc < 0 ? conf_error(w->c, n, w->e, rc, "%s: %s", o->key, why.msg) : 0;
}

static int walk_map(struct walk *w, const struct conf_node *map, const char *prefix)
{
	for (const struct conf_node *n = map->first; n; n = n->next) {
		char path[PATH_MAX_BYTES];
		int len = snprintf(path, sizeof(path), "%s%s", prefix, n->key);
		const struct dcp_option *o = len < (int)sizeof(path) ? dcp_option_find(path) : NULL;
		int rc;
		if (o) {
			rc = set_row(w, n, o);
		} else if (len < (int)sizeof(path) - 1 && is_section(path)) {
			if (n->kind != CONF_MAP)
				return conf_error(w->c, n, w->e, ERR_INVALID,
						  "%s is a section: a mapping, not %s", path,
						  conf_kind_name(n));
			path[len] = '.';
			path[len + 1] = '\0';
			rc = walk_map(w, n, path);
		} else {
			rc = unknown_key(w, n, prefix);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A section that is there is meant, unless it says otherwise. */
static bool section_given(const struct walk *w, const char *section)
{
	size_t n = strlen(section);
	for (const struct dcp_option *o = dcp_options_table; o->key; o++)
		if (w->given[o - dcp_options_table] && strncmp(o->key, section, n) == 0)
			return true;
	return false;
}

static bool row_given(const struct walk *w, const char *key)
{
	return w->given[dcp_option_find(key) - dcp_options_table];
}

int conf_couchbase_read(struct slice text, const char *name, conf_variable *variable, void *arg,
			struct dcp_config *out, struct err *e)
{
	struct conf *c;
	struct err why = ERR_INIT;
	int rc = conf_parse(text, name, variable, arg, &c, e);
	if (rc < 0)
		return rc;
	rc = dcp_config_init(out, e);
	if (rc < 0) {
		conf_free(c);
		return rc;
	}
	struct walk w = { .c = c, .out = out, .e = e };
	const struct conf_node *root = conf_root(c);
	if (root->kind != CONF_MAP)
		rc = conf_error(c, root, e, ERR_INVALID, "keys and values are wanted, not %s",
				conf_kind_name(root));
	else
		rc = walk_map(&w, root, "");
	if (rc == 0 && section_given(&w, "tls.") && !row_given(&w, "tls.enabled"))
		out->tls = true;
	if (rc == 0 && section_given(&w, "mitigation.") && !row_given(&w, "mitigation.enabled"))
		out->mitigate = true;
	if (rc == 0) {
		rc = dcp_config_check(out, &why);
		if (rc < 0)
			rc = err_set(e, rc, "%s: %s", name, why.msg);
	}
	conf_free(c);
	if (rc < 0)
		dcp_config_done(out);
	return rc;
}

/* ---- go-dcp's ---- */

struct import {
	const struct conf *c;
	struct arena arena;
	const char *value[ROWS_MAX]; /* by row: how it is written */
	struct buf notes;
	struct err *e;
};

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
		if (c == '"' || c == '\\')
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

/* The node at a path, and that of the older place under dcp. */
static const struct conf_node *at_path(const struct conf_node *n, const char *path)
{
	char part[PATH_MAX_BYTES];
	while (n && *path) {
		size_t len = strcspn(path, ".");
		ASSERT(len < sizeof(part));
		memcpy(part, path, len);
		part[len] = '\0';
		n = conf_get(n, part);
		path += len + (path[len] == '.');
	}
	return n;
}

static const struct conf_node *find(const struct import *m, const char *path)
{
	const struct conf_node *n = at_path(conf_root(m->c), path);
	if (!n && strncmp(path, "rollbackMitigation.", 19) == 0) {
		n = conf_get(conf_root(m->c), "dcp");
		n = n ? at_path(n, path) : NULL;
	}
	return n;
}

static const char *text_at(const struct import *m, const char *path, const char *otherwise)
{
	const struct conf_node *n = find(m, path);
	return n && n->kind == CONF_SCALAR && n->text[0] ? n->text : otherwise;
}

/* A text as weir would take it under `row`; variables are taken on trust. */
static int put_checked(struct import *m, const struct conf_node *n, const char *key,
		       const struct dcp_option *o, const char *text, struct buf *out)
{
	struct dcp_config scratch;
	struct err why = ERR_INIT;
	put_scalar(out, text);
	if (strstr(text, "${"))
		return 0;
	int rc = dcp_config_init(&scratch, m->e);
	if (rc < 0)
		return rc;
	rc = dcp_option_set(&scratch, o, text, &why);
	dcp_config_done(&scratch);
	if (rc < 0 && n)
		return conf_error(m->c, n, m->e, rc, "%s: %s", key, why.msg);
	ASSERT(rc == 0 ||
	       rc == ERR_NOMEM); /* a default that weir does not take is a bug of the table */
	return rc;
}

/* go-dcp's sizes: KB is 1024, the comma is a point. Written in the largest unit that holds them. */
static int put_size(struct import *m, const struct conf_node *n, const char *key,
		    const struct dcp_option *o, const char *text, struct buf *out)
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB" };
	char point[64], whole[64];
	uint64_t bytes;
	size_t unit = 0;
	(void)snprintf(point, sizeof(point), "%s", text);
	for (char *p = point; *p; p++)
		*p = *p == ',' ? '.' : *p;
	if (strstr(text, "${"))
		return put_checked(m, n, key, o, text, out);
	if (!dcp_parse_size(point, 1024, &bytes))
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "%s: '%.40s' is not a size such as 16mb", key, text);
	for (; unit < 3 && bytes && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	(void)snprintf(whole, sizeof(whole), "%" PRIu64 "%s", bytes, units[unit]);
	return put_checked(m, n, key, o, whole, out);
}

static void put_host(struct import *m, const struct conf_node *n, const char *host, struct buf *out)
{
	const char *colon = strrchr(host, ':');
	char bare[256];
	bool management = colon && (strcmp(colon, ":8091") == 0 || strcmp(colon, ":18091") == 0);
	(void)snprintf(bare, sizeof(bare), "%.*s",
		       management ? (int)(colon - host) : (int)strlen(host), host);
	if (colon && !management && !strstr(host, "${"))
		note(m, n, "hosts",
		     "a port that is not 8091 or 18091 was kept; weir wants the data "
		     "service's (11210, with TLS 11207)");
	if (strstr(host, "${"))
		note(m, n, "hosts",
		     "see that the variable names no management port (8091): weir begins at the "
		     "data service");
	put_scalar(out, bare);
}

/* Lists, and single texts as a list of one. */
static int put_names(struct import *m, const struct conf_node *n, const struct godcp_key *k,
		     struct buf *out)
{
	if (!n) {
		buf_add_fmt(out, "[%s]", k->def);
		return 0;
	}
	if (n->kind == CONF_MAP || (n->kind == CONF_LIST && !n->n))
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
			put_host(m, n, i->text, out);
		else
			put_scalar(out, i->text);
	}
	buf_add_byte(out, ']');
	return 0;
}

/* metadata.*: one of the two places. */
static int import_place(struct import *m)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const struct conf_node *n = find(m, "metadata.type");
	const char *type = text_at(m, "metadata.type", "couchbase");
	if (strcmp(type, "noop") == 0)
		return 0;
	if (strcmp(type, "couchbase") == 0) {
		put_scalar(&out,
			   text_at(m, "metadata.config.bucket", text_at(m, "bucketName", "")));
		return keep(m, "checkpoint.bucket", &out);
	}
	if (strcmp(type, "file") != 0)
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "metadata.type: '%.40s' is none of couchbase|file|noop", type);
	const char *file = text_at(m, "metadata.config.fileName", NULL);
	if (!file)
		return conf_error(m->c, n, m->e, ERR_INVALID,
				  "metadata.type: file needs metadata.config.fileName");
	put_scalar(&out, file);
	return keep(m, "checkpoint.file", &out);
}

/* The value of one key under its row. */
static int import_key(struct import *m, const struct godcp_key *k)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const struct conf_node *n = find(m, k->key);
	const struct dcp_option *o = k->to ? dcp_option_find(k->to) : NULL;
	if (k->way == GODCP_NOTHING || k->way == GODCP_PLACE) {
		if (n && k->way == GODCP_NOTHING)
			note(m, n, k->key, k->note);
		return 0;
	}
	if (k->way == GODCP_MEMBERS) {
		const char *type = text_at(m, k->key, k->def);
		if (strcmp(type, "static") != 0) {
			char why[200];
			(void)snprintf(why, sizeof(why),
				       "%.40s has no counterpart: give every member "
				       "group.member and group.total",
				       type);
			note(m, n, k->key, why);
		}
		return 0;
	}
	ASSERT(o);
	if (!n && (!k->def || m->value[o - dcp_options_table]))
		return 0;
	if (o->kind == DCP_OPTION_NAMES) {
		int rc = put_names(m, n, k, &out);
		return rc < 0 ? rc : keep(m, k->to, &out);
	}
	if (n && n->kind != CONF_SCALAR)
		return conf_error(m->c, n, m->e, ERR_INVALID, "%s takes a single value, not %s",
				  k->key, conf_kind_name(n));
	const char *text = n ? n->text : k->def;
	if (!*text)
		return 0;
	if (k->way == GODCP_FROM && strcmp(text, "earliest") == 0)
		text = "oldest";
	else if (k->way == GODCP_FROM && strcmp(text, "latest") == 0)
		text = "now";
	else if (k->way == GODCP_NOT && strcmp(text, "true") == 0)
		text = "false";
	else if (k->way == GODCP_NOT && strcmp(text, "false") == 0)
		text = "true";
	int rc = k->way == GODCP_SIZE ? put_size(m, n, k->key, o, text, &out)
				      : put_checked(m, n, k->key, o, text, &out);
	if (rc < 0 || (!n && o->def && strcmp(o->def, buf_cstr(&out)) == 0))
		return rc;
	return keep(m, k->to, &out);
}

/* What the file has that go-dcp does not know. */
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
		if (!section)
			return conf_key_error(m->c, n, m->e, ERR_INVALID,
					      "'%.60s' is no key of go-dcp%s%s%s", path,
					      s.name ? "; did you mean " : "", s.name ? s.name : "",
					      s.name ? "?" : "");
		if (n->kind != CONF_MAP)
			return conf_error(m->c, n, m->e, ERR_INVALID,
					  "%s is a section: a mapping, not %s", path,
					  conf_kind_name(n));
		path[len] = '.';
		path[len + 1] = '\0';
		int rc = check_keys(m, n, path);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void write_rows(const struct import *m, const char *name, struct buf *out)
{
	char section[PATH_MAX_BYTES] = "";
	buf_add_str(out, "# From ");
	put_comment(out, name);
	buf_add_str(
		out,
		", a configuration of go-dcp. Stop go-dcp before this takes over its checkpoints: "
		"go-dcp does not fence.\n");
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		const char *value = m->value[o - dcp_options_table];
		const char *dot = strchr(o->key, '.');
		size_t n = dot ? (size_t)(dot - o->key) : 0;
		if (!value) {
			if (o->required)
				buf_add_fmt(out, "# %s: is missing there, and required here\n",
					    o->key);
			continue;
		}
		if (n && (strlen(section) != n || memcmp(section, o->key, n) != 0)) {
			memcpy(section, o->key, n);
			section[n] = '\0';
			buf_add_fmt(out, "%s:\n", section);
		}
		buf_add_fmt(out, "%s%s: %s\n", n ? "  " : "", n ? dot + 1 : o->key, value);
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
	for (const struct godcp_key *k = godcp_keys; rc == 0 && k->key; k++)
		rc = import_key(&m, k);
	if (rc == 0)
		rc = import_place(&m);
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
