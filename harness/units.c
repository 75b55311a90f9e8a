#include "harness/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit durations[] = {	/* largest first, for printing */
	{ "h", UINT64_C(3600000000000) }, { "m", UINT64_C(60000000000) }, { "s", 1000000000 },
	{ "ms", 1000000 }, { "us", 1000 }, { "ns", 1 }, { NULL, 0 }
};
static const struct unit sizes[] = {
	{ "G", 1 << 30 }, { "M", 1 << 20 }, { "k", 1 << 10 }, { "", 1 }, { "K", 1 << 10 }, { NULL, 0 }
};
static const struct unit counts[] = {
	{ "G", 1000000000 }, { "M", 1000000 }, { "k", 1000 }, { "", 1 }, { "K", 1000 }, { NULL, 0 }
};

const char units_duration_form[] = "a duration such as 500ms, 2s, 1m or 1h";
const char units_size_form[] = "a size such as 4096, 10k or 64M";
const char units_count_form[] = "a number such as 64, 10k or 1M";
const char units_real_form[] = "a number such as 2 or 1.5";

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * DIGITS [. DIGITS] UNIT, as value = whole * scale + fraction. Integers all the way: 0.1s is 100ms exactly,
 * and more digits than the unit has are refused, not rounded.
 */
static bool read_quantity(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t whole = 0, fraction = 0, divisor = 1, part;

	if (!is_digit(*text))
		return false;
	for (; is_digit(*text); text++)
		if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, (uint64_t)(*text - '0'), &whole))
			return false;
	if (*text == '.') {
		if (!is_digit(*++text))
			return false;
		for (; is_digit(*text); text++, divisor *= 10) {
			if (divisor > UINT64_C(100000000000000))
				return false;
			fraction = 10 * fraction + (uint64_t)(*text - '0');
		}
	}
	while (units->name && strcmp(units->name, text) != 0)
		units++;
	if (!units->name)
		return false;
	if (__builtin_mul_overflow(fraction, units->scale, &part) || part % divisor)
		return false;
	return !__builtin_mul_overflow(whole, units->scale, &whole) && !__builtin_add_overflow(whole, part / divisor, value);
}

bool units_duration(const char *text, uint64_t *ns)
{
	if (strcmp(text, "0") == 0) {
		*ns = 0;
		return true;
	}
	return read_quantity(text, durations, ns);
}

bool units_size(const char *text, uint64_t *bytes)
{
	return read_quantity(text, sizes, bytes);
}

static bool read_hex(const char *text, uint64_t *value)
{
	char *end;
	unsigned long long v;

	if (strspn(text, "0123456789abcdefABCDEF") != strlen(text) || !*text)
		return false;
	errno = 0;
	v = strtoull(text, &end, 16);
	if (errno)
		return false;
	*value = v;
	return true;
}

bool units_count(const char *text, uint64_t *count)
{
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return read_hex(text + 2, count);
	return read_quantity(text, counts, count);
}

bool units_real(const char *text, double *value)
{
	size_t len = strspn(text, "0123456789.");
	char *end;
	double v;

	if (!is_digit(*text) || text[len])
		return false;
	v = strtod(text, &end);
	if (*end || !isfinite(v))
		return false;
	*value = v;
	return true;
}

static char *print(uint64_t value, const struct unit *units, char *buf, size_t cap)
{
	while (value % units->scale)
		units++;
	snprintf(buf, cap, "%" PRIu64 "%s", value / units->scale, units->name);
	return buf;
}

char *units_print_duration(uint64_t ns, char *buf, size_t cap)
{
	if (!ns)
		snprintf(buf, cap, "0");
	else
		print(ns, durations, buf, cap);
	return buf;
}

char *units_print_size(uint64_t bytes, char *buf, size_t cap)
{
	return print(bytes, bytes ? sizes : sizes + 3, buf, cap);
}

char *units_print_count(uint64_t count, char *buf, size_t cap)
{
	return print(count, count ? counts : counts + 3, buf, cap);
}
