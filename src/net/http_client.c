#include "net/http_client.h"

#include "base/mem.h"
#include "net/tls.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>

struct http_client {
	CURL *curl;
	char *ca, *cert, *key;
	bool insecure;
	struct buf *body; /* of the request that runs */
	bool too_long;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int copy(const char *s, char **out, struct err *e)
{
	if (!s)
		return 0;
	*out = mem_strdup(s);
	return *out ? 0 : err_nomem(e);
}

int http_client_new(const struct tls_options *tls, struct http_client **out, struct err *e)
{
	(void)pthread_once(&once, init_library);
	struct http_client *c = mem_try(sizeof(*c));
	if (!c)
		return err_nomem(e);
	c->curl = curl_easy_init();
	int rc = c->curl ? 0 : err_nomem(e);
	if (rc == 0 && tls) {
		c->insecure = tls->insecure;
		rc = copy(tls->ca_file, &c->ca, e);
		if (rc == 0)
			rc = copy(tls->cert_file, &c->cert, e);
		if (rc == 0)
			rc = copy(tls->key_file, &c->key, e);
	}
	if (rc < 0) {
		http_client_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	if (c->curl)
		curl_easy_cleanup(c->curl);
	mem_free(c->ca);
	mem_free(c->cert);
	mem_free(c->key);
	mem_free(c);
}

static size_t take(char *p, size_t size, size_t n, void *arg)
{
	struct http_client *c = arg;
	if (c->body->len + size * n > HTTP_BODY_MAX) {
		c->too_long = true;
		return 0;
	}
	buf_add(c->body, p, size * n);
	return c->body->failed ? 0 : size * n;
}

static void set_tls(struct http_client *c)
{
	CURL *h = c->curl;
	curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, c->insecure ? 0L : 1L);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, c->insecure ? 0L : 2L);
	if (c->ca)
		curl_easy_setopt(h, CURLOPT_CAINFO, c->ca);
	if (c->cert) {
		curl_easy_setopt(h, CURLOPT_SSLCERT, c->cert);
		curl_easy_setopt(h, CURLOPT_SSLKEY, c->key ? c->key : c->cert);
	}
}

static void set_request(struct http_client *c, const struct http_request *r)
{
	CURL *h = c->curl;
	curl_easy_setopt(h, CURLOPT_URL, r->url);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)MAX(r->timeout / NSEC_PER_MS, 1));
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
	if (r->body.len) {
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, (const char *)r->body.p);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
	}
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, r->method);
}

static int add_header(struct curl_slist **list, const char *name, const char *value, struct err *e)
{
	AUTO(buf) struct buf line = BUF_INIT;
	buf_add_fmt(&line, "%s: %s", name, value);
	int rc = buf_check(&line, e);
	struct curl_slist *longer = rc < 0 ? NULL : curl_slist_append(*list, buf_cstr(&line));
	if (!longer)
		return err_nomem(e);
	*list = longer;
	return 0;
}

static int failed(const struct http_client *c, const struct http_request *r, CURLcode code,
		  const char *detail, struct err *e)
{
	const char *host = strstr(r->url, "://");
	host = host ? host + 3 : r->url;
	int len = (int)strcspn(host, "/");
	if (c->too_long)
		return err_set(e, ERR_LIMIT, "%s %.*s: the answer is longer than %u bytes",
			       r->method, len, host, HTTP_BODY_MAX);
	if (code == CURLE_OUT_OF_MEMORY || c->body->failed)
		return err_nomem(e);
	return err_set(e, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NET, "%s %.*s: %s",
		       r->method, len, host, detail[0] ? detail : curl_easy_strerror(code));
}

int http_client_do(struct http_client *c, const struct http_request *r, int *status,
		   struct buf *body, struct err *e)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	size_t before = body->len;
	AUTO(buf) struct buf bearer = BUF_INIT;
	int rc = 0;
	c->body = body;
	c->too_long = false;
	curl_easy_reset(c->curl); /* connections stay */
	set_request(c, r);
	set_tls(c);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, detail);
	if (r->bearer) {
		buf_add_fmt(&bearer, "Bearer %s", r->bearer);
		rc = add_header(&headers, "Authorization", buf_cstr(&bearer), e);
	}
	if (rc == 0 && r->content_type)
		rc = add_header(&headers, "Content-Type", r->content_type, e);
	if (rc == 0) {
		curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
		CURLcode code = curl_easy_perform(c->curl);
		long answer = 0;
		curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &answer);
		*status = (int)answer;
		if (code != CURLE_OK)
			rc = failed(c, r, code, detail, e);
	}
	curl_slist_free_all(headers);
	c->body = NULL;
	if (rc < 0)
		body->len = before;
	return rc;
}
