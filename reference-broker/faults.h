#ifndef REFERENCE_BROKER_FAULTS_H
#define REFERENCE_BROKER_FAULTS_H

#include "codec/span.h"

/*
 * The rules the broker can be told to break, one row each in faults.c. A fault hangs
 * on one of a few choke points (received, sent, matched, stored, resumed, timed), so
 * the broker's own code stays clean and a broken broker differs in that rule alone.
 */
struct fault_row {
	const char *rule;	/* "5:MQTT-3.3.1-2", "3.1.1:MQTT-3.3.1-2"; an unnumbered one "5:property-repeated" */
	const char *name;	/* tells apart the ways to break one rule: "late"; "" when there is one */
	const char *breaks;	/* what the broker then does, half a sentence */
	uint16_t effect;	/* how: the broker's own business (effects.h) */
};

extern const struct fault_row fault_rows[];
extern const size_t n_fault_rows;

#define FAULT_WORDS 16		/* room in bits for 1024 rows: LOCAL_MAX_FAULTS, for who names them by number */

/*
 * Sets the bits of the faults that a user names: "RULE", "RULE/NAME", the version may be left out
 * where one row only fits it; without NAME all of the rule's. Returns how many it set: 0, no such fault;
 * -1, the rule exists in several versions and needs one.
 */
int faults_named(struct span text, uint64_t broken[FAULT_WORDS]);

static inline bool fault_set(const uint64_t *broken, unsigned fault)
{
	return broken && (broken[fault / 64] >> fault % 64 & 1);
}

#endif
