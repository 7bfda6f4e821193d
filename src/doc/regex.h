/* regex.h: regular expressions over UTF-8 text: PCRE2 behind a small door, the only one.
 *
 * A pattern is compiled once and matched with limits, so that a hostile pattern ends in ERR_LIMIT and never in
 * a hang; steps also count towards eval.steps. What a match needs besides the pattern (captures, backtracking frames) belongs to the struct eval and is kept
 * from one match to the next: a warm one allocates nothing.
 *
 *	struct regex *r;
 *	rc = regex_compile(pattern, options, &r, e);
 *	for (size_t at = 0; (rc = regex_find(r, ev, text, at, &found, e)) > 0; at = ...)
 *		found.group[0].start, found.group[0].end
 *	regex_free(r);
 *
 * Thread: a compiled regex is immutable and may be shared; a struct eval belongs to one thread.
 */
#ifndef DOC_REGEX_H
#define DOC_REGEX_H

#include "doc/eval.h"

#define REGEX_PATTERN_MAX    32764       /* bytes */
#define REGEX_MATCH_LIMIT    1000000     /* steps of one match, */
#define REGEX_STEPS_A_BYTE   32          /* and so many more for each byte of the text */
#define REGEX_DEPTH_LIMIT    100000      /* nested backtracking points */
#define REGEX_HEAP_LIMIT_KIB (16 * 1024) /* memory for them */

struct regex;

/* options: any of i (case does not count) m (^ and $ at each line) s (. takes newlines) x (white space and comments)
 * u (UTF, always on). Errors: ERR_INVALID with MongoDB's number (51108 unknown option, 51091 malformed or too long
 * pattern, 2 a NUL inside or text that is not UTF-8) and the place in the pattern; ERR_NOMEM. */
int regex_compile(struct slice pattern, struct slice options, struct regex **out, struct err *e);
void regex_free(struct regex *r);

/* One capture; start == REGEX_NONE when the group took no part. Byte offsets into the subject. */
struct regex_group {
	size_t start, end;
};
#define REGEX_NONE SIZE_MAX

struct regex_found {
	size_t n;                        /* groups, the whole match (0) included: regex_groups() */
	const struct regex_group *group; /* lives in the eval until the next match */
};

size_t regex_groups(const struct regex *r);

/* The first match that starts at or after byte `at` (on a character's first byte, <= subject.len); text before it is
 * seen by look-behind. subject: valid UTF-8. 1 found, 0 not, negative: ERR_LIMIT, ERR_NOMEM. */
int regex_find(const struct regex *r, struct eval *ev, struct slice subject, size_t at,
	       struct regex_found *found, struct err *e);

/* Whether it matches anywhere. */
int regex_matches(const struct regex *r, struct eval *ev, struct slice subject, struct err *e);

#endif
