#ifndef PCAP_WHERE_PROGRAM_H
#define PCAP_WHERE_PROGRAM_H

#include "codec/fields.h"
#include "pcap/where.h"

/* What an expression becomes: tests, and steps that run them without recursion. Between where_parse.c and where.c. */

enum where_subject {
	WHERE_FIELD,			/* of the packet; by_type says which */
	WHERE_TYPE, WHERE_FROM, WHERE_CLIENT, WHERE_CONNECTION, WHERE_STREAM, WHERE_FRAME, WHERE_TIME, WHERE_SIZE,
	WHERE_REMAINING_LENGTH, WHERE_VERSION, WHERE_WAY, WHERE_SURE, WHERE_CONFIDENCE, WHERE_TOPIC, WHERE_UNREADABLE, WHERE_CLAUSE,
	WHERE_BROKER, WHERE_CLIENT_ADDRESS,
};

enum where_op { WHERE_EQ, WHERE_NE, WHERE_LT, WHERE_LE, WHERE_GT, WHERE_GE, WHERE_MATCH, WHERE_PRESENT, WHERE_ABSENT, WHERE_SET };

struct where_test {
	uint8_t subject, op;
	bool named;			/* a reason by name: what it stands for is in codes */
	bool keyed;			/* user_property: only those with that key */
	int64_t number;
	struct span bytes, key;
	struct endpoint address;
	const struct field *by_type[16];
	int16_t codes[3][16];		/* by version - MQTT_3_1 and packet type; -1: none of that name */
};

enum where_code { WHERE_RUN /* test number `to` gives the result */, WHERE_NOT, WHERE_IF, WHERE_UNLESS /* with that result go on at `to` */ };

struct where_step {
	uint8_t code;
	uint16_t to;
};

enum { WHERE_MAX_STEPS = 4 * WHERE_MAX_TESTS };

struct where {
	unsigned n_steps, n_tests;
	struct where_step steps[WHERE_MAX_STEPS];
	struct where_test *tests;
	size_t n_room;
	uint8_t room[];			/* what strings stand for */
};

#endif
