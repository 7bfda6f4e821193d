/* stale_stream.c: notice that a stream has had no events for too long, and whether that is because nothing happens.
 *
 * The consumer waits a bounded time for each event. When none came it looks at the clock: quiet for longer than allowed
 * is a warning. Whether the stream lags (there are entries it has not looked at) or the source is quiet is in its
 * statistics; either way its token keeps moving, so a quiet stream can be resumed later. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STALE_AFTER_MS = 200, CHECK_EVERY_MS = 50 };

static weir_error e;

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "stale_stream: %s\n", e.message);
		exit(1);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Consumes until the stream is stale; returns how many events came before. */
static int consume_until_stale(weir_watch *w)
{
	int64_t last_event = now_ms();
	int events = 0;
	while (now_ms() - last_event <= STALE_AFTER_MS) {
		const weir_event *ev;
		int rc = weir_watch_next(w, CHECK_EVERY_MS, &ev, &e);
		if (rc < 0 && weir_error_is_transient(rc))
			continue; /* worth another try; anything else is not */
		must(rc);
		if (rc == 1) {
			last_event = now_ms();
			events++;
		}
	}
	weir_watch_stats s = { .size = sizeof s };
	must(weir_watch_stat(w, &s, &e));
	printf("Warning: no events for %d ms after %d events; looked at %d entries, %d behind\n",
	       STALE_AFTER_MS, events, (int)s.scanned, (int)s.lag_entries);
	return s.lag_entries == 0 ? events : -1;
}

int main(void)
{
	weir_oplog *o;
	weir_watch *w;
	char before[WEIR_TOKEN_MAX];
	must(weir_oplog_open("stale_stream.oplog", NULL, &o, &e));
	weir_watch_options options = { .size = sizeof options, .batch_size = 10 };
	must(weir_watch_open(o, "mydb", "users", &options, &w, &e));
	for (int i = 0; i < 3; i++)
		must(weir_oplog_replace(o, "mydb", "users", weir_json("{\"_id\":1}"), NULL, NULL,
					&e));
	int first = consume_until_stale(w);

	/* Others are busy; this stream sees nothing of it, yet its token does not grow old. */
	snprintf(before, sizeof before, "%s", weir_watch_token(w));
	for (int i = 0; i < 1000; i++) {
		weir_append_options fast = { .size = sizeof fast, .ack = WEIR_ACK_WRITTEN };
		must(weir_oplog_replace(o, "mydb", "orders", weir_json("{\"_id\":1}"), &fast, NULL,
					&e));
	}
	must(weir_oplog_flush(o, &e));
	int second = consume_until_stale(w);
	int moved = strcmp(before, weir_watch_token(w)) < 0;
	weir_watch_free(w);
	must(weir_oplog_close(o, &e));
	return first == 3 && second == 0 && moved ? 0 : 1;
}
