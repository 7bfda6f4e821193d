/* basic_watch.c: the ways to consume a change stream: wait for events, look without waiting, take several at once. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>

static weir_error e;

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "basic_watch: %s\n", e.message);
		exit(1);
	}
}

static void write_some(weir_oplog *o)
{
	must(weir_oplog_insert(o, "mydb", "users",
			       weir_json("{\"_id\":\"user1\",\"name\":\"Alice\",\"age\":30}"), NULL,
			       NULL, &e));
	must(weir_oplog_update(o, "mydb", "users", weir_json("{\"_id\":\"user1\"}"),
			       weir_json("{\"$inc\":{\"age\":1}}"), NULL, NULL, &e));
	must(weir_oplog_insert(o, "mydb", "orders", weir_json("{\"_id\":7,\"of\":\"user1\"}"), NULL,
			       NULL, &e));
	must(weir_oplog_delete(o, "mydb", "users", weir_json("{\"_id\":\"user1\"}"), NULL, NULL,
			       &e));
}

int main(void)
{
	weir_oplog *o;
	weir_watch *all, *users;
	const weir_event *ev, *const *evs;
	const char *id;
	size_t n, n_all = 0, n_users = 0;
	int rc;

	must(weir_oplog_open("basic_watch.oplog", NULL, &o, &e));
	must(weir_watch_open(o, "mydb", NULL, NULL, &all, &e));      /* every collection of mydb */
	must(weir_watch_open(o, "mydb", "users", NULL, &users, &e)); /* one collection */
	write_some(o);

	/* Wait for each event, at most half a second. */
	while ((rc = weir_watch_next(all, 500, &ev, &e)) == 1) {
		printf("Operation: %s, Collection: %s\n", weir_event_operation(ev),
		       weir_event_collection(ev));
		if (++n_all == 4)
			break;
	}
	must(rc);

	/* Look without waiting. */
	must(rc = weir_watch_try_next(users, &ev, &e));
	if (rc == 1 && weir_get_string(weir_event_document_key(ev), "_id", &id)) {
		printf("User changed: %s\n", id);
		n_users++;
	}

	/* Take what is there, up to batch_size (100). */
	must(rc = weir_watch_next_batch(users, WEIR_MAX_AWAIT, &evs, &n, &e));
	for (size_t i = 0; rc == 1 && i < n; i++, n_users++)
		printf("Event: %s\n", weir_event_operation(evs[i]));

	must(rc = weir_watch_try_next(users, &ev, &e));
	if (rc == 0)
		puts("No event available");

	weir_watch_free(all);
	weir_watch_free(users);
	must(weir_oplog_close(o, &e));
	return n_all == 4 && n_users == 3 && rc == 0 ? 0 : 1;
}
