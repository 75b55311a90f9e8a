#include "harness/load/wording.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { ROOM = 40, ROOMS = 16 };

static char *room(void)
{
	static _Thread_local char rooms[ROOMS][ROOM];
	static _Thread_local unsigned turn;

	return rooms[turn++ % ROOMS];
}

const char *say_count(uint64_t n)
{
	char *text = room(), digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), out = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = 0;
	return text;
}

const char *say_rate(double per_s)
{
	char *text;

	if (!(per_s > 0))
		return "0";
	if (per_s >= 9.95)
		return say_count(per_s < 1e18 ? (uint64_t)(per_s + 0.5) : (uint64_t)1e18);
	text = room();
	snprintf(text, ROOM, "%.1f", per_s);
	return text;
}

/* Three digits, and the unit: where rounding makes 1000 of it, the next one is as good, and shorter. */
static const char *scaled(double value, const char *const *units, const double *steps, size_t n)
{
	char *text = room();
	size_t i = 0;

	while (i + 1 < n && value >= 0.9995 * steps[i])
		value /= steps[i++];
	snprintf(text, ROOM, "%.*f %s", i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, units[i]);
	return text;
}

const char *say_ns(uint64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	static const double steps[] = { 1000, 1000, 1000 };
	double value = (double)ns;

	if (!ns)
		return "0";
	if (value >= 120e9) {		/* not from 60 s on: 90 s say more than 1.5 min */
		char *text = room();
		bool hours = value >= 120 * 60e9;

		snprintf(text, ROOM, "%.1f %s", value / (hours ? 3600e9 : 60e9), hours ? "h" : "min");
		return text;
	}
	return scaled(value, units, steps, 4);
}

const char *say_bytes(uint64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	static const double steps[] = { 1000, 1000, 1000, 1000, 1000 };

	return scaled((double)bytes, units, steps, 6);
}

const char *say_share(double share)
{
	double percent = share * 100;
	char *text = room();

	if (!(percent > 0))
		return "0 %";
	if (percent >= 99.95)
		snprintf(text, ROOM, percent == 100 ? "100 %%" : "%.2f %%", percent < 100 ? (percent < 99.99 ? percent : 99.99) : percent);
	else
		snprintf(text, ROOM, "%.*f %%", percent < 9.995 ? 2 : 1, percent);
	return text;
}

/* "5:MQTT-3.3.4-9: " of what a violation is told with. */
static size_t clause_len(const char *text)
{
	const char *end = strstr(text, ": ");

	return end ? (size_t)(end - text) + 2 : 0;
}

bool is_same_reason(enum counter counter, const char *a, const char *b)
{
	size_t len = counter == COUNT_violations ? clause_len(a) : 0;

	return len ? !strncmp(a, b, len) : !strcmp(a, b);
}
