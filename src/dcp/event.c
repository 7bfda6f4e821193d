#include "dcp/event.h"

#include "dcp/collections.h"
#include "dcp/wire_parse.h"

static_assert(DCP_DELETION == OP_DCP_DELETION - OP_DCP_MUTATION &&
		      DCP_EXPIRATION == OP_DCP_EXPIRATION - OP_DCP_MUTATION,
	      "event kinds follow the opcodes");

int event_of_packet(const struct packet *p, bool collections, struct dcp_event *out,
		    uint64_t *seqno)
{
	struct wire_doc d;
	int rc;
	switch (p->opcode) {
	case OP_DCP_MUTATION:
	case OP_DCP_DELETION:
	case OP_DCP_EXPIRATION:
		rc = wire_doc_view(p, collections, &d, NULL);
		if (rc < 0)
			return rc;
		out->kind = (uint8_t)(p->opcode - OP_DCP_MUTATION);
		*seqno = d.seqno;
		event_take_doc(out, &d);
		return 1;
	case OP_DCP_SYSTEM_EVENT:
		event_take_doc(out, &(struct wire_doc){ 0 }); /* nothing of what was there before */
		rc = system_event_parse(p, seqno, &out->system, &out->key, NULL);
		out->kind = DCP_SYSTEM;
		out->collection = out->system.collection;
		return rc;
	}
	return ERR_PROTOCOL;
}
