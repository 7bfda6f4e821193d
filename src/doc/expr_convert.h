/* expr_convert.h: what the files of $convert share. */
#ifndef DOC_EXPR_CONVERT_H
#define DOC_EXPR_CONVERT_H

#include "doc/expr_node.h"

struct convert_target {
	uint8_t type;
	uint8_t subtype;
	bool big_endian; /* numbers in binData */
	int base;        /* of whole numbers as text: 2, 8, 10, 16; 0: not given */
	struct value format;
};

/* Error 241: no value of that type becomes one of the other; the text is no integer, no date... */
int convert_none(struct value v, uint8_t to, struct err *e);
int convert_no_text(const char *what, struct err *e);

/* 0 to 15, or -1. */
int convert_hex_digit(uint8_t b);

/* Two digits a byte into out, s.len / 2 of them. */
bool convert_read_hex(struct slice s, uint8_t *out);

int convert_to_binary(struct value v, const struct convert_target *to, struct expr_env *env,
		      struct value *out, struct err *e);
int convert_to_string(struct value v, const struct convert_target *to, struct expr_env *env,
		      struct value *out, struct err *e);

#endif
