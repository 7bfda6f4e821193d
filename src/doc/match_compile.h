/* match_compile.h: what the compiler of filters (match_compile.c) and its operators (match_operators.c, match_values.c,
 * match_tests.c) share. */
#ifndef DOC_MATCH_COMPILE_H
#define DOC_MATCH_COMPILE_H

#include "doc/match_tree.h"
#include "doc/spec_place.h"

#define MATCH_PLACE_MAX 256

struct match_nodes {
	struct match_node *v;
	uint32_t n;
	size_t cap;
};

/* A program that grows. index finds a field by its group and name. */
struct match_build {
	struct match_program *p;
	const char *const *roots; /* names of the virtual roots, or NULL */
	size_t fields_cap, groups_cap;
	uint32_t *index, index_cap;
	bool whole; /* arrays at the end of a path are not taken apart ($elemMatch's value form) */
	bool inner; /* inside $elemMatch: $expr and $jsonSchema cannot stand there */
};

struct match_compiler {
	struct match *m;
	struct match_build *b; /* the program under construction */
	uint32_t depth;
	struct err *e;
};

/* One operator of one field: { field: { $gt: arg, ... } }. */
struct match_predicate {
	uint32_t field;
	struct value arg;
	struct slice siblings; /* the document it stands in ($regex looks for its $options) */
	const struct spec_place *at;
};

enum match_where { MATCH_FIELD = 1, MATCH_TOP = 2 };

struct match_operator;

/* Checks the operand and adds the nodes of an operator that belongs to a field, or stands beside the fields. */
typedef int match_field_operator(struct match_compiler *c, const struct match_operator *row,
				 const struct match_predicate *p, struct match_nodes *out);
typedef int match_top_operator(struct match_compiler *c, const struct match_operator *row,
			       struct value arg, const struct spec_place *at,
			       struct match_nodes *out);

struct match_operator {
	const char *name, *group, *help;
	match_field_operator *field;
	match_top_operator *top;
	int param; /* the row's own */
};

extern const struct match_operator match_table[];
extern const size_t match_table_len;

match_field_operator match_op_compare, match_op_not_equal, match_op_regex, match_op_options,
	match_op_in; /* match_values.c */
match_field_operator match_op_exists, match_op_type, match_op_mod, match_op_size,
	match_op_bits; /* match_tests.c */

/* Errors with the place in front; number is MongoDB's. Return code. */
int match_fail(struct match_compiler *c, const struct spec_place *at, int code, int number,
	       const char *fmt, ...) PRINTF(5, 6);
int match_fail_in(struct match_compiler *c, const struct spec_place *at, int rc);

#define BAD(c, at, ...) match_fail(c, at, ERR_INVALID, 2, __VA_ARGS__)

void match_place_text(const struct spec_place *at, char out[MATCH_PLACE_MAX]);

/* A fresh node at the end of the list, zeroed; NULL when out of memory. */
struct match_node *match_nodes_add(struct match_compiler *c, struct match_nodes *list);
/* A test of the predicate's field. */
struct match_node *match_test_add(struct match_compiler *c, struct match_nodes *list,
				  uint32_t field, enum match_op op);
/* Joins a list into one node. */
int match_join(struct match_compiler *c, enum match_kind kind, struct match_nodes *list,
	       struct match_node *out);

/* A whole query document, as one node. */
int match_compile_query(struct match_compiler *c, struct slice doc, const struct spec_place *at,
			struct match_node *out);
/* The operators of one field: { $gt: 1, $lt: 5 }. */
int match_compile_predicates(struct match_compiler *c, uint32_t field, struct slice doc,
			     const struct spec_place *at, struct match_nodes *out);
/* field: literal, regex or operators. */
int match_compile_condition(struct match_compiler *c, uint32_t field, struct value spec,
			    const struct spec_place *at, struct match_nodes *out);
/* A program of its own for $elemMatch: of documents, or of single values. */
int match_compile_inner(struct match_compiler *c, struct slice doc, bool of_values,
			const struct spec_place *at, const struct match_program **out);

int match_enter(struct match_compiler *c,
		const struct spec_place *at); /* ERR_LIMIT when too deep */
void match_leave(struct match_compiler *c);

/* True for documents of operators; DBRefs ({$ref, $id}) are values. */
bool match_is_operators(struct value v, bool incomplete_dbref);
const struct match_operator *match_find_operator(struct slice name);

/* Ties p to the life of the match; frees it at once when that fails. */
int match_own(struct match_compiler *c, void *p, void (*release)(void *p));

#endif
