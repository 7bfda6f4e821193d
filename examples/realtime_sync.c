/* realtime_sync.c: keep a copy elsewhere in step: inserts and replaces as they are, updates by their difference. */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = 5 };

static weir_error e;
static weir_buffer remote[USERS]; /* the other system; empty: no such document */

static void must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "realtime_sync: %s\n", e.message);
		exit(1);
	}
}

static void store(weir_buffer *to, weir_doc doc)
{
	weir_buffer_clear(to);
	must(weir_doc_with_id(doc, "_id", to, &e)); /* a copy of the bytes, _id first */
}

static void apply(const weir_event *ev)
{
	const char *op = weir_event_operation(ev);
	int64_t id;
	if (!weir_get_int64(weir_event_document_key(ev), "_id", &id))
		return;
	weir_buffer *copy = &remote[id], after = WEIR_BUFFER_INIT;
	if (!strcmp(op, "insert") || !strcmp(op, "replace")) {
		store(copy, weir_event_full_document(ev));
	} else if (!strcmp(op, "update")) {
		must(weir_apply_update(weir_bson(copy->data, copy->len),
				       weir_event_update_description(ev), &after, &e));
		weir_buffer_free(copy);
		*copy = after;
	} else if (!strcmp(op, "delete")) {
		weir_buffer_clear(copy);
	}
	printf("%s %d\n", op, (int)id);
}

int main(void)
{
	static const char *const updates[] = { "{\"$inc\":{\"age\":5}}",
					       "{\"$push\":{\"tags\":\"new\"}}",
					       "{\"$unset\":{\"name\":1}}",
					       "{\"$pop\":{\"tags\":-1}}" };
	weir_oplog *o;
	weir_watch *w;
	const weir_event *ev;
	int rc, wrong = 0;
	must(weir_oplog_open("realtime_sync.oplog", NULL, &o, &e));
	must(weir_watch_open(o, "mydb", "users", NULL, &w, &e));
	for (int i = 0; i < USERS; i++) {
		char doc[96], key[32];
		snprintf(doc, sizeof doc,
			 "{\"_id\":%d,\"name\":\"user %d\",\"age\":%d,\"tags\":[\"a\",\"b\"]}", i,
			 i, 20 + i);
		snprintf(key, sizeof key, "{\"_id\":%d}", i);
		must(weir_oplog_insert(o, "mydb", "users", weir_json(doc), NULL, NULL, &e));
		for (int j = 0; j < i; j++)
			must(weir_oplog_update(o, "mydb", "users", weir_json(key),
					       weir_json(updates[j]), NULL, NULL, &e));
	}
	must(weir_oplog_delete(o, "mydb", "users", weir_json("{\"_id\":0}"), NULL, NULL, &e));

	while ((rc = weir_watch_try_next(w, &ev, &e)) == 1)
		apply(ev);
	must(rc);

	/* The copy is what the log says the documents are now. */
	for (int i = 0; i < USERS; i++) {
		char key[32];
		weir_buffer here = WEIR_BUFFER_INIT;
		snprintf(key, sizeof key, "{\"_id\":%d}", i);
		must(weir_oplog_find(o, "mydb", "users", weir_json(key), &here, &e));
		wrong += here.len != remote[i].len ||
			 (here.len && memcmp(here.data, remote[i].data, here.len) != 0);
		weir_buffer_free(&here);
		weir_buffer_free(&remote[i]);
	}
	weir_watch_free(w);
	must(weir_oplog_close(o, &e));
	puts(wrong ? "the copy differs" : "the copy is in step");
	return wrong ? 1 : 0;
}
