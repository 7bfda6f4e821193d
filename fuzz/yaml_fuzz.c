/* yaml_fuzz.c: whatever text comes as a configuration, reading gives settings or a typed error with words; and what is
 * translated from go-dcp's is YAML again. The first byte chooses which. */
#include "app/conf_couchbase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 does not free what it used to join a scalar of many parts (fy_token_get_text). */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so";
}

static const char *variable(void *arg, const char *name)
{
	(void)arg;
	return name[0] == 'S' ? "${S}, [x]: \"" : NULL;
}

static void check(int rc, const struct err *e)
{
	ASSERT(rc == ERR_FORMAT || rc == ERR_INVALID || rc == ERR_LIMIT);
	ASSERT(e->code == rc && e->msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	if (size == 0)
		return 0;
	struct slice text = slice_of(data + 1, size - 1);
	if (data[0] & 1) {
		struct dcp_config c;
		int rc = conf_couchbase_read(text, "w.yml", variable, NULL, &c, &e);
		if (rc < 0)
			check(rc, &e);
		else
			dcp_config_done(&c);
		return 0;
	}
	AUTO(buf) struct buf out = BUF_INIT;
	int rc = conf_couchbase_import(text, "g.yml", &out, &e);
	if (rc < 0) {
		check(rc, &e);
		return 0;
	}
	struct conf *c;
	rc = conf_parse(buf_slice(&out), "w.yml", NULL, NULL, &c, &e);
	ASSERT(rc == 0);
	conf_free(c);
	return 0;
}
