/* main.c: the simulated cluster as a program, so that other clients can connect. */
#include "tests/fake/couchbase/fake.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void load(struct fake *f, unsigned long n)
{
	char key[32], value[96];
	for (unsigned long i = 0; i < n; i++) {
		int len = snprintf(key, sizeof(key), "key-%lu", i);
		int v = snprintf(value, sizeof(value), "{\"n\":%lu,\"name\":\"document %lu\"}", i,
				 i);
		fake_set(f, fake_vb_of_key(f, key, (size_t)len), 0, key,
			 slice_of(value, (size_t)v));
	}
}

static void usage(void)
{
	puts("usage: fake-couchbase [OPTION]...\n"
	     "A simulated Couchbase cluster on loopback; Ctrl-C ends it.\n"
	     "  --nodes N --replicas N --vbuckets N    1, 0 and 1024\n"
	     "  --bucket NAME --user NAME --password TEXT\n"
	     "  --port FIRST --http-port FIRST         any free ones\n"
	     "  --expiry-pager SECONDS                 how often expired documents are looked for: "
	     "0.5\n"
	     "  --version 7.2|8.0 --magma --ephemeral  7.2 on couchstore\n"
	     "  --oso ITEMS                            backfills of so many come out of order\n"
	     "  --external                             reached by alternate addresses only\n"
	     "  --tls-cert FILE --tls-key FILE         also listens with TLS\n"
	     "  --tls-ca FILE                          client certificates by it log in\n"
	     "  --reader NAME:TEXT                     a user who may not stream\n"
	     "  --load DOCUMENTS                       to begin with");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "nodes", required_argument, NULL, 'n' },
		{ "vbuckets", required_argument, NULL, 'v' },
		{ "replicas", required_argument, NULL, 'r' },
		{ "bucket", required_argument, NULL, 'b' },
		{ "user", required_argument, NULL, 'u' },
		{ "password", required_argument, NULL, 'p' },
		{ "port", required_argument, NULL, 'P' },
		{ "http-port", required_argument, NULL, 'H' },
		{ "expiry-pager", required_argument, NULL, 'e' },
		{ "version", required_argument, NULL, 'V' },
		{ "magma", no_argument, NULL, 'm' },
		{ "external", no_argument, NULL, 'x' },
		{ "ephemeral", no_argument, NULL, 'E' },
		{ "oso", required_argument, NULL, 'o' },
		{ "tls-cert", required_argument, NULL, 'c' },
		{ "tls-key", required_argument, NULL, 'k' },
		{ "tls-ca", required_argument, NULL, 'a' },
		{ "reader", required_argument, NULL, 'R' },
		{ "load", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct fake_options o = { .nodes = 1, .vbuckets = 1024 };
	unsigned long n = 0;
	int c;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'n': o.nodes = (unsigned)atoi(optarg); break;
		case 'v': o.vbuckets = (unsigned)atoi(optarg); break;
		case 'r': o.replicas = (unsigned)atoi(optarg); break;
		case 'b': o.bucket = optarg; break;
		case 'u': o.user = optarg; break;
		case 'p': o.password = optarg; break;
		case 'P': o.port = (uint16_t)atoi(optarg); break;
		case 'H': o.http_port = (uint16_t)atoi(optarg); break;
		case 'e': o.expiry_pager_ms = (int)(atof(optarg) * 1000); break;
		case 'V': o.version = strtod(optarg, NULL) >= 8 ? 80 : 72; break;
		case 'm': o.magma = true; break;
		case 'x': o.external = true; break;
		case 'E': o.ephemeral = true; break;
		case 'o': o.oso_items = (unsigned)atoi(optarg); break;
		case 'c': o.tls_cert = optarg; break;
		case 'k': o.tls_key = optarg; break;
		case 'a': o.tls_ca = optarg; break;
		case 'R': o.reader = strsep(&optarg, ":"), o.reader_password = optarg; break;
		case 'l': n = strtoul(optarg, NULL, 10); break;
		default: usage(); return c == 'h' ? 0 : 2;
		}
	}
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	struct fake *f = fake_start(&o);
	if (!f) {
		fprintf(stderr, "fake-couchbase: cannot listen\n");
		return 1;
	}
	load(f, n);
	printf("couchbase://127.0.0.1:%u\n", fake_kv_port(f, 0));
	for (unsigned i = 0; i < (o.nodes ? o.nodes : 1); i++)
		printf("node %u: kv %u, http %u, kvs %u, https %u\n", i, fake_kv_port(f, i),
		       fake_http_port(f, i), fake_kvs_port(f, i), fake_https_port(f, i));
	fflush(stdout);
	int sig;
	sigwait(&set, &sig);
	fake_stop(f);
	return 0;
}
