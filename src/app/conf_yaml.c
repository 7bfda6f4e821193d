/* conf_yaml.c: libfyaml's events become nodes. The only user of libfyaml.
 *
 * A node is complete when its end came; an anchor names it from its start, so that an alias to an anchor whose node is
 * not complete is a cycle. Every node counts what it holds with aliases filled in; the sum is checked at each alias
 * and each new node, before anything walks the tree.
 *
 * libfyaml 0.7.12 loses some hundred bytes for each scalar that it has to join from more than a few parts (many escapes,
 * long block scalars): fy_token_get_text does not free its list of them. Its iterators, which would, give wrong text.
 */
#include "app/conf_yaml.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct conf {
	struct arena arena;
	const char *name;
	const struct conf_node *root;
};

struct anchor {
	struct slice name;
	const struct conf_node *node;
	bool whole;
};

struct reader {
	struct conf *c;
	struct fy_parser *p;
	struct fy_diag *diag;
	conf_variable *variable;
	void *arg;
	struct anchor anchor[CONF_ANCHORS_MAX];
	size_t n_anchors, n_nodes;
	struct err *e;
};

static int error_at(const struct conf *c, uint32_t line, uint32_t column, struct err *e, int code,
		    const char *fmt, va_list ap)
{
	char text[ERR_MSG_MAX];
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	return err_set(e, code, "%s:%u:%u: %s", c->name, line, column, text);
}

int conf_error(const struct conf *c, const struct conf_node *n, struct err *e, int code,
	       const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = error_at(c, n->line, n->column, e, code, fmt, ap);
	va_end(ap);
	return rc;
}

int conf_key_error(const struct conf *c, const struct conf_node *n, struct err *e, int code,
		   const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = error_at(c, n->key ? n->key_line : n->line, n->key ? n->key_column : n->column, e,
			  code, fmt, ap);
	va_end(ap);
	return rc;
}

const char *conf_environment(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

const struct conf_node *conf_root(const struct conf *c)
{
	return c->root;
}

const struct conf_node *conf_get(const struct conf_node *map, const char *key)
{
	if (map->kind == CONF_MAP)
		for (const struct conf_node *n = map->first; n; n = n->next)
			if (strcmp(n->key, key) == 0)
				return n;
	return NULL;
}

const char *conf_kind_name(const struct conf_node *n)
{
	switch (n->kind) {
	case CONF_SCALAR: return "a single value";
	case CONF_LIST: return "a list";
	case CONF_MAP: return "a mapping";
	}
	ASSERT(false);
	return "";
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	arena_done(&c->arena);
	mem_free(c);
}

/* ---- variables ---- */

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t ch = s.p[i];
		bool letter = (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || ch == '_';
		if (!letter && !(i && ch >= '0' && ch <= '9'))
			return false;
	}
	return s.len > 0;
}

/* What stands between ${ and }. */
static int put_variable(struct reader *r, const struct conf_node *n, struct slice inside,
			struct buf *out)
{
	enum { NAME_MAX_BYTES = 128 };
	const uint8_t *colon = inside.len ? memchr(inside.p, ':', inside.len) : NULL;
	struct slice name = { inside.p, colon ? (size_t)(colon - inside.p) : inside.len };
	char text[NAME_MAX_BYTES];
	if (!is_name(name) || name.len >= sizeof(text))
		return conf_error(r->c, n, r->e, ERR_INVALID,
				  "'" SLICE_FMT "' is no name of a variable",
				  (int)MIN(name.len, (size_t)40), (const char *)name.p);
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	const char *value = r->variable(r->arg, text);
	if (colon && (!value || !*value)) {
		struct slice def = { colon + 1, inside.len - name.len - 1 };
		if (memmem(def.p, def.len, "${", 2))
			return conf_error(r->c, n, r->e, ERR_INVALID,
					  "${%s:...}: a default cannot hold another ${", text);
		buf_add_slice(out, def);
		return 0;
	}
	if (!value)
		return conf_error(r->c, n, r->e, ERR_INVALID,
				  "the variable %s is not set; set it, or write ${%s:default} ($${ "
				  "for a plain ${)",
				  text, text);
	if (!utf8_valid(slice_str(value)))
		return conf_error(r->c, n, r->e, ERR_INVALID, "the variable %s is not UTF-8", text);
	buf_add_str(out, value);
	return buf_check(out, r->e);
}

static int fill_in(struct reader *r, const struct conf_node *n, struct slice s, struct buf *out)
{
	while (s.len) {
		const uint8_t *at = memmem(s.p, s.len, "${", 2);
		size_t before = at ? (size_t)(at - s.p) : s.len;
		bool literal = at && before && at[-1] == '$';
		buf_add(out, s.p, literal ? before - 1 : before);
		if (!at)
			break;
		s = slice_of(at + 2, s.len - before - 2);
		if (literal) {
			buf_add_str(out, "${");
			continue;
		}
		const uint8_t *end = s.len ? memchr(s.p, '}', s.len) : NULL;
		if (!end)
			return conf_error(r->c, n, r->e, ERR_INVALID, "${ without its }");
		int rc = put_variable(r, n, slice_of(s.p, (size_t)(end - s.p)), out);
		if (rc < 0)
			return rc;
		s = slice_of(end + 1, s.len - (size_t)(end - s.p) - 1);
		if (out->len > CONF_BYTES_MAX)
			return conf_error(r->c, n, r->e, ERR_LIMIT, "the value is over %u bytes",
					  CONF_BYTES_MAX);
	}
	return buf_check(out, r->e);
}

/* ---- nodes ---- */

static struct slice text_of(struct fy_token *t)
{
	size_t len = 0;
	const char *p = t ? fy_token_get_text(t, &len) : NULL;
	return p ? slice_of(p, len) : SLICE_NONE;
}

static struct conf_node *node_new(struct reader *r, enum conf_kind kind, struct fy_event *ev)
{
	struct conf_node *n = arena_try(&r->c->arena, sizeof(*n));
	if (!n) {
		err_nomem(r->e);
		return NULL;
	}
	const struct fy_mark *mark = fy_event_start_mark(ev);
	*n = (struct conf_node){ .kind = kind,
				 .line = mark ? (uint32_t)mark->line + 1 : 1,
				 .column = mark ? (uint32_t)mark->column + 1 : 1,
				 .size_ = 1 };
	return n;
}

static int count(struct reader *r, const struct conf_node *n, size_t more)
{
	r->n_nodes += more;
	if (r->n_nodes <= CONF_NODES_MAX)
		return 0;
	return conf_error(r->c, n, r->e, ERR_LIMIT, "more than %d values, aliases filled in",
			  CONF_NODES_MAX);
}

static int add_anchor(struct reader *r, struct conf_node *n, struct fy_token *name, ssize_t *index)
{
	*index = -1;
	if (!name)
		return 0;
	if (r->n_anchors == CONF_ANCHORS_MAX)
		return conf_error(r->c, n, r->e, ERR_LIMIT, "more than %d anchors",
				  CONF_ANCHORS_MAX);
	struct slice text = text_of(name);
	const char *copy = arena_strdup(&r->c->arena, text);
	if (!copy)
		return err_nomem(r->e);
	*index = (ssize_t)r->n_anchors;
	r->anchor[r->n_anchors++] = (struct anchor){ .name = slice_of(copy, text.len), .node = n };
	return 0;
}

/* A node of its own that shares the children of the anchor's. */
static int read_alias(struct reader *r, struct fy_event *ev, struct conf_node **out)
{
	struct slice name = text_of(ev->alias.anchor);
	struct conf_node *n = node_new(r, CONF_SCALAR, ev);
	if (!n)
		return ERR_NOMEM;
	n->column -= n->column > 1; /* the star's */
	size_t i = r->n_anchors;
	while (i && !slice_eq(r->anchor[i - 1].name, name))
		i--;
	if (i == 0)
		return conf_error(r->c, n, r->e, ERR_INVALID, "there is no anchor &" SLICE_FMT,
				  (int)MIN(name.len, (size_t)40), (const char *)name.p);
	const struct anchor *a = &r->anchor[i - 1];
	if (!a->whole)
		return conf_error(r->c, n, r->e, ERR_INVALID,
				  "*" SLICE_FMT " stands inside what it names (a cycle)",
				  (int)MIN(name.len, (size_t)40), (const char *)name.p);
	uint32_t line = n->line, column = n->column;
	*n = *a->node;
	n->line = line;
	n->column = column;
	n->next = NULL;
	*out = n;
	return count(r, n, n->size_);
}

static int read_scalar(struct reader *r, struct fy_event *ev, struct conf_node *n, bool is_key)
{
	struct slice s = text_of(ev->scalar.value);
	enum fy_scalar_style style =
		ev->scalar.value ? fy_token_scalar_style(ev->scalar.value) : FYSS_PLAIN;
	n->quoted = style != FYSS_PLAIN;
	if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
		n->column -= n->column > 1; /* libfyaml means what is inside */
	AUTO(buf) struct buf filled = BUF_INIT;
	if (s.len && r->variable && !is_key && memmem(s.p, s.len, "${", 2)) {
		int rc = fill_in(r, n, s, &filled);
		if (rc < 0)
			return rc;
		s = buf_slice(&filled);
	}
	if (s.len && memchr(s.p, '\0', s.len))
		return conf_error(r->c, n, r->e, ERR_INVALID, "a value with a NUL in it");
	n->text = arena_strdup(&r->c->arena, s);
	return n->text ? 0 : err_nomem(r->e);
}

static int parser_error(struct reader *r)
{
	void *iterator = NULL;
	struct fy_diag_error *d = fy_diag_errors_iterate(r->diag, &iterator);
	if (!d)
		return err_set(r->e, ERR_FORMAT, "%s: is not YAML", r->c->name);
	return err_set(r->e, ERR_FORMAT, "%s:%d:%d: %s", r->c->name, MAX(d->line, 1),
		       MAX(d->column, 1), d->msg ? d->msg : "is not YAML");
}

/* 1 an event, 0 the end, negative an error. */
static int next_event(struct reader *r, struct fy_event **ev)
{
	*ev = fy_parser_parse(r->p);
	if (*ev)
		return 1;
	void *iterator = NULL;
	if (fy_diag_errors_iterate(r->diag, &iterator) || fy_parser_get_stream_error(r->p))
		return parser_error(r);
	return 0;
}

static int read_node(struct reader *r, struct fy_event *ev, int depth, bool is_key,
		     struct conf_node **out);

static int read_key(struct reader *r, struct conf_node *map, struct fy_event *ev, int depth,
		    const struct conf_node **out)
{
	struct conf_node *key = NULL;
	if (ev->type != FYET_SCALAR) {
		const struct fy_mark *mark = fy_event_start_mark(ev);
		struct conf_node at = { .line = mark ? (uint32_t)mark->line + 1 : 1,
					.column = mark ? (uint32_t)mark->column + 1 : 1 };
		return conf_error(r->c, &at, r->e, ERR_INVALID, "a key must be a plain word");
	}
	int rc = read_node(r, ev, depth, true, &key);
	if (rc < 0)
		return rc;
	if (map->n == CONF_KEYS_MAX)
		return conf_error(r->c, key, r->e, ERR_LIMIT, "more than %d keys in a mapping",
				  CONF_KEYS_MAX);
	const struct conf_node *before = conf_get(map, key->text);
	if (before)
		return conf_error(r->c, key, r->e, ERR_INVALID,
				  "'%.60s' stands here a second time; first on line %u", key->text,
				  before->key_line);
	*out = key;
	return 0;
}

/* The children of a list or mapping, to its end. */
static int read_children(struct reader *r, struct conf_node *n, int depth)
{
	enum fy_event_type end = n->kind == CONF_MAP ? FYET_MAPPING_END : FYET_SEQUENCE_END;
	const struct conf_node **link = &n->first;
	if (depth == CONF_DEPTH_MAX)
		return conf_error(r->c, n, r->e, ERR_LIMIT, "nested deeper than %d",
				  CONF_DEPTH_MAX);
	for (;;) {
		struct fy_event *ev;
		const struct conf_node *key = NULL;
		struct conf_node *child = NULL;
		int rc = next_event(r, &ev);
		if (rc == 1 && ev->type == end) {
			fy_parser_event_free(r->p, ev);
			return 0;
		}
		if (rc == 1 && n->kind == CONF_MAP) {
			rc = read_key(r, n, ev, depth + 1, &key);
			fy_parser_event_free(r->p, ev);
			if (rc == 0)
				rc = next_event(r, &ev);
		}
		if (rc == 0)
			rc = parser_error(r);
		if (rc < 0)
			return rc;
		rc = read_node(r, ev, depth + 1, false, &child);
		fy_parser_event_free(r->p, ev);
		if (rc < 0)
			return rc;
		if (key) {
			child->key = key->text;
			child->key_line = key->line;
			child->key_column = key->column;
			if (child->kind == CONF_SCALAR && !child->quoted && !child->text[0]) {
				child->line = key->line; /* nothing stands nowhere */
				child->column = key->column;
			}
		}
		*link = child;
		link = &child->next;
		n->n++;
		n->size_ += child->size_;
	}
}

static int refuse_tag(struct reader *r, const struct conf_node *n, struct fy_token *tag)
{
	struct slice s = text_of(tag);
	return tag ? conf_error(r->c, n, r->e, ERR_INVALID,
				"tags such as " SLICE_FMT " mean nothing here",
				(int)MIN(s.len, (size_t)40), (const char *)s.p)
		   : 0;
}

static int read_node(struct reader *r, struct fy_event *ev, int depth, bool is_key,
		     struct conf_node **out)
{
	struct fy_token *anchor = NULL, *tag = NULL;
	enum conf_kind kind = CONF_SCALAR;
	switch (ev->type) {
	case FYET_ALIAS: return read_alias(r, ev, out);
	case FYET_SCALAR:
		anchor = ev->scalar.anchor;
		tag = ev->scalar.tag;
		break;
	case FYET_SEQUENCE_START:
		kind = CONF_LIST;
		anchor = ev->sequence_start.anchor;
		tag = ev->sequence_start.tag;
		break;
	case FYET_MAPPING_START:
		kind = CONF_MAP;
		anchor = ev->mapping_start.anchor;
		tag = ev->mapping_start.tag;
		break;
	default: return parser_error(r);
	}
	struct conf_node *n = node_new(r, kind, ev);
	if (!n)
		return ERR_NOMEM;
	ssize_t index = -1;
	int rc = refuse_tag(r, n, tag);
	if (rc == 0)
		rc = count(r, n, 1);
	if (rc == 0)
		rc = add_anchor(r, n, anchor, &index);
	if (rc == 0)
		rc = kind == CONF_SCALAR ? read_scalar(r, ev, n, is_key)
					 : read_children(r, n, depth);
	if (rc < 0)
		return rc;
	if (index >= 0)
		r->anchor[index].whole = true;
	*out = n;
	return 0;
}

/* ---- the whole text ---- */

static int read_stream(struct reader *r)
{
	struct conf_node *root = NULL;
	struct fy_event *ev;
	int rc;
	while ((rc = next_event(r, &ev)) == 1) {
		bool skip = ev->type == FYET_STREAM_START || ev->type == FYET_STREAM_END ||
			    ev->type == FYET_DOCUMENT_START || ev->type == FYET_DOCUMENT_END;
		if (ev->type == FYET_DOCUMENT_START && root) {
			const struct fy_mark *mark = fy_event_start_mark(ev);
			rc = err_set(r->e, ERR_INVALID, "%s:%d:1: one document, not several",
				     r->c->name, mark ? mark->line + 1 : 1);
		} else if (!skip) {
			rc = read_node(r, ev, 0, false, &root);
		}
		fy_parser_event_free(r->p, ev);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return rc;
	bool empty = root && root->kind == CONF_SCALAR && !root->quoted && !root->text[0];
	if (!root || empty) {
		struct conf_node *none = arena_try(&r->c->arena, sizeof(*none));
		if (!none)
			return err_nomem(r->e);
		*none = (struct conf_node){ .kind = CONF_MAP, .line = 1, .column = 1, .size_ = 1 };
		root = none;
	}
	r->c->root = root;
	return 0;
}

static void ignore(struct fy_diag *diag, void *user, const char *text, size_t len)
{
	(void)diag;
	(void)user;
	(void)text;
	(void)len;
}

static int check_bytes(struct slice s, const char *name, struct err *e)
{
	if (s.len > CONF_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "%s: %zu bytes are more than %u", name, s.len,
			       CONF_BYTES_MAX);
	size_t good = utf8_valid_prefix(s);
	const uint8_t *nul = s.len ? memchr(s.p, '\0', s.len) : NULL;
	if (nul && (size_t)(nul - s.p) < good)
		good = (size_t)(nul - s.p);
	if (good == s.len)
		return 0;
	unsigned line = 1, column = 1;
	for (size_t i = 0; i < good; i++) {
		column = s.p[i] == '\n' ? 1 : column + ((s.p[i] & 0xC0) != 0x80);
		line += s.p[i] == '\n';
	}
	return err_set(e, ERR_FORMAT, "%s:%u:%u: %s", name, line, column,
		       s.p[good] ? "not UTF-8" : "a NUL byte; is this a text file?");
}

static int parse_with(struct reader *r, struct slice text)
{
	struct fy_diag_cfg dc;
	fy_diag_cfg_default(&dc);
	dc.fp = NULL;
	dc.output_fn = ignore;
	dc.colorize = false;
	r->diag = fy_diag_create(&dc);
	if (!r->diag)
		return err_nomem(r->e);
	fy_diag_set_collect_errors(r->diag, true);
	struct fy_parse_cfg pc = { .flags = FYPCF_QUIET | FYPCF_JSON_NONE, .diag = r->diag };
	r->p = fy_parser_create(&pc);
	int rc = r->p ? 0 : err_nomem(r->e);
	if (rc == 0 && fy_parser_set_string(r->p, (const char *)text.p, text.len) != 0)
		rc = err_nomem(r->e);
	if (rc == 0)
		rc = read_stream(r);
	if (r->p)
		fy_parser_destroy(r->p);
	fy_diag_destroy(r->diag);
	return rc;
}

int conf_parse(struct slice text, const char *name, conf_variable *variable, void *arg,
	       struct conf **out, struct err *e)
{
	static const uint8_t bom[] = { 0xEF, 0xBB, 0xBF };
	int rc = check_bytes(text, name, e);
	if (rc < 0)
		return rc;
	if (text.len >= sizeof(bom) && memcmp(text.p, bom, sizeof(bom)) == 0)
		text = slice_of(text.p + sizeof(bom), text.len - sizeof(bom));
	struct conf *c = mem_try(sizeof(*c));
	struct reader *r = mem_try(sizeof(*r));
	rc = c && r ? 0 : err_nomem(e);
	if (rc == 0) {
		c->name = name;
		r->c = c;
		r->variable = variable;
		r->arg = arg;
		r->e = e;
		if (text.len)
			rc = parse_with(r, text);
		else
			rc = parse_with(r, SLICE_LIT("{}"));
	}
	mem_free(r);
	if (rc < 0) {
		conf_free(c);
		return rc;
	}
	*out = c;
	return 0;
}
