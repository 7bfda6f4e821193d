/* generate.h: documents and specifications from fuzz input, byte by byte, so that mutations change what is tested and not
 * only whether it parses. When the bytes run out, the rest is as small as possible. */
#ifndef FUZZ_GENERATE_H
#define FUZZ_GENERATE_H

#include "doc/bson.h"

struct generator {
	const uint8_t *p, *end;
};

static inline unsigned generate_byte(struct generator *g, unsigned below)
{
	return g->p < g->end ? *g->p++ % below : 0;
}

/* A word of a list that ends in NULL. */
static inline struct slice generate_word(struct generator *g, const char *const *words)
{
	unsigned n = 0;
	while (words[n])
		n++;
	return slice_str(words[generate_byte(g, n)]);
}

static const char *const generate_names[] = { "a", "b",   "c",   "a.b", "0", "1",
					      "",  "b.0", "_id", "d",   "e", NULL };

static inline void generate_fields(struct generator *g, struct bson_writer *w, bool array,
				   int depth);

static inline void generate_value(struct generator *g, struct bson_writer *w, struct slice key,
				  int depth)
{
	switch (generate_byte(g, depth < 5 ? 12 : 8)) {
	case 0: bson_put_int32(w, key, (int32_t)generate_byte(g, 4)); break;
	case 1:
		bson_put_string(w, key, slice_str(generate_byte(g, 2) ? "x" : "a longer text"));
		break;
	case 2: bson_put_null(w, key); break;
	case 3: bson_put_int64(w, key, (int64_t)generate_byte(g, 4) - 1); break;
	case 4: bson_put_double(w, key, generate_byte(g, 4) / 2.0); break;
	case 5: bson_put_bool(w, key, generate_byte(g, 2)); break;
	case 6: bson_put_int32(w, key, INT32_MAX); break;
	case 7: bson_put(w, key, (struct value){ .type = BSON_DECIMAL128 }); break;
	case 8:
	case 9:
		bson_begin_array(w, key);
		generate_fields(g, w, true, depth + 1);
		bson_end(w);
		break;
	default:
		bson_begin_doc(w, key);
		generate_fields(g, w, false, depth + 1);
		bson_end(w);
	}
}

static inline void generate_fields(struct generator *g, struct bson_writer *w, bool array,
				   int depth)
{
	unsigned n = generate_byte(g, 6);
	for (unsigned i = 0; i < n; i++)
		generate_value(g, w, array ? SLICE_NONE : generate_word(g, generate_names), depth);
}

static inline bool generate_doc(struct generator *g, struct buf *out)
{
	struct bson_writer w;
	bson_writer_init(&w, out);
	generate_fields(g, &w, false, 0);
	return bson_finish(&w, NULL) == 0;
}

#endif
