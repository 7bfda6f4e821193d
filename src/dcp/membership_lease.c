/* membership_lease.c: a group whose list is kept in a Kubernetes Lease by whoever holds it.
 *
 *	Lease NAME              holderIdentity: the leader; resourceVersion: compare and swap
 *	                        annotation weir/members: "17 pod-a pod-c pod-b": generation, members 1, 2, 3
 *	Lease NAME-ID           one for each member, label weir-group=NAME: its sign of life
 *
 *	every `retry`, each member     renews NAME-ID                                  (made at the first time)
 *	                               reads NAME: its place in the list is its number
 *	                               NAME is free, or unchanged for its duration ─▶ takes it, by resourceVersion
 *	the leader                     lists the members' Leases: a new one goes to the end of the list, one that is gone or
 *	                               unchanged for `duration` leaves (the last takes its number), and renews NAME
 *
 * "Unchanged" means: this process has seen the same resourceVersion for so long by its own monotonic clock. The times
 * in the Leases are for people to read; clocks of hosts may differ by hours. A leader need not be member 1, and a new
 * one goes on with the list as it is: no number changes because a leader dies.
 *
 *	          sent                             others may think it dead
 *	member:    │◀────── renew_deadline ──────▶│ stops by itself   │
 *	leader:       │◀────────────────── duration ─────────────────▶│ gives its number away
 *
 * A process that was paused for longer than its deadline has no number for a step, even if the list still gives it one:
 * what it held may have been somebody else's meanwhile. What it wrote before it looked, the claims on checkpoints refuse. */
#include "dcp/membership.h"

#include "base/mem.h"
#include "doc/iso.h"
#include "doc/json.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "os/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

enum {
	URL_MAX = 700,
	VERSION_MAX = 63,
	TOKEN_MAX = 16384,
	NAME_MAX_ = 253,
	SWEEP_AFTER = 20 /* durations */
};

struct peer {
	char id[MEMBER_ID_MAX + 1];
	char version[VERSION_MAX + 1];
	nsec changed;       /* when this process saw the version first */
	int64_t renewed_ms; /* by its own clock; 0 unknown */
	bool seen;          /* by the listing that runs */
};

struct leases {
	struct membership base;
	struct env *env;
	struct http_client *http;
	char *space, *name, *id, *token_file, *api;
	nsec duration, renew_deadline, retry, timeout;
	/* the group's Lease as it was read last */
	char version[VERSION_MAX + 1], holder[NAME_MAX_ + 1];
	nsec observed, holder_duration;
	int64_t transitions;
	char member[MEMBERS_MAX][MEMBER_ID_MAX + 1];
	uint32_t n_members;
	uint64_t generation;
	struct membership_info
		told; /* by the list as it stands at the server, not as it is to be */
	bool exists, ever;
	nsec read, touched,
		renewed; /* when the last good request of each kind was sent; -1 never */
	/* the leader's */
	bool leads;
	struct peer *peer;
	size_t n_peers;
};

static struct leases *of(struct membership *m)
{
	return container_of(m, struct leases, base);
}

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

static int show_life(struct leases *l, struct err *e)
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

static int read_lock(struct leases *l, struct err *e)
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

static int write_leadership(struct leases *l, struct err *e)
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

static void remove_lease(struct leases *l, const char *id)
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

static int list_peers(struct leases *l, struct err *e)
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

/* Who is silent stays known as such, or it would look new again. Who is silent for very long has its Lease removed. */
static void forget_gone(struct leases *l)
{
	nsec now = env_mono(l->env);
	size_t kept = 0;
	for (size_t i = 0; i < l->n_peers; i++) {
		struct peer *p = &l->peer[i];
		if (!p->seen)
			continue;
		if (now - p->changed > SWEEP_AFTER * l->duration && strcmp(p->id, l->id) != 0)
			remove_lease(l, p->id);
		l->peer[kept++] = *p;
	}
	l->n_peers = kept;
}

static bool alive(const struct leases *l, const struct peer *p)
{
	return strcmp(p->id, l->id) == 0 || env_mono(l->env) - p->changed <= l->duration;
}

static bool is_peer(const struct leases *l, const char *id)
{
	for (size_t i = 0; i < l->n_peers; i++)
		if (strcmp(l->peer[i].id, id) == 0)
			return alive(l, &l->peer[i]);
	return false;
}

static bool is_member(const struct leases *l, const char *id)
{
	for (uint32_t i = 0; i < l->n_members; i++)
		if (strcmp(l->member[i], id) == 0)
			return true;
	return false;
}

static void settle_list(struct leases *l)
{
	bool changed = false;
	for (uint32_t i = 0; i < l->n_members;) {
		if (is_peer(l, l->member[i])) {
			i++;
			continue;
		}
		l->n_members--;
		if (i != l->n_members)
			memcpy(l->member[i], l->member[l->n_members], sizeof(l->member[i]));
		changed = true;
	}
	for (size_t i = 0; i < l->n_peers && l->n_members < MEMBERS_MAX; i++) {
		if (!alive(l, &l->peer[i]) || is_member(l, l->peer[i].id))
			continue;
		memcpy(l->member[l->n_members++], l->peer[i].id, sizeof(l->member[0]));
		changed = true;
	}
	l->generation += changed;
}

static bool may_take(const struct leases *l)
{
	if (!l->exists || !l->holder[0] || strcmp(l->holder, l->id) == 0)
		return true;
	return env_mono(l->env) - l->observed > l->holder_duration;
}

static int lead(struct leases *l, struct err *e)
{
	if (!l->leads)
		l->n_peers = 0; /* what an earlier leadership saw is old */
	int rc = list_peers(l, e);
	if (rc < 0)
		return rc;
	forget_gone(l);
	settle_list(l);
	return write_leadership(l, e);
}

static int round_of(struct leases *l, struct err *e)
{
	int rc = show_life(l, e);
	if (rc == 0)
		rc = read_lock(l, e);
	if (rc < 0)
		return rc;
	l->ever = true;
	l->leads &= strcmp(l->holder, l->id) == 0;
	return may_take(l) ? lead(l, e) : 0;
}

/* ---- the membership ---- */

static bool recent(const struct leases *l, nsec sent)
{
	return sent >= 0 && env_mono(l->env) - sent <= l->renew_deadline;
}

static int step(struct membership *m, struct membership_info *out, nsec *next, struct err *e)
{
	struct leases *l = of(m);
	bool late = l->told.member && !(recent(l, l->read) && recent(l, l->touched));
	err_clear(&m->trouble);
	int rc = round_of(l, &m->trouble);
	if (rc < 0 && !l->ever && (rc == ERR_AUTH || rc == ERR_NOTFOUND || rc == ERR_ACCESS)) {
		if (e)
			*e = m->trouble;
		return rc;
	}
	l->leads &= recent(l, l->renewed);
	*next = l->retry;
	*out = l->told;
	out->until = MIN(l->read, l->touched) + l->renew_deadline;
	if (late || !recent(l, l->read) || !recent(l, l->touched))
		out->member = out->total = 0;
	return 1;
}

static int look(struct membership *m, struct err *e)
{
	struct leases *l = of(m);
	int rc = read_lock(l, e);
	return rc < 0 ? rc : list_peers(l, e);
}

static const struct peer *known_peer(const struct leases *l, const char *id)
{
	for (size_t i = 0; i < l->n_peers; i++)
		if (strcmp(l->peer[i].id, id) == 0)
			return &l->peer[i];
	return NULL;
}

static void tell_peer(const struct leases *l, const char *id, uint32_t member,
		      struct membership_peer *out)
{
	const struct peer *p = known_peer(l, id);
	*out = (struct membership_peer){
		.member = member,
		.self = strcmp(id, l->id) == 0,
		.leads = strcmp(id, l->holder) == 0,
		.seen_ms = p ? p->renewed_ms : 0,
		.silent = p ? env_mono(l->env) - p->changed : -1,
	};
	(void)snprintf(out->id, sizeof(out->id), "%s", id);
}

/* The list, and behind it who has shown itself. */
static size_t peers(const struct membership *m, struct membership_peer *out, size_t room)
{
	const struct leases *l = container_of(m, const struct leases, base);
	size_t n = 0;
	for (uint32_t i = 0; i < l->n_members; i++, n++)
		if (n < room)
			tell_peer(l, l->member[i], i + 1, &out[n]);
	for (size_t i = 0; i < l->n_peers; i++) {
		if (is_member(l, l->peer[i].id) || !l->peer[i].seen)
			continue;
		if (n < room)
			tell_peer(l, l->peer[i].id, 0, &out[n]);
		n++;
	}
	return n;
}

static void leave(struct membership *m)
{
	struct leases *l = of(m);
	AUTO(buf) struct buf b = BUF_INIT;
	remove_lease(l, l->id);
	if (!l->leads)
		return;
	write_lock(l, "", &b);
	(void)ask(l, "PATCH", l->name, NULL, &b, NULL);
	l->leads = false;
}

static void free_(struct membership *m)
{
	struct leases *l = of(m);
	http_client_free(l->http);
	mem_free(l->peer);
	mem_free(l->space);
	mem_free(l->name);
	mem_free(l->id);
	mem_free(l->token_file);
	mem_free(l->api);
	mem_free(l);
}

static int check_name(const char *s, size_t most, const char *what, struct err *e)
{
	size_t n = s ? strlen(s) : 0;
	bool good = n > 0 && n <= most && s[0] != '-' && s[0] != '.';
	for (size_t i = 0; good && i < n; i++)
		good = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
		       s[i] == '-' || s[i] == '.';
	return good ? 0
		    : err_set(e, ERR_INVALID,
			      "the %s \"%s\" must be 1 to %zu lower-case letters, digits, '-' "
			      "and '.', and begin with a letter or digit",
			      what, s ? s : "", most);
}

static int copy(const char *s, char **out, struct err *e)
{
	*out = mem_strdup(s);
	return *out ? 0 : err_nomem(e);
}

static int name_self(struct leases *l, const char *id, struct err *e)
{
	AUTO(buf) struct buf host = BUF_INIT;
	int rc = id ? 0 : membership_host_name(l->env, &host, e);
	if (rc == 0 && !id)
		id = buf_cstr(&host);
	if (rc == 0)
		rc = check_name(id, MEMBER_ID_MAX, "member's id", e);
	return rc < 0 ? rc : copy(id, &l->id, e);
}

static int set_up(struct leases *l, const struct lease_options *o, struct err *e)
{
	struct tls_options tls = { .ca_file = o->ca_file ? o->ca_file : ACCOUNT "ca.crt" };
	int rc = check_name(o->space, 63, "namespace", e);
	if (rc == 0)
		rc = check_name(o->name, 63, "name of the Lease", e);
	if (rc == 0)
		rc = name_self(l, o->id, e);
	if (rc == 0 && l->renew_deadline >= l->duration)
		rc = err_set(e, ERR_INVALID,
			     "the renew deadline must be shorter than the lease's duration");
	if (rc == 0 && l->retry >= l->renew_deadline)
		rc = err_set(e, ERR_INVALID,
			     "the retry period must be shorter than the renew deadline");
	if (rc == 0 && o->api && strlen(o->api) > 300)
		rc = err_set(e, ERR_INVALID, "the API server's address is too long");
	if (rc == 0)
		rc = copy(o->space, &l->space, e);
	if (rc == 0)
		rc = copy(o->name, &l->name, e);
	if (rc == 0)
		rc = copy(o->api ? o->api : "https://kubernetes.default.svc", &l->api, e);
	if (rc == 0)
		rc = copy(o->token_file ? o->token_file : ACCOUNT "token", &l->token_file, e);
	return rc < 0 ? rc : http_client_new(&tls, &l->http, e);
}

static const struct membership_ops ops = { step, leave, free_, look, peers };

int membership_lease(const struct lease_options *o, struct membership **out, struct err *e)
{
	struct leases *l = mem_try(sizeof(*l));
	if (!l)
		return err_nomem(e);
	l->base.ops = &ops;
	l->env = o->env ? o->env : env_posix();
	l->duration = o->duration ? o->duration : 8 * NSEC_PER_SEC;
	l->renew_deadline = o->renew_deadline ? o->renew_deadline : 5 * NSEC_PER_SEC;
	l->retry = o->retry ? o->retry : NSEC_PER_SEC;
	l->timeout = o->timeout ? o->timeout : 2 * NSEC_PER_SEC;
	l->read = l->touched = l->renewed = -1;
	l->peer = mem_try_array(MEMBERS_MAX, sizeof(*l->peer));
	int rc = l->peer ? set_up(l, o, e) : err_nomem(e);
	if (rc < 0) {
		free_(&l->base);
		return rc;
	}
	*out = &l->base;
	return 0;
}

bool membership_lease_leads(const struct membership *m)
{
	ASSERT(m->ops == &ops);
	return container_of(m, const struct leases, base)->leads;
}
