/* json_fuzz.c: any bytes as JSON text: refused with its place, or a valid document that prints and
 * reads again. */
#include "fuzz/doc_check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	size_t used;
	uint8_t *exact = malloc(size ? size : 1);
	if (!exact)
		return 0;
	if (size)
		memcpy(exact, data, size);
	struct slice text = slice_of(exact, size);
	if (json_to_bson(text, &out, NULL, &e) == 0) {
		ASSERT(bson_validate(buf_slice(&out), NULL) == 0);
		check_doc(buf_slice(&out));
	} else {
		ASSERT(e.code == ERR_FORMAT || e.code == ERR_LIMIT);
		ASSERT(out.len == 0);
	}
	buf_reset(&out);
	if (json_to_value(text, &out, &v, &used, &e) == 0) {
		ASSERT(used <= size);
		ASSERT(value_compare(v, v) == 0);
		AUTO(buf) struct buf again = BUF_INIT;
		json_from_value(v, JSON_CANONICAL, &again);
	}
	free(exact);
	return 0;
}
