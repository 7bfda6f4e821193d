#include "tests/members_ledger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct ledger {
	_Atomic size_t n;
	size_t room, bytes;
	struct ledger_record record[];
};

uint64_t ledger_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct ledger *ledger_open(const char *path, size_t room)
{
	struct stat st;
	size_t bytes = sizeof(struct ledger) + room * sizeof(struct ledger_record);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	if (room && ftruncate(fd, (off_t)bytes) != 0) {
		(void)close(fd);
		return NULL;
	}
	void *p =
		fstat(fd, &st) == 0 && st.st_size
			? mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			: MAP_FAILED;
	(void)close(fd);
	if (p == MAP_FAILED)
		return NULL;
	struct ledger *l = p;
	if (room) {
		l->room = room;
		l->bytes = bytes;
	}
	return l;
}

void ledger_close(struct ledger *l)
{
	if (l)
		(void)munmap(l, l->bytes);
}

void ledger_add(struct ledger *l, enum ledger_act act, uint32_t member, uint16_t vb, uint64_t seqno,
		uint64_t begun)
{
	size_t i = atomic_fetch_add(&l->n, 1);
	if (i >= l->room)
		return;
	struct ledger_record *r = &l->record[i];
	r->begun = begun;
	r->ended = ledger_now();
	r->seqno = seqno;
	r->member = member;
	r->vb = vb;
	atomic_store(&r->act, (uint8_t)act);
}

size_t ledger_count(const struct ledger *l)
{
	return atomic_load(&l->n);
}

const struct ledger_record *ledger_at(const struct ledger *l, size_t i)
{
	return &l->record[i];
}

/* ---- the checks, one vBucket at a time ---- */

struct one {
	const struct ledger_record **r; /* by the end of what they tell */
	size_t n;
	unsigned vb;
	const uint64_t *written;
	size_t n_written;
	struct ledger_sums *sums;
	char *why;
	size_t room;
};

static int by_end(const void *a, const void *b)
{
	const struct ledger_record *x = *(const struct ledger_record *const *)a;
	const struct ledger_record *y = *(const struct ledger_record *const *)b;
	return (x->ended > y->ended) - (x->ended < y->ended);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static size_t place_of(const struct one *o, uint64_t seqno)
{
	size_t low = 0, high = o->n_written;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (o->written[mid] < seqno)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* When the first of all members took each. */
static bool all_taken(struct one *o, uint64_t *first)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct ledger_record *r = o->r[i];
		if (r->act != LEDGER_TAKEN && r->act != LEDGER_LATE)
			continue;
		size_t at = place_of(o, r->seqno);
		if (at == o->n_written || o->written[at] != r->seqno) {
			(void)snprintf(o->why, o->room,
				       "vBucket %u: member %u took seqno %" PRIu64
				       ", which nobody wrote",
				       o->vb, r->member, r->seqno);
			return false;
		}
		o->sums->twice += first[at] != 0 && r->act == LEDGER_TAKEN;
		if (!first[at] || r->begun < first[at])
			first[at] = r->begun;
	}
	for (size_t i = 0; i < o->n_written; i++)
		if (!first[i]) {
			(void)snprintf(o->why, o->room, "vBucket %u: seqno %" PRIu64 " is lost",
				       o->vb, o->written[i]);
			return false;
		}
	return true;
}

/* What a checkpoint stands behind was taken before it was saved. */
static bool promises_kept(struct one *o, uint64_t *first)
{
	for (size_t i = 1; i < o->n_written; i++)
		first[i] = first[i] > first[i - 1] ? first[i] : first[i - 1];
	for (size_t i = 0; i < o->n; i++) {
		const struct ledger_record *r = o->r[i];
		size_t behind = place_of(o, r->seqno + 1);
		if (r->act == LEDGER_SAVED && behind && first[behind - 1] > r->ended) {
			(void)snprintf(o->why, o->room,
				       "vBucket %u: member %u saved %" PRIu64
				       " before what lies below it was taken",
				       o->vb, r->member, r->seqno);
			return false;
		}
	}
	return true;
}

/* The last act of the same member on the checkpoint before record i. */
static const struct ledger_record *own_before(const struct one *o, size_t i)
{
	for (size_t j = i; j-- > 0;)
		if (o->r[j]->member == o->r[i]->member &&
		    (o->r[j]->act == LEDGER_LOAD || o->r[j]->act == LEDGER_SAVED))
			return o->r[j];
	return NULL;
}

static bool one_owner(struct one *o)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct ledger_record *r = o->r[i];
		const struct ledger_record *own = r->act == LEDGER_SAVED ? own_before(o, i) : NULL;
		if (!own)
			continue;
		for (size_t j = i; j-- > 0 && o->r[j]->ended > own->ended;) {
			const struct ledger_record *other = o->r[j];
			if (other->act != LEDGER_SAVED || other->member == r->member ||
			    other->begun <= own->ended || other->ended >= r->begun)
				continue;
			(void)snprintf(o->why, o->room,
				       "vBucket %u: member %u saved %" PRIu64
				       " after member %u had "
				       "saved %" PRIu64 ", without reading it",
				       o->vb, r->member, r->seqno, other->member, other->seqno);
			return false;
		}
	}
	return true;
}

static bool no_way_back(struct one *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t j = i; o->r[i]->act == LEDGER_SAVED && j-- > 0;) {
			const struct ledger_record *a = o->r[j], *b = o->r[i];
			if (a->act != LEDGER_SAVED || a->ended >= b->begun)
				continue;
			if (b->seqno < a->seqno) {
				(void)snprintf(o->why, o->room,
					       "vBucket %u: member %u saved %" PRIu64
					       " over %" PRIu64 " of member %u",
					       o->vb, b->member, b->seqno, a->seqno, a->member);
				return false;
			}
			break; /* what came before that one was compared with it */
		}
	return true;
}

static bool no_stale_load(struct one *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t j = i; o->r[i]->act == LEDGER_LOAD && j-- > 0;) {
			const struct ledger_record *save = o->r[j], *load = o->r[i];
			if (save->act != LEDGER_SAVED || save->ended >= load->begun)
				continue;
			if (load->seqno < save->seqno) {
				(void)snprintf(o->why, o->room,
					       "vBucket %u: member %u loaded %" PRIu64
					       " after member %u had saved %" PRIu64,
					       o->vb, load->member, load->seqno, save->member,
					       save->seqno);
				return false;
			}
			break; /* what came before that one is not above it */
		}
	return true;
}

/* Each member's way: LOAD c, then above c, each once and in order. */
static bool duplicates_are_few(struct one *o)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct ledger_record *r = o->r[i];
		if (r->act != LEDGER_TAKEN)
			continue;
		size_t j = i;
		while (j-- > 0)
			if (o->r[j]->member == r->member &&
			    (o->r[j]->act == LEDGER_LOAD || o->r[j]->act == LEDGER_TAKEN))
				break;
		if (j == SIZE_MAX || o->r[j]->seqno >= r->seqno) {
			(void)snprintf(o->why, o->room,
				       "vBucket %u: member %u took %" PRIu64 " again", o->vb,
				       r->member, r->seqno);
			return false;
		}
	}
	/* what its successor had not loaded */
	for (size_t i = 0; i < o->n; i++) {
		const struct ledger_record *load = o->r[i];
		for (size_t j = i;
		     load->act == LEDGER_LOAD && j-- > 0 && o->r[j]->act != LEDGER_LOAD;)
			o->sums->unsaved +=
				o->r[j]->act == LEDGER_TAKEN && o->r[j]->seqno > load->seqno;
	}
	return true;
}

static bool check_one(struct one *o)
{
	uint64_t *first = calloc(o->n_written + 1, sizeof(*first));
	qsort(o->r, o->n, sizeof(*o->r), by_end);
	bool good = first && all_taken(o, first) && promises_kept(o, first) && one_owner(o) &&
		    no_way_back(o) && no_stale_load(o) && duplicates_are_few(o);
	free(first);
	return good;
}

static void count(const struct ledger_record *r, struct ledger_sums *s)
{
	s->loads += r->act == LEDGER_LOAD;
	s->saves += r->act == LEDGER_SAVED;
	s->refused += r->act == LEDGER_REFUSED;
	s->taken += r->act == LEDGER_TAKEN;
	s->late += r->act == LEDGER_LATE;
}

bool ledger_check(const struct ledger *l, unsigned n_vbuckets, uint64_t *const *written,
		  const size_t *n, struct ledger_sums *sums, char *why, size_t room)
{
	size_t records = ledger_count(l), *at = calloc(n_vbuckets + 2, sizeof(*at));
	const struct ledger_record **r = calloc(records + 1, sizeof(*r));
	bool good = at && r && records <= l->room;
	(void)snprintf(why, room, "more records than room");
	memset(sums, 0, sizeof(*sums));
	for (size_t i = 0; good && i < records; i++)
		at[l->record[i].vb + 2] += l->record[i].act != LEDGER_NONE;
	for (unsigned vb = 2; good && vb < n_vbuckets + 2; vb++)
		at[vb] += at[vb - 1];
	for (size_t i = 0; good && i < records; i++)
		if (l->record[i].act != LEDGER_NONE) {
			count(&l->record[i], sums);
			r[at[l->record[i].vb + 1]++] = &l->record[i];
		}
	for (unsigned vb = 0; good && vb < n_vbuckets; vb++) {
		struct one o = { r + at[vb], at[vb + 1] - at[vb], vb, written[vb], n[vb], sums, why,
				 room };
		qsort(written[vb], n[vb], sizeof(**written), by_number);
		good = check_one(&o);
	}
	free(at);
	free(r);
	return good;
}
