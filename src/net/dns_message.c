#include "net/dns_message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
	HEADER = 12,
	TYPE_SRV = 33,
	TYPE_OPT = 41,
	CLASS_IN = 1,
	LABEL_MAX = 63,
	RCODE_NAME = 3, /* there is no such name */
};

static int malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "name server: %s", what);
}

static void add_be16(struct buf *out, uint16_t n)
{
	uint8_t b[2];
	put_be16(b, n);
	buf_add(out, b, 2);
}

/* ---- the question ---- */

static int add_name(struct buf *out, const char *name, struct err *e)
{
	size_t len = strlen(name);
	if (len && name[len - 1] == '.')
		len--;
	if (len == 0 || len > DNS_NAME_MAX - 1)
		return err_set(e, ERR_INVALID, "\"%.60s\" is no host name", name);
	for (size_t at = 0; at <= len;) {
		const char *dot = memchr(name + at, '.', len - at);
		size_t n = dot ? (size_t)(dot - name) - at : len - at;
		if (n == 0 || n > LABEL_MAX)
			return err_set(e, ERR_INVALID, "\"%.60s\" is no host name", name);
		buf_add_byte(out, (uint8_t)n);
		buf_add(out, name + at, n);
		at += n + 1;
	}
	buf_add_byte(out, 0);
	return 0;
}

int dns_srv_question(const char *name, uint16_t id, struct buf *out, struct err *e)
{
	static const uint8_t flags_and_counts[] = { 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 }; /* recursion */
	add_be16(out, id);
	buf_add(out, flags_and_counts, sizeof(flags_and_counts));
	int rc = add_name(out, name, e);
	if (rc < 0)
		return rc;
	add_be16(out, TYPE_SRV);
	add_be16(out, CLASS_IN);
	buf_add_byte(out, 0); /* EDNS: longer answers fit */
	add_be16(out, TYPE_OPT);
	add_be16(out, DNS_MESSAGE_MAX);
	static const uint8_t none[6];
	buf_add(out, none, sizeof(none));
	return buf_check(out, e);
}

/* ---- the answer ---- */

/* The name at *at, as text without a dot at the end; *at moves behind it. */
static bool read_name(struct slice m, size_t *at, char out[DNS_NAME_MAX + 1])
{
	size_t from = *at, len = 0, floor = from;
	bool jumped = false;
	for (;;) {
		if (from >= m.len)
			return false;
		uint8_t n = m.p[from];
		if (n >= 0xc0) {
			if (from + 1 >= m.len)
				return false;
			size_t to = (size_t)(n & 0x3f) << 8 | m.p[from + 1];
			if (to >= floor) /* backwards, and each time further */
				return false;
			if (!jumped)
				*at = from + 2;
			jumped = true;
			from = floor = to;
			continue;
		}
		if (n > LABEL_MAX || from + 1 + n > m.len)
			return false;
		from += 1 + (size_t)n;
		if (n == 0)
			break;
		if (len + n + 1 > DNS_NAME_MAX)
			return false;
		if (len)
			out[len++] = '.';
		for (size_t i = from - n; i < from; i++) {
			if (m.p[i] <= ' ' || m.p[i] >= 0x7f || m.p[i] == '.')
				return false;
			out[len++] = (char)m.p[i];
		}
	}
	out[len] = '\0';
	if (!jumped)
		*at = from;
	return true;
}

static bool is_ours(struct slice m, const char *name, uint16_t id, size_t *at)
{
	char asked[DNS_NAME_MAX + 1];
	size_t len = strlen(name) - (*name && name[strlen(name) - 1] == '.');
	*at = HEADER;
	if (m.len < HEADER || get_be16(m.p) != id || !(m.p[2] & 0x80) || get_be16(m.p + 4) != 1)
		return false;
	if (!read_name(m, at, asked) || *at + 4 > m.len || get_be16(m.p + *at) != TYPE_SRV ||
	    get_be16(m.p + *at + 2) != CLASS_IN)
		return false;
	*at += 4;
	return strlen(asked) == len && strncasecmp(asked, name, len) == 0;
}

static int order(const void *va, const void *vb)
{
	const struct dns_srv *a = va, *b = vb;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return a->weight == b->weight ? 0 : a->weight > b->weight ? -1 : 1;
}

/* One record; those of other types are passed over. */
static int read_record(struct slice m, size_t *at, struct dns_srv out[DNS_SRV_MAX], size_t *n,
		       struct err *e)
{
	char owner[DNS_NAME_MAX + 1];
	if (!read_name(m, at, owner) || *at + 10 > m.len)
		return malformed(e, "a malformed record");
	const uint8_t *p = m.p + *at;
	size_t data = *at + 10, end = data + get_be16(p + 8);
	if (end > m.len)
		return malformed(e, "a record that is longer than the answer");
	*at = end;
	if (get_be16(p) != TYPE_SRV || get_be16(p + 2) != CLASS_IN || *n == DNS_SRV_MAX)
		return 0;
	struct dns_srv *s = &out[*n];
	size_t name_at = data + 6;
	if (name_at > end || !read_name(m, &name_at, s->target) || name_at != end)
		return malformed(e, "a malformed SRV record");
	s->priority = get_be16(m.p + data);
	s->weight = get_be16(m.p + data + 2);
	s->port = get_be16(m.p + data + 4);
	*n += *s->target != '\0' && s->port != 0; /* "." says that there is no such service */
	return 0;
}

int dns_srv_answer(struct slice m, const char *name, uint16_t id, struct dns_srv out[DNS_SRV_MAX],
		   size_t *n, struct err *e)
{
	size_t at;
	*n = 0;
	if (!is_ours(m, name, id, &at))
		return malformed(e, "the answer to another question");
	unsigned rcode = m.p[3] & 15;
	if (rcode == RCODE_NAME)
		return 0;
	if (rcode)
		return err_set(e, ERR_NET, "name server: it failed (code %u)", rcode);
	if (m.p[2] & 2)
		return err_set(e, ERR_LIMIT, "name server: the answer was cut short");
	for (unsigned i = get_be16(m.p + 6); i > 0; i--) {
		int rc = read_record(m, &at, out, n, e);
		if (rc < 0)
			return rc;
	}
	qsort(out, *n, sizeof(*out), order);
	return *n > 0;
}

/* ---- resolv.conf ---- */

static struct slice next_word(struct slice *line)
{
	size_t i = 0;
	while (i < line->len && (line->p[i] == ' ' || line->p[i] == '\t' || line->p[i] == '\r'))
		i++;
	size_t from = i;
	while (i < line->len && line->p[i] != ' ' && line->p[i] != '\t' && line->p[i] != '\r')
		i++;
	struct slice word = slice_of(line->p + from, i - from);
	*line = slice_of(line->p + i, line->len - i);
	return word;
}

static void copy_word(char *out, size_t cap, struct slice word)
{
	size_t n = MIN(word.len, cap - 1);
	memcpy(out, word.p, n);
	out[n] = '\0';
}

static void take_line(struct dns_config *c, struct slice line)
{
	struct slice word = next_word(&line);
	if (slice_is(word, "nameserver") && c->n_servers < DNS_SERVERS_MAX) {
		uint8_t bytes[16];
		char *at = c->server[c->n_servers];
		word = next_word(&line);
		if (word.len == 0)
			return;
		copy_word(at, sizeof(c->server[0]), word);
		if (inet_pton(AF_INET, at, bytes) == 1 || inet_pton(AF_INET6, at, bytes) == 1)
			c->n_servers++;
	} else if (slice_is(word, "search") || slice_is(word, "domain")) {
		c->n_search = 0; /* the last one counts */
		while ((word = next_word(&line)).len && c->n_search < DNS_SEARCH_MAX)
			copy_word(c->search[c->n_search++], sizeof(c->search[0]), word);
	} else if (slice_is(word, "options")) {
		while ((word = next_word(&line)).len)
			if (word.len == 7 && memcmp(word.p, "ndots:", 6) == 0 && word.p[6] >= '0' &&
			    word.p[6] <= '9')
				c->ndots = (unsigned)(word.p[6] - '0');
	}
}

void dns_config_parse(struct slice text, struct dns_config *out)
{
	*out = (struct dns_config){ .ndots = 1 };
	while (text.len) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		size_t n = end ? (size_t)(end - text.p) : text.len;
		take_line(out, slice_of(text.p, n));
		n += end != NULL;
		text = slice_of(text.p + n, text.len - n);
	}
	if (out->n_servers == 0)
		(void)snprintf(out->server[out->n_servers++], sizeof(out->server[0]), "127.0.0.1");
}

bool dns_candidate(const struct dns_config *c, const char *name, size_t i,
		   char out[DNS_NAME_MAX + 1])
{
	size_t len = strlen(name);
	unsigned dots = 0;
	for (size_t k = 0; k < len; k++)
		dots += name[k] == '.';
	bool whole = len && name[len - 1] == '.';
	bool first = whole || dots >= c->ndots;
	size_t self = first ? 0 : c->n_search;
	if (len > DNS_NAME_MAX || i > (whole ? 0 : c->n_search))
		return false;
	int n = i == self ? snprintf(out, DNS_NAME_MAX + 1, "%s", name)
			  : snprintf(out, DNS_NAME_MAX + 1, "%s.%s", name,
				     c->search[first ? i - 1 : i]);
	return n > 0 && n <= DNS_NAME_MAX;
}
