#include "harness/load/shard.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/console.h"
#include "harness/units.h"

static bool wrong(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct fault *fault, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ 0 };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* ---- which part ---- */

/* text[0..len) in decimal, and nothing else. */
static bool read_number(const char *text, size_t len, uint64_t *value)
{
	*value = 0;
	if (!len || len > 12)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		*value = *value * 10 + (uint64_t)(text[i] - '0');
	}
	return true;
}

static bool from_option(const char *option, struct shard *shard, struct fault *fault)
{
	const char *slash = strchr(option, '/');
	uint64_t number, n;

	if (!slash || !read_number(option, (size_t)(slash - option), &number) || !read_number(slash + 1, strlen(slash + 1), &n))
		return wrong(fault, "--shard %s: expected I/N, as in 0/4: which part, from 0, of how many", console_safe(option));
	if (!n || n > MAX_SHARDS || number >= n)
		return wrong(fault, "--shard %s: expected I/N with I from 0 to N - 1, N at most %d", console_safe(option), MAX_SHARDS);
	*shard = (struct shard){ (unsigned)number, (unsigned)n, "--shard" };
	return true;
}

/* Who starts many of us, and what he tells each. */
struct starter {
	const char *number, *n;		/* variables; n NULL: he does not say of how many */
	const char *first, *step;	/* the first one's number, and the difference of two; NULL: 0 and 1 */
	unsigned base;
	bool waits;			/* without how many it is no shard at all */
};

static const struct starter starters[] = {
	{ "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", NULL, NULL, 0, false },
	{ "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", 0, false },
	{ "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", NULL, NULL, 0, false },
	{ "PARALLEL_SEQ", NULL, NULL, NULL, 1, true },
};

/* The variable's number; missing: `otherwise`. */
static bool variable(char *(*get)(const char *name), const char *name, uint64_t otherwise, uint64_t *value, struct fault *fault)
{
	const char *text = name ? get(name) : NULL;

	*value = otherwise;
	if (!text || !*text || read_number(text, strlen(text), value))
		return true;
	return wrong(fault, "%s=%s in the environment: expected a number; --shard I/N says it otherwise", name, console_safe(text));
}

static bool from_starter(const struct starter *s, uint64_t n_given, char *(*get)(const char *name), struct shard *shard, struct fault *fault)
{
	uint64_t number, n, first, step;

	if (!variable(get, s->number, 0, &number, fault) || !variable(get, s->n, 0, &n, fault) ||
	    !variable(get, s->first, s->base, &first, fault) || !variable(get, s->step, 1, &step, fault))
		return false;
	n = n_given ? n_given : n;
	if (!n && s->waits)
		return true;
	if (!n)
		return wrong(fault, "%s says which shard this is, but not of how many: give --shards N%s%s; or --shard 0/1 for the whole workload",
		             s->number, s->n ? ", or set " : "", s->n ? s->n : "");
	number = number >= first ? (number - first) / (step ? step : 1) : n;
	if (number >= n || n > MAX_SHARDS)
		return wrong(fault, "%s=%s in the environment is none of %llu shards: --shard I/N says it otherwise", s->number,
		             console_safe(get(s->number)), (unsigned long long)n);
	*shard = (struct shard){ (unsigned)number, (unsigned)n, s->number };
	return true;
}

bool shard_choose(const char *option, uint64_t n_given, char *(*get)(const char *name), struct shard *shard, struct fault *fault)
{
	*shard = (struct shard){ 0, 1, NULL };
	if (option && n_given)
		return wrong(fault, "--shard says of how many; give no --shards with it");
	if (option)
		return from_option(option, shard, fault);
	for (size_t i = 0; i < sizeof(starters) / sizeof(*starters); i++) {
		const char *text = get(starters[i].number);

		if (text && *text)
			return from_starter(&starters[i], n_given, get, shard, fault);
	}
	if (n_given > 1)
		return wrong(fault, "--shards %llu: which of them is this? Nobody says so in the environment; give --shard I/N",
		             (unsigned long long)n_given);
	return true;
}

/* ---- when ---- */

/* ".25" at *text, in nanoseconds; none is 0. Moves behind it. */
static uint64_t fraction(const char **text)
{
	uint64_t ns = 0, digit = 100000000;

	if (**text != '.' || !isdigit((unsigned char)(*text)[1]))
		return 0;
	for (++*text; isdigit((unsigned char)**text); ++*text, digit /= 10)
		ns += (uint64_t)(**text - '0') * digit;
	return ns;
}

/* "Z", "+01:00", "-0330", and nothing behind it: seconds east of UTC. */
static bool read_zone(const char *text, long *east)
{
	unsigned hours, minutes;
	int len = 0;

	*east = 0;
	if (!strcmp(text, "Z") || !strcmp(text, "z"))
		return true;
	if (*text != '+' && *text != '-')
		return false;
	if ((sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &len) != 2 || len != 5) &&
	    (sscanf(text + 1, "%2u%2u%n", &hours, &minutes, &len) != 2 || len != 4))
		return false;
	if (text[1 + len] || hours > 23 || minutes > 59)
		return false;
	*east = (long)(hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
	return true;
}

/* 1: read; 0: no date at all; -1: one without a zone. */
static int read_date(const char *text, uint64_t *unix_ns)
{
	struct tm tm = { 0 };
	long east;
	const char *rest = strptime(text, "%Y-%m-%d", &tm);

	if (!rest || (*rest != 'T' && *rest != 't' && *rest != ' ') || !(rest = strptime(rest + 1, "%H:%M:%S", &tm)))
		return 0;
	uint64_t ns = fraction(&rest);
	if (!*rest)
		return -1;
	if (!read_zone(rest, &east))
		return 0;
	time_t seconds = timegm(&tm) - east;
	if (seconds < 0 || seconds > INT64_C(9000000000))
		return 0;
	*unix_ns = (uint64_t)seconds * 1000000000u + ns;
	return 1;
}

static bool read_seconds(const char *text, uint64_t *unix_ns)
{
	const char *end = text + strspn(text, "0123456789");
	uint64_t seconds;

	if (!read_number(text, (size_t)(end - text), &seconds) || seconds > UINT64_C(9000000000))
		return false;
	*unix_ns = seconds * 1000000000u + fraction(&end);
	return !*end;
}

bool start_at_parse(const char *text, uint64_t now_unix_ns, uint64_t *unix_ns, struct fault *fault)
{
	static const char form[] = "expected seconds since 1970, a time such as 2026-11-21T18:33:57Z, or +10s";
	int date;

	if (*text == '+') {
		if (!units_duration(text + 1, unix_ns))
			return wrong(fault, "--start-at %s: %s", console_safe(text), form);
		*unix_ns += now_unix_ns;
		return true;
	}
	if (!read_seconds(text, unix_ns)) {
		if ((date = read_date(text, unix_ns)) < 0)
			return wrong(fault, "--start-at %s: says no zone; add Z for UTC, or +01:00", console_safe(text));
		if (!date)
			return wrong(fault, "--start-at %s: %s", console_safe(text), form);
	}
	if (*unix_ns < now_unix_ns)
		return wrong(fault, "--start-at %s: that was %.1f s ago", console_safe(text), (double)(now_unix_ns - *unix_ns) / 1e9);
	return true;
}
