#include "dcp/port.h"

#include "dcp/seed.h"

#include <string.h>

static const char *spoken(bool tls, struct speech_found found)
{
	bool http = found.speech == SPEECH_HTTP;
	if (found.speech == SPEECH_TLS)
		return "TLS";
	if (tls && !found.within_tls)
		return http ? "HTTP without TLS" : "the data service's protocol without TLS";
	return http ? "HTTP" : "the data service's protocol";
}

/* What would be right for that port, and which port for what was asked of it. */
static int wrong(struct err *e, const char *host, uint16_t port, bool tls,
		 struct speech_found found, bool data)
{
	bool to_http = found.speech == SPEECH_TLS ? !data : found.speech == SPEECH_HTTP;
	bool to_tls = found.speech == SPEECH_TLS || found.within_tls;
	const char *scheme = to_http  ? to_tls ? "https" : "http"
			     : to_tls ? "couchbases"
				      : "couchbase";
	bool v6 = strchr(host, ':') != NULL;
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
	if (found.speech == SPEECH_TLS)
		return err_set(e, ERR_WRONG_PORT, "%s%s%s:%u speaks TLS: use %s://%s%s%s:%u", open,
			       host, close, port, scheme, open, host, close, port);
	return err_set(e, ERR_WRONG_PORT,
		       "%s%s%s:%u speaks %s: use %s://%s%s%s:%u, or the %s service's port%s (%u)",
		       open, host, close, port, spoken(tls, found), scheme, open, host, close, port,
		       data ? "data" : "management", tls ? " for TLS" : "",
		       data  ? tls ? SEED_KV_PORT_TLS : SEED_KV_PORT
		       : tls ? SEED_MGMT_PORT_TLS
			     : SEED_MGMT_PORT);
}

static int no_data(struct err *e, const char *host, uint16_t port, bool tls,
		   struct speech_found found)
{
	return wrong(e, host, port, tls, found, true);
}

static int no_mgmt(struct err *e, const char *host, uint16_t port, bool tls,
		   struct speech_found found)
{
	return wrong(e, host, port, tls, found, false);
}

const struct tcp_expected port_of_data = { SPEECH_PACKETS, no_data };
const struct tcp_expected port_of_mgmt = { SPEECH_HTTP, no_mgmt };
