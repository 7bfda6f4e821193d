/* mend.c: description files written anew from what the segments say of themselves.
 *
 * A log whose weir-log or topic file is damaged cannot be opened, not even to be repaired. But every segment's header
 * names its log and its topic, the folders' names tell a topic's name and partitions, and so nothing is missing but the
 * retention, which then is none, and the time of creation.
 */
#include "log/check.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

struct mend {
	struct env *env;
	const char *dir;
	int (*each)(void *arg, const struct log_damage *d);
	void *arg;
	uint64_t damages;
	struct buf names; /* of the folders in topics/, each with its NUL */
	bool have_log_id;
	uint8_t log_id[16];
};

static int collect(void *arg, const char *name)
{
	struct mend *m = arg;
	if (name[0] != '.' && strlen(name) <= LOG_TOPIC_NAME_MAX)
		buf_add(&m->names, name, strlen(name) + 1);
	return 0;
}

static bool header_of(struct env *env, const char *path, struct segment_header *out)
{
	struct file *f;
	uint8_t b[SEGMENT_HEADER_BYTES];
	size_t got = 0;
	if (env_open(env, path, FILE_READ, &f, NULL))
		return false;
	int rc = file_read(f, 0, b, sizeof(b), &got, NULL);
	file_close(f);
	return rc == 0 && got == sizeof(b) &&
	       (header_decode(b, HEADER_SEGMENT, out) == 1 ||
		header_decode(b + SEGMENT_COPY_BYTES, HEADER_SEGMENT, out) == 1);
}

/* Any segment of the partition that says what it is. */
static bool find_header(struct mend *m, char *dir, struct segment_header *out)
{
	struct place pl = { .env = m->env, .dir = dir };
	uint64_t *bases;
	size_t n;
	if (segment_list(&pl, "seg", &bases, &n, NULL))
		return false;
	bool found = false;
	for (size_t i = 0; i < n && !found; i++) {
		char path[PATH_BYTES];
		found = segment_path(&pl, bases[i], "seg", path, NULL) == 0 &&
			header_of(m->env, path, out);
	}
	mem_free(bases);
	return found;
}

static int report(struct mend *m, const char *topic, const char *path, const char *what)
{
	struct log_damage d = { .topic = topic, .file = path, .to_byte = META_BYTES, .what = what };
	m->damages++;
	return m->each ? m->each(m->arg, &d) : 0;
}

static int mend_topic(struct mend *m, const char *name, struct err *e)
{
	char dir[PATH_BYTES], part[PATH_BYTES], number[16], path[PATH_BYTES];
	struct topic_meta meta;
	struct segment_header h;
	struct file_stat st;
	bool found = false;
	int n = snprintf(dir, sizeof(dir), "%s/topics/%s", m->dir, name);
	if (n < 0 || (size_t)n >= sizeof(dir) || env_stat(m->env, dir, &st, NULL) || !st.is_dir)
		return 0;
	int rc = topic_meta_read(m->env, dir, &meta, e);
	struct topic_meta fresh = { .partitions = 0 };
	for (; fresh.partitions < LOG_PARTITIONS_MAX; fresh.partitions++) {
		snprintf(number, sizeof(number), "%" PRIu32, fresh.partitions);
		int rc1 = path_join(part, dir, number, e);
		if (rc1)
			return rc1;
		if (env_stat(m->env, part, &st, NULL) || !st.is_dir)
			break;
		found = found || find_header(m, part, &h);
	}
	if (found && !m->have_log_id) {
		memcpy(m->log_id, h.log_id, 16);
		m->have_log_id = true;
	}
	bool damaged = rc == ERR_CORRUPT || rc == ERR_INVALID || (rc == ERR_NOTFOUND && found);
	if (!damaged || !fresh.partitions) {
		err_clear(e);
		return rc == ERR_NOTFOUND || damaged ? 0 : rc;
	}
	err_clear(e);
	rc = path_join(path, dir, META_TOPIC_FILE, e);
	if (rc == 0)
		rc = report(m, name, path, "the topic's description is damaged");
	if (rc)
		return rc;
	snprintf(fresh.name, sizeof(fresh.name), "%s", name);
	if (found)
		memcpy(fresh.id, h.topic_id, 16);
	else
		rc = env_random(m->env, fresh.id, sizeof(fresh.id), e);
	return rc ? rc : topic_meta_write(m->env, dir, &fresh, e);
}

static int mend_log(struct mend *m, struct err *e)
{
	char path[PATH_BYTES];
	struct log_meta meta;
	int rc = log_meta_read(m->env, m->dir, &meta, e);
	if ((rc != ERR_CORRUPT && rc != ERR_INVALID && rc != ERR_NOTFOUND) || !m->have_log_id) {
		err_clear(e); /* opening it tells the same */
		return 0;
	}
	err_clear(e);
	rc = path_join(path, m->dir, META_LOG_FILE, e);
	if (rc == 0)
		rc = report(m, "", path, "the log's description is damaged");
	if (rc)
		return rc;
	meta = (struct log_meta){ .created_ms = env_wall_ms(m->env) };
	memcpy(meta.id, m->log_id, 16);
	return log_meta_write(m->env, m->dir, &meta, e);
}

int mend_descriptions(struct env *env, const char *dir,
		      int (*each)(void *arg, const struct log_damage *d), void *arg,
		      uint64_t *damages, struct err *e)
{
	struct mend m = { .env = env, .dir = dir, .each = each, .arg = arg, .names = BUF_INIT };
	char topics[PATH_BYTES];
	int rc = path_join(topics, dir, "topics", e);
	if (rc == 0)
		rc = env_list(env, topics, collect, &m, e);
	if (rc == 0)
		rc = buf_check(&m.names, e);
	for (size_t at = 0; rc == 0 && at < m.names.len;) {
		const char *name = (const char *)m.names.p + at;
		rc = mend_topic(&m, name, e);
		at += strlen(name) + 1;
	}
	if (rc == 0)
		rc = mend_log(&m, e);
	buf_done(&m.names);
	*damages = m.damages;
	return rc;
}
