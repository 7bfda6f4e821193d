/* match_tree.h: the compiled form of a filter, private to match*.c.
 *
 *	{ a: { $gt: 1, $lt: 9 }, "b.c": "x", $or: [...] }
 *
 *	program ── fields   a   b   b.c          every path of the filter, as a tree of names
 *	        └─ nodes    AND ─┬─ TEST a > 1
 *	                         ├─ TEST a < 9
 *	                         ├─ TEST b.c = "x"
 *	                         └─ OR ...
 *
 * Fields with the same parent form a group. A document is walked once per group, and only as far as the tests ask:
 * what comes by is looked up in the group's hash table and kept, so ten tests cost one walk. A path
 * that meets an array leaves the tree there and goes on element by element (match_eval.c).
 *
 * $elemMatch holds a program of its own: for documents (object form), or for one virtual root
 * (value form). Everything lives in the arena of the struct match and is immutable once compiled.
 */
#ifndef DOC_MATCH_TREE_H
#define DOC_MATCH_TREE_H

#include "doc/match.h"
#include "doc/path.h"

#define MATCH_NONE UINT32_MAX

struct regex;
struct schema;

/* ---- fields ---- */

struct match_field {
	uint64_t head; /* the first 8 bytes of the name, zero-padded */
	struct slice name;
	struct path path; /* a path that begins with the parts down to here */
	uint32_t depth;   /* how many: 1 at the top */
	uint32_t group;   /* the group it is in */
	uint32_t below;   /* the group of the fields below it, or MATCH_NONE */
	uint32_t root;    /* top-level with virtual roots: index of the root, or MATCH_NONE */
};

struct match_group {
	uint32_t parent; /* field, or MATCH_NONE at the top */
	uint32_t n;      /* fields in it */
	uint32_t shift;  /* slots of table: 1 << (64 - shift) */
	uint32_t *table; /* field + 1, or 0; linear probing */
};

/* ---- tests ---- */

enum match_op {
	OP_EQ,
	OP_LT,
	OP_LTE,
	OP_GT,
	OP_GTE,
	OP_IN,
	OP_EXISTS,
	OP_TYPE,
	OP_REGEX,
	OP_MOD,
	OP_BITS,
	OP_SIZE,
	OP_ELEM_DOC,
	OP_ELEM_VALUE,
};

struct match_regex {
	struct regex *code;
	struct slice pattern, options;
};

/* Values in order without repetition; regular expressions beside them. */
struct match_set {
	struct value *value;
	uint32_t n;
	bool has_null;
	uint32_t *slot; /* hash table of indexes + 1 into value; NULL: search */
	uint32_t mask;
	struct match_regex *regex;
	uint32_t n_regex;
};

enum match_bits_op { BITS_ALL_CLEAR, BITS_ALL_SET, BITS_ANY_CLEAR, BITS_ANY_SET };

struct match_bits {
	enum match_bits_op op;
	uint64_t mask; /* for numbers: positions from 63 on are the sign */
	uint32_t n;
	const uint32_t *position; /* for binary values */
};

/* ---- nodes ---- */

enum match_kind {
	NODE_AND,
	NODE_OR,
	NODE_TEST,
	NODE_TRUE,
	NODE_SAMPLE,
	NODE_EXPR,
	NODE_SCHEMA,
};

struct match_node {
	uint8_t kind;   /* enum match_kind */
	uint8_t op;     /* enum match_op of a NODE_TEST */
	bool negate;    /* the result is turned round ($ne, $nin, $not, $nor, ...) */
	bool traverse;  /* an array at the path's end: its elements are tested too */
	int16_t rank;   /* comparisons: value_rank of the operand */
	uint32_t field; /* NODE_TEST */
	uint32_t n;     /* children */
	union {
		const struct match_node *child; /* AND, OR */
		struct value operand;           /* comparisons */
		const struct match_set *set;
		uint32_t types; /* bit match_type_bit(type) */
		const struct match_regex *regex;
		struct {
			int64_t divisor, remainder;
		} mod;
		const struct match_bits *bits;
		uint64_t size;
		const struct match_program *program; /* ELEM_* */
		double rate;                         /* SAMPLE */
		struct expr *expr;
		struct schema *schema;
	};
};

struct match_program {
	struct match_field *field;
	struct match_group *group; /* 0: the top */
	uint32_t n_fields, n_groups;
	bool virtual_roots;
	struct match_node top;
};

/* What lives outside the arena and must be freed with the match. */
struct match_owned {
	struct match_owned *next;
	void *p;
	void (*release)(void *p);
};

struct match {
	struct arena arena;
	struct match_owned *owned;
	const char *const *roots; /* copied; NULL: real documents */
	uint64_t roots_used;
	struct match_program program;
};

static inline uint32_t match_type_bit(uint8_t type)
{
	return type == BSON_MAXKEY ? 20 : type == BSON_MINKEY ? 21 : type;
}

static inline uint64_t match_head(struct slice name)
{
	uint64_t head = 0;
	memcpy(&head, name.p, MIN(name.len, 8));
	return head;
}

static inline uint64_t match_field_hash(uint64_t head, size_t len)
{
	return (head ^ (uint64_t)len << 56) * UINT64_C(0x9e3779b97f4a7c15);
}

/* A number that is an int64 without any change: 2, 2.0, Decimal 2.00. */
bool match_whole_number(struct value v, int64_t *out);

/* Comparisons only: whether v stands in that relation to the operand. */
bool match_compare(const struct match_node *n, struct value v);

#endif
