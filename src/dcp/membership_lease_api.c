/* membership_lease_api.c: Leases read from and written to a Kubernetes API server; membership_lease.c has the protocol. */
#include "dcp/membership_leases.h"

#include "doc/iso.h"
#include "doc/json.h"
#include "os/env.h"

#include <stdio.h>
#include <time.h>

/* ---- requests ---- */

static void url_of(const struct leases *l, char url[URL_MAX], const char *name, const char *query)
{
	(void)snprintf(url, URL_MAX, "%s/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s%s",
		       l->api, l->space, name ? "/" : "", name ? name : "", query ? query : "");
}

static int read_token(struct leases *l, struct buf *out, struct err *e)
{
	struct file *f;
	size_t got = 0;
	int rc = env_open(l->env, l->token_file, FILE_READ, &f, e);
	if (rc < 0)
		return rc;
	rc = buf_reserve(out, TOKEN_MAX) ? file_read(f, 0, out->p, TOKEN_MAX, &got, e)
					 : err_nomem(e);
	file_close(f);
	out->len = rc < 0 ? 0 : got;
	while (out->len && out->p[out->len - 1] <= ' ')
		out->len--;
	return rc;
}

/* The HTTP status, or a negative error. `body` holds what is sent and gets the answer. */
static int ask(struct leases *l, const char *method, const char *name, const char *query,
	       struct buf *body, struct err *e)
{
	char url[URL_MAX];
	int status = 0;
	AUTO(buf) struct buf token = BUF_INIT;
	AUTO(buf) struct buf answer = BUF_INIT;
	int rc = buf_check(body, e);
	if (rc == 0)
		rc = read_token(l, &token, e);
	if (rc < 0)
		return rc;
	url_of(l, url, name, query);
	bool patch = strcmp(method, "PATCH") == 0;
	struct http_request r = { .method = method,
				  .url = url,
				  .bearer = buf_cstr(&token),
				  .content_type = body->len == 0 ? NULL
						  : patch        ? "application/merge-patch+json"
								 : "application/json",
				  .body = buf_slice(body),
				  .timeout = l->timeout };
	rc = http_client_do(l->http, &r, &status, &answer, e);
	if (rc < 0)
		return rc;
	buf_reset(body);
	buf_add_slice(body, buf_slice(&answer));
	return status;
}

static int unexpected(int status, const char *what, const char *name, struct err *e)
{
	if (status < 0)
		return err_in(e, status, "%s Lease %s", what, name);
	if (status == 401 || status == 403)
		return err_set(e, ERR_AUTH,
			       "%s Lease %s: status %d: the service account's token or its rights "
			       "(get, list, create, patch, delete) are not good for that",
			       what, name, status);
	if (status == 409)
		return err_set(e, ERR_CONFLICT, "%s Lease %s: somebody else was faster", what,
			       name);
	return err_set(e, ERR_NET, "%s Lease %s: status %d", what, name, status);
}

/* ---- reading Leases ---- */

static struct value field(struct slice doc, const char *a, const char *b)
{
	struct value v = bson_get_str(doc, a);
	if (!b || v.type != BSON_DOCUMENT)
		return b ? VALUE_MISSING : v;
	return bson_get_str(value_slice(v), b);
}

static bool text_of(struct value v, char *out, size_t room)
{
	out[0] = '\0';
	if (v.type != BSON_STRING || v.len >= room || memchr(v.p, '\0', v.len))
		return false;
	memcpy(out, v.p, v.len);
	out[v.len] = '\0';
	return true;
}

static int64_t number_of(struct value v)
{
	return v.type == BSON_INT32 || v.type == BSON_INT64 ? v.i64 : 0;
}

/* "17 a b c". What is not such a list is an empty one of the same generation. */
static void read_members(struct leases *l, struct slice text)
{
	uint64_t generation = 0;
	size_t i = 0;
	while (i < text.len && text.p[i] >= '0' && text.p[i] <= '9')
		generation = generation * 10 + (uint64_t)(text.p[i++] - '0');
	l->generation = MAX(l->generation, generation);
	l->n_members = 0;
	while (i < text.len && l->n_members < MEMBERS_MAX) {
		while (i < text.len && text.p[i] == ' ')
			i++;
		size_t start = i;
		while (i < text.len && text.p[i] != ' ')
			i++;
		if (i == start || i - start > MEMBER_ID_MAX)
			continue;
		char *id = l->member[l->n_members++];
		memcpy(id, text.p + start, i - start);
		id[i - start] = '\0';
	}
}

static void find_self(struct leases *l)
{
	l->told = (struct membership_info){ .generation = l->generation };
	for (uint32_t i = 0; i < l->n_members; i++)
		if (strcmp(l->member[i], l->id) == 0) {
			l->told.member = i + 1;
			l->told.total = l->n_members;
		}
}

static int take_lease(struct leases *l, struct slice json, nsec sent, struct err *e)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	char version[VERSION_MAX + 1];
	int rc = json_to_bson(json, &doc, NULL, e);
	if (rc < 0)
		return err_in(e, rc, "Lease %s", l->name);
	struct slice d = buf_slice(&doc);
	if (!text_of(field(d, "metadata", "resourceVersion"), version, sizeof(version)))
		return err_set(e, ERR_PROTOCOL, "Lease %s has no resourceVersion", l->name);
	if (!l->exists || strcmp(version, l->version) != 0)
		l->observed = env_mono(l->env);
	memcpy(l->version, version, sizeof(version));
	(void)text_of(field(d, "spec", "holderIdentity"), l->holder, sizeof(l->holder));
	l->transitions = number_of(field(d, "spec", "leaseTransitions"));
	int64_t seconds = number_of(field(d, "spec", "leaseDurationSeconds"));
	l->holder_duration = seconds > 0 && seconds < 86400 ? seconds * NSEC_PER_SEC : l->duration;
	struct value annotations = field(d, "metadata", "annotations");
	struct value list = annotations.type == BSON_DOCUMENT
				    ? bson_get_str(value_slice(annotations), "weir/members")
				    : VALUE_MISSING;
	read_members(l, list.type == BSON_STRING ? value_slice(list) : SLICE_NONE);
	find_self(l);
	l->exists = true;
	l->read = sent;
	return 0;
}

/* ---- writing Leases ---- */

static void add_time(struct leases *l, struct buf *b)
{
	int64_t ms = env_wall_ms(l->env);
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&s, &tm))
		return;
	buf_add_fmt(b, ",\"renewTime\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03d000Z\"",
		    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		    (int)(ms % 1000));
}

static int seconds_of(nsec t)
{
	return (int)((t + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}

static void write_own(struct leases *l, struct buf *b)
{
	buf_add_fmt(b,
		    "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{"
		    "\"name\":\"%s-%s\",\"labels\":{\"weir-group\":\"%s\"}},\"spec\":{"
		    "\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":%d",
		    l->name, l->id, l->name, l->id, seconds_of(l->duration));
	add_time(l, b);
	buf_add_str(b, "}}");
}

/* holder "": released */
static void write_lock(struct leases *l, const char *holder, struct buf *b)
{
	buf_add_fmt(b,
		    "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{"
		    "\"name\":\"%s\",",
		    l->name);
	if (l->exists)
		buf_add_fmt(b, "\"resourceVersion\":\"%s\",", l->version);
	buf_add_fmt(b, "\"annotations\":{\"weir/members\":\"%llu",
		    (unsigned long long)l->generation);
	for (uint32_t i = 0; i < l->n_members; i++)
		buf_add_fmt(b, " %s", l->member[i]);
	bool mine = strcmp(l->holder, l->id) == 0;
	buf_add_fmt(b,
		    "\"}},\"spec\":{\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":%d,"
		    "\"leaseTransitions\":%lld",
		    holder, holder[0] ? seconds_of(l->duration) : 1,
		    (long long)(l->transitions + (l->exists && holder[0] && !mine)));
	add_time(l, b);
	buf_add_str(b, "}}");
}

/* ---- a step's parts ---- */

int leases_show_life(struct leases *l, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	char name[2 * NAME_MAX_ + 2];
	nsec sent = env_mono(l->env);
	(void)snprintf(name, sizeof(name), "%s-%s", l->name, l->id);
	write_own(l, &b);
	int status = ask(l, "PATCH", name, NULL, &b, e);
	if (status == 404) {
		buf_reset(&b);
		write_own(l, &b);
		status = ask(l, "POST", NULL, NULL, &b, e);
	}
	if (status != 200 && status != 201)
		return unexpected(status, "renewing", name, e);
	l->touched = sent;
	return 0;
}

int leases_read(struct leases *l, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	nsec sent = env_mono(l->env);
	int status = ask(l, "GET", l->name, NULL, &b, e);
	if (status == 404) {
		l->exists = l->leads = false;
		l->n_members = 0;
		l->holder[0] = '\0';
		find_self(l);
		l->read = sent;
		return 0;
	}
	if (status != 200)
		return unexpected(status, "reading", l->name, e);
	return take_lease(l, buf_slice(&b), sent, e);
}

int leases_write(struct leases *l, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	nsec sent = env_mono(l->env);
	write_lock(l, l->id, &b);
	int status = l->exists ? ask(l, "PATCH", l->name, NULL, &b, e)
			       : ask(l, "POST", NULL, NULL, &b, e);
	if (status != 200 && status != 201) {
		l->leads &= status != 409; /* others: it may still be ours; the deadline decides */
		return unexpected(status, "writing", l->name, e);
	}
	int rc = take_lease(l, buf_slice(&b), sent, e);
	if (rc < 0)
		return rc;
	l->renewed = sent;
	l->leads = true;
	return 0;
}

void leases_remove(struct leases *l, const char *id)
{
	AUTO(buf) struct buf b = BUF_INIT;
	char name[2 * NAME_MAX_ + 2];
	(void)snprintf(name, sizeof(name), "%s-%s", l->name, id);
	(void)ask(l, "DELETE", name, NULL, &b, NULL);
}

static struct peer *peer_of(struct leases *l, const char *id)
{
	for (size_t i = 0; i < l->n_peers; i++)
		if (strcmp(l->peer[i].id, id) == 0)
			return &l->peer[i];
	if (l->n_peers == MEMBERS_MAX)
		return NULL;
	struct peer *p = &l->peer[l->n_peers++];
	*p = (struct peer){ 0 };
	(void)snprintf(p->id, sizeof(p->id), "%s", id);
	return p;
}

static void see_peer(struct leases *l, struct slice lease)
{
	char id[MEMBER_ID_MAX + 1], version[VERSION_MAX + 1];
	if (!text_of(field(lease, "spec", "holderIdentity"), id, sizeof(id)) || !id[0] ||
	    strchr(id, ' ') ||
	    !text_of(field(lease, "metadata", "resourceVersion"), version, sizeof(version)))
		return;
	struct peer *p = peer_of(l, id);
	if (!p)
		return;
	struct value renewed = field(lease, "spec", "renewTime");
	p->seen = true;
	if (renewed.type != BSON_STRING || !iso_parse(value_slice(renewed), &p->renewed_ms))
		p->renewed_ms = 0;
	if (strcmp(p->version, version) != 0)
		p->changed = env_mono(l->env);
	memcpy(p->version, version, sizeof(version));
}

int leases_list(struct leases *l, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(buf) struct buf doc = BUF_INIT;
	char query[NAME_MAX_ + 40];
	struct bson_iter it;
	(void)snprintf(query, sizeof(query), "?labelSelector=weir-group%%3D%s", l->name);
	int status = ask(l, "GET", NULL, query, &b, e);
	if (status != 200)
		return unexpected(status, "listing the members of", l->name, e);
	int rc = json_to_bson(buf_slice(&b), &doc, NULL, e);
	struct value items = rc < 0 ? VALUE_MISSING : bson_get_str(buf_slice(&doc), "items");
	if (items.type != BSON_ARRAY)
		return rc < 0 ? rc : err_set(e, ERR_PROTOCOL, "the list of Leases has no items");
	for (size_t i = 0; i < l->n_peers; i++)
		l->peer[i].seen = false;
	bson_iter_init(&it, value_slice(items));
	while (bson_next(&it))
		if (it.value.type == BSON_DOCUMENT)
			see_peer(l, value_slice(it.value));
	return 0;
}

void leases_release(struct leases *l)
{
	AUTO(buf) struct buf b = BUF_INIT;
	write_lock(l, "", &b);
	(void)ask(l, "PATCH", l->name, NULL, &b, NULL);
}
