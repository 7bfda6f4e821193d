/* members_ledger.h: what every process of a group did, in one file that outlives them, and what must be true of it.
 *
 *	member 1 ──┐  LOAD     read a checkpoint: position
 *	member 2 ──┼─ SAVED    a checkpoint was taken by the store ─▶ shared file ─▶ ledger_check, when all is over
 *	member 3 ──┘  REFUSED  the store said that another has it
 *	              TAKEN    an event was handled and its acknowledgement taken
 *	              LATE     an event was handled and its acknowledgement refused
 *
 * A record has the times before and after: of two that overlap nothing is said. A process that is killed between an act
 * and its record leaves none, so the checks hold for what is there, whatever is missing.
 */
#ifndef TESTS_MEMBERS_LEDGER_H
#define TESTS_MEMBERS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_act {
	LEDGER_NONE,
	LEDGER_LOAD,
	LEDGER_SAVED,
	LEDGER_REFUSED,
	LEDGER_TAKEN,
	LEDGER_LATE
};

struct ledger_record {
	uint64_t begun, ended; /* CLOCK_MONOTONIC, ns */
	uint64_t seqno;
	uint32_t member; /* a number for each process */
	uint16_t vb;
	_Atomic uint8_t act; /* written last */
};

struct ledger;

/* Made by the test; opened by its members. NULL: it cannot be. */
struct ledger *ledger_open(const char *path, size_t room);
void ledger_close(struct ledger *l);
uint64_t ledger_now(void);
void ledger_add(struct ledger *l, enum ledger_act act, uint32_t member, uint16_t vb, uint64_t seqno,
		uint64_t begun);
/* Records so far; above `room`, some were not kept. */
size_t ledger_count(const struct ledger *l);
const struct ledger_record *ledger_at(const struct ledger *l, size_t i);

struct ledger_sums {
	size_t loads, saves, refused, taken, late, twice;
	size_t unsaved; /* taken before a successor loaded, which began below them */
};

/* written[vb][0..n[vb]): the seqnos of all events. False: *why says what is not true.
 *
 *	nothing is lost          each was taken
 *	no promise is broken     a checkpoint stands behind events that were taken before it was saved
 *	one owner                between two saves of one member there is none of another
 *	no way back              a later save of a vBucket is not below an earlier one
 *	no stale load            a load is not below a save that was done before it began
 *	duplicates are few       what a member takes lies above what it loaded, and it takes it once
 *
 * So what comes twice was not saved when its second taker loaded. How much that is depends on how late the first one
 * hears of it, and has no bound here. */
bool ledger_check(const struct ledger *l, unsigned n_vbuckets, uint64_t *const *written,
		  const size_t *n, struct ledger_sums *sums, char *why, size_t room);

#endif
