#ifndef FUZZ_MUTATOR_WORDS_H
#define FUZZ_MUTATOR_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* What MQTT packets are made of, from the tables of codec/wire.h: the words of fuzz/mqtt.dict and of mutate_bytes(). */
struct word {
	const char *group;	/* of the first of a group only */
	const char *name;	/* as in the table: of an entry in the dictionary, in lower case */
	uint8_t len;
	uint8_t bytes[15];
};

extern const struct word words[];
extern const size_t n_words;

#endif
