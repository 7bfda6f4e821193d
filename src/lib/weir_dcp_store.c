/* weir_dcp_store.c: where a Couchbase client keeps its checkpoints: a file, documents, a log, the caller's own store, or
 * the caller's resume token. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "dcp/kv.h"
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

static void token_free(struct checkpoint_store *s)
{
	struct token_store *t = container_of(s, struct token_store, base);
	mem_free(t->cp);
	mem_free(t);
}

static int open_token_store(weir_dcp *d, const char *token, struct err *e)
{
	static const struct checkpoint_store_ops token_ops = { .load = token_load,
							       .save = token_save,
							       .free = token_free };
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

/* ---- the bucket of the checkpoints ---- */

static const char *either(const char *given, const char *otherwise)
{
	return given ? given : otherwise;
}

/* Another cluster has another name, and is trusted by itself; files are the same unless told otherwise. */
static int open_tls(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	bool apart = o->checkpoint_hosts != NULL;
	if (d->store_tls || !(o->checkpoint_tls || (o->tls && !apart)))
		return 0;
	struct tls_options tls = {
		.ca_file = either(o->checkpoint_tls_ca, o->tls_ca),
		.cert_file = either(o->checkpoint_tls_cert, o->tls_cert),
		.key_file = either(o->checkpoint_tls_key, o->tls_key),
		.server_name =
			either(o->checkpoint_tls_server_name, apart ? NULL : o->tls_server_name),
		.insecure = o->checkpoint_tls_insecure || (o->tls_insecure && !apart),
	};
	return tls_new(&tls, &d->store_tls, e);
}

int lib_dcp_bucket(weir_dcp *d, const weir_dcp_options *o, struct scram_cache *cache,
		   size_t n_hosts, struct conn_options *conn, struct kv_options *out, struct err *e)
{
	enum { NOOP_MS = 5000 };
	int rc = open_tls(d, o, e);
	if (rc == 0 && o->checkpoint_hosts && !d->store_hosts)
		rc = lib_dcp_split(o->checkpoint_hosts, "checkpoint_hosts", &d->store_hosts,
				   d->store_host, &d->n_store_hosts, e);
	if (rc < 0)
		return rc;
	cache->mechanism = SASL_NONE;
	*conn = (struct conn_options){
		.env = env_posix(),
		.user = either(either(o->checkpoint_user, o->user), ""),
		.password = either(either(o->checkpoint_password, o->password), ""),
		.bucket = o->checkpoint_bucket,
		.tls = d->store_tls,
		.allow_plain = o->allow_plain,
		.cache = cache,
		.agent = "weir",
		.connect_timeout = lib_dcp_connect_time(o),
		.noop = ms(o->noop_ms ? o->noop_ms : NOOP_MS),
	};
	*out = (struct kv_options){
		.conn = conn,
		.seeds = d->store_hosts ? d->store_host : d->host,
		.n_seeds = d->store_hosts ? d->n_store_hosts : n_hosts,
		.network = d->store_hosts ? NETWORK_AUTO : (enum cluster_network)o->network,
		.scope = o->checkpoint_scope,
		.collection = o->checkpoint_collection,
		.timeout = lib_dcp_connect_time(o),
	};
	return 0;
}

/* Its writes may take as long as connecting does, several times over. */
static int open_bucket_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	struct conn_options conn;
	struct kv_options kv;
	int rc = lib_dcp_bucket(d, o, &d->store_scram, n_hosts, &conn, &kv, e);
	if (rc < 0)
		return rc;
	kv.timeout = o->checkpoint_timeout_ms ? ms(o->checkpoint_timeout_ms) : 3 * kv.timeout;
	return checkpoint_couchbase_open(&kv, o->group ? o->group : "", &d->store, e);
}

/* ---- which ---- */

static int check_places(const weir_dcp_options *o, struct err *e)
{
	int places = (o->resume_after != NULL) + (o->checkpoint_file != NULL) +
		     (o->checkpoint_bucket != NULL) + (o->checkpoint_log != NULL) +
		     (o->checkpoint_store != NULL) + o->checkpoint_none;
	if (places > 1)
		return err_set(e, ERR_INVALID,
			       "resume_after, checkpoint_file, checkpoint_bucket, checkpoint_log, "
			       "checkpoint_store and checkpoint_none exclude each other");
	if (!o->checkpoint_bucket && (o->checkpoint_hosts || o->checkpoint_scope ||
				      o->checkpoint_collection || o->checkpoint_user))
		return err_set(e, ERR_INVALID,
			       "checkpoint_hosts, checkpoint_user, checkpoint_scope and "
			       "checkpoint_collection are about a checkpoint_bucket");
	if (o->foreign == WEIR_DCP_POLICY_REWIND)
		return err_set(e, ERR_INVALID, "a checkpoint of another bucket cannot be rewound");
	if (o->damaged == WEIR_DCP_POLICY_IGNORE || o->damaged == WEIR_DCP_POLICY_REWIND)
		return err_set(e, ERR_INVALID,
			       "a damaged checkpoint can only fail its vBucket, or restart it");
	return 0;
}

static int open_log_store(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	struct checkpoint_log_options l = { .env = env_posix(),
					    .dir = o->checkpoint_log,
					    .forgive = o->damaged == WEIR_DCP_POLICY_RESTART };
	return checkpoint_log_open(&l, &d->store, e);
}

static int open_own_store(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	int rc = lib_dcp_own_store(o->checkpoint_store, &d->store, e);
	if (rc == 0)
		d->own = d->store;
	return rc;
}

/* Who only reads needs no lock, beside which somebody else could not write, and no right to write there. */
static int look_at_place(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	bool forgive = o->damaged == WEIR_DCP_POLICY_RESTART;
	return o->checkpoint_file
		       ? checkpoint_file_look(env_posix(), o->checkpoint_file, forgive, &d->store,
					      e)
		       : checkpoint_log_look(env_posix(), o->checkpoint_log, forgive, &d->store, e);
}

static int open_place(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	if (o->resume_after)
		return open_token_store(d, o->resume_after, e);
	if (o->checkpoint_file)
		return checkpoint_file_open(env_posix(), o->checkpoint_file,
					    o->damaged == WEIR_DCP_POLICY_RESTART, &d->store, e);
	if (o->checkpoint_log)
		return open_log_store(d, o, e);
	if (o->checkpoint_store)
		return open_own_store(d, o, e);
	if (o->checkpoint_none)
		return checkpoint_none_open(&d->store, e);
	return o->checkpoint_bucket ? open_bucket_store(d, o, n_hosts, e) : 0;
}

bool lib_dcp_store_fences(const weir_dcp_options *o)
{
	return o->checkpoint_bucket || (o->checkpoint_store && o->checkpoint_store->fences);
}

int lib_dcp_open_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	int rc = check_places(o, e);
	if (rc == 0 && o->checkpoint_read_only && (o->checkpoint_file || o->checkpoint_log))
		return look_at_place(d, o, e);
	if (rc == 0)
		rc = open_place(d, o, n_hosts, e);
	if (rc < 0 || !d->store)
		return rc;
	if (o->checkpoint_read_only)
		return checkpoint_read_only(d->store, &d->store, e);
	if (!o->membership || !lib_dcp_store_fences(o))
		return 0;
	rc = checkpoint_claiming(d->store, &d->store, e);
	d->claims = rc == 0;
	return rc;
}

/* ---- looking, without the lock of who writes ---- */

int lib_dcp_look(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct checkpoint *c,
		 size_t n, struct err *e)
{
	int rc = check_places(o, e);
	if (rc < 0 || o->resume_after)
		return rc;
	rc = o->checkpoint_file || o->checkpoint_log ? look_at_place(d, o, e)
						     : open_place(d, o, n_hosts, e);
	return rc == 0 && d->store ? checkpoint_load(d->store, c, n, e) : rc;
}
