/* checkpoint_table.h: the checkpoints of a store that keeps all of them in memory, by vBucket.
 *
 * What cannot be read is kept as it was found, so that it is written back with the rest. Where something cannot be
 * read, or is known to be lost, what is not there may be lost too: `partial`.
 */
#ifndef DCP_CHECKPOINT_TABLE_H
#define DCP_CHECKPOINT_TABLE_H

#include "dcp/checkpoint.h"

struct checkpoint_entry {
	struct checkpoint c;
	uint64_t at; /* the store's: where it was read */
	char *raw;   /* c.damaged: its text; NULL: not even that */
	size_t raw_len;
};

struct checkpoint_table {
	struct checkpoint_entry *entry; /* sorted by vBucket */
	size_t n, cap;
	bool partial;
};

void checkpoint_table_done(struct checkpoint_table *t);
/* NULL: not there. */
struct checkpoint_entry *checkpoint_table_find(const struct checkpoint_table *t, uint16_t vb);
/* The entry, new or written over. ERR_NOMEM. */
int checkpoint_table_put(struct checkpoint_table *t, const struct checkpoint *c, uint64_t at,
			 struct err *e);
/* A document as it was found; damage makes the table partial. ERR_NOMEM. */
int checkpoint_table_read(struct checkpoint_table *t, uint16_t vb, struct slice document,
			  uint64_t at, struct err *e);
void checkpoint_table_remove(struct checkpoint_table *t, uint16_t vb);
/* Fills c[i] for c[i].vb. */
void checkpoint_table_load(const struct checkpoint_table *t, struct checkpoint *c, size_t n);
/* A store that knows what is in *t, which becomes the store's, and keeps nothing. rc: what reading it ended with, which is
 * returned; ERR_CORRUPT with forgive: everything is damaged. */
int checkpoint_table_look(struct checkpoint_table *t, int rc, bool forgive,
			  struct checkpoint_store **out, struct err *e);
/* Appends the document of an entry. */
void checkpoint_entry_text(const struct checkpoint_entry *e, struct buf *out);

#endif
