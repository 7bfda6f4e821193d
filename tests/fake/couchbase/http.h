/* http.h: what the files of the management port share: a request, cut and decoded, and how it is answered. */
#ifndef TESTS_FAKE_COUCHBASE_HTTP_H
#define TESTS_FAKE_COUCHBASE_HTTP_H

#include "tests/fake/couchbase/internal.h"

enum { SEGMENTS_MAX = 10 };

struct request {
	char method[8];
	char segment[SEGMENTS_MAX][NAME_MAX_]; /* of the path, decoded */
	unsigned n_segments;
	char query[1024];
	struct slice body;
	struct user *user;      /* NULL: nobody */
	struct bucket *b;       /* that the path names; NULL: none */
	const char *arg[3];     /* what the route's stars stand for */
};

void http_respond(struct conn *c, int status, const char *type, struct slice body);
void http_json(struct conn *c, int status, struct buf *body); /* and frees it */
void http_stream_map(struct fake *f, struct conn *c, const struct request *r);

/* name=VALUE of a form or a query, decoded. False: it is not there. */
bool http_value(struct slice form, const char *key, char *out, size_t cap);

/* http_paths.c: finds the route and runs it. */
void http_route(struct fake *f, struct conn *c, struct request *r);

/* script.c: what scripts do from outside, under /_fake/. */
void script_request(struct fake *f, struct conn *c, const struct request *r);

#endif
