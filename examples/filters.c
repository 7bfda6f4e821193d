/* filters.c: a filter is a query on the event's fields; what does not match costs next to nothing. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>

static weir_error e;

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "filters: %s\n", e.message);
		exit(1);
	}
}

static const struct {
	const char *what, *filter;
	int expected;
} filters[] = {
	{ "only inserts", "{\"operationType\":\"insert\"}", 3 },
	{ "changes of one document", "{\"documentKey._id\":\"user1\"}", 3 },
	{ "updates of users",
	  "{\"$and\":[{\"operationType\":\"update\"},{\"collection\":\"users\"}]}", 1 },
	{ "inserts of adults", "{\"operationType\":\"insert\",\"fullDocument.age\":{\"$gte\":18}}",
	  1 },
	{ "updates that touched the age",
	  "{\"updateDescription.updatedFields.age\":{\"$exists\":true}}", 1 },
	{ "orders, by the collection's name", "{\"ns.coll\":{\"$in\":[\"orders\",\"returns\"]}}",
	  1 },
	{ "neither inserts nor deletes",
	  "{\"$nor\":[{\"operationType\":\"insert\"},{\"operationType\":\"delete\"}]}", 1 },
};

#define FILTERS (sizeof filters / sizeof filters[0])

int main(void)
{
	weir_oplog *o;
	weir_watch *w[FILTERS], *bad;
	int wrong = 0;
	must(weir_oplog_open("filters.oplog", NULL, &o, &e));
	for (size_t i = 0; i < FILTERS; i++) {
		weir_watch_options options = { .size = sizeof options,
					       .filter = weir_json(filters[i].filter) };
		must(weir_watch_open(o, "mydb", NULL, &options, &w[i], &e));
	}
	must(weir_oplog_insert(o, "mydb", "users", weir_json("{\"_id\":\"user1\",\"age\":30}"),
			       NULL, NULL, &e));
	must(weir_oplog_insert(o, "mydb", "users", weir_json("{\"_id\":\"user2\",\"age\":7}"), NULL,
			       NULL, &e));
	must(weir_oplog_insert(o, "mydb", "orders", weir_json("{\"_id\":1,\"of\":\"user1\"}"), NULL,
			       NULL, &e));
	must(weir_oplog_update(o, "mydb", "users", weir_json("{\"_id\":\"user1\"}"),
			       weir_json("{\"$inc\":{\"age\":1}}"), NULL, NULL, &e));
	must(weir_oplog_delete(o, "mydb", "users", weir_json("{\"_id\":\"user1\"}"), NULL, NULL,
			       &e));

	for (size_t i = 0; i < FILTERS; i++) {
		const weir_event *ev;
		int n = 0, rc;
		while ((rc = weir_watch_try_next(w[i], &ev, &e)) == 1)
			n++;
		must(rc);
		printf("%-34s %d\n", filters[i].what, n);
		wrong += n != filters[i].expected;
		weir_watch_free(w[i]);
	}

	/* A filter that makes no sense is refused with its place, instead of matching nothing for ever. */
	weir_watch_options options = { .size = sizeof options,
				       .filter = weir_json("{\"ns.coll\":{\"$bogus\":1}}") };
	int rc = weir_watch_open(o, "mydb", NULL, &options, &bad, &e);
	printf("%s: %s\n", weir_error_name(rc), e.message);
	wrong += rc != WEIR_ERR_INVALID;
	must(weir_oplog_close(o, &e));
	return wrong ? 1 : 0;
}
