/* kv_admin.c: commands of administrators, on the bucket that the connection selected. */
#include "tests/fake/couchbase/internal.h"

#include <string.h>

static uint16_t set_state(struct conn *c, const struct packet *p)
{
	uint32_t state = p->extras.len == 1   ? p->extras.p[0]
			 : p->extras.len == 4 ? get_be32(p->extras.p)
					      : 0;
	if (p->vb >= c->b->n_vbs || state < FAKE_VB_ACTIVE || state > FAKE_VB_DEAD)
		return ST_EINVAL;
	if (c->b->vb[p->vb].state != (enum fake_vb_state)state) {
		c->b->vb[p->vb].state = (enum fake_vb_state)state;
		dcp_end_streams(c->b, p->vb, 2);
	}
	return ST_OK;
}

/* Extras: u64 purge before this time (not looked at), u64 purge up to this seqno, u8 drop all deletes, padding. */
static uint16_t compact(struct conn *c, const struct packet *p)
{
	if (p->extras.len != 24 || p->vb >= c->b->n_vbs)
		return ST_EINVAL;
	uint64_t upto = p->extras.p[16] ? UINT64_MAX : get_be64(p->extras.p + 8);
	engine_compact(c->b, p->vb, upto);
	return ST_OK;
}

/* The names that the user may use, between blanks. */
static void list_buckets(struct fake *f, struct conn *c, const struct packet *p)
{
	struct buf out = BUF_INIT;
	for (unsigned i = 0; i < f->n_buckets; i++) {
		const struct bucket *b = f->bucket[i];
		if (b->gone || !(user_may(c->user, b) & MAY_DATA))
			continue;
		buf_add_fmt(&out, "%s%s", out.len ? " " : "", b->name);
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out), 0, 0);
	buf_done(&out);
}

void admin_request(struct fake *f, struct conn *c, const struct packet *p)
{
	uint16_t status = ST_OK;
	switch (p->opcode) {
	case 0x3d: status = set_state(c, p); break;
	case 0x80: c->b->hold = true; break;
	case 0x81: c->b->hold = false; break;
	case 0x87: list_buckets(f, c, p); return;
	case 0xad: c->b->warming_up = false; break;
	case 0xae: c->b->warming_up = true; break;
	case 0xb3: status = compact(c, p); break;
	}
	kv_status(f, c, p, status);
}
