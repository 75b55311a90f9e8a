#ifndef CODEC_FINDING_H
#define CODEC_FINDING_H

#include "codec/wire.h"
#include "codec/writer.h"

/* OK, BAD and LIMIT are three outcomes: BAD is about the peer, LIMIT is about our own room. */
enum status { CODEC_OK, CODEC_BAD, CODEC_LIMIT };

/*
 * The rules that one packet alone can break; rules.c holds their table: for each
 * the clause in 3.1.1 and in 5, or an unnumbered name, and what it asks for.
 */
enum rule {
#define X(name, id_311, id_5, asks) RULE_##name,
#include "codec/rules.def"
	N_RULES
};

/* What a peer did wrong: everything but the bytes themselves. */
struct finding {
	enum rule rule;
	uint8_t version;	/* by which the packet was read; 3.1 is judged by 3.1.1's ids */
	uint32_t offset;	/* of the offending field, from the packet's first byte */
	const char *field;	/* its name in the notation; static, may be NULL */
	const char *why;	/* what is wrong with it; static */
};

/* "MQTT-2.2.2-2" or "property-repeated"; static, never NULL for a rule that a finding of that version names. */
const char *rule_id(enum rule rule, enum version version);

/* What the rule asks for, in half a sentence; static. */
const char *rule_asks(enum rule rule);

/* Writes "5:MQTT-2.1.3-1"; 3.1 writes as 3.1.1 unless the rule is 3.1's own. */
void finding_rule(const struct finding *finding, struct writer *w);

#endif
