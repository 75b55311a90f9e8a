#ifndef CODEC_BENCH_BENCH_H
#define CODEC_BENCH_BENCH_H

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* How every bench program prints: one line a figure, all aligned alike. */

static inline double bench_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Three digits at least, and none that mean nothing. What follows the unit is a remark in printf's notation, or NULL. */
__attribute__((format(printf, 4, 5)))
static inline void bench_figure(const char *what, double value, const char *unit, const char *remark, ...)
{
	va_list args;

	printf("%-58s %10.*f %s", what, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, unit);
	if (remark) {
		fputs("  ", stdout);
		va_start(args, remark);
		vprintf(remark, args);
		va_end(args);
	}
	putchar('\n');
	fflush(stdout);
}

#endif
