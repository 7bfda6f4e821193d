/* conf_couchbase.c: YAML nodes against the rows of dcp/options.h.
 *
 * A key's path ("stream.window") is a row, the beginning of rows (a section, so a mapping), or unknown. */
#include "app/conf_couchbase.h"

#include "base/suggest.h"

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
	/* A section that is misspelt: it is the next part of a row's key. */
	static const char *const sections[] = { "tls",        "group",      "stream",
						"checkpoint", "mitigation", NULL };
	static const char *const of_group[] = { "membership", "lease", NULL };
	bool group = strcmp(prefix, "group.") == 0;
	if ((!*prefix || group) && (s.name = suggest(word, group ? of_group : sections)) != NULL)
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
