#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void bug_(const char *what, const char *file, int line)
{
	fprintf(stderr, "weir: bug: %s (%s:%d); please report it\n", what, file, line);
	abort();
}

const char *err_name(int code)
{
	switch (code) {
	case 0: return "OK";
#define X(n, name, text) \
	case ERR_##name: return #name;
		ERR_MAP(X)
#undef X
	}
	return "UNKNOWN";
}

const char *err_text(int code)
{
	switch (code) {
	case 0: return "no error";
#define X(n, name, text) \
	case ERR_##name: return text;
		ERR_MAP(X)
#undef X
	}
	return "unknown error";
}

void err_clear(struct err *e)
{
	if (!e)
		return;
	e->code = 0;
	e->number = 0;
	e->oldest = e->newest = 0;
	e->msg[0] = '\0';
}

static void raise_(struct err *e, int code, int number)
{
	e->code = code;
	e->number = number;
	e->oldest = e->newest = 0;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	ASSERT(code < 0);
	if (!e)
		return code;
	raise_(e, code, 0);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return code;
}

int err_number(struct err *e, int code, int number, const char *fmt, ...)
{
	ASSERT(code < 0);
	if (!e)
		return code;
	raise_(e, code, number);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return code;
}

int err_in(struct err *e, int code, const char *fmt, ...)
{
	ASSERT(code < 0);
	if (!e)
		return code;
	char cause[ERR_MSG_MAX];
	if (e->code == 0) {
		raise_(e, code, 0);
		(void)snprintf(cause, sizeof(cause), "%s", err_text(code));
	} else {
		memcpy(cause, e->msg, sizeof(cause));
		cause[sizeof(cause) - 1] = '\0';
	}
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(e->msg) - 3)
		return code;
	size_t left = sizeof(e->msg) - (size_t)n;
	(void)snprintf(e->msg + n, left, ": %.*s", (int)(left - 3), cause);
	return code;
}

static int code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return ERR_NOSPACE;
	case ENOMEM: return ERR_NOMEM;
	case ENOENT: return ERR_NOTFOUND;
	case EACCES:
	case EPERM:
	case EROFS: return ERR_ACCESS;
	case EEXIST: return ERR_EXISTS;
	case EINTR: return ERR_INTERRUPTED;
	}
	return ERR_IO;
}

int err_errno(struct err *e, int errnum, const char *fmt, ...)
{
	int code = code_of_errno(errnum);
	if (!e)
		return code;
	raise_(e, code, 0);
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(e->msg) - 3)
		return code;
	char text[128];
	const char *s = strerror_r(errnum, text, sizeof(text));
	(void)snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", s);
	return code;
}

int err_nomem(struct err *e)
{
	if (e) {
		raise_(e, ERR_NOMEM, 0);
		static const char text[] = "out of memory";
		memcpy(e->msg, text, sizeof(text));
	}
	return ERR_NOMEM;
}
