/* schema.h: JSON Schema (draft 4) over BSON values, as in { $jsonSchema: ... }: compiled once, checked without
 * allocating.
 *
 * Beside draft 4 there is bsonType ("int", "objectId", ..., or a list of them). References ($ref) may point into the
 * schema itself ("#/definitions/x") or to an id in it; everything remote is refused. What MongoDB refuses and weir
 * takes: $ref, definitions, id, $schema, default, format and the type "integer".
 *
 * Unknown keywords are errors, unless a $ref points below one.
 *
 * Thread: a compiled schema is immutable and may be shared; a struct eval belongs to one thread.
 */
#ifndef DOC_SCHEMA_H
#define DOC_SCHEMA_H

#include "doc/eval.h"

#define SCHEMA_DEPTH_MAX   400 /* schemas inside one another while one value is checked */
#define SCHEMA_REFS_MAX    10000
#define SCHEMA_UNKNOWN_MAX 32 /* unknown keywords that references point below */

struct schema;

/* spec: a validated document; copied. Errors: ERR_INVALID with the place ("properties.age.minimum: ...") and MongoDB's
 * number (14 wrong type, 9 unknown or impossible), ERR_UNSUPPORTED (remote references), ERR_LIMIT, ERR_NOMEM. */
int schema_compile(struct slice spec, struct schema **out, struct err *e);
void schema_free(struct schema *s);

/* 1 the value is valid, 0 it is not, negative: ERR_LIMIT, ERR_NOMEM. */
int schema_check(const struct schema *s, struct eval *ev, struct value v, struct err *e);

#endif
