/* Arbitrary bytes as the answer of a name server, and as resolv.conf. */
#include "net/dns_message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_srv srv[DNS_SRV_MAX];
	static struct dns_config config;
	char name[DNS_NAME_MAX + 1];
	size_t n;
	int rc = dns_srv_answer(slice_of(data, size), "_couchbase._tcp.db.test", 0x1234, srv, &n,
				NULL);
	if (n > DNS_SRV_MAX || (rc == 1) != (rc >= 0 && n > 0))
		abort();
	for (size_t i = 0; rc == 1 && i < n; i++)
		if (srv[i].port == 0 || !srv[i].target[0] || strlen(srv[i].target) > DNS_NAME_MAX)
			abort();
	dns_config_parse(slice_of(data, size), &config);
	if (config.n_servers == 0 || config.n_servers > DNS_SERVERS_MAX)
		abort();
	for (size_t i = 0; dns_candidate(&config, "_couchbase._tcp.db", i, name); i++)
		if (i > DNS_SEARCH_MAX)
			abort();
	return 0;
}
