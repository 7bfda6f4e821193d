/* conf_godcp.h: what the two files of the translation share.
 *
 *	conf_godcp.c          which key of go-dcp gives which row its text
 *	conf_godcp_value.c    how go-dcp's values are read and weir's are written
 */
#ifndef APP_CONF_GODCP_H
#define APP_CONF_GODCP_H

#include "app/conf_couchbase.h"

struct import {
	const struct conf *c;
	struct arena arena;
	const char *value[DCP_OPTIONS_MAX]; /* by row: how it is written */
	uint32_t members;                   /* DCP_MEMBERS_* */
	bool told_port;
	struct buf notes;
	struct err *e;
};

/* A value on its way to a row. */
struct given {
	const struct conf_node *n; /* NULL: go-dcp's default */
	const char *key, *text;
	const struct dcp_option *o;
};

/* Whether ${NAME} is in it, as both know it. */
bool godcp_has_variable(const char *text);
/* A scalar that reads back as it is. */
void godcp_put_scalar(struct buf *out, const char *text);
/* Text for a comment: what would end the line is left out. */
void godcp_put_comment(struct buf *out, const char *text);
void godcp_note(struct import *m, const struct conf_node *n, const char *key, const char *why);

/* As weir takes it under its row; variables are taken on trust. 1 written, 0 as good as not given. ERR_INVALID. */
int godcp_put_value(struct import *m, const struct given *g, const struct godcp_key *k,
		    struct buf *out);
/* A whole number; 0 is as good as none. */
int godcp_put_count(struct import *m, const struct given *g, struct buf *out);

#endif
