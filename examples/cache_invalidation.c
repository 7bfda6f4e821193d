/* cache_invalidation.c: a thread watches a collection and drops from the cache what has changed. */
#include <weir/weir.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = 10 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int age[USERS]; /* -1: not cached */
	int invalidated;
} cache = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, { 0 }, 0 };

static void must(int rc, const weir_error *e)
{
	if (rc < 0) {
		fprintf(stderr, "cache_invalidation: %s\n", e->message);
		exit(1);
	}
}

static void *invalidate(void *arg)
{
	weir_watch *w = arg;
	weir_error e;
	const weir_event *ev;
	int rc;
	while ((rc = weir_watch_next(w, WEIR_FOREVER, &ev, &e)) == 1) {
		const char *id;
		int user;
		if (!weir_get_string(weir_event_document_key(ev), "_id", &id) ||
		    sscanf(id, "user%d", &user) != 1)
			continue;
		pthread_mutex_lock(&cache.lock);
		cache.age[user] = -1;
		cache.invalidated++;
		pthread_cond_signal(&cache.changed);
		pthread_mutex_unlock(&cache.lock);
		printf("Cache invalidated for user: %s\n", id);
	}
	if (rc != WEIR_ERR_CLOSED) /* closed is how it is told to end */
		must(rc, &e);
	return NULL;
}

int main(void)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_oplog *o;
	weir_watch *w;
	pthread_t thread;
	must(weir_oplog_open("cache_invalidation.oplog", NULL, &o, &e), &e);
	must(weir_watch_open(o, "mydb", "users", NULL, &w, &e), &e);
	for (int i = 0; i < USERS; i++)
		cache.age[i] = 30 + i;
	pthread_create(&thread, NULL, invalidate, w);

	/* Somebody changes every other user, and an order that is none of the cache's business. */
	for (int i = 0; i < USERS; i += 2) {
		char user[64];
		snprintf(user, sizeof user, "{\"_id\":\"user%d\",\"age\":%d}", i, 50 + i);
		must(weir_oplog_replace(o, "mydb", "users", weir_json(user), NULL, NULL, &e), &e);
	}
	must(weir_oplog_insert(o, "mydb", "orders", weir_json("{\"_id\":\"user1\"}"), NULL, NULL,
			       &e),
	     &e);

	pthread_mutex_lock(&cache.lock);
	while (cache.invalidated < USERS / 2)
		pthread_cond_wait(&cache.changed, &cache.lock);
	pthread_mutex_unlock(&cache.lock);
	weir_watch_close(w); /* from another thread: next returns CLOSED there */
	pthread_join(thread, NULL);
	weir_watch_free(w);
	must(weir_oplog_close(o, &e), &e);

	for (int i = 0; i < USERS; i++)
		if (cache.age[i] != (i % 2 ? 30 + i : -1))
			return 1;
	return cache.invalidated == USERS / 2 ? 0 : 1;
}
