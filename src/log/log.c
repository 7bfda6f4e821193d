/* log.c: opening and closing the log, and its topics.
 *
 *	DIR/weir-log      what this directory is: the log's identity
 *	    lock          locked by the one process that writes
 *	    page          the word that descriptor threads sleep on
 *	    topics/NAME/topic      what this topic is: identity, partitions, retention
 *	                page       a slot of shared words a partition
 *	                0/ 1/ ...  the partitions' segments
 *
 * A directory is a log once weir-log is there, a topic is one once its topic file is: both are written last and
 * atomically, so an interrupted creation is no log, no topic, and is simply done again.
 */
#include "log/partition.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define SEGMENT_BYTES_DEFAULT  (UINT64_C(64) << 20)
#define FLUSH_INTERVAL_DEFAULT 1000

/* ---- shared pages ---- */

/* Maps the file of shared words, making or growing it as the writer. A reader process does without when it must. */
static int page_open(struct log *l, const char *dir, size_t len, struct file **file, void **page,
		     struct err *e)
{
	char path[PATH_BYTES];
	int rc = path_join(path, dir, "page", e);
	if (rc)
		return rc;
	bool writer = !l->options.read_only;
	struct file *f = NULL;
	uint64_t size = 0;
	rc = env_open(l->env, path, writer ? FILE_CREATE : FILE_WRITE, &f, e);
	if (rc == 0)
		rc = file_size(f, &size, e);
	if (rc == 0 && size < len)
		rc = writer ? file_allocate(f, size, len - size, e) : ERR_NOTFOUND;
	if (rc == 0)
		rc = file_map(f, 0, len, true, page, e);
	if (rc == 0) {
		*file = f;
		return 0;
	}
	file_close(f);
	*page = NULL;
	if (!writer && rc != ERR_NOMEM) {
		err_clear(e);
		return 0;
	}
	return rc;
}

/* ---- topics ---- */

static void topic_free(struct log_topic *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->n_parts; i++)
		partition_done(&t->parts[i]);
	mem_free(t->parts);
	if (t->page)
		file_unmap(t->page_file, t->page, t->page_len);
	file_close(t->page_file);
	mem_free(t->dir);
	mem_free(t);
}

static int topic_dir(struct log *l, const char *name, char out[PATH_BYTES], struct err *e)
{
	char topics[PATH_BYTES];
	int rc = path_join(topics, l->dir, "topics", e);
	return rc ? rc : path_join(out, topics, name, e);
}

static int topic_start(struct log_topic *t, struct err *e)
{
	struct log *l = t->log;
	t->page_len = ((size_t)t->meta.partitions * sizeof(struct page_slot) + PAGE_BYTES - 1) /
		      PAGE_BYTES * PAGE_BYTES;
	int rc = page_open(l, t->dir, t->page_len, &t->page_file, &t->page, e);
	if (rc == 0 && !l->options.read_only)
		rc = env_sync_dir(l->env, t->dir, e); /* whoever made it may have died before */
	if (rc)
		return rc;
	t->parts = mem_try_array(t->meta.partitions, sizeof(*t->parts));
	if (!t->parts)
		return err_nomem(e);
	for (uint32_t i = 0; i < t->meta.partitions; i++) {
		rc = partition_init(&t->parts[i], t, i, e);
		if (rc)
			return rc;
		t->n_parts++;
		if (!l->options.read_only) {
			rc = partition_start_writing(&t->parts[i], e);
			if (rc)
				return err_in(e, rc, "topic %s, partition %" PRIu32, t->meta.name,
					      i);
		}
	}
	return 0;
}

static int topic_load(struct log *l, const char *name, struct log_topic **out, struct err *e)
{
	char dir[PATH_BYTES];
	int rc = topic_dir(l, name, dir, e);
	if (rc)
		return rc;
	struct log_topic *t = mem_try(sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->log = l;
	t->dir = mem_strdup(dir);
	rc = t->dir ? topic_meta_read(l->env, dir, &t->meta, e) : err_nomem(e);
	if (rc == 0 && strcmp(t->meta.name, name) != 0)
		rc = err_set(e, ERR_CORRUPT, "%s holds the topic %s: renamed?", dir, t->meta.name);
	if (rc == 0)
		rc = topic_start(t, e);
	if (rc) {
		topic_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* Lock held. */
static struct log_topic *topic_find(struct log *l, const char *name)
{
	for (size_t i = 0; i < l->n_topics; i++)
		if (strcmp(l->topics[i]->meta.name, name) == 0)
			return l->topics[i];
	return NULL;
}

static int topic_add(struct log *l, const char *name, struct log_topic **out, struct err *e)
{
	struct log_topic **list = mem_retry(l->topics, (l->n_topics + 1) * sizeof(*list));
	if (!list)
		return err_nomem(e);
	l->topics = list;
	int rc = topic_load(l, name, &list[l->n_topics], e);
	if (rc)
		return rc;
	*out = list[l->n_topics++];
	return 0;
}

static int check_name(const char *name, struct err *e)
{
	size_t n = strlen(name);
	if (n == 0 || n > LOG_TOPIC_NAME_MAX)
		return err_set(e, ERR_INVALID, "a topic's name has 1 to %d characters",
			       LOG_TOPIC_NAME_MAX);
	bool ok = name[0] != '.' && strncmp(name, "__", 2) != 0;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		ok &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-';
	}
	if (!ok)
		return err_set(
			e, ERR_INVALID,
			"topic names are made of letters, digits, '.', '_' and '-' and do not "
			"start with '.' or '__'");
	return 0;
}

static int topic_make(struct log *l, const char *name, uint32_t partitions, struct err *e)
{
	char dir[PATH_BYTES], topics[PATH_BYTES], part[PATH_BYTES];
	struct topic_meta m = { .partitions = partitions };
	snprintf(m.name, sizeof(m.name), "%s", name);
	int rc = topic_dir(l, name, dir, e);
	if (rc == 0)
		rc = path_join(topics, l->dir, "topics", e);
	if (rc == 0)
		rc = env_random(l->env, m.id, sizeof(m.id), e);
	if (rc == 0)
		rc = make_dir(l->env, dir, e);
	for (uint32_t i = 0; rc == 0 && i < partitions; i++) {
		char number[16];
		snprintf(number, sizeof(number), "%" PRIu32, i);
		rc = path_join(part, dir, number, e);
		if (rc == 0)
			rc = make_dir(l->env, part, e);
	}
	if (rc == 0)
		rc = env_sync_dir(l->env, topics, e);
	if (rc == 0)
		rc = env_sync_dir(l->env, dir, e); /* no topic file without its partitions */
	if (rc == 0)
		rc = topic_meta_write(l->env, dir, &m, e);
	return rc;
}

int log_writable(const struct log *l, struct err *e)
{
	if (l->options.read_only)
		return err_set(e, ERR_ACCESS, "the log was opened for reading only");
	return 0;
}

int log_topic_create(struct log *l, const char *name, uint32_t partitions, struct log_topic **out,
		     struct err *e)
{
	int rc = log_writable(l, e);
	if (rc == 0)
		rc = check_name(name, e);
	if (rc)
		return rc;
	if (partitions == 0 || partitions > LOG_PARTITIONS_MAX)
		return err_set(e, ERR_INVALID, "a topic has 1 to %d partitions",
			       LOG_PARTITIONS_MAX);
	mutex_lock(&l->lock);
	struct log_topic *t = topic_find(l, name);
	if (t)
		rc = err_set(e, ERR_EXISTS, "the topic %s exists already", name);
	else
		rc = topic_make(l, name, partitions, e);
	if (rc == 0)
		rc = topic_add(l, name, &t, e);
	mutex_unlock(&l->lock);
	if (rc == 0 && out)
		*out = t;
	return rc;
}

int log_topic_open(struct log *l, const char *name, struct log_topic **out, struct err *e)
{
	int rc = check_name(name, e);
	if (rc)
		return rc;
	mutex_lock(&l->lock);
	struct log_topic *t = topic_find(l, name);
	if (!t && l->options.read_only)
		rc = topic_add(l, name, &t, e);
	else if (!t)
		rc = ERR_NOTFOUND;
	mutex_unlock(&l->lock);
	if (rc == ERR_NOTFOUND)
		return err_set(e, rc, "the log %s has no topic %s", l->dir, name);
	if (rc == 0)
		*out = t;
	return rc;
}

struct lister {
	struct log *log;
	int (*each)(void *arg, const char *name, uint32_t partitions);
	void *arg;
	struct buf names; /* each with its NUL */
};

static int collect_name(void *arg, const char *name)
{
	struct lister *x = arg;
	if (check_name(name, NULL) == 0)
		buf_add(&x->names, name, strlen(name) + 1);
	return 0;
}

int log_topic_list(struct log *l, int (*each)(void *arg, const char *name, uint32_t partitions),
		   void *arg, struct err *e)
{
	char topics[PATH_BYTES], dir[PATH_BYTES];
	struct lister x = { .log = l, .each = each, .arg = arg, .names = BUF_INIT };
	int rc = path_join(topics, l->dir, "topics", e);
	if (rc == 0)
		rc = env_list(l->env, topics, collect_name, &x, e);
	if (rc == 0)
		rc = buf_check(&x.names, e);
	for (size_t at = 0; rc == 0 && at < x.names.len;) {
		const char *name = (const char *)x.names.p + at;
		struct topic_meta m;
		struct file_stat st;
		rc = topic_dir(l, name, dir, e);
		if (rc == 0)
			rc = env_stat(l->env, dir, &st, e);
		if (rc == 0 && !st.is_dir)
			rc = ERR_NOTFOUND; /* a file of somebody else's */
		if (rc == 0)
			rc = topic_meta_read(l->env, dir, &m, e);
		if (rc == 0)
			rc = each(arg, m.name, m.partitions);
		else if (rc == ERR_NOTFOUND)
			rc = 0; /* its creation was interrupted */
		at += strlen(name) + 1;
	}
	buf_done(&x.names);
	return rc;
}

uint32_t log_topic_partitions(const struct log_topic *t)
{
	return t->meta.partitions;
}

int log_topic_set_retention(struct log_topic *t, const struct log_retention *r, struct err *e)
{
	struct log *l = t->log;
	int rc = log_writable(l, e);
	if (rc)
		return rc;
	if (r->max_age_ms < 0)
		return err_set(e, ERR_INVALID, "a retention's age is not negative");
	mutex_lock(&l->lock);
	struct topic_meta m = t->meta;
	m.retention = *r;
	rc = topic_meta_write(l->env, t->dir, &m, e);
	if (rc == 0)
		t->meta.retention = *r;
	mutex_unlock(&l->lock);
	return rc;
}

struct log_retention log_topic_retention(struct log_topic *t)
{
	mutex_lock(&t->log->lock);
	struct log_retention r = t->meta.retention;
	mutex_unlock(&t->log->lock);
	return r;
}

/* ---- opening the log ---- */

static int only_ours(void *arg, const char *name)
{
	bool *foreign = arg;
	static const char *const ours[] = { "lock", "page", "topics", META_LOG_FILE ".tmp" };
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return 0;
	*foreign = true;
	return 0;
}

/* The directory is there but has no weir-log: may a log be made in it? */
static int check_empty(struct log *l, struct err *e)
{
	bool foreign = false;
	int rc = env_list(l->env, l->dir, only_ours, &foreign, e);
	if (rc)
		return rc;
	if (foreign || !l->options.create || l->options.read_only)
		return err_set(e, ERR_INVALID, "%s is not a weir log (it has no %s)", l->dir,
			       META_LOG_FILE);
	return 0;
}

static int check_dir(struct log *l, struct err *e)
{
	struct file_stat st;
	int rc = env_stat(l->env, l->dir, &st, e);
	if (rc == ERR_NOTFOUND && l->options.create && !l->options.read_only) {
		rc = make_dir(l->env, l->dir, e);
		return rc;
	}
	if (rc == ERR_NOTFOUND)
		return err_set(e, rc, "there is no log at %s", l->dir);
	if (rc == 0 && !st.is_dir)
		return err_set(e, ERR_INVALID, "%s is not a directory", l->dir);
	if (rc)
		return rc;
	rc = log_meta_read(l->env, l->dir, &l->meta, e);
	return rc == ERR_NOTFOUND ? check_empty(l, e) : rc;
}

static int take_lock(struct log *l, struct err *e)
{
	char path[PATH_BYTES];
	int rc = path_join(path, l->dir, "lock", e);
	if (rc)
		return rc;
	if (l->options.read_only) {
		if (env_open(l->env, path, FILE_WRITE, &l->lock_file, NULL) &&
		    env_open(l->env, path, FILE_READ, &l->lock_file, NULL))
			l->lock_file = NULL;
		return 0;
	}
	rc = env_open(l->env, path, FILE_CREATE, &l->lock_file, e);
	if (rc) {
		l->lock_file = NULL;
		return rc;
	}
	rc = file_lock(l->lock_file, e);
	if (rc == 0)
		return err_set(e, ERR_LOCKED, "%s: another process or handle is writing", l->dir);
	return rc < 0 ? rc : 0;
}

static int make_log(struct log *l, struct err *e)
{
	char topics[PATH_BYTES];
	int rc = path_join(topics, l->dir, "topics", e);
	if (rc == 0)
		rc = make_dir(l->env, topics, e);
	if (rc == 0)
		rc = env_random(l->env, l->meta.id, sizeof(l->meta.id), e);
	l->meta.created_ms = env_wall_ms(l->env);
	if (rc == 0)
		rc = env_sync_dir(l->env, l->dir, e); /* no weir-log without topics */
	return rc ? rc : log_meta_write(l->env, l->dir, &l->meta, e);
}

/* The names that lead to the log must be durable before anything in it is acknowledged. They are
 * synced again at every open, since whoever made them may have died before. */
static int sync_names(struct log *l, struct err *e)
{
	char path[PATH_BYTES];
	int rc = path_join(path, l->dir, "..", e);
	if (rc == 0)
		rc = env_sync_dir(l->env, path, e);
	if (rc == 0)
		rc = env_sync_dir(l->env, l->dir, e);
	if (rc == 0)
		rc = path_join(path, l->dir, "topics", e);
	return rc ? rc : env_sync_dir(l->env, path, e);
}

static int load_topic(void *arg, const char *name, uint32_t partitions)
{
	struct lister *x = arg;
	(void)partitions;
	buf_add(&x->names, name, strlen(name) + 1);
	return 0;
}

static int load_topics(struct log *l, struct err *e)
{
	struct lister x = { .log = l, .names = BUF_INIT };
	int rc = log_topic_list(l, load_topic, &x, e);
	if (rc == 0)
		rc = buf_check(&x.names, e);
	for (size_t at = 0; rc == 0 && at < x.names.len;) {
		const char *name = (const char *)x.names.p + at;
		struct log_topic *t;
		rc = topic_add(l, name, &t, e);
		at += strlen(name) + 1;
	}
	buf_done(&x.names);
	return rc;
}

static int open_writer(struct log *l, struct err *e)
{
	/* Another process may have made the log between the check and the lock. */
	int rc = log_meta_read(l->env, l->dir, &l->meta, e);
	if (rc == ERR_NOTFOUND) {
		err_clear(e);
		rc = make_log(l, e);
	}
	if (rc == 0)
		rc = sync_names(l, e);
	while (rc == 0 && !page_session_live(l->session)) {
		rc = env_random(l->env, &l->session, sizeof(l->session), e);
		l->session &= ~UINT64_C(1);
	}
	return rc;
}

static void log_free(struct log *l)
{
	for (size_t i = 0; i < l->n_topics; i++)
		topic_free(l->topics[i]);
	mem_free(l->topics);
	if (l->page)
		file_unmap(l->page_file, l->page, PAGE_BYTES);
	file_close(l->page_file);
	file_close(l->lock_file);
	mutex_done(&l->poison_lock);
	mutex_done(&l->lock);
	mem_free(l->dir);
	mem_free(l);
}

static int check_options(struct log *l, struct err *e)
{
	struct log_options *o = &l->options;
	if (o->segment_bytes == 0)
		o->segment_bytes = SEGMENT_BYTES_DEFAULT;
	if (o->segment_bytes < SEGMENT_BYTES_MIN || o->segment_bytes > SEGMENT_BYTES_MAX)
		return err_set(e, ERR_INVALID, "segment_bytes must be %d to %" PRIu64,
			       SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
	if (o->flush_interval_ms == 0)
		o->flush_interval_ms = FLUSH_INTERVAL_DEFAULT;
	return 0;
}

int log_open(const char *dir, const struct log_options *o, struct log **out, struct err *e)
{
	struct log *l = mem_try(sizeof(*l));
	if (!l)
		return err_nomem(e);
	if (o)
		l->options = *o;
	l->env = l->options.env ? l->options.env : env_posix();
	l->opened_wall_ms = env_wall_ms(l->env);
	l->opened_mono = env_mono(l->env);
	mutex_init(&l->lock);
	mutex_init(&l->poison_lock);
	flusher_init(&l->flusher);
	watch_init(&l->watch);
	l->dir = mem_strdup(dir);
	int rc = l->dir ? check_options(l, e) : err_nomem(e);
	if (rc == 0)
		rc = check_dir(l, e);
	if (rc == 0)
		rc = take_lock(l, e);
	if (rc == 0 && !l->options.read_only)
		rc = open_writer(l, e);
	void *page = NULL;
	if (rc == 0)
		rc = page_open(l, l->dir, PAGE_BYTES, &l->page_file, &page, e);
	l->page = page;
	if (rc == 0 && !l->options.read_only)
		rc = load_topics(l, e);
	if (rc) {
		flusher_stop(l);
		watch_stop(l);
		log_free(l);
		return rc;
	}
	*out = l;
	return 0;
}

int log_close(struct log *l, struct err *e)
{
	if (!l)
		return 0;
	flusher_stop(l);
	int rc = 0;
	for (size_t i = 0; !l->options.read_only && i < l->n_topics; i++) {
		struct log_topic *t = l->topics[i];
		for (uint32_t j = 0; j < t->n_parts; j++) {
			int rc1 = partition_stop_writing(&t->parts[j], rc ? NULL : e);
			if (rc == 0)
				rc = rc1;
		}
	}
	if (l->page)
		page_wake_waiting(l->env, &l->page->waiting, &l->page->word);
	watch_stop(l);
	log_free(l);
	return rc;
}

const uint8_t *log_id(const struct log *l)
{
	return l->meta.id;
}

bool log_is_read_only(const struct log *l)
{
	return l->options.read_only;
}
