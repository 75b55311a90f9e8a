#ifndef HARNESS_TESTS_SHORTHAND_H
#define HARNESS_TESTS_SHORTHAND_H

#include <stddef.h>
#include <stdint.h>

/*
 * Packets in a shorthand for tests, put into bytes here and not by our encoder: "pub q1 id=7". clean, id=N, q1, dup, t=TOPIC,
 * f=FILTER:OPTIONS, c=CODE and so on are words; properties go by short names; "hex=c000" is what it says.
 * Written to to[cap]; returns how many bytes. text is taken apart. A word that does not exist fails the test.
 */
size_t shorthand_bytes(char *text, uint8_t version, uint8_t *to, size_t cap);

#endif
