/* latest.c: two tables with linear probing: documents (slots) and collections (by_hash over colls).
 *
 *	by_hash ──▶ colls[i] {name, number} ──▶ number in slots[j].where ──▶ offset
 *
 * Removing shifts the slots behind it back, so there are no graves and a free slot ends every search.
 */
#include "change/latest.h"

#include "base/crc32c.h"
#include "base/mem.h"

#define FREE UINT64_MAX

enum { SLOTS_FIRST = 64, COLLS_FIRST = 16 };

void latest_init(struct latest *l, const char *const *patterns, size_t bytes_max)
{
	*l = (struct latest){ .patterns = patterns, .bytes_max = bytes_max };
}

void latest_done(struct latest *l)
{
	for (size_t i = 0; i < l->n_colls; i++)
		mem_free(l->colls[i].name);
	mem_free(l->colls);
	mem_free(l->by_hash);
	mem_free(l->live);
	mem_free(l->slots);
	latest_init(l, l->patterns, l->bytes_max);
}

size_t latest_bytes(const struct latest *l)
{
	return l->cap * sizeof(*l->slots) + l->cap_colls * sizeof(*l->colls) +
	       l->cap_by_hash * sizeof(*l->by_hash) + l->cap_numbers;
}

/* ---- collections ---- */

bool latest_chosen(const char *const *patterns, struct slice db, struct slice coll)
{
	if (!patterns)
		return true;
	for (; *patterns; patterns++) {
		struct slice p = slice_str(*patterns);
		if (slice_is(p, "*"))
			return true;
		if (p.len <= db.len || p.p[db.len] != '.' || memcmp(p.p, db.p, db.len) != 0)
			continue;
		struct slice rest = slice_of(p.p + db.len + 1, p.len - db.len - 1);
		if (slice_is(rest, "*") || slice_eq(rest, coll))
			return true;
	}
	return false;
}

static uint32_t name_hash(struct slice db, struct slice coll)
{
	return crc32c(crc32c(crc32c(0, db.p, db.len), "", 1), coll.p, coll.len);
}

static bool is_named(const struct latest_coll *c, struct slice db, struct slice coll)
{
	return c->db_len == db.len && c->len == db.len + 1 + coll.len &&
	       memcmp(c->name, db.p, db.len) == 0 &&
	       memcmp(c->name + db.len + 1, coll.p, coll.len) == 0;
}

static struct latest_coll *find_coll(struct latest *l, struct slice db, struct slice coll)
{
	if (!l->cap_by_hash)
		return NULL;
	uint32_t hash = name_hash(db, coll);
	for (size_t i = hash & (l->cap_by_hash - 1); l->by_hash[i];
	     i = (i + 1) & (l->cap_by_hash - 1)) {
		struct latest_coll *c = &l->colls[l->by_hash[i] - 1];
		if (c->ns_hash == hash && is_named(c, db, coll))
			return c;
	}
	return NULL;
}

static void put_by_hash(uint32_t *table, size_t cap, uint32_t hash, uint32_t index)
{
	size_t i = hash & (cap - 1);
	while (table[i])
		i = (i + 1) & (cap - 1);
	table[i] = index + 1;
}

static bool grow_colls(struct latest *l)
{
	size_t cap = l->cap_colls ? l->cap_colls * 2 : COLLS_FIRST;
	struct latest_coll *colls = mem_retry(l->colls, cap * sizeof(*colls));
	if (!colls)
		return false;
	l->colls = colls;
	l->cap_colls = cap;
	uint32_t *table = mem_try_array(cap * 2, sizeof(*table));
	if (!table)
		return false;
	for (size_t i = 0; i < l->n_colls; i++)
		put_by_hash(table, cap * 2, colls[i].ns_hash, (uint32_t)i);
	mem_free(l->by_hash);
	l->by_hash = table;
	l->cap_by_hash = cap * 2;
	return true;
}

static int add_coll(struct latest *l, struct slice db, struct slice coll, struct latest_coll **out,
		    struct err *e)
{
	if (l->n_colls == LATEST_COLLS_MAX)
		return err_set(e, ERR_LIMIT,
			       "more than %u collections in the index of latest documents",
			       LATEST_COLLS_MAX);
	if (l->n_colls * 2 >= l->cap_by_hash && !grow_colls(l))
		return err_nomem(e);
	size_t len = db.len + 1 + coll.len;
	char *name = mem_try(len + 1);
	if (!name)
		return err_nomem(e);
	memcpy(name, db.p, db.len);
	if (coll.len)
		memcpy(name + db.len + 1, coll.p, coll.len);
	struct latest_coll *c = &l->colls[l->n_colls];
	*c = (struct latest_coll){
		.name = name,
		.db_len = db.len,
		.len = len,
		.ns_hash = name_hash(db, coll),
		.number = LATEST_NONE,
		.chosen = latest_chosen(l->patterns, db, coll),
	};
	put_by_hash(l->by_hash, l->cap_by_hash, c->ns_hash, (uint32_t)l->n_colls++);
	*out = c;
	return 0;
}

static int new_number(struct latest *l, uint32_t *out, struct err *e)
{
	if (l->n_numbers == l->cap_numbers) {
		uint32_t cap = l->cap_numbers ? l->cap_numbers * 2 : COLLS_FIRST;
		bool *live =
			cap <= LATEST_COLLS_MAX ? mem_retry(l->live, cap * sizeof(*live)) : NULL;
		if (!live)
			return cap > LATEST_COLLS_MAX ? err_set(e, ERR_LIMIT,
								"collections were created and "
								"dropped more than %u times",
								LATEST_COLLS_MAX)
						      : err_nomem(e);
		l->live = live;
		l->cap_numbers = cap;
	}
	l->live[l->n_numbers] = true;
	*out = l->n_numbers++;
	return 0;
}

int latest_coll(struct latest *l, struct slice db, struct slice coll, bool create, uint32_t *number,
		struct err *e)
{
	struct latest_coll *c = find_coll(l, db, coll);
	if (!c && create) {
		int rc = add_coll(l, db, coll, &c, e);
		if (rc < 0)
			return rc;
	}
	if (create && c->chosen && c->number == LATEST_NONE) {
		int rc = new_number(l, &c->number, e);
		if (rc < 0)
			return rc;
	}
	*number = c ? c->number : LATEST_NONE;
	return 0;
}

static void retire(struct latest *l, struct latest_coll *c)
{
	if (c->number == LATEST_NONE)
		return;
	l->live[c->number] = false;
	c->number = LATEST_NONE;
}

void latest_drop(struct latest *l, struct slice db, struct slice coll)
{
	struct latest_coll *c = find_coll(l, db, coll);
	if (c)
		retire(l, c);
}

void latest_drop_database(struct latest *l, struct slice db)
{
	for (size_t i = 0; i < l->n_colls; i++) {
		struct latest_coll *c = &l->colls[i];
		if (c->db_len == db.len && memcmp(c->name, db.p, db.len) == 0)
			retire(l, c);
	}
}

int latest_rename(struct latest *l, struct slice db, struct slice coll, struct slice to_db,
		  struct slice to_coll, struct err *e)
{
	uint32_t ignored;
	int rc = latest_coll(l, to_db, to_coll, true, &ignored, e);
	if (rc < 0)
		return rc;
	struct latest_coll *from = find_coll(l, db, coll), *to = find_coll(l, to_db, to_coll);
	if (from == to)
		return 0;
	retire(l, to);
	if (!from)
		return 0;
	if (to->chosen)
		to->number = from->number;
	else
		retire(l, from);
	from->number = LATEST_NONE;
	return 0;
}

/* ---- documents ---- */

static size_t home(uint32_t coll, uint64_t hash, size_t cap)
{
	uint64_t h = (hash ^ coll * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
	return (size_t)(h >> 32 ^ h) & (cap - 1);
}

static uint32_t slot_coll(const struct latest_slot *s)
{
	return (uint32_t)(s->where >> LATEST_OFFSET_BITS);
}

struct latest_slot *latest_get(const struct latest *l, uint32_t coll, struct latest_hash hash)
{
	if (!l->cap)
		return NULL;
	for (size_t i = home(coll, hash.a, l->cap); l->slots[i].where != FREE;
	     i = (i + 1) & (l->cap - 1)) {
		struct latest_slot *s = &l->slots[i];
		if (s->hash.a == hash.a && s->hash.b == hash.b && slot_coll(s) == coll)
			return s;
	}
	return NULL;
}

void latest_move(struct latest_slot *s, uint64_t offset)
{
	s->where = (uint64_t)slot_coll(s) << LATEST_OFFSET_BITS | offset;
}

static void put(struct latest_slot *slots, size_t cap, struct latest_slot s)
{
	size_t i = home(slot_coll(&s), s.hash.a, cap);
	while (slots[i].where != FREE)
		i = (i + 1) & (cap - 1);
	slots[i] = s;
}

static void give_up(struct latest *l)
{
	mem_free(l->slots);
	l->slots = NULL;
	l->cap = l->used = 0;
	l->full = true;
}

/* A table of cap slots with the documents of live collections. */
static int rebuild(struct latest *l, size_t cap, struct err *e)
{
	struct latest_slot *slots = mem_retry(NULL, cap * sizeof(*slots));
	if (!slots)
		return err_nomem(e);
	memset(slots, 0xff, cap * sizeof(*slots));
	size_t used = 0;
	for (size_t i = 0; i < l->cap; i++) {
		if (l->slots[i].where == FREE || !l->live[slot_coll(&l->slots[i])])
			continue;
		put(slots, cap, l->slots[i]);
		used++;
	}
	mem_free(l->slots);
	l->slots = slots;
	l->cap = cap;
	l->used = used;
	return 0;
}

static size_t count_live(const struct latest *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->cap; i++)
		n += l->slots[i].where != FREE && l->live[slot_coll(&l->slots[i])];
	return n;
}

static int grow(struct latest *l, struct err *e)
{
	if (!l->cap)
		return rebuild(l, SLOTS_FIRST, e);
	size_t cap = count_live(l) * 2 > l->cap ? l->cap * 2 : l->cap;
	if (cap * sizeof(*l->slots) > l->bytes_max) {
		give_up(l);
		return 0;
	}
	return rebuild(l, cap, e);
}

int latest_add(struct latest *l, uint32_t coll, struct latest_hash hash, uint64_t offset,
	       struct err *e)
{
	if (offset >> LATEST_OFFSET_BITS)
		give_up(l);
	if (l->full)
		return 0;
	if ((l->used + 1) * 4 > l->cap * 3) {
		int rc = grow(l, e);
		if (rc < 0 || l->full)
			return rc;
	}
	put(l->slots, l->cap,
	    (struct latest_slot){ .hash = hash,
				  .where = (uint64_t)coll << LATEST_OFFSET_BITS | offset });
	l->used++;
	return 0;
}

void latest_remove(struct latest *l, struct latest_slot *s)
{
	size_t mask = l->cap - 1, hole = (size_t)(s - l->slots);
	for (size_t i = (hole + 1) & mask; l->slots[i].where != FREE; i = (i + 1) & mask) {
		size_t want = home(slot_coll(&l->slots[i]), l->slots[i].hash.a, l->cap);
		/* May move back unless its home lies behind the hole. */
		if (((i - want) & mask) >= ((i - hole) & mask)) {
			l->slots[hole] = l->slots[i];
			hole = i;
		}
	}
	l->slots[hole].where = FREE;
	l->used--;
}
