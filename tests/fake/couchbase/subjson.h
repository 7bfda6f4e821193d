/* subjson.h: one operation at a path of a JSON text, as sub-document commands do it: the text around stays as it is. */
#ifndef TESTS_FAKE_COUCHBASE_SUBJSON_H
#define TESTS_FAKE_COUCHBASE_SUBJSON_H

#include "base/buf.h"

enum {
	SUB_GET = 0xc5,
	SUB_EXISTS = 0xc6,
	SUB_DICT_ADD = 0xc7,
	SUB_DICT_UPSERT = 0xc8,
	SUB_DELETE = 0xc9,
	SUB_REPLACE = 0xca,
	SUB_PUSH_LAST = 0xcb,
	SUB_PUSH_FIRST = 0xcc,
	SUB_INSERT = 0xcd,
	SUB_ADD_UNIQUE = 0xce,
	SUB_COUNTER = 0xcf,
	SUB_GET_COUNT = 0xd2,
	SUB_PATH_ENOENT = 0xc0,
	SUB_PATH_MISMATCH = 0xc1,
	SUB_PATH_EINVAL = 0xc2,
	SUB_PATH_E2BIG = 0xc3,
	SUB_CANTINSERT = 0xc5,
	SUB_NOTJSON = 0xc6,
	SUB_ERANGE = 0xc7,
	SUB_DELTA_EINVAL = 0xc8,
	SUB_PATH_EXISTS = 0xc9,
};

/* The path's first name, as it stands; what follows it in *rest. */
struct slice subjson_first(struct slice path, struct slice *rest);

/* A status. `out` gets what a lookup found, or a counter's new value; mutations change `doc`. */
uint16_t subjson_lookup(struct slice doc, uint8_t op, struct slice path, struct buf *out);
uint16_t subjson_mutate(struct buf *doc, uint8_t op, bool make_parents, struct slice path, struct slice value,
			struct buf *out);

#endif
