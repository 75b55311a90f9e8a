#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/load/link.h"

enum { MAX_SOURCES = 65536 };

struct sources {
	struct source *list;
	size_t n, cap;
};

static bool refuse(struct fault *fault, const char *text, size_t len, const char *why)
{
	*fault = (struct fault){ 0 };
	snprintf(fault->text, sizeof(fault->text), "source address \"%.*s\": %s", (int)(len < 100 ? len : 100), text, why);
	return false;
}

/* One address, a number. */
static bool number(const char *text, size_t len, struct source *source)
{
	char copy[INET6_ADDRSTRLEN];

	if (!len || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*source = (struct source){ 0 };
	if (inet_pton(AF_INET, copy, &source->at.v4.sin_addr) == 1) {
		source->at.v4.sin_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, copy, &source->at.v6.sin6_addr) == 1) {
		source->at.v6.sin6_family = AF_INET6;
		return true;
	}
	return false;
}

/* The part that ranges may differ in: all of IPv4's, the last 64 bits of IPv6's. */
static uint64_t low_of(const struct source *source)
{
	uint64_t low = 0;

	if (source->at.any.sa_family == AF_INET)
		return ntohl(source->at.v4.sin_addr.s_addr);
	for (int i = 8; i < 16; i++)
		low = low << 8 | source->at.v6.sin6_addr.s6_addr[i];
	return low;
}

static void set_low(struct source *source, uint64_t low)
{
	if (source->at.any.sa_family == AF_INET) {
		source->at.v4.sin_addr.s_addr = htonl((uint32_t)low);
		return;
	}
	for (int i = 15; i >= 8; i--, low >>= 8)
		source->at.v6.sin6_addr.s6_addr[i] = (uint8_t)low;
}

static bool add(struct sources *s, struct source first, uint64_t n)
{
	uint64_t low = low_of(&first);

	if (n > MAX_SOURCES - s->n)
		return false;
	if (s->n + n > s->cap) {
		size_t cap = s->n + n < 2 * s->cap ? 2 * s->cap : s->n + n;
		struct source *list = realloc(s->list, cap * sizeof(*list));

		if (!list)
			return false;
		s->list = list;
		s->cap = cap;
	}
	for (uint64_t i = 0; i < n; i++) {
		set_low(&first, low + i);
		s->list[s->n++] = first;
	}
	return true;
}

/*
 * ADDRESS/BITS: all of the network but, in IPv4 and where it has more than two, its first (the network itself) and
 * last (broadcast). How many, from *first; 0: refused.
 */
static uint64_t network(const char *text, size_t len, const char *slash, struct source *first, struct fault *fault)
{
	unsigned width, bits = 0;
	const char *digit = slash + 1;

	if (!number(text, (size_t)(slash - text), first)) {
		refuse(fault, text, len, "expected a number in front of the slash, as in 10.0.1.0/28");
		return 0;
	}
	width = first->at.any.sa_family == AF_INET ? 32 : 128;
	for (; digit < text + len && *digit >= '0' && *digit <= '9' && bits <= width; digit++)
		bits = 10 * bits + (unsigned)(*digit - '0');
	if (digit == slash + 1 || digit < text + len || bits > width) {
		refuse(fault, text, len, width == 32 ? "expected a length of 0 to 32 behind the slash" : "expected a length of 0 to 128 behind the slash");
		return 0;
	}
	if (width - bits > 16) {
		refuse(fault, text, len, width == 32 ? "more than 65536 addresses: /16 is the largest" : "more than 65536 addresses: /112 is the largest");
		return 0;
	}

	uint64_t n = UINT64_C(1) << (width - bits);
	if (low_of(first) & (n - 1)) {
		refuse(fault, text, len, "the network has bits behind its length: write its first address, or a range");
		return 0;
	}
	if (width == 32 && n > 2) {
		set_low(first, low_of(first) + 1);
		n -= 2;
	}
	return n;
}

/* FIRST-LAST; as network(). */
static uint64_t range(const char *text, size_t len, const char *dash, struct source *first, struct fault *fault)
{
	struct source last;

	if (!number(text, (size_t)(dash - text), first) || !number(dash + 1, (size_t)(text + len - dash - 1), &last)) {
		refuse(fault, text, len, "expected numbers on both sides of the dash, as in 10.0.0.10-10.0.0.20");
		return 0;
	}
	if (first->at.any.sa_family != last.at.any.sa_family ||
	    (last.at.any.sa_family == AF_INET6 && memcmp(&first->at.v6.sin6_addr, &last.at.v6.sin6_addr, 8) != 0)) {
		refuse(fault, text, len, "both ends must be of one network");
		return 0;
	}
	if (low_of(first) > low_of(&last)) {
		refuse(fault, text, len, "the last address is before the first");
		return 0;
	}
	if (low_of(&last) - low_of(first) >= MAX_SOURCES) {
		refuse(fault, text, len, "more than 65536 addresses");
		return 0;
	}
	return low_of(&last) - low_of(first) + 1;
}

/* One of those between commas. */
static bool item(struct sources *s, const char *text, size_t len, struct fault *fault)
{
	const char *slash = memchr(text, '/', len), *dash = memchr(text, '-', len);
	struct source first;
	uint64_t n = 1;

	if (slash)
		n = network(text, len, slash, &first, fault);
	else if (dash)
		n = range(text, len, dash, &first, fault);
	else if (!number(text, len, &first))
		return refuse(fault, text, len, "expected a number such as 127.0.0.2 or fd00::1, FIRST-LAST or NETWORK/LENGTH");
	if (!n)
		return false;
	return add(s, first, n) || refuse(fault, text, len, "more than 65536 addresses in all");
}

bool sources_parse(const char *text, struct source **list, size_t *n, struct fault *fault)
{
	struct sources s = { 0 };

	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");

		if (!item(&s, at, len, fault)) {
			free(s.list);
			return false;
		}
		at += len;
		if (!*at)
			break;
	}
	*list = s.list;
	*n = s.n;
	return true;
}
