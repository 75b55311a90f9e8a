#ifndef FUZZ_JSON_LINE_H
#define FUZZ_JSON_LINE_H

#include <string.h>

#include "codec/span.h"
#include "fuzz/must.h"

/* Whether a line is one JSON object, by RFC 8259; its characters are judged elsewhere. */

enum { JSON_DEPTH = 16 };		/* no more is needed */

static inline const uint8_t *json_string(const uint8_t *at, const uint8_t *end)
{
	MUST(at < end && *at == '"');
	for (at++; at < end && *at != '"'; at++) {
		if (*at != '\\')
			continue;
		MUST(++at < end && strchr("\"\\/bfnrtu", *at) && *at);
		for (int i = 0; *at == 'u' && i < 4; i++)
			MUST(end - at > 4 && memchr("0123456789abcdefABCDEF", at[1 + i], 22));
		at += *at == 'u' ? 4 : 0;
	}
	MUST(at < end);
	return at + 1;
}

static inline const uint8_t *json_digits(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *from = at;

	while (at < end && *at >= '0' && *at <= '9')
		at++;
	MUST(at > from);
	return at;
}

static inline const uint8_t *json_scalar(const uint8_t *at, const uint8_t *end)
{
	static const char *const words[] = { "true", "false", "null" };

	MUST(at < end);
	if (*at == '"')
		return json_string(at, end);
	for (unsigned i = 0; i < 3; i++)
		if ((size_t)(end - at) >= strlen(words[i]) && !memcmp(at, words[i], strlen(words[i])))
			return at + strlen(words[i]);
	at += *at == '-';
	const uint8_t *digits = json_digits(at, end);
	MUST(*at != '0' || digits == at + 1);
	return digits < end && *digits == '.' ? json_digits(digits + 1, end) : digits;
}

static inline const uint8_t *json_value(const uint8_t *at, const uint8_t *end, unsigned depth)
{
	MUST(at < end && depth < JSON_DEPTH);
	if (*at != '{' && *at != '[')
		return json_scalar(at, end);
	uint8_t close = *at == '{' ? '}' : ']';
	bool first = true;

	for (at++; at < end && *at != close; first = false) {
		if (!first)
			MUST(*at++ == ',');
		if (close == '}') {
			at = json_string(at, end);
			MUST(at < end && *at++ == ':');
		}
		at = json_value(at, end, depth + 1);
	}
	MUST(at < end);
	return at + 1;
}

static inline void json_line(struct span line)
{
	MUST(line.len && line.at[0] == '{' && json_value(line.at, line.at + line.len, 0) == line.at + line.len);
}

#endif
