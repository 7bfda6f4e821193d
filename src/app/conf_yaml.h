/* conf_yaml.h: YAML text as a tree of nodes that know where they stand.
 *
 *	bytes -> checks (size, UTF-8, NUL) -> libfyaml's events -> nodes in one arena -> who reads them asks by kind
 *
 * Scalars stay text: what a number, a duration or "yes" means is the reader's to say, so nothing is guessed
 * ("1_000", "no", "0x10" and "12:30" are what they look like). In values, but never in keys:
 *
 *	${NAME}            the variable; an error at its place when it is not set
 *	${NAME:default}    the default when it is not set or empty; a default ends at the first }
 *	$${                a literal ${
 *
 * What a variable holds is not looked at again: it can bring neither structure nor further variables.
 *
 * Refused, with file, line and column: duplicate keys, keys that are no scalars, tags, several documents, aliases that
 * stand inside what they name (cycles), and documents that grow over CONF_NODES_MAX when aliases are filled in. An
 * alias shares the nodes of its anchor, so that what it expands to costs no memory before it is counted.
 *
 * Thread: one at a time.
 */
#ifndef APP_CONF_YAML_H
#define APP_CONF_YAML_H

#include "base/err.h"
#include "base/slice.h"

#define CONF_BYTES_MAX   (1u << 20)
#define CONF_NODES_MAX   10000
#define CONF_KEYS_MAX    1024 /* of one mapping */
#define CONF_DEPTH_MAX   32
#define CONF_ANCHORS_MAX 256

enum conf_kind { CONF_SCALAR, CONF_LIST, CONF_MAP };

struct conf_node {
	enum conf_kind kind;
	bool quoted;           /* of scalars: 'x', "x", | or > */
	uint32_t line, column; /* from 1 */
	const char *text;      /* of scalars; without NUL inside */
	const struct conf_node *first, *next;
	size_t n; /* children */
	/* in a mapping: */
	const char *key;
	uint32_t key_line, key_column;
	size_t size_; /* nodes below and with this one, aliases filled in */
};

struct conf;

/* Looks a variable up; NULL: not set. */
typedef const char *conf_variable(void *arg, const char *name);

/* name: of the file, for messages; must stay. variable: NULL leaves ${...} as it stands. ERR_FORMAT not YAML,
 * ERR_INVALID refused, ERR_LIMIT too much of it. An empty text is an empty mapping. */
int conf_parse(struct slice text, const char *name, conf_variable *variable, void *arg,
	       struct conf **out, struct err *e);
void conf_free(struct conf *c);

const struct conf_node *conf_root(const struct conf *c);
const struct conf_node *conf_get(const struct conf_node *map, const char *key); /* or NULL */
const char *conf_kind_name(const struct conf_node *n);

/* Raises "file:line:column: ...", where a node or its key stands. */
int conf_error(const struct conf *c, const struct conf_node *n, struct err *e, int code,
	       const char *fmt, ...) PRINTF(5, 6);
int conf_key_error(const struct conf *c, const struct conf_node *n, struct err *e, int code,
		   const char *fmt, ...) PRINTF(5, 6);

/* The process's environment. */
const char *conf_environment(void *arg, const char *name);

#endif
