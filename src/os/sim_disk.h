/* sim_disk.h: the simulator's disk: what is cached, what is durable, and what a power loss leaves of the difference.
 *
 *	struct disk ── root ── node (directory) ── table of names ── node (file)
 *	                        live    names as everybody sees them     cached   bytes as everybody sees them
 *	                        durable names after the last sync_dir    durable  bytes after the last sync
 *	                        pending creates, renames, unlinks since  dropped  bytes that a failed sync gave up:
 *	                                                                          a sector that still equals them
 *	                                                                          counts as clean
 *
 * A writable map is a pointer into `cached`, which therefore never moves: every image is a reservation of address
 * space as large as the largest file.
 *
 * The power loss, for every file: the size is the durable one, the cached one or anything between. Every 512-byte
 * sector that differs is, each for itself, lost, kept, or torn at a byte (its beginning new, the rest old); what was
 * never written reads as zeros. For every directory: each pending change is kept or lost for itself, but one that
 * names what a lost one named is lost with it; a rename is one change, never half of it. A file whose name is lost
 * is gone, even when its bytes were synced: a name is durable only through sync_dir of its directory, and so are the
 * names of the directories above it.
 *
 * How likely each choice is changes from one power loss to the next (everything lost, everything kept, mostly lost,
 * half, mostly kept, only a beginning or only an end kept), since independent fair coins alone would almost never
 * show a long run of kept sectors after a lost one.
 */
#ifndef OS_SIM_DISK_H
#define OS_SIM_DISK_H

#include "os/env_sim.h"

#define SECTOR_BYTES 512u

struct node;

struct name {
	char text[SIM_NAME_BYTES];
	struct node *node;
};

struct table {
	struct name *names;
	size_t n, cap;
};

enum change_kind { CHANGE_CREATE, CHANGE_UNLINK, CHANGE_RENAME };

struct change {
	enum change_kind kind;
	char name[SIM_NAME_BYTES], to[SIM_NAME_BYTES];
	struct node *node; /* created or renamed */
};

struct image {
	uint8_t *p; /* a reservation of disk.file_bytes, zeros from `used` on; NULL until needed */
	uint64_t size; /* of the file in this view */
	uint64_t used; /* the largest size it ever had */
};

struct node {
	bool is_dir;
	uint32_t refs; /* names in tables, changes, open files */
	/* directories */
	struct table live, durable;
	struct change *pending;
	size_t n_pending, cap_pending;
	/* files */
	struct image cached, stable, dropped;
	bool clean; /* nothing can have changed since cached and stable were equal; stable is not filled */
	const void *lock_owner;
	int64_t mtime_ms;
	struct node *next_free;
	struct node *copy, *next_copied; /* while disk_copy runs */
};

struct disk {
	struct node *root, *free_nodes;
	size_t file_bytes;
	uint64_t limit_bytes, used_bytes; /* of live files; limit 0: none */
	bool ignore_sync;
};

int disk_init(struct disk *d, size_t file_bytes, uint64_t limit_bytes, bool ignore_sync);
void disk_done(struct disk *d);
int disk_clear(struct disk *d); /* only the root is left */

void node_ref(struct node *n);
void node_unref(struct disk *d, struct node *n);

/* Finds the directory a path ends in and its last name; the node of that name, or NULL. 0, or ERR_NOTFOUND /
 * ERR_INVALID for a directory above it. A path that ends in the root or in ".." has no last name: *dir is NULL then. */
int disk_walk(struct disk *d, const char *path, struct node **dir, char name[SIM_NAME_BYTES],
	      struct node **out);

int disk_create(struct disk *d, struct node *dir, const char *name, bool is_dir, struct node **out);
int disk_unlink(struct disk *d, struct node *dir, const char *name);
int disk_rename(struct disk *d, struct node *dir, const char *from, const char *to);
int disk_sync_dir(struct disk *d, struct node *dir);

int file_touch(struct disk *d, struct node *n); /* before any change, and before a writable map */
int file_resize(struct disk *d, struct node *n, uint64_t size);
int file_make_durable(struct disk *d, struct node *n);
int file_give_up_dirty(struct disk *d, struct node *n);

/* Bytes were written, be they the same as before: the pages they lie in are dirty again. */
void file_written(struct node *n, uint64_t off, uint64_t len);

void disk_writeback(struct disk *d, struct sim_rng *r);
int disk_crash(struct disk *from, struct sim_rng *r, struct disk *into);
int disk_copy(struct disk *from, struct disk *into);

#endif
