/* resume.c: a consumer that saves where it stands, ends, and goes on where it was, missing nothing. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>

static weir_error e;

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "resume: %s\n", e.message);
		exit(1);
	}
}

/* A new file, then its name: a crash leaves the old token or the new one, never half of one. */
static void save_token(const char *token)
{
	FILE *f = fopen("resume.token.new", "w");
	if (!f || fputs(token, f) < 0 || fclose(f) != 0 ||
	    rename("resume.token.new", "resume.token") != 0) {
		perror("resume.token");
		exit(1);
	}
}

static const char *load_token(char text[WEIR_TOKEN_MAX])
{
	FILE *f = fopen("resume.token", "r");
	if (!f || !fgets(text, WEIR_TOKEN_MAX, f)) {
		perror("resume.token");
		exit(1);
	}
	fclose(f);
	return text;
}

/* Handles `count` events; each is saved as done after it was handled. Returns the last number seen. */
static int64_t consume(weir_oplog *o, const weir_watch_options *options, int count, int64_t last)
{
	weir_watch *w;
	const weir_event *ev;
	must(weir_watch_open(o, "mydb", "users", options, &w, &e));
	for (int i = 0; i < count && weir_watch_next(w, 500, &ev, &e) == 1; i++) {
		int64_t n = -1;
		weir_get_int64(weir_event_full_document(ev), "n", &n);
		if (n != last + 1) {
			fprintf(stderr, "resume: %d came after %d\n", (int)n, (int)last);
			exit(1);
		}
		last = n;
		save_token(weir_event_token(ev)); /* or weir_watch_token(w), every ten seconds */
	}
	printf("handled up to number %d, stands at %.24s...\n", (int)last, weir_watch_token(w));
	weir_watch_free(w);
	return last;
}

int main(void)
{
	weir_oplog *o;
	char token[WEIR_TOKEN_MAX];
	must(weir_oplog_open("resume.oplog", NULL, &o, &e));
	weir_position first;
	for (int n = 1; n <= 10; n++) {
		char doc[64];
		weir_position p;
		snprintf(doc, sizeof doc, "{\"_id\":\"user%d\",\"n\":%d}", n, n);
		must(weir_oplog_insert(o, "mydb", "users", weir_json(doc), NULL, &p, &e));
		if (n == 1)
			first = p;
	}
	weir_watch_options from_first = { .size = sizeof from_first,
					  .start = WEIR_START_TIME,
					  .start_time = first.cluster_time };
	int64_t last = consume(o, &from_first, 4, 0);
	must(weir_oplog_close(o, &e)); /* the process could end here */

	must(weir_oplog_open("resume.oplog", NULL, &o, &e));
	weir_watch_options behind = { .size = sizeof behind, .resume_after = load_token(token) };
	last = consume(o, &behind, 6, last);
	must(weir_oplog_close(o, &e));
	return last == 10 ? 0 : 1;
}
