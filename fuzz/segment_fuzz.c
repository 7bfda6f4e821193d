/* A log whose files hold what the fuzzer likes: opening, reading, verifying, repairing and writing on must end, stay
 * in bounds, and keep their word. The log lives in the simulator, so every run of an input is the same run.
 *
 *	input   which file (1) | flags (1) | content
 *	flags   PATCH   content is a list of patches of the good file: offset (2) length (1) bytes
 *	        otherwise content replaces the file
 *	        SEAL    the checksums of a segment's batches are made right afterwards, so that what stands
 *	                behind them is reached
 */
#include "base/crc32c.h"
#include "base/mem.h"
#include "log/format.h"
#include "os/env_sim.h"

#include <stdlib.h>

enum flags { PATCH = 1, SEAL = 2 };

static const char *const files[] = {
	"log/topics/t/0/00000000000000000000.seg",
	"log/topics/t/0/00000000000000000000.idx",
	"log/topics/t/0/00000000000000000030.seg",
	"log/topics/t/topic",
	"log/topics/t/0/trimmed",
	"log/weir-log",
};

#define FILE_BYTES_MAX 65536
#define RECORDS        45

static struct sim *pristine, *world;
static volatile uint32_t bytes_read;

static struct log_options options(bool read_only)
{
	return (struct log_options){
		.env = sim_env(world),
		.read_only = read_only,
		.segment_bytes = 8192,
		.flush_interval_ms = UINT32_MAX,
	};
}

static void append(struct log_topic *t, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint8_t value[200] = { (uint8_t)i };
		struct log_record r = { .time_ms = (int64_t)(1000 + i),
					.has_key = i % 3 == 0,
					.key = SLICE_LIT("key"),
					.has_value = i % 5 != 0,
					.value = { value, i * 37 % 200 } };
		if (log_append(t, 0, &r, 1, i % 7 ? LOG_ACK_WRITTEN : LOG_ACK_DURABLE, NULL, NULL))
			return;
	}
}

static void make_pristine(void)
{
	static const struct sim_options o = { .seed = 1, .file_bytes = 1 << 20 };
	pristine = sim_new(&o);
	world = sim_new(&o);
	ASSERT(pristine && world);
	struct log *l;
	struct log_topic *t;
	struct log_options w = options(false);
	w.env = sim_env(pristine);
	w.create = true;
	struct err e = ERR_INIT;
	ASSERT(log_open("log", &w, &l, &e) == 0);
	ASSERT(log_topic_create(l, "t", 1, &t, &e) == 0);
	append(t, RECORDS);
	ASSERT(log_close(l, &e) == 0);
}

static void patch(struct buf *b, struct slice in)
{
	while (in.len >= 3) {
		size_t at = get_le16(in.p), len = in.p[2];
		in = slice_of(in.p + 3, in.len - 3);
		len = MIN(len, in.len);
		if (at < b->len)
			memcpy(b->p + at, in.p, MIN(len, b->len - at));
		in = slice_of(in.p + len, in.len - len);
	}
}

static void make_checksums_right(struct buf *b, const struct segment_header *h)
{
	uint32_t seed = header_seed(h);
	size_t at = SEGMENT_HEADER_BYTES;
	while (at + BATCH_HEADER_BYTES <= b->len) {
		uint8_t *p = b->p + at;
		size_t len = get_le32(p + 16);
		if (len < BATCH_HEADER_BYTES || len > b->len - at)
			return;
		put_le32(p + 4, crc32c(seed, p + BATCH_HEADER_BYTES, len - BATCH_HEADER_BYTES));
		put_le32(p, crc32c(seed, p + 4, BATCH_HEADER_BYTES - 4));
		at += len;
	}
}

/* Puts what the input says into the copied world. */
static void damage(const char *path, unsigned flags, struct slice content)
{
	struct env *env = sim_env(world);
	struct file *f;
	uint64_t size = 0;
	size_t got;
	struct err e = ERR_INIT;
	AUTO(buf) struct buf b = BUF_INIT;
	struct segment_header h;
	bool segment = false;
	ASSERT(env_open(env, path, FILE_CREATE, &f, &e) == 0);
	ASSERT(file_size(f, &size, &e) == 0);
	ASSERT(buf_reserve(&b, (size_t)size + 1));
	ASSERT(file_read(f, 0, b.p, (size_t)size, &got, &e) == 0);
	b.len = got;
	if (got >= HEADER_BLOCK_BYTES)
		segment = header_decode(b.p, HEADER_SEGMENT, &h) == 1;
	if (flags & PATCH) {
		patch(&b, content);
	} else {
		buf_reset(&b);
		buf_add(&b, content.p, MIN(content.len, (size_t)FILE_BYTES_MAX));
	}
	if ((flags & SEAL) && segment)
		make_checksums_right(&b, &h);
	ASSERT(file_truncate(f, 0, &e) == 0);
	ASSERT(file_write(f, 0, b.p, b.len, &e) == 0);
	ASSERT(file_sync(f, &e) == 0);
	file_close(f);
}

/* Reads everything there is, seeking past what is lost. Offsets must ascend and it must come to an end. */
static void read_all(struct log_topic *t)
{
	struct log_reader *r;
	struct log_record rec;
	struct err e = ERR_INIT;
	struct log_range range = log_topic_range(t, 0, false);
	if (log_reader_open(t, 0, range.oldest, NULL, &r, &e))
		return;
	uint64_t next = range.oldest;
	uint32_t sum = 0;
	for (int errors = 0; errors < 200;) {
		int rc = log_reader_next(r, &rec, &e);
		if (rc == 0)
			break;
		if (rc == 1) {
			ASSERT(rec.offset >= next);
			next = rec.offset + 1;
			/* Every byte it hands out is there. */
			sum = crc32c(crc32c(sum, rec.key.p, rec.key.len), rec.value.p,
				     rec.value.len);
			continue;
		}
		errors++;
		if (rc != ERR_CORRUPT || e.newest <= next)
			break;
		next = e.newest;
		log_reader_seek(r, next);
	}
	log_reader_close(r);
	bytes_read += sum;
}

static int look(bool read_only)
{
	struct log *l;
	struct log_topic *t;
	struct err e = ERR_INIT;
	struct log_options o = options(read_only);
	int rc = log_open("log", &o, &l, &e);
	if (rc)
		return rc;
	rc = log_topic_open(l, "t", &t, &e);
	if (rc == 0) {
		uint64_t offset;
		read_all(t);
		(void)log_topic_seek_time(t, 0, 1020, &offset, &e);
		if (!read_only) {
			append(t, 3);
			read_all(t);
		}
	}
	(void)log_close(l, &e);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (!pristine)
		make_pristine();
	struct err e = ERR_INIT;
	ASSERT(sim_copy(pristine, world) == 0);
	damage(files[data[0] % ARRAY_LEN(files)], data[1], slice_of(data + 2, size - 2));

	struct log_options o = options(true);
	int whole = log_verify("log", &o, NULL, NULL, NULL, &e);
	(void)look(true);
	if (data[1] & 4)
		(void)look(false); /* the writer first, then repair */
	int rc = log_repair("log", &o, true, NULL, NULL, NULL, &e);
	if (rc == 0) {
		/* What repair says is well is well, and can be written to. */
		rc = log_verify("log", &o, NULL, NULL, NULL, &e);
		ASSERT(rc == 0);
		rc = look(false);
		ASSERT(rc == 0);
	}
	ASSERT(whole != 0 || rc == 0);
	return 0;
}
