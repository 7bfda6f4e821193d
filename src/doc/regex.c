/* regex.c: PCRE2 with its memory taken through base/mem.h and every limit set.
 *
 * UTF is always on and \C (a single byte) always off, so matches begin and end on characters. Subjects come from
 * validated documents and are not checked again.
 *
 * PCRE2's own limit counts backtracking from one start only, and neither the number of starts nor the
 * length of what is run over. Hence two forms of each pattern:
 *
 *	fast     short texts, few steps from each start: the work is bounded by the length
 *	counted  what the fast one gives up, and long texts: a callout before every item counts steps and the
 *	         bytes run over, and stops the match when they are used up
 *
 * ev->regex_data is one struct scratch: match data (captures, backtracking frames) as large as the largest pattern
 * that was matched with it so far.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "doc/regex.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <pcre2.h>

enum {
	FAST_STEPS = 64, /* of backtracking from one start */
	FAST_BYTES = 1024,
	FAST_COST = 4,     /* steps charged for a byte */
	BYTES_A_STEP = 16, /* run over in a counted match */
};

struct regex {
	pcre2_code *fast, *counted;
	uint32_t groups;
};

struct scratch {
	pcre2_match_data *data;
	pcre2_match_context *fast, *counted; /* the limits */
	uint32_t groups;                     /* room in data */
};

/* One counted match. */
struct count {
	uint64_t steps, max;
	size_t at; /* of the last callout */
};

static void *allocate(PCRE2_SIZE n, void *arg)
{
	(void)arg;
	return mem_retry(NULL, n);
}

static void release(void *p, void *arg)
{
	(void)arg;
	mem_free(p);
}

/* ---- compiling ---- */

static int parse_options(struct slice options, uint32_t *flags, struct err *e)
{
	*flags = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK;
	for (size_t i = 0; i < options.len; i++) {
		switch (options.p[i]) {
		case 'i': *flags |= PCRE2_CASELESS; break;
		case 'm': *flags |= PCRE2_MULTILINE; break;
		case 's': *flags |= PCRE2_DOTALL; break;
		case 'x': *flags |= PCRE2_EXTENDED; break;
		case 'u': break;
		default:
			return err_number(e, ERR_INVALID, 51108,
					  "unknown regular expression option at \"" SLICE_FMT
					  "\": i, m, s, x and u exist",
					  (int)MIN(options.len - i, 4), options.p + i);
		}
	}
	return 0;
}

static int check_pattern(struct slice pattern, struct err *e)
{
	if (pattern.len > REGEX_PATTERN_MAX)
		return err_number(e, ERR_INVALID, 51091,
				  "the regular expression has %zu bytes; at most %d are allowed",
				  pattern.len, REGEX_PATTERN_MAX);
	if (pattern.len && memchr(pattern.p, 0, pattern.len))
		return err_number(e, ERR_INVALID, 2,
				  "the regular expression contains a NUL byte; write \\x00");
	size_t good = utf8_valid_prefix(pattern);
	if (good != pattern.len)
		return err_number(e, ERR_INVALID, 2,
				  "the regular expression is not valid UTF-8 at byte %zu", good);
	return 0;
}

static int compile(pcre2_code **code, struct slice pattern, uint32_t flags,
		   pcre2_compile_context *context, struct err *e)
{
	int error = 0;
	PCRE2_SIZE at = 0;
	*code = pcre2_compile(pattern.len ? pattern.p : (PCRE2_SPTR) "", pattern.len, flags, &error,
			      &at, context);
	if (*code)
		return 0;
	if (error == PCRE2_ERROR_HEAP_FAILED)
		return err_nomem(e);
	PCRE2_UCHAR text[128] = "";
	(void)pcre2_get_error_message(error, text, sizeof(text));
	return err_number(e, ERR_INVALID, 51091, "malformed regular expression: %s (at byte %zu)",
			  (const char *)text, (size_t)at);
}

static int compile_both(struct regex *r, struct slice pattern, uint32_t flags,
			pcre2_compile_context *context, struct err *e)
{
	int rc = compile(&r->fast, pattern, flags, context, e);
	if (rc == 0)
		rc = compile(&r->counted, pattern, flags | PCRE2_AUTO_CALLOUT, context, e);
	if (rc < 0)
		return rc;
	uint32_t captures = 0;
	(void)pcre2_pattern_info(r->fast, PCRE2_INFO_CAPTURECOUNT, &captures);
	r->groups = captures + 1;
	return 0;
}

int regex_compile(struct slice pattern, struct slice options, struct regex **out, struct err *e)
{
	uint32_t flags;
	int rc = parse_options(options, &flags, e);
	if (rc == 0)
		rc = check_pattern(pattern, e);
	if (rc < 0)
		return rc;

	struct regex *r = mem_try(sizeof(*r));
	pcre2_general_context *memory = pcre2_general_context_create(allocate, release, NULL);
	pcre2_compile_context *context = memory ? pcre2_compile_context_create(memory) : NULL;
	if (r && context)
		rc = compile_both(r, pattern, flags, context, e);
	else
		rc = err_nomem(e);
	pcre2_compile_context_free(context);
	pcre2_general_context_free(memory);
	if (rc < 0) {
		regex_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void regex_free(struct regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->fast);
	pcre2_code_free(r->counted);
	mem_free(r);
}

size_t regex_groups(const struct regex *r)
{
	return r->groups;
}

/* ---- matching ---- */

static void scratch_free(void *p)
{
	struct scratch *s = p;
	if (!s)
		return;
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->fast);
	pcre2_match_context_free(s->counted);
	mem_free(s);
}

static pcre2_match_context *limits_new(pcre2_general_context *memory, uint32_t steps)
{
	pcre2_match_context *limits = pcre2_match_context_create(memory);
	if (!limits)
		return NULL;
	(void)pcre2_set_match_limit(limits, steps);
	(void)pcre2_set_depth_limit(limits, REGEX_DEPTH_LIMIT);
	(void)pcre2_set_heap_limit(limits, REGEX_HEAP_LIMIT_KIB);
	return limits;
}

static struct scratch *scratch_new(uint32_t groups)
{
	struct scratch *s = mem_try(sizeof(*s));
	pcre2_general_context *memory = pcre2_general_context_create(allocate, release, NULL);
	if (s && memory) {
		s->groups = MAX(groups, 16u);
		s->data = pcre2_match_data_create(s->groups, memory);
		s->fast = limits_new(memory, FAST_STEPS);
		s->counted = limits_new(memory, REGEX_MATCH_LIMIT);
	}
	pcre2_general_context_free(memory);
	if (!s || !s->data || !s->fast || !s->counted) {
		scratch_free(s);
		return NULL;
	}
	return s;
}

static struct scratch *scratch_for(const struct regex *r, struct eval *ev)
{
	struct scratch *s = ev->regex_data;
	if (likely(s && s->groups >= r->groups))
		return s;
	scratch_free(s);
	ev->regex_data = scratch_new(r->groups);
	ev->regex_free = scratch_free;
	return ev->regex_data;
}

static int match_error(int rc, struct err *e)
{
	switch (rc) {
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
	case PCRE2_ERROR_RECURSELOOP:
	case PCRE2_ERROR_CALLOUT:
		return err_number(e, ERR_LIMIT, 51156,
				  "the regular expression takes too many steps on this text; "
				  "make it less ambiguous");
	case PCRE2_ERROR_NOMEMORY: return err_nomem(e);
	}
	PCRE2_UCHAR text[128] = "";
	(void)pcre2_get_error_message(rc, text, sizeof(text));
	return err_number(e, ERR_INVALID, 51156, "the regular expression failed: %s",
			  (const char *)text);
}

static int count_step(pcre2_callout_block *b, void *arg)
{
	struct count *c = arg;
	size_t moved = b->current_position > c->at ? b->current_position - c->at
						   : c->at - b->current_position;
	c->at = b->current_position;
	c->steps += 1 + moved / BYTES_A_STEP;
	return c->steps > c->max ? PCRE2_ERROR_CALLOUT : 0;
}

static int match(const pcre2_code *code, struct slice subject, size_t at, pcre2_match_data *data,
		 pcre2_match_context *limits)
{
	return pcre2_match(code, subject.len ? subject.p : (PCRE2_SPTR) "", subject.len, at,
			   PCRE2_NO_UTF_CHECK, data, limits);
}

static int match_counted(const struct regex *r, struct scratch *s, struct eval *ev,
			 struct slice subject, size_t at)
{
	uint64_t left = ev->steps < ev->steps_max ? ev->steps_max - ev->steps : 0;
	uint64_t own = REGEX_MATCH_LIMIT + (subject.len - at) * REGEX_STEPS_A_BYTE;
	struct count c = { .max = MIN(left, own), .at = at };
	(void)pcre2_set_callout(s->counted, count_step, &c);
	int rc = match(r->counted, subject, at, s->data, s->counted);
	ev->steps += c.steps;
	return rc;
}

static int match_bounded(const struct regex *r, struct scratch *s, struct eval *ev,
			 struct slice subject, size_t at)
{
	int rc = PCRE2_ERROR_MATCHLIMIT;
	if (likely(subject.len - at <= FAST_BYTES))
		rc = match(r->fast, subject, at, s->data, s->fast);
	ev->steps += 1 + MIN(subject.len - at, FAST_BYTES) * FAST_COST;
	if (unlikely(rc == PCRE2_ERROR_MATCHLIMIT))
		rc = match_counted(r, s, ev, subject, at);
	return unlikely(ev->steps > ev->steps_max) ? PCRE2_ERROR_CALLOUT : rc;
}

int regex_find(const struct regex *r, struct eval *ev, struct slice subject, size_t at,
	       struct regex_found *found, struct err *e)
{
	ASSERT(at <= subject.len);
	struct scratch *s = scratch_for(r, ev);
	if (!s)
		return err_nomem(e);
	int rc = match_bounded(r, s, ev, subject, at);
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc < 0)
		return match_error(rc, e);
	if (found) {
		/* Offsets come in pairs; groups that took no part are PCRE2_UNSET, and those beyond rc as well. */
		static_assert(sizeof(struct regex_group) == 2 * sizeof(PCRE2_SIZE), "pairs");
		static_assert(PCRE2_UNSET == REGEX_NONE, "no capture");
		*found = (struct regex_found){
			.n = r->groups,
			.group =
				(const struct regex_group *)(const void *)pcre2_get_ovector_pointer(
					s->data),
		};
	}
	return 1;
}

int regex_matches(const struct regex *r, struct eval *ev, struct slice subject, struct err *e)
{
	return regex_find(r, ev, subject, 0, NULL, e);
}
