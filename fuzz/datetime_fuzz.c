/* Dates and zones. The first byte picks: a TZif file, which must be read or refused, and then give offsets that lead there
 * and back; or a text and a format with a NUL between them, to be parsed and printed.
 */
#include "doc/datetime.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice file;

static int load(const char *name, struct buf *out, struct err *e)
{
	(void)name;
	buf_add_slice(out, file);
	return buf_check(out, e);
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_zone(void)
{
	static const int64_t days[] = { INT64_MIN / 86400000, -40000, -1, 0, 1, 10000, 20000, 60000,
					INT64_MAX / 86400000 };
	struct timezone_cache cache = { 0 };
	struct timezone_ref z;
	struct err e = ERR_INIT;
	timezone_set_loader(load);
	if (timezone_find(&cache, SLICE_LIT("Some/Where"), &z, &e) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(days); i++) {
			int64_t ms = days[i] * MS_PER_DAY;
			(void)utc_of_local(local_of_utc(ms, z), z);
		}
	} else
		check(e.code < 0 && e.msg[0]);
	timezone_cache_done(&cache);
}

static void read_text(struct slice text, struct slice format)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct timezone_ref z = { NULL, 5400 };
	int64_t ms, again;
	if (date_parse(text, SLICE_NONE, NULL, &ms, &e) == 0 &&
	    date_format(SLICE_LIT("%Y-%m-%dT%H:%M:%S.%L%z"), ms, z, &out) == 0) {
		check(date_parse(buf_slice(&out), SLICE_NONE, NULL, &again, &e) == 0);
		check(again == ms);
	}
	if (format.p && date_format_check(format, /* parsing */ true) == 0)
		(void)date_parse(text, format, &z, &ms, &e);
	buf_reset(&out);
	if (format.p && date_format_check(format, /* parsing */ false) == 0)
		(void)date_format(format, (int64_t)text.len * 123456789012, z, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 100000)
		return 0;
	struct slice rest = { data + 1, size - 1 };
	const uint8_t *nul = rest.len ? memchr(rest.p, 0, rest.len) : NULL;
	if (data[0] % 2) {
		file = rest;
		read_zone();
	} else if (nul)
		read_text(slice_of(rest.p, (size_t)(nul - rest.p)),
			  slice_of(nul + 1, (size_t)(rest.p + rest.len - nul - 1)));
	else
		read_text(rest, SLICE_NONE);
	return 0;
}
