/* verify.c: looks at everything a log consists of and reports what is damaged. Changes nothing, takes no lock. */
#include "log/check.h"

#include "base/mem.h"

struct verify {
	struct log *log;
	struct log_topic *topic;
	struct partition *p;
	int (*each)(void *arg, const struct log_damage *d);
	void *arg;
	struct log_report *out;
	struct buf names;
};

static int report(struct verify *v, const char *topic, const char *file, const struct damage *d)
{
	struct log_damage x = {
		.topic = topic,
		.file = file,
		.partition = v->p ? v->p->place.partition : 0,
		.from_byte = d->from_byte,
		.to_byte = d->to_byte,
		.from_offset = d->from,
		.to_offset = d->to,
		.what = d->what,
	};
	return v->each ? v->each(v->arg, &x) : 0;
}

static int report_segment(void *arg, const struct damage *d)
{
	struct verify *v = arg;
	char path[PATH_BYTES];
	int rc = segment_path(&v->p->place, d->base, d->kind == DAMAGE_INDEX ? "idx" : "seg", path,
			      NULL);
	return rc ? rc : report(v, v->topic->meta.name, path, d);
}

static int report_meta(struct verify *v, const char *name, const char *dir, const char *file,
		       const char *what)
{
	char path[PATH_BYTES];
	struct damage d = { .to_byte = META_BYTES, .what = what };
	v->out->damages++;
	int rc = path_join(path, dir, file, NULL);
	return rc ? rc : report(v, name, path, &d);
}

static int verify_partition(struct verify *v, struct err *e)
{
	struct trim_meta mark;
	int rc = trim_meta_read(v->log->env, v->p->place.dir, &mark, e);
	bool foreign = rc == 0 && (memcmp(mark.topic_id, v->p->place.topic_id, 16) != 0 ||
				   mark.partition != v->p->place.partition);
	if (rc == ERR_CORRUPT || rc == ERR_INVALID || foreign)
		rc = report_meta(v, v->topic->meta.name, v->p->place.dir, META_TRIM_FILE,
				 "the low-water mark is damaged");
	else if (rc == ERR_NOTFOUND)
		rc = 0;
	if (rc)
		return rc;
	err_clear(e);
	return check_partition(v->p, report_segment, v, v->out, e);
}

static int verify_topic(struct verify *v, const char *name, struct err *e)
{
	char topics[PATH_BYTES], dir[PATH_BYTES];
	int rc = log_topic_open(v->log, name, &v->topic, e);
	if (rc == ERR_NOTFOUND) {
		err_clear(e); /* its creation was interrupted */
		return 0;
	}
	if (rc == ERR_CORRUPT || rc == ERR_INVALID) {
		rc = path_join(topics, v->log->dir, "topics", e);
		if (rc == 0)
			rc = path_join(dir, topics, name, e);
		if (rc == 0)
			rc = report_meta(v, name, dir, META_TOPIC_FILE,
					 "the topic's description is damaged");
		err_clear(e);
		return rc;
	}
	if (rc)
		return rc;
	v->out->topics++;
	for (uint32_t i = 0; rc == 0 && i < v->topic->n_parts; i++) {
		v->p = &v->topic->parts[i];
		rc = verify_partition(v, e);
	}
	v->p = NULL;
	return rc;
}

static int collect(void *arg, const char *name)
{
	struct verify *v = arg;
	if (name[0] != '.')
		buf_add(&v->names, name, strlen(name) + 1);
	return 0;
}

static int verify_topics(struct verify *v, struct err *e)
{
	char topics[PATH_BYTES];
	int rc = path_join(topics, v->log->dir, "topics", e);
	if (rc == 0)
		rc = env_list(v->log->env, topics, collect, v, e);
	if (rc == 0)
		rc = buf_check(&v->names, e);
	for (size_t at = 0; rc == 0 && at < v->names.len;) {
		const char *name = (const char *)v->names.p + at;
		rc = verify_topic(v, name, e);
		at += strlen(name) + 1;
	}
	return rc;
}

int log_verify(const char *dir, const struct log_options *o,
	       int (*each)(void *arg, const struct log_damage *d), void *arg,
	       struct log_report *out, struct err *e)
{
	struct log_report own;
	out = out ? out : &own;
	*out = (struct log_report){ 0 };
	struct log_options options = { 0 };
	if (o)
		options = *o;
	options.read_only = true;
	struct verify v = { .each = each, .arg = arg, .out = out, .names = BUF_INIT };
	int rc = log_open(dir, &options, &v.log, e);
	if (rc)
		return rc;
	rc = verify_topics(&v, e);
	buf_done(&v.names);
	(void)log_close(v.log, NULL);
	return rc ? rc : out->damages > 0;
}
