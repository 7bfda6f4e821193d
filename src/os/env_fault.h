/* env_fault.h: an env around another that counts the calls and fails the ones it is told to.
 *
 *	struct env_fault f;
 *	env_fault_init(&f, inner);
 *	for (uint64_t k = 1;; k++) {
 *		env_fault_arm(&f, &(struct fault){ .at = k, .code = ERR_IO });
 *		... run on &f.base ...
 *		if (f.calls < k)
 *			break;                  // every call has failed once
 *	}
 *
 * A call that fails does nothing, except: a write with `part` set writes its beginning before it fails, as on a disk
 * that fills up or breaks in the middle; a failed sync is reported to `on_failed_sync` first, so that the simulator
 * can treat the dirty pages as Linux does.
 *
 * Counted are the calls that can fail: all but the clocks, wait and wake, unmap, prefault, close, process_id.
 *
 * Thread: arm and disarm while no other thread uses the env; the counters are atomic.
 */
#ifndef OS_ENV_FAULT_H
#define OS_ENV_FAULT_H

#include "os/env.h"

enum fault_call {
	FAULT_RANDOM,
	FAULT_OPEN,
	FAULT_STAT,
	FAULT_RENAME,
	FAULT_UNLINK,
	FAULT_MKDIR,
	FAULT_RMDIR,
	FAULT_SYNC_DIR,
	FAULT_LIST,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_TRUNCATE,
	FAULT_ALLOCATE,
	FAULT_SIZE,
	FAULT_MAP,
	FAULT_LOCK,
	FAULT_LOCKED,
};
#define FAULT_CALLS (FAULT_LOCKED + 1)

struct fault {
	uint64_t at;     /* the first call that fails, from 1; 0: none */
	int code;        /* with this ERR_* */
	bool persistent; /* and all after it */
	bool part;       /* a failing write writes its first half */
	uint64_t part_bytes; /* and not half but at most so many; 0: half */
	uint32_t only;   /* bits 1 << FAULT_*: counted and failed; 0: all */
};

struct env_fault {
	struct env base;
	struct env *inner;
	struct fault fault;
	uint64_t calls; /* counted since the last arm */
	uint64_t failed;
	enum fault_call failed_call; /* the first that failed */
	int64_t open_files, open_maps;
	/* Before every counted call, failing or not; NULL: none. May use the inner env. */
	void (*before)(void *arg, enum fault_call call, uint64_t index);
	void (*on_failed_sync)(struct file *inner); /* NULL: none; sim_drop_dirty() */
	void *arg;
};

void env_fault_init(struct env_fault *f, struct env *inner);
void env_fault_arm(struct env_fault *f,
		   const struct fault *fault); /* NULL: disarm; the counters start again */
const char *fault_call_name(enum fault_call call);

#endif
