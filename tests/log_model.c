#include "tests/log_model.h"

#include "tests/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY_BYTES 12

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t seed_of(struct model_id which)
{
	return mix((which.id + 1) * UINT64_C(0x9e3779b97f4a7c15) + which.stream);
}

/* Mostly short values, now and then one of any length. */
static size_t value_len(uint64_t seed, size_t max_value)
{
	size_t limit = seed % 8 ? MIN(max_value, (size_t)256) : max_value;
	return limit ? (size_t)(mix(seed) % limit) : 0;
}

static void fill(uint64_t seed, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = mix(seed + i);
		memcpy(p + i, &word, MIN(len - i, (size_t)8));
	}
}

void model_record(struct model_id which, size_t max_value, struct buf *bytes,
		  struct log_record *out)
{
	uint64_t seed = seed_of(which);
	size_t len = value_len(seed, max_value), headers = seed % 5 ? 0 : seed % 41;
	buf_reset(bytes);
	ASSERT(buf_reserve(bytes, KEY_BYTES + headers + len + 8));
	put_le32(bytes->p, which.stream);
	put_le64(bytes->p + 4, which.id);
	fill(seed, bytes->p + KEY_BYTES, headers + len);
	*out = (struct log_record){ .has_key = true,
				    .has_value = seed % 17 != 0,
				    .key = slice_of(bytes->p, KEY_BYTES),
				    .headers = slice_of(bytes->p + KEY_BYTES, headers),
				    .value = slice_of(bytes->p + KEY_BYTES + headers, len) };
	if (!out->has_value)
		out->value = SLICE_NONE;
}

bool model_check(const struct log_record *r, size_t max_value, struct model_id *which)
{
	if (!r->has_key || r->key.len != KEY_BYTES)
		return false;
	which->stream = get_le32(r->key.p);
	which->id = get_le64(r->key.p + 4);
	AUTO(buf) struct buf bytes = BUF_INIT;
	struct log_record want;
	model_record(*which, max_value, &bytes, &want);
	return want.has_value == r->has_value && slice_eq(want.headers, r->headers) &&
	       slice_eq(want.value, r->value);
}

static int check_one(const struct model_range *range, uint64_t at, const struct log_record *rec,
		     struct err *e)
{
	struct model_id which = { 0 };
	uint32_t stream = range->partition + (at < range->new_from ? 0 : MODEL_NEW_LIFE);
	if (rec->offset != at)
		return err_set(e, ERR_CONFLICT,
			       "partition %u: offset %" PRIu64 " comes after %" PRIu64,
			       range->partition, rec->offset, at - 1);
	if (!model_check(rec, range->max_value, &which) || which.id != at || which.stream != stream)
		return err_set(e, ERR_CONFLICT,
			       "partition %u, offset %" PRIu64 ": bytes of record %u/%" PRIu64
			       " or of none instead of %u/%" PRIu64,
			       range->partition, at, which.stream, which.id, stream, at);
	return 0;
}

int model_read(struct log_topic *t, const struct model_range *range, struct err *e)
{
	struct log_reader_options o = { .durable_only = range->durable_only };
	struct log_reader *r = NULL;
	int rc = log_reader_open(t, range->partition, range->from, &o, &r, e);
	if (rc < 0)
		return err_in(e, rc, "opening a reader at %" PRIu64, range->from);
	for (uint64_t at = range->from; at < range->next && rc == 0; at++) {
		struct log_record rec;
		rc = log_reader_next(r, &rec, e);
		if (rc == 0)
			rc = err_set(e, ERR_CONFLICT,
				     "partition %u ends at %" PRIu64 " instead of %" PRIu64,
				     range->partition, at, range->next);
		else if (rc < 0)
			rc = err_in(e, rc, "partition %u, offset %" PRIu64, range->partition, at);
		else
			rc = check_one(range, at, &rec, e);
	}
	log_reader_close(r);
	return rc;
}

int model_read_around(struct log_topic *t, uint64_t next, size_t max_value,
		      struct model_outcome *out, struct err *e)
{
	struct log_reader *r;
	*out = (struct model_outcome){ 0 };
	struct log_range range = log_topic_range(t, 0, false);
	int rc = log_reader_open(t, 0, range.oldest, NULL, &r, e);
	if (rc < 0)
		return rc;
	for (uint64_t at = range.oldest; at < next && rc == 0;) {
		struct model_range one = { .new_from = UINT64_MAX, .max_value = max_value };
		struct log_record rec;
		rc = log_reader_next(r, &rec, e);
		if (rc == ERR_CORRUPT && e->oldest <= at && e->newest > at) {
			out->ranges++;
			out->lost += e->newest - at;
			at = e->newest;
			log_reader_seek(r, at);
			rc = 0;
		} else if (rc == 1) {
			rc = check_one(&one, at++, &rec, e);
			out->delivered++;
		} else if (rc == 0) {
			rc = err_set(e, ERR_CONFLICT,
				     "the log ends at %" PRIu64 " instead of %" PRIu64, at, next);
		} else {
			rc = err_in(e, rc, "at offset %" PRIu64 ", lost [%" PRIu64 ", %" PRIu64 ")",
				    at, e ? e->oldest : 0, e ? e->newest : 0);
		}
	}
	log_reader_close(r);
	return rc;
}

int model_check_part(struct log_topic *t, uint32_t p, const struct model_part *want,
		     size_t max_value, struct err *e)
{
	struct log_range r = log_topic_range(t, p, false);
	uint64_t acked = MAX(want->durable, want->written);
	if (r.next < acked)
		return err_set(e, ERR_CONFLICT,
			       "partition %u ends at %" PRIu64 ", %" PRIu64 " were acknowledged", p,
			       r.next, acked);
	if (r.next > want->submitted)
		return err_set(e, ERR_CONFLICT,
			       "partition %u ends at %" PRIu64 ", only %" PRIu64
			       " were ever submitted",
			       p, r.next, want->submitted);
	if (r.oldest > want->trim_asked)
		return err_set(e, ERR_CONFLICT,
			       "partition %u begins at %" PRIu64 ", trimmed was up to %" PRIu64, p,
			       r.oldest, want->trim_asked);
	return model_read(t,
			  &(struct model_range){ .partition = p,
						 .from = r.oldest,
						 .next = r.next,
						 .new_from = want->new_from,
						 .max_value = max_value },
			  e);
}

int model_append(struct log_topic *t, uint32_t partition, uint64_t next, size_t n, uint32_t stream,
		 size_t max_value, enum log_ack ack, struct err *e)
{
	struct log_record rec[MODEL_BATCH_MAX];
	struct buf bytes[MODEL_BATCH_MAX] = { 0 };
	ASSERT(n <= MODEL_BATCH_MAX);
	for (size_t i = 0; i < n; i++)
		model_record((struct model_id){ stream, next + i }, max_value, &bytes[i], &rec[i]);
	uint64_t first = 0;
	int rc = log_append(t, partition, rec, n, ack, &first, e);
	if (rc == 0 && first != next)
		rc = err_set(e, ERR_CONFLICT, "appended at %" PRIu64 " instead of %" PRIu64, first,
			     next);
	for (size_t i = 0; i < n; i++)
		buf_done(&bytes[i]);
	return rc;
}

bool model_parallel(int (*fn)(void *arg, int i), void *arg, int n)
{
	pid_t pid[MODEL_PROCESSES_MAX];
	ASSERT(n <= MODEL_PROCESSES_MAX);
	fflush(NULL);
	for (int i = 0; i < n; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(fn(arg, i));
	}
	bool all = true;
	for (int i = 0; i < n; i++) {
		int status = 0;
		all = pid[i] > 0 && waitpid(pid[i], &status, 0) == pid[i] && status == 0 && all;
	}
	return all;
}
