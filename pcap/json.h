#ifndef PCAP_JSON_H
#define PCAP_JSON_H

#include "pcap/out.h"

/*
 * JSON written straight into an out. What may not reach a terminal as it is (harness/escape.h) stands as \uXXXX, so a parser
 * gives back exactly the characters that were there.
 */

/* "text", with its quotes. Text must be UTF-8; any length. */
void json_string(struct out *out, struct span text);

/* "YWJj": base64 with padding, with its quotes. */
void json_base64(struct out *out, struct span bytes);

/* ,"NAME":"text" where bytes are UTF-8, else ,"NAME_base64":"..." */
void json_bytes(struct out *out, const char *name, struct span bytes);

/* ,"NAME": */
void json_key(struct out *out, const char *name);

/* ,"NAME":VALUE; text is ours, and needs no escape. */
void json_key_text(struct out *out, const char *name, const char *text);
void json_key_bool(struct out *out, const char *name, bool is);
void json_key_number(struct out *out, const char *name, uint64_t number);

/* Exactly: -0.000412000. Nine places always, as an integer of nanoseconds has. */
void json_seconds(struct out *out, int64_t ns);

/* What the two below may write at most. */
enum { JSON_NUMBER = 20, JSON_SECONDS = 22 };

/* The same where there is room already: at p, returning the place behind. */
uint8_t *json_put_seconds(uint8_t *p, int64_t ns);

static inline uint8_t *json_put_number(uint8_t *p, uint64_t n)
{
	uint8_t digits[JSON_NUMBER];
	size_t i = sizeof(digits);

	do
		digits[--i] = (uint8_t)('0' + n % 10);
	while (n /= 10);
	memcpy(p, digits + i, sizeof(digits) - i);
	return p + sizeof(digits) - i;
}

/* Of a string literal. */
#define JSON_PUT(p, text) ((uint8_t *)memcpy((p), "" text, sizeof(text) - 1) + sizeof(text) - 1)

#endif
