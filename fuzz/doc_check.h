/* doc_check.h: what must hold for every valid document, whatever it holds; shared by the fuzz
 * targets that come by one. */
#ifndef FUZZ_DOC_CHECK_H
#define FUZZ_DOC_CHECK_H

#include "doc/compare.h"
#include "doc/json.h"

/* Copies value by value, through every writer function. */
static void copy_fields(struct slice doc, struct bson_writer *w)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		if (it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY) {
			if (it.value.type == BSON_DOCUMENT)
				bson_begin_doc(w, it.key);
			else
				bson_begin_array(w, it.key);
			copy_fields(value_slice(it.value), w);
			bson_end(w);
		} else {
			bson_put(w, it.key, it.value);
		}
	}
}

static void check_copy(struct slice doc)
{
	AUTO(buf) struct buf copy = BUF_INIT;
	struct bson_writer w;
	bson_writer_init(&w, &copy);
	copy_fields(doc, &w);
	ASSERT(bson_finish(&w, NULL) == 0);
	struct slice c = buf_slice(&copy);
	ASSERT(bson_validate(c, NULL) == 0);
	/* The same but for array indexes, which the copy counts. */
	ASSERT(value_compare(value_doc(doc), value_doc(c)) == 0);
	ASSERT(value_hash(value_doc(doc), 1) == value_hash(value_doc(c), 1));
}

/* Printed and read again it prints the same. Reading may fail: a stored document like {"$oid": 1}
 * is none in JSON. */
static void check_json(struct slice doc, enum json_mode mode)
{
	AUTO(buf) struct buf text = BUF_INIT, doc2 = BUF_INIT, text2 = BUF_INIT, doc3 = BUF_INIT;
	json_from_bson(doc, mode, &text);
	if (json_to_bson(buf_slice(&text), &doc2, NULL, NULL) < 0)
		return;
	ASSERT(bson_validate(buf_slice(&doc2), NULL) == 0);
	json_from_bson(buf_slice(&doc2), mode, &text2);
	ASSERT(json_to_bson(buf_slice(&text2), &doc3, NULL, NULL) == 0);
	ASSERT(slice_eq(buf_slice(&doc2), buf_slice(&doc3)));
}

static void check_doc(struct slice doc)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		ASSERT(bson_get(doc, it.key).type != BSON_MISSING);
		ASSERT(value_compare(it.value, it.value) == 0);
		ASSERT(value_identical(it.value, it.value));
	}
	check_copy(doc);
	check_json(doc, JSON_CANONICAL);
	check_json(doc, JSON_RELAXED);
}

#endif
