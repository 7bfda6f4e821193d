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
	     "  --bucket NAME                          default\n"
	     "  --bucket-nodes N                       only the first N nodes have it\n"
	     "  --add-bucket NAME                      another one like it; may be repeated\n"
	     "  --version 7.2|7.6|8.0                  what it knows: everything, as a 7.2\n"
	     "  --magma --ephemeral                    couchstore\n"
	     "  --port FIRST --http-port FIRST         any free ones\n"
	     "  --external                             reached by alternate addresses only\n"
	     "users\n"
	     "  --user NAME --password TEXT            Administrator, password\n"
	     "  --reader NAME:TEXT                     one who may not stream\n"
	     "  --add-user NAME:TEXT:ROLES             data_reader[*],data_dcp_reader[b],...; may "
	     "be repeated\n"
	     "  --tls-cert FILE --tls-key FILE         also listens with TLS\n"
	     "  --tls-ca FILE                          client certificates by it log in\n"
	     "  --tls-mandatory                        and without one nobody does\n"
	     "  --tls-1.2                              no newer version of TLS\n"
	     "behaviour\n"
	     "  --expiry-pager SECONDS                 how often expired documents are looked for: "
	     "0.5\n"
	     "  --persist-delay MS                     from memory to the disks of all copies: 0\n"
	     "  --checkpoint ITEMS                     in a memory snapshot at most: 500\n"
	     "  --oso ITEMS                            backfills of so many come out of order\n"
	     "  --cursor-items N                       a stream so far behind in memory is "
	     "dropped\n"
	     "  --dcp-idle SECONDS                     DCP clients that say nothing are cut off\n"
	     "  --load DOCUMENTS                       to begin with\n"
	     "\n"
	     "Scripts change it while it runs: POST /_fake/VERB on a management port, by --user;\n"
	     "GET /_fake/ lists the verbs. tests/fake/couchbase/README.md has examples.");
}

enum { MANY = 16 };

/* The command line. */
struct line {
	struct fake_options o;
	unsigned long load;
	const char *bucket[MANY];
	char *user[MANY];
	unsigned n_buckets, n_users;
};

static unsigned version(const char *text)
{
	double v = strtod(text, NULL);
	return v >= 8 ? 80 : v >= 7.6 ? 76 : 72;
}

/* 0, or what main() returns at once. */
static int option(struct line *l, int c)
{
	struct fake_options *o = &l->o;
	switch (c) {
	case 'n': o->nodes = (unsigned)atoi(optarg); break;
	case 'v': o->vbuckets = (unsigned)atoi(optarg); break;
	case 'r': o->replicas = (unsigned)atoi(optarg); break;
	case 'b': o->bucket = optarg; break;
	case 'N': o->bucket_nodes = (unsigned)atoi(optarg); break;
	case 'B':
		if (l->n_buckets < MANY)
			l->bucket[l->n_buckets++] = optarg;
		break;
	case 'u': o->user = optarg; break;
	case 'p': o->password = optarg; break;
	case 'P': o->port = (uint16_t)atoi(optarg); break;
	case 'H': o->http_port = (uint16_t)atoi(optarg); break;
	case 'e': o->expiry_pager_ms = (int)(atof(optarg) * 1000); break;
	case 'd': o->persist_delay_ms = atoi(optarg); break;
	case 'C': o->checkpoint_items = (unsigned)atoi(optarg); break;
	case 'V': o->version = version(optarg); break;
	case 'm': o->magma = true; break;
	case 'x': o->external = true; break;
	case 'E': o->ephemeral = true; break;
	case 'o': o->oso_items = (unsigned)atoi(optarg); break;
	case 'i': o->cursor_items = (unsigned)atoi(optarg); break;
	case 'I': o->dcp_idle_ms = (int)(atof(optarg) * 1000); break;
	case 'c': o->tls_cert = optarg; break;
	case 'k': o->tls_key = optarg; break;
	case 'a': o->tls_ca = optarg; break;
	case 'M': o->tls_mandatory = true; break;
	case '2': o->tls_12 = true; break;
	case 'R': o->reader = strsep(&optarg, ":"), o->reader_password = optarg; break;
	case 'U':
		if (l->n_users < MANY)
			l->user[l->n_users++] = optarg;
		break;
	case 'l': l->load = strtoul(optarg, NULL, 10); break;
	default: usage(); return c == 'h' ? -1 : 2;
	}
	return 0;
}

static int parse(struct line *l, int argc, char **argv)
{
	static const struct option options[] = {
		{ "nodes", required_argument, NULL, 'n' },
		{ "vbuckets", required_argument, NULL, 'v' },
		{ "replicas", required_argument, NULL, 'r' },
		{ "bucket", required_argument, NULL, 'b' },
		{ "bucket-nodes", required_argument, NULL, 'N' },
		{ "add-bucket", required_argument, NULL, 'B' },
		{ "user", required_argument, NULL, 'u' },
		{ "password", required_argument, NULL, 'p' },
		{ "port", required_argument, NULL, 'P' },
		{ "http-port", required_argument, NULL, 'H' },
		{ "expiry-pager", required_argument, NULL, 'e' },
		{ "persist-delay", required_argument, NULL, 'd' },
		{ "checkpoint", required_argument, NULL, 'C' },
		{ "version", required_argument, NULL, 'V' },
		{ "magma", no_argument, NULL, 'm' },
		{ "external", no_argument, NULL, 'x' },
		{ "ephemeral", no_argument, NULL, 'E' },
		{ "oso", required_argument, NULL, 'o' },
		{ "cursor-items", required_argument, NULL, 'i' },
		{ "dcp-idle", required_argument, NULL, 'I' },
		{ "tls-cert", required_argument, NULL, 'c' },
		{ "tls-key", required_argument, NULL, 'k' },
		{ "tls-ca", required_argument, NULL, 'a' },
		{ "tls-mandatory", no_argument, NULL, 'M' },
		{ "tls-1.2", no_argument, NULL, '2' },
		{ "reader", required_argument, NULL, 'R' },
		{ "add-user", required_argument, NULL, 'U' },
		{ "load", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, rc = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		rc = option(l, c);
	const struct fake_options *o = &l->o;
	if (rc == 0 && (o->nodes < 1 || o->nodes > FAKE_NODES_MAX || o->vbuckets < 1 ||
			o->vbuckets > 1024 || o->vbuckets & (o->vbuckets - 1))) {
		fprintf(stderr,
			"fake-couchbase: 1 to %d nodes; vBuckets a power of two up to 1024\n",
			FAKE_NODES_MAX);
		rc = 2;
	}
	if (rc == 0 && optind < argc) {
		fprintf(stderr, "fake-couchbase: %s is not an option\n", argv[optind]);
		rc = 2;
	}
	return rc;
}

/* Further buckets and users. */
static bool furnish(struct fake *f, const struct line *l)
{
	for (unsigned i = 0; i < l->n_buckets; i++) {
		const struct fake_bucket b = { .name = l->bucket[i],
					       .replicas = l->o.replicas,
					       .nodes = l->o.bucket_nodes,
					       .ephemeral = l->o.ephemeral,
					       .magma = l->o.magma,
					       .flush_enabled = true };
		if (!fake_create_bucket(f, &b))
			return fprintf(stderr, "fake-couchbase: no bucket %s\n", b.name), false;
	}
	for (unsigned i = 0; i < l->n_users; i++) {
		char *rest = l->user[i];
		const char *name = strsep(&rest, ":"), *password = rest ? strsep(&rest, ":") : NULL;
		if (!password || !rest || !fake_set_user(f, name, password, rest))
			return fprintf(stderr, "fake-couchbase: --add-user NAME:TEXT:ROLES\n"),
			       false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct line l = { .o = { .nodes = 1, .vbuckets = 1024 } };
	int rc = parse(&l, argc, argv);
	if (rc)
		return rc < 0 ? 0 : rc;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	struct fake *f = fake_start(&l.o);
	if (!f) {
		fprintf(stderr, "fake-couchbase: cannot listen\n");
		return 1;
	}
	if (!furnish(f, &l))
		return fake_stop(f), 2;
	load(f, l.load);
	printf("couchbase://127.0.0.1:%u\n", fake_kv_port(f, 0));
	for (unsigned i = 0; i < l.o.nodes; i++)
		printf("node %u: kv %u, http %u, kvs %u, https %u\n", i, fake_kv_port(f, i),
		       fake_http_port(f, i), fake_kvs_port(f, i), fake_https_port(f, i));
	fflush(stdout);
	int sig;
	sigwait(&set, &sig);
	fake_stop(f);
	return 0;
}
