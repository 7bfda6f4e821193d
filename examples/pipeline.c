/* pipeline.c: stages that filter events and change their shape. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weir_error e;

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "pipeline: %s\n", e.message);
		exit(1);
	}
}

static weir_position start;

/* Opens a watch from the first change below and returns how many events pass; prints them as the pipeline left them. */
static int run(weir_oplog *o, const char *stages)
{
	weir_watch_options options = { .size = sizeof options,
				       .start = WEIR_START_TIME,
				       .start_time = start.cluster_time,
				       .pipeline = weir_json(stages) };
	weir_watch *w;
	const weir_event *ev;
	weir_buffer text = WEIR_BUFFER_INIT;
	int n = 0, rc;
	must(weir_watch_open(o, "testdb", NULL, &options, &w, &e));
	printf("%s\n", stages);
	while ((rc = weir_watch_try_next(w, &ev, &e)) == 1) {
		weir_buffer_clear(&text);
		must(weir_event_to_json(ev, WEIR_JSON_RELAXED, &text, &e));
		const char *rest = strstr((const char *)text.data, "},"); /* behind the token */
		printf("   %.100s\n", rest ? rest + 2 : (const char *)text.data);
		n++;
	}
	must(rc);
	weir_buffer_free(&text);
	weir_watch_free(w);
	return n;
}

int main(void)
{
	weir_oplog *o;
	weir_watch *w;
	must(weir_oplog_open("pipeline.oplog", NULL, &o, &e));
	must(weir_oplog_insert(o, "testdb", "users",
			       weir_json("{\"_id\":1,\"name\":\"Alice\",\"age\":30}"), NULL, &start,
			       &e));
	must(weir_oplog_update(o, "testdb", "users", weir_json("{\"_id\":1}"),
			       weir_json("{\"$set\":{\"age\":31}}"), NULL, NULL, &e));
	must(weir_oplog_delete(o, "testdb", "users", weir_json("{\"_id\":1}"), NULL, NULL, &e));

	int wrong = 0;
	wrong +=
		run(o, "[{\"$match\":{\"operationType\":{\"$in\":[\"insert\",\"update\"]}}}]") != 2;
	wrong += run(o, "[{\"$match\":{\"operationType\":\"insert\"}},{\"$match\":{\"database\":"
			"\"testdb\"}}]") != 1;
	wrong += run(o, "[{\"$match\":{\"operationType\":\"insert\"}},"
			"{\"$project\":{\"who\":\"$fullDocument.name\",\"key\":\"$documentKey._"
			"id\"}}]") != 1;
	wrong += run(o, "[{\"$addFields\":{\"seenBy\":\"pipeline.c\"}},{\"$unset\":[\"ns\","
			"\"wallTime\",\"clusterTime\"]}]") != 3;

	/* Stages that a stream cannot have are refused when it is opened. */
	weir_watch_options options = { .size = sizeof options,
				       .pipeline = weir_json("[{\"$sort\":{\"age\":1}}]") };
	int rc = weir_watch_open(o, "testdb", NULL, &options, &w, &e);
	printf("%s: %s\n", weir_error_name(rc), e.message);
	wrong += rc >= 0;
	must(weir_oplog_close(o, &e));
	return wrong ? 1 : 0;
}
