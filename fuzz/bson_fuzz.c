/* bson_fuzz.c: any bytes as a document: refused with an error, or good for everything that reads
 * documents. */
#include "fuzz/doc_check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	if (bson_validate(slice_of(data, size), &e) < 0) {
		ASSERT(e.code == ERR_FORMAT || e.code == ERR_LIMIT);
		return 0;
	}
	/* In a block of its own size, so that reading beyond it is seen. */
	uint8_t *exact = malloc(size);
	if (!exact)
		return 0;
	memcpy(exact, data, size);
	check_doc(slice_of(exact, size));
	free(exact);
	return 0;
}
