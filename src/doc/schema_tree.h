/* schema_tree.h: the compiled form of a schema, private to schema_*.c.
 *
 * One node per subschema that stands somewhere in the spec. Keywords that are absent hold values that
 * forbid nothing. References are pointers to other nodes and may form cycles.
 */
#ifndef DOC_SCHEMA_TREE_H
#define DOC_SCHEMA_TREE_H

#include "doc/schema.h"

struct regex;
struct schema_node;

enum schema_type {
	SCHEMA_NULL = 1,
	SCHEMA_BOOLEAN = 2,
	SCHEMA_INTEGER = 4,
	SCHEMA_NUMBER = 8,
	SCHEMA_STRING = 16,
	SCHEMA_ARRAY = 32,
	SCHEMA_OBJECT = 64,
};

typedef bool schema_format(struct slice text);

struct schema_nodes {
	const struct schema_node **v;
	uint32_t n;
};

/* Values compared as JSON Schema does: numbers across types, objects without regard to order. */
struct schema_set {
	struct value *value;
	uint32_t n;
};

/* What is said about members of one name. */
struct schema_member {
	struct slice name;
	const struct schema_node *node; /* properties, or NULL */
	bool required;
	const struct schema_node *then; /* dependencies: a schema for the whole object, */
	const uint32_t *need;           /* or other members that must be there */
	uint32_t n_need;
};

struct schema_pattern {
	struct regex *regex;
	const struct schema_node *node;
};

struct schema_node {
	struct slice spec; /* where it stands: the identity of a node */
	bool is_ref;
	const struct schema_node *ref; /* then nothing else counts */

	uint32_t types, bson_types; /* allowed, enum schema_type and match_type_bit; 0: all */
	struct schema_set values;   /* enum; n 0: all */
	struct schema_nodes all_of, any_of, one_of;
	const struct schema_node * not ;
	bool is_constrained; /* one of the below is there */

	struct value minimum, maximum, multiple_of; /* BSON_MISSING: none */
	bool exclusive_minimum, exclusive_maximum;

	uint64_t min_length, max_length;
	struct regex *pattern;
	schema_format *format;

	uint64_t min_items, max_items;
	bool unique_items;
	const struct schema_node *items; /* of every element, */
	bool has_tuple;                  /* or of the first ones, */
	struct schema_nodes tuple;
	const struct schema_node *additional_items; /* and of those behind */
	bool no_additional_items;

	uint64_t min_members, max_members;
	struct schema_member *member;
	uint32_t n_members;
	uint32_t *member_slot; /* hash table of indexes + 1, by name */
	uint32_t member_mask;
	struct schema_pattern *patterns;
	uint32_t n_patterns;
	const struct schema_node *additional; /* members that nothing else names */
	bool no_additional;
};

struct schema {
	struct arena arena;
	struct schema_owned {
		struct schema_owned *next;
		struct regex *regex;
	} * owned;
	const struct schema_node *root;
};

uint64_t schema_name_hash(struct slice name);

/* The format of that name, or NULL: then it forbids nothing. */
schema_format *schema_find_format(struct slice name);

#endif
