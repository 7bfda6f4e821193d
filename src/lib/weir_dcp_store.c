/* weir_dcp_store.c: where a Couchbase client keeps its checkpoints: a file, documents, or the caller's resume token. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "os/env.h"

/* A store that begins where a resume token says, and forgets: the caller keeps the tokens. */
struct token_store {
	struct checkpoint_store base;
	struct checkpoint *cp;
	size_t n;
};

static int token_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct token_store *t = container_of(s, struct token_store, base);
	(void)e;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		c[i] = (struct checkpoint){ .vb = vb };
		for (size_t j = 0; j < t->n; j++)
			if (t->cp[j].vb == vb)
				c[i] = t->cp[j];
	}
	return 0;
}

/* Within this process what is handed back and forth between members stays known. */
static int token_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		      struct err *e)
{
	struct token_store *t = container_of(s, struct token_store, base);
	for (size_t i = 0; i < n; i++) {
		size_t j = 0;
		while (j < t->n && t->cp[j].vb != c[i].vb)
			j++;
		if (j == t->n) {
			struct checkpoint *grown = mem_retry(t->cp, (t->n + 1) * sizeof(*grown));
			if (!grown)
				return err_nomem(e);
			t->cp = grown;
			t->n++;
		}
		t->cp[j] = c[i];
	}
	return 0;
}

static int token_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	(void)s;
	(void)vb;
	(void)n;
	(void)e;
	return 0;
}

static void token_free(struct checkpoint_store *s)
{
	struct token_store *t = container_of(s, struct token_store, base);
	mem_free(t->cp);
	mem_free(t);
}

static int open_token_store(weir_dcp *d, const char *token, struct err *e)
{
	static const struct checkpoint_store_ops token_ops = { token_load, token_save, token_clear,
							       token_free };
	enum { VBUCKETS = 65536 };
	struct token_store *t = mem_try(sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->base.ops = &token_ops;
	d->store = &t->base;
	t->cp = mem_try_array(strlen(token) / 64 + 1, sizeof(*t->cp));
	if (!t->cp)
		return err_nomem(e);
	int rc = feed_token_parse(slice_str(token), t->cp, MIN(strlen(token) / 64 + 1, VBUCKETS),
				  &t->n, e);
	return rc < 0 ? rc : feed_seed(d->feed, t->cp, t->n, e);
}

struct tls_options lib_dcp_tls(const weir_dcp_options *o)
{
	return (struct tls_options){ .ca_file = o->tls_ca,
				     .cert_file = o->tls_cert,
				     .key_file = o->tls_key,
				     .server_name = o->tls_server_name,
				     .insecure = o->tls_insecure };
}

nsec lib_dcp_connect_time(const weir_dcp_options *o)
{
	enum { CONNECT_MS = 10000 };
	return ms(o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_MS);
}

struct conn_options lib_dcp_bucket_conn(weir_dcp *d, const weir_dcp_options *o,
					struct scram_cache *cache)
{
	enum { NOOP_MS = 5000 };
	cache->mechanism = SASL_NONE;
	return (struct conn_options){ .env = env_posix(),
				      .user = o->user ? o->user : "",
				      .password = o->password ? o->password : "",
				      .bucket = o->checkpoint_bucket,
				      .tls = d->store_tls,
				      .allow_plain = o->allow_plain,
				      .cache = cache,
				      .agent = "weir",
				      .connect_timeout = lib_dcp_connect_time(o),
				      .noop = ms(o->noop_ms ? o->noop_ms : NOOP_MS) };
}

/* In a bucket of the same cluster. Its writes may take as long as connecting does, several times over. */
int lib_dcp_open_bucket_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	struct tls_options tls = lib_dcp_tls(o);
	if (o->tls) {
		int rc = tls_new(&tls, &d->store_tls, e);
		if (rc < 0)
			return rc;
	}
	struct conn_options c = lib_dcp_bucket_conn(d, o, &d->store_scram);
	return checkpoint_couchbase_open(&c, d->host, n_hosts, o->group ? o->group : "",
					 3 * lib_dcp_connect_time(o), &d->store, e);
}

int lib_dcp_open_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	int places = (o->resume_after != NULL) + (o->checkpoint_file != NULL) +
		     (o->checkpoint_bucket != NULL),
	    rc = 0;
	if (places > 1)
		return err_set(
			e, ERR_INVALID,
			"resume_after, checkpoint_file and checkpoint_bucket exclude each other");
	if (places == 0)
		return 0;
	if (o->resume_after)
		rc = open_token_store(d, o->resume_after, e);
	else if (o->checkpoint_file)
		rc = checkpoint_file_open(env_posix(), o->checkpoint_file, &d->store, e);
	else
		rc = lib_dcp_open_bucket_store(d, o, n_hosts, e);
	if (rc == 0 && o->checkpoint_read_only)
		rc = checkpoint_read_only(d->store, &d->store, e);
	else if (rc == 0 && o->checkpoint_bucket && o->membership) {
		rc = checkpoint_claiming(d->store, &d->store, e);
		d->claims = rc == 0;
	}
	return rc;
}
