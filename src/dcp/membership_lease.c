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
#include "dcp/membership_leases.h"

#include "base/mem.h"
#include "net/tls.h"
#include "os/env.h"

#include <stdio.h>

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

static struct leases *of(struct membership *m)
{
	return container_of(m, struct leases, base);
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
			leases_remove(l, p->id);
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
	int rc = leases_list(l, e);
	if (rc < 0)
		return rc;
	forget_gone(l);
	settle_list(l);
	return leases_write(l, e);
}

static int round_of(struct leases *l, struct err *e)
{
	int rc = leases_show_life(l, e);
	if (rc == 0)
		rc = leases_read(l, e);
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
	int rc = leases_read(l, e);
	return rc < 0 ? rc : leases_list(l, e);
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
	leases_remove(l, l->id);
	if (l->leads)
		leases_release(l);
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
