#ifndef HARNESS_UNITS_H
#define HARNESS_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Quantities as users write them on command lines. Each takes the whole text or nothing: false when it is
 * not one, has rubbish behind it, or does not fit; *value is written only with true.
 */
bool units_duration(const char *text, uint64_t *ns);	/* 0, 250us 500ms 1.5s 2s 1m 1h; a unit is required but for 0 */
bool units_size(const char *text, uint64_t *bytes);	/* 4096 10k 64M 2G: powers of 1024 */
bool units_count(const char *text, uint64_t *count);	/* 5000 10k 1M 2G: powers of 1000; 0x2a */
bool units_real(const char *text, double *value);	/* 4 1.5; not negative, not infinite */

/* What was expected, for messages: "a duration such as 500ms, 2s, 1m or 1h". */
extern const char units_duration_form[], units_size_form[], units_count_form[], units_real_form[];

/* The shortest text that reads back as the same value; buf of at least 32 bytes; returns buf. */
char *units_print_duration(uint64_t ns, char *buf, size_t cap);
char *units_print_size(uint64_t bytes, char *buf, size_t cap);
char *units_print_count(uint64_t count, char *buf, size_t cap);

#endif
