/* kv.c: packets of the key-value protocol: cut, dispatched, answered. kv_hello.c has the session, kv_doc.c documents,
 * kv_ask.c questions, kv_admin.c what only administrators do. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 24, BODY_MAX = 30 << 20, OUT_FULL = 8 << 20 };

/* ---- sending ---- */

void kv_respond(struct conn *c, const struct packet *req, uint16_t status, struct slice extras,
		struct slice key, struct slice value, uint8_t datatype, uint64_t cas)
{
	/* The time taken, for who asked: 12 us, as id 0, two bytes, e^1.74 / 2. */
	static const uint8_t duration[] = { 0x02, 0x00, 0x06 };
	size_t framing = c->tracing ? sizeof(duration) : 0;
	uint8_t h[HEADER] = { framing ? 0x18 : 0x81, req->opcode };
	if (framing) {
		h[2] = (uint8_t)framing;
		h[3] = (uint8_t)key.len;
	} else {
		put_be16(h + 2, (uint16_t)key.len);
	}
	h[4] = (uint8_t)extras.len;
	h[5] = datatype;
	put_be16(h + 6, status);
	put_be32(h + 8, (uint32_t)(framing + extras.len + key.len + value.len));
	put_be32(h + 12, req->opaque);
	put_be64(h + 16, cas);
	conn_send(c, h, sizeof(h));
	conn_send(c, duration, framing);
	conn_send(c, extras.p, extras.len);
	conn_send(c, key.p, key.len);
	conn_send(c, value.p, value.len);
}

void kv_status(struct fake *f, struct conn *c, const struct packet *req, uint16_t status)
{
	(void)f;
	char body[96] = "";
	uint8_t datatype = 0;
	if (c->b && (status == ST_UNKNOWN_COLLECTION || status == ST_UNKNOWN_SCOPE)) {
		snprintf(body, sizeof(body), "{\"manifest_uid\":\"%llx\"}",
			 (unsigned long long)c->b->manifest_uid);
		datatype = c->json ? 1 : 0;
	}
	kv_respond(c, req, status, SLICE_NONE, SLICE_NONE, slice_str(body), datatype, 0);
}

/* With extended errors it says why. */
void kv_error(struct fake *f, struct conn *c, const struct packet *req, uint16_t status,
	      const char *context)
{
	char body[200];
	if (!c->xerror) {
		kv_status(f, c, req, status);
		return;
	}
	snprintf(body, sizeof(body), "{\"error\":{\"context\":\"%s\"}}", context);
	kv_respond(c, req, status, SLICE_NONE, SLICE_NONE, slice_str(body), c->json ? 1 : 0, 0);
}

/* The map once each time it changes, for who asked for no more. */
void kv_not_my_vbucket(struct fake *f, struct conn *c, const struct packet *req)
{
	(void)f;
	struct buf map = BUF_INIT;
	if (!c->dedupe_maps || c->map_rev < c->b->rev)
		topology_map(c->b, c->node->index, &map);
	c->map_rev = c->b->rev;
	kv_respond(c, req, ST_NMVB, SLICE_NONE, SLICE_NONE, buf_slice(&map),
		   c->json && map.len ? 1 : 0, 0);
	buf_done(&map);
}

void kv_push_map(struct fake *f, struct conn *c)
{
	struct buf map = BUF_INIT;
	const char *name = c->b ? c->b->name : "";
	if (c->map_push && c->b)
		topology_map(c->b, c->node->index, &map);
	else if (c->map_push)
		topology_node_services(f, c->node->index, &map);
	uint8_t h[HEADER + 16] = { 0x82, 0x01 };
	size_t key = strlen(name);
	put_be16(h + 2, (uint16_t)key);
	h[4] = 16;
	h[5] = map.len ? 1 : 0;
	put_be32(h + 8, (uint32_t)(16 + key + map.len));
	put_be64(h + 24, 1);
	put_be64(h + 32, (uint64_t)(c->b ? c->b->rev : f->rev));
	conn_send(c, h, sizeof(h));
	conn_send(c, name, key);
	conn_send(c, map.p, map.len);
	buf_done(&map);
}

bool kv_fault_status(struct fake *f, struct conn *c, const struct packet *p)
{
	for (unsigned i = 0; i < f->n_faults; i++) {
		struct fake_fault *x = &f->fault[i];
		if (x->kind != FAKE_STATUS || !x->count || x->opcode != p->opcode ||
		    (x->node >= 0 && x->node != c->node->index) || (x->vb >= 0 && x->vb != p->vb))
			continue;
		x->count--;
		if (x->status == FAKE_NO_ANSWER)
			return true;
		if (x->status == ST_NMVB && c->b)
			kv_not_my_vbucket(f, c, p);
		else
			kv_status(f, c, p, x->status);
		return true;
	}
	return false;
}

/* ---- dispatch ---- */

enum kv_where kv_here(struct fake *f, struct conn *c, const struct packet *p)
{
	const struct vb *v = p->vb < c->b->n_vbs ? &c->b->vb[p->vb] : NULL;
	if (!v || v->copy[0].node != c->node->index || v->state == FAKE_VB_DEAD ||
	    v->state == FAKE_VB_REPLICA) {
		kv_not_my_vbucket(f, c, p);
		return KV_ANSWERED;
	}
	if (v->state == FAKE_VB_PENDING) {
		c->parked = true;
		return KV_LATER;
	}
	if (c->b->warming_up) {
		kv_status(f, c, p, ST_TMPFAIL);
		return KV_ANSWERED;
	}
	return KV_HERE;
}

bool kv_framing(const struct packet *p, unsigned id, struct slice *data)
{
	const uint8_t *at = p->framing.p, *end = at + p->framing.len;
	while (at < end) {
		unsigned this = at[0] >> 4, len = at[0] & 15;
		at++;
		if (this == 15 && at < end)
			this += *at++;
		if (len == 15 && at < end)
			len += *at++;
		if (len > (size_t)(end - at))
			return false;
		if (this == id) {
			*data = slice_of(at, len);
			return true;
		}
		at += len;
	}
	return false;
}

struct command {
	uint8_t opcode;
	unsigned may; /* one of these privileges, in the bucket; 0: nobody asks */
	void (*run)(struct fake *f, struct conn *c, const struct packet *p);
};

static const struct command commands[] = {
	{ 0x00, MAY_READ, doc_request },  /* get */
	{ 0x01, MAY_WRITE, doc_request }, /* set */
	{ 0x02, MAY_WRITE, doc_request }, /* add */
	{ 0x03, MAY_WRITE, doc_request }, /* replace */
	{ 0x04, MAY_WRITE, doc_request }, /* delete */
	{ 0x05, MAY_WRITE, doc_request }, /* increment */
	{ 0x06, MAY_WRITE, doc_request }, /* decrement */
	{ 0x09, MAY_READ, doc_request },  /* the same, quiet: get */
	{ 0x0c, MAY_READ, doc_request },  /* get with key */
	{ 0x0d, MAY_READ, doc_request },
	{ 0x0e, MAY_WRITE, doc_request }, /* append */
	{ 0x0f, MAY_WRITE, doc_request }, /* prepend */
	{ 0x10, MAY_STAT | MAY_META, ask_stats },
	{ 0x11, MAY_WRITE, doc_request },
	{ 0x12, MAY_WRITE, doc_request },
	{ 0x13, MAY_WRITE, doc_request },
	{ 0x14, MAY_WRITE, doc_request },
	{ 0x15, MAY_WRITE, doc_request },
	{ 0x16, MAY_WRITE, doc_request },
	{ 0x19, MAY_WRITE, doc_request },
	{ 0x1a, MAY_WRITE, doc_request },
	{ 0x1c, MAY_WRITE, doc_request },   /* touch */
	{ 0x1d, MAY_READ, doc_request },    /* get and touch */
	{ 0x3d, MAY_ADMIN, admin_request }, /* set vBucket's state */
	{ 0x48, MAY_META, ask_all_seqnos },
	{ 0x80, MAY_ADMIN, admin_request }, /* stop persistence */
	{ 0x81, MAY_ADMIN, admin_request }, /* start persistence */
	{ 0x83, MAY_READ, doc_request },    /* get of a replica */
	{ 0x91, MAY_META, ask_observe_seqno },
	{ 0x96, MAY_META, ask_failover_log },
	{ 0xa0, MAY_META, doc_request },    /* get meta */
	{ 0xad, MAY_ADMIN, admin_request }, /* enable traffic */
	{ 0xae, MAY_ADMIN, admin_request }, /* disable traffic */
	{ 0xb3, MAY_ADMIN, admin_request }, /* compact */
	{ 0xba, 0, ask_manifest },
	{ 0xbb, 0, ask_collection_id },
	{ 0xbc, 0, ask_collection_id },
	{ 0xc5, MAY_READ, doc_request }, /* sub-document commands */
	{ 0xc6, MAY_READ, doc_request },
	{ 0xc7, MAY_WRITE, doc_request },
	{ 0xc8, MAY_WRITE, doc_request },
	{ 0xc9, MAY_WRITE, doc_request },
	{ 0xca, MAY_WRITE, doc_request },
	{ 0xcb, MAY_WRITE, doc_request },
	{ 0xcc, MAY_WRITE, doc_request },
	{ 0xcd, MAY_WRITE, doc_request },
	{ 0xce, MAY_WRITE, doc_request },
	{ 0xcf, MAY_WRITE, doc_request },
	{ 0xd0, MAY_READ, doc_request },
	{ 0xd1, MAY_WRITE, doc_request },
	{ 0xd2, MAY_READ, doc_request },
};

static const struct command *command_of(uint8_t opcode)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].opcode == opcode)
			return &commands[i];
	return NULL;
}

/* What needs no login, then no bucket. True: it was one. */
static bool session_request(struct fake *f, struct conn *c, const struct packet *p)
{
	switch (p->opcode) {
	case 0x1f: session_hello(f, c, p); return true;
	case 0xfe: session_error_map(f, c, p); return true;
	case 0x20:
	case 0x21:
	case 0x22: sasl_request(f, c, p); return true;
	case 0x0a: kv_status(f, c, p, ST_OK); return true;
	}
	if (c->auth != 2) {
		kv_status(f, c, p, ST_EACCESS);
		return true;
	}
	switch (p->opcode) {
	case 0x07: /* quit */
		kv_status(f, c, p, ST_OK);
		c->closing = true;
		return true;
	case 0x0b:
		kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, SLICE_LIT("7.2.9-0000"), 0, 0);
		return true;
	case 0x87: admin_request(f, c, p); return true;
	case 0x89: session_select(f, c, p); return true;
	case 0xb5: session_config(f, c, p); return true;
	}
	return false;
}

static void request(struct fake *f, struct conn *c, const struct packet *p)
{
	if (kv_fault_status(f, c, p) || session_request(f, c, p))
		return;
	if (!c->b) {
		kv_status(f, c, p, ST_NO_BUCKET);
		return;
	}
	if (dcp_request(f, c, p))
		return;
	const struct command *x = command_of(p->opcode);
	if (!x)
		kv_status(f, c, p, ST_UNKNOWN_COMMAND);
	else if (x->may && !(user_may(c->user, c->b) & x->may))
		kv_error(f, c, p, ST_EACCESS, "Authorization failure: can't execute the command");
	else
		x->run(f, c, p);
}

/* Cuts one packet off the input. 1, 0 not whole yet, -1 not the protocol. */
static int cut(struct slice in, struct packet *p, size_t *used)
{
	if (in.len < HEADER)
		return 0;
	const uint8_t *h = in.p;
	bool alt = h[0] == 0x08 || h[0] == 0x18;
	if (!alt && h[0] != 0x80 && h[0] != 0x81 && h[0] != 0x83)
		return -1;
	uint32_t body = get_be32(h + 8);
	size_t framing = alt ? h[2] : 0, key = alt ? h[3] : get_be16(h + 2), extras = h[4];
	if (body > BODY_MAX || framing + key + extras > body)
		return -1;
	if (in.len < HEADER + (size_t)body)
		return 0;
	const uint8_t *b = h + HEADER;
	*p = (struct packet){ .magic = h[0],
			      .opcode = h[1],
			      .datatype = h[5],
			      .vb = get_be16(h + 6),
			      .opaque = get_be32(h + 12),
			      .cas = get_be64(h + 16) };
	p->framing = slice_of(b, framing);
	p->extras = slice_of(b + framing, extras);
	p->key = slice_of(b + framing + extras, key);
	p->value = slice_of(b + framing + extras + key, body - framing - extras - key);
	*used = HEADER + (size_t)body;
	return 1;
}

bool kv_on_bytes(struct fake *f, struct conn *c)
{
	size_t at = 0, used;
	struct packet p;
	int rc;
	c->parked = c->full = false;
	while ((rc = cut(slice_of(c->in.p + at, c->in.len - at), &p, &used)) == 1) {
		if (p.magic == 0x80 || p.magic == 0x08)
			request(f, c, &p);
		else if ((p.magic == 0x81 || p.magic == 0x18) && p.opcode == 0x5c) {
			c->noop_sent = 0;
			f->stats.noops_answered++;
		}
		if (c->parked || c->dead)
			break;
		at += used;
		if (c->out.len - c->out_at > OUT_FULL) {
			c->full = true; /* the rest waits until the client has read */
			break;
		}
	}
	memmove(c->in.p, c->in.p + at, c->in.len - at);
	c->in.len -= at;
	return rc >= 0;
}
