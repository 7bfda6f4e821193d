#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_EVERY_MS = 100, PROGRESS_FIRST_MS = 300 };

void say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("weir: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int64_t mono_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void progress_start(struct progress *p, const char *verb, const char *unit, uint64_t total_bytes)
{
	*p = (struct progress){ .verb = verb, .unit = unit, .total_bytes = total_bytes };
	p->on = isatty(STDERR_FILENO);
	p->started_ms = p->drawn_ms = mono_ms();
}

static void bar(uint64_t done, uint64_t total)
{
	int filled = (int)(done * 24 / total);
	fputc('[', stderr);
	for (int i = 0; i < 24; i++)
		fputc(i < filled ? '#' : '.', stderr);
	fputs("] ", stderr);
}

void progress_step(struct progress *p, uint64_t done_bytes, uint64_t done_units)
{
	if (!p->on)
		return;
	int64_t now = mono_ms();
	if (now - p->started_ms < PROGRESS_FIRST_MS || now - p->drawn_ms < PROGRESS_EVERY_MS)
		return;
	p->drawn_ms = now;
	p->drawn = true;
	double seconds = (double)(now - p->started_ms) / 1000;
	fprintf(stderr, "\r\033[K%s ", p->verb);
	if (p->total_bytes) {
		uint64_t done = done_bytes < p->total_bytes ? done_bytes : p->total_bytes;
		bar(done, p->total_bytes);
		fprintf(stderr, "%3d%%  ", (int)(done * 100 / p->total_bytes));
	}
	fprintf(stderr, "%" PRIu64 " %s, %.0f/s", done_units, p->unit,
		(double)done_units / seconds);
	if (p->total_bytes && done_bytes && done_bytes < p->total_bytes) {
		double left = seconds * (double)(p->total_bytes - done_bytes) / (double)done_bytes;
		fprintf(stderr, ", %.0f s left", left + 0.5);
	}
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}

int out_finish(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	say("cannot write to standard output: %s", strerror(errno));
	return EXIT_FAILED;
}
