/* path.h: dotted paths, split once.
 *
 *	"items.0.price"  ->  items | 0 (also the array index 0) | price
 */
#ifndef DOC_PATH_H
#define DOC_PATH_H

#include "doc/bson.h"

#define PATH_PARTS_MAX 200 /* as deep as documents can be */
#define PATH_NO_INDEX  UINT32_MAX

struct path_part {
	struct slice name;
	uint32_t index; /* the array index that name is ("0", "17", not "01"), or PATH_NO_INDEX */
};

struct path {
	const struct path_part *part;
	uint32_t n;
};

/* Splits at every dot; empty names are names ("a..b" has three parts). The parts live in the arena and point into
 * text. ERR_LIMIT beyond PATH_PARTS_MAX, ERR_NOMEM. */
int path_split(struct slice text, struct arena *a, struct path *out, struct err *e);

/* PATH_NO_INDEX unless name is an array index in its only spelling. */
uint32_t path_index(struct slice name);

#endif
