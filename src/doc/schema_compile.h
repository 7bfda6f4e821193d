/* schema_compile.h: what the compiler of schemas (schema_compile.c) and its references (schema_refs.c) share. */
#ifndef DOC_SCHEMA_COMPILE_H
#define DOC_SCHEMA_COMPILE_H

#include "doc/schema_tree.h"
#include "doc/spec_place.h"

struct schema_ref {
	struct schema_node *node;
	struct slice text;
	char place[128];
};

struct schema_unknown {
	struct slice schema, name;
	char place[128];
	bool used; /* a reference points below it */
};

struct schema_id {
	struct slice uri; /* joined with the ids around it, without an empty fragment */
	struct slice spec;
};

struct schema_compiler {
	struct schema *s;
	struct slice spec; /* the whole */
	uint32_t depth;
	struct err *e;

	struct schema_node **index; /* nodes by the address of their spec */
	uint32_t index_cap, n_nodes;

	struct schema_ref *refs; /* to be followed */
	uint32_t n_refs;
	size_t refs_cap;

	struct schema_id *ids; /* what ids name */
	uint32_t n_ids;
	size_t ids_cap;
	struct schema_id *uris; /* what references say, by the address of their objects */
	uint32_t n_uris;
	size_t uris_cap;

	struct schema_unknown unknown[SCHEMA_UNKNOWN_MAX];
	uint32_t n_unknown;
};

int schema_fail(struct schema_compiler *c, const struct spec_place *at, int code, int number,
		const char *fmt, ...) PRINTF(5, 6);

/* The node of the subschema whose bytes begin at spec.p. */
int schema_node_at(struct schema_compiler *c, struct slice spec, const struct spec_place *at,
		   const struct schema_node **out);

const struct schema_node *schema_index_find(const struct schema_compiler *c, struct slice spec);
bool schema_index_add(struct schema_compiler *c, struct schema_node *n);

int schema_collect_ids(struct schema_compiler *c);
int schema_ref_add(struct schema_compiler *c, struct schema_node *n, struct slice text,
		   const struct spec_place *at);
int schema_follow_refs(struct schema_compiler *c);

#endif
