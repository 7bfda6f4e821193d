/* suggest.c: Damerau's edit distance in three rows on the stack.
 *
 * d[i][j] is the cost of turning the first i letters of one word into the first j of the other; a row needs
 * the two before it only (the second for swapped neighbours).
 */
#include "base/suggest.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static size_t distance(struct slice a, struct slice b)
{
	size_t rows[3][SUGGEST_WORD_MAX + 1];
	size_t *before = rows[0], *prev = rows[1], *cur = rows[2];

	for (size_t j = 0; j <= b.len; j++)
		prev[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		cur[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			uint8_t x = lower(a.p[i - 1]), y = lower(b.p[j - 1]);
			size_t d = prev[j - 1] + (x != y);
			d = MIN(d, prev[j] + 1);
			d = MIN(d, cur[j - 1] + 1);
			if (i > 1 && j > 1 && x == lower(b.p[j - 2]) && lower(a.p[i - 2]) == y)
				d = MIN(d, before[j - 2] + 1);
			cur[j] = d;
		}
		size_t *t = before;
		before = prev;
		prev = cur;
		cur = t;
	}
	return prev[b.len];
}

void suggest_add(struct suggestion *s, struct slice word, const char *name)
{
	struct slice n = slice_str(name);
	if (word.len == 0 || word.len > SUGGEST_WORD_MAX || n.len > SUGGEST_WORD_MAX)
		return;
	size_t limit = word.len < 6 ? 1 : word.len / 3;
	size_t d = distance(word, n);
	if (d > limit || d >= n.len || (s->name && d >= s->distance))
		return;
	s->name = name;
	s->distance = d;
}

const char *suggest(const char *word, const char *const *names)
{
	struct suggestion s = SUGGESTION_INIT;
	for (; *names; names++)
		suggest_add(&s, slice_str(word), *names);
	return s.name;
}
