/* expr_date.h: what the date operators share. */
#ifndef DOC_EXPR_DATE_H
#define DOC_EXPR_DATE_H

#include "doc/datetime.h"
#include "doc/expr_node.h"

/* node.extra of operators with a timezone. */
struct date_extra {
	struct timezone_ref zone;
	bool has_zone; /* it was constant, and is known */
};

int date_of_value(const struct node *x, struct value v, int number, int64_t *ms, struct err *e);
int zone_of_value(const struct node *x, struct expr_env *env, struct value v,
		  struct timezone_ref *z, struct err *e);
int zone_compile(struct compile *c, const struct node *arg, struct date_extra *extra,
		 struct err *e);
/* UTC where argument i was not given. 1: it is null. */
int zone_of_arg(const struct node *x, struct expr_env *env, uint32_t i, struct value v,
		struct timezone_ref *z, struct err *e);
/* Named arguments of which one is "timezone". */
expr_compile_fn compile_dated;

#endif
