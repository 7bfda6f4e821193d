/* audit_log.c: watch everything, and write a line for every operation. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static weir_error e;

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "audit_log: %s\n", e.message);
		exit(1);
	}
}

static void do_things(weir_oplog *o)
{
	weir_doc user = weir_json("{\"_id\":\"user1\",\"name\":\"Alice\"}");
	weir_doc key = weir_json("{\"_id\":\"user1\"}");
	must(weir_oplog_create_collection(o, "mydb", "users", weir_none(), NULL, NULL, &e));
	must(weir_oplog_create_index(o, "mydb", "users",
				     weir_json("{\"key\":{\"name\":1},\"name\":\"name_1\"}"), NULL,
				     NULL, &e));
	must(weir_oplog_insert(o, "mydb", "users", user, NULL, NULL, &e));
	must(weir_oplog_update(o, "mydb", "users", key, weir_json("{\"$set\":{\"name\":\"Bob\"}}"),
			       NULL, NULL, &e));
	must(weir_oplog_replace(o, "mydb", "users", user, NULL, NULL, &e));
	must(weir_oplog_delete(o, "mydb", "users", key, NULL, NULL, &e));
	must(weir_oplog_drop_index(o, "mydb", "users", weir_json("{\"name\":\"name_1\"}"), NULL,
				   NULL, &e));
	must(weir_oplog_rename_collection(o, "mydb", "users", "mydb", "people", NULL, NULL, &e));
	must(weir_oplog_drop_collection(o, "mydb", "people", NULL, NULL, &e));
	must(weir_oplog_drop_database(o, "mydb", NULL, NULL, &e));
}

int main(void)
{
	static const char *const expected[] = { "create",  "createIndexes", "insert",      "update",
						"replace", "delete",        "dropIndexes", "rename",
						"drop",    "dropDatabase" };
	const size_t count = sizeof expected / sizeof expected[0];
	weir_oplog *o;
	weir_watch *w;
	const weir_event *ev;
	size_t n = 0, wrong = 0;
	int rc = 0;

	must(weir_oplog_open("audit_log.oplog", NULL, &o, &e));
	must(weir_watch_open(o, "", "", NULL, &w, &e)); /* the whole deployment */
	do_things(o);

	FILE *log = fopen("audit.log", "a");
	if (!log) {
		perror("audit.log");
		return 1;
	}
	while (n < count && (rc = weir_watch_next(w, 1000, &ev, &e)) == 1) {
		time_t t = (time_t)(weir_event_wall_time(ev) / 1000);
		char when[32], line[256];
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", gmtime(&t));
		snprintf(line, sizeof line, "[%s] %s on %s.%s", when, weir_event_operation(ev),
			 weir_event_database(ev), weir_event_collection(ev));
		puts(line);
		wrong += fprintf(log, "%s\n", line) < 0 ||
			 strcmp(weir_event_operation(ev), expected[n]) != 0;
		n++;
	}
	must(rc);
	wrong += fclose(log) != 0;
	weir_watch_free(w);
	must(weir_oplog_close(o, &e));
	return n == count && !wrong ? 0 : 1;
}
