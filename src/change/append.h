/* append.h: what oplog.c and append.c share: the oplog itself. Private to change/. */
#ifndef CHANGE_APPEND_H
#define CHANGE_APPEND_H

#include "change/lookup.h"
#include "change/oplog.h"
#include "os/thread.h"

struct appender;

struct oplog {
	struct env *env;
	struct log *log;
	struct log_topic *topic;
	struct lookup *lookup;
	bool read_only;
	enum log_ack ack;
	struct token_key key;
	char name[17];

	struct mutex lock; /* guards what follows: the order of entries is the order of this lock */
	uint64_t next;     /* offset of the next entry */
	uint64_t last_cluster; /* cluster time of the entry before it */
	int64_t last_ms;       /* and its time in the log: never goes back */

	struct mutex idle_lock; /* guards idle */
	struct appender *idle;  /* scratch of appends, kept warm */
};

void appender_free(struct appender *a);
struct appender *appender_next(struct appender *a);

#endif
