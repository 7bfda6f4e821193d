/* page.h: the words that writer and readers share through mapped files, across processes.
 *
 * Each topic has a file of slots, one slot a partition. The writer publishes how far it has come; readers of every
 * process look there and sleep there.
 *
 *	writer                                   reader
 *	  store the batch into the segment         w = word
 *	  written = position                       waiting = 1
 *	  if waiting:                              if written > mine: read on
 *	      waiting = 0; word++; wake            else sleep while word == w
 *
 * Either the writer sees `waiting` or the reader sees `written` (all four are sequentially consistent), so no
 * wake-up is lost, and an append costs no system call while nobody sleeps. `waiting` is a flag, not a count: a
 * reader that is killed asleep costs one needless wake-up and no more.
 *
 * `session` says who vouches for the numbers: even and not 0, a live writer's random number; odd, that writer is
 * still recovering; 0, nobody. After a crash the file keeps a dead writer's session, so a reader process that meets
 * one believes it only while the lock is held, or once it has seen it change; otherwise it scans (tail.c).
 *
 * Nothing here is ever needed to recover a log: the file is not synced and its loss costs nothing.
 */
#ifndef LOG_PAGE_H
#define LOG_PAGE_H

#include "base/base.h"
#include "os/env.h"

#include <stdatomic.h>

#define PAGE_BYTES 4096

struct page_slot {
	/* stored by the writer, loaded by readers */
	_Atomic uint64_t session;
	_Atomic uint64_t written_position; /* bytes: segment's base position + bytes in it */
	_Atomic uint64_t written_next;     /* offset */
	_Atomic uint64_t durable_position;
	_Atomic uint64_t durable_next;
	_Atomic uint64_t oldest;   /* offset */
	_Atomic uint32_t poisoned; /* a flush failed since the log was opened: recovery rewrites the tail */
	uint32_t pad[3];
	/* stored by readers and writer: another cache line */
	_Atomic uint32_t word; /* the futex */
	_Atomic uint32_t waiting;
	uint32_t pad2[14];
};

static_assert(sizeof(struct page_slot) == 128, "two cache lines");

/* The log's own page: the word that the thread behind log_reader_fd sleeps on. */
struct page_log {
	_Atomic uint32_t word;
	_Atomic uint32_t waiting;
};

static inline bool page_session_live(uint64_t session)
{
	return session != 0 && (session & 1) == 0;
}

static inline void page_wake(struct env *env, _Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	env_wake(env, (uint32_t *)(void *)word);
}

/* Partner: reader_wait() and the descriptor thread, which set `waiting` before they look again. */
static inline void page_wake_waiting(struct env *env, _Atomic uint32_t *waiting,
				     _Atomic uint32_t *word)
{
	if (unlikely(atomic_load(waiting))) {
		atomic_store(waiting, 0);
		page_wake(env, word);
	}
}

#endif
