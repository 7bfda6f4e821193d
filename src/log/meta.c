#include "log/meta.h"

#include "base/crc32c.h"
#include "log/format.h"

#include <stdio.h>

static const char log_magic[8] = { 'w', 'e', 'i', 'r', 'l', 'o', 'g', '\n' };
static const char topic_magic[8] = { 'w', 'e', 'i', 'r', 't', 'o', 'p', '\n' };
static const char trim_magic[8] = { 'w', 'e', 'i', 'r', 't', 'r', 'm', '\n' };

int path_join(char out[PATH_BYTES], const char *a, const char *b, struct err *e)
{
	int n = b ? snprintf(out, PATH_BYTES, "%s/%s", a, b) : snprintf(out, PATH_BYTES, "%s", a);
	if (n < 0 || n >= PATH_BYTES)
		return err_set(e, ERR_LIMIT, "the path %.100s... is too long", a);
	return 0;
}

int make_dir(struct env *env, const char *path, struct err *e)
{
	int rc = env_mkdir(env, path, e);
	if (rc == ERR_EXISTS)
		rc = 0;
	return rc;
}

static uint32_t block_crc(const uint8_t b[META_BYTES])
{
	static const uint8_t zero[4];
	uint32_t c = crc32c(0, b, 12);
	c = crc32c(c, zero, 4);
	return crc32c(c, b + 16, META_BYTES - 16);
}

static int block_write(struct env *env, const char *dir, const char *name, const char magic[8],
		       uint8_t b[META_BYTES], struct err *e)
{
	memcpy(b, magic, 8);
	put_le32(b + 8, LOG_FORMAT_VERSION);
	put_le32(b + 12, block_crc(b));

	char path[PATH_BYTES], temp[PATH_BYTES];
	int rc = path_join(path, dir, name, e);
	if (rc == 0)
		rc = path_join(temp, path, NULL, e);
	if (rc)
		return rc;
	size_t len = strlen(temp);
	if (len + 5 > PATH_BYTES)
		return err_set(e, ERR_LIMIT, "the path %.100s... is too long", temp);
	memcpy(temp + len, ".tmp", 5);

	struct file *f;
	rc = env_open(env, temp, FILE_CREATE, &f, e);
	if (rc)
		return rc;
	rc = file_truncate(f, 0, e);
	if (rc == 0)
		rc = file_write(f, 0, b, META_BYTES, e);
	if (rc == 0)
		rc = file_sync(f, e);
	file_close(f);
	if (rc == 0)
		rc = env_rename(env, temp, path, e);
	if (rc) {
		(void)env_unlink(env, temp, NULL);
		return rc;
	}
	return env_sync_dir(env, dir, e);
}

/* In place, where there is no space for a second file: a power loss may tear it. b is as block_write left it. */
static int block_overwrite(struct env *env, const char *dir, const char *name,
			   const uint8_t b[META_BYTES])
{
	char path[PATH_BYTES];
	struct file *f;
	int rc = path_join(path, dir, name, NULL);
	if (rc == 0)
		rc = env_open(env, path, FILE_WRITE, &f, NULL);
	if (rc)
		return rc;
	rc = file_write(f, 0, b, META_BYTES, NULL);
	if (rc == 0)
		rc = file_sync(f, NULL);
	file_close(f);
	return rc;
}

static int block_read(struct env *env, const char *dir, const char *name, const char magic[8],
		      uint8_t b[META_BYTES], struct err *e)
{
	char path[PATH_BYTES];
	int rc = path_join(path, dir, name, e);
	if (rc)
		return rc;
	struct file_stat st;
	rc = env_stat(env, path, &st, e);
	if (rc)
		return rc;
	if (!st.is_regular)
		return err_set(e, ERR_INVALID, "%s is not a regular file", path);
	struct file *f;
	rc = env_open(env, path, FILE_READ, &f, e);
	if (rc)
		return rc;
	size_t got = 0;
	rc = file_read(f, 0, b, META_BYTES, &got, e);
	file_close(f);
	if (rc)
		return rc;
	if (got < 16 || memcmp(b, magic, 8) != 0)
		return err_set(e, ERR_INVALID, "%s is not a file of a weir log", path);
	/* A newer version may have another size and checksum: its number comes first. */
	if (get_le32(b + 8) > LOG_FORMAT_VERSION)
		return err_set(e, ERR_VERSION,
			       "%s was written by a newer weir (format %u, this one knows %u)",
			       path, get_le32(b + 8), LOG_FORMAT_VERSION);
	if (got < META_BYTES || get_le32(b + 12) != block_crc(b))
		return err_set(e, ERR_CORRUPT, "%s is damaged: bad checksum over bytes 0 to %zu",
			       path, got);
	return 0;
}

int log_meta_read(struct env *env, const char *dir, struct log_meta *out, struct err *e)
{
	uint8_t b[META_BYTES];
	int rc = block_read(env, dir, META_LOG_FILE, log_magic, b, e);
	if (rc)
		return rc;
	memcpy(out->id, b + 16, 16);
	out->created_ms = (int64_t)get_le64(b + 32);
	return 0;
}

int log_meta_write(struct env *env, const char *dir, const struct log_meta *m, struct err *e)
{
	uint8_t b[META_BYTES] = { 0 };
	memcpy(b + 16, m->id, 16);
	put_le64(b + 32, (uint64_t)m->created_ms);
	return block_write(env, dir, META_LOG_FILE, log_magic, b, e);
}

int topic_meta_read(struct env *env, const char *dir, struct topic_meta *out, struct err *e)
{
	uint8_t b[META_BYTES];
	int rc = block_read(env, dir, META_TOPIC_FILE, topic_magic, b, e);
	if (rc)
		return rc;
	memcpy(out->id, b + 16, 16);
	out->partitions = get_le32(b + 32);
	out->retention.max_bytes = get_le64(b + 40);
	out->retention.max_age_ms = (int64_t)get_le64(b + 48);
	memcpy(out->name, b + 64, sizeof(out->name));
	if (out->partitions == 0 || out->partitions > LOG_PARTITIONS_MAX ||
	    out->name[LOG_TOPIC_NAME_MAX])
		return err_set(e, ERR_CORRUPT, "%s/" META_TOPIC_FILE " holds impossible values",
			       dir);
	return 0;
}

int topic_meta_write(struct env *env, const char *dir, const struct topic_meta *m, struct err *e)
{
	uint8_t b[META_BYTES] = { 0 };
	memcpy(b + 16, m->id, 16);
	put_le32(b + 32, m->partitions);
	put_le64(b + 40, m->retention.max_bytes);
	put_le64(b + 48, (uint64_t)m->retention.max_age_ms);
	memcpy(b + 64, m->name, strlen(m->name));
	return block_write(env, dir, META_TOPIC_FILE, topic_magic, b, e);
}

int trim_meta_read(struct env *env, const char *dir, struct trim_meta *out, struct err *e)
{
	uint8_t b[META_BYTES];
	int rc = block_read(env, dir, META_TRIM_FILE, trim_magic, b, e);
	if (rc)
		return rc;
	memcpy(out->topic_id, b + 16, 16);
	out->partition = get_le32(b + 32);
	out->oldest = get_le64(b + 40);
	return 0;
}

int trim_meta_write(struct env *env, const char *dir, const struct trim_meta *m, struct err *e)
{
	uint8_t b[META_BYTES] = { 0 };
	memcpy(b + 16, m->topic_id, 16);
	put_le32(b + 32, m->partition);
	put_le64(b + 40, m->oldest);
	int rc = block_write(env, dir, META_TRIM_FILE, trim_magic, b, e);
	if (rc == ERR_NOSPACE && block_overwrite(env, dir, META_TRIM_FILE, b) == 0) {
		err_clear(e);
		return 0;
	}
	return rc;
}
