/* membership.c: the kinds that need nobody else (static, dynamic, StatefulSet), the share, and the hand-over.
 *
 * The steady share climbs a ladder. With one member everything is its own; member k arrives and takes its even part,
 * n / k, one vBucket at a time from whoever has most. Everybody climbs to the same rung and holds the same picture:
 *
 *	1  aaaaaaaa        k = 2: b takes 4 of a's
 *	2  aaaabbbb        k = 3: c takes 2, one of a's and one of b's
 *	3  aaacbbbc
 *
 * From k to k + 1 only what the new one takes moves, which is the least that can; back again, the same. A member that
 * leaves from the middle has its number taken by the last one (whoever numbers them sees to that): its share and the
 * last one's move, twice the least. */
#include "dcp/membership.h"

#include "base/mem.h"
#include "dcp/cluster.h"
#include "os/env.h"
#include "os/thread.h"

#include <stdio.h>

#define REFRESH_DEFAULT (10 * NSEC_PER_SEC)
#define NEVER           (3600 * NSEC_PER_SEC) /* nothing is due; somebody will tell */

enum { FILE_BYTES_MAX = 65536 };

/* ---- static ---- */

struct fixed {
	struct membership base;
	struct membership_info info;
};

static int fixed_step(struct membership *m, struct membership_info *out, nsec *next, struct err *e)
{
	(void)e;
	*out = container_of(m, struct fixed, base)->info;
	*next = NEVER;
	return 1;
}

static void nothing_to_leave(struct membership *m)
{
	(void)m;
}

static void fixed_free(struct membership *m)
{
	mem_free(container_of(m, struct fixed, base));
}

static int check_numbers(uint32_t member, uint32_t total, struct err *e)
{
	if (total < 1 || total > MEMBERS_MAX)
		return err_set(e, ERR_INVALID, "%u members: 1 to %u are possible", total,
			       MEMBERS_MAX);
	if (member < 1 || member > total)
		return err_set(e, ERR_INVALID, "member %u of %u: members count from 1", member,
			       total);
	return 0;
}

int membership_static(uint32_t member, uint32_t total, struct membership **out, struct err *e)
{
	static const struct membership_ops ops = { .step = fixed_step,
						   .leave = nothing_to_leave,
						   .free = fixed_free };
	int rc = check_numbers(member, total, e);
	if (rc < 0)
		return rc;
	struct fixed *f = mem_try(sizeof(*f));
	if (!f)
		return err_nomem(e);
	f->base.ops = &ops;
	f->info = (struct membership_info){ .member = member, .total = total };
	*out = &f->base;
	return 0;
}

/* ---- dynamic ---- */

struct told {
	struct membership base;
	struct mutex lock; /* guards info */
	struct membership_info info;
};

static int told_step(struct membership *m, struct membership_info *out, nsec *next, struct err *e)
{
	struct told *t = container_of(m, struct told, base);
	(void)e;
	mutex_lock(&t->lock);
	*out = t->info;
	mutex_unlock(&t->lock);
	*next = NEVER;
	return 1;
}

static void told_free(struct membership *m)
{
	struct told *t = container_of(m, struct told, base);
	mutex_done(&t->lock);
	mem_free(t);
}

static const struct membership_ops told_ops = { .step = told_step,
						.leave = nothing_to_leave,
						.free = told_free };

int membership_dynamic(struct membership **out, struct err *e)
{
	struct told *t = mem_try(sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->base.ops = &told_ops;
	mutex_init(&t->lock);
	*out = &t->base;
	return 0;
}

int membership_dynamic_set(struct membership *m, uint32_t member, uint32_t total, struct err *e)
{
	if (m->ops != &told_ops)
		return err_set(e, ERR_INVALID, "the membership is not a dynamic one");
	int rc = member || total ? check_numbers(member, total, e) : 0;
	if (rc < 0)
		return rc;
	struct told *t = container_of(m, struct told, base);
	mutex_lock(&t->lock);
	t->info.member = member;
	t->info.total = member ? total : 0;
	t->info.generation++;
	mutex_unlock(&t->lock);
	return 0;
}

/* ---- StatefulSet ---- */

struct stateful {
	struct membership base;
	struct env *env;
	uint32_t member, total;
	nsec refresh;
	char *file, *key;
};

static int read_small(struct env *env, const char *path, struct buf *out, struct err *e)
{
	struct file *f;
	size_t got = 0;
	int rc = env_open(env, path, FILE_READ, &f, e);
	if (rc < 0)
		return rc;
	if (!buf_reserve(out, FILE_BYTES_MAX))
		rc = err_nomem(e);
	else
		rc = file_read(f, 0, out->p, FILE_BYTES_MAX, &got, e);
	file_close(f);
	out->len = rc < 0 ? 0 : got;
	return rc;
}

/* The decimal number that text ends in; -1: none, or not one that a member can have. */
static int64_t decimal(struct slice s)
{
	int64_t n = 0;
	if (s.len == 0 || s.len > 9)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		n = n * 10 + (s.p[i] - '0');
	}
	return n;
}

static struct slice trim(struct slice s)
{
	while (s.len && (s.p[s.len - 1] == '\n' || s.p[s.len - 1] == '\r' || s.p[s.len - 1] == ' '))
		s.len--;
	return s;
}

/* KEY="12" on a line of its own. */
static int total_in(struct stateful *s, struct slice text, uint32_t *total, struct err *e)
{
	size_t key = strlen(s->key);
	while (text.len) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		struct slice line = slice_of(text.p, end ? (size_t)(end - text.p) : text.len);
		text.p += MIN(line.len + 1, text.len);
		text.len -= MIN(line.len + 1, text.len);
		if (line.len <= key || memcmp(line.p, s->key, key) != 0 || line.p[key] != '=')
			continue;
		struct slice v = trim(slice_of(line.p + key + 1, line.len - key - 1));
		if (v.len >= 2 && v.p[0] == '"' && v.p[v.len - 1] == '"')
			v = slice_of(v.p + 1, v.len - 2);
		int64_t n = decimal(v);
		if (n < 1 || n > MEMBERS_MAX)
			return err_set(e, ERR_INVALID, "%s: %s is not a number of members", s->file,
				       s->key);
		*total = (uint32_t)n;
		return 0;
	}
	return err_set(e, ERR_NOTFOUND, "%s: there is no %s", s->file, s->key);
}

static int read_total(struct stateful *s, uint32_t *total, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int rc = read_small(s->env, s->file, &text, e);
	return rc < 0 ? rc : total_in(s, buf_slice(&text), total, e);
}

/* A file that cannot be read for a moment leaves the last number as it is. A pod beyond the total is on its way out. */
static int stateful_step(struct membership *m, struct membership_info *out, nsec *next,
			 struct err *e)
{
	struct stateful *s = container_of(m, struct stateful, base);
	(void)e;
	err_clear(&m->trouble);
	if (s->file)
		(void)read_total(s, &s->total, &m->trouble);
	bool in = s->member <= s->total;
	*out = (struct membership_info){ .member = in ? s->member : 0,
					 .total = in ? s->total : 0,
					 .generation = s->total };
	*next = s->file ? s->refresh : NEVER;
	return 1;
}

static void stateful_free(struct membership *m)
{
	struct stateful *s = container_of(m, struct stateful, base);
	mem_free(s->file);
	mem_free(s->key);
	mem_free(s);
}

int membership_host_name(struct env *env, struct buf *out, struct err *e)
{
	int rc = read_small(env, "/etc/hostname", out, e);
	out->len = trim(buf_slice(out)).len;
	return rc < 0 ? rc : buf_check(out, e);
}

static int stateful_open(struct stateful *s, const struct statefulset_options *o, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int rc = 0;
	if (!o->host) {
		rc = membership_host_name(s->env, &text, e);
	} else {
		buf_add_str(&text, o->host);
		rc = buf_check(&text, e);
	}
	if (rc == 0)
		rc = cluster_member_of_host(buf_cstr(&text), &s->member, e);
	if (rc < 0)
		return rc;
	if (!o->total_file)
		return check_numbers(s->member, s->total, e);
	if (!o->total_key)
		return err_set(e, ERR_INVALID, "which key of %s is the number of members?",
			       o->total_file);
	s->file = mem_strdup(o->total_file);
	s->key = mem_strdup(o->total_key);
	if (!s->file || !s->key)
		return err_nomem(e);
	return read_total(s, &s->total, e);
}

int membership_statefulset(const struct statefulset_options *o, struct membership **out,
			   struct err *e)
{
	static const struct membership_ops ops = { .step = stateful_step,
						   .leave = nothing_to_leave,
						   .free = stateful_free };
	struct stateful *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->base.ops = &ops;
	s->env = o->env ? o->env : env_posix();
	s->total = o->total;
	s->refresh = o->refresh ? o->refresh : REFRESH_DEFAULT;
	int rc = stateful_open(s, o, e);
	if (rc < 0) {
		stateful_free(&s->base);
		return rc;
	}
	*out = &s->base;
	return 0;
}

/* ---- the share ---- */

/* Member k takes one from whoever has most (the first of them): its last. */
static void take_one(uint32_t n_vbuckets, uint32_t k, uint32_t *owner, uint32_t *count)
{
	uint32_t most = 1, vb = n_vbuckets;
	for (uint32_t i = 2; i < k; i++)
		if (count[i] > count[most])
			most = i;
	do
		ASSERT(vb > 0);
	while (owner[--vb] != most);
	owner[vb] = k;
	count[most]--;
	count[k]++;
}

static int spread_steady(uint32_t n_vbuckets, uint32_t total, uint32_t *owner, struct err *e)
{
	uint32_t rungs = MIN(total, n_vbuckets); /* members beyond get nothing */
	uint32_t *count = mem_try_array((size_t)rungs + 2, sizeof(*count));
	if (!count)
		return err_nomem(e);
	for (uint32_t vb = 0; vb < n_vbuckets; vb++)
		owner[vb] = 1;
	count[1] = n_vbuckets;
	for (uint32_t k = 2; k <= rungs; k++)
		for (uint32_t n = n_vbuckets / k; n > 0; n--)
			take_one(n_vbuckets, k, owner, count);
	mem_free(count);
	return 0;
}

int spread_all(enum spread how, uint32_t n_vbuckets, uint32_t total, uint32_t *owner, struct err *e)
{
	ASSERT(total >= 1);
	if (how == SPREAD_STEADY)
		return spread_steady(n_vbuckets, total, owner, e);
	for (uint32_t member = 1; member <= MIN(total, n_vbuckets); member++) {
		uint32_t first, count;
		cluster_share(n_vbuckets, member, total, &first, &count);
		for (uint32_t i = 0; i < count; i++)
			owner[first + i] = member;
	}
	return 0;
}

/* ---- the hand-over ---- */

int handover_init(struct handover *h, enum spread how, uint32_t n_vbuckets, nsec delay,
		  struct err *e)
{
	*h = (struct handover){ .how = how, .delay = delay, .n_vbuckets = n_vbuckets };
	h->owner = mem_try_array((size_t)n_vbuckets + 1, sizeof(*h->owner));
	h->want = mem_try_array((size_t)n_vbuckets + 1, sizeof(*h->want));
	h->held = mem_try_array((size_t)n_vbuckets + 1, sizeof(*h->held));
	h->busy = mem_try_array((size_t)n_vbuckets + 1, sizeof(*h->busy));
	if (h->owner && h->want && h->held && h->busy)
		return 0;
	handover_done(h);
	return err_nomem(e);
}

void handover_done(struct handover *h)
{
	mem_free(h->owner);
	mem_free(h->want);
	mem_free(h->held);
	mem_free(h->busy);
	*h = (struct handover){ 0 };
}

/* What differs between wanted and held; the delay (re)starts when something is to come. */
static void compare(struct handover *h, nsec delay, nsec now)
{
	h->shrink = h->grow = false;
	h->changed = now;
	for (uint32_t vb = 0; vb < h->n_vbuckets; vb++) {
		h->shrink |= h->held[vb] && !h->want[vb];
		h->grow |= h->want[vb] && !h->held[vb];
	}
	if (h->grow)
		h->due = now + delay;
}

int handover_see(struct handover *h, const struct membership_info *info, nsec now, struct err *e)
{
	if (info->member == h->at.member && info->total == h->at.total) {
		h->at.generation = info->generation;
		return 0;
	}
	if (info->member) {
		int rc = spread_all(h->how, h->n_vbuckets, info->total, h->owner, e);
		if (rc < 0)
			return rc;
	}
	for (uint32_t vb = 0; vb < h->n_vbuckets; vb++)
		h->want[vb] = info->member && h->owner[vb] == info->member;
	h->at = *info;
	/* alone there is nobody to wait for */
	compare(h, info->total == 1 ? REBALANCE_DELAY_NO : h->delay, now);
	return 0;
}

bool handover_grows(const struct handover *h, nsec now)
{
	return h->grow && now >= h->due;
}

void handover_busy(struct handover *h, const bool *busy, nsec again)
{
	for (uint32_t vb = 0; vb < h->n_vbuckets; vb++)
		h->busy[vb] = busy && busy[vb];
	h->again = again;
}

/* What is held from now on. True: that is not what it was. */
static bool next_set(struct handover *h, bool grow, uint16_t *vb, size_t *n, bool *waits)
{
	bool changed = h->shrink;
	*n = 0;
	*waits = false;
	for (uint32_t i = 0; i < h->n_vbuckets; i++) {
		bool comes = grow && h->want[i] && !h->held[i];
		*waits |= comes && h->busy[i];
		comes &= !h->busy[i];
		changed |= comes;
		h->held[i] = comes || (h->held[i] && h->want[i]);
		if (h->held[i])
			vb[(*n)++] = (uint16_t)i;
	}
	return changed;
}

int handover_next(struct handover *h, nsec now, uint16_t *vb, size_t *n, nsec *due)
{
	bool grow = handover_grows(h, now), waits = false, changed = false;
	if (h->shrink || grow)
		changed = next_set(h, grow, vb, n, &waits);
	if (changed)
		h->n_held = (uint32_t)*n;
	h->shrink = false;
	if (grow) {
		h->grow = waits;
		h->due = now + h->again;
	}
	*due = h->grow ? h->due : -1;
	return changed;
}

void handover_lost(struct handover *h, const bool *lost, nsec now, nsec delay)
{
	for (uint32_t vb = 0; vb < h->n_vbuckets; vb++)
		h->held[vb] &= !lost[vb];
	compare(h, delay, now);
	h->shrink = true; /* the set is to be given out again without them */
}
