/* sysevent.c: what a system event says, in its three forms.
 *
 *	version 0   u64 manifest, u32 scope[, u32 collection]
 *	version 1   version 0 of a creation, u32 max TTL
 *	version 2   a FlatBuffer, for who asked: a table per kind of event
 *
 * A FlatBuffer, little-endian. Fields that have their default (0) are left out, and so are those at the vtable's end:
 *
 *	u32 -> table | vtable: u16 its size, u16 table's size, u16 offset per field | table: i32 -> vtable, fields | strings
 */
#include "tests/fake/couchbase/internal.h"

#include <string.h>

enum { FIELDS_MAX = 10 };

struct field {
	uint8_t size; /* 1, 4, 8; 0: a string */
	uint64_t value;
};

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* One table; at most one field is a string, which is `text`. Returns the length. */
static size_t flatbuffer(const struct field *field, unsigned n, struct slice text, uint8_t *out)
{
	static const uint8_t order[] = { 4, 0, 8, 1 };
	size_t string_at = 0;
	while (n && field[n - 1].size && !field[n - 1].value)
		n--;
	size_t vtable_len = 4 + 2 * (size_t)n, vtable = 4;
	size_t table = (vtable + vtable_len + 3) & ~(size_t)3, end = table + 4;
	memset(out, 0, SYSTEM_EVENT_MAX);
	for (unsigned k = 0; k < sizeof(order); k++) {
		for (unsigned i = 0; i < n; i++) {
			if (field[i].size != order[k] || (field[i].size && !field[i].value))
				continue;
			size_t width = field[i].size ? field[i].size : 4;
			end = (end + width - 1) & ~(width - 1);
			if (field[i].size)
				put_le(out + end, field[i].value, width);
			else
				string_at = end;
			put_le(out + vtable + 4 + 2 * (size_t)i, end - table, 2);
			end += width;
		}
	}
	put_le(out, table, 4);
	put_le(out + vtable, vtable_len, 2);
	put_le(out + vtable + 2, end - table, 2);
	put_le(out + table, table - vtable, 4);
	if (string_at) {
		end = (end + 3) & ~(size_t)3;
		put_le(out + string_at, end - string_at, 4);
		put_le(out + end, text.len, 4);
		memcpy(out + end + 4, text.p, text.len);
		end += 4 + text.len + 1;
	}
	return (end + 3) & ~(size_t)3;
}

static size_t as_table(const struct item *it, uint8_t *out)
{
	struct slice name = slice_of(it->key, it->key_len);
	const struct field collection[] = {
		{ 8, it->manifest_uid }, { 4, it->sid },     { 4, it->cid },
		{ 1, it->has_ttl },      { 4, it->max_ttl }, { 0, 0 },
		{ 1, it->history },      { 8, 0 },           { 1, 0 },
		{ 8, it->flush_uid },
	};
	const struct field dropped[] = { { 8, it->manifest_uid }, { 4, it->sid }, { 4, it->cid } };
	const struct field scope[] = { { 8, it->manifest_uid }, { 4, it->sid }, { 0, 0 } };
	switch (it->system_event) {
	case 1: return flatbuffer(dropped, 3, name, out);
	case 3: return flatbuffer(scope, 3, name, out);
	case 4: return flatbuffer(dropped, 2, name, out);
	default: return flatbuffer(collection, ARRAY_LEN(collection), name, out);
	}
}

uint8_t sysevent_value(const struct item *it, bool flatbuffers, uint8_t out[SYSTEM_EVENT_MAX],
		       size_t *len)
{
	if (flatbuffers) {
		*len = as_table(it, out);
		return 2;
	}
	bool of_scope = it->system_event == 3 || it->system_event == 4;
	put_be64(out, it->manifest_uid);
	put_be32(out + 8, it->sid);
	put_be32(out + 12, it->cid);
	put_be32(out + 16, it->max_ttl);
	bool with_ttl = it->system_event == 0 && it->has_ttl;
	*len = of_scope ? 12 : with_ttl ? 20 : 16;
	return with_ttl ? 1 : 0;
}
