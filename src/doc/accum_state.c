/* accum_state.c: each allocation is counted before it is made and given back when it fails, so a state that hits its
 * limit is still whole and can be read, merged or freed.
 */
#include "doc/accum_state.h"

#include "base/mem.h"

int meter_add(struct meter *m, size_t bytes, struct err *e)
{
	if (bytes > m->max_bytes || m->bytes > m->max_bytes - bytes)
		return err_number(e, ERR_LIMIT, 146, "%s would hold more than %zu bytes", m->op,
				  m->max_bytes);
	m->bytes += bytes;
	return 0;
}

/* ---- values ---- */

static size_t heap_bytes(struct value v)
{
	switch (v.type) {
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE:
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_BINARY:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: return (size_t)v.len + 1;
	default: return 0;
	}
}

void own_free(struct meter *m, struct value *slot)
{
	size_t n = heap_bytes(*slot);
	if (n) {
		mem_free((void *)(uintptr_t)slot->p);
		meter_sub(m, n);
	}
	*slot = VALUE_MISSING;
}

static int own(struct meter *m, struct value v, struct value *out, struct err *e)
{
	size_t n = heap_bytes(v);
	*out = v;
	if (n == 0)
		return 0;
	int rc = meter_add(m, n, e);
	if (rc < 0)
		return rc;
	uint8_t *p = mem_retry(NULL, n);
	if (!p) {
		meter_sub(m, n);
		return err_nomem(e);
	}
	if (v.len)
		memcpy(p, v.p, v.len);
	p[v.len] = '\0';
	out->p = p;
	return 0;
}

int own_replace(struct meter *m, struct value *slot, struct value v, struct err *e)
{
	struct value copy;
	int rc = own(m, v, &copy, e);
	if (rc < 0)
		return rc;
	own_free(m, slot);
	*slot = copy;
	return 0;
}

/* ---- lists ---- */

static int grow(struct meter *m, struct value **v, size_t *cap, size_t per_entry, struct err *e)
{
	size_t more = *cap ? *cap : 4, size = sizeof(**v) * per_entry;
	int rc = meter_add(m, more * size, e);
	if (rc < 0)
		return rc;
	struct value *p = mem_retry(*v, (*cap + more) * size);
	if (!p) {
		meter_sub(m, more * size);
		return err_nomem(e);
	}
	*v = p;
	*cap += more;
	return 0;
}

int list_add(struct meter *m, struct list *l, struct value v, struct err *e)
{
	int rc = l->n == l->cap ? grow(m, &l->v, &l->cap, 1, e) : 0;
	if (rc == 0)
		rc = own(m, v, &l->v[l->n], e);
	if (rc == 0)
		l->n++;
	return rc;
}

void list_done(struct meter *m, struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		own_free(m, &l->v[i]);
	mem_free(l->v);
	meter_sub(m, l->cap * sizeof(*l->v));
	*l = (struct list){ 0 };
}

/* ---- sets ---- */

static size_t slot_of(const struct set_state *s, struct value v)
{
	size_t mask = s->size - 1, i = value_hash(v, 0) & mask;
	while (s->slot[i] && !value_equal(s->member.v[s->slot[i] - 1], v))
		i = (i + 1) & mask;
	return i;
}

static int rehash(struct meter *m, struct set_state *s, struct err *e)
{
	size_t size = s->size ? s->size * 2 : 16;
	int rc = meter_add(m, size * sizeof(*s->slot), e);
	if (rc < 0)
		return rc;
	uint32_t *slot = mem_try_array(size, sizeof(*slot));
	if (!slot) {
		meter_sub(m, size * sizeof(*slot));
		return err_nomem(e);
	}
	mem_free(s->slot);
	meter_sub(m, s->size * sizeof(*slot));
	s->slot = slot;
	s->size = size;
	for (size_t i = 0; i < s->member.n; i++)
		slot[slot_of(s, s->member.v[i])] = (uint32_t)i + 1;
	return 0;
}

int set_state_add(struct meter *m, struct set_state *s, struct value v, struct err *e)
{
	if (2 * (s->member.n + 1) > s->size) {
		int rc = rehash(m, s, e);
		if (rc < 0)
			return rc;
	}
	size_t i = slot_of(s, v);
	if (s->slot[i])
		return 0;
	int rc = list_add(m, &s->member, v, e);
	if (rc == 0)
		s->slot[i] = (uint32_t)s->member.n;
	return rc;
}

void set_state_done(struct meter *m, struct set_state *s)
{
	list_done(m, &s->member);
	mem_free(s->slot);
	meter_sub(m, s->size * sizeof(*s->slot));
	*s = (struct set_state){ 0 };
}

/* ---- the n best ---- */

static int compare_keys(const struct ranked *r, struct value a, struct value b)
{
	if (!r->order) {
		int c = value_compare(a, b);
		return r->descending ? -c : c;
	}
	struct bson_iter x, y;
	bson_iter_init(&x, value_slice(a));
	bson_iter_init(&y, value_slice(b));
	for (uint32_t i = 0; i < r->order->n && bson_next(&x) && bson_next(&y); i++) {
		int c = value_compare(x.value, y.value);
		if (c)
			return r->order->key[i].descending ? -c : c;
	}
	return 0;
}

int ranked_add(struct meter *m, struct ranked *r, struct value key, struct value v, struct err *e)
{
	if (r->n == r->cap) {
		int rc = r->n >= 2 * r->keep ? ranked_settle(m, r, e) : 0;
		if (rc == 0 && r->n == r->cap)
			rc = grow(m, &r->v, &r->cap, 2, e);
		if (rc < 0)
			return rc;
	}
	struct value *entry = &r->v[2 * r->n];
	entry[0] = VALUE_MISSING;
	int rc = r->has_key ? own(m, key, &entry[0], e) : 0;
	if (rc == 0)
		rc = own(m, v, &entry[1], e);
	if (rc < 0) {
		own_free(m, &entry[0]);
		return rc;
	}
	r->n++;
	return 0;
}

/* A stable merge sort of the entries into `other` and back. */
static void sort_entries(const struct ranked *r, struct value *other)
{
	struct value *from = r->v, *to = other;
	size_t n = r->n, which = r->has_key ? 0 : 1;
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t start = 0; start < n; start += 2 * width) {
			size_t i = start, mid = MIN(start + width, n), j = mid,
			       end = MIN(mid + width, n);
			for (size_t k = start; k < end; k++) {
				bool left = i < mid &&
					    (j == end || compare_keys(r, from[2 * i + which],
								      from[2 * j + which]) <= 0);
				size_t source = left ? i++ : j++;
				memcpy(&to[2 * k], &from[2 * source], 2 * sizeof(*to));
			}
		}
		struct value *t = from;
		from = to;
		to = t;
	}
	if (from != r->v)
		memcpy(r->v, from, n * 2 * sizeof(*from));
}

int ranked_settle(struct meter *m, struct ranked *r, struct err *e)
{
	if (r->n == 0)
		return 0;
	struct value *other = mem_try_array(r->n, 2 * sizeof(*other));
	if (!other)
		return err_nomem(e);
	sort_entries(r, other);
	mem_free(other);
	size_t drop = r->n > r->keep ? r->n - r->keep : 0;
	struct value *gone = r->from_end ? r->v : r->v + 2 * r->keep;
	for (size_t i = 0; i < 2 * drop; i++)
		own_free(m, &gone[i]);
	r->n -= drop;
	if (r->from_end && drop)
		memmove(r->v, r->v + 2 * drop, r->n * 2 * sizeof(*r->v));
	return 0;
}

void ranked_done(struct meter *m, struct ranked *r)
{
	for (size_t i = 0; i < 2 * r->n; i++)
		own_free(m, &r->v[i]);
	mem_free(r->v);
	meter_sub(m, r->cap * 2 * sizeof(*r->v));
	r->v = NULL;
	r->n = r->cap = 0;
}
