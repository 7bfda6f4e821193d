#include "dcp/seed.h"

#include <strings.h>

struct scheme {
	const char *name;
	bool http, tls;
};

static const struct scheme schemes[] = {
	{ "couchbase://", false, false },
	{ "couchbases://", false, true },
	{ "http://", true, false },
	{ "https://", true, true },
};

static const struct scheme *scheme_of(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strncasecmp(text, schemes[i].name, strlen(schemes[i].name)) == 0)
			return &schemes[i];
	return NULL;
}

/* "host", "host:port", "[v6]", "[v6]:port", "v6". False: none of these. */
static bool split(const char *text, size_t len, struct seed *out)
{
	const char *end = text + len, *colon = memrchr(text, ':', len);
	const char *bracket = text[0] == '[' ? memchr(text, ']', len) : NULL;
	if (colon && (bracket ? colon == bracket + 1 : memchr(text, ':', len) == colon)) {
		uint32_t p = 0;
		for (const char *c = colon + 1; c < end; c++) {
			if (*c < '0' || *c > '9' || p > UINT16_MAX)
				return false;
			p = 10 * p + (uint32_t)(*c - '0');
		}
		if (p == 0 || p > UINT16_MAX)
			return false;
		out->port = (uint16_t)p;
		out->has_port = true;
		end = colon;
	}
	if (text[0] == '[') {
		if (!bracket || bracket + 1 != end)
			return false;
		text++;
		end--;
	}
	len = (size_t)(end - text);
	if (len == 0 || len >= sizeof(out->host) || strcspn(text, "/?#@ \t\r\n") < len)
		return false;
	memcpy(out->host, text, len);
	out->host[len] = '\0';
	return true;
}

static size_t host_length(const char *text, const struct scheme *s)
{
	size_t len = strlen(text);
	return s && len && text[len - 1] == '/' ? len - 1 : len;
}

bool seed_wants_tls(const char *text)
{
	const struct scheme *s = scheme_of(text);
	struct seed seed = { 0 };
	if (s)
		return s->tls;
	return *text && split(text, strlen(text), &seed) && seed.has_port &&
	       seed.port == SEED_MGMT_PORT_TLS;
}

int seed_parse(const char *text, bool tls, struct seed *out, struct err *e)
{
	const struct scheme *s = scheme_of(text);
	const char *host = text + (s ? strlen(s->name) : 0);
	*out = (struct seed){ 0 };
	if (strchr(text, '@')) /* not repeated: there may be a password in it */
		return err_set(e, ERR_INVALID,
			       "a host with a login in it; it has options of its own");
	if (!*host || !split(host, host_length(host, s), out))
		return err_set(e, ERR_INVALID, "\"%s\" is no host, and no host:port", text);
	bool mgmt_port =
		out->has_port && (out->port == SEED_MGMT_PORT || out->port == SEED_MGMT_PORT_TLS);
	out->http = s ? s->http : mgmt_port;
	if (s && !s->http && mgmt_port)
		return err_set(e, ERR_INVALID,
			       "\"%s\": %u is a port of the management service; write %.*s", text,
			       out->port, (int)host_length(host, s), host);
	if (tls && out->http && ((s && !s->tls) || out->port == SEED_MGMT_PORT))
		return err_set(e, ERR_INVALID,
			       "\"%s\" is without TLS, which is on: the management service has "
			       "port %u for it",
			       text, SEED_MGMT_PORT_TLS);
	if (!tls && seed_wants_tls(text))
		return err_set(e, ERR_INVALID, "\"%s\" needs TLS, which is off", text);
	if (!out->has_port)
		out->port = out->http ? (tls ? SEED_MGMT_PORT_TLS : SEED_MGMT_PORT)
				      : (tls ? SEED_KV_PORT_TLS : SEED_KV_PORT);
	return 0;
}

bool seed_may_be_service(const struct seed *s)
{
	bool address = strchr(s->host, ':') || !s->host[strspn(s->host, "0123456789.")];
	return !s->http && !s->has_port && !address && strcasecmp(s->host, "localhost") != 0;
}
