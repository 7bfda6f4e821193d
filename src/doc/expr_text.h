/* expr_text.h: values as text, shared by string operators and conversions. */
#ifndef DOC_EXPR_TEXT_H
#define DOC_EXPR_TEXT_H

#include "doc/expr_node.h"

#define TEXT_NUMBER_MAX 64

/* The shortest decimal text that reads back as the same double: 1.5, 1e+100, NaN, Infinity. Returns the length. */
size_t text_of_double(double d, char out[TEXT_NUMBER_MAX]);

/* "2020-01-02T03:04:05.678Z"; years beyond 9999 with a sign. Returns the length. */
size_t text_of_date(int64_t ms, char out[TEXT_NUMBER_MAX]);

/* What string operators take for a string: strings, numbers, dates; null and missing are "". ERR_TYPE number 16007. */
int text_of_value(const char *op, struct expr_env *env, struct value v, struct slice *out,
		  struct err *e);

#endif
