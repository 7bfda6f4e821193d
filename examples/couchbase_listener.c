/* couchbase_listener.c: a sink behind a Couchbase bucket: a listener collects documents, writes them out in batches, and
 * acknowledges a batch when it is safe on the disk, so that a crash at any moment repeats some but loses none.
 *
 *	COUCHBASE_PASSWORD=... couchbase_listener HOST[:PORT] BUCKET [USER]
 *
 * It copies what is there (finite mode) to sink.ndjson and ends; run again, it goes on where it stopped. A rollback is a
 * line like the others: what was written of that vBucket above its rollbackTo never happened. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 1000 };

struct sink {
	FILE *out;
	struct {
		uint16_t vbucket;
		uint64_t ticket;
	} pending[BATCH]; /* written, but perhaps not on the disk yet */
	size_t n;
	unsigned long long written;
	weir_buffer line;
};

/* What was written is on the disk before it is acknowledged. */
static int flush(struct sink *s, weir_dcp *d)
{
	size_t i;
	if (fflush(s->out) != 0 || fsync(fileno(s->out)) != 0)
		return WEIR_ERR_IO;
	for (i = 0; i < s->n;
	     i++) /* one that is not valid any more comes again, or never happened */
		(void)weir_dcp_ack_later(d, s->pending[i].vbucket, s->pending[i].ticket);
	s->written += s->n;
	s->n = 0;
	return WEIR_DCP_DONE;
}

static int on_event(void *arg, weir_dcp *d, const weir_dcp_event *ev)
{
	struct sink *s = arg;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_info i = { .size = sizeof(i) };
	weir_doc doc;
	weir_dcp_event_info(d, ev, &i);
	if (i.kind == WEIR_DCP_END)
		return i.code ? i.code : WEIR_DCP_DONE;
	if (weir_dcp_event_doc(d, ev, &doc, &e) == 1) {
		weir_buffer_clear(&s->line);
		if (weir_bson_to_json(doc, WEIR_JSON_RELAXED, 0, &s->line, &e) < 0)
			return e.code;
		fprintf(s->out, "%.*s\n", (int)s->line.len, (const char *)s->line.data);
	}
	s->pending[s->n].vbucket = i.vbucket;
	s->pending[s->n].ticket = i.ticket;
	if (++s->n < BATCH)
		return WEIR_DCP_LATER;
	return flush(s, d) == WEIR_DCP_DONE ? WEIR_DCP_LATER : WEIR_ERR_IO;
}

/* Nothing more waits: what there is is written out, instead of waiting for a full batch. */
static int on_batch(void *arg, weir_dcp *d)
{
	struct sink *s = arg;
	return s->n ? flush(s, d) : WEIR_DCP_DONE;
}

/* When vBuckets leave (here: at the end), what was written of them counts only if it is acknowledged before. */
static void on_hook(void *arg, weir_dcp *d, enum weir_dcp_hook what, const uint16_t *vbuckets,
		    size_t n)
{
	(void)arg;
	(void)d;
	(void)vbuckets;
	if (what == WEIR_DCP_AFTER_STREAM_START)
		fprintf(stderr, "%u vBuckets started\n", (unsigned)n);
	if (what == WEIR_DCP_AFTER_STREAM_STOP)
		fprintf(stderr, "%u vBuckets stopped, their places saved\n", (unsigned)n);
}

static int fail(const weir_error *e)
{
	fprintf(stderr, "couchbase_listener: %s\n", e->message);
	return 1;
}

static int run(weir_dcp *d, struct sink *s, weir_error *e)
{
	weir_dcp_listener l = {
		.size = sizeof(l), .arg = s, .consume_event = on_event, .after_batch = on_batch
	};
	if (weir_dcp_assign_share(d, 1, 1, e) < 0)
		return -1;
	return weir_dcp_run(d, &l, e); /* 1: everything that was there has come */
}

int main(int argc, char **argv)
{
	static struct sink s;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_options o = { .size = sizeof(o) };
	weir_dcp *d;
	int rc;

	if (argc < 3) {
		puts("usage: couchbase_listener HOST[:PORT] BUCKET [USER]");
		return 0;
	}
	o.hosts = argv[1];
	o.bucket = argv[2];
	o.user = argc > 3 ? argv[3] : "Administrator";
	o.password = getenv("COUCHBASE_PASSWORD");
	o.group = "sink";
	o.checkpoint_file = "sink.checkpoints";
	o.finite = true;
	o.hook = on_hook;
	s.out = fopen("sink.ndjson", "a");
	if (!s.out) {
		perror("sink.ndjson");
		return 1;
	}
	if (weir_dcp_open(&o, &d, &e) < 0)
		return fail(&e);
	rc = run(d, &s, &e);
	if (rc < 0)
		(void)fail(&e);
	if (weir_dcp_close(d, &e) < 0)
		return fail(&e);
	if (fclose(s.out) != 0) {
		perror("sink.ndjson");
		return 1;
	}
	weir_buffer_free(&s.line);
	printf("%llu events\n", s.written);
	return rc == 1 ? 0 : 1;
}
